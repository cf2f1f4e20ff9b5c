//! The whole of EL2 on a hosted board, asked as hosts and guests ask it.
//!
//! Here the VM table, the guests' stage-2 tables and the host's are real, and so is content: every page
//! that a call names is marked before it, and afterwards the mark or zeroes must be there, as the call's row
//! says. The first region of RAM is not the specification's: there lie EL2's own pages and what VMs are made of.

use super::LIMITS;
use super::subject::Subject;
use crate::op::Op;
use crate::spec::{Answer, Done, Machine, Span, Spec, VmKind};
use std::collections::{BTreeMap, BTreeSet};
use tenure_abi::pkvm::id;
use tenure_abi::run::StopReason;
use tenure_abi::service::{self, Prot};
use tenure_abi::{
    AddressWidth, Error, Frame, FrameRange, Gfn, Interface, Located, Owner, PAGE_SHIFT, PageState, Pfn, Place,
    VmHandle, VmSlot,
};
use tenure_hyp::el2::{El2, GuestOutcome, HostFault, Start, Stop, VcpuToken};
use tenure_test_board::{Board, END, OWN, RAM, el2};

/// The first page of RAM that calls are about.
const FIRST: u64 = RAM + 512;
/// One past the last frame number, of hosts and guests: 40 bits.
const SPACE: u64 = 1 << 28;
/// What a VM is made of: pages of the first region, roots first, the run page last.
const PAGES_PER_VM: u64 = 112;
const ROOTS: u64 = 2;
/// Table pages that are enough for any VM of a trace.
pub const PLENTY: u64 = 100;
/// VMs the board has place for.
const VMS: usize = 4;
/// What is written into a page before a call.
const MARK: u64 = 0x5ec2_e700_0000_0001;

struct Known {
    handle: VmHandle,
    /// Which share of the first region it is made of.
    place: u64,
    /// The right to run its vCPU, while it lives.
    vcpu: Option<VcpuToken>,
}

/// EL2 on a board, and its VMs by the slots the specification calls them.
pub struct Dispatch {
    board: &'static Board,
    el2: El2<'static, Board>,
    vms: BTreeMap<VmSlot, Known>,
    /// The handles of VMs that are gone: stale.
    stale: BTreeMap<VmSlot, VmHandle>,
    /// How many table pages each VM gets.
    tables: u64,
}

impl Dispatch {
    /// EL2 just started; each VM will get `tables` table pages, at most [`PLENTY`].
    pub fn new(tables: u64) -> Self {
        let board = Board::new();
        let (vms, stale) = (BTreeMap::new(), BTreeMap::new());
        Self { board, el2: el2(board), vms, stale, tables: tables.min(PLENTY) }
    }

    fn handle(&self, vm: VmSlot) -> VmHandle {
        let known = self.vms.get(&vm).map(|known| known.handle);
        let forged = VmHandle::new(vm, core::num::NonZeroU32::MAX);
        known.or(self.stale.get(&vm).copied()).unwrap_or(forged)
    }

    fn create(&mut self, vm: VmSlot, kind: VmKind) -> Result<(), Located<Error>> {
        let used: BTreeSet<u64> = self.vms.values().map(|known| known.place).collect();
        let place = (0..VMS as u64).find(|place| !used.contains(place)).ok_or(Error::NoMemory)?;
        let first = RAM + OWN + place * PAGES_PER_VM;
        let frames = |first, count| range::<Pfn>(Span { first, count });
        let kind = match kind {
            VmKind::Protected => service::VmKind::Protected,
            VmKind::NonProtected => service::VmKind::NonProtected,
        };
        let run_page = frames(first + PAGES_PER_VM - 1, 1)?;
        self.el2.share_hyp(run_page)?;
        let handle = self.el2.vm_create(kind, frames(first, ROOTS)?)?;
        self.el2.vm_topup(handle, frames(first + ROOTS, self.tables)?)?;
        self.el2.vcpu_create(handle, run_page.first(), Start { entry: 0, argument: 0 })?;
        let (token, _) = self.el2.vcpu_run(handle, 0)?;
        self.vms.insert(vm, Known { handle, place, vcpu: Some(token) });
        Ok(())
    }

