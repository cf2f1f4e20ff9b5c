//! What actors do: the operations whose pairs are explored.

use crate::world::{GFN, GFNS, PAGE, PAGES, SECRET, World, gfn, gfns, pfns};
use std::sync::atomic::Ordering::SeqCst;
use tenure_abi::pkvm::GuestCall;
use tenure_abi::run::StopReason;
use tenure_abi::service::Prot;
use tenure_abi::{Error, Located};
use tenure_hyp::el2::{GuestOutcome, Stop, VcpuToken};
use tenure_machine::Seat;
use tenure_machine::step::{draw, note, wait};

/// What one actor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// The host lends pages 3 and 4 to the borrower, which uses them.
    Lend,
    /// The host takes back what it lent.
    TakeBack,
    /// The host donates page 3, and page 0 at another gfn if it has come back.
    Donate,
    /// The guest shares page 0, and page 3 if it was donated.
    Share,
    /// The guest unshares page 2, and what it has at G and G + 1; then it keeps secrets there.
    Unshare,
    /// The host stops the guest and reclaims its pages.
    Reclaim,
    /// The host takes pages 0 to 2 by force.
    ForcedReclaim,
    /// The host and its device read and write every page.
    Touch,
    /// The guest reads and writes its pages, and gives pages 1 and 0 back.
    GuestCall,
    /// The host stops the guest, reclaims everything, and ends it.
    Teardown,
}

impl Op {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Lend,
        Self::TakeBack,
        Self::Donate,
        Self::Share,
        Self::Unshare,
        Self::Reclaim,
        Self::ForcedReclaim,
        Self::Touch,
        Self::GuestCall,
        Self::Teardown,
    ];

    /// Does it. `vcpu` is the vCPU that this actor may run.
    pub fn run(self, world: &World<'_>, vcpu: u64) {
        match self {
            Self::Lend => world.lend(),
            Self::TakeBack => world.take_back(),
            Self::Donate => world.donate(),
            Self::Share => world.on_vcpu(vcpu, |token| world.share(token)),
            Self::Unshare => world.on_vcpu(vcpu, |token| world.unshare(token)),
            Self::Reclaim => world.reclaim(),
            Self::ForcedReclaim => world.force(),
            Self::Touch => world.touch(),
            Self::GuestCall => world.on_vcpu(vcpu, |token| world.guest_work(token)),
            Self::Teardown => world.teardown(),
        }
    }
}

/// Notes how a call ended.
fn noted<T>(done: &'static str, refused: &'static str, answer: Result<T, Located<Error>>) -> Result<T, Located<Error>> {
    note(if answer.is_ok() { done } else { refused });
    answer
}

/// Calls again while the answer is `Retry` or `Busy`, a bounded number of times.
fn retried<T>(mut call: impl FnMut() -> Result<T, Located<Error>>) -> Result<T, Located<Error>> {
    for _ in 0..20 {
        match call() {
            Err(Located { error: Error::Retry | Error::Busy, .. }) => wait(),
            answer => return answer,
        }
    }
    call()
}

