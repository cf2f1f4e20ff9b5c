//! Why a CPU came to EL2 (`ESR_EL2` and its friends), and what EL1 is told instead.
//!
//! | `ESR` bits | field | meaning |
//! |---|---|---|
//! | 26..=31 | `EC` | exception class |
//! | 25 | `IL` | 32-bit instruction |
//! | 24 | `ISV` | data abort: bits 14..=23 describe the access |
//! | 22..=23 | `SAS` | log2 of its bytes |
//! | 21 | `SSE` | its value is sign-extended |
//! | 16..=20 | `SRT` | its register |
//! | 15 | `SF` | the register is 64 bits wide |
//! | 10 | `FnV` | `FAR` is not valid |
//! | 8 | `CM` | cache maintenance: neither load nor store |
//! | 7 | `S1PTW` | the fault is on a walk of the stage-1 tables |
//! | 6 | `WnR` | a store |
//! | 0..=5 | `DFSC`, `IFSC` | kind and level of the fault |
//!
//! Decoding is total. Source: Arm ARM DDI 0487, `ESR_ELx`, `HPFAR_EL2`, `AArch64.TakeException`.

use tenure_abi::PAGE_SIZE;

const EC_SHIFT: u32 = 26;
const IL: u64 = 1 << 25;
const ISV: u64 = 1 << 24;
const FNV: u64 = 1 << 10;
const CM: u64 = 1 << 8;
const S1PTW: u64 = 1 << 7;
const WNR: u64 = 1 << 6;
const EC_INSTRUCTION_ABORT: u64 = 0x20;
const EC_DATA_ABORT: u64 = 0x24;
/// `DFSC` of a synchronous external abort that is not on a walk.
const EXTERNAL: u64 = 0x10;

/// `ESR_EL2` of an exception.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Syndrome(pub u64);

/// What kind of exception it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// WFI, WFE, WFIT or WFET.
    Wait,
    /// Floating point or vector instruction.
    Simd,
    /// `HVC` with this immediate.
    Hvc(u16),
    /// `SMC` with this immediate.
    Smc(u16),
    /// `MRS`, `MSR` or `SYS`.
    SystemRegister,
    /// A fetch from EL1 or EL0 aborted.
    InstructionAbort(Abort),
    /// A load or store of EL1 or EL0 aborted.
    DataAbort(Abort),
    /// Anything else: its exception class.
    Other(u8),
}

/// What aborted, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort {
    /// Why.
    pub fault: Fault,
    /// Whether it is a store. A walk or cache maintenance is none.
    pub write: bool,
    /// Whether it is a walk of the stage-1 tables.
    pub stage1_walk: bool,
    /// The access, where the CPU describes it: what is needed to emulate a device.
    pub access: Option<Access>,
}

/// One load or store of one general register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// 1, 2, 4 or 8.
    pub bytes: u8,
    /// 0..=31; 31 is the zero register.
    pub register: u8,
    /// A load extends the sign.
    pub sign_extend: bool,
    /// The register is 64 bits wide.
    pub wide: bool,
}

/// Why an access aborted, and at which level of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An address is too wide.
    AddressSize(u8),
    /// No mapping.
    Translation(u8),
    /// The access flag is clear.
    AccessFlag(u8),
    /// The mapping does not allow it.
    Permission(u8),
    /// The memory system refused.
    External,
    /// Not aligned.
    Alignment,
    /// Anything else: the fault status code.
    Other(u8),
}

impl Syndrome {
    /// The exception class.
    #[inline]
    pub const fn ec(self) -> u8 {
        (self.0 >> EC_SHIFT) as u8 & 0x3f
    }

    /// Everything it says.
    pub const fn class(self) -> Class {
        match self.ec() {
            0x01 => Class::Wait,
            0x07 => Class::Simd,
            0x16 => Class::Hvc(self.0 as u16),
            0x17 => Class::Smc(self.0 as u16),
            0x18 => Class::SystemRegister,
            0x20 => Class::InstructionAbort(self.abort(false)),
            0x24 => Class::DataAbort(self.abort(true)),
            other => Class::Other(other),
        }
    }

    const fn abort(self, data: bool) -> Abort {
        let stage1_walk = self.0 & S1PTW != 0;
        Abort {
            fault: self.fault(),
            write: data && self.0 & WNR != 0 && self.0 & CM == 0 && !stage1_walk,
            stage1_walk,
            access: if data { self.access() } else { None },
        }
    }

