//! How everything counts that is measured: arrivals, the requests of steps, whole iterations, checks and meters.
//!
//! For each recorder, at every instant: planned = succeeded + failed + censored + skipped + waiting or in flight. What
//! of a failure's length counts is in one list, [`FailureKind::latency`]. Nothing here does I/O or reads a clock; all
//! instants are on CLOCK_MONOTONIC.

use std::net::SocketAddr;
use std::sync::mpsc::SyncSender;

use nuncius_load::sample::{is_sampled, span_id};
use nuncius_schemas::fault::GeneratorFault;
use nuncius_schemas::metric::{FailureKind, FailureLatency, Series};
use nuncius_schemas::record::RecordOutcome;
use nuncius_schemas::steps::in_warm_up;

use crate::failure::Failure;
use crate::options::EngineOptions;
use crate::plan::GroupPlan;
use crate::sink::{EngineMessage, FinishReason, StepRecorder};
use crate::start::Start;

mod beside;
mod exchange;
mod numbered;
mod rows;
mod seconds;
mod session;
mod tracks;

pub(crate) use exchange::Exchange;

use seconds::Seconds;

use tracks::Tracks;

#[derive(Debug)]
pub(crate) struct Recorder {
    seconds: Seconds,
    /// Where arrivals are counted, beside the iteration: the first step where it is the same in every iteration.
    entry: u16,
    /// Where iterations are counted.
    iteration: u16,
    /// The same where it is none of the steps.
    whole: Option<u16>,
    warm_up_ns: u64,
    /// What is planned before this is warm-up.
    warm_until_ns: u64,
    group: u16,
    run_key: u64,
    trace_id: u128,
    options: EngineOptions,
    tracks: Tracks,
}

impl Recorder {
    /// Of one thread of a group.
    pub(crate) fn new(
        plan: &GroupPlan,
        thread: usize,
        options: EngineOptions,
        sink: SyncSender<EngineMessage>,
    ) -> Self {
        let shape = (plan.recorders(), options.trace_slowest);
        Self {
            seconds: Seconds::new((plan.group, thread), shape, &plan.meters, sink),
            entry: plan.entry(),
            iteration: plan.steps.iteration(),
            whole: plan.steps.whole(),
            warm_up_ns: plan.warm_up_ns,
            warm_until_ns: 0,
            group: plan.group,
            run_key: plan.run_key,
            trace_id: plan.trace_id,
            options,
            tracks: Tracks::new(plan.run_key),
        }
    }

    /// Run time began at `start_ns`; what there is to tell begins with the second of `first_ns`.
    pub(crate) fn start(&mut self, start_ns: u64, first_ns: u64) {
        self.warm_until_ns = if self.warm_up_ns == 0 { 0 } else { start_ns.saturating_add(self.warm_up_ns) };
        self.seconds.start(start_ns, first_ns);
    }

    /// Run time at an instant; 0 before the start.
    pub(crate) fn run_time_ns(&self, at_ns: u64) -> u64 {
        self.seconds.run_time_ns(at_ns)
    }

    /// When [`Recorder::tick`] has something to do.
    #[inline]
    pub(crate) fn second_end_ns(&self) -> u64 {
        self.seconds.second_end_ns()
    }

    /// Ends the seconds that are over.
    pub(crate) fn tick(&mut self, now_ns: u64) {
        self.seconds.tick(now_ns);
    }

    /// Whether nobody listens any more.
    pub(crate) fn is_deaf(&self) -> bool {
        self.seconds.is_deaf()
    }

    /// The last messages; waits for room.
    pub(crate) fn close(self, now_ns: u64, reason: FinishReason, stood_ns: u64) {
        self.seconds.close(now_ns, reason, stood_ns);
    }

    /// Whether an iteration carries a sampled trace.
    #[inline]
    pub(crate) fn is_sampled(&self, index: u64) -> bool {
        let ratio = self.options.trace_ratio;
        ratio > 0.0 && is_sampled(self.options.seed, u32::from(self.group), index, ratio)
    }

    /// Trace and span of an exchange.
    pub(crate) fn identifiers(&self, exchange: &Exchange) -> (u128, u64) {
        let (seed, stream) = (self.options.seed, u32::from(self.group));
        (self.trace_id, span_id(seed, self.run_key, stream, exchange.index, u32::from(exchange.step)))
    }

    #[inline]
    fn step(&mut self, recorder: u16) -> Option<&mut StepRecorder> {
        self.seconds.step(recorder)
    }

