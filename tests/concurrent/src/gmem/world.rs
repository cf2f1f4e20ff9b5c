//! A file between a host process and two guests, ready for actors.
//!
//! | pages | seen by | at |
//! |---|---|---|
//! | 0, 1 | a guest that runs | G, G + 1 |
//! | 2, 3 | a guest that is being built | G, G + 1 |
//!
//! Every page is private or shared at the start, backed or not, as the schedule draws it.

use super::host::{Host, JUNK};
use crate::world::{gfn, gfns};
use core::num::NonZeroU32;
use tenure_abi::{ContentMode, Error, Gfn, PageSize, Visibility, VmHandle, VmSlot};
use tenure_host::gmem::{Access, File, FileId, FilePages, Mapping, Node, Options, SliceNodes, Tracking};
use tenure_host::platform::Phase;
use tenure_machine::step::{Kind, draw, note, primitive, violation, wait};

/// Pages of the file.
pub const PAGES: u64 = 4;
/// Where each guest sees its first page.
pub(super) const G: u64 = 0x100;
/// What the host writes.
pub(super) const PUBLIC: u64 = 0x11;
/// What a guest writes to a private page.
pub(super) const SECRET: u64 = 0x5ec2;

/// The file under test, with room for a few bindings.
pub(super) type TestFile<'h, 'n> = File<'h, Host, Host, SliceNodes<'n>, 8>;

/// Everything actors share.
pub struct World<'h, 'n> {
    /// Frames, tables, hardware.
    pub host: &'h Host,
    /// The code under test.
    pub file: TestFile<'h, 'n>,
    /// The guest that runs.
    pub running: VmHandle,
    /// The guest that is being built.
    pub building: VmHandle,
}

/// Builds a world, nobody else running, and hands it to `f`.
///
/// # Panics
/// If the set-up is refused.
pub fn with_world(f: impl FnOnce(&World<'_, '_>)) {
    let host = Host::new();
    let mut nodes = vec![Node::ZERO; 8];
    let options = Options { initially: Visibility::Shared, tracking: Tracking::File, largest: PageSize::Size4K };
    let nodes = SliceNodes::new(&mut nodes);
    let file = File::new(FileId(1), PAGES << 12, options, &host, &host, nodes).expect("a file");
    let handle = |slot| VmHandle::new(VmSlot::new(slot).expect("a slot"), NonZeroU32::MIN);
    let (running, building) = (handle(1), handle(2));
    let world = World { host: &host, file, running, building };
    world.file.bind(running, gfn(G), world.pages(0, 2), Phase::Running).expect("a binding");
    world.file.bind(building, gfn(G), world.pages(2, 2), Phase::Building).expect("a binding");
    let start = draw(1 << (2 * PAGES));
    for page in 0..PAGES {
        if start >> (2 * page) & 1 != 0 {
            world.touch(page);
        }
        if start >> (2 * page) & 2 != 0 {
            let private = world.file.convert(world.pages(page, 1), Visibility::Private, ContentMode::Unspecified);
            private.expect("nobody holds it");
        }
    }
    f(&world);
}

impl World<'_, '_> {
    /// `count` pages from `first` on.
    ///
    /// # Panics
    /// Outside of the file.
    pub fn pages(&self, first: u64, count: u64) -> FilePages {
        self.file.pages(first << 12, count << 12).expect("pages of the tests")
    }

    /// Whose page it is, and where.
    pub fn seen(&self, page: u64) -> (VmHandle, Gfn) {
        let guest = if page < 2 { self.running } else { self.building };
        (guest, gfn(G + page % 2))
    }

    /// The host process reads and writes a page, if it may.
    pub fn touch(&self, page: u64) {
        for _ in 0..8 {
            primitive(Kind::Access);
            if self.access(page) {
                note("host touched");
                return;
            }
            let install = |mapping: Mapping| {
                primitive(Kind::Store);
                self.host.with(|tables| tables.host.insert(page, mapping.pfn));
            };
            match self.file.host_fault(page << 12, install) {
                Ok(()) => {}
                Err(Error::Retry) => wait(),
                Err(Error::Denied) => return note("host refused"),
                Err(_) => return note("host got no frame"),
            }
        }
    }

