//! Accesses by the host, its device and the guests, checked as they happen: whoever reaches a page may do so by its entry, and the
//! host never reads a secret.

use crate::world::{PAGE, SECRET, World, gfn, pfn};
use std::sync::atomic::Ordering::SeqCst;
use tenure_abi::Pfn;
use tenure_hyp::el2::HostFault;
use tenure_hyp::tracker::{Entry, Kind};
use tenure_machine::step::{actor, draw, quietly, violation};
use tenure_machine::{Access, Seat};

/// The words of a page that are looked at: a scrub does one half, then the other.
const WORDS: [usize; 2] = [0, 511];

fn any_word() -> usize {
    if draw(2) == 0 { WORDS[0] } else { WORDS[1] }
}

impl World<'_> {
    /// The entry of a page: who owns it and, for a guest's, at which gfn. `None` while it is being moved.
    pub fn entry(&self, page: Pfn) -> Option<Entry> {
        quietly(|| Some(self.el2.tracker().lock_region(page).ok()?.entry(page)))
    }

    /// Whether the guest ever began to share `page`: only pages under test are ever secret.
    pub fn is_public(&self, page: u64) -> bool {
        self.public.load(SeqCst).checked_shr(page as u32).is_none_or(|bits| bits & 1 != 0)
    }

    /// An access of the host on this CPU, with the faults that it takes. `None`: refused.
    pub fn host_access(&self, page: u64, value: Option<u64>) -> Option<u64> {
        let seat = Seat::Cpu(actor(), self.host);
        for _ in 0..12 {
            if let Some(read) = self.host_side(seat, page, value) {
                return Some(read);
            }
            match self.el2.host_fault((PAGE + page) << 12) {
                HostFault::Refused => return None,
                HostFault::Retry => tenure_machine::step::wait(),
            }
        }
        None
    }

    /// One access of the host or its device, without any help.
    pub fn host_side(&self, seat: Seat, page: u64, value: Option<u64>) -> Option<u64> {
        let at = gfn(PAGE + page);
        let access = match value {
            None => self.hw.machine.load(seat, at, any_word()),
            Some(value) => self.hw.machine.store(seat, at, any_word(), value),
        };
        let Access { frame, value: read } = access.ok()?;
        // No other actor runs between the access and these checks.
        if let Some(entry) = self.entry(frame)
            && !entry.kind().is_some_and(Kind::host_may_touch)
        {
            violation(format!("I3: {seat:?} reached page {page}, which is {entry:?}"));
        }
        if frame != pfn(PAGE + page) {
            violation(format!("I3: {seat:?} reached {frame:?} in place of page {page}"));
        }
        if value.is_none() && read >> 8 == SECRET >> 8 && !self.is_public(page) {
            violation(format!("I5: {seat:?} read {read:#x} from page {page}"));
        }
        Some(read)
    }

    /// One access of the borrower on this CPU. `None`: it faulted.
    pub fn borrower_access(&self, at: u64, value: Option<u64>) -> Option<u64> {
        let seat = Seat::Cpu(actor(), self.borrowing);
        let access = match value {
            None => self.hw.machine.load(seat, gfn(at), any_word()),
            Some(value) => self.hw.machine.store(seat, gfn(at), any_word(), value),
        };
        let Access { frame, value: read } = access.ok()?;
        if let Some(entry) = self.entry(frame)
            && entry.kind() != Some(Kind::HostSharedGuests)
        {
            violation(format!("I2: the borrower reached {frame:?} at {at:#x}, which is {entry:?}"));
        }
        Some(read)
    }

    /// The guest reads what it keeps to itself at `at`: it finds what it wrote, if anything.
    pub fn guest_finds(&self, at: u64, value: u64) -> bool {
        let read = self.guest_access(at, None);
        if let Some(read) = read
            && read != value
        {
            violation(format!("I3: the guest wrote {value:#x} at {at:#x} and reads {read:#x}"));
        }
        read.is_some()
    }

    /// One access of the guest on this CPU, a store to both words. `None`: it faulted.
    pub fn guest_access(&self, at: u64, value: Option<u64>) -> Option<u64> {
        let seat = Seat::Cpu(actor(), self.guest);
        let access = match value {
            None => self.hw.machine.load(seat, gfn(at), any_word()),
            Some(value) => {
                let first = self.hw.machine.store(seat, gfn(at), WORDS[0], value);
                first.and_then(|_| self.hw.machine.store(seat, gfn(at), WORDS[1], value))
            }
        };
        let Access { frame, value: read } = access.ok()?;
        if let Some(entry) = self.entry(frame)
            && entry.guest() != Some((self.vm.slot(), gfn(at)))
        {
            violation(format!("I6: the guest reached {frame:?} at {at:#x}, which is {entry:?}"));
        }
        Some(read)
    }
}
