//! The worker: runs a workload for each job, on the devices of its node.
//!
//! [`workload`] understands what is to be run and maps each job's arguments; [`execute`] runs it as a process that
//! neither outlives its job nor takes the worker with it; [`inventory`] says which devices there are and how they and
//! their host fare; [`names`] says what node and pod are called. None of these knows the bus. [`service`] does: it
//! joins, takes jobs for its slots and leaves none behind; `attempt` is one try at one job, `spans` what a trace shows
//! of it; [`config`] is what the operator fixed.
//!
//! It must never run more jobs than it has slots, never end a job in more than one way, and never end while a process
//! group of a job lives.

mod attempt;
pub mod config;
pub mod execute;
pub mod inventory;
pub mod names;
pub mod service;
mod spans;
pub mod workload;

pub use config::{WhenEmpty, WorkerConfig};
pub use service::{Shutdown, WorkerError, run};

/// At most `most_bytes` of a text, cut between characters; what is cut shows.
pub(crate) fn bounded(mut text: String, most_bytes: usize) -> String {
    const CUT: &str = "…";
    if text.len() > most_bytes {
        text.truncate(text.floor_char_boundary(most_bytes.saturating_sub(CUT.len())));
        text.push_str(CUT);
    }
    text
}

/// Most bytes of a name or an argument that an error repeats.
pub(crate) const SHOWN_MAX_BYTES: usize = 240;

/// A name or an argument as errors repeat it.
pub(crate) fn shown(text: impl AsRef<std::ffi::OsStr>) -> String {
    bounded(text.as_ref().to_string_lossy().escape_debug().to_string(), SHOWN_MAX_BYTES)
}
