//! Guest memory for users of the crate `vm-memory`, in which a private page is an error and not the end of the process.
//!
//! A [`Region`] is a [`GuestMemoryRegion`](::vm_memory::GuestMemoryRegion) over a mapping of guest memory and the front of
//! its conversions. It knows the file behind it and the offset in it, so nobody has to keep a list of files beside
//! the list of regions. Regions go into a [`GuestRegionCollection`](::vm_memory::GuestRegionCollection) as any others do.
//!
//! Each access first takes a lease on the pages ([`Access`](crate::lease::Access)), then asks whether all of them are shared,
//! and only then touches them; as long as the lease is there nobody turns them private through the front. Where one
//! is private, nothing is touched, and the error ([`Untouchable`]) names the first private address.
//!
//! | what is asked for | what holds |
//! |---|---|
//! | `read`, `write`, `load`, `store`, … of regions and collections | checked, and safe from conversions until it returns |
//! | a slice (`get_slice`, `get_slices`, `as_volatile_slice`) | the same until the slice and all that was made from it are dropped: it [carries the lease](Leased) |
//! | a pointer (`get_host_address`, `as_ptr`, `ptr_guard` of a slice) | checked when it was made. It carries nothing: keep the slice as long as it is used |
//! | slices of an `IommuMemory` over regions | as a pointer: that type takes the lease out of its slices |
//!
//! Conversions wait for slices, as long as the patience of the front allows: do not keep any, least of all while
//! the same thread converts. What does not go through the front (the guest memory file's requests made by
//! hand, another process) is not stopped by leases.

mod bytes;
mod leased;
mod region;
mod untouchable;

pub use leased::{Leased, Unleased};
pub use region::Region;
pub use untouchable::Untouchable;
