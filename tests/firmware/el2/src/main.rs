//! The EL2 image: owns the machine, starts the host payload at EL1 and runs its guests.
//!
//! | file | idea |
//! |---|---|
//! | `boot` | from reset, or PSCI, to Rust with MMU and caches on |
//! | `mmu` | EL2's own stage 1: what EL2 can reach |
//! | `pages` | the pages that come and go: pins and the fixmap |
//! | `percpu` | what each CPU keeps, behind `TPIDR_EL2` |
//! | `vectors` | in from a lower exception level and out again |
//! | `trap` | which handler an exception belongs to |
//! | `host` | the host's world: stage 2, traps, first entry |
//! | `vcpu` | a guest's: registers and traps |
//! | `world` | from one to the other and back |
//! | `state` | the EL1 registers that a switch moves |
//! | `inject` | giving an exception to EL1 |
//! | `psci`, `smc` | what firmware calls a host may make |
//! | `fatal` | the last words of an image that cannot go on |
//! | `selftest` | calls that try the runtime by itself |
//! | `machine` | this board as `tenure_hyp::el2` wants it, and the memory the records live in |
//! | `guests` | vCPUs of VMs: entering with the host's answer, stopping with a reason |
//! | `glue` | where calls and faults meet `tenure_hyp::el2` |
//!
//! Build both images in this workspace with `cargo build --release --target aarch64-unknown-none-softfloat`; run
//! scenario `N` (`payload/src/scenario.rs`) from the folder they come out in:
//!
//! ```text
//! qemu-system-aarch64 -machine virt,virtualization=on,gic-version=3 -cpu cortex-a76 -smp 2 -m 512 \
//!   -nographic -nodefaults -serial stdio -semihosting -kernel firmware-el2 \
//!   -device loader,file=firmware-payload,addr=0x48000000,force-raw=on \
//!   -device loader,addr=0x49000000,data=N,data-len=8
//! ```
//!
//! Exit code 0: every case passed, 1: one did not, 2: an image broke. To count instructions: `-smp 1 -icount
//! shift=0,sleep=off -cpu cortex-a76,cntfrq=1000000000`.
#![no_std]
#![no_main]

mod boot;
mod fatal;
mod glue;
mod guests;
mod host;
mod inject;
mod machine;
mod mmu;
mod pages;
mod percpu;
mod psci;
mod selftest;
mod smc;
mod state;
mod trap;
mod vcpu;
mod vectors;
mod world;
