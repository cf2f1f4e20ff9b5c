//! Why a vCPU stopped, decoded from a copy of its run page.
//!
//! The page is shared with the kernel; it is copied first and read afterwards, and an [`Exit`] borrows
//! nothing, so the vCPU can run again while its last exit is still being handled.

use super::wire;
use crate::faults::Fault;
use tenure_abi::gmem::{ExitReason, MmioExit, RunPage};
use zerocopy::{FromBytes, IntoBytes};

/// Why a vCPU stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The guest loaded from an address without memory: answer with [`Resume::Loaded`].
    MmioLoad {
        /// Guest-physical address in bytes.
        ipa: u64,
        /// 1, 2, 4 or 8 bytes.
        len: u8,
    },
    /// The guest stored to an address without memory.
    MmioStore {
        /// Guest-physical address in bytes.
        ipa: u64,
        /// 1, 2, 4 or 8 bytes.
        len: u8,
        /// What it stored, zero-extended.
        value: u64,
    },
    /// The guest touched an address without memory by an instruction that the hardware does not describe.
    Undescribed {
        /// The instruction-specific syndrome.
        syndrome: u64,
        /// Guest-physical address in bytes.
        ipa: u64,
    },
    /// The guest accessed memory as what it is not, or nothing backs it: see [`crate::convert::Front::fault`].
    MemoryFault(Fault),
    /// The guest touched memory that the machine has lost.
    Poisoned(Fault),
    /// The guest asked for a change of the whole system.
    System(SystemEvent),
    /// A signal arrived: run again or not, as the caller likes.
    Interrupted,
    /// The kernel could not enter the guest, or lost its way.
    Broken {
        /// `KVM_EXIT_*`.
        reason: u32,
        /// The first word the kernel gave with it.
        detail: u64,
    },
    /// An exit this client has no name for.
    Other {
        /// `KVM_EXIT_*`.
        reason: u32,
    },
}

/// What the guest asked for through PSCI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemEvent {
    /// `SYSTEM_OFF`, with the kernel's flags.
    Shutdown(u64),
    /// `SYSTEM_RESET`, with the kernel's flags.
    Reset(u64),
    /// Another `KVM_SYSTEM_EVENT_*`.
    Other(u32),
}

/// How a vCPU goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Nothing is owed to it.
    Plain,
    /// This is what its load found, in the low bytes.
    Loaded(u64),
}

impl Exit {
    /// What a run page says after a `KVM_RUN` that succeeded.
    pub(super) fn decode(page: &RunPage) -> Self {
        let [first, second, ..] = page.payload;
        match ExitReason(page.exit_reason) {
            ExitReason::MMIO => mmio(page),
            ExitReason::INTR => Self::Interrupted,
            ExitReason::SYSTEM_EVENT => Self::System(system(page)),
            ExitReason::ARM_NISV => Self::Undescribed { syndrome: first, ipa: second },
            why @ (ExitReason::FAIL_ENTRY | ExitReason::INTERNAL_ERROR) => {
                Self::Broken { reason: why.0, detail: first }
            }
            ExitReason(reason) => Self::Other { reason },
        }
    }
}

fn mmio(page: &RunPage) -> Exit {
    // The payload is larger, so there is always a prefix.
    let (mmio, _) = MmioExit::read_from_prefix(page.payload.as_bytes()).unwrap_or_default();
    let ipa = mmio.phys_addr;
    let len = mmio.len.min(8) as u8;
    if mmio.is_write == 0 {
        return Exit::MmioLoad { ipa, len };
    }
    let mask = u64::MAX.checked_shr(64 - u32::from(len) * 8).unwrap_or(0);
    Exit::MmioStore { ipa, len, value: u64::from_le_bytes(mmio.data) & mask }
}

fn system(page: &RunPage) -> SystemEvent {
    let (event, _) = wire::SystemEventExit::read_from_prefix(page.payload.as_bytes()).unwrap_or_default();
    let [flags, ..] = event.data;
    let flags = if event.ndata == 0 { 0 } else { flags };
    match event.kind {
        1 => SystemEvent::Shutdown(flags),
        2 => SystemEvent::Reset(flags),
        kind => SystemEvent::Other(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(reason: u32, payload: [u64; 4]) -> Exit {
        let mut page = RunPage { exit_reason: reason, ..RunPage::default() };
        page.payload[..4].copy_from_slice(&payload);
        Exit::decode(&page)
    }

    #[test]
    fn a_store_carries_only_the_bytes_it_stored() {
        let data = 0x8877_6655_4433_2211;
        for (len, value) in [(1, 0x11), (2, 0x2211), (4, 0x4433_2211), (8, data)] {
            let exit = run(6, [0x900_0000, data, 1 << 32 | len, 0]);
            assert_eq!(exit, Exit::MmioStore { ipa: 0x900_0000, len: len as u8, value });
        }
        assert_eq!(run(6, [0x900_0000, data, 4, 0]), Exit::MmioLoad { ipa: 0x900_0000, len: 4 });
        assert_eq!(run(6, [0, data, 1 << 32, 0]), Exit::MmioStore { ipa: 0, len: 0, value: 0 });
    }

    #[test]
    fn events_and_failures_are_told_apart() {
        assert_eq!(run(24, [1 << 32 | 1, 7, 0, 0]), Exit::System(SystemEvent::Shutdown(7)));
        assert_eq!(run(24, [1, 7, 0, 0]), Exit::System(SystemEvent::Shutdown(0)));
        assert_eq!(run(24, [2, 0, 0, 0]), Exit::System(SystemEvent::Reset(0)));
        assert_eq!(run(24, [9, 0, 0, 0]), Exit::System(SystemEvent::Other(9)));
        assert_eq!(run(28, [5, 6, 0, 0]), Exit::Undescribed { syndrome: 5, ipa: 6 });
        assert_eq!(run(10, [0; 4]), Exit::Interrupted);
        assert_eq!(run(17, [3, 0, 0, 0]), Exit::Broken { reason: 17, detail: 3 });
        assert_eq!(run(99, [0; 4]), Exit::Other { reason: 99 });
    }
}
