//! A table of descriptors, for integrators that have none.

use super::files::{Descriptor, OpenFile};
use tenure_abi::Errno;

/// At most `OPEN` open descriptors, numbered from 0.
#[derive(Default)]
pub struct Descriptors<const OPEN: usize> {
    table: heapless::Vec<Option<Descriptor>, OPEN>,
}

impl<const OPEN: usize> Descriptors<OPEN> {
    /// An empty table.
    pub const fn new() -> Self {
        Self { table: heapless::Vec::new() }
    }

    /// What `number` stands for.
    pub fn get(&self, number: u32) -> Descriptor {
        let slot = usize::try_from(number).ok().and_then(|at| self.table.get(at));
        slot.copied().flatten().unwrap_or(Descriptor::Closed)
    }

    /// Gives `what` the lowest number that is free.
    ///
    /// # Errors
    /// `EMFILE` if there is none. `EBADF` for [`Descriptor::Closed`].
    pub fn open(&mut self, what: Descriptor) -> Result<u32, Errno> {
        if what == Descriptor::Closed {
            return Err(Errno::EBADF);
        }
        let free = self.table.iter().position(Option::is_none).unwrap_or(self.table.len());
        match self.table.get_mut(free) {
            Some(slot) => *slot = Some(what),
            None => self.table.push(Some(what)).map_err(|_| Errno::EMFILE)?,
        }
        u32::try_from(free).map_err(|_| Errno::EMFILE)
    }

    /// Another number for what `number` stands for.
    ///
    /// # Errors
    /// `EBADF`, and as [`Descriptors::open`].
    pub fn dup(&mut self, number: u32) -> Result<u32, Errno> {
        self.open(self.get(number))
    }

    /// Closes `number`. If it was the last one of an opened file, that is what comes back: its VM has lost it
    /// ([`super::Vm::closed`]).
    ///
    /// # Errors
    /// `EBADF`.
    pub fn close(&mut self, number: u32) -> Result<Option<OpenFile>, Errno> {
        let slot = usize::try_from(number).ok().and_then(|at| self.table.get_mut(at));
        let what = slot.and_then(Option::take).ok_or(Errno::EBADF)?;
        let Descriptor::Gmem(open) = what else { return Ok(None) };
        let others = self.table.iter().flatten().any(|other| *other == what);
        Ok((!others).then_some(open))
    }
}
