//! Jobs: what waits in a queue, and the one record that each of them ends in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::HumanDuration;

/// Most arguments of one job, unless its queue says otherwise.
pub const ARGUMENTS_MAX: u32 = 256;
/// Most bytes of a job's payload, unless its queue says otherwise.
pub const JOB_MAX_BYTES: u32 = 64 * 1024;
/// Longest tail of an output stream in a result, in bytes.
pub const OUTPUT_TAIL_MAX_BYTES: usize = 4 * 1024;
/// Longest error in a result, in bytes.
pub const ERROR_MAX_BYTES: usize = 1024;

/// A job as it waits. Its identifier is the header `Nats-Msg-Id`, a token; without one it is `s<stream sequence>`.
/// Queue, priority and client are in the subject.
///
/// A field that is not known is refused: it would ask for something that nobody does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Arguments for the workload, after those it was started with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Longest run: seconds, or with a unit; the smaller one of this and the worker's counts.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::units::optional_seconds")]
    pub limit: Option<HumanDuration>,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// The workload ran and ended with exit code 0.
    Succeeded,
    /// The workload ran and failed, could not be started, or was over its limit; and is not tried again.
    Failed,
    /// Given up after as many attempts as the queue allows, or not readable; a copy is kept as a dead letter.
    Dead,
    /// Never run: its client went away, it waited too long, or the queue was purged.
    Dropped,
}

impl JobStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Succeeded, Self::Failed, Self::Dead, Self::Dropped];

    /// The name in tables and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
        }
    }
}

/// The terminal record of a job: exactly one for each accepted job, kept by the result stream under a subject of its
/// own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobResult {
    /// Job.
    pub job: String,
    /// Queue.
    pub queue: String,
    /// Who submitted it.
    pub client: String,
    /// 0 is the most urgent.
    #[serde(default)]
    pub priority: u8,
    /// How it ended.
    pub status: JobStatus,
    /// Which attempt this was, from 1; 0 where it was never begun.
    pub attempt: u32,
    /// Sequence of the job in its stream.
    pub job_sequence: u64,
    /// When the job was stored, by the server's clock, nanoseconds since the Unix epoch.
    pub submitted_unix_ns: i64,
    /// From then to the beginning of the last attempt, in seconds.
    pub wait_seconds: f64,
    /// How long the last attempt ran, in seconds.
    pub run_seconds: f64,
    /// The worker that wrote this, as in the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The device it used, as the last part of its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Exit code of the workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Number of the signal that ended the workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// It was over its limit and was ended for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed_out: bool,
    /// The limit that was in force, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_seconds: Option<f64>,
    /// What was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The end of its standard output, where that is captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout_tail: Option<String>,
    /// The end of its standard error, where that is captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr_tail: Option<String>,
}

impl JobResult {
    /// The record of a job that ended so without having been run.
    pub fn not_run(job: &str, queue: &str, client: &str, priority: u8, status: JobStatus) -> Self {
        Self {
            job: job.to_owned(),
            queue: queue.to_owned(),
            client: client.to_owned(),
            priority,
            status,
            attempt: 0,
            job_sequence: 0,
            submitted_unix_ns: 0,
            wait_seconds: 0.0,
            run_seconds: 0.0,
            worker: None,
            node: None,
            pod: None,
            device: None,
            exit_code: None,
            signal: None,
            timed_out: false,
            limit_seconds: None,
            error: None,
            stdout_tail: None,
            stderr_tail: None,
        }
    }
}

/// A message that repeats a job which has its terminal record already (subject `repeat.<queue>.<its sequence>`): it was
/// acknowledged and not run. Accepted is what has ended, what was repeated, and what is in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobRepeat {
    /// Job.
    pub job: String,
    /// Queue.
    pub queue: String,
    /// Who submitted it.
    pub client: String,
    /// Sequence of this message in the stream of jobs.
    pub job_sequence: u64,
    /// Sequence of the message that the record is of.
    pub recorded_job_sequence: u64,
}

/// Something that happened to a job that has not ended: for live views, may be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobEvent {
    /// What.
    pub event: JobEventKind,
    /// Job.
    pub job: String,
    /// Who submitted it.
    pub client: String,
    /// Worker that says so.
    pub worker: String,
    /// Its node.
    pub node: String,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// When, milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What happened to a job that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobEventKind {
    /// A worker has it; told once it has run for a moment.
    Taken,
    /// It failed and is to be tried again.
    Retried,
    /// A worker that ends handed it back; that costs no attempt.
    Returned,
}
