//! How starts come about: taken from the schedule or begun by a user, as soon as there is room and the node's cap on
//! the rate allows.
//!
//! An arrival is *taken* when the engine turns to it, with a reading of the clock of its own; one that is due while
//! there is no room is taken at once, and waits as *blocked*. What the engine itself then takes until it begins, and
//! what the cap holds back, is lag.

use super::closed::Task;
use super::feed::Feed;
use super::{Pace, Phase, WAITING_MAX, Waiting};
use crate::record::{Exchange, Recorder};
use crate::start::Start;

impl Pace {
    /// Whether [`Pace::next`] has something to give, but for the cap on the rate.
    #[inline]
    pub(crate) fn has_next(&self, now_ns: u64) -> bool {
        self.in_flight < self.in_flight_max
            && match &self.feed {
                Feed::Open(_) => {
                    self.arrival_ns <= self.offered_until_ns
                        || !self.waiting.is_empty()
                            && self.in_flight < self.users_max
                            && self.frame.phase() != Phase::Over
                }
                Feed::Closed(feed) => {
                    feed.has_ready()
                        && self.frame.phase() == Phase::Offering
                        && now_ns >= self.begin_ns
                        && !self.frame.is_standing()
                }
            }
    }

    /// The next start for which there is room, the one that has waited longest first.
    ///
    /// The engine calls [`Recorder::begun`] when it turns to it.
    #[inline]
    pub(crate) fn next(&mut self, recorder: &mut Recorder, now_ns: u64) -> Option<Start> {
        if self.in_flight >= self.users_max {
            self.skip_due(recorder, now_ns);
        }
        if !self.has_next(now_ns) {
            self.gated_since_ns = 0;
            if self.arrival_ns <= self.offered_until_ns {
                self.queue_due(recorder, now_ns);
            }
            return None;
        }
        if let Err(gate_ns) = self.frame.leave(now_ns) {
            self.gate(recorder, gate_ns, now_ns);
            return None;
        }
        self.take(recorder, now_ns)
    }

    /// Nothing may begin before `gate_ns`.
    #[cold]
    fn gate(&mut self, recorder: &mut Recorder, gate_ns: u64, now_ns: u64) {
        self.gate_ns = gate_ns;
        if self.gated_since_ns == 0 {
            self.gated_since_ns = now_ns;
        }
        self.queue_due(recorder, now_ns);
        self.due_ns = self.next_due_ns(recorder.second_end_ns(), now_ns);
    }

    /// As [`Pace::next`], without asking the cap.
    #[inline]
    pub(super) fn take(&mut self, recorder: &mut Recorder, now_ns: u64) -> Option<Start> {
        let (index, user, planned_ns, taken_ns, has_plan) = match &mut self.feed {
            Feed::Open(feed) => match self.waiting.pop_front() {
                Some(waiting) => (waiting.index, 0, waiting.planned_ns, waiting.taken_ns, true),
                None if self.arrival_ns <= self.offered_until_ns => {
                    let index = feed.peek()?.index;
                    let planned_ns = self.arrival_ns;
                    feed.advance();
                    self.dense.taken(planned_ns);
                    self.look_ahead();
                    recorder.arrived(planned_ns);
                    (index, 0, planned_ns, now_ns, true)
                }
                None => return None,
            },
            Feed::Closed(feed) => {
                let Task { index, user } = feed.begin()?;
                recorder.arrived(now_ns);
                (index, user, now_ns, now_ns, false)
            }
        };
        self.in_flight += 1;
        let mut start = recorder.launched(index, user, (planned_ns, taken_ns), has_plan, now_ns);
        if self.gated_since_ns != 0 {
            // What the cap has held it back for is lag.
            recorder.let_through(&mut start, self.gated_since_ns, now_ns);
        }
        Some(start)
    }

    /// Whether a request of an iteration that has begun may be written now.
    ///
    /// # Errors
    ///
    /// When to ask again: the cap on the rate. An exchange that was not sent yet is planned anew when it is let
    /// through.
    #[inline]
    pub(crate) fn permit(&self, recorder: &mut Recorder, exchange: &mut Exchange, now_ns: u64) -> Result<(), u64> {
        match self.frame.leave(now_ns) {
            Ok(()) => {
                recorder.permitted(exchange, now_ns);
                Ok(())
            }
            Err(at_ns) => {
                exchange.is_held = true;
                Err(at_ns)
            }
        }
    }

    /// Takes what is due and cannot begin now.
    pub(super) fn queue_due(&mut self, recorder: &mut Recorder, now_ns: u64) {
        if self.in_flight >= self.users_max {
            self.skip_due(recorder, now_ns);
        }
        while self.arrival_ns <= self.offered_until_ns && self.waiting.len() < WAITING_MAX {
            let Feed::Open(feed) = &mut self.feed else { return };
            let Some(arrival) = feed.peek() else { break };
            feed.advance();
            let planned_ns = self.arrival_ns;
            self.waiting.push_back(Waiting { index: arrival.index, planned_ns, taken_ns: now_ns });
            self.dense.taken(planned_ns);
            self.look_ahead();
            recorder.arrived(planned_ns);
        }
    }

    /// Who is due comes while there are as many users as there may be: they are skipped.
    #[cold]
    fn skip_due(&mut self, recorder: &mut Recorder, now_ns: u64) {
        while self.arrival_ns <= self.offered_until_ns {
            let Feed::Open(feed) = &mut self.feed else { return };
            let Some(arrival) = feed.peek() else { break };
            feed.advance();
            let planned_ns = self.arrival_ns;
            self.dense.taken(planned_ns);
            self.look_ahead();
            recorder.arrived(planned_ns);
            let start = recorder.launched(arrival.index, 0, (planned_ns, now_ns), true, now_ns);
            recorder.turned_away(start, now_ns);
        }
    }

    /// Knows the schedule's next arrival.
    #[inline]
    pub(super) fn look_ahead(&mut self) {
        let Feed::Open(feed) = &self.feed else { return };
        let start_ns = self.frame.start_ns();
        self.arrival_ns = feed.next_ns().map_or(u64::MAX, |next_ns| start_ns.saturating_add(next_ns));
        // Without another, the end of the schedule is to be looked at.
        let next_ns = if self.arrival_ns == u64::MAX { 0 } else { self.arrival_ns };
        self.due_ns = self.frame_due_ns.min(next_ns);
    }
}
