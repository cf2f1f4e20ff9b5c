//! `KVM_SET_MEMORY_ATTRIBUTES2` on a file: private or shared in place, for everybody who has it.

use super::vm::Vm;
use super::{errno, pages};
use crate::gmem::nodes::Nodes;
use crate::gmem::{Env, File};
use crate::platform::Platform;
use tenure_abi::gmem::{Attributes, ContentFlags, MemoryAttributes2, ioctl};
use tenure_abi::{ContentMode, Errno, Interface, Place, Visibility};

impl<N: Nodes, const SLOTS: usize> Vm<N, SLOTS> {
    /// `KVM_SET_MEMORY_ATTRIBUTES2` on a file that is open for this VM; `None` is an argument that cannot be read.
    ///
    /// `error_offset` is written when the conversion itself fails, with the first page that stood in the way; on the way in it is not
    /// looked at. (RFC v4 and earlier ones asked for 0; of v5 nothing is known, v8 ignores it.)
    ///
    /// # Errors
    /// Nothing was converted. `ENOTTY` where files are not converted in place; `EFAULT`; `EINVAL` for a VM without private
    /// memory and for every field that is not as it has to be; `EOPNOTSUPP` for a content mode that cannot be kept;
    /// `EAGAIN` if somebody holds on to a page; `ENOMEM`.
    pub fn set_attributes2<E: Env, P: Platform, M: Nodes, const BINDINGS: usize>(
        &self,
        file: &File<'_, E, P, M, BINDINGS>,
        asked: Option<&mut MemoryAttributes2>,
    ) -> Result<(), Errno> {
        self.host.request(super::On::File, ioctl::SET_MEMORY_ATTRIBUTES2)?;
        let asked = asked.ok_or(Errno::EFAULT)?;
        let mode = self.content_mode(asked.flags)?;
        let leftovers = asked.reserved.iter().any(|word| *word != 0);
        let attributes = Attributes::from_bits(asked.attributes);
        let Some(attributes) = attributes.filter(|_| !leftovers && self.kind.has_private()) else {
            return Err(Errno::EINVAL);
        };
        if !pages(asked.offset, asked.size) {
            return Err(Errno::EINVAL);
        }
        let pages = file.pages(asked.offset, asked.size).map_err(|error| errno(error, Interface::Gmem))?;
        let to = match attributes.contains(Attributes::PRIVATE) {
            true => Visibility::Private,
            false => Visibility::Shared,
        };
        file.convert(pages, to, mode).map_err(|failed| {
            if let Place::FileOffset(offset) = failed.at {
                asked.error_offset = offset;
            }
            errno(failed.error, Interface::Gmem)
        })
    }

    /// What `flags` ask for: nothing, in revisions without content modes.
    fn content_mode(&self, flags: u64) -> Result<ContentMode, Errno> {
        let modes = self.host.personality.answers().in_place.is_some_and(|series| series.content_modes.is_some());
        match ContentFlags::from_bits(flags) {
            Some(ContentFlags::ZERO) if modes => Ok(ContentMode::Zero),
            Some(ContentFlags::PRESERVE) if modes => Ok(ContentMode::Preserve),
            Some(flags) if flags.is_empty() => Ok(ContentMode::Unspecified),
            _ => Err(Errno::EINVAL),
        }
    }
}
