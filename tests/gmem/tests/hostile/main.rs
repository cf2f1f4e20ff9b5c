//! Every field of every structure at its edges, on every kernel: never a panic, and what is refused has changed nothing.
//!
//! | module | what |
//! |---|---|
//! | `values` | the edges |
//! | `world` | a provider with something in it, and whole states compared |
//! | `requests` | KVM's requests |
//! | `calls` | system calls on a file |
//! | `pairs` | two fields of a structure at once |

mod calls;
mod pairs;
mod requests;
mod values;
mod world;
