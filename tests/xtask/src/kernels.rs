//! Where the kernels of the real-Linux tests come from.
//!
//! In this order: a file named in the environment, a package in the folder shared with the checkout, a package that the
//! system's package manager has. The x86 kernel with private memory is in no distribution: it is built from the package
//! of the source, when a person asks for it. Nothing is downloaded in any other way, and no kernel is ever part of the
//! project.

mod apt;
mod build;
mod bzimage;
mod deb;
mod here;
mod image;
mod packages;
mod source;
mod x86;

pub(crate) use here::{lacks_gmem, release as running_release};
pub(crate) use x86::{find_supplied, find_x86};

use crate::progress::Step;
use crate::setup;
use crate::workspace::Workspace;
use build::Tree;
use std::path::{Path, PathBuf};

/// The environment variable that names an arm64 Image, or a package with one.
pub(crate) const PKVM_VARIABLE: &str = "TENURE_PKVM_KERNEL";

/// The oldest series on which every check was seen to hold.
const OLDEST: (u32, u32) = (7, 2);

/// A kernel that can be booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// The image, ready for QEMU's `-kernel`.
    pub(crate) path: PathBuf,
    /// What it says it is, for example `7.3.4+deb13-cloud-arm64`.
    pub(crate) release: String,
    /// Where it was found, in words.
    pub(crate) from: String,
}

impl Kernel {
    /// Its version as the demonstration shows it: `7.3.4`.
    pub(crate) fn version(&self) -> &str {
        version(&self.release)
    }

    /// Itself, unless its series is older than `oldest`.
    fn not_older_than(self, oldest: (u32, u32)) -> Result<Self, String> {
        if self.numbers() >= oldest {
            return Ok(self);
        }
        let (Self { release, from, .. }, (major, minor)) = (self, oldest);
        Err(format!("Linux {release} from {from} is older than {major}.{minor}, the oldest series known to fit"))
    }

    /// The first two numbers of its version.
    fn numbers(&self) -> (u32, u32) {
        let mut numbers = self.version().split('.').map(|number| number.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    /// Its series, for the word after a pass: `7.3`.
    pub(crate) fn series(&self) -> &str {
        let version = self.version();
        version.match_indices('.').nth(1).map_or(version, |(at, _)| version.split_at(at).0)
    }
}

/// The version in a release: `7.3.4` of `7.3.4+deb13-cloud-arm64`.
pub(crate) fn version(release: &str) -> &str {
    release.split(|c: char| c != '.' && !c.is_ascii_digit()).next().unwrap_or(release)
}

/// An arm64 kernel with pKVM, or why there is none and how to get one.
pub(crate) fn find_pkvm(workspace: &Workspace) -> Result<Kernel, String> {
    if let Some(named) = std::env::var_os(PKVM_VARIABLE) {
        return open(workspace, Path::new(&named), PKVM_VARIABLE.into());
    }
    let shared = workspace.path("../shared/kernels");
    if let Some(package) = deb::newest_in(&shared, deb::is_arm64_kernel) {
        return open(workspace, &package, "../shared/kernels".into());
    }
    let package = packages::download(workspace).map_err(|why| {
        format!("no arm64 kernel with pKVM: set {PKVM_VARIABLE} to an Image or a .deb of one ({why})")
    })?;
    open(workspace, &package, "the package manager".into())
}

/// The kernel in `file`, which is an Image or a package.
fn open(workspace: &Workspace, file: &Path, from: String) -> Result<Kernel, String> {
    let path = if file.extension().is_some_and(|ending| ending == "deb") {
        deb::kernel_of(workspace, file)?
    } else {
        file.to_path_buf()
    };
    Kernel { release: image::release(&path)?, path, from }.not_older_than(OLDEST)
}

/// Builds the small x86 kernel with private memory, from the distribution's source or from `tree`.
pub(crate) fn build_x86(workspace: &Workspace, tree: Option<&Path>) -> Result<PathBuf, String> {
    let step = Step::new("kernel");
    step.note("tools of the build");
    setup::kernel_tools()?;
    if let Some(tree) = tree {
        return build::image(workspace, &Tree::Supplied(tree), &step);
    }
    step.note("getting the distribution's source");
    let tree = source::tree(workspace)?;
    build::image(workspace, &Tree::OfTheDistribution(&tree), &step)
}

/// What `cargo xtask kernels` prints: one line a kernel.
pub(crate) fn summary(workspace: &Workspace) -> Vec<String> {
    let mut lines =
        vec![line("arm64 with pKVM", &find_pkvm(workspace)), line("x86 with private memory", &find_x86(workspace))];
    lines.extend(find_supplied(workspace).map(|found| line("x86 from a supplied tree", &found)));
    lines.push(here::summary());
    lines
}

fn line(what: &str, found: &Result<Kernel, String>) -> String {
    match found {
        Ok(Kernel { path, release, from }) => format!("{what}: Linux {release} from {from} ({})", path.display()),
        Err(why) => format!("{what}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared_by_number() {
        let numbers =
            |release: &str| Kernel { path: "Image".into(), release: release.into(), from: "here".into() }.numbers();
        assert!(numbers("7.10.1") > OLDEST && numbers("7.2.0") == OLDEST && numbers("6.12.40+deb13") < OLDEST);
        assert_eq!(numbers("strange"), (0, 0));
    }

    #[test]
    fn a_release_gives_version_and_series() {
        let kernel = |release: &str| Kernel { path: "Image".into(), release: release.into(), from: "here".into() };
        for (release, version, series) in
            [("7.3.4+deb13-cloud-arm64", "7.3.4", "7.3"), ("7.4.0-rc2", "7.4.0", "7.4"), ("7.3", "7.3", "7.3")]
        {
            assert_eq!((kernel(release).version(), kernel(release).series()), (version, series));
        }
    }
}
