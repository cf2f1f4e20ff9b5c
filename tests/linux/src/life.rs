//! One VM from its first to its last instruction, and what was observed.

use crate::probe::{self, Fault};
use crate::touch;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tenure_abi::gmem::CreateFlags;
use tenure_abi::{AddressWidth, Errno, FrameRange, Gfn, Visibility};
use tenure_host::linux::arm64::{self, Register};
use tenure_host::linux::{Exit, Failed, GuestMemory, Kvm, Requests, Resume, SystemEvent, Vcpu, Vm};
use tenure_host::ram::{Ram, Strategy};
use tenure_test_protocol::layout::{
    BLOB_MAX, HOST_LEFT, HOST_VALUE, MAILBOX, MAILBOX_BYTES, RAM_BASE, RAM_BYTES, storm_guest_value, storm_host_value,
    storm_ipa,
};
use tenure_test_protocol::{Denied, Ending, Entry, Event, Measure, Observation, Scenario, Step};

/// More exits than any scenario needs: a guest that goes round in circles is stopped.
const EXITS_MAX: u32 = 100_000;
/// The slot that all of the guest's memory is in.
pub const SLOT: u32 = 0;

/// What every life needs.
pub struct Host {
    /// The kernel.
    pub kvm: Kvm,
    /// The guest blob.
    pub guest: Vec<u8>,
}

/// What the guest's memory is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Backing {
    /// What the client takes: anonymous memory for protected guests, a memory file for others.
    Client,
    /// A memory file (shmem).
    Memfd,
    /// A `guest_memfd` that the host can map.
    Gmem,
}

/// A VM that is ready to run.
pub struct Machine {
    // In this order: the VM goes before its memory does.
    vcpu: Vcpu,
    ram: Ram<Requests<Vm>>,
    memory: Arc<GuestMemory>,
    entry: Entry,
}

/// What was observed.
#[derive(Default)]
pub struct Life {
    /// Everything worth comparing, with the step it belongs to.
    pub seen: Vec<(Step, Observation)>,
    /// Measurements.
    pub ticks: Vec<(Measure, u64)>,
    /// The guest's ticks per second.
    pub rate: u64,
    /// The wall clock as the guest was told it and as this process saw it just afterwards, in nanoseconds.
    pub clocks: Option<(u64, u64)>,
    /// Every fault of the host's own loads and stores.
    pub faults: Vec<Fault>,
    /// Errnos of the host's system calls that were refused.
    pub errnos: Vec<i32>,
    /// The frame behind each page the host was asked to load, by step.
    pub frames: Vec<(Step, u64, Option<u64>)>,
    /// How often a signal stopped the vCPU.
    pub interrupted: u64,
    /// The last thing the vCPU did.
    pub last: Option<Result<Exit, Failed>>,
    step: Option<Step>,
    rounds: u64,
    mismatches: u64,
}

impl Machine {
    /// A VM of 40-bit addresses with the guest in its memory, about to run `scenario`.
    pub fn new(host: &Host, protected: bool, backing: Backing, scenario: Scenario) -> Result<Self, String> {
        let text = |failed: Failed| failed.to_string();
        let width = AddressWidth::new(40).map_err(|error| format!("{error:?}"))?;
        let kind = if protected { arm64::protected(width) } else { arm64::plain(width) };
        let vm = host.kvm.create_vm(kind.map_err(|error| format!("{error:?}"))?).map_err(text)?;
        let bytes = RAM_BYTES as usize;
        let strategy = match (protected, backing) {
            (true, _) => Strategy::Protected,
            (false, Backing::Gmem) => Strategy::SharedOnly { file: true },
            (false, _) => Strategy::SharedOnly { file: false },
        };
        let ram = Ram::new(Requests::of(vm), strategy, SLOT..SLOT + 1);
        let first = Gfn::from_address(RAM_BASE).map_err(|error| format!("{error:?}"))?;
        let memory = match backing {
            // What a VMM does: the client backs the guest's memory as its kind of VM needs it.
            Backing::Client => {
                let all = FrameRange::from_bytes(RAM_BASE, RAM_BYTES, width).map_err(|error| format!("{error:?}"))?;
                let seen = if protected { Visibility::Private } else { Visibility::Shared };
                ram.add(all, seen).map_err(text)?;
                ram.memory(first).ok_or("the client has no memory")?.0
            }
            Backing::Memfd => GuestMemory::memfd(bytes).map(Arc::new).map_err(text)?,
            Backing::Gmem => {
                ram.kernel().vm().create_gmem(bytes, CreateFlags::MMAP | CreateFlags::INIT_SHARED).map_err(text)?
            }
        };
        if host.guest.len() as u64 > BLOB_MAX {
            return Err(format!("the guest has {} bytes", host.guest.len()));
        }
        memory.write(0, &host.guest).ok_or("the guest does not fit")?;
        for (ipa, value) in HOST_LEFT {
            memory.store((ipa - RAM_BASE) as usize, value).ok_or("a page lies outside RAM")?;
        }
        if backing != Backing::Client {
            ram.kernel().vm().add_memory(SLOT, first, &memory).map_err(text)?;
        }
        let vcpu = ram.kernel().vm().create_vcpu(0).map_err(text)?;
        let rounds = match scenario {
            Scenario::Bench => 10,
            Scenario::Storm => 400,
            _ => 0,
        };
        let entry = Entry { scenario, rounds };
        let x0 = Register::x(0).map_err(|error| format!("{error:?}"))?;
        vcpu.set(Register::PC, RAM_BASE).map_err(text)?;
        vcpu.set(x0, entry.to_raw()).map_err(text)?;
        Ok(Self { vcpu, ram, memory, entry })
    }

