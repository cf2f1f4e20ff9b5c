//! Building the three parts of a firmware run, each in its own workspace, because each has its own target.

use std::path::{Path, PathBuf};

use crate::command::{BUILD_LIMIT, run};
use crate::linux;
use crate::setup::SOFT_FLOAT;
use crate::workspace::Workspace;

/// Where the built parts lie.
#[derive(Clone, Debug)]
pub(crate) struct Images {
    /// The EL2 image, an ELF file.
    pub(crate) el2: PathBuf,
    /// The host payload, raw.
    pub(crate) payload: PathBuf,
    /// The guest, raw: the same file that runs on Linux.
    pub(crate) guest: PathBuf,
}

impl Images {
    /// Builds all three, optimised: that is what is measured and what is shipped.
    pub(crate) fn build(workspace: &Workspace) -> Result<Self, String> {
        let firmware = build(workspace, "tests/firmware/Cargo.toml")?;
        Ok(Self {
            el2: named(&firmware, "el2")?,
            payload: named(&firmware, "payload")?,
            guest: linux::guest_blob(workspace)?,
        })
    }
}

/// The programs that a package or workspace builds.
fn build(workspace: &Workspace, manifest: &str) -> Result<Vec<PathBuf>, String> {
    if !workspace.path(manifest).is_file() {
        return Err(format!("there is no {manifest} in this checkout"));
    }
    let log = manifest.replace('/', "-");
    let mut cargo = workspace.cargo();
    cargo
        .args(["build", "--release", "--manifest-path", manifest, "--target", SOFT_FLOAT])
        .args(["--message-format", "json-render-diagnostics", "--target-dir"])
        .arg(workspace.target("bare"));
    let done = run(&mut cargo, BUILD_LIMIT, Some(&workspace.log(&log)), |_| {}).map_err(|e| format!("{e:#}"))?;
    if !done.ok() {
        return Err(done.build_error());
    }
    Ok(done.lines.iter().filter_map(|line| executable(line)).collect())
}

/// The program that one of cargo's messages announces.
fn executable(message: &str) -> Option<PathBuf> {
    let (_, after) = message.split_once("\"executable\":\"")?;
    after.split('"').next().map(PathBuf::from)
}

/// The one program whose file name has this word in it.
fn named(programs: &[PathBuf], word: &str) -> Result<PathBuf, String> {
    let has_word = |path: &&PathBuf| Path::file_name(path).is_some_and(|name| name.to_string_lossy().contains(word));
    programs.iter().find(has_word).cloned().ok_or_else(|| format!("tests/firmware builds no program named {word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_cargos_messages() {
        let message = r#"{"reason":"compiler-artifact","executable":"/x/release/firmware-el2","fresh":true}"#;
        assert_eq!(executable(message), Some(PathBuf::from("/x/release/firmware-el2")));
        assert_eq!(executable(r#"{"reason":"compiler-artifact","executable":null,"fresh":true}"#), None);
    }

    #[test]
    fn programs_are_told_apart_by_their_names() {
        let programs = [PathBuf::from("/el2/firmware-payload"), PathBuf::from("/x/firmware-el2")];
        assert_eq!(named(&programs, "el2"), Ok(programs[1].clone()));
        assert!(named(&programs, "guest").is_err());
    }
}
