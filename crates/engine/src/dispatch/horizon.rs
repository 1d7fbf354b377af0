//! The horizon of the group: at it the thread offers nothing and lives on; see [`crate::stand`].

use super::{Dispatcher, Phase};
use crate::feed::Feed;
use crate::sink::FinishReason;
use crate::stand::Look;

impl Dispatcher {
    /// Looks at the horizon: what was due before the one that was known until now is taken, what was planned from it
    /// until now is passed over, and so on while it stands.
    ///
    /// Nothing planned at or after `last_ns` is offered, whatever the horizon.
    pub(super) fn heed_horizon(&mut self, horizon_at_ns: u64, last_ns: u64, now_ns: u64) {
        let known_ns = self.stand.horizon_at_ns();
        if now_ns >= known_ns {
            self.offered_until_ns = known_ns.min(last_ns).saturating_sub(1);
            self.queue_due(now_ns);
            self.missed += self.pass_over(now_ns);
        }
        match self.stand.look(horizon_at_ns, now_ns) {
            Look::Offers | Look::Stands => {}
            Look::GoesOn { .. } => self.passed_over += std::mem::take(&mut self.missed),
        }
    }

    /// Leaves out own arrivals planned before `now_ns`; how many.
    pub(super) fn pass_over(&mut self, now_ns: u64) -> u64 {
        let Feed::Open(feed) = &mut self.feed else { return 0 };
        let passed_over = feed.pass_over(now_ns.saturating_sub(self.start_ns));
        if passed_over > 0 {
            self.look_ahead();
        }
        passed_over
    }

    /// When standing comes to its end, unless the horizon is moved: with the schedule or with the patience, whichever
    /// is first.
    pub(super) fn stands_until_ns(&self, since_ns: u64) -> u64 {
        let end_ns = match &self.feed {
            // One that ends with its last arrival is looked at with every second.
            Feed::Open(feed) => feed.end_ns(),
            Feed::Closed(feed) => feed.duration_ns(),
        };
        let end_ns = end_ns.map_or(u64::MAX, |end_ns| self.start_ns.saturating_add(end_ns));
        end_ns.min(self.orphaned_at_ns(since_ns))
    }

    fn orphaned_at_ns(&self, since_ns: u64) -> u64 {
        since_ns.saturating_add(self.options.orphan_limit_ns)
    }

    /// Why a thread ends that has stood for longer than it may: its daemon is gone, or has given its node up, and
    /// others may want that.
    pub(super) fn orphaned(&self, now_ns: u64) -> Option<FinishReason> {
        let since_ns = self.stand.since_ns().filter(|_| self.phase == Phase::Offering)?;
        (now_ns >= self.orphaned_at_ns(since_ns)).then(|| self.options.orphan_reason())
    }

    /// How long it stood, where that is told: see [`crate::EngineMessage::Finished`].
    pub(super) fn told_stood_ns(&self) -> u64 {
        if self.is_open() { self.stand.told_of_schedule_ns(self.passed_over) } else { self.stand.told_ns() }
    }
}
