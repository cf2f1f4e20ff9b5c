//! The last words of an image that cannot go on: what happened, then the exit code for "broken".

use core::panic::PanicInfo;
use firmware_board::uart::Uart;
use firmware_board::{exit, read_reg};

/// Bytes of the stack that reports an exception taken at EL2; the CPU's own may be what broke.
pub(crate) const STACK: usize = 0x1000;

#[repr(C, align(16))]
struct LastStack([u8; STACK]);

#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.last_stack")]
static mut EL2_LAST_STACK: LastStack = LastStack([0; STACK]);

/// Ends the run for a reason that is no exception.
#[cold]
pub(crate) fn stop(why: &str) -> ! {
    let mut out = Uart::last_words();
    out.text("\nEL2 stopped: ");
    out.text(why);
    out.text("\n");
    exit::exit(exit::BROKEN)
}

/// Ends the run for an exception at EL2 itself, or an SError. `vector` is its place in the table.
#[unsafe(no_mangle)]
extern "C" fn fatal_exception(vector: u64) -> ! {
    let mut out = Uart::last_words();
    out.text("\nEL2 stopped: exception");
    out.hex("vector", vector);
    out.hex("esr", read_reg!("esr_el2"));
    out.hex("elr", read_reg!("elr_el2"));
    out.hex("far", read_reg!("far_el2"));
    out.text("\n");
    exit::exit(exit::BROKEN)
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    stop("panic")
}
