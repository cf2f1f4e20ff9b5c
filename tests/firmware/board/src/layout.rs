//! The physical memory of the machine: `-machine virt -m 512`. The only place these numbers stand.
//!
//! | from | to | whose |
//! |---|---|---|
//! | `0900_0000` | `0900_1000` | PL011 UART, text only |
//! | `3000_0000` | | EL2's fixmap, a page per CPU: virtual, no memory is there |
//! | `4000_0000` | `4020_0000` | host; QEMU leaves its device tree here |
//! | `4020_0000` | `4080_0000` | EL2 image: text, data, stacks, stage-1 tables |
//! | `4080_0000` | `4100_0000` | EL2: tracker metadata and tables |
//! | `4100_0000` | `6000_0000` | host |
//! | `4800_0000` | `4900_0000` | host payload, loaded by QEMU, with its bss |
//! | `4900_0000` | `4900_0008` | scenario number, written by QEMU |
//! | `4a00_0000` | `4b00_0000` | guest blob, loaded by QEMU |
//! | `5000_0000` | `6000_0000` | pages the payload hands out |
//!
//! The images hand the addresses their link scripts need to the linker as symbols.

/// PL011 UART.
pub const UART: u64 = 0x0900_0000;
/// Virtual address at EL2 of CPU 0's fixmap page; the others follow.
pub const FIXMAP: u64 = 0x3000_0000;
/// First byte of RAM.
pub const RAM: u64 = 0x4000_0000;
/// One past the last byte of RAM.
pub const RAM_END: u64 = 0x6000_0000;
/// First byte of the EL2 image and of the carve-out that no host or guest may touch.
pub const IMAGE: u64 = 0x4020_0000;
/// One past the last byte the EL2 image may use.
pub const IMAGE_END: u64 = 0x4080_0000;
/// One past the last byte of the carve-out; from [`IMAGE_END`] on it holds metadata and tables.
pub const CARVEOUT_END: u64 = 0x4100_0000;
/// Load address and entry of the host payload.
pub const PAYLOAD: u64 = 0x4800_0000;
/// One past the last byte the payload and its bss may use.
pub const PAYLOAD_END: u64 = 0x4900_0000;
/// A little-endian u64: which scenario to run.
pub const SCENARIO: u64 = 0x4900_0000;
/// Load address of the guest blob.
pub const GUEST_BLOB: u64 = 0x4a00_0000;
/// First byte of the pages the payload's allocator owns; they end at [`RAM_END`].
pub const POOL: u64 = 0x5000_0000;
/// How many CPUs the images have stacks and state for; QEMU may have fewer.
pub const CPUS: usize = 4;
