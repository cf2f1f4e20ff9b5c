//! `KVM_TDX_INIT_MEM_REGION`.

use super::files::Files;
use super::host::Kind;
use super::launch::{First, From, LaunchFailed, Stage};
use super::pages;
use super::vm::Vm;
use crate::gmem::nodes::Nodes;
use crate::platform::PageType;
use tenure_abi::gmem::{TdxInitMemRegion, TdxRegionFlags};
use tenure_abi::{Errno, Gfn, Interface, PAGE_SHIFT, PAGE_SIZE};

/// What surrounds a region in a command to a TD's vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TdxCommand {
    /// [`TdxRegionFlags`], as user space wrote them.
    pub flags: u32,
    /// Whether the vCPU the command was given to is initialised.
    pub vcpu_ready: bool,
    /// The address bit that means shared: 47 or 51, by the TD's width.
    pub shared_bit: u32,
}

impl<N: Nodes, const SLOTS: usize> Vm<N, SLOTS> {
    /// `KVM_TDX_INIT_MEM_REGION`: gives private pages their first bytes. `region` is advanced over what is done, also when
    /// the call fails.
    ///
    /// Where files are converted in place a source of 0 means the bytes that are in the page already, and stays 0.
    ///
    /// # Errors
    /// `EINVAL` for a VM that is not a TD in its launch, a vCPU that is not ready, an unknown flag, a source that is no whole
    /// page, an address that is none or not private, no pages, a wrap. `EOPNOTSUPP` for a source of 0 where the series is there
    /// and turned off. For a page: `EINVAL` if it is not private or has no file, `EBUSY` if the module is busy with it, `EIO`
    /// if it was filled before and for all else that the module says, `EFAULT`, `EINTR`, `EAGAIN`, `ENOMEM`.
    pub fn init_mem_region<const BINDINGS: usize>(
        &self,
        files: &impl Files<BINDINGS>,
        stage: &mut impl Stage,
        command: TdxCommand,
        region: &mut TdxInitMemRegion,
    ) -> Result<(), LaunchFailed> {
        let measured = TdxRegionFlags::from_bits(command.flags);
        let (Kind::Tdx, true, true, Some(flags)) = (self.kind, self.is_launching(), command.vcpu_ready, measured)
        else {
            return Err(LaunchFailed::of(Errno::EINVAL));
        };
        let bytes = region.nr_pages.checked_mul(PAGE_SIZE);
        let end = bytes.and_then(|bytes| region.gpa.checked_add(bytes));
        let private = end.is_some_and(|end| end <= 1_u64.checked_shl(command.shared_bit).unwrap_or(0));
        if region.nr_pages == 0 || !private || !pages(region.source_addr, region.gpa) {
            return Err(LaunchFailed::of(Errno::EINVAL));
        }
        let in_place = region.source_addr == 0;
        if in_place && !self.host.converts_in_place() {
            let series = self.host.personality.answers().in_place.is_some();
            return Err(LaunchFailed::of(if series { Errno::EOPNOTSUPP } else { Errno::EINVAL }));
        }
        let measure = flags.contains(TdxRegionFlags::MEASURE);
        let kind = if measure { PageType::Normal } else { PageType::Unmeasured };
        while region.nr_pages != 0 {
            if stage.interrupted() {
                return Err(LaunchFailed::of(Errno::EINTR));
            }
            let gfn = Gfn::new(region.gpa >> PAGE_SHIFT).map_err(|_| LaunchFailed::of(Errno::EINVAL))?;
            let from = if in_place { From::InPlace } else { From::User(region.source_addr) };
            let filled = self.fill(files, stage, &First { gfn, kind, from });
            filled.map_err(|stopped| LaunchFailed::page(stopped, Interface::TdxPopulate))?;
            region.gpa += PAGE_SIZE;
            region.nr_pages -= 1;
            if !in_place {
                region.source_addr = region.source_addr.wrapping_add(PAGE_SIZE);
            }
        }
        Ok(())
    }
}
