//! Own arrivals of a schedule, which is walked no further than the horizon: from there on it may be amended.
//!
//! All instants are in run time.

use nuncius_load::amended::Basis;
use nuncius_load::{Arrival, Next, Schedule, ShardSet};
use nuncius_schemas::amendment::Amendment;

/// Own arrivals of the schedule, one ahead.
#[derive(Debug, Clone)]
pub(crate) struct OpenFeed {
    schedule: Schedule,
    basis: Basis,
    shards: ShardSet,
    next: Option<Arrival>,
    /// Where there is no next arrival before the limit: when something is to be looked for again; none at the end.
    later_ns: Option<u64>,
    /// Nothing from here on is looked at.
    limit_ns: u64,
    /// Whether it lasts to the end of its stages; else it ends with its last arrival.
    lasts: bool,
    /// What the schedule holds beyond its limit, as things stand.
    beyond: Option<Box<Self>>,
}

impl OpenFeed {
    /// `from_ns` is when the shards come to this node.
    pub(super) fn new(schedule: Schedule, basis: Basis, shards: ShardSet, lasts: bool, from_ns: u64) -> Self {
        let (next, later_ns, beyond) = (None, Some(0), None);
        let mut feed = Self { schedule, basis, shards, next, later_ns, limit_ns: 0, lasts, beyond };
        feed.pass_over(from_ns);
        feed
    }

    /// The arrival to be taken next.
    #[inline]
    pub(crate) fn peek(&self) -> Option<Arrival> {
        self.next
    }

    /// When the next arrival is planned, or is to be looked for again; `None` at the end of the schedule.
    #[inline]
    pub(crate) fn next_ns(&self) -> Option<u64> {
        match self.next {
            Some(arrival) => Some(arrival.planned_ns),
            None => self.later_ns,
        }
    }

    #[inline]
    pub(crate) fn advance(&mut self) {
        (self.next, self.later_ns) = loop {
            match self.schedule.next_before(self.limit_ns) {
                Next::Arrival(arrival) if !self.shards.owns(arrival.index) => {}
                Next::Arrival(arrival) => break (Some(arrival), None),
                Next::NotBefore(at_ns) => break (None, Some(at_ns)),
                Next::End => break (None, None),
            }
        };
    }

    /// The horizon is there now. What is known of the schedule before it does not change any more.
    pub(crate) fn extend(&mut self, horizon_ns: u64) {
        self.limit_ns = self.limit_ns.max(horizon_ns);
        self.beyond = None;
        if self.next.is_none() && self.later_ns.is_some() {
            self.advance();
        }
    }

    /// Changes the schedule as amendments say that it does not know yet. They are of instants from its limit on.
    pub(crate) fn amend(&mut self, amendments: &[Amendment]) {
        // The daemon has made sure that there are not too many arrivals.
        let _ = self.basis.amend(&mut self.schedule, amendments);
    }

    /// Leaves out own arrivals planned before an instant, which is where its limit is then at least; how many.
    pub(crate) fn pass_over(&mut self, before_ns: u64) -> u64 {
        self.limit_ns = self.limit_ns.max(before_ns);
        let mut passed_over = 0;
        while self.next_ns().is_some_and(|at_ns| at_ns < before_ns) {
            passed_over += u64::from(self.next.is_some());
            self.advance();
        }
        passed_over
    }

    /// How many more own arrivals are planned before an instant, since this was asked the last time, and when the next
    /// is: as things stand, beyond the limit. Nothing is left out by that.
    pub(crate) fn look_beyond(&mut self, before_ns: u64) -> (u64, Option<u64>) {
        let mut beyond = self.beyond.take().unwrap_or_else(|| Box::new(self.clone()));
        beyond.extend(u64::MAX);
        let found = (beyond.pass_over(before_ns), beyond.next_ns());
        self.beyond = Some(beyond);
        found
    }

    /// When the schedule ends, as far as is known; `None` when that is with its last arrival.
    pub(crate) fn end_ns(&self) -> Option<u64> {
        self.lasts.then(|| self.schedule.end_ns())
    }
}
