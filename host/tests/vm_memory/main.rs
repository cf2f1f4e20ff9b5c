//! Guest memory for the crate `vm-memory`: what is private is not touched, what is being touched does not turn private.
//!
//! | file | what |
//! |---|---|
//! | `provider` | eight frames of a file of the provider, behind the front |
//! | `access` | reading and writing, by region and by collection |
//! | `slices` | slices, pointers, and conversions beside them |
#![cfg(all(feature = "vm-memory", target_os = "linux"))]

mod access;
mod provider;
mod slices;
