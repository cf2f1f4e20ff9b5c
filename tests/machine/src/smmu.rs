//! Which device sees which memory.

use crate::walk::Regime;

/// What the stream table says about one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    /// Every access faults: how a stream starts.
    #[default]
    Abort,
    /// It accesses physical memory, all of it.
    Bypass,
    /// It is translated by these tables, and takes part in the broadcast of invalidations.
    Stage2(Regime),
}
