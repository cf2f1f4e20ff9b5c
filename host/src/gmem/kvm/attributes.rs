//! `KVM_SET_MEMORY_ATTRIBUTES`: private or shared by guest-physical address, for one VM.

use super::vm::Vm;
use super::{errno, pages};
use crate::gmem::nodes::Nodes;
use tenure_abi::gmem::{Attributes, MemoryAttributes, ioctl};
use tenure_abi::{AddressWidth, Errno, FrameRange, Gfn, Interface, PAGE_SHIFT, Visibility};

impl<N: Nodes, const SLOTS: usize> Vm<N, SLOTS> {
    /// `KVM_SET_MEMORY_ATTRIBUTES`. There need be no slot; what was set once stays.
    ///
    /// The guest frames that come back may have changed: their mappings have to go before the VM's lock does. Addresses
    /// beyond 52 bits can be named, and nobody ever sees them.
    ///
    /// # Errors
    /// `ENOTTY` where that is not built in. `EINVAL` for any flag, for an attribute that the VM does not offer, for a
    /// size of 0, for anything but whole pages, for a range that wraps. `ENOMEM`. Nothing has changed then.
    pub fn set_attributes(&mut self, asked: &MemoryAttributes) -> Result<Option<FrameRange<Gfn>>, Errno> {
        self.host.request(super::On::Vm, ioctl::SET_MEMORY_ATTRIBUTES)?;
        let attributes = Attributes::from_bits(asked.attributes).ok_or(Errno::EINVAL)?;
        let offered = self.host.address_attributes(Some(self.kind)).contains(attributes);
        let wraps = asked.address.checked_add(asked.size).is_none();
        if asked.flags != 0 || !offered || asked.size == 0 || wraps || !pages(asked.address, asked.size) {
            return Err(Errno::EINVAL);
        }
        let all = match attributes.contains(Attributes::PRIVATE) {
            true => Visibility::Private,
            false => Visibility::Shared,
        };
        let first = asked.address >> PAGE_SHIFT;
        let count = (asked.size >> PAGE_SHIFT).min(self.attributes.pages().saturating_sub(first));
        let Ok(gfns) = Gfn::new(first).and_then(|first| FrameRange::new(first, count, AddressWidth::MAX)) else {
            return Ok(None);
        };
        let Self { attributes: store, nodes, .. } = self;
        if store.is(nodes, first, count, all) {
            return Ok(None);
        }
        store.prepare(nodes, first, count).map_err(|error| errno(error, Interface::Gmem))?;
        store.set(nodes, first, count, all);
        store.tidy(nodes, first, count, |_, _| false);
        Ok(Some(gfns))
    }

    /// The attribute of guest frame `gfn`, and how many frames from there on have it; `None` beyond the last.
    pub fn attributes_from(&self, gfn: u64) -> Option<(Visibility, u64)> {
        let (all, count) = self.attributes.run(&self.nodes, gfn);
        (count != 0).then_some((all, count))
    }
}
