//! Where iterations come from: the schedule (open model) or users who have finished the one before (closed model).
//!
//! All instants are on CLOCK_MONOTONIC unless they are called run time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use nuncius_load::closed::{iterations_of_user, users_of};
use nuncius_load::{Arrival, Schedule, ShardSet};

use crate::plan::Load;

/// Pauses of a user whose iterations end without an answer: a target that is not there must not be hammered in a loop
/// that never sleeps. Twice as long after each further one, up to a limit; each is shortened by up to half, so that
/// users who failed together do not come back together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) first_ns: u64,
    pub(crate) max_ns: u64,
}

impl Backoff {
    /// The pause after `unanswered` of them in a row, at least 1; the same for the same user and iteration.
    fn pause_ns(self, unanswered: u32, user: u32, begun: u64) -> u64 {
        let doublings = unanswered.saturating_sub(1).min(63);
        let whole_ns = self.first_ns.saturating_mul(1 << doublings).min(self.max_ns);
        let mut random = fastrand::Rng::with_seed(u64::from(user) << 32 ^ begun);
        whole_ns - random.u64(0..=whole_ns / 2)
    }
}

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Task {
    /// See [`crate::sink::Row::index`].
    pub(crate) index: u64,
    /// Slot of the user; 0 in the open model.
    pub(crate) user: u32,
}

#[derive(Debug)]
pub(crate) enum Feed {
    Open(OpenFeed),
    Closed(ClosedFeed),
}

impl Feed {
    /// `joins_at_ns` is when the shards come to this node, in run time; until then they were another's.
    pub(crate) fn new(load: Load, shards: ShardSet, joins_at_ns: Option<u64>) -> Self {
        match load {
            Load::Open { schedule, end_ns } => {
                let mut feed = OpenFeed { schedule: *schedule, shards, next: None, end_ns };
                feed.advance();
                feed.pass_over(joins_at_ns.unwrap_or(0));
                Self::Open(feed)
            }
            Load::Closed { users, iterations, duration_ns, think_ns, backoff } => {
                let members: Vec<User> = users_of(&shards, users)
                    .map(|id| {
                        let limit = iterations.map(|all| iterations_of_user(id, users, all));
                        User { id, begun: first_of(joins_at_ns), limit, unanswered: 0 }
                    })
                    .collect();
                Self::Closed(ClosedFeed {
                    ready: VecDeque::with_capacity(members.len()),
                    thinking: BinaryHeap::with_capacity(if think_ns > 0 { members.len() } else { 64 }),
                    active: 0,
                    members,
                    users,
                    duration_ns,
                    think_ns,
                    backoff,
                })
            }
        }
    }
}

/// Own arrivals of the schedule, one ahead.
#[derive(Debug)]
pub(crate) struct OpenFeed {
    schedule: Schedule,
    shards: ShardSet,
    next: Option<Arrival>,
    /// When the schedule ends (run time); `None` when that is with its last arrival.
    end_ns: Option<u64>,
}

impl OpenFeed {
    /// The arrival to be taken next.
    #[inline]
    pub(crate) fn peek(&self) -> Option<Arrival> {
        self.next
    }

    #[inline]
    pub(crate) fn advance(&mut self) {
        self.next = loop {
            match self.schedule.next() {
                Some(arrival) if !self.shards.owns(arrival.index) => {}
                other => break other,
            }
        };
    }

    /// Leaves out own arrivals planned before an instant of run time; how many.
    pub(crate) fn pass_over(&mut self, before_ns: u64) -> u64 {
        let mut passed_over = 0;
        while self.next.is_some_and(|arrival| arrival.planned_ns < before_ns) {
            self.advance();
            passed_over += 1;
        }
        passed_over
    }

    pub(crate) fn end_ns(&self) -> Option<u64> {
        self.end_ns
    }
}

/// The number of the first iteration of a user who was another node's until then: none of those that it may have begun
/// there, since nobody begins more than one in a microsecond.
pub(crate) fn first_of(joins_at_ns: Option<u64>) -> u64 {
    joins_at_ns.map_or(0, |at_ns| at_ns / 1_000 + 1)
}