    /// One access of the host; false if it has no mapping.
    fn access(&self, page: u64) -> bool {
        self.host.with(|tables| {
            let Some(&pfn) = tables.host.get(&page) else { return false };
            let frame = tables.frame(pfn);
            if !frame.lent || frame.assigned.is_some() || frame.holds == JUNK {
                violation(format!("the host reads page {page} in {pfn:?}: {frame:?}"));
            }
            frame.holds = PUBLIC;
            true
        })
    }

    /// A device gets a reference to what the host has mapped, uses it later, and lets go.
    pub fn pin(&self, page: u64) {
        primitive(Kind::Access);
        let pinned = self.host.with(|tables| {
            let pfn = tables.host.get(&page).copied()?;
            tables.frame(pfn).pins += 1;
            Some(pfn)
        });
        let Some(pfn) = pinned else { return };
        note("pinned");
        for _ in 0..3 {
            wait();
            self.host.with(|tables| {
                let frame = tables.frame(pfn);
                if frame.assigned.is_some() {
                    violation(format!("a device reads page {page} in {pfn:?}: {frame:?}"));
                }
            });
        }
        self.host.with(|tables| tables.frame(pfn).pins -= 1);
    }

    /// The guest that sees `page` reads and writes it, if it may.
    pub fn guest(&self, page: u64) {
        let (guest, at) = self.seen(page);
        for _ in 0..8 {
            primitive(Kind::Access);
            if self.guest_access(guest, at) {
                return note("guest touched");
            }
            let install = |mapping: Mapping| self.installed(guest, at, mapping);
            match self.file.guest_fault(guest, at, Access::Untold, PageSize::Size4K, install) {
                Ok(()) => {}
                Err(Error::Retry) => wait(),
                Err(Error::NotFound) => return note("guest sees nothing"),
                Err(_) => return note("guest refused"),
            }
        }
    }

    /// A mapping in the guest's table.
    pub fn installed(&self, guest: VmHandle, at: Gfn, mapping: Mapping) {
        primitive(Kind::Store);
        let private = mapping.visibility == Visibility::Private;
        self.host.with(|tables| tables.guests.insert((guest, at), (mapping.pfn, private)));
    }

    /// One access of a guest, through its table or through what a TLB still holds; false if there is neither.
    fn guest_access(&self, guest: VmHandle, at: Gfn) -> bool {
        self.host.with(|tables| {
            let found = tables.guests.get(&(guest, at)).or(tables.leaving.get(&(guest, at)));
            let Some(&(pfn, private)) = found else { return false };
            let runs = guest == self.running;
            let frame = tables.frame(pfn);
            let right = !private || frame.assigned == Some((guest, at));
            // A guest that is being built does not look at what nobody has populated yet.
            let looks = runs || !private || frame.assigned.is_some();
            if looks && (!frame.lent || !right || frame.holds == JUNK) {
                violation(format!("the guest reads {at:?} in {pfn:?}, private {private}: {frame:?}"));
            }
            if looks {
                frame.holds = if private { SECRET } else { PUBLIC };
            }
            true
        })
    }

    /// The second guest's pages are bound 8 frames further on.
    pub fn rebind_building(&self) {
        if self.file.unbind(self.building, gfn(G)).is_ok() {
            let bound = self.file.bind(self.building, gfn(G + 8), self.pages(2, 2), Phase::Building);
            note(if bound.is_ok() { "moved" } else { "move refused" });
        }
    }

    /// Maps everything ahead.
    pub fn prefault(&self) {
        for guest in [self.running, self.building] {
            let install = |at: Gfn, mapping: Mapping| self.installed(guest, at, mapping);
            let done = self.file.prefault(guest, gfns(G, 2), Access::Untold, PageSize::Size4K, install);
            note(if done.is_ok() { "prefaulted" } else { "prefault stopped" });
        }
    }
}
