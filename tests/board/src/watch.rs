//! Watching a board: what the hypervisor asks of the hardware, step by step, and acting in between.
//!
//! A watcher is called just before each step takes effect, where another CPU could come in between. What it makes the
//! hypervisor do itself is not reported to it again.

use super::Board;
use std::sync::atomic::Ordering::Relaxed;
use tenure_abi::Pfn;

/// One thing asked of the hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Map a page at EL2.
    Attach(Pfn),
    /// Unmap it.
    Detach(Pfn),
    /// Zero a page.
    Scrub(Pfn),
    /// Clean a page for a guest.
    Prepare(Pfn),
    /// Make new leaves visible.
    Publish,
    /// Invalidate this many frames, from this one on, of the map with this VMID.
    Invalidate(u16, u64, u64),
    /// Invalidate all of the map with this VMID.
    InvalidateVm(u16),
}

/// Called with each step.
pub type Watcher = Box<dyn Fn(Step) + Send + Sync>;

impl Board {
    /// Calls `watcher` with every step from now on; ends the watch of an earlier one.
    pub fn watch(&self, watcher: impl Fn(Step) + Send + Sync + 'static) {
        *self.watcher.write().unwrap() = Some(Box::new(watcher));
    }

    /// Ends the watch.
    pub fn unwatch(&self) {
        *self.watcher.write().unwrap() = None;
    }

    /// From now on the window does not reach `pfn`, attached or not.
    pub fn hide(&self, pfn: u64) {
        self.hidden.put(pfn, true);
    }

    pub(super) fn step(&self, step: Step) {
        let watcher = self.watcher.read().unwrap();
        if let Some(watcher) = watcher.as_ref()
            && !self.inside.swap(true, Relaxed)
        {
            watcher(step);
            self.inside.store(false, Relaxed);
        }
    }
}
