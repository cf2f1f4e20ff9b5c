//! The guest's only accesses to memory that others touch: volatile, aligned, 64 bits.

use tenure_test_protocol::{Event, Page, layout};

/// Tells the host.
pub fn send(event: Event) {
    let (offset, value) = event.encode();
    store(layout::MAILBOX + offset, value);
}

/// Loads from a guest-physical address.
pub fn load(ipa: u64) -> u64 {
    // SAFETY: with the MMU off every address can be loaded from: RAM, the mailbox, or an exception that is
    // reported. Callers pass addresses of `layout`, which are aligned and hold no Rust object.
    unsafe { core::ptr::read_volatile(ipa as *const u64) }
}

/// Stores to a guest-physical address.
pub fn store(ipa: u64, value: u64) {
    // SAFETY: as in `load`; the pages of `layout` lie outside the blob and its stack, so no Rust object is
    // changed.
    unsafe { core::ptr::write_volatile(ipa as *mut u64, value) }
}

/// Stores to the first word of `page`.
pub fn put(page: Page, value: u64) {
    store(page.ipa(), value);
}

/// Loads the first word of `page` and reports it.
pub fn report(page: Page) {
    send(Event::Value(load(page.ipa())));
}

/// Asks the host to load from `page`.
pub fn host_loads(page: Page) {
    send(Event::HostLoad(page.ipa()));
}

/// Asks the host to store to `page`.
pub fn host_stores(page: Page) {
    send(Event::HostStore(page.ipa()));
}
