//! The transition table: everything that may happen to a page, as data.
//!
//! One row each; what no row allows is refused. Rows carry the numbers of the pKVM transitions they offer
//! (Linux 7.3 `arch/arm64/kvm/hyp/nvhe/mem_protect.c`; PK-25 is Android 6.12's), which take single pages or
//! blocks there and any range here.
//!
//! | row | asked by | from | to | content | refused with |
//! |---|---|---|---|---|---|
//! | PK-01 share hyp | host | host | host, shared hyp, no pin | leave | Denied |
//! | PK-02 unshare hyp | host | host, shared hyp, no pin | host | leave | Denied; pinned: Busy |
//! | PK-03 pin | hyp | host, shared hyp | one pin more | leave | Denied; 65,535: Saturated |
//! | PK-04 unpin | hyp | host, shared hyp, pinned | one pin less | leave | Denied; no pin: Internal |
//! | PK-05 donate hyp | hyp for the host | host | hyp | leave | Denied |
//! | PK-06 hyp donates | hyp | hyp, no reference | host | leave | Denied; referenced: Busy |
//! | PK-09 share guest | host | host, or shared with guests | one mapping more | clean | Denied; `u32::MAX`: Saturated |
//! | PK-10 unshare guest | host | shared with guests | one mapping less, then host | leave | Denied |
//! | PK-11 donate guest | host | host | guest at gfn | clean | Denied |
//! | PK-12 share | guest | guest at gfn | guest, shared host | leave | Denied |
//! | PK-13 unshare | guest | guest, shared host | guest | leave | Denied |
//! | PK-14 reclaim | host, dying VM | guest at gfn | host | scrub | Denied |
//! | PK-14 reclaim shared | host, dying VM | guest, shared host | host | leave | Denied |
//! | PK-15 force reclaim | host | guest at gfn | host | scrub | Denied; host may touch it: Retry |
//! | PK-25 relinquish | guest | guest at gfn | host | scrub | Denied; pinned: Busy |

use super::entry::{Entry, Identity, Kind};
use tenure_abi::Error;

/// Who asks for a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// The host, by a call.
    Host,
    /// The hypervisor itself.
    Hyp,
    /// The guest that owns the page.
    Guest,
}

/// What happens to the bytes, after the loser was cut off and before the gainer sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing.
    Leave,
    /// They stay, and are made visible to a guest that runs with its caches off.
    Clean,
    /// They are zeroed and cleaned to the point of coherency.
    Scrub,
}

/// How far one call may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All pages or none.
    Whole,
    /// A prefix per call: content work is bounded to 2 MiB at a time.
    Resumable,
}

/// Whose access the platform has to take away before the new entry is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loser {
    /// Nobody's: somebody gains access, or only a count changes.
    Nobody,
    /// The host's.
    Host,
    /// The guest's that the entry names or the caller holds.
    Guest,
    /// The hypervisor's.
    Hyp,
}

/// What a row does to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The page must be exactly in state `from`, unpinned, and goes to `to`.
    Replace {
        /// The kind it must have.
        from: Kind,
        /// The kind it gets.
        to: Kind,
    },
    /// One pin, mapping or reference more; from `unused` this makes it `counted`.
    Raise {
        /// The kind without any count.
        unused: Kind,
        /// The kind that counts.
        counted: Kind,
        /// The highest count.
        cap: u32,
    },
    /// One less; the last one makes it `unused` again.
    Lower {
        /// The kind without any count.
        unused: Kind,
        /// The kind that counts.
        counted: Kind,
    },
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The pKVM row it offers.
    pub id: &'static str,
    /// Who may ask.
    pub asker: Asker,
    /// What it does to each page.
    pub effect: Effect,
    /// What it does to the bytes.
    pub content: Content,
    /// Whether one call does all or may do a prefix.
    pub extent: Extent,
    /// Whose access goes.
    pub loser: Loser,
    /// The error for a page in a state the row does not expect.
    pub refuse: Error,
    /// The error where the host may touch the page already. The same, but for force reclaim: its caller, a fault
    /// handler, lost a race and should look again ([`Error::Retry`]).
    pub refuse_accessible: Error,
    /// The error for a page of another guest or gfn than the caller's table says: [`Error::Internal`], a
    /// contradiction, unless the caller read it from the entry without a lock.
    pub mismatch: Error,
}

