//! The linker throws away what no entry point reaches; so that the entry points stay, they are named here.

fn main() {
    println!("cargo:rustc-link-arg=--gc-sections");
    println!("cargo:rustc-link-arg=-e_start");
    println!("cargo:rerun-if-changed=build.rs");
}
