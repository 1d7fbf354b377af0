//! Arrival processes to planned instants, and shards.
//!
//! Everything here is a pure function of (seed, profile): no I/O, no clock, no tokio, no floating-point function of
//! the platform (transcendental ones come from `libm`). It must never depend on how many nodes take part: each walks
//! the whole schedule and keeps the arrivals of its own shards.
//!
//! Layout: [`profile`] is the rate over time and its exact integral; [`schedule`] turns it into planned instants;
//! [`shard`] says whose they are, [`assign`] who gets which; [`closed`] does the same for a fixed set of users;
//! [`sample`] decides what is traced; [`philox`] is the generator under all of it.

pub mod assign;
pub mod closed;
pub mod philox;
pub mod profile;
pub mod sample;
pub mod schedule;
pub mod shard;

pub use assign::{AssignError, Assigned, assign, divide};
pub use profile::{ProfileError, RateProfile};
pub use schedule::{Arrival, Schedule};
pub use shard::{ShardError, ShardSet, shards_for};
