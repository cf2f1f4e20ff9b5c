//! Values at which something could go wrong.

/// Sizes and addresses: none, odd, a page and its neighbours, where formats end, where sums wrap.
pub(crate) const WORDS: [u64; 34] = [
    0,
    1,
    2,
    4095,
    4096,
    4097,
    8192,
    0x3000,
    0x4000,
    0x4fff,
    0x5000,
    0x1_0000,
    0x20_0000,
    0x4000_0000,
    0xffff_f000,
    1 << 32,
    (1 << 43) - 4096,
    1 << 43,
    (1 << 47) - 8192,
    (1 << 47) - 4096,
    1 << 47,
    (1 << 51) - 4096,
    1 << 51,
    (1 << 52) - 4096,
    1 << 52,
    (1 << 52) + 4096,
    1 << 62,
    (1 << 63) - 8192,
    (1 << 63) - 4096,
    1 << 63,
    (1 << 63) + 4096,
    u64::MAX - 8191,
    u64::MAX - 4095,
    u64::MAX,
];

/// Fewer of them, for pairs.
pub(crate) const FEW: [u64; 14] = [
    0,
    1,
    4096,
    0x4000,
    0x5000,
    0x1_0000,
    1 << 47,
    (1 << 52) - 4096,
    1 << 52,
    (1 << 63) - 4096,
    1 << 63,
    u64::MAX - 8191,
    u64::MAX - 4095,
    u64::MAX,
];

/// Bitmaps: each bit alone, and all.
pub(crate) fn bitmaps() -> impl Iterator<Item = u64> {
    (0..64).map(|bit| 1 << bit).chain([0, 3, 9, u64::MAX])
}

/// Numbers of slots and descriptors.
pub(crate) const NUMBERS: [u32; 15] =
    [0, 1, 2, 3, 4, 5, 63, 1023, 1024, 32763, 32764, 0xffff, 0x1_0001, i32::MAX.cast_unsigned(), u32::MAX];
