//! System calls on a file.

use super::values::{FEW, WORDS};
use super::world::each;
use tenure_abi::Errno;
use tenure_test_gmem::target::{Files, MapKind, Memory};

#[test]
fn allocations_and_holes_stay_in_the_file() {
    each(|world| {
        let modes = (0..32).map(|bit| 1 << bit).chain([0, 3, 0x11, 0x41, 7, u32::MAX]);
        for mode in modes {
            for offset in FEW {
                for bytes in [0, 1, 4096, 0x5000, 0x6000, (1 << 63) - 4096, 1 << 63] {
                    if !matches!(mode, 1 | 3) && bytes != 4096 && offset != 0 {
                        continue;
                    }
                    let seen = world.ask(|world| world.target.allocate(world.file, mode, offset, bytes));
                    let known = matches!(seen, Ok(()) | Err(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::EFBIG));
                    assert!(known, "mode {mode:#x}, {bytes:#x} bytes at {offset:#x}: {seen:?}");
                    assert!(seen.is_err() || matches!(mode, 1 | 3), "mode {mode:#x}");
                }
            }
        }
    });
}

#[test]
fn the_size_never_changes_and_mappings_are_made_or_refused() {
    each(|world| {
        for word in WORDS {
            let seen = world.ask(|world| world.target.truncate(world.file, word));
            assert_eq!(seen, Err(Errno::EINVAL));
            for kind in [MapKind::Shared, MapKind::Private, MapKind::Populated] {
                let _ = world.ask(|world| world.target.map(world.file, word, 4096, kind));
            }
        }
    });
}

#[test]
fn a_hole_that_passes_the_end_is_one_up_to_the_end() {
    each(|world| {
        let touched = |world: &mut super::world::World| world.target.allocate(world.file, 1, 0x4000, 0x1000);
        assert_eq!(touched(world), Ok(()));
        let last = world.target.snapshot();
        assert_eq!(world.target.allocate(world.file, 3, 0x4000, 0x3000), Ok(()));
        assert!(world.target.snapshot() != last, "the last page is still there");
        assert_eq!(world.ask(|world| world.target.allocate(world.file, 1, 0x4000, 0x3000)), Err(Errno::EINVAL));
    });
}
