//! The whole of EL2 on a hosted board, asked as hosts and guests ask it.
//!
//! Here the VM table, the guests' stage-2 tables and the host's are real, and so is content: every page
//! that a call names is marked before it, and afterwards the mark or zeroes must be there, as the call's row
//! says. The first region of RAM is not the specification's: there lie EL2's own pages and what VMs are made of.

mod checked;
mod look;

use crate::op::Op;
use crate::spec::{Span, VmKind};
use std::collections::{BTreeMap, BTreeSet};
use tenure_abi::pkvm::id;
use tenure_abi::run::StopReason;
use tenure_abi::service::{self, Prot};
use tenure_abi::{AddressWidth, Error, Frame, FrameRange, Gfn, Located, PAGE_SHIFT, Pfn, VmHandle, VmSlot};
use tenure_hyp::el2::{El2, GuestOutcome, Start, Stop, VcpuToken};
use tenure_test_board::{Board, OWN, RAM, el2};

/// The first page of RAM that calls are about.
const FIRST: u64 = RAM + 512;
/// One past the last frame number, of hosts and guests: 40 bits.
const SPACE: u64 = 1 << 28;
/// What a VM is made of: pages of the first region, roots first, the run page last.
const PAGES_PER_VM: u64 = 112;
const ROOTS: u64 = 2;
/// Where the board has the host's root tables.
const HOST_ROOT: u64 = RAM;
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
        let first = root_of(place);
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
            let run_page = root_of(gone.place) + PAGES_PER_VM - 1;
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

    /// A guest's call on a range, by the fast path first, as an image does it. What a guest is told is a code: any
    /// refusal is `Invalid` here.
    fn guest(&self, function: u32, vm: VmSlot, gfns: Span) -> Result<u64, Located<Error>> {
        // In registers an empty range would mean one page, and an address has 64 bits.
        if gfns.count == 0 || gfns.first >= 1 << (u64::BITS - PAGE_SHIFT) {
            return Err(Error::Invalid.into());
        }
        let vcpu = self.vms.get(&vm).and_then(|known| known.vcpu.as_ref()).ok_or(Error::Internal)?;
        let regs = [function.into(), gfns.first << PAGE_SHIFT, gfns.count, 0];
        if let Some([_, done, ..]) = self.el2.guest_call_fast(vcpu, regs) {
            return Ok(done);
        }
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

/// The first root table of the VM made of the `place`th share of the first region.
fn root_of(place: u64) -> u64 {
    RAM + OWN + place * PAGES_PER_VM
}

/// A range of well-formed frames: the board's addresses have 40 bits, on both sides.
fn range<F: Frame>(span: Span) -> Result<FrameRange<F>, Error> {
    FrameRange::new(F::new(span.first)?, span.count, AddressWidth::new(40)?)
}
