//! Guest memory files, on whatever offers them.
//!
//! | module | what |
//! |---|---|
//! | [`target`] | what a VMM, its processes and its guest can do, as one trait: a real kernel or our own provider |
//! | [`provider`] | the trait over our own provider, with a modelled machine |
//! | [`rows`] | the rows of the behaviour table, over any target |
//! | [`observations`] | 142 single observations, and what Linux 7.3.4 says to them |
//! | [`differential`] | two targets in lock-step |
//! | [`client`] | the client of a VMM, over real kernels and the provider |
//! | `kernel` (x86-64 Linux) | the trait over this machine's `/dev/kvm` |
//! | `system` (Linux) | being process 1 |

pub mod client;
pub mod differential;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod kernel;
pub mod observations;
pub mod provider;
pub mod rows;
#[cfg(target_os = "linux")]
pub mod system;
mod table;
pub mod target;

pub use target::Target;
