//! Iterations of one sequence of steps without a task for each: what the plain engine calls at every event.

use nuncius_schemas::metric::FailureKind;

use crate::failure::Failure;
use crate::pace::Pace;
use crate::record::{Exchange, Recorder};
use crate::sequence::{Sequence, failed_at, was_answered};

/// One iteration under way, at one of its steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Iteration {
    /// The request of its step.
    pub(crate) exchange: Exchange,
    whole: Option<Exchange>,
    user: u32,
    /// Written once more after the peer had closed a connection that it had kept open until then.
    pub(crate) is_resent: bool,
}

/// Pace, recorder and sequence of a thread that does one step of an iteration at a time, without a task for it.
#[derive(Debug)]
pub(crate) struct Sequencer {
    pub(crate) pace: Pace,
    pub(crate) recorder: Recorder,
    sequence: Sequence,
}

impl Sequencer {
    pub(crate) fn new(pace: Pace, recorder: Recorder, sequence: Sequence) -> Self {
        Self { pace, recorder, sequence }
    }

    /// Looks at control and clock.
    pub(crate) fn poll(&mut self, now_ns: u64) {
        self.pace.poll(&mut self.recorder, now_ns);
    }

    /// The next iteration for which there is room; the engine turns to it at once.
    #[inline]
    pub(crate) fn next(&mut self, now_ns: u64) -> Option<Iteration> {
        let mut start = self.pace.next(&mut self.recorder, now_ns)?;
        self.recorder.begun(&mut start, now_ns);
        let (exchange, whole) = (self.recorder.enter(&start), self.recorder.whole(&start));
        Some(Iteration { exchange, whole, user: start.user, is_resent: false })
    }

    /// Whether the iteration's request, which is not its first, may be written now.
    ///
    /// # Errors
    ///
    /// When to ask again: the cap on the rate.
    #[inline]
    pub(crate) fn permit(&mut self, iteration: &mut Iteration, now_ns: u64) -> Result<(), u64> {
        self.pace.permit(&mut self.recorder, &mut iteration.exchange, now_ns)
    }

    /// The step's request is being written. A second time changes nothing.
    #[inline]
    pub(crate) fn sent(&mut self, iteration: &mut Iteration, now_ns: u64) {
        self.recorder.sent(&mut iteration.exchange, now_ns);
        if let Some(whole) = &mut iteration.whole {
            self.recorder.sent(whole, now_ns);
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
        if !expected {
            self.fail(iteration, FailureKind::Status, status, now_ns, || format!("status {status}"));
            return None;
        }
        let exchange = iteration.exchange;
        self.recorder.succeeded(exchange, status, now_ns);
        if let Some(step) = self.sequence.after(exchange.step) {
            let exchange = self.recorder.next(step, &exchange, now_ns);
            return Some(Iteration { exchange, is_resent: false, ..iteration });
        }
        if let Some(whole) = iteration.whole {
            self.recorder.succeeded(whole, 0, now_ns);
        }
        self.pace.ended(&mut self.recorder, iteration.user, true, now_ns);
        None
    }

    /// The step failed without a complete answer.
    pub(crate) fn failed(
        &mut self,
        iteration: Iteration,
        kind: FailureKind,
        now_ns: u64,
        sample: impl FnOnce() -> String,
    ) {
        self.fail(iteration, kind, 0, now_ns, sample);
    }

    fn fail(
        &mut self,
        iteration: Iteration,
        kind: FailureKind,
        status: u16,
        now_ns: u64,
        sample: impl FnOnce() -> String,
    ) {
        self.recorder.failed(iteration.exchange, kind, status, now_ns, sample);
        if let Some(whole) = iteration.whole {
            self.recorder.failed(whole, kind, status, now_ns, || failed_at(iteration.exchange.step));
        }
        self.pace.ended(&mut self.recorder, iteration.user, was_answered(kind), now_ns);
    }

    /// The step ended without an answer: failed, or censored where the generator could not make the request.
    pub(crate) fn ended(&mut self, iteration: Iteration, failure: Failure, now_ns: u64) {
        match failure {
            Failure::Failed(kind, sample) => self.failed(iteration, kind, now_ns, || sample),
            Failure::Unmade(fault) => {
                self.recorder.fault(fault);
                self.cut_off(iteration, false, now_ns);
            }
        }
    }

    /// The end has come before an answer did.
    pub(crate) fn censor(&mut self, iteration: Iteration, now_ns: u64) {
        self.cut_off(iteration, true, now_ns);
    }

    fn cut_off(&mut self, iteration: Iteration, was_answered: bool, now_ns: u64) {
        self.recorder.censored(iteration.exchange, now_ns);
        if let Some(whole) = iteration.whole {
            self.recorder.censored(whole, now_ns);
        }
        self.pace.ended(&mut self.recorder, iteration.user, was_answered, now_ns);
    }

    /// Ends the records; `failure` says why the engine could not go on, if it could not.
    pub(crate) fn close(self, failure: Option<String>, now_ns: u64) {
        match failure {
            None => self.pace.close(self.recorder, now_ns),
            Some(reason) => self.pace.close_failed(self.recorder, reason, now_ns),
        }
    }
}

#[cfg(test)]
mod tests;
