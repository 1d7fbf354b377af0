//! What becomes of an iteration: how each of its ends is counted and measured.

use nuncius_load::sample::span_id;
use nuncius_schemas::metric::{FailureKind, FailureLatency};
use nuncius_schemas::record::RecordOutcome;
use nuncius_schemas::spec::RecordsMode;

use super::{Dispatcher, Iteration, Phase};
use crate::book::Exchange;
use crate::feed::Feed;
use crate::row::Row;
use crate::trouble::Trouble;

impl Dispatcher {
    /// Trace and span of the iteration's step.
    pub(crate) fn identifiers(&self, iteration: &Iteration) -> (u128, u64) {
        let (seed, stream) = (self.options.seed, u32::from(self.group));
        let span = span_id(seed, self.run_key, stream, iteration.index, u32::from(iteration.step));
        (self.trace_id, span)
    }

    /// The step's request is being written. A second time changes nothing.
    #[inline]
    pub(crate) fn sent(&mut self, iteration: &mut Iteration, now_ns: u64) {
        if iteration.sent_ns != 0 {
            return;
        }
        iteration.sent_ns = now_ns;
        if let Some(recorder) = self.book.step(usize::from(iteration.step)) {
            recorder.sent += 1;
            recorder.blocked.record_ns(now_ns.saturating_sub(iteration.taken_ns));
        }
        if iteration.first_sent_ns == 0 {
            iteration.first_sent_ns = now_ns;
            if self.steps > 1
                && let Some(recorder) = self.book.step(self.steps)
            {
                recorder.sent += 1;
                recorder.blocked.record_ns(now_ns.saturating_sub(iteration.taken_ns));
            }
        }
    }

    /// The step was answered with `status`, as `expected` or not. Returns the iteration at its next step, if it goes
    /// on.
    #[inline]
    pub(crate) fn answered(
        &mut self,
        iteration: Iteration,
        status: u16,
        expected: bool,
        now_ns: u64,
    ) -> Option<Iteration> {
        if let Some(recorder) = self.book.step(usize::from(iteration.step)) {
            recorder.count_status(status);
        }
        if !expected {
            self.count_failed(&iteration, FailureKind::Status, status, now_ns, || format!("status {status}"));
            self.finish(&iteration, true, now_ns);
            return None;
        }
        let is_first = usize::from(iteration.step) == self.first;
        let is_open = matches!(self.feed, Feed::Open(_));
        if let Some(recorder) = self.book.step(usize::from(iteration.step)) {
            recorder.succeeded += 1;
            recorder.service.record_ns(now_ns.saturating_sub(iteration.sent_ns));
            if is_open && is_first {
                recorder.response.record_ns(now_ns.saturating_sub(iteration.planned_ns));
            }
        }
        self.row(&iteration, status, RecordOutcome::Succeeded, None, now_ns);
        let Some(step) = self.follow.get(usize::from(iteration.step)).copied().flatten() else {
            if self.steps > 1
                && let Some(recorder) = self.book.step(self.steps)
            {
                recorder.succeeded += 1;
                recorder.service.record_ns(now_ns.saturating_sub(iteration.first_sent_ns));
                if is_open {
                    recorder.response.record_ns(now_ns.saturating_sub(iteration.origin_ns));
                }
            }
            self.finish(&iteration, true, now_ns);
            return None;
        };
        self.gauge_down(usize::from(iteration.step));
        if let Some(recorder) = self.book.step(usize::from(step)) {
            recorder.planned += 1;
            recorder.in_flight += 1;
        }
        let began = Iteration { step, planned_ns: now_ns, taken_ns: now_ns, sent_ns: 0, ..iteration };
        Some(Iteration { is_resent: false, is_held: false, ..began })
    }

    /// The step failed without a complete answer.
    pub(crate) fn failed(
        &mut self,
        iteration: Iteration,
        kind: FailureKind,
        now_ns: u64,
        sample: impl FnOnce() -> String,
    ) {
        self.count_failed(&iteration, kind, 0, now_ns, sample);
        self.finish(&iteration, kind.latency() != FailureLatency::Short, now_ns);
    }

