//! `KVM_HC_MAP_GPA_RANGE`: what KVM answers by itself, and what it passes on to the VMM.

use super::host::Kind;
use super::vm::Vm;
use crate::gmem::nodes::Nodes;
use tenure_abi::gmem::{Capability, EnableCapability, HypercallExit, MapGpaReply, hypercall};
use tenure_abi::{Errno, PAGE_SHIFT, PAGE_SIZE};

/// `KVM_ENOSYS`: what a guest gets, negated, for a hypercall that is not there. It is no errno.
pub const KVM_ENOSYS: u64 = 1000;

/// What becomes of a hypercall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hypercall {
    /// The guest gets this at once.
    Reply(u64),
    /// The VMM is asked; its reply goes through [`Vm::hypercall_reply`].
    Exit(HypercallExit),
}

impl<N: Nodes, const SLOTS: usize> Vm<N, SLOTS> {
    /// `KVM_ENABLE_CAP`: of the capabilities known here only [`Capability::EXIT_HYPERCALL`] can be enabled, with the hypercalls
    /// to pass on as its first argument.
    ///
    /// # Errors
    /// `EINVAL` for any other, for flags, and for hypercalls that cannot be passed on.
    pub fn enable(&mut self, asked: &EnableCapability) -> Result<(), Errno> {
        let exits = asked.arguments[0];
        let known = Capability(asked.capability) == Capability::EXIT_HYPERCALL && asked.flags == 0;
        if !known || exits & !(1 << hypercall::MAP_GPA_RANGE) != 0 {
            return Err(Errno::EINVAL);
        }
        self.exits = exits;
        Ok(())
    }

    /// A guest's hypercall; `long` if it is in 64-bit mode, else every word of it has 32 bits.
    ///
    /// Attributes, and whether there is memory, are for the VMM to judge.
    pub fn hypercall(&self, number: u64, arguments: [u64; 3], long: bool) -> Hypercall {
        let width = |word: u64| if long { word } else { word & u64::from(u32::MAX) };
        let number = width(number);
        let [gpa, count, attributes] = arguments.map(width);
        if number != hypercall::MAP_GPA_RANGE || self.exits >> hypercall::MAP_GPA_RANGE & 1 == 0 {
            return Hypercall::Reply(width(KVM_ENOSYS.wrapping_neg()));
        }
        let wraps = (gpa >> PAGE_SHIFT).checked_add(count).is_none();
        if count == 0 || wraps || !gpa.is_multiple_of(PAGE_SIZE) {
            return Hypercall::Reply(width(MapGpaReply::Invalid.to_raw().wrapping_neg()));
        }
        Hypercall::Exit(HypercallExit {
            number,
            arguments: [gpa, count, attributes, 0, 0, 0],
            reply: 0,
            flags: long.into(),
        })
    }

    /// What the guest gets for the VMM's reply: for SNP and TDX the meaning of one of [`MapGpaReply`], for other guests the
    /// very word.
    ///
    /// # Errors
    /// `EINVAL` from the next `KVM_RUN`, for any other reply to an SNP or TDX guest.
    pub fn hypercall_reply(&self, reply: u64, long: bool) -> Result<u64, Errno> {
        let allowed = MapGpaReply::ALL.iter().any(|one| one.to_raw() == reply);
        match self.kind {
            Kind::Snp | Kind::Tdx if !allowed => Err(Errno::EINVAL),
            _ if long => Ok(reply),
            _ => Ok(reply & u64::from(u32::MAX)),
        }
    }
}