    fn finish(&mut self, vm: VmSlot) -> Result<(), Located<Error>> {
        while self.el2.vm_finish_teardown(self.handle(vm))? > 0 {}
        if let Some(gone) = self.vms.remove(&vm) {
            let run_page = RAM + OWN + (gone.place + 1) * PAGES_PER_VM - 1;
            self.el2.unshare_hyp(range(Span { first: run_page, count: 1 })?)?;
            self.stale.insert(vm, gone.handle);
        }
        Ok(())
    }

    fn start_teardown(&mut self, vm: VmSlot) -> Result<(), Located<Error>> {
        if let Some(token) = self.vms.get_mut(&vm).and_then(|known| known.vcpu.take()) {
            self.el2.vcpu_stopped(token, Stop::plain(StopReason::Interrupt));
        }
        self.el2.vm_start_teardown(self.handle(vm))
    }

    /// How many pages EL2 says it did.
    fn ask(&mut self, op: Op) -> Result<u64, Located<Error>> {
        let count = op.span().map_or(0, |span| span.count);
        let all = |done: Result<(), Located<Error>>| done.map(|()| count);
        match op {
            Op::HostShareHyp(pages) => self.el2.share_hyp(range(pages)?),
            Op::HostUnshareHyp(pages) => self.el2.unshare_hyp(range(pages)?),
            Op::HypPin(pages) => all(self.el2.pin(range(pages)?)),
            Op::HypUnpin(pages) => all(self.el2.unpin(range(pages)?)),
            Op::HostDonateHyp(pages) => all(self.el2.donate_hyp(range(pages)?)),
            Op::HypDonateHost(pages) => all(self.el2.return_to_host(range(pages)?)),
            Op::HostShareGuest { vm, pages, gfn } => {
                range::<Gfn>(Span { first: gfn, count })?;
                self.el2.share_guest(self.handle(vm), range(pages)?, Gfn::new(gfn)?, Prot::R | Prot::W)
            }
            Op::HostDonateGuest { vm, pages, gfn } => {
                range::<Gfn>(Span { first: gfn, count })?;
                self.el2.donate_guest(self.handle(vm), range(pages)?, Gfn::new(gfn)?)
            }
            Op::HostUnshareGuest { vm, gfns } => self.el2.unshare_guest(self.handle(vm), range(gfns)?),
            Op::Reclaim { vm, gfns } => self.el2.reclaim_guest(self.handle(vm), range(gfns)?),
            Op::ForceReclaim(pages) => self.el2.force_reclaim(range(pages)?),
            Op::GuestShareHost { vm, gfns } => self.guest(id::MEM_SHARE, vm, gfns),
            Op::GuestUnshareHost { vm, gfns } => self.guest(id::MEM_UNSHARE, vm, gfns),
            Op::Relinquish { vm, gfns } => self.relinquish(vm, gfns),
            Op::Compact(pages) => {
                self.el2.tracker().compact(Pfn::new(pages.first)?, count);
                Ok(count)
            }
            Op::VmCreate { vm, kind } => all(self.create(vm, kind)),
            Op::VmStartTeardown(vm) => all(self.start_teardown(vm)),
            Op::VmFinishTeardown(vm) => all(self.finish(vm)),
            Op::HypGet(_) | Op::HypPut(_) => Err(Error::NotSupported.into()),
        }
    }

