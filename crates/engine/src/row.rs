//! One request, as it is told by itself.

use std::net::SocketAddr;

use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::record::RecordOutcome;

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
    /// What went wrong, if it failed.
    pub failure: Option<FailureKind>,
    /// 0 when it carried no sampled trace.
    pub trace_id: u128,
    /// 0 when it carried no sampled trace.
    pub span_id: u64,
    /// Where it tells of a message that was received, which leaves a span and is no request: the span of whoever
    /// published it; else 0.
    pub received_from: u64,
    /// Where it went, where the hosts of its group are told apart.
    pub host: Option<SocketAddr>,
}
