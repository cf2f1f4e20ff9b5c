//! `KVM_SEV_SNP_LAUNCH_UPDATE`.

use super::files::Files;
use super::host::Kind;
use super::launch::{First, From, LaunchFailed, Stage};
use super::pages;
use super::vm::Vm;
use crate::gmem::nodes::Nodes;
use crate::platform::PageType;
use tenure_abi::gmem::{SnpLaunchUpdate, SnpPageType};
use tenure_abi::{Errno, Gfn, Interface, PAGE_SHIFT, PAGE_SIZE};

impl<N: Nodes, const SLOTS: usize> Vm<N, SLOTS> {
    /// `KVM_SEV_SNP_LAUNCH_UPDATE`: gives private pages their first bytes and has them measured. `update` is advanced over what
    /// is done; the caller repeats the call until its length is 0.
    ///
    /// Where files are converted in place an address of 0 means the bytes that are in the page already, and stays 0.
    ///
    /// # Errors
    /// Only if no page was done. `EINVAL` for a guest that is not an SNP guest in its launch, for a length of 0, anything but
    /// whole pages, any flag, a page type that is not [`SnpPageType`]'s, no address where bytes are needed, and a frame without
    /// a file behind it. `EIO` for whatever becomes of the page itself: firmware's code is beside it.
    pub fn launch_update<const BINDINGS: usize>(
        &self,
        files: &impl Files<BINDINGS>,
        stage: &mut impl Stage,
        update: &mut SnpLaunchUpdate,
    ) -> Result<(), LaunchFailed> {
        let refused = LaunchFailed::of(Errno::EINVAL);
        let kind = page_type(SnpPageType(update.page_type)).ok_or(refused)?;
        let zeroes = kind == PageType::Zero;
        let in_place = !zeroes && update.uaddr == 0 && self.host.converts_in_place();
        let no_bytes = !zeroes && !in_place && (update.uaddr == 0 || !pages(update.uaddr, 0));
        let malformed = update.len == 0 || !pages(update.len, 0) || update.flags != 0 || no_bytes;
        if self.kind != Kind::Snp || !self.is_launching() || malformed {
            return Err(refused);
        }
        let slot = Gfn::new(update.gfn_start).ok().and_then(|gfn| self.slots.at(gfn));
        let slot = slot.filter(|slot| slot.backing.is_some()).ok_or(refused)?;
        let mut done = false;
        // What lies in another slot is for the next call.
        while update.len != 0 && update.gfn_start < slot.end() {
            let Ok(gfn) = Gfn::new(update.gfn_start) else { break };
            let from = match (zeroes, in_place) {
                (true, _) => From::Zeroes,
                (false, true) => From::InPlace,
                (false, false) => From::User(update.uaddr),
            };
            match self.fill(files, stage, &First { gfn, kind, from }) {
                Err(_) if done => return Ok(()),
                Err(stopped) => return Err(LaunchFailed::page(stopped, Interface::LaunchUpdate)),
                Ok(()) => done = true,
            }
            update.gfn_start += 1;
            update.len -= PAGE_SIZE;
            if let From::User(address) = from {
                update.uaddr = address.wrapping_add(1 << PAGE_SHIFT);
            }
        }
        Ok(())
    }
}

/// The page type of its number; `None` for those that user space cannot name.
const fn page_type(number: SnpPageType) -> Option<PageType> {
    match number {
        SnpPageType::NORMAL => Some(PageType::Normal),
        SnpPageType::ZERO => Some(PageType::Zero),
        SnpPageType::UNMEASURED => Some(PageType::Unmeasured),
        SnpPageType::SECRETS => Some(PageType::Secrets),
        SnpPageType::CPUID => Some(PageType::Cpuid),
        _ => None,
    }
}
