//! `abi`, `arch`, `hyp` and `host` in one archive, without `std`, without an allocator.
//!
//! The linker step refuses any graph that holds `alloc` and no global allocator; that refusal is the test.
#![no_std]
#![forbid(unsafe_code)]

pub use {tenure_abi as abi, tenure_arch as arch, tenure_host as host, tenure_hyp as hyp};

#[panic_handler]
fn stop(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
