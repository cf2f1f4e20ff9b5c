//! What a CPU can do: stage-2 tables, TLB and cache maintenance, locks, registers.
//!
//! Table code and decoders compile and are tested on any host; only the instructions are bound to
//! aarch64. Nothing here knows who owns a page: that is the room above. A newcomer reads in this order.
//!
//! | module | question it answers |
//! |---|---|
//! | [`lock`] | how does one CPU at a time get at something? |
//! | [`mask`] | how is an index from outside kept in bounds under speculation? |
//! | [`window`] | how does code at EL2 reach a physical page? |
//! | [`stage2`] | what does a stage-2 table look like, and how is it changed safely? |
//! | [`pages`] | where do table pages come from? |
//! | [`tlb`] | how does a change reach every CPU? |
//! | [`cache`] | how do bytes reach memory? |
//! | [`syndrome`] | why did a CPU come to EL2, and what is it told? |
//! | `guest` (feature) | how does a guest share its memory and take it back? |
//! | `regs` | which system registers does an EL2 program touch? (aarch64 only) |
#![no_std]

pub mod cache;
#[cfg(feature = "guest")]
pub mod guest;
pub mod lock;
pub mod mask;
pub mod pages;
#[cfg(target_arch = "aarch64")]
pub mod regs;
pub mod stage2;
pub mod syndrome;
pub mod tlb;
pub mod window;

#[cfg(test)]
extern crate std;
