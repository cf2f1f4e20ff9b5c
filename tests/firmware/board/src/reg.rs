//! System registers by their assembly name.

/// The value of a system register. Reading one changes nothing.
#[macro_export]
macro_rules! read_reg {
    ($name:expr) => {{
        let value: u64;
        // SAFETY: reading these registers has no effect on memory, stack or flags.
        unsafe {
            core::arch::asm!(
                concat!("mrs {}, ", $name),
                out(reg) value,
                options(nomem, nostack, preserves_flags)
            );
        }
        value
    }};
}

/// Writes a system register. Unsafe: the caller argues what the new value does to the running code.
#[macro_export]
macro_rules! write_reg {
    ($name:expr, $value:expr) => {{
        let value: u64 = $value;
        core::arch::asm!(concat!("msr ", $name, ", {}"), in(reg) value, options(nostack, preserves_flags))
    }};
}
