//! What comes out of engine threads.

use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::record::RecordOutcome;
use nuncius_stats::Histogram;

/// A message of an engine thread to its caller.
#[derive(Debug)]
pub enum EngineMessage {
    /// What was measured since the last one; boxed, for its size.
    Second(Box<SecondReport>),
    /// Request records, at most [`ROWS_MAX`].
    Rows(Vec<Row>),
    /// The last message of a thread.
    Finished {
        /// Group.
        group: u16,
        /// Thread of the group.
        thread: usize,
        /// Why it ended.
        reason: FinishReason,
    },
}

/// Most rows in one message.
pub const ROWS_MAX: usize = 500;

/// Why a thread ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishReason {
    /// All that was planned was offered.
    ScheduleEnded,
    /// [`crate::Control::stop`].
    Stopped,
    /// The horizon was not extended in time.
    Horizon,
    /// [`crate::Control::abandon`].
    Abandoned,
    /// It could not go on; why.
    Failed(String),
}

/// What one thread measured in one second of run time, or in several when the caller did not keep up.
#[derive(Debug)]
pub struct SecondReport {
    /// Group.
    pub group: u16,
    /// Thread of the group.
    pub thread: usize,
    /// First second of run time covered.
    pub first_second: u32,
    /// Last second of run time covered.
    pub last_second: u32,
    /// One for each step, and one for the whole iteration when there are several steps.
    pub steps: Vec<StepRecorder>,
    /// Rows that the sink had no room for.
    pub dropped_rows: u64,
    /// Of servos, in the last report only: numbers of completed cycles, each with how many servos completed so many.
    pub cycles: Vec<(u32, u64)>,
}

/// Counts and distributions of one step. Times in nanoseconds.
#[derive(Debug, Default)]
pub struct StepRecorder {
    /// Taken from the schedule, or begun.
    pub planned: u64,
    /// Written to a connection.
    pub sent: u64,
    /// Ended as expected.
    pub succeeded: u64,
    /// Ended otherwise.
    pub failed: u64,
    /// Unanswered or unsent at the end.
    pub censored: u64,
    /// On a connection at the end of the report: a gauge. What waits for a connection is not in it.
    pub in_flight: u64,
    /// Failures by kind and status.
    pub failures: Vec<Failure>,
    /// Taken − planned.
    pub lag: Histogram,
    /// Sent − taken.
    pub blocked: Histogram,
    /// Done − sent.
    pub service: Histogram,
    /// Done − planned.
    pub response: Histogram,
    /// End − planned, of what was censored.
    pub censored_response: Histogram,
    /// End − sent, of what was censored after it was sent.
    pub censored_service: Histogram,
}

/// Failures of one kind and status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub kind: FailureKind,
    /// Status of the answer, 0 when there was none.
    pub status: u16,
    /// How many.
    pub count: u64,
    /// One of them, at most 256 bytes; never holds what the target sent.
    pub sample: Option<String>,
}

/// One request. Instants in nanoseconds of run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Group.
    pub group: u16,
    /// Step.
    pub step: u16,
    /// Index of the arrival in the schedule; in the closed model `iteration × users + user`.
    pub index: u64,
    /// Planned instant; in the closed model, and of later steps, when it was begun.
    pub planned_ns: u64,
    /// When it was written, 0 when it never was.
    pub sent_ns: u64,
    /// When it ended, 0 when it did not.
    pub done_ns: u64,
    /// Status of the answer, −1 when there was none.
    pub status: i16,
    /// How it ended.
    pub outcome: RecordOutcome,
    /// 0 when it carried no sampled trace.
    pub trace_id: u128,
    /// 0 when it carried no sampled trace.
    pub span_id: u64,
}