/// The transitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// PK-01: the host lets the hypervisor pin its pages.
    HostShareHyp,
    /// PK-02: and stops letting it.
    HostUnshareHyp,
    /// PK-03: the hypervisor pins pages shared with it.
    HypPin,
    /// PK-04: and unpins them.
    HypUnpin,
    /// PK-05: host pages become the hypervisor's.
    HostDonateHyp,
    /// PK-06: and go back.
    HypDonateHost,
    /// PK-09: the host maps its pages into a non-protected guest.
    HostShareGuest,
    /// PK-10: and takes one such mapping back.
    HostUnshareGuest,
    /// PK-11: host pages become a protected guest's.
    HostDonateGuest,
    /// PK-12: a guest lets the host touch its pages.
    GuestShareHost,
    /// PK-13: and stops letting it.
    GuestUnshareHost,
    /// PK-14: the host takes back a dying guest's private pages.
    ReclaimOwned,
    /// PK-14: and those the guest had shared.
    ReclaimShared,
    /// PK-15: the host takes back a living guest's private pages.
    ForceReclaim,
    /// PK-25: a guest gives pages back.
    GuestRelinquish,
    /// Not a transition of the running system: at init, what is not memory leaves the host.
    MakeAbsent,
}

const fn leave(id: &'static str, asker: Asker, loser: Loser, effect: Effect) -> Row {
    let (content, extent) = (Content::Leave, Extent::Whole);
    Row {
        id,
        asker,
        effect,
        content,
        extent,
        loser,
        refuse: Error::Denied,
        refuse_accessible: Error::Denied,
        mismatch: Error::Internal,
    }
}

const fn clean(id: &'static str, loser: Loser, effect: Effect) -> Row {
    Row { content: Content::Clean, extent: Extent::Resumable, ..leave(id, Asker::Host, loser, effect) }
}

const fn scrub(id: &'static str, asker: Asker) -> Row {
    let effect = Effect::Replace { from: Kind::GuestExclusive, to: Kind::HostExclusive };
    Row { content: Content::Scrub, extent: Extent::Resumable, ..leave(id, asker, Loser::Guest, effect) }
}

const fn replace(from: Kind, to: Kind) -> Effect {
    Effect::Replace { from, to }
}

impl Transition {
    /// Every transition a caller can ask for.
    pub const ALL: [Self; 15] = [
        Self::HostShareHyp,
        Self::HostUnshareHyp,
        Self::HypPin,
        Self::HypUnpin,
        Self::HostDonateHyp,
        Self::HypDonateHost,
        Self::HostShareGuest,
        Self::HostUnshareGuest,
        Self::HostDonateGuest,
        Self::GuestShareHost,
        Self::GuestUnshareHost,
        Self::ReclaimOwned,
        Self::ReclaimShared,
        Self::ForceReclaim,
        Self::GuestRelinquish,
    ];

    /// The row of this transition.
    #[inline]
    pub const fn row(self) -> Row {
        use Kind::{
            Absent, GuestExclusive, GuestSharedHost, HostExclusive, HostSharedGuests, HostSharedHyp, HypExclusive,
        };
        let pins = HostSharedHyp;
        let (unused, counted) = (HostExclusive, HostSharedGuests);
        match self {
            Self::HostShareHyp => leave("PK-01", Asker::Host, Loser::Nobody, replace(HostExclusive, HostSharedHyp)),
            Self::HostUnshareHyp => leave("PK-02", Asker::Host, Loser::Nobody, replace(HostSharedHyp, HostExclusive)),
            Self::HypPin => {
                leave("PK-03", Asker::Hyp, Loser::Nobody, Effect::Raise { unused: pins, counted: pins, cap: 0xffff })
            }
            Self::HypUnpin => leave("PK-04", Asker::Hyp, Loser::Hyp, Effect::Lower { unused: pins, counted: pins }),
            Self::HostDonateHyp => leave("PK-05", Asker::Hyp, Loser::Host, replace(HostExclusive, HypExclusive)),
            Self::HypDonateHost => leave("PK-06", Asker::Hyp, Loser::Hyp, replace(HypExclusive, HostExclusive)),
            Self::HostShareGuest => clean("PK-09", Loser::Nobody, Effect::Raise { unused, counted, cap: u32::MAX }),
            Self::HostUnshareGuest => leave("PK-10", Asker::Host, Loser::Guest, Effect::Lower { unused, counted }),
            Self::HostDonateGuest => clean("PK-11", Loser::Host, replace(HostExclusive, GuestExclusive)),
            Self::GuestShareHost => {
                leave("PK-12", Asker::Guest, Loser::Nobody, replace(GuestExclusive, GuestSharedHost))
            }
            Self::GuestUnshareHost => {
                leave("PK-13", Asker::Guest, Loser::Host, replace(GuestSharedHost, GuestExclusive))
            }
            Self::ReclaimOwned => scrub("PK-14", Asker::Host),
            Self::ReclaimShared => leave("PK-14", Asker::Host, Loser::Guest, replace(GuestSharedHost, HostExclusive)),
            Self::ForceReclaim => {
                let (mismatch, refuse_accessible) = (Error::Retry, Error::Retry);
                Row { refuse_accessible, mismatch, ..scrub("PK-15", Asker::Host) }
            }
            Self::GuestRelinquish => scrub("PK-25", Asker::Guest),
            Self::MakeAbsent => leave("init", Asker::Hyp, Loser::Host, replace(HostExclusive, Absent)),
        }
    }
}

