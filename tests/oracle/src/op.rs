//! A call as data, and who may make it when.
//!
//! The transitions of [`crate::spec`] judge pages. Here stands what is judged before them (CK-7): the VM
//! exists, is of the right kind and in the right phase of its life; else `Invalid` for the call as a
//! whole. Unmapping works on dying VMs too, or none could ever be emptied.

use crate::spec::{Answer, Done, Span, Spec, VmKind};
use tenure_abi::{Error, Gfn, Located, Pfn, VmSlot};

/// One call. Numbers are as they arrive from outside, unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are those of the transitions they name.
pub enum Op {
    /// PK-01.
    HostShareHyp(Span),
    /// PK-02.
    HostUnshareHyp(Span),
    /// PK-03.
    HypPin(Span),
    /// PK-04.
    HypUnpin(Span),
    /// PK-05.
    HostDonateHyp(Span),
    /// PK-06.
    HypDonateHost(Span),
    /// Begin to use hypervisor pages.
    HypGet(Span),
    /// End it.
    HypPut(Span),
    /// PK-09.
    HostShareGuest { vm: VmSlot, pages: Span, gfn: u64 },
    /// PK-10.
    HostUnshareGuest { vm: VmSlot, gfns: Span },
    /// PK-11.
    HostDonateGuest { vm: VmSlot, pages: Span, gfn: u64 },
    /// PK-12.
    GuestShareHost { vm: VmSlot, gfns: Span },
    /// PK-13.
    GuestUnshareHost { vm: VmSlot, gfns: Span },
    /// PK-14.
    Reclaim { vm: VmSlot, gfns: Span },
    /// PK-15.
    ForceReclaim(Span),
    /// PK-25.
    Relinquish { vm: VmSlot, gfns: Span },
    /// A VM comes to life.
    VmCreate { vm: VmSlot, kind: VmKind },
    /// A VM stops for ever.
    VmStartTeardown(VmSlot),
    /// An emptied VM is gone.
    VmFinishTeardown(VmSlot),
    /// The records may be stored in less space; nobody can see a difference.
    Compact(Span),
}

/// In which phase of its life a VM must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Live,
    Dying,
    Any,
}

impl Op {
    /// What the specification says to this call; the state changes if it says yes.
    ///
    /// # Errors
    /// `Invalid` for the call if CK-7 refuses it, else those of the transition.
    pub fn apply(self, spec: &mut Spec) -> Answer {
        self.asked_by_the_right_one(spec)?;
        match self {
            Self::HostShareHyp(pages) => spec.host_share_hyp(pages),
            Self::HostUnshareHyp(pages) => spec.host_unshare_hyp(pages),
            Self::HypPin(pages) => spec.hyp_pin(pages),
            Self::HypUnpin(pages) => spec.hyp_unpin(pages),
            Self::HostDonateHyp(pages) => spec.host_donate_hyp(pages),
            Self::HypDonateHost(pages) => spec.hyp_donate_host(pages),
            Self::HypGet(pages) => spec.hyp_get(pages),
            Self::HypPut(pages) => spec.hyp_put(pages),
            Self::HostShareGuest { vm, pages, gfn } => spec.host_share_guest(vm, pages, gfn),
            Self::HostUnshareGuest { vm, gfns } => spec.host_unshare_guest(vm, gfns),
            Self::HostDonateGuest { vm, pages, gfn } => spec.host_donate_guest(vm, pages, gfn),
            Self::GuestShareHost { vm, gfns } => spec.guest_share_host(vm, gfns),
            Self::GuestUnshareHost { vm, gfns } => spec.guest_unshare_host(vm, gfns),
            Self::Reclaim { vm, gfns } => spec.reclaim(vm, gfns),
            Self::ForceReclaim(pages) => spec.force_reclaim(pages),
            Self::Relinquish { gfns, .. } if self.has_nothing_to_give(spec) => spec.relinquish_nothing(gfns),
            Self::Relinquish { vm, gfns } => spec.relinquish(vm, gfns),
            Self::VmCreate { vm, kind } => spec.vm_create(vm, kind),
            Self::VmStartTeardown(vm) => spec.vm_start_teardown(vm),
            Self::VmFinishTeardown(vm) => spec.vm_finish_teardown(vm),
            Self::Compact(pages) => Ok(Done { pages: pages.count, ..Done::default() }),
        }
    }

