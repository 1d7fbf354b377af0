//! The load-generating node: joins by itself, hosts client groups for experiments, sends home what it measured.
//!
//! It must never offer an arrival beyond its horizon, send to a target outside its allow-list, or let a message raise
//! its caps; and it must never let the bus or the disk delay an engine thread.
//!
//! Layout: [`config`] what the operator fixed; `node` the loop that answers commands; `caps` what a node may be asked
//! for; `fences` whom it obeys; [`bundles`] has what experiments need be on this host, `recorded` reads arrivals out of
//! that; `session` one experiment on this node, `engines` and `roster` its threads; `once` what is done once for an
//! experiment; `profile` commands beside the load; `collector` and `accumulate` gather what the engines measured;
//! `reporter` sends it, `message` in pieces that the server takes; `health` watches the generator itself.

mod accumulate;
pub mod bundles;
mod caps;
mod collector;
pub mod config;
mod engines;
mod fences;
mod health;
mod heartbeat;
mod message;
mod node;
mod once;
mod profile;
pub mod queue_client;
mod recorded;
mod reporter;
mod roster;
mod routes;
mod session;
mod spans;
mod totals;

pub use caps::over_caps;
pub use config::ClientConfig;
pub use node::{ClientError, run};
pub use profile::{AllowedError, AllowedPrograms};