impl Row {
    /// Whether the caller has to name the guest and gfn: the old or the new entry records them.
    #[inline]
    pub const fn names_guest(&self) -> bool {
        match self.effect {
            Effect::Replace { from, to } => from.names_guest() || to.names_guest(),
            Effect::Raise { .. } | Effect::Lower { .. } => false,
        }
    }

    /// Whether the page gets another owner, so that the size of its hardware entry is decided anew.
    #[inline]
    pub const fn changes_owner(&self) -> bool {
        match self.effect {
            Effect::Replace { from, to } => from.owner() as u8 != to.owner() as u8,
            Effect::Raise { .. } | Effect::Lower { .. } => false,
        }
    }

    /// For a replacing row: the exact old and the new entry of a page with this identity.
    #[inline]
    pub(crate) const fn exact(&self, identity: Identity) -> Option<(Entry, Entry)> {
        match self.effect {
            Effect::Replace { from, to } => Some((Self::side(from, identity), Self::side(to, identity))),
            Effect::Raise { .. } | Effect::Lower { .. } => None,
        }
    }

    #[inline]
    const fn side(kind: Kind, identity: Identity) -> Entry {
        Entry::new(kind, if kind.names_guest() { identity } else { Identity::NONE })
    }

    /// The error for a page of kind `kind`, which is not the one expected.
    pub(crate) const fn refuse_kind(&self, kind: Kind) -> Error {
        if kind.host_may_touch() { self.refuse_accessible } else { self.refuse }
    }

    /// For a counting row: the entry after it.
    pub(crate) fn counted(&self, entry: Entry) -> Result<Entry, Error> {
        let step = Entry::COUNT_STEP;
        match self.effect {
            Effect::Replace { .. } => Err(Error::Internal),
            Effect::Raise { unused, counted, cap } => match entry.kind() {
                Some(kind) if kind == counted && entry.count() >= cap => Err(Error::Saturated),
                Some(kind) if kind == counted => Ok(Entry::from_bits(entry.bits() + step)),
                Some(kind) if kind == unused => Ok(Entry::from_bits(Entry::new(counted, Identity::NONE).bits() + step)),
                _ => Err(self.refuse),
            },
            Effect::Lower { unused, counted } => match (entry.kind(), entry.count()) {
                (Some(kind), 0) if kind == counted => Err(Error::Internal),
                (Some(kind), 1) if kind == counted => Ok(Entry::new(unused, Identity::NONE)),
                (Some(kind), _) if kind == counted => Ok(Entry::from_bits(entry.bits() - step)),
                _ => Err(self.refuse),
            },
        }
    }
}

/// The four owners a kind can have, for [`Row::changes_owner`].
#[derive(Clone, Copy)]
enum Party {
    Host,
    Hyp,
    Guest,
    Nobody,
}

impl Kind {
    const fn owner(self) -> Party {
        match self {
            Self::HostExclusive | Self::HostSharedHyp | Self::HostSharedGuests => Party::Host,
            Self::HypExclusive => Party::Hyp,
            Self::GuestExclusive | Self::GuestSharedHost => Party::Guest,
            Self::Quarantined | Self::Absent => Party::Nobody,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_say_what_the_table_says_of_content_and_loser() {
        use Transition::{
            ForceReclaim, GuestRelinquish, GuestUnshareHost, HostDonateGuest, HostDonateHyp, HostShareGuest,
            HostUnshareGuest, HypDonateHost, HypUnpin, ReclaimOwned, ReclaimShared,
        };
        for op in Transition::ALL {
            let row = op.row();
            let content = match op {
                HostShareGuest | HostDonateGuest => Content::Clean,
                ReclaimOwned | ForceReclaim | GuestRelinquish => Content::Scrub,
                _ => Content::Leave,
            };
            let loser = match op {
                HostDonateHyp | HostDonateGuest | GuestUnshareHost => Loser::Host,
                HostUnshareGuest | ReclaimOwned | ReclaimShared | ForceReclaim | GuestRelinquish => Loser::Guest,
                HypUnpin | HypDonateHost => Loser::Hyp,
                _ => Loser::Nobody,
            };
            // Content work is bounded; everything else is all or nothing.
            let extent = if content == Content::Leave { Extent::Whole } else { Extent::Resumable };
            assert_eq!((row.content, row.extent, row.loser), (content, extent, loser), "{op:?}");
        }
    }
}