    /// CK-7.
    ///
    /// # Errors
    /// `Invalid` for the call.
    pub fn asked_by_the_right_one(self, spec: &Spec) -> Result<(), Located<Error>> {
        let (slot, kind, phase) = match self {
            Self::HostShareGuest { vm, .. } => (vm, Some(VmKind::NonProtected), Phase::Live),
            Self::HostUnshareGuest { vm, .. } => (vm, Some(VmKind::NonProtected), Phase::Any),
            Self::HostDonateGuest { vm, .. } | Self::GuestShareHost { vm, .. } | Self::GuestUnshareHost { vm, .. } => {
                (vm, Some(VmKind::Protected), Phase::Live)
            }
            Self::Relinquish { vm, .. } => (vm, None, Phase::Live),
            Self::Reclaim { vm, .. } => (vm, None, Phase::Dying),
            _ => return Ok(()),
        };
        let right = spec.vms.get(&slot).is_some_and(|vm| {
            kind.is_none_or(|kind| vm.kind == kind) && (phase == Phase::Any || vm.dying == (phase == Phase::Dying))
        });
        if right { Ok(()) } else { Err(Located::call(Error::Invalid)) }
    }

    /// PK-25 by a non-protected guest, which owns nothing: a call that succeeds and does nothing.
    pub fn has_nothing_to_give(self, spec: &Spec) -> bool {
        let Self::Relinquish { vm, .. } = self else { return false };
        spec.vms.get(&vm).is_some_and(|vm| vm.kind == VmKind::NonProtected)
    }

    /// Whether only a mistake inside the hypervisor could make this call: ending a use that never began.
    pub fn is_a_mistake_inside(self, spec: &Spec) -> bool {
        let any = |pages: Span, held: &dyn Fn(Pfn) -> bool| {
            pages.frames().any(|pfn| spec.owner.contains_key(&pfn) && !held(pfn))
        };
        match self {
            Self::HypUnpin(pages) => any(pages, &|pfn| spec.pins_of(pfn) > 0),
            Self::HypPut(pages) => any(pages, &|pfn| spec.references_of(pfn) > 0),
            _ => false,
        }
    }

    /// The host frames this call may change, as far as it names them.
    pub fn pages(self) -> Option<Span> {
        match self {
            Self::HostShareHyp(pages)
            | Self::HostUnshareHyp(pages)
            | Self::HypPin(pages)
            | Self::HypUnpin(pages)
            | Self::HostDonateHyp(pages)
            | Self::HypDonateHost(pages)
            | Self::HypGet(pages)
            | Self::HypPut(pages)
            | Self::ForceReclaim(pages)
            | Self::Compact(pages)
            | Self::HostShareGuest { pages, .. }
            | Self::HostDonateGuest { pages, .. } => Some(pages),
            _ => None,
        }
    }

    /// The same call for another range of host frames (guest frames, where it names no host frames).
    #[must_use]
    pub fn with_span(self, span: Span) -> Self {
        match self {
            Self::HostShareHyp(_) => Self::HostShareHyp(span),
            Self::HostUnshareHyp(_) => Self::HostUnshareHyp(span),
            Self::HypPin(_) => Self::HypPin(span),
            Self::HypUnpin(_) => Self::HypUnpin(span),
            Self::HostDonateHyp(_) => Self::HostDonateHyp(span),
            Self::HypDonateHost(_) => Self::HypDonateHost(span),
            Self::HypGet(_) => Self::HypGet(span),
            Self::HypPut(_) => Self::HypPut(span),
            Self::ForceReclaim(_) => Self::ForceReclaim(span),
            Self::Compact(_) => Self::Compact(span),
            Self::HostShareGuest { vm, gfn, .. } => Self::HostShareGuest { vm, pages: span, gfn },
            Self::HostDonateGuest { vm, gfn, .. } => Self::HostDonateGuest { vm, pages: span, gfn },
            Self::HostUnshareGuest { vm, .. } => Self::HostUnshareGuest { vm, gfns: span },
            Self::GuestShareHost { vm, .. } => Self::GuestShareHost { vm, gfns: span },
            Self::GuestUnshareHost { vm, .. } => Self::GuestUnshareHost { vm, gfns: span },
            Self::Reclaim { vm, .. } => Self::Reclaim { vm, gfns: span },
            Self::Relinquish { vm, .. } => Self::Relinquish { vm, gfns: span },
            Self::VmCreate { .. } | Self::VmStartTeardown(_) | Self::VmFinishTeardown(_) => self,
        }
    }

