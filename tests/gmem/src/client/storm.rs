//! A guest whose memory is converted all the time: two vCPUs that run, a third thread that converts what both touch.
//!
//! Each vCPU has sixteen pages. Eight carry data: between two rounds their VMM converts some of them, and every round checks all on
//! both sides. The other eight are noise: the guest writes them while the storm converts them, so that its accesses meet conversions
//! half way. What such an access finds is nobody's promise; that the guest goes on is.

use crate::kernel::{touch_load, touch_store};
use kvm_bindings::kvm_regs;
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use tenure_abi::gmem::{ExitReason, RunPage, UserspaceMemoryRegion, VmType};
use tenure_abi::{AddressWidth, ContentMode, FrameRange, Gfn, PAGE_SIZE, Visibility};
use tenure_host::convert::{Front, NoLeases, Request};
use tenure_host::exits::Ran;
use tenure_host::faults::{FaultLog, Policy, Verdict};
use tenure_host::linux::{GuestMemory, Requests, request};
use tenure_host::ram::{Offers, Ram, Strategy};

/// vCPUs.
const CPUS: u64 = 2;
/// The first page of memory that is converted.
const FIRST: u64 = 0x200;
/// Pages of a vCPU, and how many of them carry data: what a segment of 64 KiB holds, and half of it.
const PAGES: u64 = 16;
const DATA: u64 = 8;
/// Where the guest's code is.
const CODE: u64 = 0x1000;
/// How often a round goes over its pages: long enough to be met by conversions.
const PASSES: u64 = 200;
/// More faults in a row at one place than any honest storm makes.
const PATIENCE: u32 = 10_000;

/// CX times writes BL to each of the sixteen pages of ES, reads the eight that carry data, and halts: with BL in AL if all held, else
/// with the offset of the page in DI.
const WRITE_ALL: &[u8] = &[
    0x31, 0xff, // xor di, di
    0x26, 0x88, 0x1d, // mov es:[di], bl
    0x81, 0xc7, 0x00, 0x10, // add di, 0x1000
    0x73, 0xf7, // jnc to the mov
    0xe2, 0xf3, // loop to the beginning
    0x31, 0xff, // xor di, di
    0x26, 0x8a, 0x05, // mov al, es:[di]
    0x38, 0xd8, // cmp al, bl
    0x75, 0x0a, // jne to the hlt
    0x81, 0xc7, 0x00, 0x10, // add di, 0x1000
    0x81, 0xff, 0x00, 0x80, // cmp di, 0x8000
    0x75, 0xef, // jne to the mov
    0xf4, // hlt
];
/// Loads the byte at ES:DI into AL and halts.
const LOAD: &[u8] = &[0x26, 0x8a, 0x05, 0xf4];
const LOAD_AT: u64 = 0x40;

/// What a storm saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Rounds of both vCPUs, each of which held.
    pub rounds: u64,
    /// Conversions, of data and of noise.
    pub conversions: u64,
    /// Memory faults after which the guest was just run again.
    pub spurious: u64,
}

type Client<'v> = Front<Ram<Requests<BorrowedFd<'v>>>, NoLeases>;

/// What all threads share.
struct Sky<'v> {
    client: Client<'v>,
    conversions: AtomicU64,
    spurious: AtomicU64,
    running: AtomicU64,
}

/// A vCPU's thread; the noise ends when there is none, however they ended.
struct Running<'s>(&'s AtomicU64);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn text<E: core::fmt::Debug>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error:?}")
}

fn gfns(first: u64, count: u64) -> FrameRange<Gfn> {
    let first = Gfn::new(FIRST + first).expect("a frame");
    FrameRange::new(first, count, AddressWidth::MAX).expect("a range")
}

