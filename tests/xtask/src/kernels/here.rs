//! The kernel that runs this machine, and what its `/dev/kvm` offers.

use tenure_abi::gmem::Capability;
use tenure_host::linux::Kvm;

/// What can be asked about private memory, with the name it has in the line.
const ASKED: [(&str, Capability); 5] = [
    ("guest_memfd", Capability::GUEST_MEMFD),
    ("flags", Capability::GUEST_MEMFD_FLAGS),
    ("private attributes", Capability::MEMORY_ATTRIBUTES),
    ("prefault", Capability::PRE_FAULT_MEMORY),
    ("VM types", Capability::VM_TYPES),
];

/// The running kernel's release; empty where it does not say.
pub(crate) fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// Why this machine's `/dev/kvm` has no `guest_memfd` to try; `None` if it has.
pub(crate) fn lacks_gmem() -> Option<String> {
    let lacks = match Kvm::open().and_then(|kvm| kvm.check(Capability::GUEST_MEMFD)) {
        Ok(0) => format!("Linux {} has no guest_memfd (it is in Linux 6.8 and newer, where configured)", release()),
        Ok(_) => return None,
        Err(failed) => format!("no /dev/kvm to use here: {failed}"),
    };
    Some(lacks)
}

/// The line of `cargo xtask kernels`.
pub(super) fn summary() -> String {
    let line = Kvm::open().and_then(|kvm| {
        let offers: Result<Vec<_>, _> =
            ASKED.iter().map(|(name, asked)| kvm.check(*asked).map(|value| format!("{name} {value:#x}"))).collect();
        offers.map(|offers| offers.join(", "))
    });
    match line {
        Ok(offers) => format!("/dev/kvm here: Linux {}: {offers}", release()),
        Err(failed) => format!("/dev/kvm here: not usable: {failed}"),
    }
}