    const fn fault(self) -> Fault {
        let code = self.0 as u8 & 0x3f;
        let level = code & 3;
        match code {
            0x00..=0x03 => Fault::AddressSize(level),
            0x04..=0x07 => Fault::Translation(level),
            0x08..=0x0b => Fault::AccessFlag(level),
            0x0c..=0x0f => Fault::Permission(level),
            0x10 | 0x14..=0x17 => Fault::External,
            0x21 => Fault::Alignment,
            other => Fault::Other(other),
        }
    }

    const fn access(self) -> Option<Access> {
        if self.0 & ISV == 0 {
            return None;
        }
        Some(Access {
            bytes: 1 << (self.0 >> 22 & 3),
            register: (self.0 >> 16) as u8 & 0x1f,
            sign_extend: self.0 & 1 << 21 != 0,
            wide: self.0 & 1 << 15 != 0,
        })
    }

    /// The guest-physical byte address of a stage-2 abort, from `HPFAR_EL2` and `FAR_EL2`.
    ///
    /// `None` where the CPU does not say: a permission fault that is not on a walk leaves `HPFAR_EL2`
    /// unknown, as does anything but a stage-2 fault. For a walk the offset in the page is unknown, 0
    /// here, because `FAR_EL2` holds the address of the access that needed the walk.
    pub const fn ipa(self, hpfar: u64, far: u64) -> Option<u64> {
        let (Class::DataAbort(abort) | Class::InstructionAbort(abort)) = self.class() else {
            return None;
        };
        let known = match abort.fault {
            Fault::Translation(_) | Fault::AccessFlag(_) | Fault::AddressSize(_) => true,
            Fault::Permission(_) => abort.stage1_walk,
            _ => false,
        };
        if !known {
            return None;
        }
        // FIPA: bits 4..=43 hold address bits 12..=51.
        let page = (hpfar & ((1 << 44) - 0x10)) << 8;
        let offset = if abort.stage1_walk || self.0 & FNV != 0 { 0 } else { far & (PAGE_SIZE - 1) };
        Some(page | offset)
    }

    /// This abort as EL1 sees it when the hypervisor will not map the page: the class names the level
    /// it came from, and `S1PTW` marks it as pKVM does, by which the host kernel knows it. `None` if it
    /// is no abort.
    pub const fn reflected(self, spsr: u64) -> Option<u64> {
        match self.class() {
            Class::DataAbort(_) | Class::InstructionAbort(_) => {
                let ec = (self.ec() as u64) | came_from_el1(spsr) as u64;
                Some(self.0 & !(0x3f << EC_SHIFT) | ec << EC_SHIFT | S1PTW)
            }
            _ => None,
        }
    }

    /// This abort as a synchronous external abort for EL1: there is nothing at that address. A data
    /// abort unless it was a fetch.
    pub const fn external(self, spsr: u64) -> u64 {
        let class = match self.class() {
            Class::InstructionAbort(_) => EC_INSTRUCTION_ABORT,
            _ => EC_DATA_ABORT,
        };
        (class | came_from_el1(spsr) as u64) << EC_SHIFT | IL | EXTERNAL
    }

    /// The `ESR_EL1` of an undefined instruction.
    pub const UNDEFINED: Self = Self(IL);
}

