//! The rows on our own provider, as every kernel that it can behave as.

use tenure_host::gmem::kvm::Host;
use tenure_test_gmem::provider::Provider;
use tenure_test_gmem::rows::{self, Standing};
use tenure_test_gmem::target::Personality;

/// Tries every row; how many hold, how many do not apply. Rows that need hardware or NUMA nodes are skipped everywhere.
fn standing(target: &mut Provider) -> (usize, usize) {
    let (mut held, mut not_applicable) = (0, 0);
    for row in rows::all() {
        match rows::run(row, target) {
            Standing::Pass(_) => held += 1,
            Standing::NotApplicable(_) => not_applicable += 1,
            Standing::Skip(_) => {}
            Standing::Fail(seen) => panic!("{} on {}: {seen}", row.id, target_name(target)),
        }
    }
    (held, not_applicable)
}

fn target_name(target: &Provider) -> String {
    tenure_test_gmem::Target::machine(target).name.clone()
}

/// A row that stops to apply somewhere, or begins to, has to be looked at.
#[test]
fn every_row_holds_as_every_kernel_or_says_why_not() {
    let expected = [
        (Personality::V6_8, (37, 60)),
        (Personality::V6_11, (44, 53)),
        (Personality::V6_18, (66, 31)),
        (Personality::V7_3, (66, 31)),
        (Personality::RfcV5, (74, 23)),
        (Personality::V8, (87, 10)),
    ];
    assert_eq!(expected.map(|(personality, _)| personality), Personality::ALL);
    for (personality, counts) in expected {
        assert_eq!(standing(&mut Provider::new(personality)), counts, "{personality}");
    }
}

/// As the kernel of a machine without virtualisation hardware is built.
#[test]
fn rows_hold_where_guests_are_emulated_and_no_vm_has_private_memory() {
    let host = Host { vm_types: 1, vm_attributes: false, paging: false, ..Host::new(Personality::V6_18) };
    let (held, _) = standing(&mut Provider::built(host));
    assert!(held >= 45, "{held} rows hold");
}

/// A kernel with the series whose parameter is off behaves as one without.
#[test]
fn rows_hold_where_conversion_in_place_is_turned_off() {
    let host = Host { vm_types: 3, vm_attributes: true, in_place: false, ..Host::new(Personality::V8) };
    assert_eq!(standing(&mut Provider::built(host)), (66, 31));
}
