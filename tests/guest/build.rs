//! Links the blob as a raw binary: its first byte is its first instruction.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo:rustc-link-arg=-T{here}/link.ld");
    println!("cargo:rustc-link-arg=--oformat=binary");
    println!("cargo:rerun-if-changed=link.ld");
}
