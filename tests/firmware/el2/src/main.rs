//! The EL2 image: owns the machine, starts the host payload at EL1 and runs its guests.
//!
//! | file | idea |
//! |---|---|
//! | `boot` | from reset, or PSCI, to Rust with MMU and caches on |
//! | `mmu` | EL2's own stage 1: what EL2 can reach, and the pages that come and go |
//! | `percpu` | what each CPU keeps, behind `TPIDR_EL2` |
//! | `vectors` | in from a lower exception level and out again |
//! | `trap` | which handler an exception belongs to |
//! | `world` | host or guest: switching the EL1 state and entering a vCPU |
//! | `state` | the EL1 registers that a switch moves |
//! | `inject` | giving an exception to EL1 |
//! | `psci`, `smc` | what firmware calls a host may make |
//! | `fatal` | the last words of an image that cannot go on |
//! | `selftest` | calls that try the runtime by itself |
//! | `glue` | the seams: who answers calls and faults, and what the host sees of memory |
#![no_std]
#![no_main]

mod boot;
mod fatal;
mod glue;
mod inject;
mod mmu;
mod percpu;
mod psci;
mod selftest;
mod smc;
mod state;
mod trap;
mod vectors;
mod world;
