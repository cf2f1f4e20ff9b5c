//! Hostile requests: inputs of a fuzzer, and what is made of them.
//!
//! | module | what |
//! |---|---|
//! | [`script`] | an input as requests to a target: the provider, in every personality |
//! | `reader` | bytes as numbers, mostly edges |
#![forbid(unsafe_code)]

mod reader;
pub mod script;
