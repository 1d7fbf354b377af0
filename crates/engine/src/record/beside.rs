//! What is measured beside the iterations: messages that come back, and whoever waits for them.

use nuncius_schemas::metric::Series;
use nuncius_schemas::record::RecordOutcome;

use super::{Exchange, Recorder};
use crate::failure::Failure;
use crate::row::Row;

impl Recorder {
    /// A message of this run came back at a step beside the iteration, so long after it was written and was planned.
    pub(crate) fn received(&mut self, step: u16, service_ns: u64, response_ns: Option<u64>) {
        let Some(recorder) = self.step(step) else { return };
        recorder.planned += 1;
        recorder.sent += 1;
        recorder.succeeded += 1;
        recorder.record_ns(Series::Service, service_ns);
        if let Some(response_ns) = response_ns {
            recorder.record_ns(Series::Response, response_ns);
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
        self.seconds.row(Row {
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
            host: None,
        });
    }

    /// A step beside the iteration could not go on.
    pub(crate) fn lost(&mut self, step: u16, failure: Failure) {
        if let Some(recorder) = self.step(step) {
            recorder.planned += 1;
        }
        match failure {
            Failure::Failed(kind, sample) => self.seconds.fail(step, kind, 0, || sample),
            Failure::Unmade(fault) => {
                self.fault(fault);
                if let Some(recorder) = self.step(step) {
                    recorder.censored += 1;
                }
            }
        }
    }

    /// A servo's event, which was planned at an instant and had to wait for the answer before it until `ready_ns`: that
    /// is the service's doing, not the generator's.
    pub(crate) fn event(&mut self, step: u16, index: u64, (planned_ns, ready_ns): (u64, u64), now_ns: u64) -> Exchange {
        let is_sampled = self.is_sampled(index);
        let event = Exchange {
            step,
            place: step,
            index,
            host: 0,
            planned_ns,
            taken_ns: planned_ns,
            sent_ns: 0,
            has_plan: true,
            is_sampled,
            is_held: false,
        };
        self.plan(event, ready_ns, now_ns)
    }

    /// A servo's cycle begins: the whole that its events are part of.
    pub(crate) fn cycle(&mut self, planned_ns: u64, now_ns: u64) -> Exchange {
        if let Some(recorder) = self.step(self.iteration) {
            recorder.planned += 1;
            recorder.sent += 1;
            recorder.in_flight += 1;
        }
        Exchange {
            step: self.iteration,
            place: self.iteration,
            index: 0,
            host: 0,
            planned_ns,
            taken_ns: now_ns,
            sent_ns: now_ns,
            has_plan: true,
            is_sampled: false,
            is_held: false,
        }
    }
}
