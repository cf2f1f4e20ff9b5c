//! The memory of a guest over a kernel that fails where it is told to.
//!
//! | file | what |
//! |---|---|
//! | `fake` | a kernel in a few maps: slots, attributes, what is backed |
//! | `failures` | every call of every operation fails once, in every way |
//! | `threads` | many conversions, balloons, removals at once |
//! | `users` | leases on what is to go |
//! | `words` | what the kernel's errnos become |

#![cfg(feature = "std")]

mod failures;
mod fake;
mod threads;
mod users;
mod words;
