//! What every engine has in common, without any I/O: which iteration is due, how it counts, and when it is all over.
//!
//! An engine calls [`Dispatcher::poll`] when an event came or [`Dispatcher::due_ns`] has passed, takes iterations from
//! [`Dispatcher::next`] while there are any, and says what became of them. All instants are on CLOCK_MONOTONIC.
//! Every iteration that was taken ends in exactly one of `answered`, `failed` (or `ended`) and `censor`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use nuncius_load::ShardSet;
use nuncius_schemas::fault::GeneratorFault;

use crate::book::Book;
use crate::clock::monotonic_ns;
use crate::control::Control;
use crate::feed::Feed;
use crate::plan::GroupPlan;
use crate::run::EngineOptions;
use crate::sink::{EngineMessage, FinishReason};
use crate::stand::Stand;

mod begin;
mod horizon;
mod outcome;
mod pace;

use pace::Pace;

/// Most arrivals that may wait for a connection on one thread; each takes 24 bytes.
pub(crate) const WAITING_MAX: usize = 4_000_000;

/// One iteration under way, at one of its steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Iteration {
    pub(crate) index: u64,
    /// Planned instant of the iteration; in the closed model when it was begun.
    pub(crate) origin_ns: u64,
    /// When its first request was written; 0 before.
    pub(crate) first_sent_ns: u64,
    /// As `origin_ns`, of the step.
    pub(crate) planned_ns: u64,
    pub(crate) taken_ns: u64,
    /// When it was handed to the engine; 0 once the engine has turned to it.
    pub(crate) launched_ns: u64,
    /// When the step's request was written; 0 before.
    pub(crate) sent_ns: u64,
    pub(crate) user: u32,
    pub(crate) step: u16,
    pub(crate) is_sampled: bool,
    /// Written once more after the peer had closed a connection that it had kept open until then.
    pub(crate) is_resent: bool,
    /// Waits for the node's cap on the rate.
    pub(crate) is_held: bool,
}

/// What an iteration that waits for a connection is remembered by.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    index: u64,
    planned_ns: u64,
    taken_ns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Prepared,
    Offering,
    Draining,
    Over,
}

#[derive(Debug)]
pub(crate) struct Dispatcher {
    control: Arc<Control>,
    book: Book,
    feed: Feed,
    pace: Pace,
    waiting: VecDeque<Waiting>,
    phase: Phase,
    reason: FinishReason,
    start_ns: u64,
    /// Run time at which it takes part, where that is not from the start: its shards were another node's until then.
    joins_at_ns: Option<u64>,
    /// When users begin.
    begin_ns: u64,
    stand: Stand,
    /// Own arrivals that it has left out since it came to stand where it stands.
    missed: u64,
    /// The same of every time that it stood before and went on.
    passed_over: u64,
    /// When the schedule ends though it holds no more arrivals: a last stage of rate 0 is part of the run.
    lasts_until_ns: u64,
    drain_until_ns: u64,
    due_ns: u64,
    /// As `due_ns`, of everything but arrivals, users and the cap on the rate.
    frame_due_ns: u64,
    /// Planned instant of the schedule's next own arrival.
    arrival_ns: u64,
    /// Arrivals planned after this are not due yet, as far as the last [`Dispatcher::poll`] knows.
    offered_until_ns: u64,
    /// Nothing begins before this: the cap on the rate.
    gate_ns: u64,
    /// Since when the cap has held back what could have begun; 0 while it holds nothing.
    gated_since_ns: u64,
    in_flight: usize,
    in_flight_max: usize,
    /// Steps of the group. One past the last stands for the whole iteration when there are several.
    steps: usize,
    /// The step an iteration begins with, and what follows each; steps that are no part of it follow none.
    first: usize,
    follow: Vec<Option<u16>>,
    /// Answers may still be on their way though nothing is in flight: see [`Dispatcher::hold`].
    is_held: bool,
    first_shard: u32,
    group: u16,
    run_key: u64,
    trace_id: u128,
    options: EngineOptions,
}

