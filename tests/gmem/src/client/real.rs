//! This machine's kernel, and the client as any VMM has it: over the descriptor of a VM that another library opened.

use super::World;
use crate::kernel::Kernel;
use crate::target::{Called, Fault, Guest, Stop, Target, VmId, Vmm};
use std::os::fd::OwnedFd;
use tenure_abi::gmem::{Capability, EnableCapability, VmType, hypercall};
use tenure_host::linux::{GuestMemory, Requests};

/// A world that is this machine's `/dev/kvm`.
pub struct Real {
    kernel: Kernel,
    vm: VmId,
    protected: bool,
}

impl Real {
    /// This machine's kernel.
    ///
    /// # Errors
    /// Why it has none, in words.
    pub fn open() -> Result<Self, String> {
        Ok(Self { kernel: Kernel::open()?, vm: VmId(0), protected: false })
    }
}

impl World for Real {
    type Kernel = Requests<OwnedFd>;

    fn name(&self) -> String {
        self.kernel.machine().name.clone()
    }

    fn fresh(&mut self) -> Result<Requests<OwnedFd>, String> {
        self.kernel.reset();
        let kernel = &mut self.kernel;
        let protected = kernel.create_vm(VmType::SW_PROTECTED);
        self.protected = protected.is_ok();
        let vm = protected.or_else(|_| kernel.create_vm(VmType::DEFAULT));
        self.vm = vm.map_err(|errno| format!("creating a VM: {errno:?}"))?;
        let enable = EnableCapability::new(Capability::EXIT_HYPERCALL, 1 << hypercall::MAP_GPA_RANGE);
        self.kernel.enable(self.vm, &enable).map_err(|errno| format!("hypercalls: {errno:?}"))?;
        let fd = self.kernel.vm_descriptor(self.vm).try_clone_to_owned();
        Ok(Requests::new(fd.map_err(|error| error.to_string())?))
    }

    fn has_private(&mut self) -> bool {
        self.is_in_place() || self.kernel.check(Some(self.vm), Capability::MEMORY_ATTRIBUTES) != 0
    }

    fn is_in_place(&mut self) -> bool {
        self.protected && self.kernel.machine().in_place
    }

    fn guest_load(&mut self, gpa: u64) -> Result<u8, Stop> {
        self.kernel.guest_load(self.vm, gpa)
    }

    fn guest_store(&mut self, gpa: u64, value: u8) -> Result<(), Stop> {
        self.kernel.guest_store(self.vm, gpa, value)
    }

    fn hypercall(&mut self, arguments: [u32; 3], reply: u64) -> Result<Called, Stop> {
        self.kernel.hypercall(self.vm, hypercall::MAP_GPA_RANGE as u32, arguments, reply)
    }

    fn host_load(&mut self, memory: &GuestMemory, offset: u64) -> Result<u8, Fault> {
        crate::kernel::touch_load(memory, offset)
    }

    fn host_store(&mut self, memory: &GuestMemory, offset: u64, value: u8) -> Result<(), Fault> {
        crate::kernel::touch_store(memory, offset, value)
    }

    fn frame(&mut self, memory: &GuestMemory, offset: u64) -> Option<u64> {
        crate::kernel::frame_at(memory.address() + offset)
    }

    fn backed(&mut self) -> Option<u64> {
        page_cache()
    }

    fn blur(&self) -> u64 {
        BLUR
    }

    fn open(&mut self) -> (usize, usize) {
        let lines = |path: &str| std::fs::read_to_string(path).map_or(0, |text| text.lines().count());
        (std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count), lines("/proc/self/maps"))
    }
}

/// How far [`page_cache`] may be off: the kernel adds up what its CPUs have counted only now and then.
pub(super) const BLUR: u64 = 1 << 20;

/// Bytes of files in memory, of which guest memory files are a part; `None` where other programs have files too.
pub(super) fn page_cache() -> Option<u64> {
    if std::process::id() != 1 {
        return None;
    }
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Cached:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
