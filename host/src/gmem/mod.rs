//! The provider: guest memory files whose pages change hands in place.

pub mod entry;
pub mod index;
pub mod nodes;
pub mod store;
mod tree;

pub use entry::{Entry, Facts};
pub use index::Index;
pub use nodes::{Node, NodeIndex, Nodes, SliceNodes};
pub use store::Store;

#[cfg(test)]
mod tests;
