//! The main job through the client, on everything that has guest memory files here: for the demonstration.

use super::machine::{Machine, Start};
use super::programs::{self, Programs};
use super::rows::{lacks_here, whole};
use crate::kernels;
use crate::setup::Setup;
use crate::transcript::Transcript;
use crate::workspace::Workspace;
use std::time::Duration;

/// Seconds, on any machine.
const LIMIT: Duration = Duration::from_mins(2);
/// The series as posted last: conversion in place, which no released kernel has.
const IN_PLACE: &str = "v8";

/// What one kernel, or the provider, showed.
pub(crate) struct Demonstrated {
    /// What ran.
    pub(crate) on: String,
    /// Its facts; the inner error: it should have run and did not. The outer: what this machine lacks.
    pub(crate) said: Result<Result<Transcript, String>, String>,
}

/// Shows it on this machine's kernel, on the one with private memory under QEMU, and in place on the provider.
pub(crate) fn demonstrations(workspace: &Workspace, setup: &Setup) -> Vec<Demonstrated> {
    let native = Programs::build(workspace, None);
    let here = |arguments: &[&str], log: &str| {
        let programs = native.as_ref().map_err(Clone::clone)?;
        understood(&programs::here(workspace, &programs.demo, arguments, LIMIT, log)?)
    };
    let machine = Machine::prepare(workspace, setup);
    let running = kernels::running_release();
    let release = kernels::version(&running);
    let own = match lacks_here() {
        Some(reason) => Err(reason),
        None => Ok(here(&[], "gmem-demo-here")),
    };
    let (version, under_qemu) = match &machine.stock {
        Err(reason) => ("7.3".to_owned(), Err(reason.clone())),
        Ok(kernel) => {
            let done = machine.boot(workspace, kernel, Start::Demo, &[], LIMIT, "gmem-demo-qemu");
            (kernel.version().to_owned(), Ok(done.and_then(|done| understood(&done))))
        }
    };
    let provider = Ok(here(&["--provider", IN_PLACE], "gmem-demo-provider"));
    vec![
        Demonstrated { on: format!("linux {release} /dev/kvm"), said: own },
        Demonstrated { on: format!("linux {version} x86 private memory"), said: under_qemu },
        Demonstrated { on: "the provider in place, a model".to_owned(), said: provider },
    ]
}

fn understood(done: &crate::command::Finished) -> Result<Transcript, String> {
    let transcript = Transcript::parse(&done.lines);
    whole(done, &transcript).map(|()| transcript)
}
