//! The fuzz target: the first byte says which kernel the provider is, the rest are requests to it.
//!
//! Whatever it is asked, it answers: no panic, no arithmetic that wraps in silence, no access of its model that its own checks
//! refuse. The options are libFuzzer's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use tenure_fuzz::script;
use tenure_test_gmem::provider::Provider;
use tenure_test_gmem::target::Personality;

thread_local! {
    static TARGETS: RefCell<Vec<Provider>> = RefCell::new(Personality::ALL.map(Provider::new).into());
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&kernel, requests)) = bytes.split_first() else { return };
    TARGETS.with_borrow_mut(|targets| {
        let kernel = usize::from(kernel) % targets.len();
        script::run(&mut targets[kernel], requests);
    });
});
