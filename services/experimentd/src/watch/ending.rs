//! How a run comes to its end: when it is over, how it is cut short, what is left to do then.

use std::collections::BTreeMap;

use nuncius_schemas::event::EventKind;
use tracing::debug;

use super::Watch;
use crate::finish::CutShort;
use crate::run::cut_by;
use crate::stress::Pressure;
use crate::timing::nanoseconds;

impl Watch<'_> {
    /// Whether nobody has anything to say any more, and the run's own time is over or was cut short.
    pub(super) fn is_over(&self) -> bool {
        let all_ended = self.names.iter().all(|name| self.has_ended(name));
        let all_lost = self.names.iter().all(|name| self.lost.contains_key(name));
        // One that was given up may live, and offers up to its horizon.
        let may_be_offering = self.lost.values().any(|lost| lost.horizon_ns.min(self.last_ns()) > self.run_ns());
        let is_its_time_over = all_lost || self.cut_short.is_some() || self.run_ns() >= self.lasts_until_ns;
        all_ended && is_its_time_over && !may_be_offering
    }

    /// Run time after which nothing is planned, in nanoseconds.
    pub(super) fn last_ns(&self) -> u64 {
        self.stopped_ns.or(self.end_ns).unwrap_or(u64::MAX)
    }

    /// Run time at which the run, which is over, came to its end.
    pub(super) fn over_at_ns(&self) -> u64 {
        if self.cut_short.is_some() { self.ended_ns } else { self.ended_ns.max(self.lasts_until_ns) }
    }

    pub(super) fn has_ended(&self, name: &str) -> bool {
        self.lost.contains_key(name) || self.totals.is_complete(name)
    }

    /// What is left to do once nobody offers anything.
    pub(super) async fn finish(&mut self, pressure: Option<Pressure>) {
        if let Some(reason) = self.running.control.close()
            && self.cut_short.is_none()
        {
            // Taken at the very end: whoever was told so shall find it.
            self.cut(cut_by(reason)).await;
        }
        if let Some(pressure) = pressure {
            self.asking.release(pressure);
        }
        let told = self.asking.end().await;
        self.say(told).await;
        for (name, lost) in &self.lost {
            self.totals.lose(name);
            debug!(node = %name, reason = %lost.reason, "what it had under way is censored");
        }
        self.close(u32::MAX).await;
    }

    /// Tells a node to stop, until it has heard it: once the run is cut short, or the node was given up, for it may
    /// live, and be wanted elsewhere.
    pub(super) fn stop(&mut self, name: &str) {
        let (drain_ns, reason) = match &self.cut_short {
            _ if self.lost.contains_key(name) => (0, "it was given up"),
            Some(cut) if !self.has_ended(name) => (self.drain_ns(cut), cut.reason.as_str()),
            Some(_) | None => return,
        };
        let running = &*self.running;
        self.asking.stop(name, || crate::start::stop_command(running, drain_ns, reason));
    }

    /// How long answers are waited for after a cut.
    pub(super) fn drain_ns(&self, cut: &CutShort) -> u64 {
        let drain_ns = self.running.journal.record.spec.drain.0;
        if cut.cancelled { drain_ns.min(nanoseconds(self.running.daemon.timing.cancel_drain)) } else { drain_ns }
    }

    /// Ends the run early: offers nothing more, waits a little for answers.
    pub(super) async fn cut(&mut self, cut: CutShort) {
        let run_ns = self.run_ns();
        self.stopped_ns = Some(run_ns);
        self.judge.end_at(run_ns);
        let reason = cut.reason.clone();
        self.cut_short = Some(cut);
        for name in self.names.clone() {
            self.stop(&name);
        }
        self.running.journal.say(EventKind::Control, &reason, BTreeMap::new()).await;
    }
}
