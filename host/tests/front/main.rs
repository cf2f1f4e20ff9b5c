//! The front of a conversion, over a backing that fails where it is told to.
//!
//! | file | what |
//! |---|---|
//! | `fake` | two files side by side, and leases that can be stuck |
//! | `convert` | ranges over several files, the order of things, what is left after a failure |
//! | `answer` | what guests are told, by platform |
//! | `faults` | memory faults |

mod answer;
mod convert;
mod fake;
mod faults;
