//! Who owns a page, and who borrows it.

use crate::error::Error;

/// A VM's place in the VM table: 0..1024.
///
/// The tracker records owners by slot, not by handle: a slot is freed only when its VM owns no page
/// and maps none, so while a slot is named in an entry it means exactly one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmSlot(u16);

impl VmSlot {
    /// How many slots a VM table can have: the entry format gives a slot 10 bits.
    pub const COUNT: u16 = 1 << 10;

    /// Slot number `index`.
    ///
    /// # Errors
    /// [`Error::Invalid`] at [`VmSlot::COUNT`] or above.
    pub const fn new(index: u16) -> Result<Self, Error> {
        if index >= Self::COUNT {
            return Err(Error::Invalid);
        }
        Ok(Self(index))
    }

    /// The slot's index.
    pub const fn index(self) -> u16 {
        self.0
    }
}

/// How the outside names a VM: its slot and the generation of that slot.
///
/// A handle of an earlier generation is stale and refused, so a handle kept after its VM died never
/// reaches the slot's next VM.
///
/// On the wire: bits 0..16 slot, 16..48 generation (never 0), 48..64 zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmHandle {
    slot: VmSlot,
    generation: core::num::NonZeroU32,
}

impl VmHandle {
    const GENERATION_SHIFT: u32 = 16;

    /// The handle of `slot` in its `generation`.
    pub const fn new(slot: VmSlot, generation: core::num::NonZeroU32) -> Self {
        Self { slot, generation }
    }

    /// The slot it names.
    pub const fn slot(self) -> VmSlot {
        self.slot
    }

    /// The generation of the slot it was given out for.
    pub const fn generation(self) -> core::num::NonZeroU32 {
        self.generation
    }

    /// The handle as it goes over the wire.
    pub const fn to_raw(self) -> u64 {
        self.slot.0 as u64 | (self.generation.get() as u64) << Self::GENERATION_SHIFT
    }

    /// The handle a wire value names.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a reserved bit is set, the slot does not exist or the generation is 0.
    pub const fn from_raw(raw: u64) -> Result<Self, Error> {
        if raw >> 48 != 0 {
            return Err(Error::Invalid);
        }
        let Ok(slot) = VmSlot::new(raw as u16) else {
            return Err(Error::Invalid);
        };
        match core::num::NonZeroU32::new((raw >> Self::GENERATION_SHIFT) as u32) {
            Some(generation) => Ok(Self { slot, generation }),
            None => Err(Error::Invalid),
        }
    }
}

/// A firmware endpoint: an FF-A partition id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint(pub u16);

/// The one party that owns a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The host: the kernel that runs the VMs, and its user space.
    Host,
    /// The hypervisor itself.
    Hyp,
    /// A guest.
    Guest(VmSlot),
    /// Firmware above or beside the hypervisor (FF-A).
    Firmware(Endpoint),
}

/// A party that may touch a page it does not own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Borrower {
    /// The host borrows a guest's page.
    Host,
    /// The hypervisor may pin the page; `pins` says how often it does now.
    Hyp {
        /// How many pins are held.
        pins: u16,
    },
    /// Non-protected guests map the host's page; who they are stands in their stage-2 tables.
    Guests {
        /// How many mappings exist: at least 1.
        mappings: u32,
    },
    /// A firmware endpoint borrows it.
    Firmware(Endpoint),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_survive_the_wire_and_forged_ones_do_not() {
        let h = VmHandle::new(VmSlot::new(1023).unwrap(), core::num::NonZeroU32::MAX);
        assert_eq!(VmHandle::from_raw(h.to_raw()), Ok(h));
        for forged in [0, 5, 1 << 48 | 1 << 16, 1024 | 1 << 16, u64::MAX] {
            assert_eq!(VmHandle::from_raw(forged), Err(Error::Invalid), "{forged:#x}");
        }
    }
}
