//! Everything an EL2 image needs between its exception vectors and the tracker.
//!
//! The image owns the CPU: boot, vectors, world switch, its own stage-1 map. It hands calls and faults to [`El2`] and
//! does what the answer says. What [`El2`] needs from the image is one trait, [`Hardware`].
//!
//! | file | what it holds |
//! |---|---|
//! | `hardware` | what an image supplies |
//! | `host_map` | the host's stage-2: a cache of the tracker, filled by faults, dropped at will |
//! | `vm` | the VM table: handles, lives, each VM's stage-2 |
//! | `vcpu` | who may run which vCPU, and what the host is told when it stops |
//! | `hyp_memory` | memory between host and hypervisor: share, pin, donate |
//! | `guest_memory` | memory from the host to guests, and back from non-protected ones |
//! | `reclaim` | memory back from protected guests: by death, by force, by their own wish |
//! | `guest_call`, `host_call` | from registers to operations and back |
//!
//! # Order
//! Every operation takes locks in the order VM, regions (ascending), leaves (table pools), and moves a page in the order
//! of a [claim](crate::tracker::claim). The host's stage-2 is changed only under the lock of the region concerned; a guest's
//! stage-2 only under its VM's lock, where it is the truth about which frame a gfn means. It never says who owns that
//! frame: each leaf that is used is checked against the tracker's reverse map.

mod guest_call;
mod guest_memory;
mod hardware;
mod host_call;
mod host_map;
mod hyp_memory;
mod reclaim;
mod vcpu;
mod vm;

pub use guest_call::GuestOutcome;
pub use hardware::Hardware;
pub use host_call::HostOutcome;
pub use host_map::HostFault;
pub use vcpu::{Resume, Start, Stop, VCPUS_PER_VM, VcpuToken};
pub use vm::VmCell;

use crate::tracker::{AllAtStart, Block, Chunk, Identity, Tracker, Transition};
use host_map::HostMap;
use tenure_abi::{AddressWidth, Error, FrameRange, Located, PageSize, Pfn, Place, service::Features};
use tenure_arch::stage2::Geometry;
use tenure_arch::tlb::Vttbr;

/// How many VMs 8-bit VMIDs can tell apart, the host not counted.
pub const VMS_MAX: usize = 255;
/// How many pages a call does at most: one residency at EL2. Whoever asks for more is told how many were done. Calls that only
/// change records, of which a whole GiB costs a microsecond, are not cut.
pub const RESIDENCY_PAGES: u64 = PageSize::Size2M.frames();
/// How often the region of a page in quarantine is tried: whoever parked it is done within one residency.
const CUT_OFF_TRIES: u32 = 1 << 20;

/// The memory and the map of the machine that an [`El2`] is built from; all arrays zeroed, as static memory is.
pub struct Config<'m, H: Hardware> {
    /// A word per GiB of physical address space.
    pub directory: &'m mut [u32],
    /// A chunk per GiB that holds RAM ([`Tracker::chunks_needed`]).
    pub chunks: &'m [Chunk],
    /// Block `i` serves region `i`, counted from the first chunk.
    pub blocks: &'m [Block],
    /// RAM, sorted.
    pub ram: &'m [FrameRange<Pfn>],
    /// The hypervisor's own memory, within RAM: image, stacks and everything named here.
    pub own: &'m [FrameRange<Pfn>],
    /// Device memory the host may use, mapped from the start.
    pub devices: &'m [FrameRange<Pfn>],
    /// The host's stage-2 root tables and the pages for all others, within `own` and reachable through the window.
    pub host_root: FrameRange<Pfn>,
    /// See `host_root`.
    pub host_tables: FrameRange<Pfn>,
    /// One cell per VM that can exist at a time: at most [`VMS_MAX`].
    pub vms: &'m [VmCell<'m, H>],
    /// The physical address width, which is the host's stage-2 input width too.
    pub pa: AddressWidth,
    /// The guests' address width.
    pub ipa: AddressWidth,
    /// Whether devices are behind an SMMU that the hypervisor holds. Without one nothing is claimed against devices.
    pub smmu: bool,
}

/// The hypervisor: the tracker, the host's stage-2 and the VMs.
pub struct El2<'m, H: Hardware> {
    tracker: Tracker<'m, AllAtStart<'m>>,
    host: HostMap<'m, H>,
    vms: &'m [VmCell<'m, H>],
    hw: &'m H,
    pa: AddressWidth,
    guest: Geometry,
    features: Features,
}

impl<'m, H: Hardware> El2<'m, H> {
    /// Builds the records: the host owns `ram`, except `own`, which is the hypervisor's.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a configuration that contradicts itself, [`Error::NoMemory`] if an array or the host's
    /// table pages are too few.
    pub fn new(hw: &'m H, mut config: Config<'m, H>) -> Result<Self, Located<Error>> {
        let directory = core::mem::take(&mut config.directory);
        let tracker = Tracker::new(directory, config.chunks, config.ram, AllAtStart::new(config.blocks))?;
        // VMIDs have 8 bits here, and 0 is the host's.
        if config.vms.len() > VMS_MAX {
            return Err(Error::Invalid.into());
        }
        for &range in config.own {
            tracker.claim(Transition::HostDonateHyp, range, Identity::NONE)?.commit(PageSize::Size4K);
        }
        let inside =
            |part: FrameRange<Pfn>| config.own.iter().any(|own| own.contains(part.first()) && part.end() <= own.end());
        if !inside(config.host_root) || !inside(config.host_tables) {
            return Err(Error::Invalid.into());
        }
        let host = HostMap::new(hw, &config)?;
        let guest = Geometry::new(config.ipa)?;
        let mut features = Features::RANGES | Features::LEAF_2M;
        features.set(Features::SMMU, config.smmu);
        Ok(Self { tracker, host, vms: config.vms, hw, pa: config.pa, guest, features })
    }

    /// The ownership records, for audits and diagnosis.
    pub fn tracker(&self) -> &Tracker<'m, AllAtStart<'m>> {
        &self.tracker
    }

    /// The host's stage-2, for `VTTBR_EL2`.
    pub fn host_context(&self) -> Vttbr {
        self.host.context()
    }

    /// `VTCR_EL2` for the host's stage-2.
    pub fn host_vtcr(&self) -> u64 {
        self.host.vtcr(self.pa)
    }

    /// `VTCR_EL2` for the guests' stage-2.
    pub fn guest_vtcr(&self) -> u64 {
        self.guest.vtcr(self.pa, false)
    }

    /// Claims pages. A contradiction that comes to light also takes the page out of the host's reach.
    fn claim(
        &self,
        op: Transition,
        frames: FrameRange<Pfn>,
        identity: Identity,
    ) -> Result<crate::tracker::Claim<'_, AllAtStart<'m>>, Located<Error>> {
        self.tracker.claim(op, frames, identity).inspect_err(|refused| {
            if let Located { error: Error::Internal, at: Place::Pfn(pfn) } = *refused {
                self.cut_off(pfn);
            }
        })
    }

    /// Takes a page that went into quarantine away from the host.
    #[cold]
    fn cut_off(&self, pfn: Pfn) {
        for _ in 0..CUT_OFF_TRIES {
            if let Ok(_guard) = self.tracker.lock_region(pfn) {
                return self.host.take(pfn.number(), 1, self.hw);
            }
        }
    }
}
