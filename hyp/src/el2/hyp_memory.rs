//! Memory between host and hypervisor: rows PK-01 to PK-06.

use super::{El2, Hardware};
use crate::tracker::{Identity, Transition};
use tenure_abi::{Error, FrameRange, Located, PageSize, Pfn};

const NONE: Identity = Identity::NONE;

impl<H: Hardware> El2<'_, H> {
    /// PK-01: the host lets the hypervisor pin these pages. They are not mapped at EL2 by this.
    ///
    /// # Errors
    /// The row's, at the first page concerned.
    pub fn share_hyp(&self, frames: FrameRange<Pfn>) -> Result<u64, Located<Error>> {
        self.claim(Transition::HostShareHyp, frames, NONE)?.commit(PageSize::Size4K);
        Ok(frames.count())
    }

    /// PK-02: the host stops letting it.
    ///
    /// # Errors
    /// The row's; [`Error::Busy`] for a page that is pinned.
    pub fn unshare_hyp(&self, frames: FrameRange<Pfn>) -> Result<u64, Located<Error>> {
        self.claim(Transition::HostUnshareHyp, frames, NONE)?.commit(PageSize::Size4K);
        Ok(frames.count())
    }

    /// PK-03: pins shared pages; the first pin maps a page at EL2. Every access to host memory at EL2 is inside a pin.
    ///
    /// # Errors
    /// The row's; [`Error::Saturated`] at 65,535 pins.
    pub fn pin(&self, frames: FrameRange<Pfn>) -> Result<(), Located<Error>> {
        let claim = self.claim(Transition::HypPin, frames, NONE)?;
        for (index, pfn) in pages(frames) {
            if claim.entry(index).is_some_and(|entry| entry.count() == 0) {
                self.hw.attach(pfn);
            }
        }
        claim.commit(PageSize::Size4K);
        Ok(())
    }

    /// PK-04: unpins them; the last unpin unmaps a page at EL2.
    ///
    /// # Errors
    /// The row's; [`Error::Internal`], and quarantine, for a page that was not pinned.
    pub fn unpin(&self, frames: FrameRange<Pfn>) -> Result<(), Located<Error>> {
        let claim = self.claim(Transition::HypUnpin, frames, NONE)?;
        for (index, pfn) in pages(frames) {
            if claim.entry(index).is_some_and(|entry| entry.count() == 1) {
                self.hw.detach(pfn);
            }
        }
        claim.commit(PageSize::Size4K);
        Ok(())
    }

    /// PK-05: host pages become the hypervisor's, and are mapped at EL2. Their content is still the host's choice.
    ///
    /// # Errors
    /// The row's; [`Error::Fault`] for a page that the window does not reach.
    pub fn donate_hyp(&self, frames: FrameRange<Pfn>) -> Result<(), Located<Error>> {
        let claim = self.claim(Transition::HostDonateHyp, frames, NONE)?;
        self.host.take(frames.first().number(), frames.count(), self.hw);
        for (_, pfn) in pages(frames) {
            self.hw.attach(pfn);
        }
        // Seen here, while the claim can still be dropped: a donation that has to be given back could meet another CPU.
        if let Some((_, lost)) = pages(frames).find(|&(_, pfn)| self.hw.table(pfn).is_none()) {
            for (_, pfn) in pages(frames) {
                self.hw.detach(pfn);
            }
            return Err(Located::pfn(Error::Fault, lost));
        }
        claim.commit(PageSize::Size4K);
        Ok(())
    }

    /// PK-06: pages of the hypervisor go back to the host, zeroed.
    ///
    /// # Errors
    /// The row's.
    pub fn return_to_host(&self, frames: FrameRange<Pfn>) -> Result<(), Located<Error>> {
        let mut claim = self.claim(Transition::HypDonateHost, frames, NONE)?;
        for (_, pfn) in pages(frames) {
            self.hw.detach(pfn);
        }
        claim.park();
        for (_, pfn) in pages(frames) {
            self.hw.scrub(pfn);
        }
        claim.commit(PageSize::Size4K);
        Ok(())
    }
}

/// The pages of a range, numbered.
pub(super) fn pages(frames: FrameRange<Pfn>) -> impl Iterator<Item = (u64, Pfn)> {
    (0..frames.count()).filter_map(move |i| Some((i, frames.first().checked_add(i)?)))
}
