//! What a vCPU tells the host when it stops, in a page the host shares with the hypervisor.
//!
//! The host may change the page at any moment. The hypervisor writes it after the vCPU stopped and
//! reads each field of the host's reply once, before the vCPU runs again.

use crate::error::Error;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Why a vCPU stopped: x2 of `VCPU_RUN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The guest touched an address that has no mapping: memory to give, or a device to emulate.
    Memory,
    /// The guest asked to be powered off.
    SystemOff,
    /// An interrupt for the host arrived.
    Interrupt,
    /// The VM has no table page left: top it up and run again.
    NeedTables,
    /// The guest did what this hypervisor does not emulate; see the syndrome.
    Unhandled,
    /// The guest gave the page at `address` back.
    Relinquished,
}

impl StopReason {
    /// Every reason; the wire value is the place in this list.
    pub const ALL: [Self; 6] =
        [Self::Memory, Self::SystemOff, Self::Interrupt, Self::NeedTables, Self::Unhandled, Self::Relinquished];

    /// The value on the wire.
    pub const fn to_raw(self) -> u64 {
        self as u64
    }

    /// The reason a wire value names.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a value that names none.
    pub fn from_raw(raw: u64) -> Result<Self, Error> {
        usize::try_from(raw).ok().and_then(|i| Self::ALL.get(i)).copied().ok_or(Error::Invalid)
    }
}

/// What the host did about the stop, read when the vCPU runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReply {
    /// Memory was given or nothing is to be done: execute the instruction again.
    Again,
    /// The device access is complete: for a load, `value` goes into the guest's register.
    Complete,
    /// There is nothing at that address: the guest takes a synchronous external abort.
    Abort,
}

impl StopReply {
    /// The value on the wire.
    pub const fn to_raw(self) -> u64 {
        self as u64
    }

    /// The reply a wire value names.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a value that names none.
    pub const fn from_raw(raw: u64) -> Result<Self, Error> {
        match raw {
            0 => Ok(Self::Again),
            1 => Ok(Self::Complete),
            2 => Ok(Self::Abort),
            _ => Err(Error::Invalid),
        }
    }
}

/// The shared page's first bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RunPage {
    /// Offset 0, hypervisor to host: [`StopReason`].
    pub reason: u64,
    /// Offset 8, hypervisor to host: guest-physical byte address of the access.
    pub address: u64,
    /// Offset 16: the stored value (a store, to the host); the loaded one (a load, from the host).
    pub value: u64,
    /// Offset 24, hypervisor to host: bytes accessed, 0 if the access cannot be emulated.
    pub size: u64,
    /// Offset 32, hypervisor to host: 1 for a store.
    pub write: u64,
    /// Offset 40, host to hypervisor: [`StopReply`].
    pub reply: u64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<RunPage>() == 48);
    assert!(offset_of!(RunPage, address) == 8 && offset_of!(RunPage, value) == 16);
    assert!(offset_of!(RunPage, size) == 24 && offset_of!(RunPage, write) == 32);
    assert!(offset_of!(RunPage, reply) == 40);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_and_replies_survive_the_wire() {
        for reason in StopReason::ALL {
            assert_eq!(StopReason::from_raw(reason.to_raw()), Ok(reason));
        }
        assert_eq!(StopReason::from_raw(6), Err(Error::Invalid));
        assert_eq!(StopReason::from_raw(u64::MAX), Err(Error::Invalid));
        for reply in [StopReply::Again, StopReply::Complete, StopReply::Abort] {
            assert_eq!(StopReply::from_raw(reply.to_raw()), Ok(reply));
        }
        assert_eq!(StopReply::from_raw(3), Err(Error::Invalid));
    }
}
