//! The VM table.
//!
//! | life | who may do what |
//! |---|---|
//! | free | the slot can be taken by `VM_CREATE` |
//! | live | vCPUs run, pages move |
//! | dying | nothing runs; pages can be reclaimed |
//! | draining | emptied and unmapped; its own pages go back to the host, some per call |
//!
//! A slot is freed only when its VM owns and maps nothing and its VMID is flushed; then its generation goes up, so
//! handles of the old VM are stale.

use super::vcpu::{VCPUS_PER_VM, Vcpu, VcpuToken};
use super::{El2, Hardware, RESIDENCY_PAGES};
use crate::tracker::Identity;
use core::num::NonZeroU32;
use tenure_abi::service::VmKind;
use tenure_abi::{Error, FrameRange, Gfn, Located, Pfn, VmHandle, VmSlot};
use tenure_arch::lock::{Guard, Locked};
use tenure_arch::mask;
use tenure_arch::pages::{TablePages, TableStack};
use tenure_arch::stage2::{Leaf, Lookup, Note, Stage2};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Free,
    Live,
    Dying,
    Draining,
}

/// What a VM has while its slot is not free.
pub(super) struct Vm<'m, H: Hardware> {
    pub(super) slot: VmSlot,
    pub(super) kind: VmKind,
    /// The forward map gfn → frame.
    pub(super) map: Stage2<'m, H>,
    root: FrameRange<Pfn>,
    /// Free table pages, the hypervisor's, donated for this VM.
    pub(super) pages: TableStack<'m, H>,
    /// Pages whose entry names this VM.
    pub(super) owned: u64,
    /// Pages of the host mapped for this VM (non-protected).
    pub(super) mapped: u64,
    pub(super) vcpus: [Vcpu; VCPUS_PER_VM],
}

/// One place of the VM table, under its lock.
pub(super) struct Place<'m, H: Hardware> {
    pub(super) life: Life,
    generation: NonZeroU32,
    pub(super) vm: Option<Vm<'m, H>>,
}

/// One place of the VM table: static memory of the image.
pub struct VmCell<'m, H: Hardware>(Locked<Place<'m, H>, H::Lock>);

impl<H: Hardware> VmCell<'_, H> {
    /// A free place.
    pub const fn new() -> Self {
        Self(Locked::new(Place { life: Life::Free, generation: NonZeroU32::MIN, vm: None }))
    }
}

impl<H: Hardware> Default for VmCell<'_, H> {
    fn default() -> Self {
        Self::new()
    }
}

/// A place of the table, locked.
pub(super) type PlaceGuard<'a, 'm, H> = Guard<'a, Place<'m, H>, <H as Hardware>::Lock>;

impl<'m, H: Hardware> Place<'m, H> {
    /// The VM, if it is in `life`.
    ///
    /// # Errors
    /// [`Error::Invalid`] in any other.
    #[inline]
    pub(super) fn in_life(&mut self, life: Life) -> Result<&mut Vm<'m, H>, Error> {
        match &mut self.vm {
            Some(vm) if self.life == life => Ok(vm),
            _ => Err(Error::Invalid),
        }
    }
}

impl<H: Hardware> Vm<'_, H> {
    /// Who a page of this VM at `gfn` is recorded as.
    #[inline]
    pub(super) fn identity(&self, gfn: Gfn) -> Result<Identity, Error> {
        Identity::guest(self.slot, gfn)
    }

    /// The memory at `gfn`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, [`Error::Poisoned`] at a burnt address, [`Error::Internal`] if the
    /// tables are damaged.
    #[inline]
    pub(super) fn leaf(&self, gfn: Gfn) -> Result<Leaf, Error> {
        match self.map.lookup(gfn) {
            Lookup::Leaf(leaf) => Ok(leaf),
            Lookup::Empty | Lookup::Note(Note::MmioGuard) => Err(Error::NotFound),
            Lookup::Note(Note::Poisoned) => Err(Error::Poisoned),
            Lookup::Damaged => Err(Error::Internal),
        }
    }

    /// The frames that the guest sees from the start of `range` on, as far as they are contiguous; at most
    /// [`RESIDENCY_PAGES`] leaves of them, which are looked up one by one.
    ///
    /// # Errors
    /// As [`Vm::leaf`], for the first page.
    pub(super) fn run(&self, range: FrameRange<Gfn>) -> Result<FrameRange<Pfn>, Error> {
        let first = self.leaf(range.first())?;
        let (mut count, mut leaves) = (0, 0);
        let mut leaf = Some(first);
        while let Some(found) = leaf
            && Some(found.pfn) == first.pfn.checked_add(count)
            && leaves < RESIDENCY_PAGES
        {
            leaves += 1;
            let gfn = range.first().number() + count;
            count += found.size.frames() - (gfn & (found.size.frames() - 1));
            let next = range.first().checked_add(count).filter(|_| count < range.count());
            leaf = next.and_then(|gfn| self.leaf(gfn).ok());
        }
        FrameRange::new(first.pfn, count.min(range.count()), tenure_abi::AddressWidth::MAX)
    }
}

impl<'m, H: Hardware> El2<'m, H> {
    /// The place of slot `slot`, locked.
    #[inline]
    pub(super) fn place(&self, slot: VmSlot) -> Option<PlaceGuard<'_, 'm, H>> {
        let index = usize::from(slot.index());
        let cell = self.vms.get(mask::index(index, self.vms.len()))?;
        (index < self.vms.len()).then(|| cell.0.lock())
    }

