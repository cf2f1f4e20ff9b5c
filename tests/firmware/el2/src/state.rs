//! The EL1 registers that belong to whoever runs: moved on a switch between host and guest, never on a
//! hypercall that EL2 answers itself.

use firmware_board::{read_reg, write_reg};

/// `SCTLR_EL1` of a CPU that starts: the RES1 bits; MMU and caches off.
pub(crate) const SCTLR_EL1_RESET: u64 = 0x30d0_0800;

macro_rules! el1_state {
    ($($(#[$doc:meta])* $field:ident),* $(,)?) => {
        /// The registers, by name.
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub(crate) struct El1State { $($(#[$doc])* pub(crate) $field: u64),* }

        impl El1State {
            /// All registers zero but `SCTLR_EL1`.
            pub(crate) const RESET: Self = Self { sctlr_el1: SCTLR_EL1_RESET, ..Self { $($field: 0),* } };

            /// Reads the live registers.
            pub(crate) fn save(&mut self) {
                $(self.$field = read_reg!(stringify!($field));)*
            }

            /// Makes these the live registers.
            ///
            /// # Safety
            /// The EL1 world they belong to is the next to run; no register here acts on EL2.
            pub(crate) unsafe fn load(&self) {
                // SAFETY: at EL2 (E2H clear) the EL1&0 regime is out of context: nothing here translates or
                // traps code that runs now. The entry's ERET orders the writes before the next world.
                unsafe { $(write_reg!(stringify!($field), self.$field);)* }
            }
        }
    };
}

el1_state! {
    sp_el0, sp_el1, elr_el1, spsr_el1, sctlr_el1, cpacr_el1,
    ttbr0_el1, ttbr1_el1, tcr_el1, mair_el1, amair_el1, contextidr_el1,
    vbar_el1, esr_el1, far_el1, afsr0_el1, afsr1_el1, par_el1,
    tpidr_el0, tpidr_el1, tpidrro_el0,
    cntkctl_el1, mdscr_el1, csselr_el1,
}
