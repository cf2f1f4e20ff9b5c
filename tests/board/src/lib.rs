//! A hosted board: RAM as memory of the test process, so that `El2` runs as an ordinary program.
//!
//! It keeps the contract of [`Hardware`] and checks that its user keeps the other side: pages are only reached while they
//! are attached, attached once, and scrubbed only while nobody maps them. There are no CPUs here: invalidations are counted.
//! [`watch`] lets a test act between two steps, [`leaves`] walks tables, [`check`] compares records, tables and bytes, [`rig`] is a board with a VM.
#![allow(clippy::missing_panics_doc)] // A broken promise ends the test.

pub mod check;
pub mod leaves;
pub mod rig;
pub mod watch;

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{OnceLock, RwLock};
use tenure_abi::{AddressWidth, Error, FrameRange, Located, Pfn};
use tenure_arch::lock::SpinLock;
use tenure_arch::stage2::Table;
use tenure_arch::tlb::{Stage2Tlb, Vttbr};
use tenure_arch::window::Window;
use tenure_hyp::el2::{Config, El2, Hardware, VmCell};
use tenure_hyp::tracker::{Block, Chunk};
use watch::{Step, Watcher};

/// First frame of RAM.
pub const RAM: u64 = 0x40000;
/// Frames of the hypervisor's own, at the start of RAM: host root tables, then host tables.
pub const OWN: u64 = 64;
/// Regions of RAM.
pub const REGIONS: u64 = 8;
/// First frame behind RAM: a hole.
pub const END: u64 = RAM + REGIONS * 512;
/// A device page.
pub const DEVICE: u64 = 0x9000;

/// The machine under an [`El2`] in a test.
pub struct Board {
    /// Each page from its first use on; until then it is zero.
    pages: Box<[OnceLock<Box<Table>>]>,
    attached: Marks,
    hidden: Marks,
    watcher: RwLock<Option<Watcher>>,
    /// The watcher is at work.
    inside: AtomicBool,
    /// How many invalidations there were.
    pub invalidations: AtomicU64,
    /// How many pages were scrubbed.
    pub scrubs: AtomicU64,
}

/// A mark on some pages of RAM. Asked for at every access, so it is a bit and not a set.
struct Marks([AtomicU64; (REGIONS * 512 / 64) as usize]);

impl Marks {
    const fn none() -> Self {
        Self([const { AtomicU64::new(0) }; (REGIONS * 512 / 64) as usize])
    }

    /// The word of a page and its bit; `None` outside RAM.
    fn place(&self, pfn: u64) -> Option<(&AtomicU64, u64)> {
        let page = pfn.checked_sub(RAM)?;
        Some((self.0.get(usize::try_from(page / 64).ok()?)?, 1 << (page % 64)))
    }

    fn has(&self, pfn: u64) -> bool {
        self.place(pfn).is_some_and(|(word, bit)| word.load(SeqCst) & bit != 0)
    }

    /// Marks a page of RAM, or takes the mark away; whether that changed anything.
    fn put(&self, pfn: u64, marked: bool) -> bool {
        let (word, bit) = self.place(pfn).expect("a page of RAM");
        let before = if marked { word.fetch_or(bit, SeqCst) } else { word.fetch_and(!bit, SeqCst) };
        (before & bit != 0) != marked
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.load(SeqCst).count_ones() as usize).sum()
    }
}

impl Board {
    /// A board with zeroed RAM. It lives for ever, as boards do.
    pub fn new() -> &'static Self {
        let pages = (0..REGIONS * 512).map(|_| OnceLock::new()).collect();
        Box::leak(Box::new(Self {
            pages,
            attached: Marks::none(),
            hidden: Marks::none(),
            watcher: RwLock::default(),
            inside: AtomicBool::new(false),
            invalidations: AtomicU64::new(0),
            scrubs: AtomicU64::new(0),
        }))
    }

    fn cell(&self, pfn: u64) -> &OnceLock<Box<Table>> {
        &self.pages[usize::try_from(pfn - RAM).unwrap()]
    }

    fn page(&self, pfn: u64) -> &Table {
        self.cell(pfn).get_or_init(|| Box::new(Table::new()))
    }

    /// Reads a word of a page, as whoever may.
    pub fn read(&self, pfn: u64, word: usize) -> u64 {
        self.cell(pfn).get().map_or(0, |page| page.load(word))
    }

    /// Writes a word of a page, as whoever may.
    pub fn write(&self, pfn: u64, word: usize, value: u64) {
        self.page(pfn).store(word, value);
    }

    /// How many pages are attached at EL2.
    pub fn attached(&self) -> usize {
        self.attached.count()
    }

    /// Whether EL2 maps `pfn`, other than its own pages.
    pub fn is_attached(&self, pfn: Pfn) -> bool {
        self.attached.has(pfn.number())
    }
}