    /// The step ended without an answer: failed, or censored where the generator could not make the request.
    pub(crate) fn ended(&mut self, iteration: Iteration, trouble: Trouble, now_ns: u64) {
        match trouble {
            Trouble::Target(kind, sample) => self.failed(iteration, kind, now_ns, || sample),
            Trouble::Generator(fault) => {
                self.book.fault(fault);
                self.count_censored(&iteration, now_ns);
                self.finish(&iteration, false, now_ns);
            }
        }
    }

    /// The step's request is written once more, because the peer had closed the connection without seeing it.
    pub(crate) fn retried(&mut self, step: u16) {
        if let Some(recorder) = self.book.step(usize::from(step)) {
            recorder.retried += 1;
        }
    }

    /// Bytes of the step's request were written.
    #[inline]
    pub(crate) fn written(&mut self, step: u16, bytes: u64) {
        if let Some(recorder) = self.book.step(usize::from(step)) {
            recorder.bytes_sent += bytes;
        }
    }

    /// Bytes of the step's answer were read.
    #[inline]
    pub(crate) fn read(&mut self, step: u16, bytes: u64) {
        if let Some(recorder) = self.book.step(usize::from(step)) {
            recorder.bytes_received += bytes;
        }
    }

    /// The length of a failure, as the one list says ([`FailureKind::latency`]). What waited its timeout without being
    /// sent was blocked for so long.
    fn measure_failed(&mut self, iteration: &Iteration, kind: FailureKind, now_ns: u64) {
        let latency = kind.latency();
        let is_open = matches!(self.feed, Feed::Open(_));
        let is_first = usize::from(iteration.step) == self.first;
        let step = (usize::from(iteration.step), iteration.planned_ns, iteration.sent_ns, is_open && is_first);
        let whole = (self.steps > 1).then_some((self.steps, iteration.origin_ns, iteration.first_sent_ns, is_open));
        for (step, planned_ns, sent_ns, has_plan) in [Some(step), whole].into_iter().flatten() {
            let Some(recorder) = self.book.step(step) else { continue };
            let (service, response) = match latency {
                FailureLatency::Short => continue,
                FailureLatency::Waited => (&mut recorder.service, &mut recorder.response),
                FailureLatency::Answered => (&mut recorder.failed_service, &mut recorder.failed_response),
            };
            if has_plan {
                response.record_ns(now_ns.saturating_sub(planned_ns));
            }
            if sent_ns != 0 {
                service.record_ns(now_ns.saturating_sub(sent_ns));
            } else if latency == FailureLatency::Waited {
                recorder.blocked.record_ns(now_ns.saturating_sub(iteration.taken_ns));
            }
        }
    }

    fn count_failed(
        &mut self,
        iteration: &Iteration,
        kind: FailureKind,
        status: u16,
        now_ns: u64,
        sample: impl FnOnce() -> String,
    ) {
        self.book.fail(usize::from(iteration.step), kind, status, sample);
        if self.steps > 1 {
            self.book.fail(self.steps, kind, status, || format!("at step {}", iteration.step + 1));
        }
        self.measure_failed(iteration, kind, now_ns);
        self.row(iteration, status, RecordOutcome::Failed, Some(kind), now_ns);
    }

    #[inline]
    fn finish(&mut self, iteration: &Iteration, answered: bool, now_ns: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.gauge_down(usize::from(iteration.step));
        if self.steps > 1 {
            self.gauge_down(self.steps);
        }
        let ended = self.phase != Phase::Offering;
        if let Feed::Closed(feed) = &mut self.feed {
            let backs_off = feed.finish(iteration.user, answered, ended, now_ns);
            // Its pause, or the end of it all, may come before what was next until now.
            let wake_ns = if feed.is_exhausted() { 0 } else { feed.wake_ns().unwrap_or(u64::MAX) };
            self.due_ns = self.due_ns.min(wake_ns);
            if backs_off && let Some(recorder) = self.book.step(self.first) {
                recorder.backed_off += 1;
            }
        }
        if ended && self.in_flight == 0 && self.waiting.is_empty() {
            self.due_ns = 0;
        }
    }

    #[inline]
    pub(super) fn gauge_up(&mut self, step: usize) {
        if let Some(recorder) = self.book.step(step) {
            recorder.in_flight += 1;
        }
    }

    #[inline]
    fn gauge_down(&mut self, step: usize) {
        if let Some(recorder) = self.book.step(step) {
            recorder.in_flight = recorder.in_flight.saturating_sub(1);
        }
    }

