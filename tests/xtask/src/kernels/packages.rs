//! A kernel package from the system's package manager, for another architecture than the machine's.

use super::apt::Apt;
use super::{OLDEST, deb};
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};

/// Kernels for virtual machines: small, and all that a test needs is built in.
const NAMES: &str = "^linux-(binary|image)-[0-9].*-cloud-arm64$";

/// Downloads the newest kernel package, or returns the one downloaded before.
pub(super) fn download(workspace: &Workspace) -> Result<PathBuf, String> {
    let folder = workspace.target("kernels");
    if let Some(package) = deb::newest_in(&folder, deb::is_arm64_kernel).filter(|file| deb::numbers(file) >= oldest()) {
        return Ok(package);
    }
    let apt = Apt::ready(workspace)?;
    let name = newest(&apt.search(NAMES)?).ok_or("no suite that apt knows has an arm64 cloud kernel")?;
    if deb::numbers(Path::new(&name)) < oldest() {
        return Err(format!("the newest that apt knows is {name}, which is too old"));
    }
    apt.download(&name)?;
    deb::newest_in(&folder, deb::is_arm64_kernel).ok_or(format!("apt-get downloaded no {name}"))
}

/// The oldest version worth downloading, as [`deb::numbers`] gives it.
fn oldest() -> Vec<u64> {
    vec![OLDEST.0.into(), OLDEST.1.into()]
}

/// The package with the highest version among `name - description` lines.
pub(super) fn newest(found: &str) -> Option<String> {
    let names = found.lines().filter_map(|line| line.split_whitespace().next());
    // Where a release has both, the image package only depends on the binary package.
    let order = |name: &&str| (deb::numbers(Path::new(name)), name.starts_with("linux-binary"));
    names.max_by_key(order).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_version_is_taken_and_the_binary_package_of_it() {
        let found = "linux-image-7.9.1-cloud-arm64 - a\nlinux-image-7.10.2-cloud-arm64 - b\n\
                     linux-binary-7.10.2-cloud-arm64 - c\n";
        assert_eq!(newest(found).as_deref(), Some("linux-binary-7.10.2-cloud-arm64"));
        assert_eq!(newest(""), None);
    }
}
