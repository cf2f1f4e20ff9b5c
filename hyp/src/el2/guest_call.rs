//! A guest's calls: rows PK-12, PK-13 and PK-25 from its registers.

use super::guest_memory::prefix;
use super::vm::{Life, Vm};
use super::{El2, Hardware, Stop, VcpuToken};
use crate::tracker::{Identity, Transition};
use tenure_abi::pkvm::{Features, GuestCall, GuestReply, id};
use tenure_abi::run::StopReason;
use tenure_abi::service::VmKind;
use tenure_abi::smccc::{self, psci};
use tenure_abi::{Error, FrameRange, Gfn, Located, PageSize, Place};

/// Pages of a 2 MiB leaf.
const LEAF_PAGES: u64 = PageSize::Size2M.frames();

/// What is offered to guests.
const OFFERED: Features = Features::LINUX_7_3.union(Features::MEM_RELINQUISH);

/// A non-protected guest owns no memory: it has nothing to share, and giving back is nothing to do.
const OFFERED_NON_PROTECTED: Features = Features::FEATURES.union(Features::MEM_RELINQUISH);

/// What the image does about a guest's call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestOutcome {
    /// Put these into x0..x3 and go on.
    Reply([u64; 4]),
    /// Somebody is moving the page: let interrupts in, then issue the same call again.
    Rewind,
    /// Put these into x0..x3, then stop for the host.
    ReplyAndStop([u64; 4], Stop),
    /// Stop for the host; when the vCPU runs again it issues the same call again.
    RewindAndStop(Stop),
}

impl From<GuestReply> for GuestOutcome {
    #[inline]
    fn from(reply: GuestReply) -> Self {
        Self::Reply(reply.to_regs())
    }
}

impl<'m, H: Hardware> El2<'m, H> {
    /// Answers `MEM_SHARE` and `MEM_UNSHARE` of one page, or of a 2 MiB leaf, in the common case; `None` for everything
    /// else, which says nothing and changes nothing. An image tries this before it saves more than it must for
    /// [`El2::guest_call`].
    #[inline]
    pub fn guest_call_fast(&self, vcpu: &VcpuToken, [function, ipa, granules, reserved]: [u64; 4]) -> Option<[u64; 4]> {
        let (size, pages) = match granules {
            0 | 1 => (PageSize::Size4K, 1),
            LEAF_PAGES => (PageSize::Size2M, LEAF_PAGES),
            _ => return None,
        };
        let gfn = Gfn::from_address(ipa).ok()?;
        let share = function == u64::from(id::MEM_SHARE);
        if reserved != 0 || !share && function != u64::from(id::MEM_UNSHARE) {
            return None;
        }
        // A VM whose vCPU runs is live: nothing stops it before the vCPU does.
        let place = self.place_of(vcpu)?;
        let vm = place.vm.as_ref()?;
        let (pfn, leaf) = vm.map.frame(gfn)?;
        if leaf < size {
            return None;
        }
        let identity = Identity::mapped(vm.slot, gfn);
        // Each with its row known when this is compiled.
        if share {
            self.tracker.claim_entry(Transition::GuestShareHost, pfn, size, identity)?.commit();
        } else {
            let claim = self.tracker.claim_entry(Transition::GuestUnshareHost, pfn, size, identity)?;
            self.host.take(pfn.number(), pages, self.hw);
            claim.commit();
        }
        Some([0, pages, 0, 0])
    }

