//! The client over the provider as every kernel it can be.

use tenure_host::gmem::kvm::Host;
use tenure_test_gmem::client::{self, Emulated};
use tenure_test_gmem::provider::Provider;
use tenure_test_gmem::target::Personality;

fn check(mut world: Emulated, inapplicable: usize) {
    let mut lines = Vec::new();
    let good = client::run_all(&mut world, |line| lines.push(line.to_owned()));
    assert!(good, "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.contains(" n/a ")).count(), inapplicable, "{lines:#?}");
}

#[test]
fn every_case_holds_as_every_kernel() {
    for personality in Personality::ALL {
        check(Emulated::new(personality), 1);
    }
}

#[test]
fn without_private_memory_what_is_left_holds() {
    for personality in Personality::ALL {
        let host = Host { vm_types: 1, vm_attributes: false, ..Host::new(personality) };
        check(Emulated::of(Provider::built(host)), 5);
    }
}
