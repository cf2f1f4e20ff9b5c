//! `tenure-arch` as it is, but for the changes that `build.rs` lists.

pub mod planted;

include!(concat!(env!("OUT_DIR"), "/src/lib.rs"));
