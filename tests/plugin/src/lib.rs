//! Counts what one hypercall of a guest costs: instructions, TLB invalidations and barriers between the guest's HVC
//! and its next instruction.
//!
//! ```text
//! qemu-system-aarch64 … -smp 1 -plugin file=libtenure_test_plugin.so,out=FILE[,lo=40000000,hi=40020000][,el2=LO-HI]
//! ```
//!
//! `lo..hi` are the guest's addresses as it uses them (its MMU is off); `el2` is the hypervisor's text, by default all
//! of the lower half outside the guest. The counts know addresses only, so hypervisor, guest and host must not overlap.
//! With one CPU and no host instruction in between, a line repeats exactly. Lines are added to `out`, and `end` when QEMU
//! ends, so that several runs can share a file.
//!
//! One line a call, in the order of the calls, numbers by name:
//! `call at=0x400001a4 el2=261 other=0 tlbi=0 dsb=0 mitigation=1`. *Other* is whatever ran at neither place: the
//! host, when the call exits to it or an interrupt came. A `dsb nsh` is counted apart as `mitigation`: it closes the
//! loop that clears the branch history on entry, and orders nothing between CPUs.
//!
//! | module | idea |
//! |---|---|
//! | `decode` | which instruction words matter |
//! | `options` | the words after the plugin's file name |
//! | `tally` | the counts and the difference between two of them |
//! | `qemu` | QEMU's C interface, and the three callbacks |

mod decode;
mod options;
#[cfg(not(test))]
mod qemu;
mod tally;
