//! A Debian kernel package, opened with the system's own tools.

use crate::workspace::Workspace;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The newest file in `folder` of which `is` holds, by version.
pub(super) fn newest_in(folder: &Path, is: fn(&Path) -> bool) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    files.filter(|file| is(file)).max_by_key(|file| numbers(file))
}

/// Whether the name is that of a package with an arm64 kernel in it.
pub(super) fn is_arm64_kernel(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with("_arm64.deb") && ["linux-binary-", "linux-image-"].iter().any(|start| name.starts_with(start))
}

/// The numbers in a file's name, in order: what versions are compared by.
pub(super) fn numbers(file: &Path) -> Vec<u64> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// The kernel in the package `file`, unpacked once under `target/`.
pub(super) fn kernel_of(workspace: &Workspace, file: &Path) -> Result<PathBuf, String> {
    unpacked(workspace, file, |name| name.starts_with("vmlinuz"), "Image")
}

/// The file of the package `file` whose name is `wanted`, unpacked once under `target/` with the ending `ending`.
pub(super) fn unpacked(
    workspace: &Workspace,
    file: &Path,
    wanted: fn(&str) -> bool,
    ending: &str,
) -> Result<PathBuf, String> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let folder = workspace.target("kernels");
    let unpacked = folder.join(format!("{name}.{ending}"));
    if !newer(&unpacked, file) {
        let member = member(file, wanted)?;
        // Written under another name first, so that an interrupted run leaves nothing that looks whole.
        let partial = folder.join(format!("{name}.partial"));
        let out = std::fs::File::create(&partial).map_err(|error| format!("{}: {error}", partial.display()))?;
        tar(file, &["-xO", &member], Stdio::from(out))?;
        std::fs::rename(&partial, &unpacked).map_err(|error| format!("{}: {error}", unpacked.display()))?;
    }
    Ok(unpacked)
}

fn newer(this: &Path, than: &Path) -> bool {
    let modified = |path: &Path| std::fs::metadata(path).and_then(|data| data.modified()).ok();
    matches!((modified(this), modified(than)), (Some(this), Some(than)) if this >= than)
}

/// The path inside the package of the file whose name is `wanted`.
fn member(file: &Path, wanted: fn(&str) -> bool) -> Result<String, String> {
    let list = tar(file, &["-t"], Stdio::piped())?;
    let wanted = |path: &&str| path.rsplit('/').next().is_some_and(wanted);
    list.lines().find(wanted).map(str::to_owned).ok_or(format!("{} has no file that is looked for", file.display()))
}

/// Lets tar work on the package's files; what it printed, where `out` is a pipe.
fn tar(file: &Path, arguments: &[&str], out: Stdio) -> Result<String, String> {
    let failed = |what: &str, why: &dyn std::fmt::Display| format!("{what} on {}: {why}", file.display());
    let mut unpack = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed("dpkg-deb (package dpkg)", &error))?;
    let stream = unpack.stdout.take().ok_or("dpkg-deb has no output")?;
    let tar = Command::new("tar").args(arguments).stdin(stream).stdout(out).output();
    let tar = tar.map_err(|error| failed("tar", &error))?;
    let unpacked = unpack.wait().map_err(|error| failed("dpkg-deb", &error))?;
    if !(tar.status.success() && unpacked.success()) {
        return Err(failed("unpacking", &String::from_utf8_lossy(&tar.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&tar.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_version_wins_by_number_not_by_letter() {
        let (old, new) = (Path::new("linux-binary-7.9.1_arm64.deb"), Path::new("linux-binary-7.10.0_arm64.deb"));
        assert!(numbers(new) > numbers(old));
    }

    #[test]
    fn only_arm64_kernel_packages_count() {
        assert!(is_arm64_kernel(Path::new("a/linux-binary-7.3.4+deb13-cloud-arm64_7.3.4-1_arm64.deb")));
        assert!(!is_arm64_kernel(Path::new("linux-binary-7.3.4_amd64.deb")));
        assert!(!is_arm64_kernel(Path::new("bzImage-7.3.4-swprotected")));
    }
}
