//! The pages of the gateway: pure functions from what is known to HTML, and the files that the pages need.
//!
//! It must never ask for anything, look at a clock, or decide what somebody may do: it is told. Everything that is
//! shown may come from a stranger and is escaped; no page refers to anything outside, and all of them say what they can
//! without a script, charts and what is live aside.
//!
//! Layout: [`frame`](mod@frame) is around every page; a file for each page; [`assets`] are the scripts and styles.

pub mod api;
pub mod apps;
pub mod assets;
pub mod compare;
pub mod events;
pub mod frame;
pub mod new;
pub mod nodes;
pub mod now;
pub mod queues;
pub mod routes;
pub mod run;
pub mod runs;
mod steer;
pub mod system;
mod tags;
pub mod trend;

pub use frame::{Frame, frame};
