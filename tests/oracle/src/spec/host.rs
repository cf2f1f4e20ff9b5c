//! Host and hypervisor: lending, pinning, donating.

use super::{Answer, Span, Spec, done, page_must};
use tenure_abi::{Error, Owner, PageState, Pfn};

impl Spec {
    /// PK-01: the host lets the hypervisor pin pages that nobody else has.
    ///
    /// # Errors
    /// `Denied` for a page the host does not have to itself.
    pub fn host_share_hyp(&mut self, span: Span) -> Answer {
        let pages = self.host_frames(span, Error::NotMemory)?;
        for &pfn in &pages {
            page_must(self.host_exclusive(pfn), Error::Denied, pfn)?;
        }
        self.lent_to_hyp.extend(&pages);
        Ok(done(pages.len()))
    }

    /// PK-02: the host takes that back.
    ///
    /// # Errors
    /// `Denied` for a page not lent to the hypervisor, `Busy` for a pinned one.
    pub fn host_unshare_hyp(&mut self, span: Span) -> Answer {
        let pages = self.host_frames(span, Error::NotMemory)?;
        for &pfn in &pages {
            page_must(self.lent_to_hyp.contains(&pfn), Error::Denied, pfn)?;
            page_must(self.pins_of(pfn) == 0, Error::Busy, pfn)?;
        }
        for pfn in &pages {
            self.lent_to_hyp.remove(pfn);
        }
        Ok(done(pages.len()))
    }

    /// PK-03: the hypervisor holds pages lent to it.
    ///
    /// # Errors
    /// `Denied` for a page not lent to the hypervisor, `Saturated` for one held as often as can be.
    pub fn hyp_pin(&mut self, span: Span) -> Answer {
        let pages = self.host_frames(span, Error::NotMemory)?;
        for &pfn in &pages {
            page_must(self.lent_to_hyp.contains(&pfn), Error::Denied, pfn)?;
            page_must(self.pins_of(pfn) < self.machine.limits.pins, Error::Saturated, pfn)?;
        }
        for &pfn in &pages {
            *self.pins.entry(pfn).or_insert(0) += 1;
        }
        Ok(done(pages.len()))
    }

    /// PK-04: the hypervisor lets go of pages it holds.
    ///
    /// # Errors
    /// `Denied` for a page it does not hold: a mistake of the hypervisor, not of a caller, for which
    /// the facts know no error. Traces do not contain it.
    pub fn hyp_unpin(&mut self, span: Span) -> Answer {
        let pages = self.host_frames(span, Error::NotMemory)?;
        for &pfn in &pages {
            page_must(self.pins_of(pfn) > 0, Error::Denied, pfn)?;
        }
        for &pfn in &pages {
            match self.pins_of(pfn) {
                0 | 1 => self.pins.remove(&pfn),
                n => self.pins.insert(pfn, n - 1),
            };
        }
        Ok(done(pages.len()))
    }

    /// PK-05: the host gives pages to the hypervisor.
    ///
    /// # Errors
    /// `Denied` for a page the host does not have to itself.
    pub fn host_donate_hyp(&mut self, span: Span) -> Answer {
        let pages = self.host_frames(span, Error::NotMemory)?;
        for &pfn in &pages {
            page_must(self.host_exclusive(pfn), Error::Denied, pfn)?;
        }
        self.owner.extend(pages.iter().map(|&pfn| (pfn, Owner::Hyp)));
        Ok(done(pages.len()))
    }

    /// PK-06: the hypervisor gives pages back to the host.
    ///
    /// # Errors
    /// `Denied` for a page that is not the hypervisor's, `Busy` for one still in use.
    pub fn hyp_donate_host(&mut self, span: Span) -> Answer {
        let pages = self.host_frames(span, Error::NotMemory)?;
        for &pfn in &pages {
            page_must(self.hyp_exclusive(pfn), Error::Denied, pfn)?;
            page_must(self.references_of(pfn) == 0, Error::Busy, pfn)?;
        }
        self.owner.extend(pages.iter().map(|&pfn| (pfn, Owner::Host)));
        Ok(done(pages.len()))
    }

    /// The hypervisor begins to use pages of its own (PK-06 refuses to give them away).
    ///
    /// # Errors
    /// `Denied` for a page that is not the hypervisor's, `Saturated` for one used as often as can be.
    pub fn hyp_get(&mut self, span: Span) -> Answer {
        let pages = self.host_frames(span, Error::NotMemory)?;
        for &pfn in &pages {
            page_must(self.hyp_exclusive(pfn), Error::Denied, pfn)?;
            page_must(self.references_of(pfn) < self.machine.limits.references, Error::Saturated, pfn)?;
        }
        for &pfn in &pages {
            *self.references.entry(pfn).or_insert(0) += 1;
        }
        Ok(done(pages.len()))
    }

    /// The hypervisor ends one use of pages of its own.
    ///
    /// # Errors
    /// `Denied` for a page it does not use; as with [`Spec::hyp_unpin`], no trace contains it.
    pub fn hyp_put(&mut self, span: Span) -> Answer {
        let pages = self.host_frames(span, Error::NotMemory)?;
        for &pfn in &pages {
            page_must(self.references_of(pfn) > 0, Error::Denied, pfn)?;
        }
        for &pfn in &pages {
            match self.references_of(pfn) {
                0 | 1 => self.references.remove(&pfn),
                n => self.references.insert(pfn, n - 1),
            };
        }
        Ok(done(pages.len()))
    }

    fn hyp_exclusive(&self, pfn: Pfn) -> bool {
        self.page(pfn) == PageState::Exclusive(Owner::Hyp)
    }
}
