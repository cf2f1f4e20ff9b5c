//! The whole machine: who accesses what, and what makes TLBs forget.

use crate::memory::Memory;
use crate::smmu::Stream;
use crate::step::{Kind, primitive, violation};
use crate::stores;
use crate::tlb::{Cached, Tlb, What};
use crate::walk::{Fault, Regime, walk};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tenure_abi::{FrameRange, Gfn, Pfn};

/// Who accesses memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// A CPU that runs under this regime.
    Cpu(usize, Regime),
    /// A device, translated as its stream says.
    Device(usize),
}

/// An access that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The frame it went to.
    pub frame: Pfn,
    /// What was read, or what stood there before it was overwritten.
    pub value: u64,
}

/// Memory, CPUs and devices.
///
/// CPUs are numbered as the actors that run on them ([`actor`](crate::step::actor)): a DSB waits for the stores of that actor.
#[derive(Debug)]
pub struct Machine {
    memory: Memory,
    cpus: Vec<Mutex<Tlb>>,
    devices: Vec<Mutex<(Stream, Tlb)>>,
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a test that panicked left behind is still a TLB.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Machine {
    /// RAM at `ram`, all zero, `cpus` CPUs with empty TLBs and `devices` devices that can access nothing yet.
    pub fn new(ram: FrameRange<Pfn>, cpus: usize, devices: usize) -> Self {
        Self {
            memory: Memory::new(ram),
            cpus: (0..cpus).map(|_| Mutex::default()).collect(),
            devices: (0..devices).map(|_| Mutex::default()).collect(),
        }
    }

    /// Its RAM.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Connects a device. What it cached is forgotten.
    pub fn set_stream(&self, device: usize, stream: Stream) {
        if let Some(device) = self.devices.get(device) {
            primitive(Kind::Store);
            *hold(device) = (stream, Tlb::default());
        }
    }

    /// Reads word `word` of guest frame `gfn`.
    ///
    /// # Errors
    /// The fault that the CPU or device takes.
    pub fn load(&self, seat: Seat, gfn: Gfn, word: usize) -> Result<Access, Fault> {
        self.access(seat, gfn, word, None)
    }

    /// Writes it.
    ///
    /// # Errors
    /// As [`Machine::load`].
    pub fn store(&self, seat: Seat, gfn: Gfn, word: usize, value: u64) -> Result<Access, Fault> {
        self.access(seat, gfn, word, Some(value))
    }

    fn access(&self, seat: Seat, gfn: Gfn, word: usize, value: Option<u64>) -> Result<Access, Fault> {
        primitive(Kind::Access);
        let frame = match seat {
            Seat::Cpu(cpu, regime) => {
                let tlb = self.cpus.get(cpu).ok_or(Fault::External)?;
                self.translate(&mut hold(tlb), regime, gfn.number(), value.is_some())?
            }
            Seat::Device(device) => {
                let mut device = hold(self.devices.get(device).ok_or(Fault::Stream)?);
                match device.0 {
                    Stream::Abort => return Err(Fault::Stream),
                    Stream::Bypass => gfn.number(),
                    Stream::Stage2(regime) => self.translate(&mut device.1, regime, gfn.number(), value.is_some())?,
                }
            }
        };
        let frame = Pfn::new(frame).map_err(|_| Fault::External)?;
        let memory = self.memory.frame(frame).ok_or(Fault::External)?;
        let before = memory.peek(word);
        if let Some(value) = value {
            memory.poke(word, value);
        }
        Ok(Access { frame, value: before })
    }

    fn translate(&self, tlb: &mut Tlb, regime: Regime, number: u64, write: bool) -> Result<u64, Fault> {
        let vmid = regime.vmid();
        if tlb.hit(vmid, number).is_none() {
            let mut steps = Vec::new();
            let (from, fate) = tlb.nearest(vmid, number).unzip();
            let leaf = walk(&self.memory, regime, number, from, &mut steps);
            match leaf {
                Ok(leaf) => {
                    if tlb.learn(vmid, leaf, &steps, fate.unwrap_or_default()) {
                        violation(format!("guest frame {number:#x} of VMID {vmid}: TLB conflict, break before make"));
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        let leaf = tlb.hit(vmid, number).ok_or(Fault::Translation(3))?;
        match write {
            true if !leaf.write => Err(Fault::Permission(3)),
            false if !leaf.read => Err(Fault::Permission(3)),
            _ => Ok(leaf.leads_to + (number - leaf.first)),
        }
    }

    fn broadcast(&self, by: usize, vmid: u16, what: What) {
        primitive(Kind::Tlbi);
        for tlb in &self.cpus {
            hold(tlb).mark(vmid, what, by);
        }
        for device in &self.devices {
            hold(device).1.mark(vmid, what, by);
        }
    }

    /// `TLBI IPAS2E1IS` by CPU `by` for guest frame `gfn`.
    pub fn tlbi_ipas2e1is(&self, by: usize, vmid: u16, gfn: u64) {
        self.broadcast(by, vmid, What::Ipa(gfn));
    }

    /// `TLBI VMALLE1IS`: stage 1, and what is combined with it.
    pub fn tlbi_vmalle1is(&self, by: usize, vmid: u16) {
        self.broadcast(by, vmid, What::Stage1);
    }

    /// `TLBI VMALLS12E1IS`: both stages.
    pub fn tlbi_vmalls12e1is(&self, by: usize, vmid: u16) {
        self.broadcast(by, vmid, What::All);
    }

    /// `DSB ISHST` by CPU `by`: every walker sees its stores.
    pub fn dsb_ishst(&self, by: usize) {
        primitive(Kind::Dsb);
        stores::complete(by);
    }

    /// `DSB ISH` by CPU `by`: every walker sees its stores, and the invalidations it issued are complete everywhere.
    pub fn dsb_ish(&self, by: usize) {
        self.dsb_ishst(by);
        for tlb in &self.cpus {
            hold(tlb).complete(by);
        }
        for device in &self.devices {
            hold(device).1.complete(by);
        }
    }

    /// Every translation that some CPU or device could still use.
    pub fn cached(&self) -> Vec<Cached> {
        let mut all: Vec<Cached> = Vec::new();
        for tlb in &self.cpus {
            all.extend(hold(tlb).cached());
        }
        for device in &self.devices {
            all.extend(hold(device).1.cached());
        }
        all
    }

    /// Where the tables of `regime` lead `gfn` now, whatever any TLB says.
    ///
    /// # Errors
    /// The fault that a walk takes.
    pub fn walk(&self, regime: Regime, gfn: Gfn) -> Result<Pfn, Fault> {
        let leaf = walk(&self.memory, regime, gfn.number(), None, &mut Vec::new())?;
        Pfn::new(leaf.leads_to + (gfn.number() - leaf.first)).map_err(|_| Fault::External)
    }
}
