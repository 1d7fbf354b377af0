//! How events and cycles of servos are counted: each event that was taken ends as succeeded, failed or censored, and so
//! does each cycle that was begun.

use nuncius_load::sample::{is_sampled, span_id};
use nuncius_schemas::metric::{FailureKind, FailureLatency};
use nuncius_schemas::record::RecordOutcome;
use nuncius_schemas::servo::SERVO_STEPS;
use nuncius_schemas::spec::RecordsMode;

use super::transport::Reply;
use crate::book::{Book, Exchange};
use crate::run::EngineOptions;

/// The recorder of cycles.
const CYCLE: usize = SERVO_STEPS.len();

/// One event under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flight {
    pub(super) step: u16,
    pub(super) index: u64,
    pub(super) planned_ns: u64,
    /// When it was handed to the transport.
    pub(super) taken_ns: u64,
    /// When it was written; 0 before.
    pub(super) sent_ns: u64,
    pub(super) is_sampled: bool,
}

/// One cycle under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cycle {
    pub(super) planned_ns: u64,
    pub(super) begun_ns: u64,
}

#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) book: Book,
    group: u16,
    run_key: u64,
    trace_id: u128,
    options: EngineOptions,
}

impl Ledger {
    pub(super) fn new(book: Book, group: u16, run_key: u64, trace_id: u128, options: EngineOptions) -> Self {
        Self { book, group, run_key, trace_id, options }
    }

    /// An event is taken. It waited for the answer before it until `ready_ns`: that is the service's doing, not the
    /// generator's.
    pub(super) fn taken(&mut self, step: u16, index: u64, planned_ns: u64, ready_ns: u64, now_ns: u64) -> Flight {
        let lag_ns = now_ns.saturating_sub(planned_ns.max(ready_ns));
        if let Some(recorder) = self.book.step(usize::from(step)) {
            recorder.planned += 1;
            recorder.in_flight += 1;
            recorder.lag.record_ns(lag_ns);
        }
        let ratio = self.options.trace_ratio;
        let is_sampled = ratio > 0.0 && is_sampled(self.options.seed, u32::from(self.group), index, ratio);
        Flight { step, index, planned_ns, taken_ns: planned_ns.saturating_add(lag_ns), sent_ns: 0, is_sampled }
    }

    /// The next event of a servo waited for the node's cap on the rate.
    pub(super) fn held_back(&mut self, step: Option<u16>) {
        if let Some(recorder) = step.and_then(|step| self.book.step(usize::from(step))) {
            recorder.held_back += 1;
        }
    }

    pub(super) fn identifiers(&self, flight: &Flight) -> (u128, u64) {
        let (seed, stream) = (self.options.seed, u32::from(self.group));
        (self.trace_id, span_id(seed, self.run_key, stream, flight.index, u32::from(flight.step)))
    }

    pub(super) fn sent(&mut self, flight: &mut Flight, at_ns: u64) {
        flight.sent_ns = at_ns;
        if let Some(recorder) = self.book.step(usize::from(flight.step)) {
            recorder.sent += 1;
            recorder.blocked.record_ns(at_ns.saturating_sub(flight.taken_ns));
        }
    }

    pub(super) fn succeeded(&mut self, flight: &Flight, status: u16, now_ns: u64) {
        self.measure(flight, None, now_ns);
        self.ended(flight);
        if let Some(recorder) = self.book.step(usize::from(flight.step)) {
            recorder.succeeded += 1;
        }
        self.row(flight, status, RecordOutcome::Succeeded, None, now_ns);
    }

    pub(super) fn failed(&mut self, flight: &Flight, kind: FailureKind, status: u16, sample: &str, now_ns: u64) {
        self.measure(flight, Some(kind.latency()), now_ns);
        self.ended(flight);
        self.book.fail(usize::from(flight.step), kind, status, || sample.to_owned());
        self.row(flight, status, RecordOutcome::Failed, Some(kind), now_ns);
    }

    pub(super) fn censored(&mut self, flight: &Flight, now_ns: u64) {
        self.ended(flight);
        if let Some(recorder) = self.book.step(usize::from(flight.step)) {
            recorder.censored += 1;
            recorder.censored_response.record_ns(now_ns.saturating_sub(flight.planned_ns));
            if flight.sent_ns != 0 {
                recorder.censored_service.record_ns(now_ns.saturating_sub(flight.sent_ns));
            }
        }
        self.row(flight, 0, RecordOutcome::Censored, None, now_ns);
    }

