//! The invariants of a whole system: records, stage-2 tables and EL2's own map against each other.

use super::{Board, END, OWN, RAM};
use tenure_abi::{Pfn, VmSlot};
use tenure_hyp::el2::El2;
use tenure_hyp::tracker::Kind;

/// Of how many pages, and of how many words of a page, one is looked at: an interpreter would take minutes for all. Primes, so
/// that every kind of place has its turn.
pub(crate) const EVERY: usize = if cfg!(miri) { 31 } else { 1 };

/// A VM as a check sees it.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Its slot.
    pub slot: VmSlot,
    /// Its first root table.
    pub root: u64,
}

/// Asserts I1 to I4, I6 and I9 for a system at rest whose VMs are `vms`.
pub fn sound(board: &Board, el2: &El2<'_, Board>, vms: &[View]) {
    let audit = el2.tracker().audit(Pfn::new(0).unwrap(), u64::MAX);
    assert_eq!((audit.faults, audit.busy, el2.tracker().contradictions()), (0, 0, 0), "{audit:?}");
    assert_eq!(audit.kinds.iter().sum::<u64>(), audit.pages, "I9: a page was lost");
    let host = board.leaves(el2.host_context().root().number());
    let guests: Vec<_> = vms.iter().map(|vm| (vm.slot, board.leaves(vm.root))).collect();
    for number in (RAM..END).step_by(EVERY) {
        let pfn = Pfn::new(number).unwrap();
        let entry = el2.tracker().lock_region(pfn).unwrap().entry(pfn);
        let kind = entry.kind().unwrap();
        if let Some(frame) = host.get(number) {
            assert_eq!(frame, number, "the host's map is an identity map");
            assert!(kind.host_may_touch(), "I3: the host maps {number:#x}, which is {entry:?}");
        }
        let mappings: usize = guests.iter().map(|(_, map)| map.of_frame(number).count()).sum();
        match kind {
            Kind::HostSharedGuests => assert_eq!(entry.count() as usize, mappings, "I4: {number:#x}"),
            Kind::GuestExclusive | Kind::GuestSharedHost => {
                let (slot, gfn) = entry.guest().unwrap();
                assert_eq!(mappings, 1, "I2: {number:#x} is {entry:?}");
                let there = guests.iter().any(|(of, map)| *of == slot && map.get(gfn.number()) == Some(number));
                assert!(there, "I6: {number:#x} is {entry:?}");
            }
            Kind::Quarantined => {}
            _ => assert_eq!(mappings, 0, "I2: a guest maps {number:#x}, which is {entry:?}"),
        }
        let held = match kind {
            Kind::HypExclusive => number >= RAM + OWN,
            Kind::HostSharedHyp => entry.count() != 0,
            _ => false,
        };
        assert_eq!(board.is_attached(pfn), held, "EL2 maps what it holds: {number:#x} is {entry:?}");
    }
}

/// Everything that a refused call must leave as it was: entries, hardware sizes, what EL2 maps, and the bytes of the first
/// `pages` pages of RAM, where tables are.
pub fn snapshot(board: &Board, el2: &El2<'_, Board>, pages: u64) -> impl PartialEq + std::fmt::Debug + use<> {
    let entries: Vec<_> = (RAM..END)
        .step_by(EVERY)
        .map(|number| {
            let pfn = Pfn::new(number).unwrap();
            let guard = el2.tracker().lock_region(pfn).unwrap();
            (guard.entry(pfn), guard.hardware_size(), board.is_attached(pfn))
        })
        .collect();
    let words = |pfn| (0..512).step_by(EVERY).map(move |i| board.read(pfn, i));
    let bytes: Vec<u64> = (RAM..RAM + pages).flat_map(words).collect();
    (entries, bytes)
}
