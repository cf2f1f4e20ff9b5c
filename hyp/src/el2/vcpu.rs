//! vCPUs: who may run which, and what the host is told when one stops.
//!
//! The image holds the registers; here is only whether a vCPU may run and what the host's last answer was. The right to run one
//! is a [`VcpuToken`], given out once at a time. The host's run page is pinned while the vCPU exists: it is
//! written when the vCPU stops, and each field of the host's reply is read once, before it runs again.

use super::vm::Life;
use super::{El2, Hardware};
use tenure_abi::run::{RunPage, StopReason, StopReply};
use tenure_abi::service::HostReply;
use tenure_abi::{Error, FrameRange, Gfn, Located, PAGE_SHIFT, Pfn, VmHandle, VmSlot};
use tenure_arch::mask;
use tenure_arch::tlb::Vttbr;

/// How many vCPUs a VM can have.
pub const VCPUS_PER_VM: usize = 8;

/// Where a vCPU starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Guest-physical address of its first instruction; its MMU is off.
    pub entry: u64,
    /// What it finds in x0.
    pub argument: u64,
}

/// How a vCPU goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// For the first time.
    Start(Start),
    /// At the instruction it stopped at, or after its call.
    Again,
    /// The device access is done; if it was a load, this is the value.
    Complete(u64),
    /// With a synchronous external abort for the access it stopped at.
    Abort,
}

/// Why a vCPU stopped, as the image saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The reason.
    pub reason: StopReason,
    /// Guest-physical byte address of the access.
    pub address: u64,
    /// What was being stored.
    pub value: u64,
    /// Bytes accessed; 0 if the access cannot be emulated.
    pub size: u64,
    /// Whether it was a store.
    pub write: bool,
}

impl Stop {
    /// A stop that is not about an access.
    pub const fn plain(reason: StopReason) -> Self {
        Self { reason, address: 0, value: 0, size: 0, write: false }
    }
}

/// The right to run one vCPU, until it is handed back to [`El2::vcpu_stopped`].
#[derive(Debug)]
pub struct VcpuToken {
    pub(super) slot: VmSlot,
    vcpu: usize,
}

impl VcpuToken {
    /// The VM's slot.
    pub fn slot(&self) -> VmSlot {
        self.slot
    }

    /// The vCPU's index in its VM: below [`VCPUS_PER_VM`].
    pub fn index(&self) -> usize {
        self.vcpu
    }
}

#[derive(Debug)]
pub(super) struct Parked {
    run_page: Pfn,
    /// Before its first run.
    start: Option<Start>,
    /// It stopped at a memory access, at this address.
    fault: Option<Gfn>,
}

#[derive(Debug)]
pub(super) enum Vcpu {
    Free,
    Idle(Parked),
    Running(Parked),
}

impl Vcpu {
    /// The page pinned for it.
    pub(super) fn run_page(&self) -> Option<Pfn> {
        match self {
            Self::Free => None,
            Self::Idle(parked) | Self::Running(parked) => Some(parked.run_page),
        }
    }
}

/// The word of a page that a field at byte `offset` is in.
const fn word_at(offset: usize) -> usize {
    offset / size_of::<u64>()
}

const REASON: usize = word_at(core::mem::offset_of!(RunPage, reason));
const ADDRESS: usize = word_at(core::mem::offset_of!(RunPage, address));
const VALUE: usize = word_at(core::mem::offset_of!(RunPage, value));
const SIZE: usize = word_at(core::mem::offset_of!(RunPage, size));
const WRITE: usize = word_at(core::mem::offset_of!(RunPage, write));
const REPLY: usize = word_at(core::mem::offset_of!(RunPage, reply));

