//! The hosted machine as the `Hardware` of an `El2`.

use std::collections::BTreeSet;
use std::sync::Mutex;
use tenure_abi::{FrameRange, Pfn};
use tenure_arch::lock::RawLock;
use tenure_arch::stage2::Table;
use tenure_arch::tlb::{Stage2Tlb, Vttbr};
use tenure_arch::window::Window;
use tenure_hyp::el2::Hardware;
use tenure_machine::lock::Bit;
use tenure_machine::step::{Kind, actor, primitive, violation};
use tenure_machine::{Frame, Machine};

/// Above this many frames the whole VMID is invalidated at once, as on a real CPU.
const PER_FRAME_LIMIT: u64 = 64;

/// Which barriers are there: all, or all but one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Barriers {
    /// The sequence as it must be.
    #[default]
    All,
    /// Without the DSB ISHST before the first TLBI.
    NoneBefore,
    /// Without the DSB between the invalidation by IPA and that of stage 1.
    NoneBetween,
    /// Without the DSB at the end.
    NoneAtTheEnd,
}

/// The machine, and what EL2 has mapped of it.
#[derive(Debug)]
pub struct Hw {
    /// What it runs on.
    pub machine: Machine,
    own: FrameRange<Pfn>,
    attached: Mutex<BTreeSet<u64>>,
    barriers: Barriers,
}

impl Hw {
    /// EL2 on `machine`, where `own` is always mapped at EL2.
    pub fn new(machine: Machine, own: FrameRange<Pfn>, barriers: Barriers) -> Self {
        Self { machine, own, attached: Mutex::default(), barriers }
    }

    /// How many pages are attached.
    pub fn attached(&self) -> usize {
        self.attached.lock().map_or(0, |pages| pages.len())
    }

    fn frame(&self, pfn: Pfn) -> Option<&Frame> {
        self.machine.memory().frame(pfn)
    }

    fn is_attached(&self, pfn: Pfn) -> bool {
        self.attached.lock().is_ok_and(|pages| pages.contains(&pfn.number()))
    }
}

const _: () = assert!(size_of::<Table>() == size_of::<Frame>() && align_of::<Table>() == align_of::<Frame>());

// SAFETY: a frame of the machine stays where it is, and is only reached by atomic accesses.
unsafe impl Window for Hw {
    fn table(&self, pfn: Pfn) -> Option<&Table> {
        if !self.own.contains(pfn) && !self.is_attached(pfn) {
            return None;
        }
        let frame = core::ptr::from_ref(self.frame(pfn)?).cast::<Table>();
        // SAFETY: both types are C arrays of 512 of the machine's words, of one size and alignment (asserted above), and
        // each word can only be accessed atomically.
        Some(unsafe { &*frame })
    }
}

impl Stage2Tlb for Hw {
    fn publish(&self) {
        self.machine.dsb_ishst(actor());
    }

    fn invalidate(&self, context: Vttbr, first_frame: u64, frames: u64) {
        let (cpu, vmid) = (actor(), context.vmid());
        match frames {
            0 => {}
            1..=PER_FRAME_LIMIT => {
                if self.barriers != Barriers::NoneBefore {
                    self.machine.dsb_ishst(cpu);
                }
                for frame in first_frame..first_frame + frames {
                    self.machine.tlbi_ipas2e1is(cpu, vmid, frame);
                }
                if self.barriers != Barriers::NoneBetween {
                    self.machine.dsb_ish(cpu);
                }
                self.machine.tlbi_vmalle1is(cpu, vmid);
                if self.barriers != Barriers::NoneAtTheEnd {
                    self.machine.dsb_ish(cpu);
                }
            }
            _ => self.invalidate_vm(context),
        }
    }

    fn invalidate_vm(&self, context: Vttbr) {
        self.machine.dsb_ishst(actor());
        self.machine.tlbi_vmalls12e1is(actor(), context.vmid());
        self.machine.dsb_ish(actor());
    }
}

/// A lock whose waiters let others run.
pub struct Lock(Bit);

// SAFETY: the bit is taken by one exchange, and only from "free"; everything here is sequentially consistent.
unsafe impl RawLock for Lock {
    #[allow(clippy::declare_interior_mutable_const)] // An initial value: each use is a lock of its own.
    const NEW: Self = Self(Bit::new());

    fn try_lock(&self, tries: u32) -> bool {
        self.0.try_take(tries)
    }

    fn lock(&self) {
        self.0.take();
    }

    unsafe fn unlock(&self) {
        self.0.give_up();
    }
}

// SAFETY: the window answers for attached pages only; a frame that is zeroed is zero to everybody at once.
unsafe impl Hardware for Hw {
    type Lock = Lock;

    fn attach(&self, pfn: Pfn) {
        primitive(Kind::Frame);
        if !self.attached.lock().is_ok_and(|mut pages| pages.insert(pfn.number())) {
            violation(format!("{pfn:?} is attached twice"));
        }
    }

    fn detach(&self, pfn: Pfn) {
        primitive(Kind::Frame);
        if !self.attached.lock().is_ok_and(|mut pages| pages.remove(&pfn.number())) {
            violation(format!("{pfn:?} is detached and was not attached"));
        }
    }

    fn scrub(&self, pfn: Pfn) {
        if self.is_attached(pfn) {
            violation(format!("{pfn:?} is scrubbed while EL2 maps it"));
        }
        if let Some(frame) = self.frame(pfn) {
            frame.zero();
        }
    }

    fn prepare_for_guest(&self, _: Pfn) {
        primitive(Kind::Frame);
    }
}
