//! Everything that must hold before a change is taken: format, lints, documentation, then all tests.

use crate::cli::TestArguments;
use crate::command::{BUILD_LIMIT, run};
use crate::progress::Step;
use crate::report::{Case, Ran};
use crate::setup::{ARM64_LINUX, Need, SOFT_FLOAT, Setup};
use crate::suites;
use crate::workspace::Workspace;

/// Packages outside the workspace: the folder, the target, what it needs.
const APART: [(&str, Option<&str>, Need); 6] = [
    ("tests/minimal", Some(SOFT_FLOAT), Need::SoftFloat),
    ("tests/staticlib", Some(SOFT_FLOAT), Need::SoftFloat),
    ("tests/firmware", Some(SOFT_FLOAT), Need::SoftFloat),
    ("tests/guest", Some(SOFT_FLOAT), Need::SoftFloat),
    ("tests/linux", Some(ARM64_LINUX), Need::Arm64Linux),
    ("tests/fuzz", None, Need::Cxx),
];

/// Runs all of it.
pub(crate) fn all(workspace: &Workspace) -> Vec<Ran> {
    let setup = Setup::prepare();
    let step = Step::new("checks");
    let cases = checks(workspace, &setup, &step);
    let checks = Ran { suite: "checks".to_owned(), cases, took: step.elapsed() };
    drop(step);
    checks.print();
    let mut ran = vec![checks];
    ran.extend(suites::run(workspace, &setup, &TestArguments::default()));
    ran
}

/// Format, lints and documentation of the workspace and of each package apart.
fn checks(workspace: &Workspace, setup: &Setup, step: &Step) -> Vec<Case> {
    let check = |name: String, arguments: &[&str], environment: Option<(&str, &str)>| {
        step.note(&name);
        let mut cargo = workspace.cargo();
        cargo.args(arguments).envs(environment);
        let result = match run(&mut cargo, BUILD_LIMIT, Some(&workspace.log(&name)), |line| step.note(line)) {
            Ok(done) if done.ok() => Ok(()),
            Ok(done) => Err(done.build_error()),
            Err(error) => Err(format!("{error:#}")),
        };
        Case::of(name, result)
    };
    let deny = ["--", "-D", "warnings"];
    let lints = [&["clippy", "--workspace", "--all-targets", "--all-features"][..], &deny].concat();
    let mut cases = vec![
        check("workspace_is_formatted".into(), &["fmt", "--all", "--check"], None),
        check("workspace_has_no_lints".into(), &lints, None),
        check(
            "documentation_builds_without_warnings".into(),
            &["doc", "--workspace", "--no-deps", "--all-features", "--lib"],
            Some(("RUSTDOCFLAGS", "-D warnings")),
        ),
    ];
    for (folder, target, need) in APART {
        let short = folder.rsplit('/').next().unwrap_or(folder);
        let manifest = format!("{folder}/Cargo.toml");
        if !workspace.path(&manifest).is_file() {
            cases.push(Case::fail(format!("{short}_is_there"), format!("no {manifest}")));
            continue;
        }
        let format = ["fmt", "--all", "--check", "--manifest-path", &manifest];
        cases.push(check(format!("{short}_is_formatted"), &format, None));
        let lints_name = format!("{short}_has_no_lints");
        if let Some(reason) = setup.lacks(&[need]) {
            cases.push(Case::skip(lints_name, reason));
            continue;
        }
        let directory = workspace.target("bare").display().to_string();
        let mut selection = vec!["clippy", "--release", "--manifest-path", &manifest, "--target-dir", &directory];
        selection.extend(target.iter().flat_map(|target| ["--target", target]));
        cases.push(check(lints_name, &[&selection[..], &deny].concat(), None));
    }
    cases
}
