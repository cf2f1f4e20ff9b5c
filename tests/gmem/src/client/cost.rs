//! What the client adds to the requests that it makes: a conversion to shared and back, through the client and by the bare
//! requests, on this machine's kernel.
//!
//! The bare requests are the two that any VMM makes for one conversion: `KVM_SET_MEMORY_ATTRIBUTES`, and the hole in the side that
//! is left. Everybody has a region of the same size on the same VM, and they take turns, so that whatever the machine does
//! besides happens to all of them; the bare requests do so twice, which shows how far such ratios can be trusted. Time is the
//! processor's counter, on a machine that counts one tick an instruction: what is compared is instructions, of the kernel and of the
//! program together.
//!
//! | memory | what the kernel has to do |
//! |---|---|
//! | in use | the guest has mapped it: entries are zapped, the hole frees pages. What a guest converts is this |
//! | untouched | nothing is backed: the least a kernel can have to do, so what the client adds shows most |
//!
//! The figure that has a limit is the worst of all.

use core::arch::x86_64::_rdtsc;
use core::time::Duration;
use kvm_ioctls::Kvm;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use tenure_abi::gmem::{Attributes, CreateFlags, MemoryAttributes, PreFaultMemory, VmType, ioctl};
use tenure_abi::{AddressWidth, ContentMode, FrameRange, Gfn, PAGE_SHIFT, PAGE_SIZE, Visibility};
use tenure_host::convert::{Front, NoLeases, Request, Revoker};
use tenure_host::lease::{AtDeadline, Leases, Patience};
use tenure_host::linux::{GuestFile, GuestMemory, Requests, request};
use tenure_host::ram::{Kernel, Offers, Plain, Ram, Slot, Strategy};

/// Pages of a region, and of the longer conversion.
const PAGES: u64 = 512;
/// Samples of each figure; the median counts.
const SAMPLES: usize = 61;

/// Who converts.
const PARTIES: [&str; 4] = ["bare", "bare_again", "client", "client_leases"];

/// Makes pages of its region, from the first on, what they shall be.
type Convert<'p> = Box<dyn Fn(u64, Visibility) -> Result<(), String> + 'p>;

/// A party of the comparison.
struct Party<'p> {
    gfns: FrameRange<Gfn>,
    convert: Convert<'p>,
}

fn text<E: core::fmt::Debug>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error:?}")
}

/// The region of a party.
fn region(party: u64) -> FrameRange<Gfn> {
    let first = Gfn::new((party + 1) * PAGES).expect("a frame");
    FrameRange::new(first, PAGES, AddressWidth::MAX).expect("a range")
}

/// Prints the figures; `Ok(false)` where VMs cannot have private memory beside shared.
///
/// # Errors
/// What went wrong, in words.
pub fn figures(mut say: impl FnMut(&str)) -> Result<bool, String> {
    let kvm = Kvm::new().map_err(text("/dev/kvm"))?;
    let Ok(vm) = kvm.create_vm_with_type(VmType::SW_PROTECTED.0) else { return Ok(false) };
    let vcpu = vm.create_vcpu(0).map_err(text("creating a vCPU"))?;
    // SAFETY: both are open until the end of this function, and nothing here outlives it.
    let (fd, vcpu) = unsafe { (BorrowedFd::borrow_raw(vm.as_raw_fd()), BorrowedFd::borrow_raw(vcpu.as_raw_fd())) };
    if Offers::probe(&Requests::new(fd)).strategy(false) != Strategy::TwoBackings {
        return Ok(false);
    }
    let leases = Leases::new();
    let patience = Patience { leases: &leases, patience: Duration::from_secs(1), at_deadline: AtDeadline::Refuse };
    let parties = [bare(fd, 0)?, bare(fd, 1)?, client(fd, 2, NoLeases)?, client(fd, 3, patience)?];
    let mut worst = 0.0_f64;
    for (memory, in_use) in [("in_use", true), ("untouched", false)] {
        for pages in [1, PAGES] {
            let times = compare(&parties, pages, |party| match in_use {
                true => touch(vcpu, party, pages),
                false => Ok(()),
            })?;
            for (name, time) in PARTIES.iter().zip(times) {
                say(&format!("TENURE fig gmem.convert_{memory}_{pages}.{name} {time} insns"));
            }
            for (name, time) in PARTIES.iter().zip(times).skip(1) {
                let over = ratio(time, times[0]);
                say(&format!("TENURE fig gmem.{name}_over_bare_ioctls_{memory}_{pages} {over:.4} ratio"));
                worst = worst.max(over);
            }
        }
    }
    say(&format!("TENURE fig gmem.client_over_bare_ioctls {worst:.4} ratio"));
    Ok(true)
}

