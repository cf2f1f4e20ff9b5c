//! Placeholder while the rooms are built.
#![no_std]

#[cfg(feature = "guest")]
pub mod guest;
