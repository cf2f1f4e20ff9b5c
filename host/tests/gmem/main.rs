//! The provider's core against a world that checks what it is told, and against an oracle of the four facts.
//!
//! | module | what |
//! |---|---|
//! | `world` | frames with bytes, mappings, references: the integrator's side, which refuses what must never happen |
//! | `plan` | which steps fail, and how |
//! | `pool` | nodes that run out, and are counted |
//! | `hardware` | an enforcer with an owner, a guest frame and a size for every frame |
//! | `oracle` | visibility, backed, initialised, assigned and contents, page by page, from the facts alone |
//! | `calls` | what can be asked of a file, and what the oracle expects of it |
//! | `system` | a file in its world beside its oracle, compared after each call |
//! | `exhaustive` | every call from every state that a small file can reach |
//! | `random` | long runs on larger files |
//! | `campaign` | every step of every call fails once, and a second time while the first is dealt with |
//! | `seeds`, `rules`, `races` | single facts by name |
//!
//! `TENURE_LONG` in the environment makes the walks complete and the runs long.

mod calls;
mod campaign;
mod exhaustive;
mod hardware;
mod oracle;
mod plan;
mod pool;
mod races;
mod random;
mod rules;
mod seeds;
mod system;
mod world;