    /// Whether an implementation may do a prefix and ask for the rest to be repeated: where bytes are scrubbed
    /// or cleaned, and where the frames behind a guest range may lie anywhere.
    pub fn may_stop_early(self) -> bool {
        matches!(
            self,
            Self::HostShareGuest { .. }
                | Self::HostUnshareGuest { .. }
                | Self::HostDonateGuest { .. }
                | Self::GuestShareHost { .. }
                | Self::GuestUnshareHost { .. }
                | Self::Reclaim { .. }
                | Self::Relinquish { .. }
                | Self::ForceReclaim(_)
        )
    }

    /// The range it names: of host frames, or of guest frames where it names no host frames.
    pub fn span(self) -> Option<Span> {
        self.pages().or(self.gfns().map(|(_, gfns)| gfns))
    }

    /// The same call for the first `pages` pages.
    #[must_use]
    pub fn prefix(self, pages: u64) -> Self {
        self.span().map_or(self, |span| self.with_span(Span { count: pages, ..span }))
    }

    /// The same call for what follows the first `pages` pages.
    #[must_use]
    pub fn rest(self, pages: u64) -> Self {
        let Some(span) = self.span() else { return self };
        let rest = Span { first: span.first + pages, count: span.count - pages };
        match self.with_span(rest) {
            Self::HostShareGuest { vm, pages: rest, gfn } => Self::HostShareGuest { vm, pages: rest, gfn: gfn + pages },
            Self::HostDonateGuest { vm, pages: rest, gfn } => {
                Self::HostDonateGuest { vm, pages: rest, gfn: gfn + pages }
            }
            other => other,
        }
    }

    /// Whether it is about the life of a VM, not about pages.
    pub fn is_life(self) -> bool {
        matches!(self, Self::VmCreate { .. } | Self::VmStartTeardown(_) | Self::VmFinishTeardown(_))
    }

    /// The host frames this call names, or that the guest frames it names stand for.
    pub fn named_pages(self, spec: &Spec) -> Vec<Pfn> {
        let mut pages: Vec<Pfn> = self.pages().into_iter().flat_map(Span::frames).collect();
        if let Some((vm, gfns)) = self.gfns() {
            pages.extend(gfns.guest_frames().filter_map(|gfn| spec.guest_map.get(&(vm, gfn))));
        }
        pages
    }

    /// The guest frames this call may change, as far as it names them.
    pub fn gfns(self) -> Option<(VmSlot, Span)> {
        match self {
            Self::HostShareGuest { vm, pages, gfn } | Self::HostDonateGuest { vm, pages, gfn } => {
                Some((vm, Span { first: gfn, count: pages.count }))
            }
            Self::HostUnshareGuest { vm, gfns }
            | Self::GuestShareHost { vm, gfns }
            | Self::GuestUnshareHost { vm, gfns }
            | Self::Reclaim { vm, gfns }
            | Self::Relinquish { vm, gfns } => Some((vm, gfns)),
            _ => None,
        }
    }
}

impl Span {
    /// The most pages of a call that are looked at one by one.
    const LOOK: u64 = 4096;

    /// The first frames of the span as host frames, as far as they exist.
    pub fn frames(self) -> impl Iterator<Item = Pfn> {
        (self.first..self.first.saturating_add(self.count.min(Self::LOOK))).filter_map(|n| Pfn::new(n).ok())
    }

    /// The first frames of the span as guest frames, as far as they exist.
    pub fn guest_frames(self) -> impl Iterator<Item = Gfn> {
        (self.first..self.first.saturating_add(self.count.min(Self::LOOK))).filter_map(|n| Gfn::new(n).ok())
    }
}
