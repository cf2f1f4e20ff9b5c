//! An `El2` on the machine with a protected guest and one that borrows, ready for actors.
//!
//! | page | at | owner at the start | holds |
//! |---|---|---|---|
//! | 0 | G | guest | a secret; actors may share it |
//! | 1 | G + 1 | guest | a secret that is never shared |
//! | 2 | G + 2 | guest, shared with the host | nothing secret; secrets only after it was unshared |
//! | 3 | none | host | what the host wrote |
//! | 4 | G of the borrower | host, lent once | what the host wrote |

use crate::hardware::{Barriers, Hw};
use std::sync::atomic::AtomicU64;
use tenure_abi::pkvm::GuestCall;
use tenure_abi::run::StopReason;
use tenure_abi::service::{Prot, VmKind};
use tenure_abi::{AddressWidth, FrameRange, Gfn, Pfn, VmHandle};
use tenure_hyp::el2::{Config, El2, Start, Stop, VmCell};
use tenure_hyp::tracker::{Block, Chunk};
use tenure_machine::smmu::Stream;
use tenure_machine::step::{MAX_ACTORS, draw};
use tenure_machine::{Machine, Regime};

/// First frame of RAM.
pub const RAM: u64 = 0x40000;
/// Regions of 2 MiB; with [`Setup::wide`] there are four times as many.
pub const REGIONS: u64 = 4;
/// With [`Setup::wide`] the first of eight regions whose locks make a word.
pub const WIDE: u64 = RAM + 8 * 512;
/// Frames of the hypervisor's own at its start.
pub const OWN: u64 = 16;
/// The run pages of the guest's two vCPUs, in another region.
pub const RUN_PAGES: u64 = RAM + 1024 + 100;
/// Pages under test.
pub const PAGES: u64 = 5;
/// The first of them.
pub const PAGE: u64 = RAM + 512;
/// Where the guest has the first.
pub const GFN: u64 = 0x1000;
/// The last region: where [`Setup::block`] says so, the guest has all of it as one 2 MiB leaf.
pub const BLOCK: u64 = RAM + 3 * 512;
/// Where it has it.
pub const BLOCK_GFN: u64 = 0x2000;
/// Guest frames looked at from there on.
pub const GFNS: u64 = 8;
/// The tag of values that only the guest may read.
pub const SECRET: u64 = 0x5ec2_e700;

const WIDTH: u8 = 39;

/// `count` frames from `first` on.
///
/// # Panics
/// If there are none such.
pub fn pfns(first: u64, count: u64) -> FrameRange<Pfn> {
    FrameRange::new(pfn(first), count, AddressWidth::MAX).expect("a range of the tests")
}

/// As [`pfns`].
///
/// # Panics
/// As there.
pub fn gfns(first: u64, count: u64) -> FrameRange<Gfn> {
    FrameRange::new(gfn(first), count, AddressWidth::GUEST_MAX).expect("a range of the tests")
}

/// One frame.
///
/// # Panics
/// Beyond 52-bit addresses.
pub fn pfn(number: u64) -> Pfn {
    Pfn::new(number).expect("a frame of the tests")
}

/// One guest frame.
///
/// # Panics
/// As [`pfn`].
pub fn gfn(number: u64) -> Gfn {
    Gfn::new(number).expect("a frame of the tests")
}

/// Everything actors share.
pub struct World<'m> {
    /// The machine.
    pub hw: &'m Hw,
    /// The code under test.
    pub el2: El2<'m, Hw>,
    /// Its protected guest.
    pub vm: VmHandle,
    /// The guest that borrows host pages.
    pub borrower: VmHandle,
    /// The borrower's registers.
    pub borrowing: Regime,
    /// The guest's registers while a vCPU of it runs.
    pub guest: Regime,
    /// The host's.
    pub host: Regime,
    /// Whether the guest has the last region.
    pub block: bool,
    /// The first frame behind RAM.
    pub end: u64,
    /// Pages that the guest ever began to share: what it wrote there is no secret.
    pub public: AtomicU64,
}

/// What differs from world to world.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// Which barriers there are.
    pub barriers: Barriers,
    /// Whether the guest has a whole region too.
    pub block: bool,
    /// Whether there is RAM for claims over many regions.
    pub wide: bool,
}

