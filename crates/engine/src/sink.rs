//! What comes out of engine threads.

use std::net::SocketAddr;
use std::sync::Arc;

use nuncius_schemas::fault::FaultCount;
use nuncius_schemas::meter::{Meter, MeterKind};
use nuncius_schemas::metric::{BySeries, CheckCount, FailureCount, Series, StatusCount};
use nuncius_stats::{Histogram, Ranges};

pub use crate::row::Row;
pub use crate::slowest::{SlowRow, Slowest};

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
        /// How long it stood at its horizon before that was moved, in nanoseconds; 0 where nothing was missed by it.
        stood_ns: u64,
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
    /// It stood at its horizon until its schedule was over: nobody moved it.
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
    /// The hosts that the thread has sent to, as far as they are told apart.
    pub hosts: Vec<SocketAddr>,
    /// Rows that the sink had no room for.
    pub dropped_rows: u64,
    /// What the generator ran out of, and how many requests that kept from being made.
    pub faults: Vec<FaultCount>,
    /// Of servos, in the last report only: numbers of completed cycles, each with how many servos completed so many.
    pub cycles: Vec<(u32, u64)>,
    /// What the group's meters have added up to since the last report, in the order of the plan.
    pub meters: Vec<MeterRecorder>,
    /// What became of messages that are numbered, since the last report.
    pub tracks: Vec<TrackRecorder>,
}

/// What one host did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostTally {
    /// Ended as expected.
    pub succeeded: u64,
    /// Ended otherwise.
    pub failed: u64,
    /// Done − sent of those that succeeded, added up, in nanoseconds.
    pub service_ns: u64,
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
    /// Passed by, or given up before anything was sent, by the rules of the test itself.
    pub skipped: u64,
    /// On a connection at the end of the report: a gauge. What waits for a connection is not in it.
    pub in_flight: u64,
    /// Sent again because the peer had closed the connection without seeing the request.
    pub retried: u64,
    /// Answers that led elsewhere and were followed: requests beside those that were sent.
    pub redirects: u64,
    /// Waited for the node's cap on the rate.
    pub held_back: u64,
    /// Pauses of users whose iteration ended without an answer.
    pub backed_off: u64,
    /// Bytes written to connections, before encryption.
    pub bytes_sent: u64,
    /// Bytes read from connections, after decryption.
    pub bytes_received: u64,
    /// Answers by status, successes included; at most [`STATUS_MAX`] + 1 of them.
    pub statuses: Vec<StatusCount>,
    /// Failures by kind and status, each with a sample of at most 256 bytes that never holds what the target sent.
    pub failures: Vec<FailureCount>,
    /// Checks by name; at most [`CHECKS_MAX`](nuncius_schemas::metric::CHECKS_MAX), and one for all others.
    pub checks: Vec<CheckCount>,
    /// What each host did, in the order of [`SecondReport::hosts`]; shorter where the last of them did nothing.
    pub hosts: Vec<HostTally>,
    /// Its distributions.
    pub series: BySeries<Histogram>,
    /// The slowest requests that ended: not of the whole iteration, nor of steps beside it.
    pub slowest: Slowest,
}

/// Largest status that is counted by itself; larger ones are counted as this one.
pub const STATUS_MAX: u16 = 999;

impl StepRecorder {
    #[inline]
    pub(crate) fn record_ns(&mut self, series: Series, value_ns: u64) {
        self.series.of_mut(series).record_ns(value_ns);
    }

    /// What the host of this number does, counted from 1; `None` for 0, which is none.
    #[inline]
    pub(crate) fn host(&mut self, number: u16) -> Option<&mut HostTally> {
        let index = usize::from(number.checked_sub(1)?);
        if self.hosts.len() <= index {
            self.hosts.resize(index + 1, HostTally::default());
        }
        self.hosts.get_mut(index)
    }

    /// Counts an answer by its status; 0 is that of protocols without one, and is not counted.
    #[inline]
    pub(crate) fn count_status(&mut self, status: u16) {
        let status = status.min(STATUS_MAX);
        match self.statuses.iter_mut().find(|known| known.status == status) {
            Some(known) => known.count += 1,
            None if status == 0 => {}
            None => self.statuses.push(StatusCount { status, count: 1 }),
        }
    }
}

/// What was published or received of a track, of one publisher.
#[derive(Debug, Clone, Default)]
pub struct TrackRecorder {
    /// Name of the track.
    pub track: Arc<str>,
    /// Who numbered the messages.
    pub publisher: u64,
    /// Numbers that were published and taken.
    pub published: Ranges,
    /// Messages received, each time that one came.
    pub messages: u64,
    /// Of these: behind one that was published after them.
    pub reordered: u64,
    /// Numbers that were received.
    pub received: Ranges,
}

/// One meter of a group.
#[derive(Debug)]
pub struct MeterRecorder {
    /// What it is.
    pub meter: Arc<Meter>,
    /// What it says.
    pub value: MeterValue,
}

/// What a meter says.
#[derive(Debug)]
pub enum MeterValue {
    /// The sum of what was added.
    Counter(u64),
    /// How the values are distributed; see [`Meter::scaled`].
    Histogram(Box<Histogram>),
}

impl MeterRecorder {
    pub(crate) fn new(meter: &Arc<Meter>) -> Self {
        let value = match meter.kind {
            MeterKind::Counter => MeterValue::Counter(0),
            MeterKind::Histogram => MeterValue::Histogram(Box::default()),
        };
        Self { meter: Arc::clone(meter), value }
    }

    pub(crate) fn record(&mut self, value: u64) {
        match &mut self.value {
            MeterValue::Counter(sum) => *sum = sum.saturating_add(value),
            MeterValue::Histogram(histogram) => histogram.record_ns(self.meter.scaled(value)),
        }
    }
}
