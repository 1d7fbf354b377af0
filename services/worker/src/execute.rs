//! Runs one job: waits, or starts a program in a process group of its own and sees to it that nothing of it outlives
//! the job.
//!
//! Whatever goes wrong is the job's failure, never the worker's. The promise that nothing outlives a job holds for the
//! process group: a process that made itself a group or session of its own (`setsid`) is out of reach, as it is for a
//! shell. It holds while the worker lives: what it runs survives its own KILL, unless a container or a unit ends with
//! it. Nothing here relies on `PR_SET_PDEATHSIG`, which fires when the spawning *thread* ends.

mod environment;
mod failure;
mod group;
mod output;
mod program;

#[cfg(test)]
mod tests;

pub use program::{KILL_WAIT, OUTPUT_GRACE};

use std::time::{Duration, Instant};

use nuncius_schemas::job::ERROR_MAX_BYTES;
use tokio_util::sync::CancellationToken;

use crate::bounded;
use crate::workload::{Prepared, Task};

/// What became of a job.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// How long it ran.
    pub run: Duration,
    /// Exit code; absent where there was none.
    pub exit_code: Option<i32>,
    /// Number of the signal that ended it.
    pub signal: Option<i32>,
    /// It was over its limit and was ended for that.
    pub timed_out: bool,
    /// The caller cancelled it.
    pub cancelled: bool,
    /// The limit that was in force.
    pub limit: Option<Duration>,
    /// What was wrong, at most [`ERROR_MAX_BYTES`]; present in every outcome that is no success.
    pub error: Option<String>,
    /// The end of its standard output; absent where it is not captured or empty.
    pub stdout_tail: Option<String>,
    /// The end of its standard error; absent where it is not captured or empty.
    pub stderr_tail: Option<String>,
    /// The device it used.
    pub device: Option<String>,
}

impl Outcome {
    /// Of a job that was not run at all, for this reason, on a worker whose slot has this device.
    pub fn failed(reason: impl Into<String>, device: Option<String>) -> Self {
        Self { error: Some(bounded(reason.into(), ERROR_MAX_BYTES)), device, ..Self::default() }
    }

    /// Whether the job succeeded: exit code 0, in time, not cancelled, nothing wrong.
    pub fn is_success(&self) -> bool {
        self.exit_code == Some(0) && !self.timed_out && !self.cancelled && self.error.is_none()
    }
}

/// Runs a job to its end, or until `cancel`: then its process group is killed at once.
///
/// When the future is dropped instead, the process group is killed too, and what it leaves is reaped by the runtime.
/// Work on an emulated device is the caller's to do, and fails here.
pub async fn execute(prepared: &Prepared, cancel: CancellationToken) -> Outcome {
    let mut outcome = match &prepared.task {
        Task::Sleep(time) => sleep(*time, prepared.limit, &cancel).await,
        Task::Program(task) => program::run(task, prepared.limit, &cancel).await,
        Task::Device(task) => Outcome::failed(failure::not_here(task), None),
    };
    outcome.limit = prepared.limit;
    outcome.device.clone_from(&prepared.device);
    outcome.error = outcome.error.map(|error| bounded(error, ERROR_MAX_BYTES));
    outcome
}

async fn sleep(time: Duration, limit: Option<Duration>, cancel: &CancellationToken) -> Outcome {
    if time.is_zero() {
        // The runtime's timer would take a millisecond for nothing.
        return Outcome { exit_code: Some(0), ..Outcome::default() };
    }
    let started = Instant::now();
    let timed_out = limit.is_some_and(|limit| limit < time);
    let cancelled = tokio::select! {
        biased;
        () = cancel.cancelled() => true,
        () = tokio::time::sleep(limit.unwrap_or(time).min(time)) => false,
    };
    let run = started.elapsed();
    match limit {
        _ if cancelled => Outcome { run, cancelled, error: Some(failure::CANCELLED.to_owned()), ..Outcome::default() },
        Some(limit) if timed_out => {
            Outcome { run, timed_out, error: Some(failure::over_limit(limit)), ..Outcome::default() }
        }
        _ => Outcome { run, exit_code: Some(0), ..Outcome::default() },
    }
}
