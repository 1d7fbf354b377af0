//! Who begins, and when: what every engine has in common, without any I/O, clock or step.
//!
//! An engine calls [`Pace::poll`] when an event came or [`Pace::due_ns`] has passed, takes starts from [`Pace::next`]
//! while there are any, and says of each that it has [`Pace::ended`], once. How a start counts is the [`Recorder`]'s.
//! All instants are on CLOCK_MONOTONIC.

use std::collections::VecDeque;
use std::sync::Arc;

use nuncius_load::ShardSet;
use nuncius_schemas::amendment::Amendment;

use crate::control::Control;
use crate::options::EngineOptions;
use crate::plan::GroupPlan;
use crate::record::Recorder;
use crate::sink::FinishReason;

mod begin;
mod closed;
mod dense;
mod feed;
mod frame;
mod horizon;
mod open;
mod stand;

pub(crate) use closed::first_of;
pub(crate) use frame::{Frame, Phase};
pub(crate) use stand::Look;

use dense::Dense;
use feed::Feed;

/// Most arrivals that may wait for a connection on one thread; each takes 24 bytes.
pub(crate) const WAITING_MAX: usize = 4_000_000;

/// What an arrival that waits for room is remembered by.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    index: u64,
    planned_ns: u64,
    taken_ns: u64,
}

/// What a thread runs of its group.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    pub(crate) thread: usize,
    pub(crate) shards: ShardSet,
    pub(crate) in_flight_max: usize,
    /// Who arrives while so many are under way is skipped.
    pub(crate) users_max: usize,
}

#[derive(Debug)]
pub(crate) struct Pace {
    frame: Frame,
    feed: Feed,
    dense: Dense,
    waiting: VecDeque<Waiting>,
    /// When users begin.
    begin_ns: u64,
    /// Own arrivals that it has left out since it came to stand where it stands.
    missed: u64,
    /// The same of every time that it stood before and went on.
    passed_over: u64,
    /// When the schedule ends though it holds no more arrivals: a last stage of rate 0 is part of the run.
    lasts_until_ns: u64,
    due_ns: u64,
    /// As `due_ns`, of everything but arrivals, users and the cap on the rate.
    frame_due_ns: u64,
    /// Planned instant of the schedule's next own arrival.
    arrival_ns: u64,
    /// Arrivals planned after this are not due yet, as far as the last [`Pace::poll`] knows.
    offered_until_ns: u64,
    /// Nothing begins before this: the cap on the rate.
    gate_ns: u64,
    /// Since when the cap has held back what could have begun; 0 while it holds nothing.
    gated_since_ns: u64,
    in_flight: usize,
    in_flight_max: usize,
    /// How far the schedule is known, on CLOCK_MONOTONIC: amendments from there on may come.
    known_until_ns: u64,
    users_max: usize,
    /// Answers may still be on their way though nothing is in flight: see [`Pace::hold`].
    is_held: bool,
    first_shard: u32,
}

impl Pace {
    pub(crate) fn new(plan: &GroupPlan, share: Share, options: EngineOptions, control: Arc<Control>) -> Self {
        let first_shard = share.shards.iter().next().unwrap_or(0);
        let users_max = share.users_max;
        let feed = Feed::new(plan.load.clone(), share.shards, plan.joins_at_ns);
        let in_flight_max = match &feed {
            Feed::Open(_) => share.in_flight_max,
            Feed::Closed(closed) => closed.members_max(),
        };
        Self {
            frame: Frame::new(control, options, plan.joins_at_ns),
            feed,
            dense: Dense::new(),
            waiting: VecDeque::new(),
            begin_ns: u64::MAX,
            missed: 0,
            passed_over: 0,
            lasts_until_ns: 0,
            due_ns: u64::MAX,
            frame_due_ns: u64::MAX,
            arrival_ns: u64::MAX,
            offered_until_ns: 0,
            gate_ns: 0,
            gated_since_ns: 0,
            in_flight: 0,
            in_flight_max,
            known_until_ns: 0,
            users_max,
            is_held: false,
            first_shard,
        }
    }