    /// Where a step, or a whole iteration, counts: what belongs to an iteration that was planned in the warm-up counts
    /// at recorders of its own, which come after all others. See [`nuncius_schemas::steps::StepTable::warm_up`].
    #[inline]
    pub(crate) fn place(&self, step: u16, is_warm_up: bool) -> u16 {
        if is_warm_up { in_warm_up(step, self.iteration) } else { step }
    }

    /// Where arrivals are counted: the entry, and the iteration where that is another recorder.
    #[inline]
    fn count_arrivals(&mut self, is_warm_up: bool, count: impl Fn(&mut StepRecorder)) {
        if let Some(recorder) = self.step(self.place(self.entry, is_warm_up)) {
            count(recorder);
        }
        if self.iteration != self.entry
            && let Some(recorder) = self.step(self.place(self.iteration, is_warm_up))
        {
            count(recorder);
        }
    }

    /// An arrival was taken from the schedule, or begun by a user.
    #[inline]
    pub(crate) fn arrived(&mut self, planned_ns: u64) {
        self.count_arrivals(planned_ns < self.warm_until_ns, |recorder| recorder.planned += 1);
    }

    /// An arrival is handed to the engine.
    #[inline]
    pub(crate) fn launched(
        &mut self,
        index: u64,
        user: u32,
        (planned_ns, taken_ns): (u64, u64),
        has_plan: bool,
        now_ns: u64,
    ) -> Start {
        let is_warm_up = planned_ns < self.warm_until_ns;
        self.count_arrivals(is_warm_up, |recorder| recorder.in_flight += 1);
        let is_sampled = self.is_sampled(index);
        Start { index, planned_ns, taken_ns, launched_ns: now_ns, begun_ns: 0, user, has_plan, is_sampled, is_warm_up }
    }

    /// The node's cap on the rate has held a start back since `since_ns`: that is lag.
    #[cold]
    pub(crate) fn let_through(&mut self, start: &mut Start, since_ns: u64, now_ns: u64) {
        let held_ns = now_ns.saturating_sub(since_ns.max(start.taken_ns));
        start.taken_ns = start.taken_ns.saturating_add(held_ns);
        self.held_back(self.place(self.entry, start.is_warm_up));
    }

    /// A request waited for the node's cap on the rate.
    pub(crate) fn held_back(&mut self, place: u16) {
        if let Some(recorder) = self.step(place) {
            recorder.held_back += 1;
        }
    }

    /// A user pauses because its iteration ended without an answer.
    pub(crate) fn backed_off(&mut self) {
        if let Some(recorder) = self.step(self.entry) {
            recorder.backed_off += 1;
        }
    }

    /// The engine turns to a start: what it took to do so since it was given it is lag. A second time changes nothing.
    #[inline]
    pub(crate) fn begun(&mut self, start: &mut Start, now_ns: u64) {
        if start.begun_ns != 0 {
            return;
        }
        start.begun_ns = now_ns;
        start.taken_ns = start.taken_ns.saturating_add(now_ns.saturating_sub(start.launched_ns));
        if start.has_plan
            && let Some(recorder) = self.step(self.place(self.entry, start.is_warm_up))
        {
            recorder.record_ns(Series::Lag, start.taken_ns.saturating_sub(start.planned_ns));
        }
    }

    /// The end has come before the engine turned to a start: it was late to the end.
    pub(crate) fn never_begun(&mut self, mut start: Start, now_ns: u64) {
        self.begun(&mut start, now_ns);
        if Some(self.entry) != self.whole {
            self.censored(self.enter(&start), now_ns);
        }
        if let Some(whole) = self.whole(&start) {
            self.censored(whole, now_ns);
        }
    }

    /// There were as many users as there may be when a start was due.
    pub(crate) fn turned_away(&mut self, mut start: Start, now_ns: u64) {
        self.begun(&mut start, now_ns);
        if Some(self.entry) != self.whole {
            self.skipped(self.enter(&start));
        }
        if let Some(whole) = self.whole(&start) {
            self.skipped(whole);
        }
    }

    /// The iteration of a start as an exchange of its own; `None` where the only step is the iteration.
    #[inline]
    pub(crate) fn whole(&self, start: &Start) -> Option<Exchange> {
        let step = self.whole?;
        Some(Exchange { step, place: self.place(step, start.is_warm_up), ..self.enter(start) })
    }