/// What a thread runs of its group.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    pub(crate) thread: usize,
    pub(crate) shards: ShardSet,
    pub(crate) in_flight_max: usize,
}

impl Dispatcher {
    pub(crate) fn new(
        plan: &GroupPlan,
        share: Share,
        options: EngineOptions,
        control: Arc<Control>,
        sink: SyncSender<EngineMessage>,
    ) -> Self {
        let first_shard = share.shards.iter().next().unwrap_or(0);
        let feed = Feed::new(plan.load.clone(), share.shards, plan.joins_at_ns);
        let path = plan.iteration_path();
        let mut follow = vec![None; plan.step_names.len()];
        for (from, to) in path.iter().zip(path.iter().skip(1)) {
            if let Some(next) = follow.get_mut(usize::from(*from)) {
                *next = Some(*to);
            }
        }
        let in_flight_max = match &feed {
            Feed::Open(_) => share.in_flight_max,
            Feed::Closed(closed) => closed.members(),
        };
        Self {
            control,
            book: Book::new(plan.group, share.thread, plan.recorders(), options.trace_slowest, sink),
            feed,
            pace: Pace::new(),
            waiting: VecDeque::new(),
            phase: Phase::Prepared,
            reason: FinishReason::ScheduleEnded,
            start_ns: u64::MAX,
            joins_at_ns: plan.joins_at_ns,
            begin_ns: u64::MAX,
            stand: Stand::default(),
            missed: 0,
            passed_over: 0,
            lasts_until_ns: 0,
            drain_until_ns: u64::MAX,
            due_ns: u64::MAX,
            frame_due_ns: u64::MAX,
            arrival_ns: u64::MAX,
            offered_until_ns: 0,
            gate_ns: 0,
            gated_since_ns: 0,
            in_flight: 0,
            in_flight_max,
            steps: plan.step_names.len(),
            first: path.first().copied().map_or(0, usize::from),
            follow,
            is_held: false,
            first_shard,
            group: plan.group,
            run_key: plan.run_key,
            trace_id: plan.trace_id,
            options,
        }
    }

