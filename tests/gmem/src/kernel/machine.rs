//! Which kernel this is. Numbers only name it; what it offers is found out by trying.

use super::Kernel;
use crate::target::{Answer, Files, Guest, GuestPath, Machine, MapKind, Memory, Personality, ProcessId, Vmm};
use tenure_abi::Errno;
use tenure_abi::gmem::{
    Attributes, CreateFlags, CreateGuestMemfd, MemoryAttributes2, RegionFlags, UserspaceMemoryRegion,
    UserspaceMemoryRegion2, VmType,
};

const PAGE: u64 = 0x1000;
const GPA: u64 = 0x10_0000;

/// The release of this kernel, `major.minor.patch`, and the personality that goes with it.
pub(super) fn release() -> Result<(String, Personality), String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").map_err(|error| format!("osrelease: {error}"))?;
    let number = text.split(|c: char| c != '.' && !c.is_ascii_digit()).next().unwrap_or_default();
    let mut parts = number.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
        return Err(format!("a release that nobody understands: {}", text.trim()));
    };
    match Personality::of_release(major, minor) {
        Some(personality) => Ok((number.to_owned(), personality)),
        None => Err(format!("Linux {number} has no guest memory files")),
    }
}

/// What this kernel does.
pub(super) fn probe(kernel: &mut Kernel) -> Result<Machine, String> {
    let mut machine = kernel.machine.clone();
    machine.in_place = in_place(kernel).map_err(|errno| format!("creating a file: {errno:?}"))?;
    if machine.in_place {
        machine.personality = Personality::V8;
    }
    if machine.personality >= Personality::V6_18 {
        machine.guest = guest_path(kernel).map_err(|what| format!("a guest's first access: {what}"))?;
    }
    Ok(machine)
}

/// A file that can be converted refuses an empty range; any other does not know the request.
fn in_place(kernel: &mut Kernel) -> Answer<bool> {
    let vm = kernel.create_vm(VmType::SW_PROTECTED).or_else(|_| kernel.create_vm(VmType::DEFAULT))?;
    let file = kernel.create_file(vm, &CreateGuestMemfd::new(PAGE, CreateFlags::empty()))?;
    let answer = kernel.set_attributes2(file, Some(&mut MemoryAttributes2::new(0, 0, Attributes::PRIVATE)));
    Ok(answer != Err(Errno::ENOTTY))
}

/// Where a guest's load from a file that is shared comes from, if `userspace_addr` names other memory.
fn guest_path(kernel: &mut Kernel) -> Result<GuestPath, String> {
    let say = |errno: Errno| format!("{errno:?}");
    let vm = kernel.create_vm(VmType::DEFAULT).map_err(say)?;
    let flags = CreateFlags::MMAP | CreateFlags::INIT_SHARED;
    let file = kernel.create_file(vm, &CreateGuestMemfd::new(PAGE, flags)).map_err(say)?;
    let (inside, outside) = (kernel.map(file, 0, PAGE, MapKind::Shared), kernel.anonymous(PAGE));
    let (inside, outside) = (inside.map_err(say)?, outside.map_err(say)?);
    for (mapping, value) in [(inside, 1), (outside, 2)] {
        kernel.store(ProcessId::VMM, mapping, 0, value).map_err(|fault| format!("{fault:?}"))?;
    }
    let region = UserspaceMemoryRegion {
        slot: 1,
        flags: RegionFlags::GUEST_MEMFD.bits(),
        guest_phys_addr: GPA,
        memory_size: PAGE,
        userspace_addr: kernel.address(outside),
    };
    let slot = UserspaceMemoryRegion2 { region, guest_memfd: kernel.number(file), ..Default::default() };
    kernel.set_region2(vm, &slot).map_err(say)?;
    match kernel.guest_load(vm, GPA) {
        Ok(1) => Ok(GuestPath::Paged),
        Ok(2) => Ok(GuestPath::Emulated),
        other => Err(format!("{other:?}")),
    }
}
