//! A measured guest's first pages: the requests that take a range, work on a part of it and write back what is left,
//! repeated until nothing is.
//!
//! What comes back is not trusted: it has to be a part of what was asked for, further on. A kernel that reports success without
//! getting on is stopped, because repeating the call would go on for ever. What is done stays done and measured:
//! a launch that stops half way can only be thrown away, or continued at the page that is named.
//!
//! The structures are [`SnpLaunchUpdate`] (`Documentation/virt/kvm/x86/amd-memory-encryption.rst`, `KVM_SEV_SNP_LAUNCH_UPDATE`) and
//! [`TdxInitMemRegion`] (`Documentation/virt/kvm/x86/intel-tdx.rst`, `KVM_TDX_INIT_MEM_REGION`).

use tenure_abi::gmem::{SnpLaunchUpdate, SnpPageType, TdxInitMemRegion};
use tenure_abi::{Errno, PAGE_SHIFT, PAGE_SIZE};

/// A request that was refused: the errno, and firmware's own code if it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The errno.
    pub errno: Errno,
    /// What firmware said: `error` of `struct kvm_sev_cmd`, `hw_error` of `struct kvm_tdx_cmd`; 0 if it was not asked.
    pub firmware: u64,
}

/// Why a launch stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The kernel refused the page, or was asked again as often as the caller allows.
    Refused(Refused),
    /// The kernel reported success and did nothing.
    NoProgress,
    /// The kernel wrote back what is no rest of what it was asked.
    Astray,
}

/// A launch that stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Pages that are done.
    pub done: u64,
    /// The guest-physical address of the first page that is not.
    pub gpa: u64,
    /// Why.
    pub why: Why,
}

/// Makes `KVM_SEV_SNP_LAUNCH_UPDATE` until all of `update` is done. `pause` is called before a request that did not come
/// off for a passing reason (`EAGAIN`, `EINTR`) is made again, with the number of attempts since the last page that was done;
/// where it answers false, that was the last.
///
/// # Errors
/// [`Stopped`]. The pages before it are measured.
pub fn snp(
    update: SnpLaunchUpdate,
    call: impl FnMut(&mut SnpLaunchUpdate) -> Result<(), Refused>,
    pause: impl FnMut(u32) -> bool,
) -> Result<(), Stopped> {
    all(update, call, pause)
}

/// Makes `KVM_TDX_INIT_MEM_REGION` until all of `region` is done; `pause` as for [`snp`], and for `EBUSY` too: the module
/// is busy.
///
/// # Errors
/// [`Stopped`]. The pages before it are filled.
pub fn tdx(
    region: TdxInitMemRegion,
    call: impl FnMut(&mut TdxInitMemRegion) -> Result<(), Refused>,
    pause: impl FnMut(u32) -> bool,
) -> Result<(), Stopped> {
    all(region, call, pause)
}

/// A range with a source.
trait Range: Copy + PartialEq {
    /// Reasons that pass.
    const PASSING: &'static [Errno];

    fn pages(&self) -> u64;
    fn gpa(&self) -> u64;
    /// What is left after `pages` pages.
    fn rest(self, pages: u64) -> Self;
    /// Whether what the kernel wrote back means this rest.
    fn is_meant_by(&self, written: &Self) -> bool {
        self == written
    }
}

impl Range for SnpLaunchUpdate {
    const PASSING: &'static [Errno] = &[Errno::EAGAIN, Errno::EINTR];

    fn pages(&self) -> u64 {
        self.len >> PAGE_SHIFT
    }

    fn gpa(&self) -> u64 {
        self.gfn_start.wrapping_mul(PAGE_SIZE)
    }

    fn rest(self, pages: u64) -> Self {
        let bytes = pages.wrapping_mul(PAGE_SIZE);
        let uaddr = if self.uaddr == 0 { 0 } else { self.uaddr.wrapping_add(bytes) };
        let gfn_start = self.gfn_start.wrapping_add(pages);
        Self { gfn_start, uaddr, len: self.len.wrapping_sub(bytes), ..self }
    }

    fn is_meant_by(&self, written: &Self) -> bool {
        // Pages of zeroes have no source: whether its address is counted on means nothing.
        let sourceless = self.page_type == SnpPageType::ZERO.0;
        let uaddr = if sourceless { self.uaddr } else { written.uaddr };
        *self == Self { uaddr, ..*written }
    }
}

impl Range for TdxInitMemRegion {
    const PASSING: &'static [Errno] = &[Errno::EAGAIN, Errno::EINTR, Errno::EBUSY];

    fn pages(&self) -> u64 {
        self.nr_pages
    }

    fn gpa(&self) -> u64 {
        self.gpa
    }

    fn rest(self, pages: u64) -> Self {
        let bytes = pages.wrapping_mul(PAGE_SIZE);
        let source_addr = if self.source_addr == 0 { 0 } else { self.source_addr.wrapping_add(bytes) };
        Self { source_addr, gpa: self.gpa.wrapping_add(bytes), nr_pages: self.nr_pages.wrapping_sub(pages) }
    }
}

