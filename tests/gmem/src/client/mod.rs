//! The client of a VMM, over real kernels and over our own provider: the same cases everywhere.
//!
//! | module | what |
//! |---|---|
//! | `world` | a VM, its guest's accesses and the host's, wherever they happen |
//! | `emulated` | a world that is our own provider, spoken to in KVM's words |
//! | `real` (x86-64 Linux) | a world that is this machine's kernel |
//! | `cases` | what has to hold |
//! | [`demo`] | the main job, as facts |
//! | `rough` (x86-64 Linux) | signals at any moment, descriptors that are closed |
//! | `storm` (x86-64 Linux) | the same while everything is converted all the time |
//! | `cost` (x86-64 Linux) | what it adds to the requests that it makes |

mod cases;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod cost;
pub mod demo;
mod emulated;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod real;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod rough;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod storm;
mod world;

pub use cases::run_all;
pub use emulated::Emulated;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use real::Real;
pub use world::World;
