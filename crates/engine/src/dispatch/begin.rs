//! How iterations begin: taken from the schedule or begun by a user, as soon as there is room and the node's cap on the
//! rate allows.
//!
//! An arrival is *taken* when the engine turns to it, with a reading of the clock of its own; one that is due while
//! there is no room is taken at once, and waits as *blocked*. What the engine itself then takes until it begins, and
//! what the cap holds back, is lag.

use nuncius_load::sample::is_sampled;

use super::{Dispatcher, Iteration, Phase, WAITING_MAX, Waiting};
use crate::book::Book;
use crate::feed::{Feed, Task};

impl Dispatcher {
    /// Whether [`Dispatcher::next`] has something to give, but for the cap on the rate.
    #[inline]
    pub(crate) fn has_next(&self, now_ns: u64) -> bool {
        self.in_flight < self.in_flight_max
            && match &self.feed {
                Feed::Open(_) => {
                    self.arrival_ns <= self.offered_until_ns || !self.waiting.is_empty() && self.phase != Phase::Over
                }
                Feed::Closed(feed) => {
                    feed.has_ready()
                        && self.phase == Phase::Offering
                        && now_ns >= self.begin_ns
                        && !self.stand.is_standing()
                }
            }
    }

    /// The next iteration for which there is room, the one that has waited longest first.
    ///
    /// The engine calls [`Dispatcher::begun`] when it turns to it.
    #[inline]
    pub(crate) fn next(&mut self, now_ns: u64) -> Option<Iteration> {
        if !self.has_next(now_ns) {
            self.gated_since_ns = 0;
            if self.arrival_ns <= self.offered_until_ns {
                self.queue_due(now_ns);
            }
            return None;
        }
        if let Err(gate_ns) = self.control.caps().take(now_ns) {
            self.gate(gate_ns, now_ns);
            return None;
        }
        self.take(now_ns)
    }

    /// Nothing may begin before `gate_ns`.
    #[cold]
    fn gate(&mut self, gate_ns: u64, now_ns: u64) {
        self.gate_ns = gate_ns;
        if self.gated_since_ns == 0 {
            self.gated_since_ns = now_ns;
        }
        self.queue_due(now_ns);
        self.due_ns = self.next_due_ns(now_ns);
    }

    /// As [`Dispatcher::next`], without asking the cap.
    #[inline]
    pub(super) fn take(&mut self, now_ns: u64) -> Option<Iteration> {
        let (index, user, planned_ns, taken_ns) = match &mut self.feed {
            Feed::Open(feed) => match self.waiting.pop_front() {
                Some(waiting) => (waiting.index, 0, waiting.planned_ns, waiting.taken_ns),
                None if self.arrival_ns <= self.offered_until_ns => {
                    let index = feed.peek()?.index;
                    let planned_ns = self.arrival_ns;
                    feed.advance();
                    self.pace.taken(planned_ns);
                    self.look_ahead();
                    count_planned(&mut self.book, self.first, self.steps, 1);
                    (index, 0, planned_ns, now_ns)
                }
                None => return None,
            },
            Feed::Closed(feed) => {
                let Task { index, user } = feed.begin()?;
                count_planned(&mut self.book, self.first, self.steps, 1);
                (index, user, now_ns, now_ns)
            }
        };
        self.in_flight += 1;
        self.gauge_up(self.first);
        if self.steps > 1 {
            self.gauge_up(self.steps);
        }
        let ratio = self.options.trace_ratio;
        let mut iteration = Iteration {
            index,
            origin_ns: planned_ns,
            first_sent_ns: 0,
            planned_ns,
            taken_ns,
            launched_ns: now_ns,
            sent_ns: 0,
            user,
            step: self.first as u16,
            is_sampled: ratio > 0.0 && is_sampled(self.options.seed, u32::from(self.group), index, ratio),
            is_resent: false,
            is_held: false,
        };
        if self.gated_since_ns != 0 {
            self.let_through(&mut iteration, now_ns);
        }
        Some(iteration)
    }

    /// What the cap has held back an iteration for is lag.
    #[cold]
    fn let_through(&mut self, iteration: &mut Iteration, now_ns: u64) {
        let held_ns = now_ns.saturating_sub(self.gated_since_ns.max(iteration.taken_ns));
        iteration.taken_ns = iteration.taken_ns.saturating_add(held_ns);
        if let Some(recorder) = self.book.step(self.first) {
            recorder.held_back += 1;
        }
    }

    /// The engine turns to an iteration: what it took to do so since it was given one is lag. A second time changes
    /// nothing.
    #[inline]
    pub(crate) fn begun(&mut self, iteration: &mut Iteration, now_ns: u64) {
        let launched_ns = std::mem::take(&mut iteration.launched_ns);
        if launched_ns == 0 {
            return;
        }
        iteration.taken_ns = iteration.taken_ns.saturating_add(now_ns.saturating_sub(launched_ns));
        if matches!(self.feed, Feed::Open(_))
            && let Some(recorder) = self.book.step(self.first)
        {
            recorder.lag.record_ns(iteration.taken_ns.saturating_sub(iteration.planned_ns));
        }
    }

    /// Whether the request of a later step, or one that is made once more, may be written now.
    ///
    /// # Errors
    ///
    /// When to ask again: the cap on the rate. A step is planned when it is let through.
    #[inline]
    pub(crate) fn permit(&mut self, iteration: &mut Iteration, now_ns: u64) -> Result<(), u64> {
        if let Err(at_ns) = self.control.caps().take(now_ns) {
            iteration.is_held = true;
            return Err(at_ns);
        }
        if std::mem::take(&mut iteration.is_held) {
            if iteration.sent_ns == 0 {
                (iteration.planned_ns, iteration.taken_ns) = (now_ns, now_ns);
            }
            if let Some(recorder) = self.book.step(usize::from(iteration.step)) {
                recorder.held_back += 1;
            }
        }
        Ok(())
    }

    /// Takes what is due and cannot begin now.
    pub(super) fn queue_due(&mut self, now_ns: u64) {
        let mut taken = 0;
        while self.arrival_ns <= self.offered_until_ns && self.waiting.len() < WAITING_MAX {
            let Feed::Open(feed) = &mut self.feed else { return };
            let Some(arrival) = feed.peek() else { break };
            feed.advance();
            let planned_ns = self.arrival_ns;
            self.waiting.push_back(Waiting { index: arrival.index, planned_ns, taken_ns: now_ns });
            self.pace.taken(planned_ns);
            self.look_ahead();
            taken += 1;
        }
        if taken > 0 {
            count_planned(&mut self.book, self.first, self.steps, taken);
        }
    }

    /// Knows the schedule's next arrival.
    #[inline]
    pub(super) fn look_ahead(&mut self) {
        let Feed::Open(feed) = &self.feed else { return };
        self.arrival_ns = feed.peek().map_or(u64::MAX, |arrival| self.start_ns.saturating_add(arrival.planned_ns));
        // Without another, the end of the schedule is to be looked at.
        let next_ns = if self.arrival_ns == u64::MAX { 0 } else { self.arrival_ns };
        self.due_ns = self.frame_due_ns.min(next_ns);
    }
}

fn count_planned(book: &mut Book, first: usize, steps: usize, count: u64) {
    for step in [Some(first), (steps > 1).then_some(steps)].into_iter().flatten() {
        if let Some(recorder) = book.step(step) {
            recorder.planned += count;
        }
    }
}
