//! The source of a kernel from the system's package manager: the distribution's package, for all architectures.

use super::apt::Apt;
use super::{deb, packages};
use crate::command::run;
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The packages of Debian with a kernel's whole source.
const NAMES: &str = "^linux-source-[0-9.]+$";
/// Some 90,000 files on a slow disk.
const UNPACK_LIMIT: Duration = Duration::from_mins(15);

/// The newest source tree that the package manager has, unpacked once under `target/`.
pub(super) fn tree(workspace: &Workspace) -> Result<PathBuf, String> {
    let advice = "or name a tree: `cargo xtask kernels --build-x86 --tree DIR`";
    let package =
        package(workspace).map_err(|why| format!("no kernel source from the package manager ({why}); {advice}"))?;
    let tree = package.with_extension("tree");
    if !tree.is_dir() {
        let archive = deb::unpacked(
            workspace,
            &package,
            |name| name.starts_with("linux-source-") && name.ends_with(".tar.xz"),
            "tar.xz",
        )?;
        unpack(workspace, &archive, &tree)?;
        // The tree holds all of it; the package stays, so that a broken tree needs no second download.
        std::fs::remove_file(&archive).map_err(|error| format!("{}: {error}", archive.display()))?;
    }
    Ok(tree)
}

/// The newest package of source; the package manager is always asked, since it may have a newer one.
fn package(workspace: &Workspace) -> Result<PathBuf, String> {
    let apt = Apt::ready(workspace)?;
    let name = packages::newest(&apt.search(NAMES)?).ok_or("no suite that apt knows has one")?;
    let folder = workspace.target("kernels");
    // apt does not load what is there already and is whole.
    apt.download(&name)?;
    deb::newest_in(&folder, is_source).ok_or(format!("apt-get downloaded no {name}"))
}

/// Whether the name is that of a package with a kernel's source in it.
fn is_source(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("linux-source-") && name.ends_with("_all.deb")
}

fn unpack(workspace: &Workspace, archive: &Path, tree: &Path) -> Result<(), String> {
    // Unpacked under another name first, so that an interrupted run leaves nothing that looks whole.
    let partial = tree.with_extension("partial-tree");
    let failed = |error: std::io::Error| format!("{}: {error}", partial.display());
    if partial.exists() {
        std::fs::remove_dir_all(&partial).map_err(failed)?;
    }
    std::fs::create_dir_all(&partial).map_err(failed)?;
    let mut tar = Command::new("tar");
    tar.args(["--strip-components=1", "-xJf"]).arg(archive).arg("-C").arg(&partial);
    let log = workspace.log("kernel-source");
    let done = run(&mut tar, UNPACK_LIMIT, Some(&log), |_| {}).map_err(|error| format!("{error:#}"))?;
    if !done.ok() {
        return Err(format!("unpacking {}: {}, {}", archive.display(), done.ended, done.tail(3)));
    }
    std::fs::rename(&partial, tree).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packages_with_a_whole_source_count() {
        assert!(is_source(Path::new("a/linux-source-7.3_7.3.4-1~bpo13+1_all.deb")));
        assert!(!is_source(Path::new("linux-source-7.3.tar.xz")));
        assert!(!is_source(Path::new("linux-binary-7.3.4_arm64.deb")));
    }
}