    /// Most starts under way at a time.
    pub(crate) fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }

    /// How many users there are at the start; none in the open model.
    pub(crate) fn members(&self) -> usize {
        match &self.feed {
            Feed::Open(_) => 0,
            Feed::Closed(closed) => closed.members(),
        }
    }

    /// The first of the thread's shards: tells threads and nodes of one group apart.
    pub(crate) fn first_shard(&self) -> u32 {
        self.first_shard
    }

    /// Whether starts have a planned instant.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.feed, Feed::Open(_))
    }

    /// Whether it drains and nothing is in flight any more.
    pub(crate) fn is_idle(&self) -> bool {
        self.frame.phase() == Phase::Draining && self.in_flight == 0 && self.waiting.is_empty()
    }

    /// When [`Pace::poll`] must be called at the latest.
    #[inline]
    pub(crate) fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// When a thread that goes to sleep at `now_ns` and is not woken by anything else must wake: as [`Pace::due_ns`],
    /// or a little later where arrivals are dense.
    #[inline]
    pub(crate) fn wake_ns(&self, now_ns: u64) -> u64 {
        if self.frame.phase() == Phase::Offering && self.due_ns > now_ns {
            self.dense.wake_ns(self.due_ns, now_ns)
        } else {
            self.due_ns
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.frame.phase() == Phase::Over
    }

    /// The amendments of the load that are known by now.
    pub(crate) fn amendments(&self) -> Arc<[Amendment]> {
        self.frame.amendments()
    }

    /// While held, the group drains to the end of its time though nothing is in flight. The next [`Pace::poll`] heeds
    /// it.
    pub(crate) fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    /// Looks at control and clock: takes what is due, ends seconds, begins to drain, is over.
    pub(crate) fn poll(&mut self, recorder: &mut Recorder, now_ns: u64) {
        if self.frame.begins(recorder, now_ns) {
            self.start(now_ns);
        }
        match self.frame.phase() {
            Phase::Prepared | Phase::Over => return,
            Phase::Offering => self.offer(recorder, now_ns),
            Phase::Draining => {}
        }
        if !self.frame.tick(recorder, now_ns) {
            return;
        }
        let is_lasting = now_ns < self.lasts_until_ns && self.frame.stop_at().is_none();
        let is_idle = self.in_flight == 0 && self.waiting.is_empty() && !self.is_held && !is_lasting;
        self.frame.settle(is_idle, now_ns);
        self.due_ns = self.next_due_ns(recorder.second_end_ns(), now_ns);
        if now_ns < self.begin_ns && self.frame.phase() == Phase::Offering {
            self.due_ns = self.due_ns.min(self.begin_ns);
        }
    }

    fn start(&mut self, now_ns: u64) {
        self.begin_ns = self.frame.begin_ns();
        if let Feed::Closed(feed) = &mut self.feed {
            feed.start();
        }
        self.know_more();
        // It was not ready in time for what had been planned by now.
        if self.frame.joins_at_ns().is_some() {
            self.pass_over(now_ns.min(self.frame.stand().horizon_at_ns()));
        }
    }

    fn offer(&mut self, recorder: &mut Recorder, now_ns: u64) {
        let start_ns = self.frame.start_ns();
        let (stop_ns, cap_end_ns) = (self.frame.stop_at(), self.frame.cap_end_ns());
        let last_ns = stop_ns.map_or(cap_end_ns, |stop| cap_end_ns.min(stop.saturating_add(1)));
        self.heed_horizon(recorder, last_ns, now_ns);
        // As the look has found it.
        let horizon_at_ns = self.frame.stand().horizon_at_ns();
        let end_of_time_ns = horizon_at_ns.min(cap_end_ns);
        self.offered_until_ns = now_ns.min(stop_ns.unwrap_or(u64::MAX)).min(end_of_time_ns.saturating_sub(1));
        let mut ended = None;
        match &mut self.feed {
            Feed::Open(feed) => {
                if self.arrival_ns == u64::MAX {
                    let end_ns = feed.end_ns().map_or(now_ns, |end| start_ns.saturating_add(end));
                    self.lasts_until_ns = end_ns;
                    let reason = if self.missed > 0 { FinishReason::Horizon } else { FinishReason::ScheduleEnded };
                    ended = Some((reason, self.frame.drain_from(end_ns, now_ns)));
                } else if self.waiting.len() >= WAITING_MAX {
                    let reason = format!("more than {WAITING_MAX} arrivals wait for a connection");
                    ended = Some((FinishReason::Failed(reason), self.frame.drain_from(now_ns, now_ns)));
                } else if self.in_flight >= self.in_flight_max {
                    self.queue_due(recorder, now_ns);
                }
            }
            Feed::Closed(feed) => {
                let end_ns = feed.duration_ns().map_or(u64::MAX, |duration| start_ns.saturating_add(duration));
                feed.change(now_ns.saturating_sub(start_ns));
                if now_ns >= end_ns || feed.is_exhausted() {
                    let is_cut_off = self.frame.is_standing() && horizon_at_ns < end_ns && !feed.is_exhausted();
                    let reason = if is_cut_off { FinishReason::Horizon } else { FinishReason::ScheduleEnded };
                    ended = Some((reason, self.frame.drain_from(end_ns.min(now_ns), now_ns)));
                } else {
                    feed.wake(now_ns);
                }
            }
        }
        if self.frame.drains(ended, now_ns) {
            // What is due counts as taken: it is sent while there is time, and censored otherwise.
            self.queue_due(recorder, now_ns);
            self.offered_until_ns = 0;
            self.arrival_ns = u64::MAX;
            if let Feed::Closed(feed) = &mut self.feed {
                feed.end();
            }
        }
    }

    fn next_due_ns(&mut self, second_end_ns: u64, now_ns: u64) -> u64 {
        self.frame_due_ns = match self.frame.phase() {
            Phase::Prepared => return u64::MAX,
            Phase::Over => return 0,
            Phase::Draining => {
                let due_ns = second_end_ns.min(self.frame.drain_until_ns());
                // Behind the present it would be due for ever.
                if self.lasts_until_ns > now_ns { due_ns.min(self.lasts_until_ns) } else { due_ns }
            }
            Phase::Offering => second_end_ns.min(self.frame.offering_due_ns(self.end_ns())),
        };
        let gate_ns = if self.gated_since_ns == 0 { u64::MAX } else { self.gate_ns };
        self.frame_due_ns.min(self.next_ns()).min(gate_ns)
    }

    /// When the next arrival or user is due, or the end of them.
    fn next_ns(&self) -> u64 {
        if self.frame.phase() != Phase::Offering {
            return u64::MAX;
        }
        match &self.feed {
            // The end of the schedule is looked at when its last arrival is taken.
            Feed::Open(_) if self.arrival_ns == u64::MAX => 0,
            Feed::Open(_) if self.frame.is_standing() => u64::MAX,
            Feed::Open(_) => self.arrival_ns,
            Feed::Closed(feed) => {
                let change_ns =
                    feed.next_change_ns().map_or(u64::MAX, |at_ns| self.frame.start_ns().saturating_add(at_ns));
                let next_ns = feed.wake_ns().unwrap_or(u64::MAX).min(change_ns);
                next_ns.min(self.end_ns()).max(self.begin_ns)
            }
        }
    }

    /// When what it has to offer ends, where that is known beforehand: a schedule may end with its last arrival.
    fn end_ns(&self) -> u64 {
        let end_ns = match &self.feed {
            Feed::Open(feed) => feed.end_ns(),
            Feed::Closed(feed) => feed.duration_ns(),
        };
        end_ns.map_or(u64::MAX, |end_ns| self.frame.start_ns().saturating_add(end_ns))
    }

    /// A start that was given out has ended; `was_answered` says that its user need not pause for that.
    #[inline]
    pub(crate) fn ended(&mut self, recorder: &mut Recorder, user: u32, was_answered: bool, now_ns: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let has_ended = self.frame.phase() != Phase::Offering;
        if let Feed::Closed(feed) = &mut self.feed {
            let backs_off = feed.finish(user, was_answered, has_ended, now_ns);
            // Its pause, or the end of it all, may come before what was next until now.
            let wake_ns = if feed.is_exhausted() { 0 } else { feed.wake_ns().unwrap_or(u64::MAX) };
            self.due_ns = self.due_ns.min(wake_ns);
            if backs_off {
                recorder.backed_off();
            }
        }
        if has_ended && self.in_flight == 0 && self.waiting.is_empty() {
            self.due_ns = 0;
        }
    }

    /// Ends the records. The engine has censored what it had under way; what waits is censored here.
    pub(crate) fn close(mut self, mut recorder: Recorder, now_ns: u64) {
        self.in_flight_max = usize::MAX;
        if self.is_open() {
            while let Some(start) = self.take(&mut recorder, now_ns) {
                recorder.never_begun(start, now_ns);
            }
        }
        let stood_ns = self.told_stood_ns();
        self.frame.close(recorder, stood_ns, now_ns);
    }

    /// The same of an engine that could not go on.
    pub(crate) fn close_failed(mut self, recorder: Recorder, reason: String, now_ns: u64) {
        self.frame.fail(reason);
        self.close(recorder, now_ns);
    }

    /// The same for an error of the system at `what`.
    pub(crate) fn close_broken(mut self, mut recorder: Recorder, what: &str, error: &std::io::Error, now_ns: u64) {
        self.frame.fail_at(&mut recorder, what, error);
        self.close(recorder, now_ns);
    }
}