    /// The place of the VM whose vCPU runs, locked. The slot of a token is our own: it needs no masking.
    #[inline]
    pub(super) fn place_of(&self, vcpu: &VcpuToken) -> Option<PlaceGuard<'_, 'm, H>> {
        self.vms.get(usize::from(vcpu.slot.index())).map(|cell| cell.0.lock())
    }

    /// The place that `handle` names, locked.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a handle that no VM has (any more).
    pub(super) fn vm(&self, handle: VmHandle) -> Result<PlaceGuard<'_, 'm, H>, Error> {
        let place = self.place(handle.slot()).ok_or(Error::Invalid)?;
        match place.generation == handle.generation() && place.life != Life::Free {
            true => Ok(place),
            false => Err(Error::Invalid),
        }
    }

    /// Creates a VM whose stage-2 root tables are `root`, given up by the host.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `root` does not have the number and alignment of root tables, [`Error::NoMemory`] if no slot
    /// is free, or as PK-05 for pages the host cannot give.
    pub fn vm_create(&self, kind: VmKind, root: FrameRange<Pfn>) -> Result<VmHandle, Located<Error>> {
        let tables = self.guest.root_tables();
        if root.count() != tables || !root.first().number().is_multiple_of(tables) {
            return Err(Error::Invalid.into());
        }
        for (slot, cell) in (0..VmSlot::COUNT).zip(self.vms) {
            // A place in other hands is in use, or being freed: the next may do.
            let Some(mut place) = cell.0.try_lock(1).filter(|place| place.life == Life::Free) else { continue };
            let slot = VmSlot::new(slot)?;
            self.donate_hyp(root)?;
            #[allow(unsafe_code)]
            // SAFETY: the root tables were just taken from the host and belong to this map alone, as will every page of
            // `pages`; the map is only used under this place's lock.
            let map = unsafe { Stage2::new(root, self.guest, slot.index() + 1, self.hw) };
            let map = match map {
                Ok(map) => map,
                Err(error) => {
                    self.return_to_host(root)?;
                    return Err(error.into());
                }
            };
            // Nothing of an earlier VM with this VMID is left in a TLB, whatever its end was like.
            self.hw.invalidate_vm(map.context());
            place.vm = Some(Vm {
                slot,
                kind,
                map,
                root,
                pages: TableStack::new(self.hw),
                owned: 0,
                mapped: 0,
                vcpus: [const { Vcpu::Free }; VCPUS_PER_VM],
            });
            place.life = Life::Live;
            return Ok(VmHandle::new(slot, place.generation));
        }
        Err(Error::NoMemory.into())
    }

    /// Gives a VM pages for tables, at most [`RESIDENCY_PAGES`] per call. Returns how many were taken. A dying VM takes
    /// them too: splitting a leaf to empty it may need one.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a VM that is neither live nor dying, or as PK-05.
    pub fn vm_topup(&self, handle: VmHandle, frames: FrameRange<Pfn>) -> Result<u64, Located<Error>> {
        let mut place = self.vm(handle)?;
        let life = if place.life == Life::Dying { Life::Dying } else { Life::Live };
        let vm = place.in_life(life)?;
        let frames = frames.prefix(RESIDENCY_PAGES).unwrap_or(frames);
        self.donate_hyp(frames)?;
        for i in 0..frames.count() {
            let page = frames.first().checked_add(i).ok_or(Error::Internal)?;
            vm.pages.push(page)?;
        }
        Ok(frames.count())
    }

    /// Stops a VM for ever. Its pages can be reclaimed from now on.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not live, [`Error::Busy`] while a vCPU runs.
    pub fn vm_start_teardown(&self, handle: VmHandle) -> Result<(), Located<Error>> {
        let mut place = self.vm(handle)?;
        let vm = place.in_life(Life::Live)?;
        if vm.vcpus.iter().any(|vcpu| matches!(vcpu, Vcpu::Running(_))) {
            return Err(Error::Busy.into());
        }
        place.life = Life::Dying;
        Ok(())
    }

    /// Gives back what a dying VM that owns and maps nothing had from the host, at most 2 MiB per call. Returns how many of its
    /// pages are still to come; at 0 the VM is gone.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not dying, [`Error::Busy`] while it still owns or maps pages.
    pub fn vm_finish_teardown(&self, handle: VmHandle) -> Result<u64, Located<Error>> {
        let mut place = self.vm(handle)?;
        if place.life != Life::Draining {
            let vm = place.in_life(Life::Dying)?;
            if vm.owned != 0 || vm.mapped != 0 {
                return Err(Error::Busy.into());
            }
            // This flushes the VMID too.
            vm.map.free_tables(self.hw, &mut vm.pages)?;
            place.life = Life::Draining;
        }
        let vm = place.in_life(Life::Draining)?;
        // Each piece is let go of only when it is back at the host: a call that meets another CPU's work in between is
        // made again.
        for vcpu in &mut vm.vcpus {
            if let Some(run_page) = vcpu.run_page() {
                self.unpin(FrameRange::single(run_page))?;
                *vcpu = Vcpu::Free;
            }
        }
        for _ in 0..RESIDENCY_PAGES {
            let Some(page) = vm.pages.take() else { break };
            if let Err(refused) = self.return_to_host(FrameRange::single(page)) {
                vm.pages.push(page)?;
                return Err(refused);
            }
        }
        let left = vm.pages.available() as u64;
        if left == 0 {
            self.return_to_host(vm.root)?;
            place.vm = None;
            place.life = Life::Free;
            place.generation = place.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        }
        Ok(left)
    }
}
