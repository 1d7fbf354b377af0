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
            self.look_beyond(now_ns);
        }
        match self.frame.look(now_ns) {
            Look::Stands => {}
            Look::Offers => self.know_more(),
            Look::GoesOn { .. } => {
                self.know_more();
                self.missed = 0;
                self.passed_over += self.pass_over(now_ns);
            }
        }
    }

    /// Learns what there is up to the horizon, and what is amended there.
    pub(super) fn know_more(&mut self) {
        let horizon_at_ns = self.frame.stand().horizon_at_ns();
        if horizon_at_ns <= self.known_until_ns {
            return;
        }
        self.known_until_ns = horizon_at_ns;
        let amendments = self.frame.amendments();
        match &mut self.feed {
            Feed::Open(feed) => {
                feed.amend(&amendments);
                feed.extend(horizon_at_ns.saturating_sub(self.frame.start_ns()));
                self.look_ahead();
            }
            Feed::Closed(feed) => feed.amend(&amendments),
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

    /// It stands: what is planned meanwhile is missed, unless it turns out to have been amended.
    fn look_beyond(&mut self, now_ns: u64) {
        let Feed::Open(feed) = &mut self.feed else { return };
        let start_ns = self.frame.start_ns();
        let (missed, next_ns) = feed.look_beyond(now_ns.saturating_sub(start_ns));
        self.missed += missed;
        self.arrival_ns = next_ns.map_or(u64::MAX, |next_ns| start_ns.saturating_add(next_ns));
    }

    /// How long it stood, where that is told: see [`crate::EngineMessage::Finished`].
    pub(super) fn told_stood_ns(&self) -> u64 {
        let stand = self.frame.stand();
        if self.is_open() { stand.told_of_schedule_ns(self.passed_over) } else { stand.told_ns() }
    }
}
