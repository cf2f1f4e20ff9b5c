//! Reads what `cargo test` prints: which binary runs, each test's verdict, and what a failed one said.
//!
//! The machine-readable format of libtest is not stable, the lines for people have been for ten years. Programs whose tests can
//! be skipped at run time print much the same, with names padded and the reason in brackets.

use crate::report::{Case, Verdict};

/// All cases of one `cargo test` run, in order, named `crate::path::test`.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    /// One case for each test, plus one for each test binary that did not come to its end.
    pub(crate) cases: Vec<Case>,
}

/// The binary that runs at a point of the stream.
#[derive(Default)]
struct Binary {
    name: String,
    running: bool,
}

/// Reads the merged output of `cargo test`.
pub(crate) fn parse(lines: &[String]) -> Parsed {
    let mut parsed = Parsed::default();
    let mut binary = Binary::default();
    let mut block: Option<(String, Vec<String>)> = None;
    for line in lines {
        let text = line.trim_end();
        if let Some(name) = started(text) {
            parsed.close(&mut block);
            parsed.unfinished(&binary);
            binary = Binary { name, running: false };
        } else if text.starts_with("running ") && (text.ends_with(" tests") || text.ends_with(" test")) {
            binary.running = true;
        } else if text.starts_with("test result: ") {
            parsed.close(&mut block);
            binary.running = false;
        } else if let Some(name) = text.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" ----")) {
            parsed.close(&mut block);
            block = Some((binary.case(name.strip_suffix(" stdout").unwrap_or(name)), Vec::new()));
        } else if let Some((_, said)) = &mut block {
            said.push(text.to_owned());
        } else if let Some((test, verdict)) = result(text) {
            parsed.cases.push(Case { name: binary.case(test), verdict });
        }
    }
    parsed.close(&mut block);
    parsed.unfinished(&binary);
    parsed
}

impl Binary {
    fn case(&self, test: &str) -> String {
        format!("{}::{}", self.name, test)
    }
}

impl Parsed {
    /// Hands what a failed test said to its case.
    fn close(&mut self, block: &mut Option<(String, Vec<String>)>) {
        let Some((name, said)) = block.take() else { return };
        let said: Vec<_> = said
            .into_iter()
            .take_while(|line| line != "failures:")
            .filter(|line| !line.is_empty() && !line.starts_with("note: run with"))
            .take(12)
            .collect();
        for case in self.cases.iter_mut().filter(|case| case.name == name) {
            if matches!(case.verdict, Verdict::Fail(_)) {
                case.verdict = Verdict::Fail(said.join("\n"));
            }
        }
    }

    fn unfinished(&mut self, binary: &Binary) {
        if binary.running {
            self.cases.push(Case::fail(binary.case("the_test_program_ends"), "it stopped before its result"));
        }
    }
}

/// `     Running unittests src/lib.rs (target/debug/deps/tenure_abi-0123)` and `   Doc-tests tenure_abi`.
fn started(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{name}::doc"));
    }
    let path = line.strip_prefix("Running ")?.rsplit_once('(')?.1.strip_suffix(')')?;
    let file = path.rsplit('/').next()?;
    Some(file.rsplit_once('-').map_or(file, |(name, _hash)| name).to_owned())
}

/// `test path::name ... ok`, also with ` - should panic` and with a reason after `ignored`, `, why` or ` (why)`.
fn result(line: &str) -> Option<(&str, Verdict)> {
    let (test, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let test = test.split(" - should panic").next().unwrap_or(test).trim_end();
    let in_brackets = || outcome.strip_suffix(')')?.split_once(" (");
    let verdict = match in_brackets().or_else(|| outcome.split_once(", ")).unwrap_or((outcome, "")) {
        ("ok", _) => Verdict::Pass,
        ("FAILED", _) => Verdict::Fail("it said nothing".into()),
        ("ignored", "") => Verdict::Skip("marked as ignored without a reason".into()),
        ("ignored", why) => Verdict::Skip(why.into()),
        _ => return None,
    };
    Some((test, verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    const TWO: &str = "\
   Compiling tenure-abi v0.1.0
     Running unittests src/lib.rs (target/debug/deps/tenure_abi-35ab)

running 4 tests
test frame::tests::empty_is_refused ... ok
test frame::tests::wraps ... FAILED
test frame::tests::slow ... ignored, needs an hour
test frame::tests::stops - should panic ... ok

failures:

---- frame::tests::wraps stdout ----

thread 'frame::tests::wraps' panicked at abi/src/frame.rs:3:4:
assertion failed
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace


failures:
    frame::tests::wraps

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

   Doc-tests tenure_abi

running 1 test
test abi/src/frame.rs - frame::Run (line 12) ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
";

    #[test]
    fn each_test_becomes_a_case_with_its_crate() {
        let names: Vec<_> = parse(&lines(TWO)).cases.into_iter().map(|case| case.name).collect();
        assert_eq!(
            names,
            [
                "tenure_abi::frame::tests::empty_is_refused",
                "tenure_abi::frame::tests::wraps",
                "tenure_abi::frame::tests::slow",
                "tenure_abi::frame::tests::stops",
                "tenure_abi::doc::abi/src/frame.rs - frame::Run (line 12)",
            ]
        );
    }

    #[test]
    fn a_failure_carries_what_the_test_said() {
        let cases = parse(&lines(TWO)).cases;
        let seen = "thread 'frame::tests::wraps' panicked at abi/src/frame.rs:3:4:\nassertion failed";
        assert_eq!(cases[1].verdict, Verdict::Fail(seen.into()));
        assert_eq!(cases[2].verdict, Verdict::Skip("needs an hour".into()));
    }

    const AT_RUN_TIME: &str = "\
     Running tests/kvm/main.rs (target/debug/deps/kvm-35ab)

running 3 tests
test one                       ... ok
test another_with_a_longer_name ... ignored (open /dev/kvm: EACCES, or none)
test third                     ... FAILED

failures:

---- third ----
test panicked: it was 3

failures:
    third

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn a_program_that_skips_at_run_time_is_read_too() {
        let expected = [
            Case::pass("kvm::one"),
            Case::skip("kvm::another_with_a_longer_name", "open /dev/kvm: EACCES, or none"),
            Case::fail("kvm::third", "test panicked: it was 3"),
        ];
        assert_eq!(parse(&lines(AT_RUN_TIME)).cases, expected);
    }

    #[test]
    fn a_test_program_that_dies_is_a_failed_case() {
        let text = "     Running tests/a.rs (target/debug/deps/a-1)\nrunning 2 tests\ntest one ... ok\n";
        let cases = parse(&lines(text)).cases;
        assert_eq!(cases.len(), 2);
        assert_eq!(cases[1], Case::fail("a::the_test_program_ends", "it stopped before its result"));
    }

    #[test]
    fn other_lines_are_noise() {
        assert!(parse(&lines("test result: ok.\ntest x has been running for over 60 seconds\nfoo")).cases.is_empty());
    }
}