#[derive(Debug)]
struct User {
    id: u32,
    begun: u64,
    limit: Option<u64>,
    /// Iterations that ended without an answer, one after the other until now.
    unanswered: u32,
}

/// Own users.
#[derive(Debug)]
pub(crate) struct ClosedFeed {
    members: Vec<User>,
    /// Slots of users who can begin at once.
    ready: VecDeque<u32>,
    /// Until when users think, and their slots.
    thinking: BinaryHeap<Reverse<(u64, u32)>>,
    /// Users who are in an iteration.
    active: usize,
    users: u32,
    duration_ns: Option<u64>,
    think_ns: u64,
    backoff: Backoff,
}

impl ClosedFeed {
    pub(crate) fn members(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn duration_ns(&self) -> Option<u64> {
        self.duration_ns
    }

    /// Everybody is ready.
    pub(crate) fn start(&mut self) {
        for (slot, user) in (0u32..).zip(&self.members) {
            if user.limit != Some(0) {
                self.ready.push_back(slot);
            }
        }
    }

    /// Nobody begins any more.
    pub(crate) fn end(&mut self) {
        self.ready.clear();
        self.thinking.clear();
    }

    /// Whether nobody will ever begin again.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.ready.is_empty() && self.thinking.is_empty() && self.active == 0
    }

    /// When the next user has done thinking.
    pub(crate) fn wake_ns(&self) -> Option<u64> {
        self.thinking.peek().map(|Reverse((at, _))| *at)
    }

    /// Those who have thought enough become ready.
    pub(crate) fn wake(&mut self, now_ns: u64) {
        while self.wake_ns().is_some_and(|at| at <= now_ns) {
            if let Some(Reverse((_, slot))) = self.thinking.pop() {
                self.ready.push_back(slot);
            }
        }
    }

    /// Whether somebody could begin now.
    #[inline]
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(crate) fn begin(&mut self) -> Option<Task> {
        let slot = self.ready.pop_front()?;
        let user = self.members.get_mut(slot as usize)?;
        let index = user.begun.wrapping_mul(u64::from(self.users)).wrapping_add(u64::from(user.id));
        user.begun += 1;
        self.active += 1;
        Some(Task { index, user: slot })
    }

    /// The user's iteration has ended; `ended` says that nobody begins any more. Whether the user backs off.
    pub(crate) fn finish(&mut self, slot: u32, answered: bool, ended: bool, now_ns: u64) -> bool {
        self.active = self.active.saturating_sub(1);
        let Some(user) = self.members.get_mut(slot as usize) else { return false };
        if ended || user.limit.is_some_and(|limit| user.begun >= limit) {
            return false;
        }
        user.unanswered = if answered { 0 } else { user.unanswered.saturating_add(1) };
        let backoff_ns = if answered { 0 } else { self.backoff.pause_ns(user.unanswered, user.id, user.begun) };
        let pause_ns = self.think_ns.max(backoff_ns);
        if pause_ns == 0 {
            self.ready.push_back(slot);
        } else {
            self.thinking.push(Reverse((now_ns.saturating_add(pause_ns), slot)));
        }
        backoff_ns > self.think_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit_and_users_do_not_come_back_together() {
        let backoff = Backoff { first_ns: 10_000_000, max_ns: 1_000_000_000 };
        for (unanswered, whole_ns) in [(1, 10_000_000), (2, 20_000_000), (4, 80_000_000), (8, 1_000_000_000)] {
            let pauses: Vec<u64> = (0..100).map(|user| backoff.pause_ns(unanswered, user, 3)).collect();
            assert!(pauses.iter().all(|pause| (whole_ns / 2..=whole_ns).contains(pause)), "{pauses:?}");
            let distinct: std::collections::BTreeSet<&u64> = pauses.iter().collect();
            assert!(distinct.len() > 90);
        }
        assert!(backoff.pause_ns(u32::MAX, 1, u64::MAX) <= 1_000_000_000);
    }
}
