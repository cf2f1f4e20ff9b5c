//! The entry: 8 bytes that say whose a page is.
//!
//! Bits 0..4 belong to the region word ([`super::layout`]) and are 0 in a page entry; bits 4..8 are the kind.
//!
//! | kind | value | payload |
//! |---|---|---|
//! | host exclusive | 0 | none: an all-zero entry |
//! | host, shared with hyp | 1 | 8..40 pins, at most `0xffff` |
//! | host, shared with guests | 2 | 8..40 mappings, 1 to `u32::MAX` |
//! | hyp exclusive | 3 | 8..40 references |
//! | guest exclusive | 4 | 8..18 slot, 18..54 gfn, 54..64 pins |
//! | guest, shared with host | 5 | 8..18 slot, 18..54 gfn, 54..64 pins |
//! | quarantined | 6 | 8..18 slot, 18..54 gfn, 54..58 old kind, 58..64 reason |
//! | absent | 7 | none |
//!
//! 8 to 15 are free: firmware, guest shared with hyp or firmware, tainted devices. The gfn is the reverse map: it
//! makes forced reclaim possible and checks every guest table entry that is used.

use tenure_abi::{AddressWidth, Borrower, Error, Gfn, Owner, PageState, QuarantineReason, VmSlot};

const KIND_SHIFT: u32 = 4;
const KIND_MASK: u64 = 0xf << KIND_SHIFT;
const SLOT_SHIFT: u32 = 8;
const SLOT_MASK: u64 = (VmSlot::COUNT as u64 - 1) << SLOT_SHIFT;
const GFN_SHIFT: u32 = 18;
const GFN_MASK: u64 = (AddressWidth::GUEST_MAX.frames() - 1) << GFN_SHIFT;
const COUNT_SHIFT: u32 = 8;
const COUNT_MASK: u64 = 0xffff_ffff << COUNT_SHIFT;
const WAS_SHIFT: u32 = 54;
const REASON_SHIFT: u32 = 58;

/// The whole identity field: slot and gfn.
const IDENTITY_MASK: u64 = SLOT_MASK | GFN_MASK;

/// What a page's entry says before its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The host's alone.
    HostExclusive = 0,
    /// The host's; the hypervisor may pin it.
    HostSharedHyp = 1,
    /// The host's; non-protected guests map it.
    HostSharedGuests = 2,
    /// The hypervisor's alone.
    HypExclusive = 3,
    /// A guest's alone.
    GuestExclusive = 4,
    /// A guest's; the host may touch it.
    GuestSharedHost = 5,
    /// Withdrawn from use.
    Quarantined = 6,
    /// Not memory.
    Absent = 7,
}

impl Kind {
    /// Every kind, at the place of its value.
    pub const ALL: [Self; 8] = [
        Self::HostExclusive,
        Self::HostSharedHyp,
        Self::HostSharedGuests,
        Self::HypExclusive,
        Self::GuestExclusive,
        Self::GuestSharedHost,
        Self::Quarantined,
        Self::Absent,
    ];

    pub(crate) const fn bits(self) -> u64 {
        (self as u64) << KIND_SHIFT
    }

    /// Whether the payload names a guest: its entries differ from page to page by the gfn.
    pub const fn names_guest(self) -> bool {
        matches!(self, Self::GuestExclusive | Self::GuestSharedHost | Self::Quarantined)
    }

    /// Whether the host may touch such a page: what a host stage-2 table may map.
    pub const fn host_may_touch(self) -> bool {
        matches!(self, Self::HostExclusive | Self::HostSharedHyp | Self::HostSharedGuests | Self::GuestSharedHost)
    }
}

/// The guest and the guest frame that an entry names; nothing for kinds that name no guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(u64);

impl Identity {
    /// No guest.
    pub const NONE: Self = Self(0);

    /// The guest in `slot`, seen there at `gfn`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a gfn beyond [`AddressWidth::GUEST_MAX`], which the entry cannot record.
    #[inline]
    pub fn guest(slot: VmSlot, gfn: Gfn) -> Result<Self, Error> {
        if gfn.number() >= AddressWidth::GUEST_MAX.frames() {
            return Err(Error::Invalid);
        }
        Ok(Self(u64::from(slot.index()) << SLOT_SHIFT | gfn.number() << GFN_SHIFT))
    }

    /// As [`Identity::guest`] for a gfn that a map of at most 48 bits was found to hold.
    #[cfg(feature = "el2")]
    #[inline]
    pub(crate) fn mapped(slot: VmSlot, gfn: Gfn) -> Self {
        Self(u64::from(slot.index()) << SLOT_SHIFT | gfn.number() << GFN_SHIFT & GFN_MASK)
    }

