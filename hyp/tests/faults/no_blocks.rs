//! A hypervisor whose tracker has no blocks for some regions: what would split them is refused, at the page, and whole regions
//! still move.

use tenure_abi::service::{Prot, VmKind};
use tenure_abi::{Error, Located, Pfn};
use tenure_test_board::pfns;
use tenure_test_board::rig::{GFN, HOST, ROOT, Rig, gfn};

fn missing_at(page: u64) -> Located<Error> {
    Located::pfn(Error::NoMemory, Pfn::new(page).unwrap())
}

/// Every call of the host that would split `HOST`'s second region, which has no block.
#[test]
fn a_region_that_cannot_be_split_refuses_and_nothing_changes() {
    let rig = Rig::with_blocks(VmKind::Protected, 16, 2);
    let second = HOST + 512;
    let before = rig.snapshot();
    // From the first region, which has a block, into the second, and inside the second.
    for (first, pages, at) in [(HOST + 500, 20, second), (second + 3, 1, second + 3), (second + 3, 509, second + 3)] {
        let frames = pfns(first, pages);
        assert_eq!(rig.el2.share_hyp(frames), Err(missing_at(at)));
        assert_eq!(rig.el2.donate_hyp(frames), Err(missing_at(at)));
        assert_eq!(rig.el2.vm_topup(rig.vm, frames), Err(missing_at(at)));
        assert!(rig.snapshot() == before, "a refused call changed something");
    }
    assert_eq!(rig.el2.vm_create(VmKind::Protected, pfns(second + 2, 2)), Err(missing_at(second + 2)));
    assert_eq!(rig.try_donate(second + 3, GFN + 3, 1), Err(missing_at(second + 3)));
    assert!(rig.snapshot() == before, "a refused call changed something");
    rig.sound();
}

/// Rows with content work always hold a block in reserve, so 2 MiB come by none of them.
#[test]
fn two_megabytes_need_a_block_where_content_is_at_work() {
    let mut rig = Rig::with_blocks(VmKind::Protected, 16, 1);
    assert_eq!(rig.try_donate(HOST, GFN, 512), Err(missing_at(HOST)));
    rig.sound();
    rig.end(ROOT + 200);
    rig.all_is_the_hosts();

    let rig = Rig::with_blocks(VmKind::NonProtected, 16, 1);
    assert_eq!(rig.el2.share_guest(rig.vm, pfns(HOST, 512), gfn(GFN), Prot::R), Err(missing_at(HOST)));
    rig.sound();
}

/// With blocks for one region after another, the range goes exactly when all it splits have theirs.
#[test]
fn a_range_goes_when_the_last_region_it_splits_can_be_split() {
    for blocks in (1..=8).step_by(if cfg!(miri) { 3 } else { 1 }) {
        let rig = Rig::with_blocks(VmKind::Protected, 16, blocks);
        for (first, pages, splits) in [(HOST + 5, 600, 2), (HOST, 700, 2), (HOST + 100, 1536, 4), (HOST, 1024, 0)] {
            let before = rig.snapshot();
            let result = rig.el2.share_hyp(pfns(first, pages));
            assert_eq!(result.is_ok(), blocks >= if splits == 0 { 1 } else { splits + 1 }, "{blocks} {first:#x}");
            match result {
                Ok(_) => assert_eq!(rig.el2.unshare_hyp(pfns(first, pages)), Ok(pages)),
                Err(refused) => assert_eq!(refused.error, Error::NoMemory),
            }
            assert!(rig.snapshot() == before);
        }
        rig.sound();
    }
}
