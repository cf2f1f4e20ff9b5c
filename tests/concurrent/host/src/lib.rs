//! `tenure-host` as it is, but for the changes that `build.rs` lists.

pub mod modelled;

pub use tenure_arch::planted;

include!(concat!(env!("OUT_DIR"), "/src/lib.rs"));