    /// Most iterations on connections at a time.
    pub(crate) fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }

    /// The first of the thread's shards: tells threads and nodes of one group apart.
    pub(crate) fn first_shard(&self) -> u32 {
        self.first_shard
    }

    /// Whether iterations have a planned instant.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.feed, Feed::Open(_))
    }

    /// Whether it drains and nothing is in flight any more.
    pub(crate) fn is_idle(&self) -> bool {
        self.phase == Phase::Draining && self.in_flight == 0 && self.waiting.is_empty()
    }

    /// Run time at an instant; 0 before the start.
    pub(crate) fn run_time_ns(&self, at_ns: u64) -> u64 {
        self.book.run_time_ns(at_ns)
    }

    /// When [`Dispatcher::poll`] must be called at the latest.
    #[inline]
    pub(crate) fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// When a thread that goes to sleep at `now_ns` and is not woken by anything else must wake: as
    /// [`Dispatcher::due_ns`], or a little later where arrivals are dense.
    #[inline]
    pub(crate) fn wake_ns(&self, now_ns: u64) -> u64 {
        if self.phase == Phase::Offering && self.due_ns > now_ns {
            self.pace.wake_ns(self.due_ns, now_ns)
        } else {
            self.due_ns
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// While held, the group drains to the end of its time though nothing is in flight. The next [`Dispatcher::poll`]
    /// heeds it.
    pub(crate) fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    /// Looks at control and clock: takes what is due, ends seconds, begins to drain, is over.
    pub(crate) fn poll(&mut self, now_ns: u64) {
        if self.phase == Phase::Prepared {
            match self.control.start_at() {
                Some(start_ns) => self.start(start_ns, now_ns),
                None if self.control.is_abandoned() => return self.end(FinishReason::Abandoned),
                None if self.control.stop_at().is_some() => return self.end(FinishReason::Stopped),
                None => return,
            }
        }
        if self.phase == Phase::Offering {
            self.offer(now_ns);
        }
        self.book.tick(now_ns);
        if self.book.is_deaf() {
            return self.end(FinishReason::Failed("the receiver of its measurements is gone".to_owned()));
        }
        if self.phase == Phase::Draining {
            if let Some(stop_ns) = self.control.stop_at() {
                self.drain_until_ns = self.drain_until_ns.min(stop_ns.saturating_add(self.control.stop_drain_ns()));
            }
            let is_lasting = now_ns < self.lasts_until_ns && self.control.stop_at().is_none();
            if now_ns >= self.drain_until_ns
                || (self.in_flight == 0 && self.waiting.is_empty() && !self.is_held && !is_lasting)
            {
                self.phase = Phase::Over;
            }
        }
        self.due_ns = self.next_due_ns(now_ns);
        if now_ns < self.begin_ns && self.phase == Phase::Offering {
            self.due_ns = self.due_ns.min(self.begin_ns);
        }
    }

    fn start(&mut self, start_ns: u64, now_ns: u64) {
        self.start_ns = start_ns;
        self.begin_ns = start_ns.saturating_add(self.joins_at_ns.unwrap_or(0));
        self.phase = Phase::Offering;
        self.stand.begin(start_ns.saturating_add(self.control.horizon_ns()));
        self.book.start(start_ns, if self.joins_at_ns.is_some() { now_ns } else { start_ns });
        match &mut self.feed {
            Feed::Closed(feed) => feed.start(),
            Feed::Open(_) => self.look_ahead(),
        }
        // It was not ready in time for what had been planned by now.
        if self.joins_at_ns.is_some() {
            self.pass_over(now_ns);
        }
    }

    fn end(&mut self, reason: FinishReason) {
        self.reason = reason;
        self.phase = Phase::Over;
    }

    fn drain(&mut self, reason: FinishReason, until_ns: u64, now_ns: u64) {
        // What is due counts as taken: it is sent while there is time, and censored otherwise.
        self.queue_due(now_ns);
        self.offered_until_ns = 0;
        self.arrival_ns = u64::MAX;
        self.reason = reason;
        self.phase = Phase::Draining;
        self.drain_until_ns = until_ns;
        if let Feed::Closed(feed) = &mut self.feed {
            feed.end();
        }
    }

    fn offer(&mut self, now_ns: u64) {
        let stop_ns = self.control.stop_at();
        let horizon_at_ns = self.start_ns.saturating_add(self.control.horizon_ns());
        let cap_end_ns = self.control.caps().end_ns(self.start_ns);
        let drain_ns = self.options.drain_ns;
        let drain_from = |at_ns: u64| at_ns.max(now_ns).saturating_add(drain_ns);
        let last_ns = stop_ns.map_or(cap_end_ns, |stop| cap_end_ns.min(stop.saturating_add(1)));
        self.heed_horizon(horizon_at_ns, last_ns, now_ns);
        let end_of_time_ns = horizon_at_ns.min(cap_end_ns);
        self.offered_until_ns = now_ns.min(stop_ns.unwrap_or(u64::MAX)).min(end_of_time_ns.saturating_sub(1));
        let mut ended = None;
        match &mut self.feed {
            Feed::Open(feed) => {
                if self.arrival_ns == u64::MAX {
                    let end_ns = feed.end_ns().map_or(now_ns, |end| self.start_ns.saturating_add(end));
                    self.lasts_until_ns = end_ns;
                    let reason = if self.missed > 0 { FinishReason::Horizon } else { FinishReason::ScheduleEnded };
                    ended = Some((reason, drain_from(end_ns)));
                } else if self.waiting.len() >= WAITING_MAX {
                    let reason = format!("more than {WAITING_MAX} arrivals wait for a connection");
                    ended = Some((FinishReason::Failed(reason), drain_from(now_ns)));
                } else if self.in_flight >= self.in_flight_max {
                    self.queue_due(now_ns);
                }
            }
            Feed::Closed(feed) => {
                let end_ns = feed.duration_ns().map_or(u64::MAX, |duration| self.start_ns.saturating_add(duration));
                if now_ns >= end_ns || feed.is_exhausted() {
                    let has_missed = self.stand.is_standing() && horizon_at_ns < end_ns && !feed.is_exhausted();
                    let reason = if has_missed { FinishReason::Horizon } else { FinishReason::ScheduleEnded };
                    ended = Some((reason, drain_from(end_ns.min(now_ns))));
                } else {
                    feed.wake(now_ns);
                }
            }
        }
        // A schedule that has ended needs neither horizon nor stop any more, unless the stop was first.
        if let Some((reason, until_ns)) = ended {
            self.drain(reason, until_ns, now_ns);
        } else if let Some(stop_ns) = stop_ns {
            self.drain(FinishReason::Stopped, stop_ns.saturating_add(self.control.stop_drain_ns()), now_ns);
        } else if now_ns >= cap_end_ns {
            self.drain(FinishReason::Failed(self.control.caps().end_reason()), drain_from(now_ns), now_ns);
        } else if let Some(reason) = self.orphaned(now_ns) {
            self.drain(reason, drain_from(now_ns), now_ns);
        }
    }

    fn next_due_ns(&mut self, now_ns: u64) -> u64 {
        let second_ns = self.book.second_end_ns();
        self.frame_due_ns = match self.phase {
            Phase::Prepared => return u64::MAX,
            Phase::Over => return 0,
            Phase::Draining => {
                let due_ns = second_ns.min(self.drain_until_ns);
                // Behind the present it would be due for ever.
                if self.lasts_until_ns > now_ns { due_ns.min(self.lasts_until_ns) } else { due_ns }
            }
            Phase::Offering => {
                let stands_ns = match self.stand.since_ns() {
                    None => self.stand.horizon_at_ns(),
                    Some(since_ns) => self.stands_until_ns(since_ns),
                };
                second_ns.min(stands_ns).min(self.control.caps().end_ns(self.start_ns))
            }
        };
        let gate_ns = if self.gated_since_ns == 0 { u64::MAX } else { self.gate_ns };
        let next_ns = match &self.feed {
            Feed::Open(_) if self.phase != Phase::Offering => u64::MAX,
            // The end of the schedule is looked at when its last arrival is taken.
            Feed::Open(_) => {
                if self.arrival_ns == u64::MAX {
                    0
                } else if self.stand.is_standing() {
                    u64::MAX
                } else {
                    self.arrival_ns
                }
            }
            Feed::Closed(_) if self.phase != Phase::Offering => u64::MAX,
            Feed::Closed(feed) => {
                let end_ns = feed.duration_ns().map_or(u64::MAX, |d| self.start_ns.saturating_add(d));
                feed.wake_ns().unwrap_or(u64::MAX).min(end_ns).max(self.begin_ns)
            }
        };
        self.frame_due_ns.min(next_ns).min(gate_ns)
    }

    /// Ends the books. The engine has censored what was on its connections; what waits is censored here.
    pub(crate) fn close(mut self, now_ns: u64) {
        self.in_flight_max = usize::MAX;
        if matches!(self.feed, Feed::Open(_)) {
            while let Some(iteration) = self.take(now_ns) {
                self.censor(iteration, now_ns);
            }
        }
        let stood_ns = self.told_stood_ns();
        self.book.close(now_ns, self.reason, stood_ns);
    }

    /// Ends the books of an engine that could not even start, for an error of the system at `what`.
    pub(crate) fn close_unstarted(mut self, what: &str, error: &std::io::Error) {
        if let Some(fault) = GeneratorFault::of_error(error) {
            self.book.fault(fault);
        }
        self.close_failed(format!("cannot {what}: {error}"), monotonic_ns());
    }

    /// Ends the books of an engine that could not go on.
    pub(crate) fn close_failed(mut self, reason: String, now_ns: u64) {
        self.reason = FinishReason::Failed(reason);
        self.close(now_ns);
    }
}

#[cfg(test)]
mod tests;
