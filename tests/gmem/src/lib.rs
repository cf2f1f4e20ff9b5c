//! Guest memory files, on whatever offers them.
//!
//! | module | what |
//! |---|---|
//! | [`target`] | what a VMM, its processes and its guest can do, as one trait: a real kernel or our own provider |
#![forbid(unsafe_code)]

pub mod target;

pub use target::Target;
