//! Users who have finished the iteration before: the closed model.
//!
//! All instants are on CLOCK_MONOTONIC unless they are called run time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use nuncius_load::ShardSet;
use nuncius_load::closed::{index_of, iterations_of_user, users_of};
use nuncius_schemas::amendment::{Amended, Amendment, Change};

use crate::plan::load::{Backoff, ClosedLoad};

/// The number of the first iteration of a user who was another node's until then: none of those that it may have begun
/// there, since nobody begins more than one in a microsecond.
pub(crate) fn first_of(joins_at_ns: Option<u64>) -> u64 {
    joins_at_ns.map_or(0, |at_ns| at_ns / 1_000 + 1)
}

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Task {
    /// See [`crate::sink::Row::index`].
    pub(crate) index: u64,
    /// Slot of the user.
    pub(crate) user: u32,
}

#[derive(Debug)]
struct User {
    id: u32,
    begun: u64,
    limit: Option<u64>,
    /// Iterations that ended without an answer, one after the other until now.
    unanswered: u32,
}

/// Own users, as many as amendments leave.
#[derive(Debug)]
pub(crate) struct ClosedFeed {
    members: Vec<User>,
    /// Slots of users who can begin at once.
    ready: VecDeque<u32>,
    /// Until when users think, and their slots.
    thinking: BinaryHeap<Reverse<(u64, u32)>>,
    /// Slots of users who are too many at present.
    parked: Vec<u32>,
    /// Users who are in an iteration.
    active: usize,
    group: String,
    shards: ShardSet,
    /// As many as the group was written with, over all nodes, and as there may be at most.
    users: u32,
    users_limit: u32,
    /// Users with a smaller number than this are there at present.
    present: u32,
    /// Users with a smaller number than this are members.
    known: u32,
    /// From when on there are how many, in run time, and how many of these are over.
    changes: Vec<(u64, u32)>,
    changed: usize,
    joins_at_ns: Option<u64>,
    iterations: Option<u64>,
    duration_ns: Option<u64>,
    think_ns: u64,
    backoff: Backoff,
}

impl ClosedFeed {
    pub(super) fn new(load: ClosedLoad, shards: ShardSet, joins_at_ns: Option<u64>) -> Self {
        let ClosedLoad { group, users, users_limit, amendments, iterations, duration_ns, think_ns, backoff } = load;
        let mut feed = Self {
            members: Vec::new(),
            ready: VecDeque::new(),
            thinking: BinaryHeap::with_capacity(64),
            parked: Vec::new(),
            active: 0,
            group,
            shards,
            users,
            users_limit: users_limit.max(users),
            present: users,
            known: 0,
            changes: Vec::new(),
            changed: 0,
            joins_at_ns,
            iterations,
            duration_ns,
            think_ns,
            backoff,
        };
        feed.meet(users);
        feed.amend(&amendments);
        feed
    }

    /// Users of smaller numbers become members.
    fn meet(&mut self, users: u32) {
        let (known, begun) = (self.known, first_of(self.joins_at_ns));
        let own = users_of(&self.shards, users).filter(|id| *id >= known);
        let (all, iterations) = (self.users, self.iterations);
        self.members.extend(own.map(|id| {
            let limit = iterations.map(|of_all| iterations_of_user(id, all, of_all));
            User { id, begun, limit, unanswered: 0 }
        }));
        self.known = self.known.max(users);
    }

    /// How many users it begins with.
    pub(crate) fn members(&self) -> usize {
        self.members.len()
    }

    /// How many it may have at most.
    pub(crate) fn members_max(&self) -> usize {
        users_of(&self.shards, self.users_limit).count()
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
        self.parked.clear();
        self.changed = self.changes.len();
    }

    /// All amendments that are known: those that it does not know yet are of instants to come.
    pub(crate) fn amend(&mut self, amendments: &[Amendment]) {
        let mut amended = Amended::default();
        let own = amendments.iter().filter(|amendment| amendment.concerns(&self.group));
        let changes = own.map(|amendment| {
            amended = amended.with(&amendment.change);
            (amendment.at.0, amended.users_of(self.users).min(self.users_limit))
        });
        let changes: Vec<(u64, u32)> = changes.collect();
        if changes.len() > self.changes.len() {
            self.changes = changes;
        }
        let is_end = |one: &&Amendment| one.change == Change::End && one.concerns(&self.group);
        let ended_ns = amendments.iter().find(is_end).map(|amendment| amendment.at.0);
        self.duration_ns = self.duration_ns.into_iter().chain(ended_ns).min();
    }

    /// When there are more or fewer users the next time, in run time.
    pub(crate) fn next_change_ns(&self) -> Option<u64> {
        self.changes.get(self.changed).map(|(at_ns, _)| *at_ns)
    }

    /// Users come and go as amendments up to an instant of run time say. Whoever is in an iteration ends it first.
    pub(crate) fn change(&mut self, run_ns: u64) {
        while let Some((_, users)) = self.changes.get(self.changed).copied().filter(|(at_ns, _)| *at_ns <= run_ns) {
            self.changed += 1;
            self.present = users;
            let here = |slot: &u32, members: &[User]| members.get(*slot as usize).is_some_and(|user| user.id < users);
            let members = &self.members;
            let (back, parked): (Vec<u32>, Vec<u32>) = self.parked.drain(..).partition(|slot| here(slot, members));
            let (ready, gone): (Vec<u32>, Vec<u32>) = self.ready.drain(..).partition(|slot| here(slot, members));
            self.ready.extend(ready);
            self.ready.extend(back);
            self.parked = parked;
            self.parked.extend(gone);
            let first = self.members.len();
            if users > self.known {
                self.meet(users);
            }
            // Slots are numbered in 32 bits, as users are.
            self.ready.extend(first as u32..self.members.len() as u32);
        }
    }

    /// Whether nobody will ever begin again.
    pub(crate) fn is_exhausted(&self) -> bool {
        let nobody_comes = self.ready.is_empty() && self.thinking.is_empty() && self.parked.is_empty();
        nobody_comes && self.active == 0 && self.changed == self.changes.len()
    }

    /// When the next user has done thinking.
    pub(crate) fn wake_ns(&self) -> Option<u64> {
        self.thinking.peek().map(|Reverse((at, _))| *at)
    }

    /// Those who have thought enough become ready.
    pub(crate) fn wake(&mut self, now_ns: u64) {
        while self.wake_ns().is_some_and(|at| at <= now_ns) {
            let Some(Reverse((_, slot))) = self.thinking.pop() else { return };
            let is_too_many = self.members.get(slot as usize).is_some_and(|user| user.id >= self.present);
            if is_too_many { self.parked.push(slot) } else { self.ready.push_back(slot) }
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
        let index = index_of(user.id, user.begun, self.users, self.users_limit);
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
        if pause_ns == 0 && user.id < self.present {
            self.ready.push_back(slot);
        } else if pause_ns == 0 {
            self.parked.push(slot);
        } else {
            self.thinking.push(Reverse((now_ns.saturating_add(pause_ns), slot)));
        }
        backoff_ns > self.think_ns
    }
}