fn all<R: Range>(
    whole: R,
    mut call: impl FnMut(&mut R) -> Result<(), Refused>,
    mut pause: impl FnMut(u32) -> bool,
) -> Result<(), Stopped> {
    let mut left = whole;
    let mut attempt = 0;
    loop {
        let stopped =
            |left: R, why| Err(Stopped { done: whole.pages().wrapping_sub(left.pages()), gpa: left.gpa(), why });
        let mut asked = left;
        let result = call(&mut asked);
        let Some(done) = left.pages().checked_sub(asked.pages()) else { return stopped(left, Why::Astray) };
        if !left.rest(done).is_meant_by(&asked) {
            return stopped(left, Why::Astray);
        }
        left = left.rest(done);
        attempt = if done == 0 { attempt } else { 0 };
        match result {
            Ok(()) if left.pages() == 0 => return Ok(()),
            Ok(()) if done == 0 => return stopped(left, Why::NoProgress),
            Ok(()) => {}
            Err(refused) => {
                if !R::PASSING.contains(&refused.errno) || !pause(attempt) {
                    return stopped(left, Why::Refused(refused));
                }
                attempt = attempt.saturating_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPDATE: SnpLaunchUpdate = SnpLaunchUpdate {
        gfn_start: 0x100,
        uaddr: 0x5000,
        len: 8 << 12,
        page_type: 1,
        pad0: 0,
        flags: 0,
        pad1: 0,
        pad2: [0; 4],
    };
    const REGION: TdxInitMemRegion = TdxInitMemRegion { source_addr: 0x5000, gpa: 0x10_0000, nr_pages: 8 };

    fn refused(errno: Errno) -> Refused {
        Refused { errno, firmware: 7 }
    }

    #[test]
    fn a_part_at_a_time_comes_to_the_end_and_every_page_once() {
        let mut seen = std::vec::Vec::new();
        let part = |update: &mut SnpLaunchUpdate| {
            let pages = update.pages().min(3);
            seen.extend((0..pages).map(|page| (update.gfn_start + page, update.uaddr + page * PAGE_SIZE)));
            *update = update.rest(pages);
            Ok(())
        };
        assert_eq!(snp(UPDATE, part, |_| false), Ok(()));
        assert_eq!(seen, (0..8).map(|page| (0x100 + page, 0x5000 + page * PAGE_SIZE)).collect::<std::vec::Vec<_>>());
    }

    #[test]
    fn success_without_a_page_is_stopped_at_once() {
        let stopped = Stopped { done: 0, gpa: 0x10_0000, why: Why::NoProgress };
        assert_eq!(snp(UPDATE, |_| Ok(()), |_| true), Err(stopped));
        assert_eq!(tdx(REGION, |_| Ok(()), |_| true), Err(stopped));
    }

    #[test]
    fn a_failure_with_progress_is_gone_on_from_or_named() {
        let mut calls = 0;
        let busy = |region: &mut TdxInitMemRegion| {
            calls += 1;
            *region = region.rest(1);
            if calls < 8 { Err(refused(Errno::EBUSY)) } else { Ok(()) }
        };
        let mut attempts = std::vec::Vec::new();
        let pause = |attempt| {
            attempts.push(attempt);
            true
        };
        assert_eq!(tdx(REGION, busy, pause), Ok(()));
        assert_eq!(attempts, [0; 7]);
        let broken = |region: &mut TdxInitMemRegion| {
            *region = region.rest(2);
            Err(refused(Errno::EIO))
        };
        let why = Why::Refused(refused(Errno::EIO));
        assert_eq!(tdx(REGION, broken, |_| true), Err(Stopped { done: 2, gpa: 0x10_2000, why }));
    }

    #[test]
    fn a_passing_reason_passes_as_often_as_the_caller_says() {
        let busy = |_: &mut SnpLaunchUpdate| Err(refused(Errno::EINTR));
        let why = Why::Refused(refused(Errno::EINTR));
        let mut attempts = 0;
        let pause = |attempt| {
            attempts += 1;
            attempt < 3
        };
        assert_eq!(snp(UPDATE, busy, pause), Err(Stopped { done: 0, gpa: 0x10_0000, why }));
        assert_eq!(attempts, 4);
        // Busy firmware is no passing reason for SNP: the kernel says so for no page.
        let busy = |_: &mut SnpLaunchUpdate| Err(refused(Errno::EBUSY));
        assert!(snp(UPDATE, busy, |_| panic!("not asked again")).is_err());
    }

    #[test]
    fn what_is_no_rest_is_never_gone_on_from() {
        let lies: [fn(&mut SnpLaunchUpdate); 6] = [
            |update| update.len += PAGE_SIZE,
            |update| update.len -= PAGE_SIZE,
            |update| *update = SnpLaunchUpdate { gfn_start: update.gfn_start + 2, ..update.rest(1) },
            |update| *update = SnpLaunchUpdate { uaddr: update.uaddr, ..update.rest(1) },
            |update| *update = SnpLaunchUpdate { page_type: 3, ..update.rest(1) },
            |update| update.len = 1,
        ];
        for (nth, lie) in lies.into_iter().enumerate() {
            for answer in [Ok(()), Err(refused(Errno::EAGAIN))] {
                let call = |update: &mut SnpLaunchUpdate| {
                    lie(update);
                    answer
                };
                let stopped = snp(UPDATE, call, |_| true).unwrap_err();
                assert_eq!(stopped, Stopped { done: 0, gpa: 0x10_0000, why: Why::Astray }, "lie {nth}");
            }
        }
    }

    #[test]
    fn pages_without_a_source_have_no_address_that_counts() {
        let zeroes = SnpLaunchUpdate { page_type: SnpPageType::ZERO.0, ..UPDATE };
        let kept = |update: &mut SnpLaunchUpdate| {
            *update = SnpLaunchUpdate { uaddr: update.uaddr, ..update.rest(2) };
            Ok(())
        };
        assert_eq!(snp(zeroes, kept, |_| false), Ok(()));
        let in_place = SnpLaunchUpdate { uaddr: 0, ..UPDATE };
        let part = |update: &mut SnpLaunchUpdate| {
            assert_eq!(update.uaddr, 0);
            *update = update.rest(4);
            Ok(())
        };
        assert_eq!(snp(in_place, part, |_| false), Ok(()));
    }
}