    /// A guest's call on a range. What a guest is told is a code: any refusal is `Invalid` here.
    fn guest(&self, function: u32, vm: VmSlot, gfns: Span) -> Result<u64, Located<Error>> {
        range::<Gfn>(gfns)?;
        let vcpu = self.vms.get(&vm).and_then(|known| known.vcpu.as_ref()).ok_or(Error::Internal)?;
        let regs = [function.into(), gfns.first << PAGE_SHIFT, gfns.count, 0];
        match self.el2.guest_call(vcpu, regs) {
            GuestOutcome::Reply([0, done, ..]) | GuestOutcome::ReplyAndStop([0, done, ..], _) => Ok(done),
            GuestOutcome::RewindAndStop(Stop { reason: StopReason::Memory, address, .. }) => {
                Err(Located::gfn(Error::NotFound, Gfn::from_address(address)?))
            }
            GuestOutcome::RewindAndStop(_) => Err(Error::NoMemory.into()),
            GuestOutcome::Rewind => Err(Error::Retry.into()),
            GuestOutcome::Reply(_) | GuestOutcome::ReplyAndStop(..) => Err(Error::Invalid.into()),
        }
    }

    /// Relinquishing takes one page a call, and says nothing of how many.
    fn relinquish(&self, vm: VmSlot, gfns: Span) -> Result<u64, Located<Error>> {
        range::<Gfn>(gfns)?;
        for done in 0..gfns.count {
            let page = Span { first: gfns.first + done, count: 0 };
            let vcpu = self.vms.get(&vm).and_then(|known| known.vcpu.as_ref()).ok_or(Error::Internal)?;
            let regs = [id::MEM_RELINQUISH.into(), page.first << PAGE_SHIFT, 0, 0];
            let refused = match self.el2.guest_call(vcpu, regs) {
                GuestOutcome::Reply([0, ..]) | GuestOutcome::ReplyAndStop([0, ..], _) => continue,
                GuestOutcome::RewindAndStop(_) => Error::NoMemory,
                GuestOutcome::Rewind => Error::Retry,
                _ => Error::Invalid,
            };
            return if done == 0 { Err(refused.into()) } else { Ok(done) };
        }
        Ok(gfns.count)
    }

    /// The specification's name of a VM.
    fn named(&self, slot: VmSlot) -> VmSlot {
        let known = self.vms.iter().find(|(_, known)| known.handle.slot() == slot);
        known.map_or(slot, |(&name, _)| name)
    }
}

impl Subject for Dispatch {
    fn machine(&self) -> Machine {
        Machine { ram: vec![(FIRST, END)], pfn_end: SPACE, gfn_end: SPACE, limits: LIMITS }
    }

    fn takes(&self, op: Op, spec: &Spec) -> bool {
        let beside = |pages: Span| pages.first >= FIRST || pages.first.saturating_add(pages.count) <= RAM;
        let runs = |vm| self.vms.get(&vm).is_some_and(|known: &Known| known.vcpu.is_some());
        match op {
            Op::HypGet(_) | Op::HypPut(_) => false,
            // What a non-protected guest is told when it shares is for its interface to say, not for these rows.
            Op::GuestShareHost { vm, .. } | Op::GuestUnshareHost { vm, .. } => {
                runs(vm) && spec.vms.get(&vm).is_some_and(|vm| vm.kind == VmKind::Protected)
            }
            Op::Relinquish { vm, .. } => runs(vm),
            Op::VmCreate { vm, .. } => !self.vms.contains_key(&vm) && self.vms.len() < VMS,
            _ => op.pages().is_none_or(beside),
        }
    }

    fn follows(&self, _: Op) -> bool {
        false
    }

    fn learn(&mut self, _: Op) {}

