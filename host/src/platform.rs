//! The contract between the back of a conversion and whoever enforces it: nothing, the RMP, the TDX module.
//!
//! A platform does one thing to one run of pages and says exactly how far it came. It decides nothing about policy:
//! which pages, in which order and what happens after a failure is the caller's (`gmem`).
//!
//! | operation | none | SEV-SNP | TDX |
//! |---|---|---|---|
//! | [`Platform::reserve`] | - | - | Secure EPT and PAMT pages |
//! | [`Platform::resize`] | - | PSMASH | demote |
//! | [`Platform::detach`] | - | - (the zap of the nested tables is enough) | block |
//! | [`Platform::fence`] | - | - | TRACK and a kick of every vCPU |
//! | [`Platform::transfer`] | zero where asked | RMPUPDATE, launch update | add, aug, remove |
//!
//! Every method takes `&self`: conversions of disjoint runs go on side by side.

mod none;

pub use none::{Memory, Unenforced};

use bitflags::bitflags;
use tenure_abi::{ContentMode, Error, PageSize, Pfn, Run, Visibility, VmHandle};

/// What a page holds when a guest starts. Decides what firmware measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageType {
    /// Bytes that are measured.
    Normal,
    /// Zeroes that are measured.
    Zero,
    /// Bytes that only the address is measured of.
    Unmeasured,
    /// The page firmware writes its secrets to.
    Secrets,
    /// The table of CPUID answers, which firmware may reject and correct.
    Cpuid,
}

/// What happens to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// The guest is being built: these are its first bytes.
    Populate(PageType),
    /// The guest touches a private page that nobody has assigned to it yet.
    FirstUse,
    /// From everybody to the guest alone.
    ToPrivate,
    /// From the guest alone to everybody.
    ToShared,
    /// The frames leave the file.
    Reclaim,
}

/// What the run holds afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Whatever the hardware leaves.
    Leave,
    /// Zeroes, for everyone who may read. Who writes them is the platform's choice: where firmware does, nobody else.
    Zero,
    /// The bytes of these frames, as many as the run has.
    From(Pfn),
    /// The bytes that are there now.
    InPlace,
}

/// How an entry stands that an operation stopped at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Here {
    /// As before the call.
    AsBefore,
    /// Whose it is did not change; its bytes are firmware's now.
    Rewritten,
    /// The guest lost it and nobody else has it.
    Detached,
    /// Nobody can say.
    Unknown,
}

/// Whether asking again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It cannot.
    No,
    /// At once.
    Again,
    /// After every vCPU has left the guest.
    AfterKick,
    /// The hardware keeps a mark for the caller until [`Platform::settle`].
    Owed,
}

/// Why an operation stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In Tenure's words.
    pub kind: Error,
    /// The instruction's or the firmware's own code, never dropped; 0 where there is none.
    pub raw: u64,
    /// Whether asking again can help.
    pub retry: Retry,
}

impl Fault {
    /// A final refusal without a code of its own.
    pub const fn of(kind: Error) -> Self {
        Self { kind, raw: 0, retry: Retry::No }
    }
}

/// How far an operation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The whole run.
    Done,
    /// The first `done` pages; `here` is how the next entry stands, what follows it is as before.
    Stopped {
        /// Pages finished.
        done: u64,
        /// How the next entry stands.
        here: Here,
        /// Why.
        why: Fault,
    },
}

bitflags! {
    /// Sizes the hardware can hold a private page in.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Sizes: u8 {
        /// 4 KiB: every platform has it.
        const SIZE_4K = 1 << 0;
        /// 2 MiB.
        const SIZE_2M = 1 << 1;
        /// 1 GiB.
        const SIZE_1G = 1 << 2;
    }
}

impl Sizes {
    /// Whether `size` is one of them.
    pub const fn has(self, size: PageSize) -> bool {
        self.contains(match size {
            PageSize::Size4K => Self::SIZE_4K,
            PageSize::Size2M => Self::SIZE_2M,
            PageSize::Size1G => Self::SIZE_1G,
        })
    }
}

/// Where a guest is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its first pages are put in place and measured; no vCPU runs.
    Building,
    /// Measured and started.
    Running,
}

/// What a content mode costs on a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It cannot be promised: refused before anything changes.
    Refused,
    /// It holds without work: no page is walked for it.
    Free,
    /// Every backed page of the range is worked on, also those that need no conversion.
    PerPage,
}

/// The rule of every content mode, by phase and direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRules {
    /// `[phase][direction][mode]`, in the order of the enumerations.
    pub table: [[[Rule; 3]; 2]; 2],
}

impl ContentRules {
    /// The rule of one mode.
    pub const fn rule(&self, phase: Phase, to: Visibility, mode: ContentMode) -> Rule {
        self.table[phase as usize][to as usize][mode as usize]
    }
}

/// What a platform can do: all of it may be shown to user space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Sizes of private pages.
    pub sizes: Sizes,
    /// Sizes that [`Op::Populate`] takes.
    pub populate_sizes: Sizes,
    /// Whether a private entry can be split in place ([`Platform::resize`]).
    pub resize: bool,
    /// What it promises of contents.
    pub content: ContentRules,
    /// Whether a guest's memory may be mapped before it is finished.
    pub prefault_while_building: bool,
    /// Whether a conversion to private assigns backed pages at once, at the largest size.
    pub assigns_on_conversion: bool,
}

/// Who enforces ownership.
///
/// A run given to a method is backed, contiguous on both sides, and in the hands of the caller until the method
/// returns: no other call names any of its pages.
pub trait Platform: Sync {
    /// Whether [`Platform::reserve`] ever takes anything; without it no page is walked for it.
    fn reserves(&self) -> bool {
        true
    }

    /// Whether a guest has to be [detached](Platform::detach) before its pages are taken from it; else it is enough that its
    /// mappings are gone.
    fn detaches(&self) -> bool {
        true
    }

    /// What it can do; the same each time.
    fn capabilities(&self) -> &Capabilities;

    /// Takes whatever `op` on `run` may need, so that it does not fail for want of memory later.
    ///
    /// # Errors
    /// Nothing was taken and nothing changed.
    fn reserve(&self, guest: VmHandle, run: Run, op: Op) -> Result<(), Fault>;

    /// Splits the hardware's entries of `run` (of size `run.hw()`) into entries of size `to`.
    fn resize(&self, guest: VmHandle, run: Run, to: PageSize) -> Progress;

    /// Cuts the guest off from an assigned run. Vouched for only after [`Platform::fence`].
    fn detach(&self, guest: VmHandle, run: Run) -> Progress;

    /// Makes all detachments of `guest` so far effective; once for a batch.
    ///
    /// # Errors
    /// They are not proven.
    fn fence(&self, guest: VmHandle) -> Result<(), Fault>;

    /// Carries `op` out. `run.hw()` is the size the entry has, or is to get.
    fn transfer(&self, guest: VmHandle, run: Run, op: Op, content: Content) -> Progress;

    /// Undoes [`Platform::detach`].
    fn reattach(&self, guest: VmHandle, run: Run) -> Progress;

    /// Clears the marks that [`Retry::Owed`] spoke of.
    ///
    /// # Errors
    /// They stay.
    fn settle(&self, guest: VmHandle) -> Result<(), Fault>;

    /// What the hardware says of a frame, for audits: the guest it is assigned to, if it is.
    fn observe(&self, pfn: Pfn) -> Option<VmHandle>;

    /// Brings a withdrawn frame back to the host, on proof.
    ///
    /// # Errors
    /// There is none.
    fn recover(&self, pfn: Pfn) -> Result<(), Fault>;
}
