//! Exits of a vCPU that are about memory, read from a copy of the page it shares with the kernel.
//!
//! `KVM_RUN` that fails does not say that the page holds nothing: a memory fault comes with `EFAULT` or `EHWPOISON`, and the
//! reason that stands in the page counts only then. With `EFAULT` a reason of 0 means an address of user space that is not
//! mapped; with any other errno the reason is left from an earlier exit (`Documentation/virt/kvm/api.rst`, 4.10 and 5).

use crate::faults::Fault;
use tenure_abi::gmem::{ExitReason, FaultFlags, HypercallExit, MapGpaRange, MemoryFaultExit, RunPage, hypercall};
use tenure_abi::{Errno, Visibility};
use zerocopy::{FromBytes, IntoBytes};

/// What one `KVM_RUN` came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// The guest accessed memory as what it is not, or nothing backs it: see [`crate::convert::Front::fault`].
    MemoryFault(Fault),
    /// The guest touched memory that the machine has lost.
    Poisoned(Fault),
    /// The guest asks for a conversion: see [`crate::convert::Front::answer`]. The reply belongs at
    /// [`RunPage::HYPERCALL_REPLY`].
    MapGpaRange(MapGpaRange),
    /// A slot's address of user space is not mapped.
    BadAddress,
    /// A signal arrived.
    Interrupted,
    /// Another exit, of which this module knows nothing.
    Exit(ExitReason),
    /// `KVM_RUN` failed for a reason that has nothing to do with memory.
    Failed(Errno),
}

impl Ran {
    /// What `result`, the errno of `KVM_RUN`, and `page`, a copy of the vCPU's page made after it, say together.
    pub fn of(result: Result<(), Errno>, page: &RunPage) -> Self {
        let reason = ExitReason(page.exit_reason);
        match (result, reason) {
            (Ok(()), ExitReason::HYPERCALL) => asked(page),
            (Ok(()), ExitReason::INTR) | (Err(Errno::EINTR), _) => Self::Interrupted,
            (Ok(()), reason) => Self::Exit(reason),
            (Err(errno @ (Errno::EFAULT | Errno::EHWPOISON)), ExitReason::MEMORY_FAULT) => match fault(page) {
                Some(fault) if errno == Errno::EFAULT => Self::MemoryFault(fault),
                Some(fault) => Self::Poisoned(fault),
                None => Self::Failed(errno),
            },
            (Err(Errno::EFAULT), ExitReason(0)) => Self::BadAddress,
            (Err(errno), _) => Self::Failed(errno),
        }
    }
}

/// `None` if it has a flag that nobody has defined: what such a fault is about, nobody knows.
fn fault(page: &RunPage) -> Option<Fault> {
    // The payload is larger, so there is always a prefix.
    let (exit, _) = MemoryFaultExit::read_from_prefix(page.payload.as_bytes()).unwrap_or_default();
    let private = FaultFlags::from_bits(exit.flags)?.contains(FaultFlags::PRIVATE);
    let access = if private { Visibility::Private } else { Visibility::Shared };
    Some(Fault { gpa: exit.gpa, size: exit.size, access })
}

fn asked(page: &RunPage) -> Ran {
    let (exit, _) = HypercallExit::read_from_prefix(page.payload.as_bytes()).unwrap_or_default();
    let [gpa, pages, attributes, ..] = exit.arguments;
    match exit.number {
        hypercall::MAP_GPA_RANGE => Ran::MapGpaRange(MapGpaRange { gpa, pages, attributes }),
        _ => Ran::Exit(ExitReason::HYPERCALL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(reason: ExitReason, payload: &[u64]) -> RunPage {
        let mut page = RunPage { exit_reason: reason.0, ..RunPage::default() };
        page.payload[..payload.len()].copy_from_slice(payload);
        page
    }

    #[test]
    fn a_memory_fault_counts_with_its_two_errnos_only() {
        let page = page(ExitReason::MEMORY_FAULT, &[8, 0x5000, 0x1000]);
        let fault = Fault { gpa: 0x5000, size: 0x1000, access: Visibility::Private };
        assert_eq!(Ran::of(Err(Errno::EFAULT), &page), Ran::MemoryFault(fault));
        assert_eq!(Ran::of(Err(Errno::EHWPOISON), &page), Ran::Poisoned(fault));
        assert_eq!(Ran::of(Err(Errno::EINTR), &page), Ran::Interrupted);
        assert_eq!(Ran::of(Err(Errno::EIO), &page), Ran::Failed(Errno::EIO));
        assert_eq!(Ran::of(Ok(()), &page), Ran::Exit(ExitReason::MEMORY_FAULT));
    }

    #[test]
    fn a_bad_address_and_a_stale_reason_are_told_apart() {
        assert_eq!(Ran::of(Err(Errno::EFAULT), &page(ExitReason(0), &[])), Ran::BadAddress);
        assert_eq!(Ran::of(Err(Errno::EFAULT), &page(ExitReason::MMIO, &[])), Ran::Failed(Errno::EFAULT));
    }

    #[test]
    fn a_flag_that_nobody_has_defined_is_no_fault_that_anybody_understands() {
        for flags in [1, 9, 1 << 63] {
            let page = page(ExitReason::MEMORY_FAULT, &[flags, 0, 0x1000]);
            assert_eq!(Ran::of(Err(Errno::EFAULT), &page), Ran::Failed(Errno::EFAULT), "{flags:#x}");
        }
    }

    #[test]
    fn one_hypercall_is_about_memory() {
        let asked = MapGpaRange { gpa: 0x10_0000, pages: 3, attributes: 0x10 };
        assert_eq!(Ran::of(Ok(()), &page(ExitReason::HYPERCALL, &[12, 0x10_0000, 3, 0x10])), Ran::MapGpaRange(asked));
        assert_eq!(Ran::of(Ok(()), &page(ExitReason::HYPERCALL, &[11, 1, 2, 3])), Ran::Exit(ExitReason::HYPERCALL));
        assert_eq!(Ran::of(Ok(()), &page(ExitReason::INTR, &[])), Ran::Interrupted);
        assert_eq!(Ran::of(Ok(()), &page(ExitReason::HLT, &[])), Ran::Exit(ExitReason::HLT));
    }
}