    fn call(&mut self, op: Op, spec: &Spec) -> Answer {
        let ram = |pfn: &Pfn| spec.owner.contains_key(pfn);
        let marked: Vec<Pfn> = op.named_pages(spec).into_iter().filter(ram).collect();
        for pfn in &marked {
            self.board.write(pfn.number(), 0, MARK ^ pfn.number() << 8);
        }
        let pages = self.ask(op)?;
        let mut scrubbed = BTreeSet::new();
        for &pfn in &marked {
            match self.board.read(pfn.number(), 0) {
                0 => drop(scrubbed.insert(pfn)),
                kept => assert_eq!(kept, MARK ^ pfn.number() << 8, "the content of {pfn:?} changed"),
            }
        }
        // PK-06 leaves the zeroing to its caller, which EL2 is itself.
        if matches!(op, Op::HypDonateHost(_)) {
            assert_eq!(scrubbed.len() as u64, pages, "pages of the hypervisor left it unscrubbed");
            scrubbed.clear();
        }
        Ok(Done { pages, scrubbed })
    }

    fn may_lack_memory(&self) -> bool {
        self.tables < PLENTY
    }

    fn chooses(&self, op: Op, spec: &Answer, subject: &Answer) -> Option<&'static str> {
        let (Err(spec), Err(subject)) = (spec, subject) else { return None };
        let guest = |error: Error| error.code(Interface::Guest);
        match op {
            Op::GuestShareHost { .. } if spec.error == Error::NotFound => None,
            Op::GuestShareHost { .. } | Op::GuestUnshareHost { .. } | Op::Relinquish { .. } => {
                let hidden = subject.error == Error::Invalid && guest(spec.error) == guest(Error::Invalid);
                hidden.then_some("a guest is told a code, not a place")
            }
            Op::Reclaim { .. } if (spec.error, subject.error) == (Error::NotFound, Error::Denied) => {
                Some("a non-protected VM has nothing to reclaim, mapped or not")
            }
            Op::HostShareGuest { .. } | Op::HostDonateGuest { .. } | Op::ForceReclaim(_)
                if spec.error == Error::Invalid && matches!(spec.at, Place::Pfn(_)) =>
            {
                Some("a call that may stop early looks no further than it gets")
            }
            Op::HostShareGuest { .. } | Op::HostDonateGuest { .. } if spec.error == subject.error => {
                Some("host pages are judged before guest addresses")
            }
            _ => None,
        }
    }

    fn state(&self, pfn: Pfn) -> Result<PageState, Error> {
        if (RAM..FIRST).contains(&pfn.number()) {
            return Ok(PageState::Absent);
        }
        let named = |owner| match owner {
            Owner::Guest(slot) => Owner::Guest(self.named(slot)),
            other => other,
        };
        Ok(match self.el2.tracker().state(pfn)? {
            PageState::Exclusive(owner) => PageState::Exclusive(named(owner)),
            PageState::Shared { owner, with } => PageState::Shared { owner: named(owner), with },
            other => other,
        })
    }

    fn seen_at(&self, pfn: Pfn) -> Option<(VmSlot, Gfn)> {
        let (slot, gfn) = self.el2.tracker().lock_region(pfn).ok()?.entry(pfn).guest()?;
        Some((self.named(slot), gfn))
    }

    fn host_touches(&self, pfn: Pfn) -> Option<bool> {
        let beside = (FIRST..END).contains(&pfn.number());
        beside.then(|| self.el2.host_fault(pfn.address()) == HostFault::Retry)
    }

    fn audit(&self, _: &Spec) -> Result<(), String> {
        let audit = self.el2.tracker().audit(Pfn::new(0).map_err(|e| format!("{e:?}"))?, u64::MAX);
        let sum: u64 = audit.kinds.iter().sum();
        let sound = audit.faults == 0 && audit.busy == 0 && audit.next.is_none() && sum == audit.pages;
        match (sound, self.el2.tracker().contradictions()) {
            (true, 0) => Ok(()),
            (_, contradictions) => Err(format!("{contradictions} contradictions, {audit:?}")),
        }
    }
}

/// A range of well-formed frames: the board's addresses have 40 bits, on both sides.
fn range<F: Frame>(span: Span) -> Result<FrameRange<F>, Error> {
    FrameRange::new(F::new(span.first)?, span.count, AddressWidth::new(40)?)
}