impl World<'_> {
    fn on_vcpu(&self, vcpu: u64, f: impl FnOnce(&VcpuToken)) {
        if let Ok((token, _)) = retried(|| self.el2.vcpu_run(self.vm, vcpu)) {
            f(&token);
            self.el2.vcpu_stopped(token, Stop::plain(StopReason::SystemOff));
        }
    }

    /// A call as an image makes it: the fast path first, again when it is rewound. Answers how many pages were done.
    fn call(&self, token: &VcpuToken, call: GuestCall) -> u64 {
        let regs = call.to_regs();
        for _ in 0..20 {
            if let Some([0, done, ..]) = self.el2.guest_call_fast(token, regs) {
                return done;
            }
            match self.el2.guest_call(token, regs) {
                GuestOutcome::Rewind => wait(),
                GuestOutcome::Reply([0, done, ..]) => return done,
                _ => return 0,
            }
        }
        0
    }

    fn lend(&self) {
        for (page, at) in [(4, 1), (3, 2)] {
            let frames = pfns(PAGE + page, 1);
            let answer = retried(|| self.el2.share_guest(self.borrower, frames, gfn(GFN + at), Prot::R | Prot::W));
            let _ = noted("lent", "lend refused", answer);
            for at in GFN..GFN + 3 {
                self.borrower_access(at, Some(0xbb_0000));
            }
        }
    }

    fn take_back(&self) {
        self.borrower_access(GFN, None);
        for at in GFN..GFN + 3 {
            let answer = retried(|| self.el2.unshare_guest(self.borrower, gfns(at, 1)));
            let _ = noted("taken back", "take back refused", answer);
            self.borrower_access(GFN, None);
        }
    }

    fn donate(&self) {
        for (page, at) in [(3, 3), (0, 5), (1, 6)] {
            let answer = retried(|| self.el2.donate_guest(self.vm, pfns(PAGE + page, 1), gfn(GFN + at)));
            let _ = noted("donated", "donate refused", answer);
        }
    }

    fn share(&self, token: &VcpuToken) {
        self.public.fetch_or(1 | 1 << 3, SeqCst);
        for at in [0, 3] {
            let shared = self.call(token, GuestCall::MemShare(gfns(GFN + at, 1 + at / 3))) != 0;
            note(if shared { "shared" } else { "share refused" });
        }
        self.guest_access(GFN, None);
    }

    fn unshare(&self, token: &VcpuToken) {
        let unshared = self.call(token, GuestCall::MemUnshare(gfns(GFN + 2, 1))) == 1;
        note(if unshared { "unshared" } else { "unshare refused" });
        if unshared {
            self.public.fetch_and(!(1 << 2), SeqCst);
            self.guest_access(GFN + 2, Some(SECRET + 2));
        }
        self.call(token, GuestCall::MemUnshare(gfns(GFN, 2)));
        if unshared {
            self.guest_finds(GFN + 2, SECRET + 2);
        }
        self.guest_finds(GFN + 1, SECRET + 1);
    }

    fn guest_work(&self, token: &VcpuToken) {
        for at in GFN..GFN + 7 {
            self.guest_access(at, None);
        }
        let there = self.guest_finds(GFN + 1, SECRET + 1);
        self.call(token, GuestCall::MemRelinquish(gfn(GFN + 1)));
        let gone = self.guest_access(GFN + 1, None).is_none();
        note(if there && gone { "relinquished" } else { "relinquish refused" });
        self.guest_access(GFN, Some(SECRET + 0x10));
        self.call(token, GuestCall::MemRelinquish(gfn(GFN)));
        for at in [GFN + 1, GFN + 5] {
            self.guest_access(at, None);
        }
    }

    fn force(&self) {
        for (page, pages) in [(0, 2), (2, 1), (1, 1)] {
            let answer = retried(|| self.el2.force_reclaim(pfns(PAGE + page, pages)));
            let _ = noted("forced", "force refused", answer);
        }
    }

    fn touch(&self) {
        let first = draw(PAGES);
        for page in (first..PAGES).chain(0..first) {
            let read = self.host_access(page, None);
            note(if read.is_some() { "host read" } else { "host refused" });
            self.host_side(Seat::Device(0), page, None);
        }
        // Another region, whose level-3 table may have to come from this one.
        self.host_access(512 + draw(PAGES), None);
        for page in [2, 0, 3] {
            self.host_access(page, Some(0xa0_0000 + page));
            self.host_side(Seat::Device(0), page, Some(0xd0_0000));
        }
    }

    fn reclaim(&self) {
        let _ = retried(|| self.el2.vm_start_teardown(self.vm));
        let mut at = 0;
        while at < GFNS {
            let rest = gfns(GFN + at, GFNS - at);
            let answer = retried(|| self.el2.reclaim_guest(self.vm, rest));
            at += noted("reclaimed", "reclaim refused", answer).unwrap_or(1);
        }
    }

    fn teardown(&self) {
        self.reclaim();
        for _ in 0..4 {
            match retried(|| self.el2.vm_finish_teardown(self.vm)) {
                Ok(0) => return note("ended"),
                Err(_) => return note("end refused"),
                Ok(_) => {}
            }
        }
    }
}
