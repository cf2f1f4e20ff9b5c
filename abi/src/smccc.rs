//! The SMC Calling Convention (Arm DEN 0028): function identifiers and return codes.
//!
//! | bits of a function identifier | meaning |
//! |---|---|
//! | 31 | 1: fast call |
//! | 30 | 1: 64-bit convention |
//! | 24..=29 | owning service; 6 is the vendor-specific hypervisor service |
//! | 16 | SVE hint, not part of the number |
//! | 0..=15 | function number |

/// `SUCCESS`.
pub const SUCCESS: i64 = 0;
/// `NOT_SUPPORTED`.
pub const NOT_SUPPORTED: i64 = -1;
/// `NOT_REQUIRED`.
pub const NOT_REQUIRED: i64 = -2;
/// `INVALID_PARAMETER`.
pub const INVALID_PARAMETER: i64 = -3;

const FAST: u32 = 1 << 31;
const CONVENTION_64: u32 = 1 << 30;
const VENDOR_HYP: u32 = 6 << 24;
const SVE_HINT: u32 = 1 << 16;

/// A 64-bit fast call of the vendor-specific hypervisor service.
pub const fn vendor_hyp64(number: u16) -> u32 {
    FAST | CONVENTION_64 | VENDOR_HYP | number as u32
}

/// A 32-bit fast call of the vendor-specific hypervisor service.
pub const fn vendor_hyp32(number: u16) -> u32 {
    FAST | VENDOR_HYP | number as u32
}

/// `CALL_UID` of the vendor-specific hypervisor service: who answers here?
pub const VENDOR_HYP_CALL_UID: u32 = vendor_hyp32(0xff01);

/// The function identifier in x0: its low 32 bits without the SVE hint.
pub const fn function(x0: u64) -> u32 {
    x0 as u32 & !SVE_HINT
}

/// PSCI calls that a hypervisor relays or answers (Arm DEN 0022).
pub mod psci {
    /// `PSCI_VERSION`.
    pub const VERSION: u32 = 0x8400_0000;
    /// `CPU_OFF`.
    pub const CPU_OFF: u32 = 0x8400_0002;
    /// `CPU_ON`, 64-bit: x1 MPIDR, x2 entry address, x3 context.
    pub const CPU_ON_64: u32 = 0xc400_0003;
    /// `SYSTEM_OFF`.
    pub const SYSTEM_OFF: u32 = 0x8400_0008;
    /// `SYSTEM_RESET`.
    pub const SYSTEM_RESET: u32 = 0x8400_0009;
    /// `INVALID_PARAMETERS`.
    pub const INVALID_PARAMETERS: i64 = -2;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_the_documented_numbers() {
        assert_eq!(vendor_hyp64(3), 0xc600_0003);
        assert_eq!(vendor_hyp32(0), 0x8600_0000);
        assert_eq!(VENDOR_HYP_CALL_UID, 0x8600_ff01);
        assert_eq!(function(0xdead_beef_c601_0003), 0xc600_0003);
    }
}