// SAFETY: pages are boxes of the value and never move; a `Table` can only be accessed atomically.
unsafe impl Window for Board {
    fn table(&self, pfn: Pfn) -> Option<&Table> {
        let own = pfn.number().wrapping_sub(RAM) < OWN;
        let hidden = self.hidden.has(pfn.number());
        (!hidden && (own || self.is_attached(pfn))).then(|| self.page(pfn.number()))
    }
}

impl Stage2Tlb for Board {
    fn publish(&self) {
        self.step(Step::Publish);
    }

    fn invalidate(&self, context: Vttbr, first: u64, frames: u64) {
        self.step(Step::Invalidate(context.vmid(), first, frames));
        self.invalidations.fetch_add(u64::from(frames != 0), Relaxed);
    }

    fn invalidate_vm(&self, context: Vttbr) {
        self.step(Step::InvalidateVm(context.vmid()));
        self.invalidations.fetch_add(1, Relaxed);
    }
}

// SAFETY: nothing but the window reaches pages, and it asks whether they are attached.
unsafe impl Hardware for Board {
    type Lock = SpinLock;

    fn attach(&self, pfn: Pfn) {
        self.step(Step::Attach(pfn));
        assert!(self.attached.put(pfn.number(), true), "{pfn:?} attached twice");
    }

    fn detach(&self, pfn: Pfn) {
        self.step(Step::Detach(pfn));
        assert!(self.attached.put(pfn.number(), false), "{pfn:?} was not attached");
    }

    fn scrub(&self, pfn: Pfn) {
        self.step(Step::Scrub(pfn));
        assert!(!self.is_attached(pfn), "{pfn:?} scrubbed while mapped at EL2");
        self.scrubs.fetch_add(1, Relaxed);
        if let Some(page) = self.cell(pfn.number()).get() {
            page.fill(0);
        }
    }

    fn prepare_for_guest(&self, pfn: Pfn) {
        self.step(Step::Prepare(pfn));
    }
}

fn leak<T>(values: Vec<T>) -> &'static mut [T] {
    Box::leak(values.into_boxed_slice())
}

/// A range of frames.
pub fn pfns(first: u64, count: u64) -> FrameRange<Pfn> {
    FrameRange::new(Pfn::new(first).unwrap(), count, AddressWidth::MAX).unwrap()
}

/// An [`El2`] on `board`: the first [`OWN`] frames are the hypervisor's, the rest of RAM the host's. `tables` of those frames are
/// given for the host's tables; four VMs can exist.
pub fn el2_with_tables(board: &'static Board, tables: u64) -> El2<'static, Board> {
    try_el2(board, tables, REGIONS).unwrap()
}

/// As [`el2_with_tables`], with page entries for the first `blocks` regions of the machine's first GiB of RAM only.
///
/// # Errors
/// As [`El2::new`].
pub fn try_el2(board: &'static Board, tables: u64, blocks: u64) -> Result<El2<'static, Board>, Located<Error>> {
    build(board, tables, blocks, 4, &[pfns(RAM, REGIONS * 512)])
}

/// As [`el2_with_tables`], with only these parts of RAM, of which the first holds the hypervisor's own frames.
///
/// # Errors
/// As [`El2::new`].
pub fn try_el2_over(
    board: &'static Board,
    tables: u64,
    ram: &[FrameRange<Pfn>],
) -> Result<El2<'static, Board>, Located<Error>> {
    build(board, tables, REGIONS, 4, ram)
}

/// As [`el2`], with places for this many VMs.
///
/// # Errors
/// As [`El2::new`].
pub fn try_el2_with_vms(board: &'static Board, vms: usize) -> Result<El2<'static, Board>, Located<Error>> {
    build(board, OWN - 2, REGIONS, vms, &[pfns(RAM, REGIONS * 512)])
}

fn build(
    board: &'static Board,
    tables: u64,
    blocks: u64,
    vms: usize,
    ram: &[FrameRange<Pfn>],
) -> Result<El2<'static, Board>, Located<Error>> {
    let width = AddressWidth::new(40).unwrap();
    El2::new(
        board,
        Config {
            directory: leak(vec![0; 4]),
            chunks: leak(vec![Chunk::zeroed()]),
            blocks: leak((0..blocks).map(|_| Block::zeroed()).collect()),
            ram: leak(ram.to_vec()),
            own: leak(vec![pfns(RAM, OWN)]),
            devices: leak(vec![pfns(DEVICE, 1)]),
            host_root: pfns(RAM, 2),
            host_tables: pfns(RAM + 2, tables),
            vms: leak((0..vms).map(|_| VmCell::new()).collect()),
            pa: width,
            ipa: width,
            smmu: false,
        },
    )
}

/// As [`el2_with_tables`], with enough tables.
pub fn el2(board: &'static Board) -> El2<'static, Board> {
    el2_with_tables(board, OWN - 2)
}
