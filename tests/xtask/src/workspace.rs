//! Where things are: the checkout, its build products, its logs.

use std::path::PathBuf;
use std::process::Command;

/// The checkout that this run works on.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The checkout that this program was started from; cargo names it, and the built-in path is for a bare start.
    pub(crate) fn find() -> Self {
        let package = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package.ancestors().nth(2).unwrap_or(&package).to_path_buf();
        Self { root }
    }

    /// A path inside the checkout.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    /// A folder under `target/`, made if it is missing.
    pub(crate) fn target(&self, inside: &str) -> PathBuf {
        let base = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), PathBuf::from);
        let dir = base.join(inside);
        // A folder that cannot be made shows itself in the first write to it, with a better message.
        let _ = std::fs::create_dir_all(&dir);
        dir
    }

    /// The file that keeps the whole output of one step.
    pub(crate) fn log(&self, step: &str) -> PathBuf {
        self.target("xtask/logs").join(format!("{step}.log"))
    }

    /// Whether the checkout has a package of this name among `tests/`.
    pub(crate) fn has_package(&self, name: &str) -> bool {
        let wanted = format!("name = \"{name}\"");
        let folders = std::fs::read_dir(self.path("tests")).into_iter().flatten().flatten();
        folders
            .filter_map(|folder| std::fs::read_to_string(folder.path().join("Cargo.toml")).ok())
            .any(|manifest| manifest.lines().any(|line| line == wanted))
    }

    /// What git prints.
    ///
    /// # Errors
    /// In words: no git, no repository, or its first complaint.
    pub(crate) fn git(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new("git").current_dir(&self.root).args(arguments).output();
        let output = output.map_err(|error| format!("git does not run: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("git {}: {}", arguments.join(" "), said.lines().next().unwrap_or_default()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The commit, for results to be quoted with; it says so if files differ from it.
    pub(crate) fn version(&self) -> String {
        let found = self.git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]);
        found.map_or_else(|_| "an unknown commit".to_owned(), |text| text.trim().to_owned())
    }

    /// The cargo that runs us, in the top folder, so that the workspace's settings hold for every package.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root).env("CARGO_TERM_COLOR", "never").env_remove("CARGO_MANIFEST_DIR");
        cargo
    }
}