    /// The first step of an iteration that always begins with it: it was counted with the arrival.
    #[inline]
    pub(crate) fn enter(&self, start: &Start) -> Exchange {
        Exchange {
            step: self.entry,
            place: self.place(self.entry, start.is_warm_up),
            index: start.index,
            host: 0,
            planned_ns: start.planned_ns,
            taken_ns: start.taken_ns,
            sent_ns: 0,
            has_plan: start.has_plan,
            is_sampled: start.is_sampled,
            is_held: false,
        }
    }

    /// A later step that is planned when it begins.
    #[inline]
    pub(crate) fn next(&mut self, step: u16, before: &Exchange, now_ns: u64) -> Exchange {
        let place = self.place(step, before.is_warm_up());
        self.open(place, None);
        Exchange {
            step,
            place,
            planned_ns: now_ns,
            taken_ns: now_ns,
            sent_ns: 0,
            has_plan: false,
            is_held: false,
            host: 0,
            index: before.index,
            is_sampled: before.is_sampled,
        }
    }

    /// Something that was planned at an instant, and had to wait for something else until `ready_ns`: that is no lag,
    /// but shows as blocked.
    pub(crate) fn plan(&mut self, of: Exchange, ready_ns: u64, now_ns: u64) -> Exchange {
        let lag_ns = now_ns.saturating_sub(of.planned_ns.max(ready_ns));
        self.open(of.place, Some(lag_ns));
        Exchange { taken_ns: of.planned_ns.saturating_add(lag_ns), ..of }
    }

    #[inline]
    fn open(&mut self, place: u16, lag_ns: Option<u64>) {
        let Some(recorder) = self.step(place) else { return };
        recorder.planned += 1;
        recorder.in_flight += 1;
        if let Some(lag_ns) = lag_ns {
            recorder.record_ns(Series::Lag, lag_ns);
        }
    }

    /// The node's cap on the rate lets an exchange through; where it had held it back before it was sent, it is planned
    /// anew.
    #[inline]
    pub(crate) fn permitted(&mut self, exchange: &mut Exchange, now_ns: u64) {
        if std::mem::take(&mut exchange.is_held) {
            if exchange.sent_ns == 0 {
                (exchange.planned_ns, exchange.taken_ns) = (now_ns, now_ns);
            }
            self.held_back(exchange.place);
        }
    }

    /// The request of an exchange is being written; of a whole iteration, that of its first step. A second time changes
    /// nothing.
    #[inline]
    pub(crate) fn sent(&mut self, exchange: &mut Exchange, now_ns: u64) {
        if exchange.sent_ns != 0 {
            return;
        }
        exchange.sent_ns = now_ns;
        if let Some(recorder) = self.step(exchange.place) {
            recorder.sent += 1;
            recorder.record_ns(Series::Blocked, now_ns.saturating_sub(exchange.taken_ns));
        }
    }

    /// It ended as expected, with `status`, which is 0 for protocols without one.
    #[inline]
    pub(crate) fn succeeded(&mut self, exchange: Exchange, status: u16, now_ns: u64) {
        if let Some(recorder) = self.step(exchange.place) {
            recorder.in_flight = recorder.in_flight.saturating_sub(1);
            recorder.count_status(status);
            recorder.succeeded += 1;
            if let Some(host) = recorder.host(exchange.host) {
                host.succeeded += 1;
                host.service_ns += if exchange.sent_ns == 0 { 0 } else { now_ns.saturating_sub(exchange.sent_ns) };
            }
            if exchange.sent_ns != 0 {
                recorder.record_ns(Series::Service, now_ns.saturating_sub(exchange.sent_ns));
            }
            if exchange.has_plan {
                recorder.record_ns(Series::Response, now_ns.saturating_sub(exchange.planned_ns));
            }
        }
        self.row(&exchange, status, RecordOutcome::Succeeded, None, now_ns);
    }

    /// It failed, answered with `status` or, where that is 0, without an answer that has one. `sample` is a text about
    /// it that never holds what the target sent.
    pub(crate) fn failed(
        &mut self,
        exchange: Exchange,
        kind: FailureKind,
        status: u16,
        now_ns: u64,
        sample: impl FnOnce() -> String,
    ) {
        let is_whole = Some(exchange.step) == self.whole;
        if let Some(recorder) = self.step(exchange.place) {
            // Answers are counted by status where they were asked for.
            if !is_whole {
                recorder.count_status(status);
            }
            if let Some(host) = recorder.host(exchange.host) {
                host.failed += 1;
            }
            measure_failed(recorder, &exchange, kind.latency(), now_ns);
        }
        self.broken_off(exchange, kind, status, sample);
        self.row(&exchange, status, RecordOutcome::Failed, Some(kind), now_ns);
    }

