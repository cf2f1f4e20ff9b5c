//! A client for Linux's KVM: protected arm64 guests, and guest memory files on every architecture.
//!
//! Everything is owned: a [`Vm`] keeps the memory of its slots mapped, a [`Vcpu`] keeps its VM's memory
//! mapped, so no guest can ever write through a slot into an address the process has reused. All types are
//! `Send + Sync` and all methods take `&self`; no lock is held over `KVM_RUN`.
//!
//! | type | stands for |
//! |---|---|
//! | [`Kvm`] | `/dev/kvm` |
//! | [`Vm`] | one VM, protected or not |
//! | [`GuestFile`] | a guest memory file, of any library's VM |
//! | [`GuestMemory`] | an owned mapping that backs a slot |
//! | [`Vcpu`] | one virtual CPU |
//! | [`Exit`], [`Resume`] | why a vCPU stopped, and how it goes on |
//! | [`Requests`] | the kernel of a [`crate::ram::Ram`], for the VM of any library |
//! | [`Failed`] | which call failed, with which errno |
//!
//! [`request`] has the bare requests about guest memory, for VMs and vCPUs of other libraries; [`arm64`] what only that
//! architecture has. Constants and structures are those of `tenure_abi::gmem`; the few that only this client needs stand
//! in `wire`.

pub mod arm64;
mod exit;
mod failed;
mod file;
mod ioctl;
mod kvm;
mod memory;
pub mod request;
mod requests;
mod slots;
mod vcpu;
mod vm;
mod wire;

pub use crate::ram::Failed;
pub use exit::{Exit, Resume, SystemEvent};
pub use file::{GuestFile, Refused};
pub use kvm::Kvm;
pub use memory::GuestMemory;
pub use requests::Requests;
pub use vcpu::Vcpu;
pub use vm::Vm;

/// All types can be shared between threads, as the module promises.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Kvm>();
    shared::<Vm>();
    shared::<Vcpu>();
    shared::<GuestMemory>();
    shared::<GuestFile>();
    shared::<crate::ram::Ram<Requests<rustix::fd::OwnedFd>>>();
};
