//! The books of one thread: counts and distributions of the second at hand, and rows, on their way to the sink.
//!
//! Nothing here blocks before the end: a full sink makes seconds fold into one report, and drops rows, which are
//! counted.

use std::sync::mpsc::{SyncSender, TrySendError};

use nuncius_schemas::fault::{FaultCount, GeneratorFault};
use nuncius_schemas::metric::{FailureKind, FailureLatency};
use nuncius_schemas::record::RecordOutcome;

use crate::clock::monotonic_ns;
use crate::sink::{EngineMessage, Failure, FinishReason, ROWS_MAX, Row, SecondReport, SlowRow, Slowest, StepRecorder};

const SECOND_NS: u64 = 1_000_000_000;

/// Longest sample of a failure, in bytes.
const SAMPLE_MAX_BYTES: usize = 256;

/// A request that is over, its instants on CLOCK_MONOTONIC.
pub(crate) struct Exchange {
    pub(crate) step: u16,
    pub(crate) index: u64,
    pub(crate) planned_ns: u64,
    /// 0 when it was not.
    pub(crate) sent_ns: u64,
    /// 0 when there was no answer.
    pub(crate) status: u16,
    pub(crate) outcome: RecordOutcome,
    pub(crate) failure: Option<FailureKind>,
    /// Of its trace and span; zeros when it carried none that is sampled, and is not told as slow.
    pub(crate) identifiers: (u128, u64),
}

#[derive(Debug)]
pub(crate) struct Book {
    report: Box<SecondReport>,
    rows: Vec<Row>,
    /// How many of the slowest requests each recorder keeps.
    slowest: usize,
    sink: SyncSender<EngineMessage>,
    start_ns: u64,
    /// On CLOCK_MONOTONIC; never before the start is known.
    second_end_ns: u64,
    /// Nobody listens any more.
    is_deaf: bool,
}

fn empty(group: u16, thread: usize, recorders: usize, slowest: usize, second: u32) -> Box<SecondReport> {
    let recorder = || StepRecorder { slowest: Slowest::new(slowest), ..StepRecorder::default() };
    Box::new(SecondReport {
        group,
        thread,
        first_second: second,
        last_second: second,
        steps: (0..recorders).map(|_| recorder()).collect(),
        dropped_rows: 0,
        faults: Vec::new(),
        cycles: Vec::new(),
    })
}

impl Book {
    pub(crate) fn new(
        group: u16,
        thread: usize,
        recorders: usize,
        slowest: usize,
        sink: SyncSender<EngineMessage>,
    ) -> Self {
        Self {
            report: empty(group, thread, recorders, slowest, 0),
            rows: Vec::new(),
            slowest,
            sink,
            start_ns: u64::MAX,
            second_end_ns: u64::MAX,
            is_deaf: false,
        }
    }

    /// Run time began at `start_ns`; what there is to tell begins with the second of `first_ns`.
    pub(crate) fn start(&mut self, start_ns: u64, first_ns: u64) {
        self.start_ns = start_ns;
        let second = self.second_of(first_ns);
        (self.report.first_second, self.report.last_second) = (second, second);
        self.second_end_ns = self.end_of(second);
    }

    fn end_of(&self, second: u32) -> u64 {
        self.start_ns.saturating_add(u64::from(second).saturating_add(1).saturating_mul(SECOND_NS))
    }

    pub(crate) fn second_end_ns(&self) -> u64 {
        self.second_end_ns
    }

    /// Whether the receiver is gone.
    pub(crate) fn is_deaf(&self) -> bool {
        self.is_deaf
    }

    pub(crate) fn run_time_ns(&self, at_ns: u64) -> u64 {
        at_ns.saturating_sub(self.start_ns)
    }

    fn second_of(&self, at_ns: u64) -> u32 {
        u32::try_from(self.run_time_ns(at_ns) / SECOND_NS).unwrap_or(u32::MAX)
    }

    /// Recorder `step`; the last one for a step that does not exist, which does not happen.
    #[inline]
    pub(crate) fn step(&mut self, step: usize) -> Option<&mut StepRecorder> {
        self.report.steps.get_mut(step)
    }

    pub(crate) fn fail(&mut self, step: usize, kind: FailureKind, status: u16, sample: impl FnOnce() -> String) {
        let Some(recorder) = self.step(step) else { return };
        recorder.failed += 1;
        match recorder.failures.iter_mut().find(|failure| failure.kind == kind && failure.status == status) {
            Some(failure) => failure.count += 1,
            None => {
                let mut sample = sample();
                sample.truncate(sample.floor_char_boundary(SAMPLE_MAX_BYTES));
                recorder.failures.push(Failure { kind, status, count: 1, sample: Some(sample) });
            }
        }
    }

    /// Counts what the generator had not enough of to make a request.
    pub(crate) fn fault(&mut self, fault: GeneratorFault) {
        match self.report.faults.iter_mut().find(|known| known.fault == fault) {
            Some(known) => known.count += 1,
            None => self.report.faults.push(FaultCount { fault, count: 1 }),
        }
    }

    /// Keeps the record of a request that is over.
    #[inline]
    pub(crate) fn keep(&mut self, exchange: &Exchange, now_ns: u64) {
        let row = self.row_of(exchange, now_ns);
        self.row(row);
    }