    /// Answers a call of the guest that runs on `vcpu`, from x0..x3.
    ///
    /// What a guest asks for by mistake or malice is refused in its registers; nothing it does reaches the host but
    /// the stops named in the answer.
    pub fn guest_call(&self, vcpu: &VcpuToken, regs: [u64; 4]) -> GuestOutcome {
        let call = match GuestCall::parse(regs, self.guest.ipa()) {
            Ok(call) => call,
            Err(error) => return Self::other_call(regs, error),
        };
        match call {
            GuestCall::CallUid => GuestReply::Uid.into(),
            GuestCall::MemRelinquish(gfn) => self.relinquish_call(vcpu, gfn),
            GuestCall::Features if !self.is_protected(vcpu) => GuestReply::Features(OFFERED_NON_PROTECTED).into(),
            _ if !self.is_protected(vcpu) => GuestReply::Refused(Error::NotSupported).into(),
            GuestCall::MemShare(range) => self.convert(vcpu, range, Transition::GuestShareHost),
            GuestCall::MemUnshare(range) => self.convert(vcpu, range, Transition::GuestUnshareHost),
            GuestCall::Features => GuestReply::Features(OFFERED).into(),
            GuestCall::HypMemInfo => GuestReply::MemInfo { ranges: true }.into(),
            GuestCall::MmioGuardInfo
            | GuestCall::MmioGuardEnroll
            | GuestCall::MmioGuardMap(_)
            | GuestCall::MmioGuardUnmap(_) => GuestReply::Refused(Error::NotSupported).into(),
        }
    }

    fn is_protected(&self, vcpu: &VcpuToken) -> bool {
        let place = self.place_of(vcpu);
        place.is_some_and(|place| place.vm.as_ref().is_some_and(|vm| vm.kind == VmKind::Protected))
    }

    #[cold]
    fn other_call(regs: [u64; 4], error: Error) -> GuestOutcome {
        match smccc::function(regs[0]) {
            psci::SYSTEM_OFF | psci::SYSTEM_RESET => GuestOutcome::RewindAndStop(Stop::plain(StopReason::SystemOff)),
            _ => GuestReply::Refused(error).into(),
        }
    }

    /// Shares or unshares `range`, a contiguous run of frames at a time.
    fn convert(&self, vcpu: &VcpuToken, range: FrameRange<Gfn>, op: Transition) -> GuestOutcome {
        let Some(mut place) = self.place_of(vcpu) else {
            return GuestReply::Refused(Error::Internal).into();
        };
        let vm = match place.in_life(Life::Live) {
            Ok(vm) => vm,
            Err(error) => return GuestReply::Refused(error).into(),
        };
        match self.convert_runs(vm, range, op) {
            Ok(done) => GuestReply::Done(done).into(),
            Err(refused) => refuse_conversion(refused, op),
        }
    }

    fn convert_runs(&self, vm: &Vm<'m, H>, range: FrameRange<Gfn>, op: Transition) -> Result<u64, Located<Error>> {
        prefix(range, |part| {
            let run = vm.run(part).map_err(|error| Located::gfn(error, part.first()))?;
            let claim = self.claim(op, run, vm.identity(part.first())?)?;
            if op == Transition::GuestUnshareHost {
                self.host.take(run.first().number(), run.count(), self.hw);
            }
            claim.commit(PageSize::Size4K);
            Ok(run.count())
        })
    }

    fn relinquish_call(&self, vcpu: &VcpuToken, gfn: Gfn) -> GuestOutcome {
        let done = GuestReply::Done(0).to_regs();
        match self.relinquish(vcpu.slot, gfn) {
            Ok(false) => GuestOutcome::Reply(done),
            Ok(true) => {
                let address = gfn.address();
                GuestOutcome::ReplyAndStop(done, Stop { address, ..Stop::plain(StopReason::Relinquished) })
            }
            Err(Located { error: Error::NoMemory, .. }) => {
                GuestOutcome::RewindAndStop(Stop::plain(StopReason::NeedTables))
            }
            Err(Located { error: Error::Retry, .. }) => GuestOutcome::Rewind,
            Err(refused) => GuestReply::Refused(refused.error).into(),
        }
    }
}

/// What a guest is told that could not convert a page.
#[cold]
fn refuse_conversion(refused: Located<Error>, op: Transition) -> GuestOutcome {
    match (refused.error, refused.at) {
        (Error::Retry, _) => GuestOutcome::Rewind,
        (Error::NoMemory, _) => GuestOutcome::RewindAndStop(Stop::plain(StopReason::NeedTables)),
        // The host is asked for memory as if the guest had stored there, and the call is issued again.
        (Error::NotFound, Place::Gfn(gfn)) if op == Transition::GuestShareHost => {
            let address = gfn.address();
            GuestOutcome::RewindAndStop(Stop { address, write: true, ..Stop::plain(StopReason::Memory) })
        }
        (error, _) => GuestReply::Refused(error).into(),
    }
}
