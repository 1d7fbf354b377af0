//! What only iterations have that may begin with any step and go on as their own rules say.

use nuncius_schemas::metric::add_check;

use super::{Exchange, Recorder};
use crate::start::Start;

impl Recorder {
    /// The first step of an iteration that may begin with any: it counts from the planned instant, and what the engine
    /// itself needed since it has begun is its lag.
    pub(crate) fn first(&mut self, step: u16, start: &Start, now_ns: u64) -> Exchange {
        let lag_ns = now_ns.saturating_sub(start.begun_ns);
        let place = self.place(step, start.is_warm_up);
        self.open(place, Some(lag_ns));
        Exchange { step, place, taken_ns: start.taken_ns.saturating_add(lag_ns), ..self.enter(start) }
    }

    /// A later step, planned at an instant that is known beforehand, such as the end of the one before plus the user's
    /// think time: what the engine came later to it is lag.
    pub(crate) fn later(&mut self, step: u16, start: &Start, planned_ns: u64, now_ns: u64) -> Exchange {
        let place = self.place(step, start.is_warm_up);
        let of = Exchange { step, place, planned_ns, ..self.enter(start) };
        self.plan(of, planned_ns, now_ns)
    }

    /// A step that an iteration passes by, by its own rules.
    pub(crate) fn skip(&mut self, place: u16) {
        if let Some(recorder) = self.step(place) {
            recorder.planned += 1;
            recorder.skipped += 1;
        }
    }

    /// An answer led elsewhere, and was followed: a request more of the same exchange. The answer is none of those that
    /// are counted by status.
    pub(crate) fn redirected(&mut self, place: u16) {
        if let Some(recorder) = self.step(place) {
            recorder.redirects += 1;
        }
    }

    /// A check of this name was made on what a step has got.
    pub(crate) fn check(&mut self, place: u16, name: &str, has_passed: bool) {
        if let Some(recorder) = self.step(place) {
            add_check(&mut recorder.checks, name, u64::from(has_passed), u64::from(!has_passed));
        }
    }

    /// Adds to a meter, by its number in the plan: to the sum of a counter; to a histogram one value.
    pub(crate) fn meter(&mut self, meter: usize, value: u64) {
        if let Some(recorder) = self.seconds.meter(meter) {
            recorder.record(value);
        }
    }
}
