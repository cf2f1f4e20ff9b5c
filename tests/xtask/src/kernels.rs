//! Where the kernels of the real-Linux tests come from.
//!
//! In this order: a file named in the environment, a package in the folder shared with the checkout, a package that the
//! system's package manager has. Nothing is downloaded in any other way, and no kernel is ever part of the project.

mod deb;
mod image;
mod packages;

use crate::workspace::Workspace;
use std::path::{Path, PathBuf};

/// The environment variable that names an arm64 Image, or a package with one.
pub(crate) const PKVM_VARIABLE: &str = "TENURE_PKVM_KERNEL";

/// The oldest series on which every check was seen to hold.
const OLDEST: (u32, u32) = (7, 2);

/// A kernel that can be booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// The Image, ready for QEMU's `-kernel`.
    pub(crate) path: PathBuf,
    /// What it says it is, for example `7.3.4+deb13-cloud-arm64`.
    pub(crate) release: String,
    /// Where it was found, in words.
    pub(crate) from: String,
}

impl Kernel {
    /// Its version as the demonstration shows it: `7.3.4`.
    pub(crate) fn version(&self) -> &str {
        self.release.split(|c: char| c != '.' && !c.is_ascii_digit()).next().unwrap_or(&self.release)
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

/// An arm64 kernel with pKVM, or why there is none and how to get one.
pub(crate) fn find_pkvm(workspace: &Workspace) -> Result<Kernel, String> {
    if let Some(named) = std::env::var_os(PKVM_VARIABLE) {
        return open(workspace, Path::new(&named), PKVM_VARIABLE.into());
    }
    let shared = workspace.path("../shared/kernels");
    if let Some(package) = deb::newest_in(&shared) {
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
    let kernel = Kernel { release: image::release(&path)?, path, from };
    if kernel.numbers() < OLDEST {
        let (Kernel { release, from, .. }, (major, minor)) = (kernel, OLDEST);
        return Err(format!(
            "Linux {release} from {from} is older than {major}.{minor}, the oldest series known to fit"
        ));
    }
    Ok(kernel)
}

/// What `cargo xtask kernels` prints: one line a kernel.
pub(crate) fn summary(workspace: &Workspace) -> Vec<String> {
    vec![match find_pkvm(workspace) {
        Ok(kernel) => {
            format!("arm64 with pKVM: Linux {} from {} ({})", kernel.release, kernel.from, kernel.path.display())
        }
        Err(why) => format!("arm64 with pKVM: {why}"),
    }]
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
