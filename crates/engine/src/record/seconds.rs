//! The seconds of one thread: counts and distributions of the one at hand, and rows, on their way to the sink.
//!
//! Nothing here blocks before the end: a full sink makes seconds fold into one report, and drops rows, which are
//! counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};

use nuncius_schemas::fault::{FaultCount, GeneratorFault};
use nuncius_schemas::meter::Meter;
use nuncius_schemas::metric::{FailureCount, FailureKind};
use nuncius_schemas::units::SECOND_NS;

use crate::sink::{
    EngineMessage, FinishReason, MeterRecorder, ROWS_MAX, Row, SecondReport, Slowest, StepRecorder, TrackRecorder,
};

/// Longest sample of a failure, in bytes.
const SAMPLE_MAX_BYTES: usize = 256;

/// Most hosts that a thread tells apart.
const HOSTS_TOLD_MAX: usize = 4_096;

#[derive(Debug)]
pub(super) struct Seconds {
    shape: Shape,
    report: Box<SecondReport>,
    rows: Vec<Row>,
    sink: SyncSender<EngineMessage>,
    start_ns: u64,
    /// On CLOCK_MONOTONIC; never before the start is known.
    second_end_ns: u64,
    /// Nobody listens any more.
    is_deaf: bool,
}

/// What the reports of a thread look like.
#[derive(Debug)]
struct Shape {
    group: u16,
    thread: usize,
    recorders: usize,
    /// How many of the slowest requests each recorder keeps.
    slowest: usize,
    meters: Box<[Arc<Meter>]>,
}

impl Shape {
    fn empty(&self, second: u32) -> Box<SecondReport> {
        let recorder = || StepRecorder { slowest: Slowest::new(self.slowest), ..StepRecorder::default() };
        Box::new(SecondReport {
            group: self.group,
            thread: self.thread,
            first_second: second,
            last_second: second,
            steps: (0..self.recorders).map(|_| recorder()).collect(),
            hosts: Vec::new(),
            dropped_rows: 0,
            faults: Vec::new(),
            cycles: Vec::new(),
            meters: self.meters.iter().map(MeterRecorder::new).collect(),
            tracks: Vec::new(),
        })
    }
}

impl Seconds {
    pub(super) fn new(
        (group, thread): (u16, usize),
        (recorders, slowest): (usize, usize),
        meters: &[Arc<Meter>],
        sink: SyncSender<EngineMessage>,
    ) -> Self {
        let shape = Shape { group, thread, recorders, slowest, meters: meters.into() };
        Self {
            report: shape.empty(0),
            shape,
            rows: Vec::new(),
            sink,
            start_ns: u64::MAX,
            second_end_ns: u64::MAX,
            is_deaf: false,
        }
    }

    /// Run time began at `start_ns`; what there is to tell begins with the second of `first_ns`.
    pub(super) fn start(&mut self, start_ns: u64, first_ns: u64) {
        self.start_ns = start_ns;
        let second = self.second_of(first_ns);
        (self.report.first_second, self.report.last_second) = (second, second);
        self.second_end_ns = self.end_of(second);
    }

    fn end_of(&self, second: u32) -> u64 {
        self.start_ns.saturating_add(u64::from(second).saturating_add(1).saturating_mul(SECOND_NS))
    }

    pub(super) fn second_end_ns(&self) -> u64 {
        self.second_end_ns
    }

    /// Whether the receiver is gone.
    pub(super) fn is_deaf(&self) -> bool {
        self.is_deaf
    }

    pub(super) fn run_time_ns(&self, at_ns: u64) -> u64 {
        at_ns.saturating_sub(self.start_ns)
    }

    fn second_of(&self, at_ns: u64) -> u32 {
        u32::try_from(self.run_time_ns(at_ns) / SECOND_NS).unwrap_or(u32::MAX)
    }

    /// The recorder of this number; `None` for one that there is not, which does not happen.
    #[inline]
    pub(super) fn step(&mut self, recorder: u16) -> Option<&mut StepRecorder> {
        self.report.steps.get_mut(usize::from(recorder))
    }

    /// Counts a failure at a recorder; `sample` is a text about it that never holds what the target sent.
    pub(super) fn fail(&mut self, recorder: u16, kind: FailureKind, status: u16, sample: impl FnOnce() -> String) {
        let Some(recorder) = self.step(recorder) else { return };
        recorder.failed += 1;
        match recorder.failures.iter_mut().find(|failure| failure.kind == kind && failure.status == status) {
            Some(failure) => failure.count += 1,
            None => {
                let mut sample = sample();
                sample.truncate(sample.floor_char_boundary(SAMPLE_MAX_BYTES));
                recorder.failures.push(FailureCount { kind, status, count: 1, sample: Some(sample) });
            }
        }
    }

    /// Counts what the generator had not enough of to make a request.
    pub(super) fn fault(&mut self, fault: GeneratorFault) {
        match self.report.faults.iter_mut().find(|known| known.fault == fault) {
            Some(known) => known.count += 1,
            None => self.report.faults.push(FaultCount { fault, count: 1 }),
        }
    }

    /// Keeps what a row tells.
    pub(super) fn row(&mut self, row: Row) {
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
    pub(super) fn tick(&mut self, now_ns: u64) {
        if now_ns < self.second_end_ns {
            return;
        }
        self.send_rows();
        let second = self.second_of(now_ns);
        self.second_end_ns = self.end_of(second);
        self.report.last_second = second.saturating_sub(1).max(self.report.first_second);
        let mut next = self.shape.empty(second);
        next.hosts.clone_from(&self.report.hosts);
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

    /// The number of a host, from 1 on; 0 where as many are known as can be.
    pub(super) fn host_number(&mut self, host: SocketAddr) -> u16 {
        let at = match self.report.hosts.iter().position(|known| *known == host) {
            Some(at) => at,
            None if self.report.hosts.len() < HOSTS_TOLD_MAX => {
                self.report.hosts.push(host);
                self.report.hosts.len() - 1
            }
            None => return 0,
        };
        u16::try_from(at + 1).unwrap_or(0)
    }

    /// The host of a number that [`Self::host_number`] gave.
    pub(super) fn host(&self, number: u16) -> Option<SocketAddr> {
        self.report.hosts.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// The meter of this number.
    pub(super) fn meter(&mut self, meter: usize) -> Option<&mut MeterRecorder> {
        self.report.meters.get_mut(meter)
    }

    /// What of a track is of this publisher, in the report at hand.
    pub(super) fn track(&mut self, track: &Arc<str>, publisher: u64) -> Option<&mut TrackRecorder> {
        let tracks = &mut self.report.tracks;
        let is_it = |known: &TrackRecorder| known.publisher == publisher && *known.track == **track;
        let at = tracks.iter().position(is_it).unwrap_or_else(|| {
            tracks.push(TrackRecorder { track: Arc::clone(track), publisher, ..TrackRecorder::default() });
            tracks.len() - 1
        });
        tracks.get_mut(at)
    }

    /// For the last report: see [`SecondReport::cycles`].
    pub(super) fn cycles(&mut self, cycles: Vec<(u32, u64)>) {
        self.report.cycles = cycles;
    }

    /// The last messages; waits for room. A receiver that is gone needs none of them.
    pub(super) fn close(mut self, now_ns: u64, reason: FinishReason, stood_ns: u64) {
        let (group, thread) = (self.shape.group, self.shape.thread);
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