/// Runs a storm of `rounds` rounds a vCPU.
///
/// # Errors
/// What went wrong, in words; `Ok(None)` where VMs cannot have private memory beside shared.
pub fn storm(rounds: u64) -> Result<Option<Weather>, String> {
    let kvm = Kvm::new().map_err(text("/dev/kvm"))?;
    let Ok(vm) = kvm.create_vm_with_type(VmType::SW_PROTECTED.0) else { return Ok(None) };
    // SAFETY: the VM is open until the end of this function, and nothing here outlives it.
    let fd = unsafe { BorrowedFd::borrow_raw(vm.as_raw_fd()) };
    let code = GuestMemory::anonymous(0x2000).map_err(text("memory for code"))?;
    code.write(0x1000, WRITE_ALL).ok_or("the code does not fit")?;
    code.write(0x1000 + LOAD_AT as usize, LOAD).ok_or("the code does not fit")?;
    let slot = UserspaceMemoryRegion { memory_size: 0x2000, userspace_addr: code.address(), ..Default::default() };
    // SAFETY: `code` is dropped after the vCPUs, and no reference is ever made to it.
    unsafe { request::set_user_memory_region(fd, &slot) }.map_err(text("the slot for code"))?;
    let kernel = Requests::new(fd);
    let strategy = Offers::probe(&kernel).strategy(false);
    if strategy != Strategy::TwoBackings {
        return Ok(None);
    }
    let ram = Ram::new(kernel, strategy, 1..8);
    for cpu in 0..CPUS {
        ram.add(gfns(cpu * PAGES, PAGES), Visibility::Private).map_err(text("adding memory"))?;
    }
    let sky = Sky {
        client: Front::new(ram, NoLeases),
        conversions: AtomicU64::new(0),
        spurious: AtomicU64::new(0),
        running: AtomicU64::new(CPUS),
    };
    let vcpus = (0..CPUS).map(|cpu| vcpu(&vm, cpu)).collect::<Result<Vec<_>, _>>()?;
    let sky_ref = &sky;
    std::thread::scope(|scope| {
        let lives: Vec<_> = vcpus
            .into_iter()
            .zip(0..)
            .map(|(vcpu, cpu)| {
                scope.spawn(move || {
                    let _until_the_end = Running(&sky_ref.running);
                    Life { sky: sky_ref, vcpu, cpu, log: FaultLog::new(PATIENCE) }.live(rounds)
                })
            })
            .collect();
        let noise = scope.spawn(|| sky_ref.convert_noise());
        let ends = lives.into_iter().map(|life| life.join().map_err(|_| "a vCPU's thread panicked".to_owned())?);
        let ends = ends.collect::<Result<Vec<()>, String>>().map(drop);
        ends.and(noise.join().map_err(|_| "the storm panicked".to_owned())?)
    })?;
    sky.calm()?;
    let (conversions, spurious) = (sky.conversions.load(Relaxed), sky.spurious.load(Relaxed));
    Ok(Some(Weather { rounds: rounds * CPUS, conversions, spurious }))
}

/// A vCPU in real mode whose ES covers its pages.
fn vcpu(vm: &VmFd, cpu: u64) -> Result<VcpuFd, String> {
    let vcpu = vm.create_vcpu(cpu).map_err(text("creating a vCPU"))?;
    let mut sregs = vcpu.get_sregs().map_err(text("reading registers"))?;
    (sregs.cs.base, sregs.cs.selector) = (0, 0);
    sregs.es.base = (FIRST + cpu * PAGES) * PAGE_SIZE;
    vcpu.set_sregs(&sregs).map_err(text("setting registers"))?;
    Ok(vcpu)
}

impl Sky<'_> {
    fn convert(&self, first: u64, count: u64, to: Visibility) -> Result<(), String> {
        let request = Request { gfns: gfns(first, count), to };
        let converted = self.client.convert(request, ContentMode::Unspecified).map_err(text("a conversion"));
        self.conversions.fetch_add(1, Relaxed);
        converted
    }

    /// Converts noise until no vCPU runs.
    fn convert_noise(&self) -> Result<(), String> {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        while self.running.load(Relaxed) > 0 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let first = DATA + random % (PAGES - DATA);
            let count = 1 + (random >> 8) % (PAGES - first);
            let to = if random >> 16 & 1 == 0 { Visibility::Private } else { Visibility::Shared };
            self.convert((random >> 24) % CPUS * PAGES + first, count, to)?;
        }
        Ok(())
    }

    /// After it: everything can be shared, and what is there was written by somebody.
    fn calm(&self) -> Result<(), String> {
        for cpu in 0..CPUS {
            self.convert(cpu * PAGES, PAGES, Visibility::Shared)?;
            for page in 0..PAGES {
                let (memory, offset) =
                    self.client.backing().memory(gfns(cpu * PAGES + page, 1).first()).ok_or("memory")?;
                touch_store(&memory, offset, 1).map_err(text("shared memory after the storm"))?;
            }
        }
        Ok(())
    }
}

/// One vCPU and the thread that runs it.
struct Life<'s, 'v> {
    sky: &'s Sky<'v>,
    vcpu: VcpuFd,
    cpu: u64,
    log: FaultLog,
}

impl Life<'_, '_> {
    fn live(&mut self, rounds: u64) -> Result<(), String> {
        for round in 0..rounds {
            if self.cpu == 0 && round.is_multiple_of(100) {
                // A storm that stands still says how far it came, and one that never began says nothing.
                let (conversions, spurious) = (self.sky.conversions.load(Relaxed), self.sky.spurious.load(Relaxed));
                println!("storm: round {round} of {rounds}, {conversions} conversions, {spurious} spurious faults");
            }
            self.round(round).map_err(|what| format!("vCPU {}, round {round}: {what}", self.cpu))?;
        }
        Ok(())
    }

