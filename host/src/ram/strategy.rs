//! What a kernel offers a VM, found out by trying, and what follows for its memory.

use super::kernel::Kernel;
use tenure_abi::Errno;
use tenure_abi::PAGE_SIZE;
use tenure_abi::gmem::{Attributes, CreateFlags, MemoryAttributes, MemoryAttributes2};

/// Where attributes are tried: far above what guests have, below the end of what KVM takes (2^52).
const FAR: u64 = 1 << 51;

/// How a guest's memory is backed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// One file for both sides: the same physical page stays where it is.
    InPlace {
        /// Whether the kernel takes content modes with a conversion (RFC v3 to v5 of the series).
        content_modes: bool,
    },
    /// A file that only the guest reaches, and a memory file for what it shares. The side that a conversion leaves is freed, so
    /// that no page is ever backed twice.
    TwoBackings,
    /// Nothing is ever private.
    SharedOnly {
        /// Whether a guest memory file backs it: kernels from 6.18 on.
        file: bool,
    },
    /// A protected guest of arm64: the hypervisor knows what is shared, and only the guest can change it.
    Protected,
}

/// What a kernel offers one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // Each is the answer to a question of its own.
pub struct Offers {
    /// Guest memory files.
    pub files: bool,
    /// Such files that start shared and can be mapped.
    pub shared_files: bool,
    /// Attributes by guest-physical address: there is private memory, and two backings serve it.
    pub attributes: bool,
    /// Conversion of a file in place.
    pub in_place: bool,
    /// Content modes with it.
    pub content_modes: bool,
}

impl Offers {
    /// Tries everything, on a VM whose guest does not run yet. Nothing is left of it.
    ///
    /// Capabilities are not asked: their numbers mean different things in different trees (three for one name, two names for
    /// one number), and a request that is there answers.
    pub fn probe<K: Kernel>(kernel: &K) -> Self {
        let file = kernel.create_file(PAGE_SIZE, CreateFlags::empty());
        let shared = kernel.create_file(PAGE_SIZE, CreateFlags::MMAP | CreateFlags::INIT_SHARED);
        let mappable = kernel.create_file(PAGE_SIZE, CreateFlags::MMAP);
        let files = file.is_ok() || shared.is_ok();
        let any = mappable.as_ref().or(shared.as_ref()).or(file.as_ref()).ok();
        // The same as before is a success without work for a VM that has private memory, and refused by one that has not.
        let to = |file, flags| {
            let mut asked = MemoryAttributes2::new(0, PAGE_SIZE, Attributes::PRIVATE);
            asked.flags = flags;
            K::convert(kernel, file, &mut asked).map_err(|failed| failed.errno)
        };
        let in_place = any.is_some_and(|file| to(file, 0).is_ok()) && mappable.is_ok();
        let preserve = tenure_abi::gmem::ContentFlags::PRESERVE.bits();
        let content_modes = in_place && any.is_some_and(|file| to(file, preserve) != Err(Errno::EINVAL));
        let private = kernel.set_attributes(&MemoryAttributes::new(FAR, PAGE_SIZE, Attributes::PRIVATE));
        let back = kernel.set_attributes(&MemoryAttributes::new(FAR, PAGE_SIZE, Attributes::empty()));
        let attributes = private.is_ok() && back.is_ok() && file.is_ok();
        Self { files, shared_files: shared.is_ok(), attributes, in_place, content_modes }
    }

    /// What serves such a VM. Where a kernel offers conversion in place as well as two backings, `in_place` decides: a VMM
    /// has to be ready for pages that it has mapped and must not touch.
    pub const fn strategy(self, in_place: bool) -> Strategy {
        match self {
            Self { in_place: true, content_modes, attributes, .. } if in_place || !attributes => {
                Strategy::InPlace { content_modes }
            }
            Self { attributes: true, .. } => Strategy::TwoBackings,
            Self { shared_files, .. } => Strategy::SharedOnly { file: shared_files },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Offers =
        Offers { files: false, shared_files: false, attributes: false, in_place: false, content_modes: false };

    #[test]
    fn in_place_is_chosen_only_by_the_caller_or_without_an_alternative() {
        let both = Offers { attributes: true, in_place: true, ..NOTHING };
        assert_eq!(both.strategy(true), Strategy::InPlace { content_modes: false });
        assert_eq!(both.strategy(false), Strategy::TwoBackings);
        let only = Offers { in_place: true, content_modes: true, ..NOTHING };
        assert_eq!(only.strategy(false), Strategy::InPlace { content_modes: true });
    }

    #[test]
    fn without_private_memory_a_file_is_taken_where_it_can_be_shared() {
        assert_eq!(NOTHING.strategy(true), Strategy::SharedOnly { file: false });
        assert_eq!(Offers { files: true, ..NOTHING }.strategy(false), Strategy::SharedOnly { file: false });
        let newer = Offers { files: true, shared_files: true, ..NOTHING };
        assert_eq!(newer.strategy(false), Strategy::SharedOnly { file: true });
    }
}
