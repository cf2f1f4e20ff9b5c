//! The map against a model that is too simple to be wrong, and against every refusal.

mod bench;
mod damage;
mod refusals;
mod regions;
mod resizing;
mod walk;
