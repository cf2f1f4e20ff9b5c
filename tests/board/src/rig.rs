//! A system to try things on: a board, its hypervisor, and one VM with a vCPU that runs.

use super::check::{self, View};
use super::{Board, END, OWN, RAM, REGIONS, pfns, try_el2};
use tenure_abi::pkvm::GuestCall;
use tenure_abi::run::StopReason;
use tenure_abi::service::VmKind;
use tenure_abi::{AddressWidth, Error, FrameRange, Gfn, Located, PageState, Pfn, VmHandle};
use tenure_hyp::el2::{El2, GuestOutcome, HostFault, Start, Stop, VcpuToken};
use tenure_hyp::tracker::Entry;

/// Where a rig's VM has its root tables; its other table pages follow.
pub const ROOT: u64 = RAM + OWN;
/// The run page of its vCPU.
pub const RUN_PAGE: u64 = RAM + OWN + 100;
/// Where tests take host pages from: the second region on.
pub const HOST: u64 = RAM + 512;
/// The guest frame that tests put things at; a 2 MiB boundary.
pub const GFN: u64 = 0x50_0000;

/// Guest frame `number`.
pub fn gfn(number: u64) -> Gfn {
    Gfn::new(number).unwrap()
}

/// A range of guest frames.
pub fn gfns(first: u64, count: u64) -> FrameRange<Gfn> {
    FrameRange::new(gfn(first), count, AddressWidth::GUEST_MAX).unwrap()
}

/// A board with one VM.
pub struct Rig {
    /// The machine.
    pub board: &'static Board,
    /// Its hypervisor; lives for ever, so that watchers can call it.
    pub el2: &'static El2<'static, Board>,
    /// The VM.
    pub vm: VmHandle,
    /// The right to run its vCPU, while that runs.
    pub vcpu: Option<VcpuToken>,
    /// Every VM there is.
    pub views: Vec<View>,
}

impl Rig {
    /// A VM of kind `kind` with `tables` pages for tables beside its roots.
    pub fn new(kind: VmKind, tables: u64) -> Self {
        Self::with_blocks(kind, tables, REGIONS)
    }

    /// As [`Rig::new`]; only the first `blocks` regions of RAM can become mixed: at least 1.
    pub fn with_blocks(kind: VmKind, tables: u64, blocks: u64) -> Self {
        let board = Board::new();
        let el2: &'static El2<'static, Board> = Box::leak(Box::new(try_el2(board, OWN - 2, blocks).unwrap()));
        let vm = el2.vm_create(kind, pfns(ROOT, 2)).unwrap();
        if tables != 0 {
            assert_eq!(el2.vm_topup(vm, pfns(ROOT + 2, tables)), Ok(tables));
        }
        el2.share_hyp(pfns(RUN_PAGE, 1)).unwrap();
        let start = Start { entry: 0, argument: 0 };
        assert_eq!(el2.vcpu_create(vm, Pfn::new(RUN_PAGE).unwrap(), start), Ok(0));
        let (token, _) = el2.vcpu_run(vm, 0).unwrap();
        Self { board, el2, vm, vcpu: Some(token), views: vec![View { slot: vm.slot(), root: ROOT }] }
    }

    /// A protected VM with enough table pages.
    pub fn protected() -> Self {
        Self::new(VmKind::Protected, 16)
    }

    /// Gives host pages to the VM: all of them.
    pub fn donate(&self, pfn: u64, at: u64, pages: u64) {
        let mut done = 0;
        while done < pages {
            done += self.try_donate(pfn + done, at + done, pages - done).unwrap();
        }
    }

    /// One call of PK-11.
    ///
    /// # Errors
    /// The call's.
    pub fn try_donate(&self, pfn: u64, at: u64, pages: u64) -> Result<u64, Located<Error>> {
        self.el2.donate_guest(self.vm, pfns(pfn, pages), gfn(at))
    }

