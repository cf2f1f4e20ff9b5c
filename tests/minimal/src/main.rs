//! The smallest image that uses `tenure-hyp`, never run: what is left in it after the linker has thrown away all that
//! nothing reaches is what the library costs, and the gate for panic paths.
//!
//! The panic handler calls a function that does not exist. If a single path to a panic is left, the image does not link.
#![no_std]
#![no_main]

#[cfg(feature = "el2")]
mod el2;
#[cfg(all(feature = "tracker", not(feature = "el2")))]
mod tracker;

unsafe extern "C" {
    safe fn a_path_to_a_panic_is_left() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    a_path_to_a_panic_is_left()
}

/// Where an image would begin.
#[unsafe(no_mangle)]
extern "C" fn _start(registers: &mut [u64; 8]) {
    #[cfg(feature = "el2")]
    el2::entry(registers);
    #[cfg(all(feature = "tracker", not(feature = "el2")))]
    tracker::entry(registers);
    registers[0] = registers[1];
}