    fn round(&mut self, round: u64) -> Result<(), String> {
        let mine = self.cpu * PAGES;
        // A run of data pages changes sides.
        let (first, count) = (round * 3 % DATA, 1 + round % 3);
        let count = count.min(DATA - first);
        let to = if (round / 2).is_multiple_of(2) { Visibility::Shared } else { Visibility::Private };
        self.sky.convert(mine + first, count, to)?;
        let value = (round % 250 + 1) as u8;
        let regs = self.run(CODE, u64::from(value), 0)?;
        if regs.rax as u8 != value {
            return Err(format!("the guest reads {:#x} where it wrote {value:#x}, at {:#x}", regs.rax as u8, regs.rdi));
        }
        for page in 0..DATA {
            let gfn = gfns(mine + page, 1).first();
            if self.sky.client.backing().visibility(gfn) != Some(Visibility::Shared) {
                continue;
            }
            let (memory, offset) = self.sky.client.backing().memory(gfn).ok_or("no memory")?;
            let seen = touch_load(&memory, offset).map_err(text("the host's load"))?;
            if seen != value {
                return Err(format!("the host reads {seen:#x} in page {page}, the guest wrote {value:#x}"));
            }
            if page == first {
                touch_store(&memory, offset, !value).map_err(text("the host's store"))?;
                let regs = self.run(CODE + LOAD_AT, 0, page * PAGE_SIZE)?;
                if regs.rax as u8 != !value {
                    return Err(format!("the guest reads {:#x}, the host wrote {:#x}", regs.rax as u8, !value));
                }
            }
        }
        Ok(())
    }

    /// Runs the guest from `rip` until it halts.
    fn run(&mut self, rip: u64, rbx: u64, rdi: u64) -> Result<kvm_regs, String> {
        let regs = kvm_regs { rip, rbx, rcx: PASSES, rdi, rflags: 2, ..kvm_regs::default() };
        self.vcpu.set_regs(&regs).map_err(text("setting registers"))?;
        loop {
            let entered = self.sky.client.entering();
            match self.enter() {
                Ran::Exit(ExitReason::HLT) => {
                    self.log.got_on();
                    return self.vcpu.get_regs().map_err(text("reading registers"));
                }
                Ran::MemoryFault(fault) => {
                    let verdict = self.sky.client.fault(&fault, entered, Policy::Deny, &mut self.log);
                    if verdict != Verdict::RunAgain {
                        return Err(format!("{fault:x?}: {verdict:?}"));
                    }
                    self.sky.spurious.fetch_add(1, Relaxed);
                }
                Ran::Interrupted => {}
                other => return Err(format!("the guest stopped: {other:?}")),
            }
        }
    }

    fn enter(&mut self) -> Ran {
        let page: *mut RunPage = std::ptr::from_mut(self.vcpu.get_kvm_run()).cast();
        // SAFETY: the page is mapped as long as the vCPU exists, and is larger than this; only this thread uses it, and any
        // bytes are a valid `RunPage`.
        unsafe { (&raw mut (*page).exit_reason).write_volatile(u32::MAX) };
        // SAFETY: the vCPU is open during the call.
        let result = request::run(unsafe { BorrowedFd::borrow_raw(self.vcpu.as_raw_fd()) });
        // SAFETY: as above.
        Ran::of(result.map_err(|failed| failed.errno), &unsafe { page.read_volatile() })
    }
}

/// The storm as a row, on this machine's kernel.
pub fn row(rounds: u64, mut say: impl FnMut(&str)) -> bool {
    let open = || {
        let count = |path: &str| std::fs::read_dir(path).map_or(0, Iterator::count);
        let maps = std::fs::read_to_string("/proc/self/maps").map_or(0, |text| text.lines().count());
        (count("/proc/self/fd"), maps)
    };
    crate::kernel::survive_signals();
    // The threads' stacks stay mapped after the first time.
    let warm = storm(1);
    let before = (open(), super::real::page_cache());
    let found = warm.and_then(|_| storm(rounds));
    let after = (open(), super::real::page_cache());
    let verdict = found.and_then(|weather| {
        let Some(weather) = weather else { return Ok(None) };
        if before.0 != after.0 {
            return Err(format!("descriptors and mappings: {:?} before, {:?} after", before.0, after.0));
        }
        let grown = after.1.unwrap_or(0).saturating_sub(before.1.unwrap_or(0));
        if before.1.is_some() && grown > super::real::BLUR {
            return Err(format!("{grown} bytes more in use after {} conversions", weather.conversions));
        }
        if weather.spurious == 0 {
            return Err(format!("no access met a conversion: {weather:?}"));
        }
        Ok(Some(weather))
    });
    match &verdict {
        Ok(Some(weather)) => {
            let Weather { rounds, conversions, spurious } = weather;
            say(&format!("storm: {rounds} rounds, {conversions} conversions, {spurious} spurious faults"));
            say("TENURE row CL-11 pass");
        }
        Ok(None) => say("TENURE row CL-11 n/a private memory beside shared does not exist here"),
        Err(seen) => say(&format!("TENURE row CL-11 fail {seen}")),
    }
    verdict.is_ok()
}
