//! Hypercalls of the host kernel, made through the module in `module/hvc.rs`.
//!
//! These calls are private to one kernel: their numbers come from the enumeration `__kvm_host_smccc_func` in
//! `arch/arm64/include/asm/kvm_asm.h` of Linux 7.3.4, and the module fits that one package only.

use std::fmt;

/// The kernel that numbers and module belong to.
pub const RELEASE: &str = "7.3.4+deb13-cloud-arm64";

/// Where the module lies in the initial file system.
const MODULE: &str = "/hvc.ko";
/// What stands before the calls in the module.
const MARK: &[u8; 8] = b"TENUREHC";

/// Numbers of host hypercalls of Linux 7.3.4.
#[derive(Clone, Copy)]
pub enum Number {
    PkvmInit = 1,
    ProtFinalize = 7,
    ShareHyp = 29,
    UnshareHyp = 30,
    DonateGuest = 31,
    ShareGuest = 32,
    ForceReclaim = 43,
    ReclaimDying = 44,
    VcpuLoad = 47,
    VcpuPut = 48,
    /// One past the calls that are left after the hypervisor is finalised.
    Nobodys = 51,
}

/// A call: its number and x1..x4.
pub type HostCall = (Number, [u64; 4]);

/// What the hypervisor answered to a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Done,
    /// Refused with this errno.
    Refused(i32),
    /// There is no such call.
    NotSupported,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Refused(errno) => write!(f, "-{errno}"),
            Self::NotSupported => f.write_str("not supported"),
        }
    }
}

/// The module, ready to be loaded again and again.
pub struct Module {
    image: Vec<u8>,
    calls_at: usize,
}

impl Module {
    /// The module, if this kernel is the one it was made for; otherwise why not.
    pub fn open() -> Result<Self, String> {
        let running = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        if running.trim() != RELEASE {
            return Err(format!("host calls are known for Linux {RELEASE} only, this is {}", running.trim()));
        }
        let image = std::fs::read(MODULE).map_err(|error| format!("{MODULE}: {error}"))?;
        let mark = image.windows(MARK.len()).position(|bytes| bytes == MARK).ok_or("the module has no mark")?;
        Ok(Self { image, calls_at: mark + MARK.len() })
    }

    /// Makes one call.
    pub fn call(&mut self, number: Number, arguments: [u64; 4]) -> Result<Answer, String> {
        self.calls([(number, arguments)]).map(|[answer]| answer)
    }

    /// Makes a call with the first vCPU of the VM `handle` loaded, as the kernel does around a guest's fault.
    pub fn call_loaded(&mut self, handle: u64, number: Number, arguments: [u64; 4]) -> Result<Answer, String> {
        let load = (Number::VcpuLoad, [handle, 0, 0, 0]);
        let [loaded, answer, put] = self.calls([load, (number, arguments), (Number::VcpuPut, [0; 4])])?;
        // These two have no answer of their own beyond being known.
        if loaded == Answer::NotSupported || put == Answer::NotSupported {
            return Err("the hypervisor cannot load a vCPU".into());
        }
        Ok(answer)
    }

    /// Makes up to three calls on one CPU, nothing between them.
    fn calls<const N: usize>(&mut self, calls: [HostCall; N]) -> Result<[Answer; N], String> {
        const { assert!(N <= 3) };
        let words = calls.iter().flat_map(|&(number, [x1, x2, x3, x4])| {
            // The owner of these numbers is the vendor-hypervisor service, 64-bit convention.
            [0xc600_0000 + number as u64, x1, x2, x3, x4, 0, 0, 0]
        });
        let words: Vec<u64> = std::iter::once(N as u64).chain(words).collect();
        let room = self.image.get_mut(self.calls_at..).unwrap_or_default().chunks_exact_mut(8);
        room.zip(&words).for_each(|(to, word)| to.copy_from_slice(&word.to_le_bytes()));
        let packed = init_module(&self.image)?;
        Ok(std::array::from_fn(|index| match packed >> (index * 8) & 0xff {
            0 => Answer::Done,
            0xfe => Answer::NotSupported,
            errno => Answer::Refused(errno as i32),
        }))
    }
}

/// `init_module(2)` of a module that refuses to stay; the packed answers in its return value.
fn init_module(image: &[u8]) -> Result<u64, String> {
    const FIRST_ANSWER: i64 = -0x4000_0000;
    let result: i64;
    // The C library takes every negative return value for an errno, so the system call is made by hand.
    // SAFETY: the kernel reads `image` and an empty string; nothing of this process is written.
    unsafe {
        std::arch::asm!(
            "svc #0",
            in("x8") libc::SYS_init_module,
            inout("x0") image.as_ptr() as i64 => result,
            in("x1") image.len(),
            in("x2") c"".as_ptr(),
            options(nostack)
        );
    }
    match u64::try_from(FIRST_ANSWER.wrapping_sub(result)) {
        Ok(packed) => Ok(packed),
        Err(_) => Err(format!("the kernel did not load the module: {result}")),
    }
}