    /// It was given up for a failure of something else: that has been measured, and the length of this says nothing.
    pub(crate) fn broken_off(
        &mut self,
        exchange: Exchange,
        kind: FailureKind,
        status: u16,
        sample: impl FnOnce() -> String,
    ) {
        self.close_gauge(exchange.place);
        self.seconds.fail(exchange.place, kind, status, sample);
    }

    /// It did not succeed: it failed, or is censored where the generator could not make it.
    pub(crate) fn ended(&mut self, exchange: Exchange, failure: Failure, now_ns: u64) {
        match failure {
            Failure::Failed(kind, sample) => self.failed(exchange, kind, 0, now_ns, || sample),
            Failure::Unmade(fault) => {
                self.fault(fault);
                self.censored(exchange, now_ns);
            }
        }
    }

    /// The end has come before its own did, or the generator could not make it.
    pub(crate) fn censored(&mut self, exchange: Exchange, now_ns: u64) {
        self.close_gauge(exchange.place);
        if let Some(recorder) = self.step(exchange.place) {
            recorder.censored += 1;
            if exchange.has_plan {
                recorder.record_ns(Series::CensoredResponse, now_ns.saturating_sub(exchange.planned_ns));
            }
            if exchange.sent_ns != 0 {
                recorder.record_ns(Series::CensoredService, now_ns.saturating_sub(exchange.sent_ns));
            }
        }
        self.row(&exchange, 0, RecordOutcome::Censored, None, now_ns);
    }

    /// It was given up by the rules of the test itself, before anything was sent.
    pub(crate) fn skipped(&mut self, exchange: Exchange) {
        self.close_gauge(exchange.place);
        if let Some(recorder) = self.step(exchange.place) {
            recorder.skipped += 1;
        }
    }

    #[inline]
    fn close_gauge(&mut self, place: u16) {
        if let Some(recorder) = self.step(place) {
            recorder.in_flight = recorder.in_flight.saturating_sub(1);
        }
    }

    /// Counts what the generator had not enough of to make a request.
    pub(crate) fn fault(&mut self, fault: GeneratorFault) {
        self.seconds.fault(fault);
    }

    /// A request is written once more, because the peer had closed the connection without seeing it.
    pub(crate) fn retried(&mut self, place: u16) {
        if let Some(recorder) = self.step(place) {
            recorder.retried += 1;
        }
    }

    /// Bytes of a step's request were written.
    #[inline]
    pub(crate) fn written(&mut self, place: u16, bytes: u64) {
        if let Some(recorder) = self.step(place) {
            recorder.bytes_sent += bytes;
        }
    }

    /// Bytes of a step's answer were read.
    #[inline]
    pub(crate) fn read(&mut self, place: u16, bytes: u64) {
        if let Some(recorder) = self.step(place) {
            recorder.bytes_received += bytes;
        }
    }

    /// The number that exchanges with a host have, from 1 on; 0 where there is none for it any more.
    pub(crate) fn host_number(&mut self, host: SocketAddr) -> u16 {
        self.seconds.host_number(host)
    }

    /// For the last report: see [`crate::SecondReport::cycles`].
    pub(crate) fn cycles(&mut self, cycles: Vec<(u32, u64)>) {
        self.seconds.cycles(cycles);
    }
}

/// The length of a failure, as the one list says ([`FailureKind::latency`]). What waited its timeout without being sent
/// was blocked for so long.
fn measure_failed(recorder: &mut StepRecorder, exchange: &Exchange, latency: FailureLatency, now_ns: u64) {
    let (service, response) = match latency {
        FailureLatency::Short => return,
        FailureLatency::Waited => (Series::Service, Series::Response),
        FailureLatency::Answered => (Series::FailedService, Series::FailedResponse),
    };
    if exchange.has_plan {
        recorder.record_ns(response, now_ns.saturating_sub(exchange.planned_ns));
    }
    if exchange.sent_ns != 0 {
        recorder.record_ns(service, now_ns.saturating_sub(exchange.sent_ns));
    } else if latency == FailureLatency::Waited {
        recorder.record_ns(Series::Blocked, now_ns.saturating_sub(exchange.taken_ns));
    }
}

#[cfg(test)]
mod tests;
