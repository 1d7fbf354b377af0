//! Commands beside the load: a profiler, or whatever else the operator allows, run for as long as it is wanted.
//!
//! What runs here must never hold up load: it blocks threads of its own, has a process group of its own, and ends with
//! its time, its experiment, or the node.

mod allowed;
mod failure;
mod group;
mod perform;
mod place;
mod process;

pub use allowed::{AllowedError, AllowedPrograms};
pub(crate) use failure::ProfileFailure;
pub(crate) use perform::{Ending, Task, Written, perform};
