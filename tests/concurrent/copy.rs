//! For the build scripts: a copy of a crate's sources under `OUT_DIR`, with small changes.
//!
//! A change whose text is not in the file exactly once stops the build: the copy never silently becomes a test of nothing.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// A change: in file `file`, `old` (which stands there exactly once) becomes `new`.
pub struct Change {
    pub file: &'static str,
    pub old: &'static str,
    pub new: &'static str,
}

/// Copies `source/src` to `OUT_DIR/src` with `changes` made. The crate attributes and module comment at the top of `lib.rs`
/// stay behind: they cannot be included.
pub fn copy(source: &str, changes: &[Change]) {
    let source = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join(source).join("src");
    let target = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it")).join("src");
    println!("cargo::rerun-if-changed={}", source.display());
    let _ = fs::remove_dir_all(&target);
    let mut made = 0;
    copy_folder(&source, &source, &target, changes, &mut made);
    assert_eq!(made, changes.len(), "a change names a file that is not there");
}

fn copy_folder(root: &Path, from: &Path, to: &Path, changes: &[Change], made: &mut usize) {
    fs::create_dir_all(to).expect("OUT_DIR can be written");
    for entry in fs::read_dir(from).expect("the sources are there").flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(root, &path, &target, changes, made);
            continue;
        }
        let mut text = fs::read_to_string(&path).expect("sources are text");
        let name = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
        for change in changes.iter().filter(|change| change.file == name) {
            let times = text.matches(change.old).count();
            assert_eq!(times, 1, "{name} has this {times} times instead of once: update the change\n{}", change.old);
            text = text.replace(change.old, change.new);
            *made += 1;
        }
        if name == "lib.rs" {
            let inner = |line: &&str| !line.starts_with("//!") && !line.starts_with("#![");
            text = text.lines().filter(inner).collect::<Vec<_>>().join("\n");
        }
        fs::write(target, text).expect("OUT_DIR can be written");
    }
}