    /// A call of the guest, the fast path first, as an image does.
    pub fn call(&self, call: GuestCall) -> GuestOutcome {
        self.call_regs(call.to_regs())
    }

    /// The same from registers.
    pub fn call_regs(&self, regs: [u64; 4]) -> GuestOutcome {
        let vcpu = self.vcpu.as_ref().unwrap();
        let fast = self.el2.guest_call_fast(vcpu, regs).map(GuestOutcome::Reply);
        fast.unwrap_or_else(|| self.el2.guest_call(vcpu, regs))
    }

    /// The guest shares pages: all of them.
    pub fn share(&self, at: u64, pages: u64) {
        assert_eq!(self.call(GuestCall::MemShare(gfns(at, pages))), GuestOutcome::Reply([0, pages, 0, 0]));
    }

    /// The guest unshares pages: all of them.
    pub fn unshare(&self, at: u64, pages: u64) {
        assert_eq!(self.call(GuestCall::MemUnshare(gfns(at, pages))), GuestOutcome::Reply([0, pages, 0, 0]));
    }

    /// Whose a page is.
    pub fn state(&self, pfn: u64) -> PageState {
        self.el2.tracker().state(Pfn::new(pfn).unwrap()).unwrap()
    }

    /// The entry of a page.
    pub fn entry(&self, pfn: u64) -> Entry {
        let pfn = Pfn::new(pfn).unwrap();
        self.el2.tracker().lock_region(pfn).unwrap().entry(pfn)
    }

    /// What the host gets when it touches `pfn` now; whether it may.
    pub fn touch(&self, pfn: u64) -> bool {
        self.el2.host_fault(pfn << 12) == HostFault::Retry
    }

    /// Stops the vCPU.
    pub fn stop(&mut self) {
        if let Some(token) = self.vcpu.take() {
            self.el2.vcpu_stopped(token, Stop::plain(StopReason::SystemOff));
        }
    }

    /// Stops the VM for ever.
    pub fn kill(&mut self) {
        self.stop();
        self.el2.vm_start_teardown(self.vm).unwrap();
    }

    /// Ends the VM from wherever it is: its memory goes back, table pages come when they are asked for.
    pub fn end(&mut self, spare: u64) {
        self.stop();
        let _ = self.el2.vm_start_teardown(self.vm);
        let mut spare = spare..END;
        while let Some(at) = self.board.leaves(ROOT).first() {
            let range = gfns(at, 512);
            let protected = self.el2.reclaim_guest(self.vm, range);
            let back = protected.or_else(|_| self.el2.unshare_guest(self.vm, range));
            match (protected.err().map(|refused| refused.error), back) {
                (_, Ok(pages)) => assert!(pages > 0),
                (Some(Error::NoMemory), _) | (_, Err(Located { error: Error::NoMemory, .. })) => {
                    let page = spare.next().unwrap();
                    assert_eq!(self.el2.vm_topup(self.vm, pfns(page, 1)), Ok(1), "a dying VM can be helped");
                }
                refused => panic!("{at:#x}: {refused:?}"),
            }
        }
        self.finish();
    }

    /// Gives everything a dying VM has back, its memory being gone already.
    pub fn finish(&mut self) {
        while self.el2.vm_finish_teardown(self.vm).unwrap() != 0 {}
        self.views.retain(|view| view.slot != self.vm.slot());
    }

    /// Asserts the invariants.
    pub fn sound(&self) {
        check::sound(self.board, self.el2, &self.views);
    }

    /// What a refused call must leave as it was.
    pub fn snapshot(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        check::snapshot(self.board, self.el2, OWN + 101)
    }

    /// Asserts that all of RAM but the hypervisor's own pages and the run page is the host's, and nothing of it mapped at EL2.
    pub fn all_is_the_hosts(&self) {
        for pfn in (RAM + OWN..END).step_by(check::EVERY).filter(|&pfn| pfn != RUN_PAGE) {
            assert_eq!(self.entry(pfn), Entry::HOST, "{pfn:#x}");
        }
    }
}