    /// Whether a request is among the slowest of its second by now. What ended before the target had its time is not
    /// slow.
    #[inline]
    pub(crate) fn is_slow(
        &mut self,
        step: u16,
        planned_ns: u64,
        outcome: RecordOutcome,
        failure: Option<FailureKind>,
        now_ns: u64,
    ) -> bool {
        let response_ns = now_ns.saturating_sub(planned_ns);
        self.step(usize::from(step)).is_some_and(|step| step.slowest.admits(response_ns))
            && outcome != RecordOutcome::Censored
            && failure.is_none_or(|kind| kind.latency() != FailureLatency::Short)
    }

    /// Keeps a request that [`Self::is_slow`].
    #[cold]
    pub(crate) fn keep_slow(&mut self, exchange: &Exchange, is_sampled: bool, now_ns: u64) {
        let row = self.row_of(exchange, now_ns);
        if let Some(recorder) = self.step(usize::from(exchange.step)) {
            recorder.slowest.keep(SlowRow { row, is_sampled });
        }
    }

    fn row_of(&self, exchange: &Exchange, now_ns: u64) -> Row {
        let (trace_id, span_id) = exchange.identifiers;
        let &Exchange { step, index, status, outcome, failure, .. } = exchange;
        let sent_ns = if exchange.sent_ns == 0 { 0 } else { self.run_time_ns(exchange.sent_ns).max(1) };
        Row {
            group: self.report.group,
            step,
            index,
            planned_ns: self.run_time_ns(exchange.planned_ns),
            sent_ns,
            done_ns: if outcome == RecordOutcome::Censored { 0 } else { self.run_time_ns(now_ns).max(1) },
            status: if status == 0 { -1 } else { i16::try_from(status).unwrap_or(i16::MAX) },
            outcome,
            failure,
            trace_id,
            span_id,
            received_from: 0,
        }
    }

    /// Keeps what a row tells.
    pub(crate) fn row(&mut self, row: Row) {
        if self.rows.capacity() == 0 {
            self.rows.reserve_exact(ROWS_MAX);
        }
        self.rows.push(row);
        if self.rows.len() >= ROWS_MAX {
            self.send_rows();
        }
    }

    fn send_rows(&mut self) {
        if self.rows.is_empty() {
            return;
        }
        match self.sink.try_send(EngineMessage::Rows(std::mem::take(&mut self.rows))) {
            Ok(()) => {}
            Err(TrySendError::Full(EngineMessage::Rows(mut rows))) => {
                self.report.dropped_rows += rows.len() as u64;
                rows.clear();
                self.rows = rows;
            }
            Err(TrySendError::Full(_)) => {}
            Err(TrySendError::Disconnected(_)) => self.is_deaf = true,
        }
    }

    /// Ends the seconds that are over.
    pub(crate) fn tick(&mut self, now_ns: u64) {
        if now_ns < self.second_end_ns {
            return;
        }
        self.send_rows();
        let second = self.second_of(now_ns);
        self.second_end_ns = self.end_of(second);
        self.report.last_second = second.saturating_sub(1).max(self.report.first_second);
        let mut next = empty(self.report.group, self.report.thread, self.report.steps.len(), self.slowest, second);
        for (next, last) in next.steps.iter_mut().zip(&self.report.steps) {
            next.in_flight = last.in_flight;
        }
        match self.sink.try_send(EngineMessage::Second(std::mem::replace(&mut self.report, next))) {
            Ok(()) => {}
            // Folded: the next second adds to what this one holds.
            Err(TrySendError::Full(EngineMessage::Second(report))) => self.report = report,
            Err(TrySendError::Full(_)) => {}
            Err(TrySendError::Disconnected(_)) => self.is_deaf = true,
        }
    }

    /// For the last report: see [`SecondReport::cycles`].
    pub(crate) fn cycles(&mut self, cycles: Vec<(u32, u64)>) {
        self.report.cycles = cycles;
    }

    /// As [`Book::close`], of an engine that could not even start, for an error of the system at `what`.
    pub(crate) fn close_unstarted(mut self, what: &str, error: &std::io::Error) {
        if let Some(fault) = GeneratorFault::of_error(error) {
            self.fault(fault);
        }
        self.close(monotonic_ns(), FinishReason::Failed(format!("cannot {what}: {error}")), 0);
    }

    /// The last messages; waits for room. A receiver that is gone needs none of them.
    pub(crate) fn close(mut self, now_ns: u64, reason: FinishReason, stood_ns: u64) {
        let (group, thread) = (self.report.group, self.report.thread);
        // What it ran out of is told though nothing was started.
        if self.start_ns != u64::MAX || !self.report.faults.is_empty() {
            if !self.rows.is_empty() {
                let _ = self.sink.send(EngineMessage::Rows(std::mem::take(&mut self.rows)));
            }
            self.report.last_second = self.second_of(now_ns).max(self.report.first_second);
            let _ = self.sink.send(EngineMessage::Second(self.report));
        }
        let _ = self.sink.send(EngineMessage::Finished { group, thread, reason, stood_ns });
    }
}

#[cfg(test)]
mod tests;