impl core::fmt::Debug for Syndrome {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Syndrome({:#x}: {:?})", self.0, self.class())
    }
}

/// `PSTATE` of an exception handler at EL1: `SP_EL1`, everything masked.
pub const EL1H_MASKED: u64 = 0x3c5;

const fn came_from_el1(spsr: u64) -> bool {
    spsr & 0x1f == 0b00100 || spsr & 0x1f == 0b00101
}

/// Where in EL1's vector table a synchronous exception arrives that interrupts `spsr`.
pub const fn vector_offset(spsr: u64) -> u64 {
    match spsr & 0x1f {
        0b00100 => 0x000,
        0b00101 => 0x200,
        mode if mode & 0x10 == 0 => 0x400,
        _ => 0x600,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EL1H: u64 = 0x3c5;
    const EL0: u64 = 0x3c0;

    #[test]
    fn calls_carry_their_immediate() {
        assert_eq!(Syndrome(0x5a00_0000).class(), Class::Hvc(0));
        assert_eq!(Syndrome(0x5a00_1234).class(), Class::Hvc(0x1234));
        assert_eq!(Syndrome(0x5e00_0001).class(), Class::Smc(1));
    }

    #[test]
    fn a_store_to_a_device_names_register_and_size() {
        // STR W3 with a level-1 translation fault, ISV set.
        let s = Syndrome(0x24 << 26 | IL | ISV | 2 << 22 | 3 << 16 | WNR | 0x05);
        let Class::DataAbort(abort) = s.class() else { panic!("{s:?}") };
        let access = Access { bytes: 4, register: 3, sign_extend: false, wide: false };
        assert_eq!(
            abort,
            Abort { fault: Fault::Translation(1), write: true, stage1_walk: false, access: Some(access) }
        );
        assert_eq!(s.ipa(0x9_0000, 0xffff_0000_0000_0018), Some(0x0900_0018));
    }

    #[test]
    fn maintenance_and_walks_are_no_stores() {
        for extra in [CM, S1PTW] {
            let Class::DataAbort(abort) = Syndrome(0x24 << 26 | WNR | extra | 0x07).class() else { panic!() };
            assert!(!abort.write && abort.access.is_none());
        }
    }

    #[test]
    fn every_class_and_status_code_decodes() {
        for ec in 0..64u64 {
            for code in 0..64u64 {
                let class = Syndrome(ec << EC_SHIFT | code).class();
                match (ec, class) {
                    (0x01, Class::Wait)
                    | (0x07, Class::Simd)
                    | (0x16, Class::Hvc(_))
                    | (0x17, Class::Smc(_))
                    | (0x18, Class::SystemRegister) => {}
                    (0x20, Class::InstructionAbort(abort)) | (0x24, Class::DataAbort(abort)) => {
                        let level = (code & 3) as u8;
                        let expected = match code {
                            0..4 => Fault::AddressSize(level),
                            4..8 => Fault::Translation(level),
                            8..12 => Fault::AccessFlag(level),
                            12..16 => Fault::Permission(level),
                            16 | 20..24 => Fault::External,
                            33 => Fault::Alignment,
                            _ => Fault::Other(code as u8),
                        };
                        assert_eq!(abort.fault, expected);
                    }
                    (_, Class::Other(other)) => assert_eq!(u64::from(other), ec),
                    (_, class) => panic!("{ec:#x}: {class:?}"),
                }
            }
        }
    }

    #[test]
    fn an_unknown_address_is_not_made_up() {
        let abort = |low| Syndrome(0x24 << EC_SHIFT | low);
        assert_eq!(abort(0x0f).ipa(0x100, 0x123), None);
        assert_eq!(abort(0x10).ipa(0x100, 0x123), None);
        assert_eq!(abort(0x0f | S1PTW).ipa(0x100, 0x123), Some(0x1_0000));
        assert_eq!(abort(0x07 | FNV).ipa(0x100, 0x123), Some(0x1_0000));
        // NS and the reserved low bits are no address.
        assert_eq!(abort(0x07).ipa(1 << 63 | 0x10f, 0x123), Some(0x1_0123));
        assert_eq!(Syndrome(0x5a00_0000).ipa(0x100, 0), None);
    }

    #[test]
    fn injected_aborts_name_the_level_they_came_from() {
        // What a guest of Linux 7.3 saw for an address without memory: 0x96000010.
        let hvc = Syndrome(0x5a00_0000);
        assert_eq!((hvc.external(EL1H), hvc.external(EL0)), (0x9600_0010, 0x9200_0010));
        let fetch = Syndrome(0x8200_0007);
        assert_eq!((fetch.external(EL1H), fetch.external(EL0)), (0x8600_0010, 0x8200_0010));
        let load = Syndrome(0x9200_0007);
        assert_eq!((load.reflected(EL1H), load.reflected(EL0)), (Some(0x9600_0087), Some(0x9200_0087)));
        assert_eq!(hvc.reflected(EL1H), None);
    }

    #[test]
    fn exceptions_arrive_at_the_vector_of_their_mode() {
        let offsets = [0x3c4, 0x3c5, 0x3c0, 0x1d0].map(vector_offset);
        assert_eq!(offsets, [0x000, 0x200, 0x400, 0x600]);
    }
}
