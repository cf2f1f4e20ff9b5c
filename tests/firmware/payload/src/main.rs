//! The host payload: bare code at EL1 that does what a host does and checks what it sees.
//!
//! | file | idea |
//! |---|---|
//! | `boot` | from EL2 to Rust with stage 1 and caches on, on every CPU |
//! | `probe` | loads and stores that may fault |
//! | `hvc` | calls of EL2 |
//! | `cpu` | a second CPU, and meeting it |
//! | `gic` | one interrupt, the physical timer's |
//! | `pages` | physical pages to give away |
//! | `service` | the host service of the EL2 image, typed |
//! | `guest` | a VM with the test guest in it: created, run, taken apart |
//! | `life` | what the guest does and asks for while it runs |
//! | `report` | the lines the runner reads |
//! | `scenario` | which checks run, by number |
#![no_std]
#![no_main]

mod boot;
mod cpu;
mod gic;
mod guest;
mod hvc;
mod life;
mod pages;
mod probe;
mod report;
mod scenario;
mod service;
