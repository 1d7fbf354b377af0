//! While load is offered: deltas are merged, the horizon moves, gates are watched, nodes may be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nuncius_bus::clock::{Offset, monotonic_ns};
use nuncius_bus::tail::Start as TailStart;
use nuncius_schemas::codec;
use nuncius_schemas::event::{EventKind, NodeProgress, Progress};
use nuncius_schemas::metric::MetricDelta;
use nuncius_schemas::node::{Extend, NodeCommand};
use nuncius_schemas::run::RunStatus;
use nuncius_schemas::units::SECOND_NS;
use tracing::{debug, warn};

use crate::finish::CutShort;
use crate::fleet::{command_all, measure_clocks};
use crate::journal::JournalError;
use crate::judge::{Judge, steps_per_group};
use crate::plan::Plan;
use crate::run::{COMMAND_TIMEOUT, HORIZON_NS, Running, Started, Stopped, cancel_asked, cut_by, stop_nodes};
use crate::stress::{Pressure, Told};
use crate::totals::{OPEN_SECONDS, RunTotals};

/// Longest that a cancelled run waits for answers.
const CANCEL_DRAIN_NS: u64 = SECOND_NS;
/// How long after its schedule and drain a node may take to send its last delta.
const LAST_DELTA_PATIENCE_NS: u64 = 15 * SECOND_NS;
/// How often clocks are measured again.
const CLOCK_PERIOD_SECONDS: u64 = 30;

/// What was offered and measured.
pub(crate) struct Offered {
    pub(crate) totals: RunTotals,
    pub(crate) judge: Judge,
    pub(crate) clocks: BTreeMap<String, ClockSeen>,
    /// Why nodes were given up, by node.
    pub(crate) lost: BTreeMap<String, String>,
    /// Why the run did not go to its end.
    pub(crate) cut_short: Option<CutShort>,
    /// Pressure that was not as it was meant.
    pub(crate) pressure_problems: Vec<String>,
    /// How long load was offered, in seconds.
    pub(crate) offered_seconds: f64,
}

/// A node's clock at the start and now.
pub(crate) struct ClockSeen {
    pub(crate) first: Offset,
    pub(crate) last: Offset,
}

/// How a run that is being watched stands.
struct Watch<'a> {
    running: &'a mut Running,
    names: Vec<String>,
    epochs: BTreeMap<String, u64>,
    start_at_ns: u64,
    /// Run time at which every schedule is over, when that is known.
    end_ns: Option<u64>,
    totals: RunTotals,
    judge: Judge,
    clocks: BTreeMap<String, ClockSeen>,
    lost: BTreeMap<String, String>,
    cut_short: Option<CutShort>,
    pressure_problems: Vec<String>,
    /// When the nodes were told to stop, in nanoseconds of run time.
    stopped_ns: Option<u64>,
    stream_sequence: u64,
}

