//! What can be checked against the specification.

use crate::op::Op;
use crate::spec::{Answer, Machine, Spec};
use tenure_abi::{Error, Gfn, PageState, Pfn, VmSlot};

/// An implementation of page ownership, or a part of one.
pub trait Subject {
    /// The machine it tracks, as far as calls may touch it.
    fn machine(&self) -> Machine;

    /// Whether it can be asked for `op`; otherwise the call is left out.
    fn takes(&self, op: Op, spec: &Spec) -> bool;

    /// Whether the specification makes a call that the subject cannot be asked for.
    fn follows(&self, op: Op) -> bool;

    /// The specification made a call that the subject was not asked for.
    fn learn(&mut self, op: Op);

    /// Makes a call. `spec` is the state before it.
    ///
    /// # Errors
    /// As the interface answers it.
    fn call(&mut self, op: Op, spec: &Spec) -> Answer;

    /// Whether a call may be refused for want of memory.
    fn may_lack_memory(&self) -> bool;

    /// The name of a difference between two refusals, or two successes, that is the subject's choice.
    fn chooses(&self, op: Op, spec: &Answer, subject: &Answer) -> Option<&'static str>;

    /// The state of a page.
    ///
    /// # Errors
    /// If the page is in work, which in lock-step it never is.
    fn state(&self, pfn: Pfn) -> Result<PageState, Error>;

    /// Where the reverse map says that a guest's page is seen.
    fn seen_at(&self, pfn: Pfn) -> Option<(VmSlot, Gfn)>;

    /// Whether the host gets through when it touches the page; `None` if there is no host that could try.
    fn host_touches(&self, pfn: Pfn) -> Option<bool>;

    /// Everything else that can be compared or audited.
    ///
    /// # Errors
    /// The first difference, in words.
    fn audit(&self, spec: &Spec) -> Result<(), String>;
}
