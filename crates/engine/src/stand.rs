//! The horizon as one thread sees it: nothing planned at or after it is offered, the thread stands there until it is
//! moved, and goes on then. What was planned while it stood is passed over, never offered late.
//!
//! What counts is what the thread knew at the instant itself: that the horizon was moved meanwhile makes nothing of it
//! due afterwards.

/// Standing for less than this holds nobody up who has no schedule: as long as a heartbeat may be late without being
/// told.
const TOLD_NS: u64 = 100_000_000;

/// What a look at the horizon has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// It lies ahead.
    Offers,
    /// It has been reached.
    Stands,
    /// It lies ahead again; until now the thread stood.
    GoesOn {
        /// Since when.
        since_ns: u64,
    },
}

/// All instants are on CLOCK_MONOTONIC.
#[derive(Debug, Default)]
pub(crate) struct Stand {
    /// As the last look found it.
    horizon_at_ns: u64,
    since_ns: Option<u64>,
    /// How long it stood before it went on.
    before_ns: u64,
}

impl Stand {
    /// From the start on.
    pub(crate) fn begin(&mut self, horizon_at_ns: u64) {
        self.horizon_at_ns = horizon_at_ns;
    }

    /// The horizon as of the last look.
    pub(crate) fn horizon_at_ns(&self) -> u64 {
        self.horizon_at_ns
    }

    pub(crate) fn look(&mut self, horizon_at_ns: u64, now_ns: u64) -> Look {
        if now_ns >= self.horizon_at_ns {
            self.since_ns.get_or_insert(self.horizon_at_ns);
        }
        self.horizon_at_ns = horizon_at_ns;
        match self.since_ns {
            None => Look::Offers,
            Some(_) if now_ns >= horizon_at_ns => Look::Stands,
            Some(since_ns) => {
                self.since_ns = None;
                self.before_ns = self.before_ns.saturating_add(now_ns.saturating_sub(since_ns));
                Look::GoesOn { since_ns }
            }
        }
    }

    /// Since when it stands, if it does.
    pub(crate) fn since_ns(&self) -> Option<u64> {
        self.since_ns
    }

    pub(crate) fn is_standing(&self) -> bool {
        self.since_ns.is_some()
    }

    /// How long it stood in all, where that is worth telling: see [`crate::EngineMessage::Finished`].
    pub(crate) fn told_ns(&self) -> u64 {
        if self.before_ns < TOLD_NS { 0 } else { self.before_ns }
    }

    /// The same where something that was planned meanwhile was passed over: however short that was.
    pub(crate) fn told_of_schedule_ns(&self, passed_over: u64) -> u64 {
        if passed_over == 0 { 0 } else { self.before_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stands_from_the_horizon_that_it_knew_until_it_sees_one_ahead() {
        let mut stand = Stand::default();
        stand.begin(100);
        assert_eq!(stand.look(100, 99), Look::Offers);
        assert_eq!(stand.look(200, 99), Look::Offers);
        assert_eq!((stand.look(200, 200), stand.is_standing()), (Look::Stands, true));
        // One that has passed by now moves nobody.
        assert_eq!(stand.look(250, 300), Look::Stands);
        assert_eq!(stand.look(400, 310), Look::GoesOn { since_ns: 200 });
        // It slept over the horizon, which was moved meanwhile.
        assert_eq!((stand.look(600, 500), stand.is_standing()), (Look::GoesOn { since_ns: 400 }, false));
        assert_eq!((stand.told_ns(), stand.told_of_schedule_ns(0), stand.told_of_schedule_ns(1)), (0, 0, 210));
    }
}
