//! An arm64 Image: is it one, and which release?
//!
//! Format: `Documentation/arch/arm64/booting.rst`; the word at byte 56 is `ARM\x64`.

use std::path::Path;

const MAGIC_AT: usize = 56;
const MAGIC: &[u8] = b"ARM\x64";
/// Every kernel has its banner in it.
const BANNER: &[u8] = b"Linux version ";

/// The release that the Image at `path` reports when it runs.
pub(super) fn release(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    of(&bytes).map_err(|why| format!("{}: {why}", path.display()))
}

fn of(bytes: &[u8]) -> Result<String, &'static str> {
    if bytes.get(MAGIC_AT..MAGIC_AT + MAGIC.len()) != Some(MAGIC) {
        return Err("not an arm64 Image (a compressed one has to be unpacked first)");
    }
    let mut rest = bytes;
    // The banner's first letter is common; a hit counts only if digits follow.
    while let Some(at) = rest.iter().position(|&byte| byte == BANNER[0]) {
        let here = &rest[at..];
        if let Some(after) = here.strip_prefix(BANNER).filter(|after| after.first().is_some_and(u8::is_ascii_digit)) {
            let end = after.iter().position(u8::is_ascii_whitespace).unwrap_or(after.len());
            return Ok(String::from_utf8_lossy(&after[..end]).into_owned());
        }
        rest = &here[1..];
    }
    Err("no banner in it: is it a kernel?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_read_from_the_banner() {
        let mut image = vec![0; 64];
        image[56..60].copy_from_slice(MAGIC);
        image.extend_from_slice(b"Linux version %s Linux version 7.3.4+x (someone) #1");
        assert_eq!(of(&image), Ok("7.3.4+x".into()));
        image[56] = 0;
        assert!(of(&image).is_err());
        assert!(of(&[]).is_err());
    }
}
