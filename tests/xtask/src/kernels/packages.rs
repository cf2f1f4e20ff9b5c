//! A kernel package from the system's package manager, for another architecture than the machine's.
//!
//! apt is asked with a state of its own under `target/`: the machine's configuration, its package lists and its
//! architectures stay as they are. The sources are the Debian mirrors that the machine already
//! uses, checked with Debian's keys, and beside each suite of Debian's the backports suite of the same mirror.

use super::{OLDEST, deb};
use crate::command::run;
use crate::workspace::Workspace;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// For one call of apt: an index of all suites is some ten megabytes.
const LIMIT: Duration = Duration::from_mins(5);

/// How apt is asked for its sources, one line each, fields divided by bars.
const FORMAT: &str = "$(ORIGIN)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)";

/// The keys that Debian's own packages are signed with, as its package of keys installs them.
const KEYS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg"];

/// The suites that are added: Debian's mirrors all have both names.
const BACKPORTS: &str = "stable-backports";

/// Kernels for virtual machines: small, and all that a test needs is built in.
const NAMES: &str = "^linux-(binary|image)-[0-9].*-cloud-arm64$";

/// Downloads the newest kernel package, or returns the one downloaded before.
pub(super) fn download(workspace: &Workspace) -> Result<PathBuf, String> {
    let folder = workspace.target("kernels");
    if let Some(package) = deb::newest_in(&folder).filter(|package| deb::numbers(package) >= oldest()) {
        return Ok(package);
    }
    let apt = Apt { state: workspace.target("kernels/apt"), folder };
    let known = call(Command::new("apt-get").args(["indextargets", "--format", FORMAT]))?;
    let keys = KEYS.into_iter().find(|file| Path::new(file).exists());
    apt.prepare(&sources(&known, keys.ok_or("Debian's keys are missing (package debian-archive-keyring)")?)?)?;
    call(apt.program("apt-get").arg("update"))?;
    let found = call(apt.program("apt-cache").args(["search", "--names-only", NAMES]))?;
    let name = newest(&found).ok_or("no suite that apt knows has an arm64 cloud kernel")?;
    if deb::numbers(Path::new(&name)) < oldest() {
        return Err(format!("the newest that apt knows is {name}, which is too old"));
    }
    call(apt.program("apt-get").args(["download", &name]))?;
    deb::newest_in(&apt.folder).ok_or(format!("apt-get downloaded no {name}"))
}

/// The oldest version worth downloading, as [`deb::numbers`] gives it.
fn oldest() -> Vec<u64> {
    vec![OLDEST.0.into(), OLDEST.1.into()]
}

/// apt with its own state.
struct Apt {
    state: PathBuf,
    folder: PathBuf,
}

impl Apt {
    /// Lays the state out.
    fn prepare(&self, sources: &str) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.state.display());
        for folder in ["lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(self.state.join(folder)).map_err(failed)?;
        }
        std::fs::write(self.state.join("status"), "").map_err(failed)?;
        std::fs::write(self.state.join("sources.list"), sources).map_err(failed)
    }

    /// One of apt's programs; packages are downloaded to the current folder.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        let at = |inside: &str| self.state.join(inside).display().to_string();
        for option in [
            format!("Dir::State={}", at("")),
            format!("Dir::State::lists={}", at("lists")),
            format!("Dir::State::status={}", at("status")),
            format!("Dir::Cache={}", at("cache")),
            format!("Dir::Etc::sourcelist={}", at("sources.list")),
            "Dir::Etc::sourceparts=-".to_owned(),
            "APT::Architecture=arm64".to_owned(),
            "APT::Architectures=arm64".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command.current_dir(&self.folder);
        command
    }
}

/// The lines of a `sources.list` for arm64, from the sources the machine has.
fn sources(known: &str, keys: &str) -> Result<String, String> {
    let mut lines = BTreeSet::new();
    for line in known.lines() {
        let fields: Vec<_> = line.split('|').map(str::trim).collect();
        let [origin, uri, suite, component] = fields[..] else { continue };
        // Other people's archives have no kernels, and security mirrors neither backports nor anything newer.
        if origin != "Debian" || component != "main" || suite.ends_with("-security") {
            continue;
        }
        for suite in [suite, BACKPORTS] {
            lines.insert(format!("deb [arch=arm64 signed-by={keys}] {uri} {suite} main\n"));
        }
    }
    if lines.is_empty() {
        return Err("apt here knows no mirror of Debian's; after a first `apt-get update` it might".into());
    }
    Ok(lines.into_iter().collect())
}

/// The package with the highest version among `name - description` lines.
fn newest(found: &str) -> Option<String> {
    let names = found.lines().filter_map(|line| line.split_whitespace().next());
    // Where a release has both, the image package only depends on the binary package.
    let order = |name: &&str| (deb::numbers(Path::new(name)), name.starts_with("linux-binary"));
    names.max_by_key(order).map(str::to_owned)
}

/// Runs a command to its end and returns what it said; its last words if it failed.
fn call(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = run(command, LIMIT, None, |_| {}).map_err(|error| format!("{error:#}"))?;
    if !done.ok() {
        return Err(format!("{name}: {}, {}", done.ended, done.tail(3).replace('\n', " / ")));
    }
    Ok(done.lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_mirrors_are_asked_for_arm64_and_for_backports() {
        let known = "Debian|http://mirror.invalid/debian/|bookworm|main\n\
                     Debian|http://mirror.invalid/debian/|bookworm|contrib\n\
                     Debian|http://mirror.invalid/debian-security/|bookworm-security|main\n\
                     Someone|http://other.invalid/|stable|main\nnoise";
        let lines = sources(known, "/key.gpg").unwrap();
        assert_eq!(
            lines,
            "deb [arch=arm64 signed-by=/key.gpg] http://mirror.invalid/debian/ bookworm main\n\
             deb [arch=arm64 signed-by=/key.gpg] http://mirror.invalid/debian/ stable-backports main\n"
        );
        assert!(sources("Someone|http://other.invalid/|stable|main", "/key.gpg").is_err());
    }

    #[test]
    fn the_highest_version_is_taken_and_the_binary_package_of_it() {
        let found = "linux-image-7.9.1-cloud-arm64 - a\nlinux-image-7.10.2-cloud-arm64 - b\n\
                     linux-binary-7.10.2-cloud-arm64 - c\n";
        assert_eq!(newest(found).as_deref(), Some("linux-binary-7.10.2-cloud-arm64"));
        assert_eq!(newest(""), None);
    }
}
