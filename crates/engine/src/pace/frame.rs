//! The time of a thread, whatever it offers in it: when it begins, where its horizon is, why it offers nothing any
//! more, how long it waits for answers then, and when it is all over.

use std::sync::Arc;

use nuncius_schemas::amendment::Amendment;
use nuncius_schemas::fault::GeneratorFault;

use super::stand::{Look, Stand};
use crate::control::Control;
use crate::options::EngineOptions;
use crate::record::Recorder;
use crate::sink::FinishReason;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Prepared,
    Offering,
    Draining,
    Over,
}

/// All instants are on CLOCK_MONOTONIC.
#[derive(Debug)]
pub(crate) struct Frame {
    control: Arc<Control>,
    options: EngineOptions,
    phase: Phase,
    reason: FinishReason,
    start_ns: u64,
    /// Run time at which it takes part, where that is not from the start: its shards were another node's until then.
    joins_at_ns: Option<u64>,
    stand: Stand,
    drain_until_ns: u64,
}

impl Frame {
    /// Prepared, and waiting for the start.
    pub(crate) fn new(control: Arc<Control>, options: EngineOptions, joins_at_ns: Option<u64>) -> Self {
        Self {
            control,
            options,
            phase: Phase::Prepared,
            reason: FinishReason::ScheduleEnded,
            start_ns: u64::MAX,
            joins_at_ns,
            stand: Stand::default(),
            drain_until_ns: u64::MAX,
        }
    }

    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// When run time began; never before the start is known.
    #[inline]
    pub(crate) fn start_ns(&self) -> u64 {
        self.start_ns
    }

    pub(crate) fn joins_at_ns(&self) -> Option<u64> {
        self.joins_at_ns
    }

    /// When its own part begins.
    pub(crate) fn begin_ns(&self) -> u64 {
        self.start_ns.saturating_add(self.joins_at_ns.unwrap_or(0))
    }

    pub(crate) fn stand(&self) -> &Stand {
        &self.stand
    }

    #[inline]
    pub(crate) fn is_standing(&self) -> bool {
        self.stand.is_standing()
    }

    /// Where the horizon is by now.
    pub(crate) fn horizon_at_ns(&self) -> u64 {
        self.start_ns.saturating_add(self.control.horizon_ns())
    }

    /// The amendments that are known by now.
    pub(crate) fn amendments(&self) -> Arc<[Amendment]> {
        self.control.amendments()
    }

    /// When the longest load that the node allows ends.
    pub(crate) fn cap_end_ns(&self) -> u64 {
        self.control.caps().end_ns(self.start_ns)
    }

    pub(crate) fn stop_at(&self) -> Option<u64> {
        self.control.stop_at()
    }

    /// Until when answers are waited for where nothing is offered after `at_ns`.
    pub(crate) fn drain_from(&self, at_ns: u64, now_ns: u64) -> u64 {
        at_ns.max(now_ns).saturating_add(self.options.drain_ns)
    }

    /// Takes the leave for a request now: the node's cap on the rate.
    ///
    /// # Errors
    /// When to ask again.
    #[inline]
    pub(crate) fn leave(&self, now_ns: u64) -> Result<(), u64> {
        self.control.caps().take(now_ns)
    }

    /// Looks for the start; whether it has come. One that will not come ends it.
    pub(crate) fn begins(&mut self, recorder: &mut Recorder, now_ns: u64) -> bool {
        if self.phase != Phase::Prepared {
            return false;
        }
        match self.control.start_at() {
            Some(start_ns) => {
                self.start_ns = start_ns;
                self.phase = Phase::Offering;
                self.stand.begin(self.horizon_at_ns());
                recorder.start(start_ns, if self.joins_at_ns.is_some() { now_ns } else { start_ns });
                return true;
            }
            None if self.control.is_abandoned() => self.end(FinishReason::Abandoned),
            None if self.stop_at().is_some() => self.end(FinishReason::Stopped),
            None => {}
        }
        false
    }

