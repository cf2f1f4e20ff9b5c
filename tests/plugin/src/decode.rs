//! Which instruction words matter (Arm ARM, C6.2: HVC, DSB, SYS with the TLBI operations).

/// What an instruction is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A hypercall.
    Hvc,
    /// Invalidates TLB entries.
    Tlbi,
    /// A barrier for other observers too.
    Dsb,
    /// A barrier for this CPU only.
    DsbNsh,
    /// Anything else.
    Plain,
}

impl Kind {
    /// Reads an instruction word.
    pub(crate) const fn of(word: u32) -> Self {
        if word & 0xffe0_001f == 0xd400_0002 {
            return Self::Hvc;
        }
        // SYS #op1, C8, Cm, #op2, Xt; the nXS forms use C9.
        if word & 0xfff8_f000 == 0xd508_8000 || word & 0xfff8_f000 == 0xd508_9000 {
            return Self::Tlbi;
        }
        // DSB with CRm: 0b01xx is the non-shareable domain. CRm 0 and 4 are SSBB and PSSBB, which wait for nothing else.
        match (word & 0xffff_f0ff == 0xd503_309f, (word >> 8) & 0xf) {
            (true, 0 | 4) | (false, _) => Self::Plain,
            (true, 5..=7) => Self::DsbNsh,
            (true, _) => Self::Dsb,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_what_the_assembler_means() {
        let words = [
            (0xd400_0002, Kind::Hvc),    // hvc #0
            (0xd400_0003, Kind::Plain),  // smc #0
            (0xd50c_8427, Kind::Tlbi),   // tlbi ipas2e1, x7
            (0xd50c_8020, Kind::Tlbi),   // tlbi ipas2e1is, x0
            (0xd508_831f, Kind::Tlbi),   // tlbi vmalle1is
            (0xd50c_8327, Kind::Tlbi),   // tlbi vae2is, x7
            (0xd508_7520, Kind::Plain),  // ic ivau needs c7
            (0xd503_3b9f, Kind::Dsb),    // dsb ish
            (0xd503_3a9f, Kind::Dsb),    // dsb ishst
            (0xd503_3f9f, Kind::Dsb),    // dsb sy
            (0xd503_379f, Kind::DsbNsh), // dsb nsh
            (0xd503_309f, Kind::Plain),  // ssbb
            (0xd503_3fdf, Kind::Plain),  // isb
            (0xd503_3bbf, Kind::Plain),  // dmb ish
            (0xd503_201f, Kind::Plain),  // nop
        ];
        for (word, kind) in words {
            assert_eq!(Kind::of(word), kind, "{word:#x}");
        }
    }
}
