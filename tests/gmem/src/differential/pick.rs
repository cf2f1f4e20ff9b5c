//! The next operation: mostly what a VMM would do, often nonsense, and always something that can be compared.

mod malformed;
mod slots;

use super::limits::Limits;
use super::op::{Kind, Op, Place};
use super::pairs::Pairs;
use super::rng::Rng;
use super::world::{SLOTS, World, free, held};
use crate::target::{FileCall, MapKind, MemoryCall};
use tenure_abi::gmem::{CreateGuestMemfd, VmType};

/// Where guests have their memory, and how many pages of it are looked at.
pub(super) const GPA: u64 = 0x1000_0000;
pub(super) const WINDOW: u64 = 16;
/// Pages of a file at most.
const PAGES: u64 = 8;
pub(super) const PAGE: u64 = 0x1000;

/// Chooses.
pub(super) struct Picker<'a> {
    pub(super) rng: &'a mut Rng,
    pub(super) limits: &'a Limits,
    pub(super) world: &'a World,
}

/// How often a kind is chosen when any will do.
const fn weight(kind: Kind) -> u64 {
    match kind {
        Kind::CloseVm | Kind::End | Kind::Fork | Kind::CreateVm => 1,
        Kind::CloseFile | Kind::Unmap | Kind::Unpin => 2,
        Kind::Unbind | Kind::Dup | Kind::Truncate | Kind::FileCall | Kind::Check => 3,
        Kind::GuestLoad | Kind::GuestStore | Kind::Load | Kind::Store | Kind::Attributes | Kind::Attributes2 => 16,
        _ => 8,
    }
}

/// Three operations in ten are of the kind that has followed the last one least often.
pub(super) fn next(rng: &mut Rng, limits: &Limits, world: &World, pairs: &Pairs) -> Op {
    let rarest = rng.percent(30);
    let kinds = if rarest { pairs.rarest_first() } else { pairs.kinds().to_vec() };
    let mut picker = Picker { rng, limits, world };
    if rarest && let Some(op) = kinds.iter().find_map(|kind| picker.of(*kind)) {
        return op;
    }
    loop {
        let mut at = picker.rng.below(kinds.iter().map(|kind| weight(*kind)).sum());
        let chosen = kinds.iter().find(|kind| {
            let here = at < weight(**kind);
            at = at.saturating_sub(weight(**kind));
            here
        });
        if let Some(op) = chosen.and_then(|kind| picker.of(*kind)) {
            return op;
        }
    }
}

