//! The words after the plugin's file name.

use std::ops::Range;
use std::path::PathBuf;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Where the lines go.
    pub(crate) out: PathBuf,
    /// The guest's addresses.
    pub(crate) guest: Range<u64>,
    /// The hypervisor's addresses.
    pub(crate) el2: Range<u64>,
}

/// The first address of the upper half, where kernels live.
const UPPER_HALF: u64 = 1 << 63;

impl Options {
    /// Reads `name=value` words; an unknown or unreadable one is an error, since a plugin that ignores it counts wrong.
    pub(crate) fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut options = Self { out: PathBuf::new(), guest: 0x4000_0000..0x4002_0000, el2: 0..UPPER_HALF };
        for word in words {
            let wrong = || format!("not understood: {word}");
            let (name, value) = word.split_once('=').ok_or_else(wrong)?;
            match name {
                "out" => options.out = value.into(),
                "lo" => options.guest.start = hex(value).ok_or_else(wrong)?,
                "hi" => options.guest.end = hex(value).ok_or_else(wrong)?,
                "el2" => {
                    let (lo, hi) = value.split_once('-').ok_or_else(wrong)?;
                    options.el2 = hex(lo).ok_or_else(wrong)?..hex(hi).ok_or_else(wrong)?;
                }
                _ => return Err(wrong()),
            }
        }
        if options.out.as_os_str().is_empty() { Err("out=FILE is missing".into()) } else { Ok(options) }
    }
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_hexadecimal_with_or_without_prefix() {
        let options = Options::parse(["out=/f", "lo=40000000", "hi=0x40001000", "el2=0x40200000-40800000"]).unwrap();
        assert_eq!((options.guest, options.el2), (0x4000_0000..0x4000_1000, 0x4020_0000..0x4080_0000));
    }

    #[test]
    fn a_word_that_is_not_understood_is_refused() {
        for words in [&["out=f", "low=1"][..], &["out=f", "lo=xyz"], &["out=f", "el2=1"], &["lo=1"]] {
            assert!(Options::parse(words.iter().copied()).is_err(), "{words:?}");
        }
    }
}
