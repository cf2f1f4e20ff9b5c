//! Everything that can fail, made to fail at every point, and again while the first failure is being dealt with.
//!
//! | file | what fails |
//! |---|---|
//! | `blocks` | the n-th block a tracker asks for, from a pool whose blocks belong to no region |
//! | `campaign` | random calls on such a tracker, beside one that has all its blocks from the start |
//! | `locks` | the n-th region of a claim is in other hands |
//! | `pins` | a pin, at every page of its range |
//! | `platform` | the hardware, at every page of a claim: untouched or unproven, twice |
//! | `no_blocks` | a whole hypervisor, where regions cannot be split |
//! | `tables` | a VM's table pages run out: none, one too few, exactly enough |
//! | `retries` | another CPU takes a region's lock at any step of any call, or touches and takes what it can |
//! | `window` | a page given for tables is out of reach |
//!
//! `TENURE_LONG` in the environment makes `campaign` a hundred times longer and disturbs `retries` twice, at every pair of steps.
//!
//! Each runs with the failure at its first possible point, then the second, and so on until nothing fails any more. After
//! each: the invariants hold, no page is lost or has two owners, counters balance, every quarantine is counted, and every
//! block that was taken is in use or was given back.

mod blocks;
mod campaign;
mod locks;
mod no_blocks;
mod pins;
mod platform;
mod pool;
mod retries;
mod tables;
mod window;
