//! Running a program: both outputs as one stream of lines, kept in a log, within a time limit.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Long enough for any build on two slow cores.
pub(crate) const BUILD_LIMIT: Duration = Duration::from_mins(30);

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, with this exit code.
    Code(i32),
    /// By a signal.
    Signal,
    /// It ran longer than its limit and was ended.
    TimedOut,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal => f.write_str("ended by a signal"),
            Self::TimedOut => f.write_str("ran into its time limit"),
        }
    }
}

/// What a program printed and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    /// All lines, standard output and error as they came.
    pub(crate) lines: Vec<String>,
    /// How it ended.
    pub(crate) ended: Ended,
}

impl Finished {
    /// Exit code 0.
    pub(crate) fn ok(&self) -> bool {
        self.ended == Ended::Code(0)
    }

    /// The last lines, for a message.
    pub(crate) fn tail(&self, lines: usize) -> String {
        let from = self.lines.len().saturating_sub(lines);
        self.lines.get(from..).unwrap_or_default().join("\n")
    }

    /// The first compiler errors, else the last lines: what a person needs to see of a failed build.
    pub(crate) fn build_error(&self) -> String {
        match self.lines.iter().position(|line| line.starts_with("error")) {
            Some(at) => self.lines.iter().skip(at).take(25).cloned().collect::<Vec<_>>().join("\n"),
            None => format!("{}\n{}", self.ended, self.tail(10)),
        }
    }
}

/// Runs `command` without input; `each` sees every line as it comes.
pub(crate) fn run(
    command: &mut Command,
    limit: Duration,
    log: Option<&Path>,
    mut each: impl FnMut(&str),
) -> Result<Finished> {
    let name = command.get_program().to_string_lossy().into_owned();
    let (reader, writer) = std::io::pipe().context("making a pipe")?;
    let errors = writer.try_clone().context("making a pipe")?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    // The command keeps the writing ends open until it is dropped or told otherwise; the reader would never see an end.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let mut log = log.and_then(|path| File::create(path).ok());
    let mut lines = Vec::new();
    let incoming = read_lines(reader);
    let timed_out = collect(&incoming, Instant::now() + limit, |line| {
        if let Some(log) = &mut log {
            // A log that cannot be written must not fail the run that it describes.
            let _ = writeln!(log, "{line}");
        }
        each(&line);
        lines.push(line);
    });
    let ended = if timed_out { end(&mut child) } else { how(child.wait().context("waiting")?) };
    Ok(Finished { lines, ended })
}

fn read_lines(reader: std::io::PipeReader) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut bytes = Vec::new();
        while matches!(reader.read_until(b'\n', &mut bytes), Ok(n) if n > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            bytes.clear();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Whether the deadline passed before the stream ended.
fn collect(incoming: &Receiver<String>, deadline: Instant, mut take: impl FnMut(String)) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match incoming.recv_timeout(left) {
            Ok(line) => take(line),
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => return true,
        }
    }
}

fn end(child: &mut Child) -> Ended {
    // Both fail only if the child is gone already, which is what they are for.
    let _ = child.kill();
    let _ = child.wait();
    Ended::TimedOut
}

fn how(status: ExitStatus) -> Ended {
    status.code().map_or(Ended::Signal, Ended::Code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_outputs_and_the_code_come_back() {
        let done = run(&mut shell("echo one; echo two >&2; exit 3"), Duration::from_secs(10), None, |_| {}).unwrap();
        assert_eq!((done.lines, done.ended), (vec!["one".to_owned(), "two".to_owned()], Ended::Code(3)));
    }

    #[test]
    fn a_program_that_hangs_is_ended_and_keeps_what_it_said() {
        let done = run(&mut shell("echo here; exec sleep 60"), Duration::from_millis(300), None, |_| {}).unwrap();
        assert_eq!((done.lines, done.ended), (vec!["here".to_owned()], Ended::TimedOut));
    }

    #[test]
    fn a_missing_program_is_an_error_with_its_name() {
        let error = run(&mut Command::new("no-such-program-here"), BUILD_LIMIT, None, |_| {}).unwrap_err();
        assert!(error.to_string().contains("no-such-program-here"));
    }

    #[test]
    fn a_build_error_starts_at_the_first_error() {
        let lines = ["warning: w", "error[E0425]: x", "  --> a.rs"].map(str::to_owned).to_vec();
        let done = Finished { lines, ended: Ended::Code(101) };
        assert_eq!(done.build_error(), "error[E0425]: x\n  --> a.rs");
    }
}
