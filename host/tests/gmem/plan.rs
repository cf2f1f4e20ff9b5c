//! Which steps fail, and how: every allocation and every question to the platform is a step, counted from 0.

use tenure_host::platform::{Here, Retry};

/// What a step was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// A frame.
    Page,
    /// A node.
    Node,
    /// A platform's reservation.
    Reserve,
    /// A split.
    Resize,
    /// A detachment.
    Detach,
    /// A fence.
    Fence,
    /// A transfer.
    Transfer,
    /// A settlement.
    Settle,
}

/// How a step fails. Steps without progress know only that they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Entries finished before it.
    pub(crate) after: u64,
    /// How the next entry stands.
    pub(crate) here: Here,
    /// Whether asking again can help.
    pub(crate) retry: Retry,
    /// Whether it goes on failing, at every later step of the kind.
    pub(crate) lasting: bool,
}

impl Failure {
    /// Nothing was done, and it is final.
    pub(crate) const PLAIN: Self = Self { after: 0, here: Here::AsBefore, retry: Retry::No, lasting: false };
}

/// The steps of a call, and those that are to fail.
#[derive(Default)]
pub(crate) struct Plan {
    steps: Vec<Step>,
    failures: Vec<(usize, Failure)>,
    lasting: Option<(Step, Failure)>,
    tripped: usize,
}

impl Plan {
    /// Counts from 0 again; these steps fail.
    pub(crate) fn start(&mut self, failures: Vec<(usize, Failure)>) {
        *self = Self { failures, ..Self::default() };
    }

    /// The steps so far.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// How many of them failed.
    pub(crate) fn tripped(&self) -> usize {
        self.tripped
    }

    /// Takes a step; how it fails, if it does.
    pub(crate) fn step(&mut self, step: Step) -> Option<Failure> {
        let number = self.steps.len();
        self.steps.push(step);
        let lasting = self.lasting.filter(|(kind, _)| *kind == step).map(|(_, failure)| failure);
        let planned = self.failures.iter().find(|(at, _)| *at == number).map(|(_, failure)| *failure);
        let failure = planned.or(lasting)?;
        self.tripped += 1;
        if failure.lasting {
            self.lasting = Some((step, failure));
        }
        Some(failure)
    }
}