    fn row(
        &mut self,
        iteration: &Iteration,
        status: u16,
        outcome: RecordOutcome,
        failure: Option<FailureKind>,
        now_ns: u64,
    ) {
        if self.book.is_slow(iteration.step, iteration.planned_ns, outcome, failure, now_ns) {
            let exchange = exchange(iteration, status, outcome, failure, self.identifiers(iteration));
            self.book.keep_slow(&exchange, iteration.is_sampled, now_ns);
        }
        let wanted = match self.options.records {
            // Those that are sampled become spans, whether they are kept or not.
            RecordsMode::None | RecordsMode::Sample => iteration.is_sampled,
            RecordsMode::All => true,
        };
        if !wanted {
            return;
        }
        let identifiers = if iteration.is_sampled { self.identifiers(iteration) } else { (0, 0) };
        self.book.keep(&exchange(iteration, status, outcome, failure, identifiers), now_ns);
    }

    /// A message of this run came back at a step beside the iteration, so long after it was written and was planned.
    pub(crate) fn received(&mut self, step: u16, service_ns: u64, response_ns: Option<u64>) {
        let Some(recorder) = self.book.step(usize::from(step)) else { return };
        recorder.planned += 1;
        recorder.sent += 1;
        recorder.succeeded += 1;
        recorder.service.record_ns(service_ns);
        if let Some(response_ns) = response_ns {
            recorder.response.record_ns(response_ns);
        }
    }

    /// A message that carried a sampled trace came back at a step beside the iteration. Instants in run time.
    pub(crate) fn delivered(
        &mut self,
        step: u16,
        index: u64,
        (published_ns, now_ns): (u64, u64),
        (trace_id, received_from): (u128, u64),
    ) {
        self.book.row(Row {
            group: self.group,
            step,
            index,
            planned_ns: published_ns,
            sent_ns: published_ns.max(1),
            done_ns: now_ns.max(1),
            status: -1,
            outcome: RecordOutcome::Succeeded,
            failure: None,
            trace_id,
            span_id: fastrand::u64(1..),
            received_from,
        });
    }

    /// A step beside the iteration could not go on.
    pub(crate) fn lost(&mut self, step: u16, trouble: Trouble) {
        let step = usize::from(step);
        if let Some(recorder) = self.book.step(step) {
            recorder.planned += 1;
        }
        match trouble {
            Trouble::Target(kind, sample) => self.book.fail(step, kind, 0, || sample),
            Trouble::Generator(fault) => {
                self.book.fault(fault);
                if let Some(recorder) = self.book.step(step) {
                    recorder.censored += 1;
                }
            }
        }
    }

    /// The end has come before an answer did.
    pub(crate) fn censor(&mut self, mut iteration: Iteration, now_ns: u64) {
        // One that the engine never came to was late to the end.
        self.begun(&mut iteration, now_ns);
        self.count_censored(&iteration, now_ns);
        self.finish(&iteration, true, now_ns);
    }

    fn count_censored(&mut self, iteration: &Iteration, now_ns: u64) {
        let is_open = matches!(self.feed, Feed::Open(_));
        let whole = (self.steps > 1).then_some((self.steps, iteration.origin_ns, iteration.first_sent_ns, is_open));
        let step = (
            usize::from(iteration.step),
            iteration.planned_ns,
            iteration.sent_ns,
            is_open && usize::from(iteration.step) == self.first,
        );
        for (step, planned_ns, sent_ns, has_plan) in [Some(step), whole].into_iter().flatten() {
            if let Some(recorder) = self.book.step(step) {
                recorder.censored += 1;
                if has_plan {
                    recorder.censored_response.record_ns(now_ns.saturating_sub(planned_ns));
                }
                if sent_ns != 0 {
                    recorder.censored_service.record_ns(now_ns.saturating_sub(sent_ns));
                }
            }
        }
        self.row(iteration, 0, RecordOutcome::Censored, None, now_ns);
    }
}

fn exchange(
    iteration: &Iteration,
    status: u16,
    outcome: RecordOutcome,
    failure: Option<FailureKind>,
    identifiers: (u128, u64),
) -> Exchange {
    let &Iteration { step, index, planned_ns, sent_ns, .. } = iteration;
    Exchange { step, index, planned_ns, sent_ns, status, outcome, failure, identifiers }
}
