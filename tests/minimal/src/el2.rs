//! An EL2 image without a machine: calls of host and guest, faults, vCPUs.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use tenure_abi::{AddressWidth, Error, FrameRange, Located, Pfn};
use tenure_arch::lock::SpinLock;
use tenure_arch::stage2::Table;
use tenure_arch::tlb::{CpuTlb, Stage2Tlb, Vttbr};
use tenure_arch::window::Window;
use tenure_hyp::el2::{Config, El2, GuestOutcome, Hardware, HostOutcome, Stop, VmCell};
use tenure_hyp::tracker::{Block, Chunk};

struct Nothing(Table);

/// What a running image would have written before the first call.
struct Start {
    directory: [u32; 4],
    ram: MaybeUninit<[FrameRange<Pfn>; 1]>,
}

struct Memory(UnsafeCell<Start>);

// SAFETY: used once, by `entry`, on one CPU.
unsafe impl Sync for Memory {}

static MEMORY: Memory = Memory(UnsafeCell::new(Start { directory: [0; 4], ram: MaybeUninit::uninit() }));

static NOTHING: Nothing = Nothing(Table::new());
static CHUNKS: [Chunk; 1] = [Chunk::zeroed()];
static BLOCKS: [Block; 8] = [const { Block::zeroed() }; 8];
static CELLS: [VmCell<'static, Nothing>; 8] = [const { VmCell::new() }; 8];

// SAFETY: one page stands for all; it is part of the value.
unsafe impl Window for Nothing {
    fn table(&self, _: Pfn) -> Option<&Table> {
        Some(&self.0)
    }
}

impl Stage2Tlb for Nothing {
    fn publish(&self) {
        CpuTlb::new().publish();
    }
    fn invalidate(&self, context: Vttbr, first: u64, frames: u64) {
        CpuTlb::new().invalidate(context, first, frames);
    }
    fn invalidate_vm(&self, context: Vttbr) {
        CpuTlb::new().invalidate_vm(context);
    }
}

// SAFETY: nothing is mapped, so nothing is to be unmapped; this image is never run.
unsafe impl Hardware for Nothing {
    type Lock = SpinLock;
    fn attach(&self, _: Pfn) {}
    fn detach(&self, _: Pfn) {}
    fn scrub(&self, _: Pfn) {}
    fn prepare_for_guest(&self, _: Pfn) {}
}

/// Does what the registers ask for.
pub(crate) fn entry(registers: &mut [u64; 8]) {
    registers[7] = work(*registers).unwrap_or_else(|refused| refused.error as u64);
}

fn work([a, b, c, d, e, f, ..]: [u64; 8]) -> Result<u64, Located<Error>> {
    let width = AddressWidth::new(40)?;
    let frames = FrameRange::new(Pfn::new(a)?, b, width)?;
    // SAFETY: the only use.
    let Start { directory, ram } = unsafe { &mut *MEMORY.0.get() };
    let ram = &*ram.write([frames]);
    let config = Config {
        directory,
        chunks: &CHUNKS,
        blocks: &BLOCKS,
        ram,
        own: ram,
        devices: ram,
        host_root: frames,
        host_tables: frames,
        vms: &CELLS,
        pa: width,
        ipa: width,
        smmu: false,
    };
    let el2 = El2::new(&NOTHING, config)?;
    let fault = el2.host_fault(c) as u64;
    match el2.host_call([a, b, c, d, e, f]) {
        HostOutcome::Reply([value, ..]) => Ok(value + fault),
        HostOutcome::Run(vcpu, _) => {
            if let Some([value, ..]) = el2.guest_call_fast(&vcpu, [a, b, c, d]) {
                return Ok(value);
            }
            let stop = match el2.guest_call(&vcpu, [a, b, c, d]) {
                GuestOutcome::ReplyAndStop(_, stop) | GuestOutcome::RewindAndStop(stop) => stop,
                GuestOutcome::Reply(_) | GuestOutcome::Rewind => Stop::plain(tenure_abi::run::StopReason::Interrupt),
            };
            let over = u64::from(el2.guest_fault_is_over(&vcpu, a)) + el2.guest_context(&vcpu)?.raw();
            let [value, ..] = el2.vcpu_stopped(vcpu, stop);
            Ok(value + over)
        }
    }
}
