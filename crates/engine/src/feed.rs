//! Where iterations come from: the schedule (open model) or users who have finished the one before (closed model).
//!
//! All instants are on CLOCK_MONOTONIC unless they are called run time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use nuncius_load::closed::{iterations_of_user, users_of};
use nuncius_load::{Arrival, Schedule, ShardSet};

use crate::plan::Load;

/// Pause of a user whose iteration ended without an answer: a target that is not there must not be hammered in a loop
/// that never sleeps.
const UNANSWERED_PAUSE_NS: u64 = 10_000_000;

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
    pub(crate) fn new(load: Load, shards: ShardSet) -> Self {
        match load {
            Load::Open { schedule, end_ns } => {
                let mut feed = OpenFeed { schedule: *schedule, shards, next: None, end_ns };
                feed.advance();
                Self::Open(feed)
            }
            Load::Closed { users, iterations, duration_ns, think_ns } => {
                let members: Vec<User> = users_of(&shards, users)
                    .map(|id| User { id, begun: 0, limit: iterations.map(|all| iterations_of_user(id, users, all)) })
                    .collect();
                Self::Closed(ClosedFeed {
                    ready: VecDeque::with_capacity(members.len()),
                    thinking: BinaryHeap::with_capacity(if think_ns > 0 { members.len() } else { 64 }),
                    active: 0,
                    members,
                    users,
                    duration_ns,
                    think_ns,
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

    pub(crate) fn end_ns(&self) -> Option<u64> {
        self.end_ns
    }
}

#[derive(Debug)]
struct User {
    id: u32,
    begun: u64,
    limit: Option<u64>,
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

    pub(crate) fn begin(&mut self) -> Option<Task> {
        let slot = self.ready.pop_front()?;
        let user = self.members.get_mut(slot as usize)?;
        let index = user.begun.wrapping_mul(u64::from(self.users)).wrapping_add(u64::from(user.id));
        user.begun += 1;
        self.active += 1;
        Some(Task { index, user: slot })
    }

    /// The user's iteration has ended; `ended` says that nobody begins any more.
    pub(crate) fn finish(&mut self, slot: u32, answered: bool, ended: bool, now_ns: u64) {
        self.active = self.active.saturating_sub(1);
        let Some(user) = self.members.get(slot as usize) else { return };
        if ended || user.limit.is_some_and(|limit| user.begun >= limit) {
            return;
        }
        let pause_ns = if answered { self.think_ns } else { self.think_ns.max(UNANSWERED_PAUSE_NS) };
        if pause_ns == 0 {
            self.ready.push_back(slot);
        } else {
            self.thinking.push(Reverse((now_ns.saturating_add(pause_ns), slot)));
        }
    }
}