    /// The VM.
    pub fn vm(&self) -> &Vm {
        self.ram.kernel().vm()
    }

    /// The client's view of its memory.
    pub fn ram(&self) -> &Ram<Requests<Vm>> {
        &self.ram
    }

    /// The guest's memory; it may outlive the VM.
    pub fn memory(&self) -> &Arc<GuestMemory> {
        &self.memory
    }

    /// Runs the guest to its end.
    pub fn live(&self) -> Life {
        self.live_with(|_| {})
    }

    /// Runs the guest to its end; `host_calls` is called when the guest gives the word.
    pub fn live_with(&self, mut host_calls: impl FnMut(&GuestMemory)) -> Life {
        let mut life = Life::default();
        for _ in 0..EXITS_MAX {
            let exit = self.vcpu.run(Resume::Plain);
            life.last = Some(exit);
            match exit {
                Ok(Exit::MmioStore { ipa, len: 8, value }) if (MAILBOX..MAILBOX + MAILBOX_BYTES).contains(&ipa) => {
                    match Event::decode(ipa - MAILBOX, value) {
                        Some(Event::HostCalls) => host_calls(&self.memory),
                        Some(event) => life.answer(event, &self.memory),
                        None => break,
                    }
                }
                Ok(Exit::Interrupted) => life.interrupted += 1,
                Ok(Exit::System(SystemEvent::Shutdown(_))) => {
                    life.end(Ending::PoweredOff);
                    break;
                }
                Err(Failed { errno: Errno::EFAULT, .. }) => {
                    life.end(Ending::Burnt);
                    break;
                }
                _ => break,
            }
        }
        life
    }

    /// Runs the guest, and prints what was observed for comparison with other hosts.
    pub fn live_and_tell(&self) -> Life {
        let life = self.live();
        life.tell(self.entry.scenario);
        life
    }
}

impl Life {
    fn note(&mut self, what: Observation) {
        if what.is_comparable() {
            // Before the first step there is nothing to observe; should it happen, it shows as a step out of place.
            self.seen.push((self.step.unwrap_or(Step::Leaving), what));
        }
    }

    fn survived<T>(&mut self, outcome: Result<T, Fault>) -> Result<T, Denied> {
        outcome.map_err(|fault| {
            self.faults.push(fault);
            Denied
        })
    }

    fn refused<T>(&mut self, outcome: Result<T, i32>) -> Result<T, Denied> {
        outcome.map_err(|errno| {
            self.errnos.push(errno);
            Denied
        })
    }

    /// Does what the guest asks for.
    fn answer(&mut self, event: Event, memory: &GuestMemory) {
        let at = |ipa: u64| memory.address() + (ipa - RAM_BASE);
        match event {
            Event::Step(step) => self.step = Some(step),
            Event::Ticks(what, ticks) => self.ticks.push((what, ticks)),
            Event::TickRate(rate) => self.rate = rate,
            Event::WallClock(guest) => self.clocks = Some((guest, now())),
            Event::HostLoad(ipa) => {
                let seen = self.survived(probe::load(at(ipa)));
                self.frames.push((self.step.unwrap_or(Step::Leaving), ipa, touch::frame(at(ipa))));
                self.note(Observation::HostLoad(ipa, seen));
            }
            Event::HostStore(ipa) => {
                let done = self.survived(probe::store(at(ipa), HOST_VALUE));
                self.note(Observation::HostStore(ipa, done));
            }
            Event::HostSyscall(ipa) => {
                let seen = self.refused(touch::by_write(at(ipa)));
                self.note(Observation::HostSyscall(ipa, seen));
            }
            Event::ForceOut(ipa) => {
                let seen = self.refused(touch::by_linear_map(at(ipa)));
                self.note(Observation::ForcedOut(ipa, seen));
            }
            Event::Round(round) => self.round(round, at(storm_ipa(round))),
            other => self.note(Observation::Guest(other)),
        }
    }

    /// The host's part of one round of the storm.
    fn round(&mut self, round: u64, address: u64) {
        let right = self.survived(probe::load(address)) == Ok(storm_guest_value(round));
        let stored = self.survived(probe::store(address, storm_host_value(round))).is_ok();
        self.rounds += 1;
        self.mismatches += u64::from(!(right && stored));
    }

    fn end(&mut self, ending: Ending) {
        if self.rounds != 0 {
            self.note(Observation::Storm { rounds: self.rounds, mismatches: self.mismatches });
        }
        self.note(Observation::Ended(ending));
    }

    /// The texts of `step`, in order.
    pub fn texts(&self, step: Step) -> Vec<String> {
        self.seen.iter().filter(|(of, _)| *of == step).map(|(_, what)| what.to_string()).collect()
    }

    /// Prints one line an observation.
    pub fn tell(&self, scenario: Scenario) {
        for (step, what) in &self.seen {
            println!("TENURE obs {} {} {what}", scenario.name(), step.name());
        }
    }
}

/// This process's wall clock in nanoseconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