#[expect(clippy::cast_precision_loss, reason = "ticks of one conversion are far below 2^52")]
fn ratio(time: u64, over: u64) -> f64 {
    time as f64 / over as f64
}

/// By the bare requests.
fn bare(vm: BorrowedFd<'_>, number: u32) -> Result<Party<'_>, String> {
    let (gfns, bytes) = (region(number.into()), PAGES * PAGE_SIZE);
    let kernel = Requests::new(vm);
    let private = kernel.create_file(bytes, CreateFlags::empty()).map_err(text("a file"))?;
    let shared = Arc::new(kernel.plain(bytes, Plain::File).map_err(text("memory"))?);
    let slot = Slot { number, gpa: gfns.first().address(), bytes, memory: &shared, file: Some(&private) };
    kernel.set_slot(&slot).map_err(text("a slot"))?;
    let gpa = gfns.first().address();
    let convert = move |pages: u64, to| {
        // The slot lives as long as this does.
        let _slot = &kernel;
        let bytes = pages << PAGE_SHIFT;
        let (attributes, left) = match to {
            Visibility::Private => (Attributes::PRIVATE, descriptor(&shared)),
            Visibility::Shared => (Attributes::empty(), private_descriptor(&private)),
        };
        convert_bare(vm, &MemoryAttributes::new(gpa, bytes, attributes), left)
    };
    let party = Party { gfns, convert: Box::new(convert) };
    (party.convert)(PAGES, Visibility::Private)?;
    Ok(party)
}

fn descriptor(memory: &GuestMemory) -> i32 {
    memory.descriptor().map_or(-1, |(fd, _)| fd.as_raw_fd())
}

fn private_descriptor(file: &GuestFile) -> i32 {
    file.as_fd().as_raw_fd()
}

/// The two requests of a conversion, and nothing else.
fn convert_bare(vm: BorrowedFd<'_>, attributes: &MemoryAttributes, left: i32) -> Result<(), String> {
    let (request, hole) = (ioctl::SET_MEMORY_ATTRIBUTES, libc::FALLOC_FL_KEEP_SIZE | libc::FALLOC_FL_PUNCH_HOLE);
    // SAFETY: this is the structure of this request, and it holds no address; the other call takes none.
    let done = unsafe {
        libc::syscall(libc::SYS_ioctl, vm.as_raw_fd(), u64::from(request), std::ptr::from_ref(attributes)) == 0
            && libc::fallocate(left, hole, 0, attributes.size.cast_signed()) == 0
    };
    if done { Ok(()) } else { Err(std::io::Error::last_os_error().to_string()) }
}

/// Through the client.
fn client<'v, L: Revoker + 'v>(vm: BorrowedFd<'v>, number: u32, leases: L) -> Result<Party<'v>, String> {
    let gfns = region(number.into());
    let ram = Ram::new(Requests::new(vm), Strategy::TwoBackings, number..number + 1);
    ram.add(gfns, Visibility::Private).map_err(text("adding memory"))?;
    let front = Front::new(ram, leases);
    let convert = move |pages, to| {
        let gfns = gfns.prefix(pages).ok_or("no such range")?;
        front.convert(Request { gfns, to }, ContentMode::Unspecified).map_err(text("a conversion"))
    };
    Ok(Party { gfns, convert: Box::new(convert) })
}

/// The guest maps the first pages of a party's region, whichever side they are on.
fn touch(vcpu: BorrowedFd<'_>, party: &Party<'_>, pages: u64) -> Result<(), String> {
    let mut range = PreFaultMemory::new(party.gfns.first().address(), pages << PAGE_SHIFT);
    while range.size > 0 {
        request::pre_fault_memory(vcpu, &mut range).map_err(text("mapping ahead"))?;
    }
    Ok(())
}

/// The median ticks of a conversion to shared and back, of each party.
fn compare(
    parties: &[Party<'_>; 4],
    pages: u64,
    prepare: impl Fn(&Party<'_>) -> Result<(), String>,
) -> Result<[u64; 4], String> {
    let mut times = [const { Vec::new() }; 4];
    for sample in 0..SAMPLES {
        for turn in 0..parties.len() {
            // Nobody always follows the same one.
            let who = (turn + sample) % parties.len();
            let mut ticks = 0;
            for to in [Visibility::Shared, Visibility::Private] {
                prepare(&parties[who])?;
                let start = now();
                (parties[who].convert)(pages, to)?;
                ticks += now() - start;
            }
            times[who].push(ticks);
        }
    }
    Ok(times.map(|mut times| {
        times.sort_unstable();
        times[SAMPLES / 2]
    }))
}

/// The processor's counter.
fn now() -> u64 {
    // SAFETY: every processor with virtualization has the instruction, and Linux lets programs use it.
    unsafe { _rdtsc() }
}
