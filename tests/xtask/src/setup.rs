//! What the machine needs beyond rustup and git, and getting it: Rust targets by rustup, QEMU by the system's packages.
//!
//! Nothing is downloaded in any other way. A step that cannot be done leaves its reason behind, and each suite that
//! needs it is skipped with that reason: a machine without QEMU still runs all hosted tests.

mod packages;
mod toolchain;
mod tools;

pub(crate) use tools::kernel_tools;

use crate::progress::Step;

/// Something a suite can need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// EL2 code and guests: no vector registers.
    SoftFloat,
    /// Proof that the crates build for a bare x86 machine.
    BareX86,
    /// Static programs for a real arm64 Linux.
    Arm64Linux,
    /// Static programs for a real x86 Linux under QEMU.
    X86Linux,
    /// The arm64 machine.
    Qemu,
    /// The x86 machine.
    QemuX86,
    /// A C++ compiler: the fuzzer's engine is written in it.
    Cxx,
}

impl Need {
    const ALL: [Self; 7] =
        [Self::SoftFloat, Self::BareX86, Self::Arm64Linux, Self::X86Linux, Self::Qemu, Self::QemuX86, Self::Cxx];

    /// The Rust target behind the need, if it is one.
    fn target(self) -> Option<&'static str> {
        match self {
            Self::SoftFloat => Some(SOFT_FLOAT),
            Self::BareX86 => Some(BARE_X86),
            Self::Arm64Linux => Some(ARM64_LINUX),
            Self::X86Linux => Some(X86_LINUX),
            Self::Qemu | Self::QemuX86 | Self::Cxx => None,
        }
    }

    fn get(self) -> Result<(), String> {
        match self {
            Self::Qemu => packages::program("qemu-system-aarch64", |manager| manager.qemu_arm),
            Self::QemuX86 => packages::program("qemu-system-x86_64", |manager| manager.qemu_x86),
            Self::Cxx => packages::program("c++", |manager| manager.cxx),
            _ => self.target().map_or(Ok(()), toolchain::target),
        }
    }
}

/// The target of EL2 images: the hard-float one would use, and so destroy, the guest's live vector registers.
pub(crate) const SOFT_FLOAT: &str = "aarch64-unknown-none-softfloat";
/// The target of a bare x86 machine.
pub(crate) const BARE_X86: &str = "x86_64-unknown-none";
/// The target of static Linux programs; rust-lld links it without a cross compiler.
pub(crate) const ARM64_LINUX: &str = "aarch64-unknown-linux-musl";
/// The same for x86.
pub(crate) const X86_LINUX: &str = "x86_64-unknown-linux-musl";

/// What became of each need.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    missing: Vec<(Need, String)>,
}

impl Setup {
    /// Gets everything that can be got here; quick when it is all there.
    pub(crate) fn prepare() -> Self {
        let step = Step::new("set-up");
        let mut setup = Self::default();
        for need in Need::ALL {
            step.note(need.target().unwrap_or("programs"));
            if let Err(reason) = need.get() {
                eprintln!("set-up: {reason}");
                setup.missing.push((need, reason));
            }
        }
        setup
    }

    /// Why something that needs all of these cannot run here.
    pub(crate) fn lacks(&self, needs: &[Need]) -> Option<String> {
        let reasons: Vec<_> =
            self.missing.iter().filter(|(need, _)| needs.contains(need)).map(|(_, reason)| reason.as_str()).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_need_of_the_asker_counts() {
        let setup = Setup { missing: vec![(Need::Qemu, "install QEMU".into())] };
        assert_eq!(setup.lacks(&[Need::SoftFloat]), None);
        assert_eq!(setup.lacks(&[Need::SoftFloat, Need::Qemu]).as_deref(), Some("install QEMU"));
    }
}