    /// What an answer had and what it took to ask for it.
    pub(super) fn traffic(&mut self, flight: &Flight, reply: &Reply) {
        if let Some(recorder) = self.book.step(usize::from(flight.step)) {
            recorder.count_status(reply.status);
            recorder.bytes_sent += reply.written_bytes;
            recorder.bytes_received += reply.read_bytes;
            recorder.retried += reply.retried;
        }
    }

    /// The length of an event: of a success, or of a failure as the one list says ([`FailureKind::latency`]).
    fn measure(&mut self, flight: &Flight, failed: Option<FailureLatency>, now_ns: u64) {
        let Some(recorder) = self.book.step(usize::from(flight.step)) else { return };
        let (service, response) = match failed {
            Some(FailureLatency::Short) => return,
            Some(FailureLatency::Answered) => (&mut recorder.failed_service, &mut recorder.failed_response),
            Some(FailureLatency::Waited) | None => (&mut recorder.service, &mut recorder.response),
        };
        response.record_ns(now_ns.saturating_sub(flight.planned_ns));
        if flight.sent_ns != 0 {
            service.record_ns(now_ns.saturating_sub(flight.sent_ns));
        } else if failed == Some(FailureLatency::Waited) {
            recorder.blocked.record_ns(now_ns.saturating_sub(flight.taken_ns));
        }
    }

    fn ended(&mut self, flight: &Flight) {
        if let Some(recorder) = self.book.step(usize::from(flight.step)) {
            recorder.in_flight = recorder.in_flight.saturating_sub(1);
        }
    }

    pub(super) fn cycle_begun(&mut self, planned_ns: u64, now_ns: u64) -> Cycle {
        if let Some(recorder) = self.book.step(CYCLE) {
            recorder.planned += 1;
            recorder.sent += 1;
            recorder.in_flight += 1;
        }
        Cycle { planned_ns, begun_ns: now_ns }
    }

    pub(super) fn cycle_completed(&mut self, cycle: Cycle, now_ns: u64) {
        if let Some(recorder) = self.book.step(CYCLE) {
            recorder.in_flight = recorder.in_flight.saturating_sub(1);
            recorder.succeeded += 1;
            recorder.service.record_ns(now_ns.saturating_sub(cycle.begun_ns));
            recorder.response.record_ns(now_ns.saturating_sub(cycle.planned_ns));
        }
    }

    pub(super) fn cycle_broken(&mut self, kind: FailureKind, status: u16, sample: &str) {
        if let Some(recorder) = self.book.step(CYCLE) {
            recorder.in_flight = recorder.in_flight.saturating_sub(1);
        }
        self.book.fail(CYCLE, kind, status, || sample.to_owned());
    }

    /// The end has come in the middle of it. What was being tried again and again is no cycle that would have ended
    /// well.
    pub(super) fn cycle_cut_off(&mut self, cycle: Cycle, failure: Option<(FailureKind, u16)>, now_ns: u64) {
        match failure {
            Some((kind, status)) => self.cycle_broken(kind, status, "an event failed until the end"),
            None => self.cycle_censored(cycle, now_ns),
        }
    }

    /// The end has come in the middle of it.
    pub(super) fn cycle_censored(&mut self, cycle: Cycle, now_ns: u64) {
        if let Some(recorder) = self.book.step(CYCLE) {
            recorder.in_flight = recorder.in_flight.saturating_sub(1);
            recorder.censored += 1;
            recorder.censored_response.record_ns(now_ns.saturating_sub(cycle.planned_ns));
            recorder.censored_service.record_ns(now_ns.saturating_sub(cycle.begun_ns));
        }
    }

    fn row(&mut self, flight: &Flight, status: u16, outcome: RecordOutcome, failure: Option<FailureKind>, now_ns: u64) {
        let &Flight { step, index, planned_ns, sent_ns, .. } = flight;
        let exchange =
            |identifiers| Exchange { step, index, planned_ns, sent_ns, status, outcome, failure, identifiers };
        if self.book.is_slow(step, planned_ns, outcome, failure, now_ns) {
            self.book.keep_slow(&exchange(self.identifiers(flight)), flight.is_sampled, now_ns);
        }
        if self.options.records != RecordsMode::All && !flight.is_sampled {
            return;
        }
        let identifiers = if flight.is_sampled { self.identifiers(flight) } else { (0, 0) };
        self.book.keep(&exchange(identifiers), now_ns);
    }
}
