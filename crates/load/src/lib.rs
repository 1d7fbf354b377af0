//! Arrival processes to planned instants, and shards.
//!
//! Everything here is a pure function of (seed, profile): no I/O, no clock, no tokio, no floating-point function of
//! the platform (transcendental ones come from `libm`). It must never depend on how many nodes take part: each walks
//! the whole schedule and keeps the arrivals of its own shards.
//!
//! Layout: [`leg`] is what a load is written in, some of it by way of a `pattern`; [`profile`] is the rate over time
//! and its exact integral; [`schedule`] turns it into planned instants. Where no rate decides, `own` does: [`renewal`]
//! has clients who decide for themselves ([`variate`] how long they wait), [`replay`] the instants of a file, which
//! [`recorded`] reads, both in a time of their own ([`tempo`]). [`amended`] reads all of that out of a specification
//! and its amendments, each an [`arrival`], and [`curve`] what the rate will be. [`shard`] says whose they are,
//! [`assign`] who gets which; [`closed`] does the same for a set of users; [`sample`] decides what is traced;
//! [`philox`] is the generator under all of it.

pub mod amended;
pub mod arrival;
pub mod assign;
pub mod closed;
pub mod curve;
pub mod leg;
mod own;
mod pattern;
pub mod philox;
pub mod profile;
pub mod recorded;
pub mod renewal;
pub mod replay;
pub mod sample;
pub mod schedule;
pub mod shard;
pub mod tempo;
pub mod variate;

pub use amended::schedule_of;
pub use arrival::{Arrival, Next};
pub use assign::{AssignError, Assigned, assign, divide};
pub use profile::{ProfileError, RateProfile};
pub use schedule::Schedule;
pub use shard::{ShardError, ShardSet, shards_for};
