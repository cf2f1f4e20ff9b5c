//! vCPUs: what a stop tells the host, and which faults need no stop.

use super::*;
use tenure_abi::run::{StopReason, StopReply};
use tenure_hyp::el2::Stop;

const RUN_PAGE: u64 = RAM + OWN + 100;
/// Words of a run page that are not used.
const GARBAGE: u64 = 0xdead_beef;

#[test]
fn a_stop_fills_its_fields_and_no_others() {
    let mut rig = Rig::protected();
    (0..512).for_each(|word| rig.board.write(RUN_PAGE, word, GARBAGE));
    let stop = Stop { reason: StopReason::Memory, address: 0x900_0008, value: 0x77, size: 4, write: true };
    let told = rig.el2.vcpu_stopped(rig.vcpu.take().unwrap(), stop);
    assert_eq!(told, [0, 0, StopReason::Memory.to_raw(), 0]);
    let fields = [StopReason::Memory.to_raw(), 0x900_0008, 0x77, 4, 1, StopReply::Again.to_raw()];
    for word in 0..512 {
        assert_eq!(rig.board.read(RUN_PAGE, word), *fields.get(word).unwrap_or(&GARBAGE), "word {word}");
    }
}

#[test]
fn a_token_names_its_vcpu() {
    let rig = Rig::protected();
    let start = Start { entry: 0, argument: 0 };
    for index in 1..3 {
        assert_eq!(rig.el2.vcpu_create(rig.vm, Pfn::new(RUN_PAGE).unwrap(), start), Ok(index));
        let (token, _) = rig.el2.vcpu_run(rig.vm, index).unwrap();
        assert_eq!((token.index() as u64, token.slot()), (index, rig.vm.slot()));
    }
}

#[test]
fn a_fault_is_over_where_memory_is_and_nowhere_else() {
    let rig = Rig::protected();
    let over = |address| rig.el2.guest_fault_is_over(rig.vcpu.as_ref().unwrap(), address);
    assert!(!over(GFN << 12));
    rig.donate(HOST, GFN, 1).unwrap();
    assert!(over(GFN << 12) && over((GFN << 12) + 0xfff));
    assert!(!over((GFN + 1) << 12) && !over((GFN << 12) - 1) && !over(u64::MAX));
    rig.el2.force_reclaim(pfns(HOST, 1)).unwrap();
    assert!(!over(GFN << 12), "burnt");
}

#[test]
fn a_poison_fault_is_asked_of_a_vcpu_that_exists() {
    let mut rig = Rig::protected();
    let stop = Stop { address: GFN << 12, ..Stop::plain(StopReason::Memory) };
    rig.el2.vcpu_stopped(rig.vcpu.take().unwrap(), stop);
    assert_eq!(rig.el2.in_poison_fault(rig.vm, 0), Ok(false));
    for index in [1, 7, 8, 9, u64::MAX] {
        assert_eq!(rig.el2.in_poison_fault(rig.vm, index), Err(Error::Invalid.into()), "{index}");
    }
}
