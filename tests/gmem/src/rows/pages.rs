//! A file that is converted in place, its mapping and a guest that has it: the words of groups A to C.
//!
//! `private(i, expect, write)`: the host cannot store to page i, the guest finds `expect` and stores `write`, the host
//! cannot load. `shared(i, expect, host, guest)`: the host finds `expect` and stores `host`, the guest finds that and
//! stores `guest`, the host finds that.

use super::trial::{GPA, Outcome, PAGE, SHARED, Trial, same, works};
use crate::target::{Answer, Fault, FileId, MappingId, ProcessId, VmId};
use std::ops::Range;
use tenure_abi::Errno;
use tenure_abi::gmem::{Attributes, ContentFlags, CreateFlags, MemoryAttributes2, VmType};

/// A refused conversion: the errno, and the offset that came back with it.
pub(super) type Refusal = (Errno, u64);

/// The world of a row that converts in place.
pub(super) struct Pages<'a, 't> {
    pub(super) trial: &'a mut Trial<'t>,
    pub(super) vm: VmId,
    pub(super) file: FileId,
    pub(super) mapping: MappingId,
    count: u64,
    /// What every conversion asks for.
    mode: ContentFlags,
}

impl<'a, 't> Pages<'a, 't> {
    /// `count` pages that start shared, or private; every conversion asks for `mode`.
    pub(super) fn new(trial: &'a mut Trial<'t>, count: u64, shared: bool, mode: ContentFlags) -> Outcome<Self> {
        let bytes = count * PAGE;
        let vm = trial.vm(VmType::SW_PROTECTED)?;
        let file = trial.file(vm, bytes, if shared { SHARED } else { CreateFlags::MMAP })?;
        let mapping = trial.map(file, bytes)?;
        trial.bind(vm, file, bytes, Some(mapping))?;
        Ok(Self { trial, vm, file, mapping, count, mode })
    }

    /// Every page.
    pub(super) fn all(&self) -> Range<u64> {
        0..self.count
    }

    /// The conversion with other flags than usual.
    pub(super) fn try_with(&mut self, pages: Range<u64>, to: Attributes, mode: ContentFlags) -> Result<(), Refusal> {
        let (first, bytes) = (pages.start * PAGE, (pages.end - pages.start) * PAGE);
        let mut request = MemoryAttributes2::new(first, bytes, to);
        request.flags = mode.bits();
        let answer: Answer = self.trial.target.set_attributes2(self.file, Some(&mut request));
        answer.map_err(|errno| (errno, request.error_offset))
    }

    /// The conversion, however it ends.
    pub(super) fn try_convert(&mut self, pages: Range<u64>, to: Attributes) -> Result<(), Refusal> {
        self.try_with(pages, to, self.mode)
    }

    /// One call that makes all of `pages` private.
    pub(super) fn make_private(&mut self, pages: Range<u64>) -> Outcome {
        let what = format!("making pages {pages:?} private");
        same(&what, self.try_convert(pages, Attributes::PRIVATE), Ok(()))
    }

    /// One call that makes all of `pages` shared.
    pub(super) fn make_shared(&mut self, pages: Range<u64>) -> Outcome {
        let what = format!("making pages {pages:?} shared");
        same(&what, self.try_convert(pages, Attributes::empty()), Ok(()))
    }

    /// The host cannot touch page `i`.
    pub(super) fn closed(&mut self, i: u64, process: ProcessId) -> Outcome {
        let at = i * PAGE;
        let fault = Fault::bus(at);
        let store = self.trial.target.store(process, self.mapping, at, 0xee);
        same(&format!("host store to private page {i}"), store, Err(fault))?;
        let load = self.trial.target.load(process, self.mapping, at);
        same(&format!("host load from private page {i}"), load, Err(fault))
    }

    /// `P(i, expect, write)`.
    pub(super) fn private(&mut self, i: u64, expect: u8, write: u8) -> Outcome {
        self.closed(i, ProcessId::VMM)?;
        self.guest_finds(i, expect)?;
        self.trial.guest_store(self.vm, GPA + i * PAGE, write)?;
        self.closed(i, ProcessId::VMM)
    }

    /// `S(i, expect, host, guest)`.
    pub(super) fn shared(&mut self, i: u64, expect: u8, host: u8, guest: u8) -> Outcome {
        self.finds(i, expect)?;
        self.stores(i, host)?;
        self.guest_finds(i, host)?;
        self.trial.guest_store(self.vm, GPA + i * PAGE, guest)?;
        self.finds(i, guest)
    }

    /// `>P(i, expect, write)`.
    pub(super) fn then_private(&mut self, i: u64, expect: u8, write: u8) -> Outcome {
        self.make_private(i..i + 1)?;
        self.private(i, expect, write)
    }

    /// `>S(i, expect, host, guest)`.
    pub(super) fn then_shared(&mut self, i: u64, expect: u8, host: u8, guest: u8) -> Outcome {
        self.make_shared(i..i + 1)?;
        self.shared(i, expect, host, guest)
    }

    /// The host finds `value` in page `i`.
    pub(super) fn finds(&mut self, i: u64, value: u8) -> Outcome {
        self.trial.finds(self.mapping, i * PAGE, value)
    }

    /// The host stores `value` to page `i`.
    pub(super) fn stores(&mut self, i: u64, value: u8) -> Outcome {
        self.trial.store(self.mapping, i * PAGE, value)
    }

    /// The guest finds `value` in page `i`.
    pub(super) fn guest_finds(&mut self, i: u64, value: u8) -> Outcome {
        self.trial.guest_finds(self.vm, GPA + i * PAGE, value)
    }

    /// What the guest loads from page `i`.
    pub(super) fn guest_loads(&mut self, i: u64) -> Outcome<u8> {
        let seen = self.trial.target.guest_load(self.vm, GPA + i * PAGE);
        seen.map_err(|stop| format!("guest load from page {i}: {stop:?}"))
    }

    /// Frees `pages`.
    pub(super) fn punch(&mut self, pages: Range<u64>) -> Outcome {
        self.trial.punch(self.file, pages.start * PAGE, (pages.end - pages.start) * PAGE)
    }

    /// A long-term reference to page `i`.
    pub(super) fn pin(&mut self, i: u64) -> Outcome<crate::target::PinId> {
        works("pinning a page", self.trial.target.pin(self.mapping, i * PAGE, PAGE))
    }
}