impl<H: Hardware> El2<'_, H> {
    /// Creates a vCPU that reports in `run_page`, which the host has shared. Returns its index.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a VM that is not live, [`Error::NoMemory`] if it has all its vCPUs, or as PK-03.
    pub fn vcpu_create(&self, handle: VmHandle, run_page: Pfn, start: Start) -> Result<u64, Located<Error>> {
        let mut place = self.vm(handle)?;
        let vm = place.in_life(Life::Live)?;
        let free = vm.vcpus.iter_mut().enumerate().find(|(_, vcpu)| matches!(vcpu, Vcpu::Free));
        let (index, vcpu) = free.ok_or(Error::NoMemory)?;
        self.pin(FrameRange::single(run_page))?;
        *vcpu = Vcpu::Idle(Parked { run_page, start: Some(start), fault: None });
        Ok(index as u64)
    }

    /// Gives out the right to run a vCPU, and how it goes on.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a VM that is not live, a vCPU that does not exist, or a reply that means nothing;
    /// [`Error::Busy`] if it runs already.
    pub fn vcpu_run(&self, handle: VmHandle, index: u64) -> Result<(VcpuToken, Resume), Located<Error>> {
        let mut place = self.vm(handle)?;
        let vm = place.in_life(Life::Live)?;
        let slot = vm.slot;
        let index = usize::try_from(index).ok().filter(|&i| i < VCPUS_PER_VM).ok_or(Error::Invalid)?;
        let index = mask::index(index, VCPUS_PER_VM);
        let vcpu = vm.vcpus.get_mut(index).ok_or(Error::Invalid)?;
        let parked = match vcpu {
            Vcpu::Free => return Err(Error::Invalid.into()),
            Vcpu::Running(_) => return Err(Error::Busy.into()),
            Vcpu::Idle(parked) => parked,
        };
        let resume = match (parked.start, parked.fault) {
            (Some(start), _) => Resume::Start(start),
            (None, Some(_)) => self.reply(parked.run_page)?,
            (None, None) => Resume::Again,
        };
        let running = Parked { run_page: parked.run_page, start: None, fault: None };
        *vcpu = Vcpu::Running(running);
        Ok((VcpuToken { slot, vcpu: index }, resume))
    }

    /// The host's reply to a memory stop. The host may change it any time: each field is read once.
    fn reply(&self, run_page: Pfn) -> Result<Resume, Error> {
        let page = self.hw.table(run_page).ok_or(Error::Internal)?;
        Ok(match StopReply::from_raw(page.load(REPLY))? {
            StopReply::Again => Resume::Again,
            StopReply::Complete => Resume::Complete(page.load(VALUE)),
            StopReply::Abort => Resume::Abort,
        })
    }

    /// What goes into `VTTBR_EL2` while this vCPU runs.
    ///
    /// # Errors
    /// [`Error::Internal`] for a token of another table.
    pub fn guest_context(&self, token: &VcpuToken) -> Result<Vttbr, Error> {
        let place = self.place(token.slot).ok_or(Error::Internal)?;
        Ok(place.vm.as_ref().ok_or(Error::Internal)?.map.context())
    }

    /// Whether a translation fault of this vCPU at `address` is over already: its tables were in change, or another
    /// vCPU's stop brought the memory. If not, the host is asked.
    pub fn guest_fault_is_over(&self, token: &VcpuToken, address: u64) -> bool {
        let place = self.place(token.slot);
        let vm = place.as_ref().and_then(|place| place.vm.as_ref());
        let gfn = Gfn::new(address >> PAGE_SHIFT).ok();
        vm.zip(gfn).is_some_and(|(vm, gfn)| vm.leaf(gfn).is_ok())
    }

    /// Takes the right to run a vCPU back and tells the host why it stopped. Returns x0..x3 of the host's `VCPU_RUN`.
    pub fn vcpu_stopped(&self, token: VcpuToken, stop: Stop) -> [u64; 4] {
        let told = self.tell(token, stop);
        match told {
            Ok(()) => HostReply::Value(stop.reason.to_raw()),
            Err(error) => HostReply::Refused(Located::call(error)),
        }
        .to_regs()
    }

    #[allow(clippy::needless_pass_by_value)] // The right ends here.
    fn tell(&self, token: VcpuToken, stop: Stop) -> Result<(), Error> {
        let VcpuToken { slot, vcpu } = token;
        let mut place = self.place(slot).ok_or(Error::Internal)?;
        let vm = place.vm.as_mut().ok_or(Error::Internal)?;
        let vcpu = vm.vcpus.get_mut(vcpu).ok_or(Error::Internal)?;
        let Vcpu::Running(parked) = vcpu else { return Err(Error::Internal) };
        let run_page = parked.run_page;
        let memory = stop.reason == StopReason::Memory;
        let fault = if memory { Some(Gfn::new(stop.address >> PAGE_SHIFT)?) } else { None };
        *vcpu = Vcpu::Idle(Parked { run_page, start: None, fault });
        let page = self.hw.table(run_page).ok_or(Error::Internal)?;
        for (field, value) in [
            (REASON, stop.reason.to_raw()),
            (ADDRESS, stop.address),
            (VALUE, stop.value),
            (SIZE, stop.size),
            (WRITE, stop.write.into()),
            (REPLY, StopReply::Again.to_raw()),
        ] {
            page.store(field, value);
        }
        Ok(())
    }

    /// PK-16: whether a vCPU stopped at an address that a forced reclaim burnt. The address is the one recorded when
    /// it stopped, not one the host chooses.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it does not exist, runs, or did not stop at a memory access.
    pub fn in_poison_fault(&self, handle: VmHandle, index: u64) -> Result<bool, Located<Error>> {
        let mut place = self.vm(handle)?;
        let vm = place.in_life(Life::Live)?;
        let index = usize::try_from(index).ok().filter(|&i| i < VCPUS_PER_VM).ok_or(Error::Invalid)?;
        match vm.vcpus.get(mask::index(index, VCPUS_PER_VM)) {
            Some(Vcpu::Idle(Parked { fault: Some(gfn), .. })) => Ok(vm.leaf(*gfn) == Err(Error::Poisoned)),
            _ => Err(Error::Invalid.into()),
        }
    }
}
