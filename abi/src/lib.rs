//! The words both sides speak: page states, errors and wire formats.
//!
//! Everything a guest, a host and a hypervisor have to agree on lives here, and nothing else: no
//! logic, no `unsafe`, no allocation. A newcomer reads the modules in this order.
//!
//! | module | question it answers |
//! |---|---|
//! | [`frame`] | which page, which range of pages? |
//! | [`owner`] | whose is it? |
//! | [`state`] | in what state is it, and what was asked for? |
//! | [`error`] | what went wrong, where, and what code is that on each wire? |
//! | [`smccc`] | how is a call encoded in registers on Arm? |
//! | [`pkvm`] | what may a protected guest ask its hypervisor? |
//! | [`service`] | what may the host ask Tenure at EL2? |
//! | [`run`] | what does a vCPU tell the host when it stops? |
//! | [`gmem`] | what do a VMM and Linux's KVM tell each other about guest memory files? |
#![no_std]
#![forbid(unsafe_code)]

pub mod error;
pub mod frame;
pub mod gmem;
pub mod owner;
pub mod pkvm;
pub mod run;
pub mod service;
pub mod smccc;
pub mod state;

pub use error::{Errno, Error, Interface, Located, Place};
pub use frame::{AddressWidth, Frame, FrameRange, Gfn, PAGE_SHIFT, PAGE_SIZE, PageSize, Pfn, Run};
pub use owner::{Borrower, Endpoint, Owner, VmHandle, VmSlot};
pub use state::{ContentMode, PageState, QuarantineReason, TransitStep, Visibility};
