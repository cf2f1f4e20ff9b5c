//! Host and guests: mapping a host page into a guest, donating, and the guest's own two words.

use super::{Answer, Span, Spec, done, guest_must, page_must};
use tenure_abi::{Borrower, Error, Gfn, Located, Owner, PageState, Pfn, VmSlot};

impl Spec {
    /// PK-09: the host maps pages of its own into a guest, from `gfn` on, and keeps access.
    ///
    /// # Errors
    /// `Denied` at the guest frame for one that is occupied or burnt; `Denied` for a page that is neither
    /// the host's alone nor already mapped this way; `Saturated` for one mapped as often as can be.
    pub fn host_share_guest(&mut self, vm: VmSlot, span: Span, gfn: u64) -> Answer {
        let pairs = self.pairs(span, gfn)?;
        for &(pfn, gfn) in &pairs {
            guest_must(self.guest_free(vm, gfn), Error::Denied, gfn)?;
            let state = self.page(pfn);
            let mapped = matches!(state, PageState::Shared { owner: Owner::Host, with: Borrower::Guests { .. } });
            page_must(self.host_exclusive(pfn) || mapped, Error::Denied, pfn)?;
            page_must(self.mappings_of(pfn) < self.machine.limits.mappings, Error::Saturated, pfn)?;
        }
        for &(pfn, gfn) in &pairs {
            self.lent_to_guests.insert((pfn, vm, gfn));
            self.guest_map.insert((vm, gfn), pfn);
        }
        Ok(done(pairs.len()))
    }

    /// PK-10: the host takes such mappings back; which pages is read from the guest's map.
    ///
    /// # Errors
    /// `NotFound` where nothing is mapped, `Denied` where the guest owns the page.
    pub fn host_unshare_guest(&mut self, vm: VmSlot, span: Span) -> Answer {
        let gfns = self.guest_frames(span)?;
        let mut pairs = Vec::new();
        for gfn in gfns {
            let pfn = self.mapped(vm, gfn)?;
            guest_must(self.lent_to_guests.contains(&(pfn, vm, gfn)), Error::Denied, gfn)?;
            pairs.push((pfn, gfn));
        }
        for &(pfn, gfn) in &pairs {
            self.lent_to_guests.remove(&(pfn, vm, gfn));
            self.guest_map.remove(&(vm, gfn));
        }
        Ok(done(pairs.len()))
    }

    /// PK-11: the host gives pages to a guest, which sees them from `gfn` on, content as it is.
    ///
    /// # Errors
    /// `Denied` for a page the host does not have to itself, and at the guest frame for one that is
    /// occupied or burnt.
    pub fn host_donate_guest(&mut self, vm: VmSlot, span: Span, gfn: u64) -> Answer {
        let pairs = self.pairs(span, gfn)?;
        for &(pfn, gfn) in &pairs {
            page_must(self.host_exclusive(pfn), Error::Denied, pfn)?;
            guest_must(self.guest_free(vm, gfn), Error::Denied, gfn)?;
        }
        for &(pfn, gfn) in &pairs {
            self.owner.insert(pfn, Owner::Guest(vm));
            self.guest_map.insert((vm, gfn), pfn);
        }
        Ok(done(pairs.len()))
    }

    /// PK-12: the guest lets the host touch pages of its own.
    ///
    /// # Errors
    /// `Poisoned` at a burnt address, `NotFound` where nothing is mapped, `Denied` for a page that the
    /// guest does not have to itself.
    pub fn guest_share_host(&mut self, vm: VmSlot, span: Span) -> Answer {
        let pages = self.guest_own(vm, span, PageState::Exclusive(Owner::Guest(vm)))?;
        self.lent_to_host.extend(&pages);
        Ok(done(pages.len()))
    }

    /// PK-13: the guest takes that back.
    ///
    /// # Errors
    /// As [`Spec::guest_share_host`], `Denied` for a page that is not lent to the host.
    pub fn guest_unshare_host(&mut self, vm: VmSlot, span: Span) -> Answer {
        let lent = PageState::Shared { owner: Owner::Guest(vm), with: Borrower::Host };
        let pages = self.guest_own(vm, span, lent)?;
        for pfn in &pages {
            self.lent_to_host.remove(pfn);
        }
        Ok(done(pages.len()))
    }

    /// The pages behind `span`, all of them in `state`.
    fn guest_own(&self, vm: VmSlot, span: Span, state: PageState) -> Result<Vec<Pfn>, Located<Error>> {
        let mut pages = Vec::new();
        for gfn in self.guest_frames(span)? {
            guest_must(!self.poisoned.contains(&(vm, gfn)), Error::Poisoned, gfn)?;
            let pfn = self.mapped(vm, gfn)?;
            guest_must(self.page(pfn) == state, Error::Denied, gfn)?;
            pages.push(pfn);
        }
        Ok(pages)
    }

    /// The page a guest sees at `gfn`.
    pub(super) fn mapped(&self, vm: VmSlot, gfn: Gfn) -> Result<Pfn, Located<Error>> {
        self.guest_map.get(&(vm, gfn)).copied().ok_or(Located::gfn(Error::NotFound, gfn))
    }

    /// The host frames of `span` beside as many guest frames from `gfn` on.
    fn pairs(&self, span: Span, gfn: u64) -> Result<Vec<(Pfn, Gfn)>, Located<Error>> {
        let guest = Span { first: gfn, count: span.count };
        // Both ranges are looked at for their form before either for what lies there.
        super::well_formed(span, self.machine.pfn_end)?;
        super::well_formed(guest, self.machine.gfn_end)?;
        let pages = self.host_frames(span, Error::NotMemory)?;
        Ok(pages.into_iter().zip(self.guest_frames(guest)?).collect())
    }
}
