//! The host's calls: from registers to operations and back.

use super::{El2, Hardware, Resume, Start, VcpuToken};
use tenure_abi::service::{HostCall, HostReply, VERSION};
use tenure_abi::{Error, Located, PageSize, Pfn};

/// Pages that one audit call looks at, at most: a GiB may be all mixed.
const AUDIT_PAGES: u64 = PageSize::Size1G.frames() / 16;

/// What the image does about a host's call.
#[derive(Debug)]
pub enum HostOutcome {
    /// Put these into x0..x3 and go on.
    Reply([u64; 4]),
    /// Run this vCPU; the host's call is answered when it stops.
    Run(VcpuToken, Resume),
}

impl<H: Hardware> El2<'_, H> {
    /// Answers a call of the host, from x0..x5.
    pub fn host_call(&self, regs: [u64; 6]) -> HostOutcome {
        let call = match HostCall::parse(regs, self.pa, self.guest.ipa()) {
            Ok(call) => call,
            Err(error) => return HostOutcome::Reply(HostReply::Refused(Located::call(error)).to_regs()),
        };
        if let HostCall::VcpuRun { vm, vcpu } = call {
            return match self.vcpu_run(vm, vcpu) {
                Ok((token, resume)) => HostOutcome::Run(token, resume),
                Err(refused) => HostOutcome::Reply(HostReply::Refused(refused).to_regs()),
            };
        }
        HostOutcome::Reply(self.answer(call).unwrap_or_else(HostReply::Refused).to_regs())
    }

    fn answer(&self, call: HostCall) -> Result<HostReply, Located<Error>> {
        Ok(HostReply::Value(match call {
            HostCall::CallUid => return Ok(HostReply::Uid),
            HostCall::Version => VERSION,
            HostCall::Features => self.features.bits(),
            HostCall::ShareHyp(frames) => self.share_hyp(frames)?,
            HostCall::UnshareHyp(frames) => self.unshare_hyp(frames)?,
            HostCall::DonateGuest { vm, frames, gfn } => self.donate_guest(vm, frames, gfn)?,
            HostCall::ShareGuest { vm, frames, gfn, prot } => self.share_guest(vm, frames, gfn, prot)?,
            HostCall::UnshareGuest { vm, range } => self.unshare_guest(vm, range)?,
            HostCall::ReclaimGuest { vm, range } => self.reclaim_guest(vm, range)?,
            HostCall::ForceReclaim(frames) => self.force_reclaim(frames)?,
            HostCall::PoisonFault { vm, vcpu } => self.in_poison_fault(vm, vcpu)?.into(),
            HostCall::VmCreate { kind, root } => self.vm_create(kind, root)?.to_raw(),
            HostCall::VmTopup { vm, frames } => self.vm_topup(vm, frames)?,
            HostCall::VcpuCreate { vm, run_page, entry, argument } => {
                self.vcpu_create(vm, run_page, Start { entry, argument })?
            }
            HostCall::VmStartTeardown(vm) => self.vm_start_teardown(vm).map(|()| 0)?,
            HostCall::VmFinishTeardown(vm) => self.vm_finish_teardown(vm)?,
            HostCall::Audit { cursor, pages } => self.audit_call(cursor, pages)?,
            // Answered by the caller; here it would be a call without an image.
            HostCall::VcpuRun { .. } => return Err(Error::Internal.into()),
        }))
    }

    /// The tracker's audit as a call: the next cursor, 0 at the end.
    fn audit_call(&self, cursor: u64, pages: u64) -> Result<u64, Located<Error>> {
        let audit = self.tracker.audit(Pfn::new(cursor)?, pages.min(AUDIT_PAGES));
        match (audit.first_fault, self.tracker.contradictions()) {
            (Some(pfn), _) => Err(Located::pfn(Error::Internal, pfn)),
            (None, 1..) => Err(Error::Internal.into()),
            (None, 0) => Ok(audit.next.map_or(0, Pfn::number)),
        }
    }
}
