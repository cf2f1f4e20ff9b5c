//! A VMM in one file: a guest whose memory is a guest memory file, shared with its host page by page.
//!
//! `cargo run -p tenure-host --features linux --example vmm`. Without `/dev/kvm`, or on another processor than x86, the same client
//! runs over Tenure's own provider, and says so.

use std::sync::Arc;
use std::time::Duration;
use tenure_abi::gmem::MapGpaRange;
use tenure_abi::{AddressWidth, FrameRange, Gfn, PAGE_SIZE, Visibility};
use tenure_host::convert::{Dialect, Front};
use tenure_host::gmem::kvm::Personality;
use tenure_host::lease::{AtDeadline, Leases, Patience};
use tenure_host::ram::{Kernel, Offers, Ram};
use tenure_test_gmem::client::{Emulated, World};

/// The guest's memory: its code is in the first page, and writes to the second and reads from there.
const BASE: u64 = 1 << 20;
const DATA: u64 = PAGE_SIZE;

/// What a guest can be told to do, wherever it runs.
trait Machine {
    type Kernel: Kernel;
    fn kernel(&mut self) -> Self::Kernel;
    /// The guest stores a byte at [`DATA`], or loads it.
    fn guest(&mut self, store: Option<u8>) -> u8;
    /// The VMM touches shared memory through its mapping.
    fn host(&mut self, memory: &<Self::Kernel as Kernel>::Memory, offset: u64, store: Option<u8>) -> u8;
    /// The guest's code, to be put in shared memory before the guest runs.
    fn boot(&mut self, _: &<Self::Kernel as Kernel>::Memory) {}
}

fn main() {
    #[cfg(target_arch = "x86_64")]
    match kvm::Kvm::open() {
        Ok(machine) => return share(machine, "/dev/kvm"),
        Err(why) => println!("no KVM here ({why}); the same client over Tenure's own provider:"),
    }
    share(Emulated::new(Personality::V8), "the provider, as a kernel that converts in place");
}

fn share<M: Machine>(mut machine: M, on: &str) {
    // 1. What does this kernel offer, and what follows from it? Nothing is decided by version.
    let kernel = machine.kernel();
    let strategy = Offers::probe(&kernel).strategy(true);
    println!("{on}: {strategy:?}");

    // 2. The guest's memory, and the leases of whoever uses it in this process: a conversion waits for them.
    let leases = Arc::new(Leases::new());
    let users = Patience { leases: &*leases, patience: Duration::from_millis(50), at_deadline: AtDeadline::Refuse };
    let front = Front::new(Ram::new(kernel, strategy, 1..8), users);
    let all = FrameRange::<Gfn>::from_bytes(BASE, 2 << 20, AddressWidth::GUEST_MAX).expect("whole pages");
    front.backing().add(all, Visibility::Shared).expect("memory for the guest");
    let (memory, _) = front.backing().memory(all.first()).expect("the memory just added");
    machine.boot(&memory);

    // 3. The guest asks its host for a private page, by hypercall; the answer goes back into its vCPU's page.
    let page = |attributes| MapGpaRange { gpa: BASE + DATA, pages: 1, attributes };
    let ask = |attributes| front.answer(&page(attributes), Dialect::Plain, |_| false);
    println!("guest asks for a private page: {:?}", ask(1 << 4));
    machine.guest(Some(0x5a));

    // 4. The host holds a lease while it looks. What is private it leaves alone.
    let look = |machine: &mut M, store| {
        let page = FrameRange::single(Gfn::from_address(BASE + DATA).expect("an aligned address"));
        let _access = leases.access(page).expect("nobody converts now");
        match front.backing().visibility(page.first()) {
            Some(Visibility::Shared) => format!("{:#x}", machine.host(&memory, DATA, store)),
            _ => "private, not touched".to_owned(),
        }
    };
    println!("the guest wrote 0x5a; the host sees: {}", look(&mut machine, None));

    // 5. Shared again: both see what the other one writes.
    println!("guest asks for a shared page: {:?}", ask(0));
    machine.guest(Some(0xa1));
    println!("the guest wrote 0xa1; the host sees: {}", look(&mut machine, None));
    look(&mut machine, Some(0xb2));
    println!("the host wrote 0xb2; the guest sees: {:#x}", machine.guest(None));
}

/// A real VM: any library's will do, the client needs its descriptor only.
#[cfg(target_arch = "x86_64")]
mod kvm {
    use kvm_ioctls::{VcpuExit, VcpuFd, VmFd};
    use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
    use tenure_abi::gmem::VmType;
    use tenure_host::linux::{GuestMemory, Requests};

    pub(super) struct Kvm(VcpuFd, VmFd);

    impl Kvm {
        pub(super) fn open() -> Result<Self, kvm_ioctls::Error> {
            let kvm = kvm_ioctls::Kvm::new()?;
            let vm = kvm.create_vm_with_type(VmType::SW_PROTECTED.0).or_else(|_| kvm.create_vm())?;
            Ok(Self(vm.create_vcpu(0)?, vm))
        }
    }

    impl super::Machine for Kvm {
        type Kernel = Requests<OwnedFd>;

        fn kernel(&mut self) -> Self::Kernel {
            // SAFETY: the VM is open as long as `self` lives.
            let vm = unsafe { BorrowedFd::borrow_raw(self.1.as_raw_fd()) };
            Requests::new(vm.try_clone_to_owned().expect("another descriptor"))
        }

        fn boot(&mut self, memory: &GuestMemory) {
            // At 0: `mov [0x1000], bl; hlt`. At 8: `mov al, [0x1000]; hlt`.
            memory.write(0, &[0x88, 0x1e, 0, 0x10, 0xf4, 0, 0, 0, 0xa0, 0, 0x10, 0xf4]).expect("it fits");
            let mut sregs = self.0.get_sregs().unwrap();
            (sregs.cs.base, sregs.ds.base) = (super::BASE, super::BASE);
            self.0.set_sregs(&sregs).unwrap();
        }

        fn guest(&mut self, store: Option<u8>) -> u8 {
            let mut regs = self.0.get_regs().unwrap();
            (regs.rflags, regs.rip, regs.rbx) = (2, if store.is_some() { 0 } else { 8 }, store.unwrap_or(0).into());
            self.0.set_regs(&regs).unwrap();
            assert!(matches!(self.0.run(), Ok(VcpuExit::Hlt)), "the guest halts");
            self.0.get_regs().unwrap().rax as u8
        }

        fn host(&mut self, memory: &GuestMemory, offset: u64, store: Option<u8>) -> u8 {
            store.inspect(|byte| memory.store(offset as usize, (*byte).into()).expect("inside"));
            memory.load(offset as usize).expect("inside") as u8
        }
    }
}

/// No KVM: Tenure's provider behind the same requests, with a guest that is a model.
impl Machine for Emulated {
    type Kernel = <Self as World>::Kernel;

    fn kernel(&mut self) -> Self::Kernel {
        self.fresh().expect("a VM")
    }

    fn guest(&mut self, store: Option<u8>) -> u8 {
        store.inspect(|byte| self.guest_store(BASE + DATA, *byte).expect("memory"));
        self.guest_load(BASE + DATA).expect("memory")
    }

    fn host(&mut self, memory: &<Self::Kernel as Kernel>::Memory, offset: u64, store: Option<u8>) -> u8 {
        store.inspect(|byte| self.host_store(memory, offset, *byte).expect("shared memory"));
        self.host_load(memory, offset).expect("shared memory")
    }
}
