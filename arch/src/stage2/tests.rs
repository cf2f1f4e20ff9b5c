//! The map against a model that is too simple to be wrong, and against every refusal.

mod bench;
mod refusals;
mod resizing;
mod walk;
