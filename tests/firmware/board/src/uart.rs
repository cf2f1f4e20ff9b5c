//! Text out through the PL011. QEMU needs no set-up of it.

use crate::layout::UART;
use core::fmt;
use tenure_arch::lock::Locked;

/// Flag register, byte offset; bit 5: the transmit queue is full.
const FLAGS: u64 = 0x18;
const FULL: u32 = 1 << 5;

/// The port. Only [`PORT`] holds one.
pub struct Uart(());

/// The one port of this image; a holder prints whole lines.
pub static PORT: Locked<Uart> = Locked::new(Uart(()));

impl Uart {
    /// A port that waits for nobody: for the last words of an image that cannot trust its locks.
    pub const fn last_words() -> Self {
        Self(())
    }

    /// Prints one byte.
    pub fn byte(&mut self, byte: u8) {
        let (flags, data) = ((UART + FLAGS) as *const u32, UART as *mut u32);
        // SAFETY: both images map the UART as device memory; these two registers have no effect on memory.
        unsafe {
            while flags.read_volatile() & FULL != 0 {
                core::hint::spin_loop();
            }
            data.write_volatile(byte.into());
        }
    }

    /// Prints `text`.
    pub fn text(&mut self, text: &str) {
        text.bytes().for_each(|b| self.byte(b));
    }

    /// Prints `name=0x…` after a space. For EL2, which does without `core::fmt` and its panic paths.
    pub fn hex(&mut self, name: &str, value: u64) {
        self.byte(b' ');
        self.text(name);
        self.text("=0x");
        let digits = 16 - (value | 1).leading_zeros() / 4;
        for i in (0..digits).rev() {
            let digit = (value >> (4 * i)) as u8 & 0xf;
            self.byte(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
        }
    }
}

impl fmt::Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text(text);
        Ok(())
    }
}
