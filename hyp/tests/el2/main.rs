//! `El2` on a hosted board: what hosts and guests can and cannot do, down to their stage-2 tables.

mod calls;
mod contradictions;
mod guests;
mod host_tables;
mod hostile;
mod lifecycle;
mod runs;
mod vcpus;

use tenure_abi::pkvm::{GuestCall, GuestReply};
use tenure_abi::service::VmKind;
use tenure_abi::{AddressWidth, Error, FrameRange, Gfn, Located, Owner, PageState, Pfn, VmHandle};
use tenure_hyp::el2::{El2, GuestOutcome, Resume, Start, VcpuToken};
use tenure_test_board::{Board, OWN, RAM, el2, pfns};

/// Where tests take host pages from: the second region on.
const HOST: u64 = RAM + 512;
/// What nobody but the guest may read.
const SECRET: u64 = 0x5ec2_e75e_c2e7;
/// The guest frame tests put things at.
const GFN: u64 = 0x50_0000;

fn gfn(number: u64) -> Gfn {
    Gfn::new(number).unwrap()
}

fn gfns(first: u64, count: u64) -> FrameRange<Gfn> {
    FrameRange::new(gfn(first), count, AddressWidth::GUEST_MAX).unwrap()
}

/// A board with one VM that has `tables` pages for tables and one vCPU that runs.
struct Rig {
    board: &'static Board,
    el2: El2<'static, Board>,
    vm: VmHandle,
    vcpu: Option<VcpuToken>,
}

impl Rig {
    fn new(kind: VmKind) -> Self {
        let board = Board::new();
        let el2 = el2(board);
        let vm = create(&el2, kind, RAM + OWN);
        let run_page = RAM + OWN + 100;
        el2.share_hyp(pfns(run_page, 1)).unwrap();
        let start = Start { entry: 0x4000_0000, argument: 7 };
        assert_eq!(el2.vcpu_create(vm, Pfn::new(run_page).unwrap(), start), Ok(0));
        let (token, resume) = el2.vcpu_run(vm, 0).unwrap();
        assert_eq!(resume, Resume::Start(start));
        Self { board, el2, vm, vcpu: Some(token) }
    }

    fn protected() -> Self {
        Self::new(VmKind::Protected)
    }

    fn donate(&self, pfn: u64, at: u64, pages: u64) -> Result<u64, Located<Error>> {
        self.el2.donate_guest(self.vm, pfns(pfn, pages), gfn(at))
    }

    /// As an image does: the fast path first.
    fn call(&self, call: GuestCall) -> GuestOutcome {
        let (vcpu, regs) = (self.vcpu.as_ref().unwrap(), call.to_regs());
        let fast = self.el2.guest_call_fast(vcpu, regs).map(GuestOutcome::Reply);
        fast.unwrap_or_else(|| self.el2.guest_call(vcpu, regs))
    }

    fn state(&self, pfn: u64) -> PageState {
        self.el2.tracker().state(Pfn::new(pfn).unwrap()).unwrap()
    }

    fn owner(&self) -> Owner {
        Owner::Guest(self.vm.slot())
    }

    /// What the host gets when it touches `pfn` now.
    fn touch(&self, pfn: u64) -> bool {
        self.el2.host_fault(pfn << 12) == tenure_hyp::el2::HostFault::Retry
    }

    fn sound(&self) {
        let audit = self.el2.tracker().audit(Pfn::new(0).unwrap(), u64::MAX);
        assert_eq!((audit.faults, audit.busy, self.el2.tracker().contradictions()), (0, 0, 0), "{audit:?}");
        assert_eq!(audit.kinds.iter().sum::<u64>(), audit.pages);
    }
}

/// A VM whose two root tables and 16 further table pages come from `from` on.
fn create(el2: &El2<'static, Board>, kind: VmKind, from: u64) -> VmHandle {
    let vm = el2.vm_create(kind, pfns(from, 2)).unwrap();
    assert_eq!(el2.vm_topup(vm, pfns(from + 2, 16)), Ok(16));
    vm
}

fn done(pages: u64) -> GuestOutcome {
    GuestReply::Done(pages).into()
}

fn refused(error: Error) -> GuestOutcome {
    GuestReply::Refused(error).into()
}