/// Builds a world, nobody else running, and hands it to `f`.
///
/// # Panics
/// If the set-up is refused.
pub fn with_world(setup: Setup, f: impl FnOnce(&World<'_>)) {
    let regions = if setup.wide { 4 * REGIONS } else { REGIONS };
    let machine = Machine::new(pfns(RAM, regions * 512), MAX_ACTORS, 1);
    let hw = Hw::new(machine, pfns(RAM, OWN), setup.barriers);
    let mut directory = [0; 2];
    let chunks = [Chunk::zeroed()];
    let blocks: Vec<Block> = (0..regions).map(|_| Block::zeroed()).collect();
    let (ram, own) = ([pfns(RAM, regions * 512)], [pfns(RAM, OWN)]);
    let vms = [const { VmCell::new() }; 2];
    let width = AddressWidth::new(WIDTH).expect("a width");
    let config = Config {
        directory: &mut directory,
        chunks: &chunks,
        blocks: &blocks,
        ram: &ram,
        own: &own,
        devices: &[],
        host_root: pfns(RAM, 1),
        // One for level 2, one or two for the level-3 tables of two regions: with one, El2 has to take it back from a region.
        host_tables: pfns(RAM + 1, 2 + draw(2)),
        vms: &vms,
        pa: width,
        ipa: width,
        smmu: false,
    };
    let el2 = El2::new(&hw, config).expect("a sound configuration");
    let world = World::new(&hw, el2, setup.block, RAM + regions * 512);
    f(&world);
}

impl<'m> World<'m> {
    fn new(hw: &'m Hw, el2: El2<'m, Hw>, block: bool, end: u64) -> Self {
        let vm = el2.vm_create(VmKind::Protected, pfns(RAM + OWN, 1)).expect("a VM");
        el2.vm_topup(vm, pfns(RAM + OWN + 1, 6)).expect("tables");
        el2.share_hyp(pfns(RUN_PAGES, 3)).expect("run pages");
        for vcpu in 0..2 {
            let start = Start { entry: GFN << 12, argument: 0 };
            el2.vcpu_create(vm, pfn(RUN_PAGES + vcpu), start).expect("a vCPU");
        }
        let (token, _) = el2.vcpu_run(vm, 0).expect("it runs");
        let guest = Regime { vttbr: el2.guest_context(&token).expect("its tables").raw(), vtcr: el2.guest_vtcr() };
        let borrower = el2.vm_create(VmKind::NonProtected, pfns(RAM + OWN + 10, 1)).expect("a VM");
        el2.vm_topup(borrower, pfns(RAM + OWN + 11, 3)).expect("tables");
        el2.vcpu_create(borrower, pfn(RUN_PAGES + 2), Start { entry: GFN << 12, argument: 0 }).expect("a vCPU");
        let (other, _) = el2.vcpu_run(borrower, 0).expect("it runs");
        let borrowing = Regime { vttbr: el2.guest_context(&other).expect("its tables").raw(), vtcr: el2.guest_vtcr() };
        el2.vcpu_stopped(other, Stop::plain(StopReason::SystemOff));
        let host = Regime { vttbr: el2.host_context().raw(), vtcr: el2.host_vtcr() };
        let world = Self { hw, el2, vm, borrower, borrowing, guest, host, block, end, public: AtomicU64::new(1 << 2) };
        hw.machine.set_stream(0, Stream::Stage2(host));
        for page in 0..PAGES {
            world.host_access(page, Some(0xb0_0000 + page));
        }
        world.el2.donate_guest(vm, pfns(PAGE, 3), gfn(GFN)).expect("pages for the guest");
        for page in 0..2 {
            world.guest_access(GFN + page, Some(SECRET + page));
        }
        world.el2.guest_call(&token, GuestCall::MemShare(gfns(GFN + 2, 1)).to_regs());
        world.el2.vcpu_stopped(token, Stop::plain(StopReason::SystemOff));
        world.el2.share_guest(borrower, pfns(PAGE + 4, 1), gfn(GFN), Prot::R | Prot::W).expect("a page to borrow");
        if block {
            world.el2.donate_guest(vm, pfns(BLOCK, 512), gfn(BLOCK_GFN)).expect("a block for the guest");
        }
        // What the host has mapped when the others start differs from schedule to schedule.
        let touched = draw(1 << PAGES);
        for page in (0..PAGES).filter(|page| touched >> page & 1 != 0) {
            world.host_access(page, None);
        }
        world
    }
}