    pub(crate) fn slot(self) -> Option<VmSlot> {
        VmSlot::new(((self.0 & SLOT_MASK) >> SLOT_SHIFT) as u16).ok()
    }

    pub(crate) fn gfn(self) -> Option<Gfn> {
        Gfn::new((self.0 & GFN_MASK) >> GFN_SHIFT).ok()
    }
}

/// The entry of one page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entry(u64);

impl Entry {
    /// What consecutive pages of one guest differ by.
    pub(crate) const GFN_STEP: u64 = 1 << GFN_SHIFT;
    /// One more pin, mapping or reference.
    pub(crate) const COUNT_STEP: u64 = 1 << COUNT_SHIFT;
    /// The host owns it exclusively.
    pub const HOST: Self = Self(0);

    pub(crate) const fn new(kind: Kind, identity: Identity) -> Self {
        Self(kind.bits() | identity.0)
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// The entry in quarantine that this one becomes.
    pub(crate) const fn quarantined(self, reason: QuarantineReason) -> Self {
        let kind = self.0 >> KIND_SHIFT & 0xf;
        let identity = if self.names_guest() { self.0 & IDENTITY_MASK } else { 0 };
        Self(Kind::Quarantined.bits() | identity | kind << WAS_SHIFT | (reason.code() as u64) << REASON_SHIFT)
    }

    const fn names_guest(self) -> bool {
        match self.kind() {
            Some(kind) => kind.names_guest(),
            None => false,
        }
    }

    /// The kind; `None` for a value that no kind has.
    #[inline]
    pub const fn kind(self) -> Option<Kind> {
        kind_from(self.0 >> KIND_SHIFT & 0xf)
    }

    /// By how much the entries of consecutive pages like this one differ.
    #[inline]
    pub(crate) const fn step(self) -> u64 {
        if self.names_guest() { Self::GFN_STEP } else { 0 }
    }

    /// The pins, mappings or references of a counted kind.
    pub const fn count(self) -> u32 {
        ((self.0 & COUNT_MASK) >> COUNT_SHIFT) as u32
    }

    /// The guest and gfn named, if the kind names one.
    pub fn guest(self) -> Option<(VmSlot, Gfn)> {
        if !self.names_guest() {
            return None;
        }
        let identity = Identity(self.0 & IDENTITY_MASK);
        Some((identity.slot()?, identity.gfn()?))
    }

    /// Whether the two name the same guest at the same gfn.
    pub(crate) const fn same_identity(self, other: Self) -> bool {
        (self.0 ^ other.0) & IDENTITY_MASK == 0
    }

    /// Whether the entry is one that the table of this module allows.
    pub fn is_well_formed(self) -> bool {
        let payload = match self.kind() {
            None => return false,
            Some(Kind::HostExclusive | Kind::Absent) => 0,
            Some(Kind::HostSharedHyp | Kind::HypExclusive) => 0xffff << COUNT_SHIFT,
            Some(Kind::HostSharedGuests) if self.count() == 0 => return false,
            Some(Kind::HostSharedGuests) => COUNT_MASK,
            Some(Kind::GuestExclusive | Kind::GuestSharedHost) => IDENTITY_MASK | 0x3ff << WAS_SHIFT,
            Some(Kind::Quarantined) => !0xff,
        };
        self.0 & !(KIND_MASK | payload) == 0
    }

    /// What the entry says, in the words of the ABI. An impossible entry reads as quarantined.
    pub fn state(self) -> PageState {
        let exclusive = PageState::Exclusive;
        let Some(kind) = self.kind() else {
            return PageState::Quarantined { was: Owner::Hyp, reason: QuarantineReason::HardwareUnknown };
        };
        let guest = self.guest().map_or(Owner::Hyp, |(slot, _)| Owner::Guest(slot));
        match kind {
            Kind::HostExclusive => exclusive(Owner::Host),
            Kind::HostSharedHyp => {
                PageState::Shared { owner: Owner::Host, with: Borrower::Hyp { pins: self.count() as u16 } }
            }
            Kind::HostSharedGuests => {
                PageState::Shared { owner: Owner::Host, with: Borrower::Guests { mappings: self.count() } }
            }
            Kind::HypExclusive => exclusive(Owner::Hyp),
            Kind::GuestExclusive => exclusive(guest),
            Kind::GuestSharedHost => PageState::Shared { owner: guest, with: Borrower::Host },
            Kind::Quarantined => self.quarantine_state(guest),
            Kind::Absent => PageState::Absent,
        }
    }

    fn quarantine_state(self, guest: Owner) -> PageState {
        let was = match kind_from(self.0 >> WAS_SHIFT & 0xf) {
            Some(Kind::HostExclusive | Kind::HostSharedHyp | Kind::HostSharedGuests) => Owner::Host,
            Some(Kind::GuestExclusive | Kind::GuestSharedHost) => guest,
            _ => Owner::Hyp,
        };
        let code = (self.0 >> REASON_SHIFT) as usize;
        let reason = QuarantineReason::ALL.get(code).copied().unwrap_or(QuarantineReason::HardwareUnknown);
        PageState::Quarantined { was, reason }
    }
}

#[inline]
const fn kind_from(value: u64) -> Option<Kind> {
    Some(match value {
        0 => Kind::HostExclusive,
        1 => Kind::HostSharedHyp,
        2 => Kind::HostSharedGuests,
        3 => Kind::HypExclusive,
        4 => Kind::GuestExclusive,
        5 => Kind::GuestSharedHost,
        6 => Kind::Quarantined,
        7 => Kind::Absent,
        _ => return None,
    })
}

impl core::fmt::Debug for Entry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} ({:#x})", self.state(), self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroed_memory_says_that_the_host_owns_everything() {
        assert_eq!(Entry::from_bits(0).state(), PageState::Exclusive(Owner::Host));
        assert_eq!(Entry::HOST, Entry::new(Kind::HostExclusive, Identity::NONE));
    }

    #[test]
    fn every_kind_has_its_own_value_and_comes_back() {
        for (value, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, value);
            assert_eq!(Entry::new(kind, Identity::NONE).kind(), Some(kind));
        }
        assert_eq!(Entry::from_bits(8 << KIND_SHIFT).kind(), None);
        assert!(!Entry::from_bits(8 << KIND_SHIFT).is_well_formed());
    }

    #[test]
    fn the_largest_slot_and_gfn_fit_and_the_next_do_not() {
        let slot = VmSlot::new(VmSlot::COUNT - 1).unwrap();
        let last = Gfn::new(AddressWidth::GUEST_MAX.frames() - 1).unwrap();
        let entry = Entry::new(Kind::GuestSharedHost, Identity::guest(slot, last).unwrap());
        assert_eq!(entry.guest(), Some((slot, last)));
        assert!(entry.is_well_formed());
        assert_eq!(Identity::guest(slot, last.checked_add(1).unwrap()), Err(Error::Invalid));
    }

    #[test]
    fn quarantine_remembers_owner_gfn_and_reason() {
        let slot = VmSlot::new(9).unwrap();
        let gfns = [0, 0x42, AddressWidth::GUEST_MAX.frames() - 1].map(|gfn| Gfn::new(gfn).unwrap());
        for reason in QuarantineReason::ALL {
            for (kind, gfn) in
                gfns.into_iter().flat_map(|gfn| [(Kind::GuestExclusive, gfn), (Kind::GuestSharedHost, gfn)])
            {
                let entry = Entry::new(kind, Identity::guest(slot, gfn).unwrap()).quarantined(reason);
                assert_eq!(entry.state(), PageState::Quarantined { was: Owner::Guest(slot), reason });
                assert_eq!(entry.guest(), Some((slot, gfn)));
                assert!(entry.is_well_formed());
            }
            let entry = Entry::HOST.quarantined(reason);
            assert_eq!(entry.state(), PageState::Quarantined { was: Owner::Host, reason });
        }
    }

    #[test]
    fn pins_of_a_guests_page_are_well_formed_and_pins_of_a_free_one_are_not() {
        for kind in [Kind::GuestExclusive, Kind::GuestSharedHost] {
            for pins in [1, 0x200, 0x3ff] {
                assert!(Entry::from_bits(kind.bits() | pins << WAS_SHIFT).is_well_formed(), "{kind:?} {pins:#x}");
            }
        }
        for kind in [Kind::HostExclusive, Kind::HostSharedHyp, Kind::HypExclusive, Kind::Absent] {
            assert!(!Entry::from_bits(kind.bits() | 1 << WAS_SHIFT).is_well_formed(), "{kind:?}");
        }
    }

    #[test]
    fn an_entry_shows_what_it_says_and_its_bits() {
        let entry = Entry::new(Kind::HypExclusive, Identity::NONE);
        assert_eq!(std::format!("{entry:?}"), "Exclusive(Hyp) (0x30)");
    }
}