    /// Looks at the horizon as it is by now.
    pub(crate) fn look(&mut self, now_ns: u64) -> Look {
        let horizon_at_ns = self.horizon_at_ns();
        self.stand.look(horizon_at_ns, now_ns)
    }

    /// Offers nothing from now on, where there is a reason for that: `ended`, which is its own, with how long answers
    /// are waited for; a stop; the node's longest load; or that nobody has moved its horizon for too long. What ended
    /// by itself needs neither horizon nor stop any more. Whether it drains now.
    pub(crate) fn drains(&mut self, ended: Option<(FinishReason, u64)>, now_ns: u64) -> bool {
        let cut = || {
            if let Some(stop_ns) = self.stop_at() {
                Some((FinishReason::Stopped, stop_ns.saturating_add(self.control.stop_drain_ns())))
            } else if now_ns >= self.cap_end_ns() {
                Some((FinishReason::Failed(self.control.caps().end_reason()), self.drain_from(now_ns, now_ns)))
            } else if self.stand.since_ns().is_some_and(|since_ns| now_ns >= self.orphaned_at_ns(since_ns)) {
                Some((self.options.orphan_reason(), self.drain_from(now_ns, now_ns)))
            } else {
                None
            }
        };
        let Some((reason, until_ns)) = ended.or_else(cut) else { return false };
        self.reason = reason;
        self.phase = Phase::Draining;
        self.drain_until_ns = until_ns;
        true
    }

    /// Until when it drains.
    pub(crate) fn drain_until_ns(&self) -> u64 {
        self.drain_until_ns
    }

    /// Ends the recorder's second, and itself where nobody listens to that any more; whether it goes on.
    pub(crate) fn tick(&mut self, recorder: &mut Recorder, now_ns: u64) -> bool {
        recorder.tick(now_ns);
        if recorder.is_deaf() {
            self.end(FinishReason::Failed("the receiver of its measurements is gone".to_owned()));
        }
        !recorder.is_deaf()
    }

    /// It is over once it drains and is idle, or has drained for long enough; a stop makes that shorter.
    pub(crate) fn settle(&mut self, is_idle: bool, now_ns: u64) {
        if self.phase != Phase::Draining {
            return;
        }
        if let Some(stop_ns) = self.stop_at() {
            self.drain_until_ns = self.drain_until_ns.min(stop_ns.saturating_add(self.control.stop_drain_ns()));
        }
        if now_ns >= self.drain_until_ns || is_idle {
            self.phase = Phase::Over;
        }
    }

    /// It could not go on.
    pub(crate) fn fail(&mut self, reason: String) {
        self.reason = FinishReason::Failed(reason);
    }

    /// It could not go on for an error of the system at `what`.
    pub(crate) fn fail_at(&mut self, recorder: &mut Recorder, what: &str, error: &std::io::Error) {
        if let Some(fault) = GeneratorFault::of_error(error) {
            recorder.fault(fault);
        }
        self.fail(format!("cannot {what}: {error}"));
    }

    fn end(&mut self, reason: FinishReason) {
        self.reason = reason;
        self.phase = Phase::Over;
    }

    fn orphaned_at_ns(&self, since_ns: u64) -> u64 {
        since_ns.saturating_add(self.options.orphan_limit_ns)
    }

    /// When it is to be looked at while it offers, whatever it offers: at its horizon; where it stands there, at the
    /// end of its patience or of what it has to offer (`end_ns`).
    pub(crate) fn offering_due_ns(&self, end_ns: u64) -> u64 {
        let stands_ns = match self.stand.since_ns() {
            None => self.stand.horizon_at_ns(),
            // With the schedule or with the patience, whichever is first.
            Some(since_ns) => end_ns.min(self.orphaned_at_ns(since_ns)),
        };
        stands_ns.min(self.cap_end_ns())
    }

    /// The last messages of the thread, which says that it stood for so long.
    pub(crate) fn close(self, recorder: Recorder, stood_ns: u64, now_ns: u64) {
        recorder.close(now_ns, self.reason, stood_ns);
    }
}