impl Picker<'_> {
    /// An operation of this kind, if there is one now.
    fn of(&mut self, kind: Kind) -> Option<Op> {
        Some(match kind {
            Kind::CreateVm => Op::CreateVm(self.free(&self.world.vms)?, self.vm_kind()),
            Kind::CloseVm => Op::CloseVm(self.held(&self.world.vms)?),
            Kind::Check => Op::Check(self.held(&self.world.vms)?, self.capability()),
            Kind::CreateFile => {
                let (place, vm) = (self.free(&self.world.files)?, self.held(&self.world.vms)?);
                Op::CreateFile(place, vm, self.creation(vm))
            }
            Kind::CloseFile => Op::CloseFile(self.held(&self.world.files)?),
            Kind::Dup => Op::Dup(self.free(&self.world.files)?, self.held(&self.world.files)?),
            Kind::Stat => Op::Stat(self.held(&self.world.files)?),
            Kind::Allocate => self.allocation(self.world)?,
            Kind::Truncate => {
                let bytes = self.rng.one_of(&[0, PAGE, 4 * PAGE, 100, 1 << 40]);
                Op::Truncate(self.held(&self.world.files)?, bytes)
            }
            Kind::FileCall => Op::FileCall(self.held(&self.world.files)?, self.file_call()),
            Kind::Map => self.mapping()?,
            Kind::Anonymous => Op::Anonymous(self.free(&self.world.mappings)?, self.pages()),
            Kind::Unmap => {
                let place = self.held(&self.world.mappings)?;
                // An emulated access to nothing is another thing than a paged one.
                (!self.limits.emulated || !self.world.is_bound(place)).then_some(Op::Unmap(place))?
            }
            Kind::Load => {
                let (place, child, at) = self.touch()?;
                Op::Load(place, child, at)
            }
            Kind::Store => {
                let (place, child, at) = self.touch()?;
                Op::Store(place, child, at, self.byte())
            }
            Kind::MemoryCall => {
                let (place, at) = self.file_page()?;
                Op::MemoryCall(place, at, self.memory_call())
            }
            Kind::Resident => {
                let (place, at) = self.file_page()?;
                Op::Resident(place, at)
            }
            Kind::Pin => {
                let (place, at) = self.page()?;
                Op::Pin(self.free(&self.world.pins)?, place, at)
            }
            Kind::Unpin => Op::Unpin(self.held(&self.world.pins)?),
            Kind::Fork => Op::Fork(self.free(&self.world.children)?),
            Kind::End => Op::End(self.held(&self.world.children)?),
            Kind::Bind => self.bind()?,
            Kind::Unbind => Op::Unbind(self.held(&self.world.vms)?, self.rng.below(SLOTS.into()) as u32 + 1),
            Kind::Attributes => Op::Attributes(self.held(&self.world.vms)?, self.attributes()),
            Kind::Attributes2 => self.attributes2()?,
            Kind::Prefault => {
                let (place, range) = (self.held(&self.world.vms)?, self.prefault());
                self.may_touch(place, range.gpa, range.size).then_some(Op::Prefault(place, range))?
            }
            Kind::GuestLoad => {
                let (place, gpa) = (self.held(&self.world.vms)?, self.gpa());
                self.may_touch(place, gpa, 1).then_some(Op::GuestLoad(place, gpa))?
            }
            Kind::GuestStore => {
                let (place, gpa) = (self.held(&self.world.vms)?, self.gpa());
                self.may_touch(place, gpa, 1).then_some(Op::GuestStore(place, gpa, self.byte()))?
            }
            Kind::Hypercall => self.hypercall()?,
        })
    }

    fn free<T>(&mut self, places: &[Option<T>]) -> Option<Place> {
        let free = free(places);
        (!free.is_empty()).then(|| self.rng.one_of(&free))
    }

    fn held<T>(&mut self, places: &[Option<T>]) -> Option<Place> {
        let held = held(places);
        (!held.is_empty()).then(|| self.rng.one_of(&held))
    }

    fn byte(&mut self) -> u8 {
        self.rng.below(256) as u8
    }

    fn may_touch(&self, vm: Place, gpa: u64, bytes: u64) -> bool {
        self.world.vms[vm].as_ref().is_some_and(|vm| vm.may_touch(gpa, bytes))
    }

    /// Bytes of a few whole pages.
    fn pages(&mut self) -> u64 {
        (self.rng.below(PAGES) + 1) * PAGE
    }

    /// Somewhere in a page.
    fn inside(&mut self) -> u64 {
        self.rng.one_of(&[0, 0, 0, 1, 0x7ff, 0xfff])
    }

    /// Where a guest touches.
    fn gpa(&mut self) -> u64 {
        GPA + self.rng.below(WINDOW) * PAGE + self.inside()
    }

    fn vm_kind(&mut self) -> u64 {
        if self.rng.percent(5) { 6 } else { self.rng.one_of(&self.limits.vms) }
    }

    fn creation(&mut self, vm: Place) -> CreateGuestMemfd {
        let size = if self.rng.percent(15) {
            self.rng.one_of(&[0, 1, 0xfff, 0x1001, 1 << 48, 1 << 62, 1 << 63, !0xfff, u64::MAX])
        } else {
            self.pages()
        };
        let plain = self.world.vms[vm].as_ref().is_some_and(|vm| vm.kind == VmType::DEFAULT);
        let flags = match self.rng.below(10) {
            0 => self.rng.one_of(&[2, 3, 4, 1 << 63]),
            _ if plain => self.rng.one_of(&[3, 3, 3, 1, 0]),
            _ => self.rng.one_of(&[1, 0]),
        };
        let reserved = u64::from(self.rng.percent(10));
        CreateGuestMemfd { size, flags, reserved: [0, reserved, 0, 0, 0, 0] }
    }

    fn mapping(&mut self) -> Option<Op> {
        let (place, file) = (self.free(&self.world.mappings)?, self.held(&self.world.files)?);
        let kind =
            self.rng.one_of(&[MapKind::Shared, MapKind::Shared, MapKind::Shared, MapKind::Private, MapKind::Populated]);
        let offset = self.rng.one_of(&[0, 0, 0, PAGE, 3 * PAGE]);
        Some(Op::Map(place, file, offset, self.pages(), kind))
    }

    /// A mapping, who touches it, and where.
    fn touch(&mut self) -> Option<(Place, Option<Place>, u64)> {
        let place = self.held(&self.world.mappings)?;
        let mapping = self.world.mappings[place]?;
        let at = self.rng.below((mapping.bytes / PAGE).min(PAGES)) * PAGE + self.inside();
        let child = if self.rng.percent(30) { self.held(&self.world.children) } else { None };
        let has =
            |child: &Place| self.world.children[*child].as_ref().is_some_and(|c| c.mappings.contains(&mapping.number));
        Some((place, child.filter(has), at))
    }

    /// A page of a mapping.
    fn page(&mut self) -> Option<(Place, u64)> {
        let place = self.held(&self.world.mappings)?;
        let mapping = self.world.mappings[place]?;
        Some((place, self.rng.below((mapping.bytes / PAGE).min(PAGES)) * PAGE))
    }

    /// A page of a mapping of a file.
    fn file_page(&mut self) -> Option<(Place, u64)> {
        self.page().filter(|(place, _)| self.world.mappings[*place].is_some_and(|mapping| mapping.file.is_some()))
    }

    fn memory_call(&mut self) -> MemoryCall {
        self.rng.one_of(&[
            MemoryCall::WriteToPipe,
            MemoryCall::SelfMem,
            MemoryCall::Splice,
            MemoryCall::PopulateRead,
            MemoryCall::PopulateWrite,
            MemoryCall::DontNeed,
            MemoryCall::Lock,
            MemoryCall::MakeExecutable,
        ])
    }

    fn file_call(&mut self) -> FileCall {
        self.rng.one_of(&[
            FileCall::Read,
            FileCall::Write,
            FileCall::ReadAt(0),
            FileCall::WriteAt(PAGE),
            FileCall::Seek(0),
            FileCall::Reopen,
            FileCall::GetSeals,
            FileCall::AddSeals,
        ])
    }
}
