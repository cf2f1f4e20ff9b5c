//! Bytes as the numbers that a request is made of: mostly edges, sometimes anything.

/// What is left of an input.
pub(crate) struct Reader<'a>(&'a [u8]);

/// Numbers at which something changes: sizes, limits, signs, the flags that exist.
const EDGES: [u64; 24] = [
    0,
    1,
    2,
    3,
    4,
    8,
    0xfff,
    0x1000,
    0x1001,
    0x2000,
    0x1f_f000,
    0x20_0000,
    1 << 30,
    1 << 32,
    (1 << 48) - 0x1000,
    1 << 48,
    (1 << 52) - 0x1000,
    1 << 52,
    1 << 62,
    i64::MAX as u64,
    0x7fff_ffff_ffff_f000,
    1 << 63,
    u64::MAX - 0xfff,
    u64::MAX,
];

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte; `None` at the end.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// One of `count` things; 0 if there are none.
    pub(crate) fn below(&mut self, count: usize) -> Option<usize> {
        let byte = usize::from(self.byte()?);
        Some(byte.checked_rem(count).unwrap_or(0))
    }

    /// An edge, a small number of pages, or any number.
    pub(crate) fn word(&mut self) -> Option<u64> {
        let byte = self.byte()?;
        match byte {
            0..=127 => Some(u64::from(byte) << 12),
            128..=247 => EDGES.get(usize::from(byte - 128) % EDGES.len()).copied(),
            _ => {
                let (bytes, rest) = self.0.split_first_chunk()?;
                self.0 = rest;
                Some(u64::from_le_bytes(*bytes))
            }
        }
    }

    /// 0 mostly: what reserved fields should hold.
    pub(crate) fn reserved(&mut self) -> Option<u64> {
        if self.byte()? < 240 { Some(0) } else { self.word() }
    }
}
