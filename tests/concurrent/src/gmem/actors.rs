//! The operations whose pairs are explored.

use super::world::{G, PAGES, World};
use crate::world::{gfn, gfns, pfn};
use tenure_abi::{ContentMode, Error, Located, Visibility};
use tenure_host::gmem::Source;
use tenure_host::platform::{PageType, Phase};
use tenure_machine::step::{draw, note};

/// What one actor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// All pages, or two of them, become private and shared again, or the reverse.
    Convert,
    /// The host process touches every page.
    HostFault,
    /// The guests touch every page.
    GuestFault,
    /// Pages 2 and 3 get their first bytes.
    Populate,
    /// All pages, or two of them, lose their frames.
    Punch,
    /// Pages 0 and 1 are bound elsewhere and back.
    Bind,
    /// Both guests' pages are mapped ahead.
    Prefault,
    /// All pages get frames.
    Allocate,
}

impl Op {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Convert,
        Self::HostFault,
        Self::GuestFault,
        Self::Populate,
        Self::Punch,
        Self::Bind,
        Self::Prefault,
        Self::Allocate,
    ];

    /// Does it.
    pub fn run(self, world: &World<'_, '_>) {
        match self {
            Self::Convert => convert(world),
            Self::HostFault => (0..PAGES).for_each(|page| world.touch(page)),
            Self::GuestFault => (0..PAGES).for_each(|page| world.guest(page)),
            Self::Populate => populate(world),
            Self::Punch => {
                let (first, count) = some_pages();
                noted("punched", "punch refused", world.file.punch(world.pages(first, count)));
            }
            Self::Bind => bind(world),
            Self::Prefault => world.prefault(),
            Self::Allocate => noted("allocated", "allocate refused", world.file.allocate(world.pages(0, PAGES))),
        }
    }
}

/// Two neighbours, or all.
fn some_pages() -> (u64, u64) {
    match draw(4) {
        3 => (0, PAGES),
        first => (first, 2),
    }
}

fn noted(done: &'static str, refused: &'static str, answer: Result<(), Located<Error>>) {
    note(match answer {
        Ok(()) => done,
        Err(Located { error: Error::Busy, .. }) => "convert met a reference",
        Err(_) => refused,
    });
}

fn convert(world: &World<'_, '_>) {
    let (first, count) = some_pages();
    let mut to = [Visibility::Private, Visibility::Shared];
    if draw(2) == 0 {
        to.reverse();
    }
    for to in to {
        let mode = [ContentMode::Unspecified, ContentMode::Zero, ContentMode::Preserve][draw(3) as usize];
        noted("converted", "convert refused", world.file.convert(world.pages(first, count), to, mode));
    }
}

fn populate(world: &World<'_, '_>) {
    let staged = [pfn(0x1_0000), pfn(0x1_0001)];
    let source = [Source::Zero, Source::InPlace, Source::Frames(&staged)][draw(3) as usize];
    let done = world.file.populate(world.building, gfns(G, 2), PageType::Normal, source);
    note(if done.is_ok() { "populated" } else { "populate stopped" });
}

fn bind(world: &World<'_, '_>) {
    let at = |number| gfn(G + number);
    for (from, to) in [(0, 8), (8, 0)] {
        match world.file.unbind(world.running, at(from)) {
            Ok(()) => note("unbound"),
            Err(_) => return note("unbind refused"),
        }
        if world.file.bind(world.running, at(to), world.pages(0, 2), Phase::Running).is_err() {
            return note("bind refused");
        }
        note("bound");
    }
}
