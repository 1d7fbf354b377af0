//! The horizon of the group: at it the thread offers nothing and lives on; see [`super::stand`].

use super::Pace;
use super::feed::Feed;
use super::stand::Look;
use crate::record::Recorder;

impl Pace {
    /// Looks at the horizon: what was due before the one that was known until now is taken, what was planned from it
    /// until now is passed over, and so on while it stands.
    ///
    /// Nothing planned at or after `last_ns` is offered, whatever the horizon.
    pub(super) fn heed_horizon(&mut self, recorder: &mut Recorder, last_ns: u64, now_ns: u64) {
        let known_ns = self.frame.stand().horizon_at_ns();
        if now_ns >= known_ns {
            self.offered_until_ns = known_ns.min(last_ns).saturating_sub(1);
            self.queue_due(recorder, now_ns);
            self.missed += self.pass_over(now_ns);
        }
        match self.frame.look(now_ns) {
            Look::Offers | Look::Stands => {}
            Look::GoesOn { .. } => self.passed_over += std::mem::take(&mut self.missed),
        }
    }

    /// Leaves out own arrivals planned before `now_ns`; how many.
    pub(super) fn pass_over(&mut self, now_ns: u64) -> u64 {
        let Feed::Open(feed) = &mut self.feed else { return 0 };
        let passed_over = feed.pass_over(now_ns.saturating_sub(self.frame.start_ns()));
        if passed_over > 0 {
            self.look_ahead();
        }
        passed_over
    }

    /// How long it stood, where that is told: see [`crate::EngineMessage::Finished`].
    pub(super) fn told_stood_ns(&self) -> u64 {
        let stand = self.frame.stand();
        if self.is_open() { stand.told_of_schedule_ns(self.passed_over) } else { stand.told_ns() }
    }
}
