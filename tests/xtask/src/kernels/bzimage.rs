//! An x86 bzImage: is it one, and which release?
//!
//! Format: `Documentation/arch/x86/boot.rst`: the word `HdrS` at byte 0x202, and at 0x20e the place of a text with the
//! release, counted from byte 0x200. The kernel proper is compressed, its header is not.

use std::path::Path;

const MAGIC_AT: usize = 0x202;
const MAGIC: &[u8] = b"HdrS";
const RELEASE_AT: usize = 0x20e;
/// What the place of the release is counted from.
const BASE: usize = 0x200;

/// The release that the bzImage at `path` reports when it runs.
pub(super) fn release(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    of(&bytes).map_err(|why| format!("{}: {why}", path.display()))
}

fn of(bytes: &[u8]) -> Result<String, &'static str> {
    if bytes.get(MAGIC_AT..MAGIC_AT + MAGIC.len()) != Some(MAGIC) {
        return Err("not an x86 bzImage");
    }
    let release = bytes
        .get(RELEASE_AT..RELEASE_AT + 2)
        .map(|place| BASE + usize::from(u16::from_le_bytes([place[0], place[1]])))
        .and_then(|at| bytes.get(at..))
        .and_then(|text| text.split(|byte| !byte.is_ascii_graphic()).next())
        .filter(|release| release.first().is_some_and(u8::is_ascii_digit));
    release.map(|release| String::from_utf8_lossy(release).into_owned()).ok_or("no release in its header")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(MAGIC);
        image[0x20e..0x210].copy_from_slice(&[0x00, 0x01]);
        image[0x300..0x312].copy_from_slice(b"7.3.4 (someone) #1");
        image
    }

    #[test]
    fn the_release_is_read_from_the_header() {
        assert_eq!(of(&image()), Ok("7.3.4".into()));
    }

    #[test]
    fn what_is_no_kernel_or_names_no_release_is_refused() {
        for (at, byte) in [(0x202, b'X'), (0x20f, 0x80), (0x300, b'v')] {
            let mut broken = image();
            broken[at] = byte;
            assert!(of(&broken).is_err(), "{at:#x}");
        }
        assert!(of(&[]).is_err() && of(&image()[..0x20f]).is_err());
    }
}
