//! The program that makes mutants: the one that is there, else as cargo gets every other dependency.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{self, BUILD_LIMIT};
use crate::workspace::Workspace;

const NAME: &str = "cargo-mutants";
/// Other versions make other mutants.
const VERSION: &str = "27.1.0";

/// Where the program is; builds it the first time.
///
/// # Errors
/// Why there is none.
pub(super) fn get(workspace: &Workspace) -> Result<PathBuf, String> {
    let root = workspace.target("tools");
    let own = root.join("bin").join(NAME);
    let found = [PathBuf::from(NAME), own.clone()].into_iter().find(|program| has_the_version(program));
    if let Some(program) = found {
        return Ok(program);
    }
    let package = format!("{NAME}@{VERSION}");
    let mut cargo = workspace.cargo();
    cargo.args(["install", "--locked", "--root"]).arg(&root).arg(&package);
    let advice = format!("no {NAME} {VERSION}: run `cargo install --locked {package}`");
    match command::run(&mut cargo, BUILD_LIMIT, Some(&workspace.log(NAME)), |_| {}) {
        Ok(_) if has_the_version(&own) => Ok(own),
        Ok(done) => Err(format!("{advice} ({}: {})", done.ended, done.tail(2))),
        Err(error) => Err(format!("{advice} ({error:#})")),
    }
}

fn has_the_version(program: &Path) -> bool {
    let asked = Command::new(program).args(["mutants", "--version"]).output();
    asked.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == format!("{NAME} {VERSION}"))
}

/// The program, on the whole workspace. The copies it makes have build folders of their own.
pub(super) fn command(workspace: &Workspace, tool: &Path) -> Command {
    let mut command = Command::new(tool);
    command.current_dir(workspace.path("")).args(["mutants", "--colors", "never"]);
    command.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_MANIFEST_DIR");
    command
}
