//! Reads ELF files: bytes by kind of section, and the symbols that mean a panic can happen.

use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol, SectionKind};

/// What a file weighs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    /// Code.
    pub(crate) text: u64,
    /// Constants.
    pub(crate) rodata: u64,
    /// Initialised data.
    pub(crate) data: u64,
    /// Memory that the file only reserves.
    pub(crate) zeroed: u64,
    /// Symbols of panicking code, each once.
    pub(crate) panics: Vec<String>,
}

impl Weight {
    fn add(&mut self, file: &object::File<'_>) {
        for section in file.sections() {
            match section.kind() {
                SectionKind::Text => self.text += section.size(),
                SectionKind::ReadOnlyData | SectionKind::ReadOnlyString => self.rodata += section.size(),
                SectionKind::Data => self.data += section.size(),
                SectionKind::UninitializedData => self.zeroed += section.size(),
                _ => {}
            }
        }
        let names = file.symbols().filter_map(|symbol| symbol.name().ok().map(str::to_owned));
        self.panics.extend(names.filter(|name| panics(name)));
        self.panics.sort_unstable();
        self.panics.dedup();
    }
}

/// Parts of mangled names under which core keeps its cold panicking functions, the same in both manglings.
const PANICKING: [&str; 6] = [
    "4core9panicking",
    "4core6option13unwrap_failed",
    "4core6option13expect_failed",
    "4core6result13unwrap_failed",
    "slice_error_fail",
    "slice_index_fail",
];

fn panics(symbol: &str) -> bool {
    PANICKING.iter().any(|part| symbol.contains(part))
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// A linked image.
pub(crate) fn image(path: &Path) -> Result<Weight, String> {
    let bytes = bytes(path)?;
    let file = object::File::parse(&*bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut weight = Weight::default();
    weight.add(&file);
    Ok(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panicking_symbols_are_known_in_both_manglings() {
        assert!(panics("_ZN4core9panicking5panic17h0123456789abcdefE"));
        assert!(panics("_RNvNtCs1_4core9panicking18panic_bounds_check"));
        assert!(!panics("_ZN6tenure5share17h0123456789abcdefE"));
    }

    #[test]
    fn this_program_weighs_something() {
        let weight = image(&std::env::current_exe().unwrap()).unwrap();
        assert!(weight.text > 1000 && weight.rodata > 0 && !weight.panics.is_empty());
    }

    #[test]
    fn what_is_no_elf_file_is_refused() {
        assert!(image(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))).is_err());
    }
}
