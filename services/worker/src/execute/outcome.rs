//! What became of a job.

use std::time::Duration;

use nuncius_schemas::job::ERROR_MAX_BYTES;

use crate::bounded;

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
