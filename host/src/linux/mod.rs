//! A client for Linux's KVM, as far as a protected arm64 guest needs it.
//!
//! Everything is owned: a [`Vm`] keeps the memory of its slots mapped, a [`Vcpu`] keeps its VM's memory
//! mapped, so no guest can ever write through a slot into an address the process has reused. All types are
//! `Send + Sync` and all methods take `&self`; no lock is held over `KVM_RUN`.
//!
//! | type | stands for |
//! |---|---|
//! | [`Kvm`] | `/dev/kvm` |
//! | [`Vm`], [`VmType`] | one VM, protected or not |
//! | [`GuestMemory`] | an owned mapping that backs a slot |
//! | [`Vcpu`], [`Register`] | one virtual CPU |
//! | [`Exit`], [`Resume`] | why a vCPU stopped, and how it goes on |
//! | [`Failed`] | which call failed, with which errno |
//!
//! Constants and structures come from the kernel's `include/uapi/linux/kvm.h` and
//! `arch/arm64/include/uapi/asm/kvm.h`, see `wire`.

mod arm64;
mod exit;
mod failed;
mod ioctl;
mod kvm;
mod memory;
mod vcpu;
mod vm;
mod wire;

pub use arm64::{Register, VmType};
pub use exit::{Exit, Resume, SystemEvent};
pub use failed::Failed;
pub use kvm::{Capability, Kvm};
pub use memory::{GmemFlags, GuestMemory};
pub use vcpu::Vcpu;
pub use vm::Vm;

/// All types can be shared between threads, as the module promises.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Kvm>();
    shared::<Vm>();
    shared::<Vcpu>();
    shared::<GuestMemory>();
};
