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

    /// The cargo that runs us, in the top folder, so that the workspace's settings hold for every package.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root).env("CARGO_TERM_COLOR", "never").env_remove("CARGO_MANIFEST_DIR");
        cargo
    }
}
