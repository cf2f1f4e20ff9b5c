//! This board as [`Hardware`]: what `tenure_hyp::el2` asks an image for, and the static memory it is built from.

use crate::{fatal, pages, percpu};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use firmware_board::layout::{CARVEOUT_END, IMAGE, IMAGE_END, RAM, RAM_END};
use tenure_abi::{AddressWidth, Error, FrameRange, Located, PAGE_SHIFT, Pfn};
use tenure_arch::cache::{CpuCache, PageContent};
use tenure_arch::lock::SpinLock;
use tenure_arch::stage2::Table;
use tenure_arch::tlb::{CpuTlb, Stage2Tlb, Vttbr};
use tenure_arch::window::Window;
use tenure_hyp::el2::{Config, El2, Hardware, VmCell};
use tenure_hyp::tracker::{Block, Chunk};

/// How many VMs can exist at a time.
pub(crate) const VMS: usize = 8;
const REGIONS: usize = ((RAM_END - RAM) >> 21) as usize;
/// GiB of physical address space that have a directory word.
const SPAN: usize = 4;
/// What both guests and the host get: the Cortex-A76's physical width.
const WIDTH: u8 = 40;

/// The board. All of its state is in the page tables and caches of the CPUs.
pub(crate) struct Machine;

const TLB: CpuTlb = CpuTlb::new();

// SAFETY: RAM is mapped at its own address where `attach` or the image's map made it so, which is when `El2` asks for it; a
// `Table` is only accessed atomically.
unsafe impl Window for Machine {
    #[inline]
    fn table(&self, pfn: Pfn) -> Option<&Table> {
        let address = pfn.address();
        // SAFETY: within RAM, aligned, and mapped as said above.
        (RAM..RAM_END).contains(&address).then(|| unsafe { &*core::ptr::with_exposed_provenance(address as usize) })
    }
}

impl Stage2Tlb for Machine {
    #[inline]
    fn publish(&self) {
        TLB.publish();
    }
    #[inline]
    fn invalidate(&self, context: Vttbr, first_frame: u64, frames: u64) {
        TLB.invalidate(context, first_frame, frames);
    }
    fn invalidate_vm(&self, context: Vttbr) {
        TLB.invalidate_vm(context);
    }
}

/// A page that the records say is RAM of the host or a guest can always be mapped: anything else is a broken image.
fn must<T>(result: Result<T, pages::NotMappable>) -> T {
    result.unwrap_or_else(|_| fatal::stop("a page of the records is not mappable"))
}

// SAFETY: `unmap_page` ends with the invalidation on all CPUs; `scrub_page` zeroes and cleans to the point of coherency.
unsafe impl Hardware for Machine {
    type Lock = SpinLock;

    fn attach(&self, pfn: Pfn) {
        must(pages::map_page(pfn.number()));
    }

    fn detach(&self, pfn: Pfn) {
        // SAFETY: `El2` detaches what it no longer uses, under the lock of the page's region.
        must(unsafe { pages::unmap_page(pfn.number()) });
    }

    fn scrub(&self, pfn: Pfn) {
        // SAFETY: on this CPU; the page is parked, so nobody maps it.
        must(unsafe { pages::scrub_page(percpu::current().cpu, pfn.number()) });
    }

    fn prepare_for_guest(&self, pfn: Pfn) {
        let cache = CpuCache;
        let clean = |page: &mut pages::Page| {
            let page = core::ptr::NonNull::from(page).cast();
            // SAFETY: the page is mapped here and nobody else's.
            unsafe { cache.clean(page) };
        };
        // SAFETY: as in `scrub`.
        must(unsafe { pages::with_fixmap(percpu::current().cpu, pfn.number(), clean) });
        cache.forget_instructions();
    }
}

/// An [`El2`] that is written once, before anybody reads it.
struct Instance(UnsafeCell<MaybeUninit<El2<'static, Machine>>>);

// SAFETY: written by CPU 0 before it lets the host run and any other CPU start; only read afterwards.
unsafe impl Sync for Instance {}

static EL2: Instance = Instance(UnsafeCell::new(MaybeUninit::uninit()));
static MACHINE: Machine = Machine;
static CHUNKS: [Chunk; 1] = [Chunk::zeroed()];
static BLOCKS: [Block; REGIONS] = [const { Block::zeroed() }; REGIONS];
static CELLS: [VmCell<'static, Machine>; VMS] = [const { VmCell::new() }; VMS];

/// Memory that `init` hands over as `&'static`: written there, once.
struct Once<T>(UnsafeCell<T>);

// SAFETY: as for `Instance`.
unsafe impl<T> Sync for Once<T> {}

static DIRECTORY: Once<[u32; SPAN]> = Once(UnsafeCell::new([0; SPAN]));
static RANGES: Once<MaybeUninit<[FrameRange<Pfn>; 4]>> = Once(UnsafeCell::new(MaybeUninit::uninit()));

/// The hypervisor.
#[inline]
pub(crate) fn el2() -> &'static El2<'static, Machine> {
    // SAFETY: `init` came before the first exception from EL1, and nobody writes after it.
    unsafe { (*EL2.0.get()).assume_init_ref() }
}

fn range(from: u64, to: u64) -> Result<FrameRange<Pfn>, Error> {
    FrameRange::from_bytes(from, to - from, AddressWidth::MAX)
}

/// Builds the records. Once, on CPU 0, before the host runs.
pub(crate) fn init() {
    if build().is_err() {
        fatal::stop("the records could not be built");
    }
}

fn build() -> Result<(), Located<Error>> {
    let width = AddressWidth::new(WIDTH)?;
    // The host's level-1 tables, then its level-2 and level-3 tables: the carve-out behind the image.
    let root = range(IMAGE_END, IMAGE_END + (2 << PAGE_SHIFT))?;
    let tables = range(IMAGE_END + (2 << PAGE_SHIFT), CARVEOUT_END)?;
    // Devices of the board below RAM: GIC, UART, RTC, GPIO, virtio.
    let all = [range(RAM, RAM_END)?, range(IMAGE, CARVEOUT_END)?, range(0x0800_0000, 0x1000_0000)?, root];
    // SAFETY: the only call, and nobody else is running.
    let (directory, ranges) = unsafe { (&mut *DIRECTORY.0.get(), (*RANGES.0.get()).write(all)) };
    let [ram, own, devices, _] = ranges;
    let config = Config {
        directory,
        chunks: &CHUNKS,
        blocks: &BLOCKS,
        ram: core::slice::from_ref(ram),
        own: core::slice::from_ref(own),
        devices: core::slice::from_ref(devices),
        host_root: root,
        host_tables: tables,
        vms: &CELLS,
        pa: width,
        ipa: width,
        smmu: false,
    };
    let el2 = El2::new(&MACHINE, config)?;
    // SAFETY: as above.
    unsafe { (*EL2.0.get()).write(el2) };
    Ok(())
}
