//! The suite of builds: `abi`, `arch`, `hyp` and `host` for the host and both bare targets, and without an allocator.
//!
//! A bare target has no `std`, so a crate that builds for it needs none. It does ship `alloc`, though: only linking
//! tells whether anything asks for it, because a final artefact with `alloc` in its graph and no global allocator is
//! refused. `tests/staticlib` is that artefact.

use crate::command::{BUILD_LIMIT, run};
use crate::progress::Step;
use crate::report::Case;
use crate::setup::{BARE_X86, Need, SOFT_FLOAT, Setup};
use crate::workspace::Workspace;

/// The crates with the features that need no `std`.
const CRATES: [(&str, &[&str]); 4] = [("abi", ALL), ("arch", ALL), ("hyp", ALL), ("host", &[])];
const ALL: &[&str] = &["--all-features"];
/// The features of `host` that need `std`, each on its own.
const HOSTED: [&str; 3] = ["std", "linux", "vm-memory"];
/// The library that links all of them with nothing else.
pub(crate) const STATIC_LIBRARY: &str = "tests/staticlib/Cargo.toml";

/// A target with the name it has in cases, and what it needs.
const TARGETS: [(&str, &str, Need); 2] =
    [("bare_x86_64", BARE_X86, Need::BareX86), ("bare_aarch64_softfloat", SOFT_FLOAT, Need::SoftFloat)];

/// One case for each crate and target, one for each feature that needs `std`, one for each link without an allocator.
pub(crate) fn all(workspace: &Workspace, setup: &Setup, step: &Step) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, _) in CRATES {
        let package = format!("tenure-{name}");
        cases.push(build(workspace, step, format!("{name}_builds_for_the_host"), &["-p", &package]));
    }
    for feature in HOSTED {
        let name = format!("host_with_{}_builds_for_the_host", feature.replace('-', "_"));
        cases.push(build(workspace, step, name, &["-p", "tenure-host", "--features", feature]));
    }
    for (place, target, need) in TARGETS {
        if let Some(reason) = setup.lacks(&[need]) {
            cases.push(Case::skip(format!("crates_build_for_{place}"), reason));
            continue;
        }
        for (name, features) in CRATES {
            let package = format!("tenure-{name}");
            let arguments = [&["-p", &package, "--target", target], features].concat();
            cases.push(build(workspace, step, format!("{name}_builds_for_{place}"), &arguments));
        }
        let arguments = ["--manifest-path", STATIC_LIBRARY, "--release", "--target", target];
        cases.push(build(workspace, step, format!("crates_link_without_an_allocator_for_{place}"), &arguments));
    }
    cases
}

fn build(workspace: &Workspace, step: &Step, name: String, arguments: &[&str]) -> Case {
    step.note(&name);
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--lib"]).args(arguments);
    if arguments.contains(&"--manifest-path") {
        cargo.arg("--target-dir").arg(workspace.target("bare"));
    }
    let result = match run(&mut cargo, BUILD_LIMIT, Some(&workspace.log(&name)), |_| {}) {
        Ok(done) if done.ok() => Ok(()),
        Ok(done) => Err(done.build_error()),
        Err(error) => Err(format!("{error:#}")),
    };
    Case::of(name, result)
}