/// Watches until every node has said its last or has been given up.
pub(crate) async fn offer(running: &mut Running, plan: &Plan, started: Started) -> Result<Offered, Stopped> {
    let spec = running.journal.record.spec.clone();
    let id = running.journal.record.id.clone();
    running.journal.status(RunStatus::Running, "running").await?;
    let namespace = running.daemon.bus.namespace().clone();
    let mut tail = running
        .daemon
        .bus
        .tail(&namespace.stream_metric(), &namespace.metric_all(&id), TailStart::All)
        .await
        .map_err(|error| Stopped::Failed(format!("deltas cannot be read: {error}")))?;
    let ends: Option<Vec<u64>> = spec.groups.iter().map(nuncius_schemas::spec::Group::offered_ns).collect();
    let mut watch = Watch {
        names: plan.nodes.iter().map(|node| node.name.clone()).collect(),
        epochs: plan.nodes.iter().map(|node| (node.name.clone(), node.epoch)).collect(),
        start_at_ns: started.start_at_ns,
        end_ns: ends.map(|ends| ends.into_iter().max().unwrap_or(0)),
        totals: RunTotals::new(steps_per_group(&spec)),
        judge: Judge::new(&spec),
        clocks: started
            .offsets
            .into_iter()
            .map(|(node, offset)| (node, ClockSeen { first: offset, last: offset }))
            .collect(),
        lost: BTreeMap::new(),
        cut_short: None,
        pressure_problems: Vec::new(),
        stopped_ns: None,
        stream_sequence: 0,
        running,
    };
    for node in &plan.nodes {
        watch.totals.enroll(&node.name, node.epoch);
    }
    let (bus, nodes) = (watch.running.daemon.bus.clone(), watch.running.daemon.nodes.clone());
    let mut pressure = Pressure::plan(&bus, &nodes, &spec.stress, watch.start_at_ns);
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut ticks = 0u64;
    let mut draining = false;
    while !watch.is_over() {
        tokio::select! {
            stored = tail.next() => match stored {
                Ok(message) => watch.merge(message.sequence, &message.payload),
                Err(error) => {
                    warn!(experiment = %id, %error, "deltas cannot be read, trying again");
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
            },
            _ = tick.tick() => {
                ticks += 1;
                watch.tick(ticks).await;
                watch.say(pressure.told()).await;
                if !draining && watch.end_ns.is_some_and(|end| watch.run_ns() > end) {
                    draining = true;
                    let ended = Pressure::plan(&bus, &nodes, &[], watch.start_at_ns);
                    watch.say(std::mem::replace(&mut pressure, ended).end().await).await;
                    watch.running.journal.status(RunStatus::Draining, "waiting for the last answers").await?;
                }
            }
            // Whoever asks again while the last answers are waited for is answered, too.
            reason = cancel_asked(&mut watch.running.control) => {
                if watch.cut_short.is_none() {
                    watch.cut(cut_by(reason)).await;
                }
            }
            () = watch.running.daemon.shutdown.cancelled(), if watch.cut_short.is_none() => {
                watch.cut(cut_by("cancelled: the daemon is shutting down".to_owned())).await;
            }
        }
        if !watch.running.lease.is_valid() && !watch.running.daemon.reacquire(&mut watch.running.lease, &id).await {
            // That one closes the books: a report of ours would only overwrite its.
            return Err(Stopped::NotOurs(JournalError::Held));
        }
    }
    watch.say(pressure.end().await).await;
    watch.close(u32::MAX).await;
    let offered_seconds = watch.offered_seconds();
    let Watch { totals, judge, clocks, lost, cut_short, pressure_problems, .. } = watch;
    Ok(Offered { totals, judge, clocks, lost, cut_short, pressure_problems, offered_seconds })
}

impl Watch<'_> {
    /// Run time now, in nanoseconds; 0 before the start.
    fn run_ns(&self) -> u64 {
        monotonic_ns().saturating_sub(self.start_at_ns)
    }

    fn offered_seconds(&self) -> f64 {
        let full_ns = self.end_ns.unwrap_or_else(|| {
            let last = self.totals.intervals.iter().rev().find(|interval| interval.offered > 0);
            last.map_or(0, |interval| (u64::from(interval.second) + 1) * SECOND_NS)
        });
        let ns = self.stopped_ns.map_or(full_ns, |stopped| stopped.min(full_ns.max(1)));
        ns as f64 / SECOND_NS as f64
    }

    fn is_over(&self) -> bool {
        self.names.iter().all(|name| self.lost.contains_key(name) || self.totals.is_complete(name))
    }

    async fn say(&mut self, told: Vec<Told>) {
        for (kind, text) in told {
            self.running.journal.say(kind, &text, BTreeMap::new()).await;
            if kind == EventKind::Warning {
                self.pressure_problems.push(text);
            }
        }
    }

    fn merge(&mut self, sequence: u64, payload: &[u8]) {
        self.stream_sequence = sequence;
        let delta: MetricDelta = match codec::decode(payload) {
            Ok(delta) => delta,
            Err(error) => {
                warn!(%error, "a delta cannot be read");
                self.totals.refused += 1;
                return;
            }
        };
        if self.epochs.get(&delta.node) != Some(&delta.epoch) {
            debug!(node = %delta.node, "delta of somebody who was not planned with");
            return;
        }
        if let Err(error) = self.totals.merge(&delta) {
            warn!(%error, "a delta cannot be merged");
        }
    }

    async fn tick(&mut self, ticks: u64) {
        self.find_lost().await;
        let run_ns = self.run_ns();
        // Seconds are closed once every node has spoken of later ones, or they are long past.
        let through = self
            .names
            .iter()
            .filter(|name| !self.lost.contains_key(*name) && !self.totals.is_complete(name))
            .map(|name| self.totals.nodes.get(name).and_then(|node| node.through_second).map_or(0, |second| second + 1))
            .min();
        let past = u32::try_from(run_ns / SECOND_NS).unwrap_or(u32::MAX).saturating_sub(OPEN_SECONDS);
        self.close(through.unwrap_or(past).max(past)).await;
        self.extend().await;
        if self.cut_short.is_none() {
            let elapsed = (run_ns as f64 / SECOND_NS as f64).max(0.001);
            if let Some(gate) = self.judge.failed_already(&self.totals.steps, elapsed) {
                let reason = format!("aborted: gate {} failed: {}", gate.gate, gate.reason);
                self.cut(CutShort { reason, cancelled: false }).await;
            }
        }
        if ticks.is_multiple_of(2 * CLOCK_PERIOD_SECONDS) {
            let (offsets, _) = measure_clocks(&self.running.daemon.bus, &self.names).await;
            for (node, offset) in offsets {
                self.clocks.entry(node).and_modify(|seen| seen.last = offset);
            }
        }
    }

    /// Closes seconds: judges windows and tells progress.
    async fn close(&mut self, before: u32) {
        for (interval, second) in self.totals.close_before(before) {
            if let Some(gate) = self.judge.add_second(interval.second, &second)
                && self.cut_short.is_none()
            {
                let reason = format!("aborted: gate {} failed: {}", gate.gate, gate.reason);
                self.cut(CutShort { reason, cancelled: false }).await;
            }
            let sums = self.totals.iterations();
            let progress = Progress {
                experiment: self.running.journal.record.id.clone(),
                status: self.running.journal.record.status,
                second: interval.second,
                seconds_total: self.end_ns.and_then(|end| u32::try_from(end.div_ceil(SECOND_NS)).ok()),
                offered: interval.offered,
                answered: interval.succeeded + interval.failed,
                failed: interval.failed,
                in_flight: interval.in_flight,
                offered_total: sums.offered,
                succeeded_total: sums.succeeded,
                failed_total: sums.failed,
                censored_total: sums.censored,
                response_p50_ns: interval.response_p50_ns,
                response_p95_ns: interval.response_p95_ns,
                response_p99_ns: interval.response_p99_ns,
                nodes: self
                    .totals
                    .nodes
                    .iter()
                    .map(|(node, totals)| NodeProgress {
                        node: node.clone(),
                        offered: totals.offered_last,
                        in_flight: totals.in_flight,
                        lag_p99_ns: totals.lag_p99_ns,
                    })
                    .collect(),
            };
            let subject = self.running.daemon.bus.namespace().experiment_progress(&progress.experiment);
            if let Err(error) = self.running.daemon.bus.publish_message(&subject, "progress.v1", &progress).await {
                debug!(%error, "progress not told");
            }
        }
    }

    /// Moves each node's horizon on from what it has been acknowledged for.
    async fn extend(&mut self) {
        let id = self.running.journal.record.id.clone();
        let token = self.running.lease.token();
        let commands: Vec<(String, NodeCommand)> = self
            .names
            .iter()
            .filter(|name| !self.lost.contains_key(*name) && !self.totals.is_complete(name))
            .filter_map(|name| {
                let node = self.totals.nodes.get(name)?;
                let through_ns = (u64::from(node.through_second?) + 1) * SECOND_NS;
                let extend = Extend {
                    experiment: id.clone(),
                    token,
                    horizon_ns: through_ns + HORIZON_NS,
                    acknowledged_sequence: self.totals.complete_through(name),
                };
                Some((name.clone(), NodeCommand::Extend(extend)))
            })
            .collect();
        if self.cut_short.is_none() {
            for error in command_all(&self.running.daemon.bus, commands, COMMAND_TIMEOUT).await {
                debug!(%error, "horizon not extended");
            }
        }
    }

    /// Ends the run early: offers nothing more, waits a little for answers.
    async fn cut(&mut self, cut: CutShort) {
        let drain_ns = if cut.cancelled {
            self.running.journal.record.spec.drain.0.min(CANCEL_DRAIN_NS)
        } else {
            self.running.journal.record.spec.drain.0
        };
        self.stopped_ns = Some(self.run_ns());
        stop_nodes(self.running, &self.names, drain_ns, &cut.reason).await;
        self.running.journal.say(EventKind::Control, &cut.reason, BTreeMap::new()).await;
        self.cut_short = Some(cut);
    }

    /// Gives up nodes that are gone, that came back as somebody else, or that will not come to an end.
    async fn find_lost(&mut self) {
        let run_ns = self.run_ns();
        let drain_ns = self.running.journal.record.spec.drain.0;
        let over_ns = match (self.stopped_ns, self.end_ns) {
            (Some(stopped), _) => Some(stopped + drain_ns),
            (None, end) => end.map(|end| end + drain_ns),
        };
        let waiting: BTreeSet<&String> =
            self.names.iter().filter(|name| !self.lost.contains_key(*name) && !self.totals.is_complete(name)).collect();
        let mut found = Vec::new();
        let mut behind = None;
        for name in waiting {
            let present = self.running.daemon.nodes.get(name);
            let gone = match present {
                None => Some("it left the registry".to_owned()),
                Some(info) if Some(&info.epoch) != self.epochs.get(name) => Some("it was restarted".to_owned()),
                Some(_) => None,
            };
            let late = over_ns.is_some_and(|over| run_ns > over + LAST_DELTA_PATIENCE_NS)
                && self.running.daemon.bus.connected_for().as_nanos() > u128::from(LAST_DELTA_PATIENCE_NS);
            if gone.is_none() && !late {
                continue;
            }
            // What a node published before it went may still be on its way through the stream.
            if behind.is_none() {
                behind = Some(self.is_behind().await);
            }
            if behind == Some(true) {
                continue;
            }
            let seen = self.totals.nodes.get(name).and_then(|node| node.through_second);
            let reason = gone.unwrap_or_else(|| "its last delta did not come in time".to_owned());
            let until =
                seen.map_or("nothing of it was measured".to_owned(), |s| format!("measured through second {s}"));
            found.push((name.clone(), format!("{reason}; {until}")));
        }
        for (name, reason) in found {
            self.running.journal.say(EventKind::Node, &format!("node {name} is lost: {reason}"), BTreeMap::new()).await;
            self.lost.insert(name, reason);
        }
    }

    /// Whether the stream holds deltas of this run that have not been merged.
    async fn is_behind(&self) -> bool {
        let namespace = self.running.daemon.bus.namespace();
        let filter = namespace.metric_all(&self.running.journal.record.id);
        match self.running.daemon.bus.last_sequence_of(&namespace.stream_metric(), &filter).await {
            Ok(Some(last)) => last > self.stream_sequence,
            Ok(None) => false,
            Err(_) => true,
        }
    }
}
