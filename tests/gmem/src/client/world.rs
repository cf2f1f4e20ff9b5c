//! One VM with a guest that can be told what to touch.

use crate::target::{Called, Fault, Stop};
use tenure_host::ram::Kernel;

/// A VM of the client's, and the means to see what became of its memory.
pub trait World {
    /// How the client speaks to the kernel.
    type Kernel: Kernel;

    /// Its name in reports.
    fn name(&self) -> String;

    /// The requests of a new VM; the one before, and all that was opened on it, is gone.
    ///
    /// # Errors
    /// Why there is none, in words.
    fn fresh(&mut self) -> Result<Self::Kernel, String>;

    /// Whether the VM can have private memory, as seen without the client.
    fn has_private(&mut self) -> bool;

    /// Whether its files are converted in place, as seen without the client.
    fn is_in_place(&mut self) -> bool;

    /// The guest loads a byte.
    ///
    /// # Errors
    /// Why it could not.
    fn guest_load(&mut self, gpa: u64) -> Result<u8, Stop>;

    /// The guest stores a byte.
    ///
    /// # Errors
    /// Why it could not.
    fn guest_store(&mut self, gpa: u64, value: u8) -> Result<(), Stop>;

    /// The guest asks for a conversion; the VMM says `reply`.
    ///
    /// # Errors
    /// Why it did not come back.
    fn hypercall(&mut self, arguments: [u32; 3], reply: u64) -> Result<Called, Stop>;

    /// The host loads a byte through the client's mapping.
    ///
    /// # Errors
    /// The signal.
    fn host_load(&mut self, memory: &<Self::Kernel as Kernel>::Memory, offset: u64) -> Result<u8, Fault>;

    /// The host stores a byte there.
    ///
    /// # Errors
    /// The signal.
    fn host_store(&mut self, memory: &<Self::Kernel as Kernel>::Memory, offset: u64, value: u8) -> Result<(), Fault>;

    /// Which frame of the machine the client's mapping shows there; `None` if none, or if nobody shows it.
    fn frame(&mut self, memory: &<Self::Kernel as Kernel>::Memory, offset: u64) -> Option<u64>;

    /// Bytes that back files now, give or take [`World::blur`]; `None` where other programs disturb the count.
    fn backed(&mut self) -> Option<u64>;

    /// How far [`World::backed`] may be off, in bytes.
    fn blur(&self) -> u64;

    /// What is open and mapped now: two equal numbers, nothing leaked.
    fn open(&mut self) -> (usize, usize);
}
