//! apt with a state of its own under `target/`: the machine's configuration, its package lists and its architectures
//! stay as they are.
//!
//! The sources are the Debian mirrors that the machine already uses, checked with Debian's keys, and beside each suite
//! of Debian's the backports suite of the same mirror.

use crate::command::run;
use crate::workspace::Workspace;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// For one call of apt: an index of all suites is some ten megabytes, a package at most some hundred and seventy.
const LIMIT: Duration = Duration::from_mins(10);

/// How apt is asked for its sources, one line each, fields divided by bars.
const FORMAT: &str = "$(ORIGIN)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)";

/// The keys that Debian's own packages are signed with, as its package of keys installs them.
const KEYS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg"];

/// The suites that are added: Debian's mirrors all have both names.
const BACKPORTS: &str = "stable-backports";

/// The architecture whose packages are asked for; every index also lists the packages for all architectures.
pub(super) const ARCHITECTURE: &str = "arm64";

/// apt with its own state and fresh lists.
pub(super) struct Apt {
    state: PathBuf,
    folder: PathBuf,
}

impl Apt {
    /// Lays the state out and gets the lists; packages will go to `target/kernels`.
    pub(super) fn ready(workspace: &Workspace) -> Result<Self, String> {
        let apt = Self { state: workspace.target("kernels/apt"), folder: workspace.target("kernels") };
        let known = call(Command::new("apt-get").args(["indextargets", "--format", FORMAT]))?;
        let keys = KEYS.into_iter().find(|file| Path::new(file).exists());
        apt.prepare(&sources(&known, keys.ok_or("Debian's keys are missing (package debian-archive-keyring)")?)?)?;
        call(apt.program("apt-get").arg("update"))?;
        Ok(apt)
    }

    /// The packages whose name matches, as `name - description` lines.
    pub(super) fn search(&self, names: &str) -> Result<String, String> {
        call(self.program("apt-cache").args(["search", "--names-only", names]))
    }

    /// Downloads the package `name` to `target/kernels`.
    pub(super) fn download(&self, name: &str) -> Result<(), String> {
        call(self.program("apt-get").args(["download", name])).map(drop)
    }

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
            format!("APT::Architecture={ARCHITECTURE}"),
            format!("APT::Architectures={ARCHITECTURE}"),
        ] {
            command.args(["-o", &option]);
        }
        command.current_dir(&self.folder);
        command
    }
}

/// The lines of a `sources.list` from the sources the machine has.
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
            lines.insert(format!("deb [arch={ARCHITECTURE} signed-by={keys}] {uri} {suite} main\n"));
        }
    }
    if lines.is_empty() {
        return Err("apt here knows no mirror of Debian's; after a first `apt-get update` it might".into());
    }
    Ok(lines.into_iter().collect())
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
}
