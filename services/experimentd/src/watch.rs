//! While load is offered: deltas are merged, the horizon moves, gates are watched, nodes may be lost.
//!
//! The watch never waits for anybody. Deltas, ticks, cancellations and the answers to what was asked of nodes are
//! events of one loop; whatever is asked of a node runs beside it, with a deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nuncius_bus::BusError;
use nuncius_bus::kv::{KvEvent, KvWatch};
use nuncius_bus::tail::{Start as TailStart, StoredMessage, Tail};
use nuncius_clock::monotonic_ns;
use nuncius_schemas::codec;
use nuncius_schemas::event::EventKind;
use nuncius_schemas::metric::{MetricDelta, Shortfall};
use nuncius_schemas::run::RunStatus;
use nuncius_schemas::spec::{ExperimentSpec, Group};
use nuncius_schemas::units::SECOND_NS;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::begun::Begun;
use crate::control::Amending;
use crate::figures::{FIGURES, count};
use crate::journal::JournalError;
use crate::judge::Judge;
use crate::nodes::Whereabouts;
use crate::outcome::{ClockSeen, CutShort, Lost, Offered};
use crate::plan::Plan;
use crate::plan::moving::Move;
use crate::records::Gathering;
use crate::running::{Running, Stopped};
use crate::seconds::{Closing, Seconds};
use crate::sources::Sources;
use crate::stress::{Pressure, Told};
use crate::telemetry::{self, Telemetry};
use crate::tell::Teller;
use crate::totals::{OPEN_SECONDS, RunTotals};

mod amending;
mod asking;
mod begin;
mod checkpointing;
mod checkpoints;
mod ending;
mod hearing;
mod horizons;
mod lost;
mod profiling;
mod routing;
mod table;
mod takeover;

use asking::{Answer, Asking};
use checkpointing::Checkpointing;
use hearing::Hearing;
use table::Routing;

/// How often seconds are closed, lost nodes looked for, and what got no answer asked again.
const TICK: Duration = Duration::from_millis(500);
/// Pause after deltas could not be read.
const READ_PAUSE: Duration = Duration::from_millis(300);

/// A lost node whose own timer came later than this stood still, in nanoseconds: what it offers then is late.
const STOOD_STILL_NS: u64 = SECOND_NS;

/// What the watch reacts to.
enum Event {
    Delta(Result<StoredMessage, BusError>),
    Answer(Answer),
    Tick,
    Cancel(String),
    Amend(Amending),
    Route(Result<KvEvent, BusError>),
    Shutdown,
}

/// How a run that is being watched stands.
struct Watch<'a> {
    running: &'a mut Running,
    plan: Plan,
    names: Vec<String>,
    epochs: BTreeMap<String, u64>,
    attempt: u32,
    start_at_ns: u64,
    start_unix_ns: u64,
    /// How far ahead of what it has reported a node may offer, in nanoseconds.
    horizon_ns: u64,
    /// Run time at which every schedule is over, when that is known.
    end_ns: Option<u64>,
    /// Run time up to which the run lasts though nothing is offered any more, unless it is cut short.
    lasts_until_ns: u64,
    totals: RunTotals,
    judge: Judge,
    clocks: BTreeMap<String, ClockSeen>,
    lost: BTreeMap<String, Lost>,
    cut_short: Option<CutShort>,
    pressure_problems: Vec<String>,
    /// When the nodes were told to stop, in nanoseconds of run time.
    stopped_ns: Option<u64>,
    /// When the last node said its last, in nanoseconds of run time.
    ended_ns: u64,
    seconds: Seconds,
    teller: Teller,
    stream_sequence: u64,
    asking: Asking,
    routing: Routing,
    hearing: Hearing,
    /// Nodes that say that they do not work for the run.
    strangers: BTreeSet<String>,
    /// What was moved away from lost nodes.
    moves: Vec<Move>,
    gathering: Option<Gathering>,
    /// Lost nodes whose load was late: they tell nothing any more that counts.
    stood_still: BTreeSet<String>,
    checkpointing: Checkpointing,
    /// Told with the watch.
    sources: Sources,
    draining: bool,
}

/// Run time up to which an experiment lasts by its own word: the longest of its groups, whose last stages may have a
/// rate of 0. Groups that end with a number of iterations, or with a file, last no longer than that.
fn lasts_until_ns(spec: &ExperimentSpec) -> u64 {
    let is_lasting = |group: &&Group| group.iterations.is_none() && !group.ends_with_its_arrivals();
    let lasting = spec.groups.iter().filter(is_lasting);
    lasting.filter_map(|group| spec.offered_ns_of(group)).max().unwrap_or(0)
}

/// Watches until the run's time is over and every node has said its last or has been given up.
///
/// # Errors
/// [`Stopped`], when the run is no longer ours, or cannot be watched.
pub(crate) async fn offer(running: &mut Running, plan: &Plan, begun: Begun) -> Result<Offered, Stopped> {
    let spec = running.journal.record.spec.clone();
    let id = running.journal.record.id.clone();
    let (bus, nodes) = (running.daemon.bus.clone(), running.daemon.nodes.clone());
    let namespace = bus.namespace().clone();
    let mut watch = Watch::begin(running, plan, begun)?;
    if watch.running.journal.record.status != RunStatus::Running {
        watch.running.journal.status(RunStatus::Running, "running").await?;
    }
    let from = watch.stream_sequence + 1;
    let (stream, filter) = (namespace.stream_metric(), namespace.metric_all(&id));
    let open = || bus.tail(&stream, &filter, TailStart::FromSequence(from));
    let mut tail = watch.running.insist("deltas cannot be read", open).await?;
    let mut routes = table::watch(watch.running).await?;
    let mut pressure = Some(Pressure::plan(&bus, &nodes, &spec.stress, watch.start_at_ns));
    let mut telemetry = Telemetry::start(&watch.running.daemon, &id, spec.telemetry.as_ref());
    let mut profiling = watch.profiling((&bus, &nodes), &id, &spec);
    let mut amendments = watch.running.control.steer();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while !watch.is_over() {
        let event = watch.next_event(&mut tail, &mut tick, &mut amendments, &mut routes).await;
        // First of all: whoever was frozen and wakes up tells and stores nothing of a run that is another's by now, who
        // closes the books.
        watch.running.keep_lease().await?;
        match event {
            Event::Delta(stored) => watch.delta(stored).await,
            Event::Answer(answer) => watch.answer(answer).await,
            Event::Tick => {
                watch.tick().await;
                let told = pressure.as_mut().map(Pressure::told).unwrap_or_default();
                watch.say(told).await;
                telemetry::say(&mut watch.running.journal, Telemetry::told(telemetry.as_mut())).await;
                profiling.follow(watch.running.lease.token());
                telemetry::say(&mut watch.running.journal, profiling.told()).await;
                if !watch.draining && watch.end_ns.is_some_and(|end| watch.run_ns() > end) {
                    watch.draining = true;
                    if let Some(pressure) = pressure.take() {
                        watch.asking.release(pressure);
                    }
                    if watch.running.journal.record.status != RunStatus::Draining {
                        watch.running.journal.status(RunStatus::Draining, "waiting for the last answers").await?;
                    }
                }
            }
            Event::Cancel(reason) => watch.cut(CutShort::cancelled(reason)).await,
            Event::Amend(asked) => watch.amend(asked).await?,
            Event::Route(event) => watch.routed(event).await?,
            // Its lease is given back, and the other takes it at once.
            Event::Shutdown if watch.running.daemon.has_another() => {
                return Err(Stopped::NotOurs(JournalError::HandedOver));
            }
            Event::Shutdown => {
                watch.cut(CutShort::cancelled("cancelled: the daemon is shutting down".to_owned())).await
            }
        }
    }
    if !watch.draining && watch.cut_short.is_none() && watch.running.journal.record.status != RunStatus::Draining {
        // Everybody had said his last before anybody looked at the clock.
        watch.running.journal.status(RunStatus::Draining, "waiting for the last answers").await?;
    }
    watch.finish(pressure).await;
    let machines = telemetry::end(&mut watch.running.journal, telemetry).await;
    let profiles = watch.end_profiles(profiling).await;
    let over_time = watch.seconds.over_time();
    let Watch { totals, judge, clocks, lost, moves, gathering, cut_short, pressure_problems, teller, .. } = watch;
    teller.end().await;
    Ok(Offered {
        totals,
        judge,
        clocks,
        lost,
        moves,
        gathering,
        cut_short,
        pressure_problems,
        profiles,
        machines,
        over_time,
    })
}

impl Watch<'_> {
    /// Everything in it may be given up and asked for again.
    async fn next_event(
        &mut self,
        tail: &mut Tail,
        tick: &mut tokio::time::Interval,
        amendments: &mut mpsc::Receiver<Amending>,
        routes: &mut Option<KvWatch>,
    ) -> Event {
        let is_whole = self.cut_short.is_none();
        tokio::select! {
            // What cuts the run short goes before what is merely there in great numbers.
            biased;
            reason = self.running.control.cancelled(), if is_whole => Event::Cancel(reason),
            () = self.running.daemon.shutdown.cancelled(), if is_whole => Event::Shutdown,
            _ = tick.tick() => Event::Tick,
            Some(asked) = amendments.recv() => Event::Amend(asked),
            event = table::next(routes) => Event::Route(event),
            answer = self.asking.next() => Event::Answer(answer),
            stored = tail.next() => Event::Delta(stored),
        }
    }

    /// Run time now, in nanoseconds; 0 before the start.
    fn run_ns(&self) -> u64 {
        monotonic_ns().saturating_sub(self.start_at_ns)
    }

    async fn say(&mut self, told: Vec<Told>) {
        for (kind, text) in told {
            self.running.journal.say(kind, &text, BTreeMap::new()).await;
            if kind == EventKind::Warning {
                self.pressure_problems.push(text);
            }
        }
    }

    async fn delta(&mut self, stored: Result<StoredMessage, BusError>) {
        match stored {
            Ok(message) => {
                self.sources.note(&message.headers);
                if self.merge(message.sequence, &message.payload) {
                    self.plan_moves().await;
                }
            }
            Err(error) => {
                warn!(experiment = %self.running.journal.record.id, %error, "deltas cannot be read, trying again");
                tokio::time::sleep(READ_PAUSE).await;
            }
        }
    }

    /// Whether it tells of a node that leaves.
    fn merge(&mut self, sequence: u64, payload: &[u8]) -> bool {
        self.stream_sequence = sequence;
        let delta: MetricDelta = match codec::decode(payload) {
            Ok(delta) => delta,
            Err(error) => {
                warn!(%error, "a delta cannot be read");
                self.totals.refused += 1;
                count(&FIGURES.refused_deltas);
                return false;
            }
        };
        if self.epochs.get(&delta.node) != Some(&delta.epoch) || delta.attempt != self.attempt {
            debug!(node = %delta.node, attempt = delta.attempt, "delta of somebody who was not planned with");
            return false;
        }
        if self.lost.contains_key(&delta.node) {
            // One that was out of reach tells what it did, in time, before its horizon. What one sent that stood still
            // was late, and stays in the deficit.
            let late_ns = delta.health.as_ref().map_or(0, |health| health.heartbeat_late_ns);
            if late_ns > STOOD_STILL_NS || self.stood_still.contains(&delta.node) {
                debug!(node = %delta.node, "delta of a node that stood still and was given up");
                self.stood_still.insert(delta.node);
                return false;
            }
        }
        self.hearing.heard(&delta.node, monotonic_ns());
        if delta.last {
            self.ended_ns = self.ended_ns.max(self.run_ns());
        }
        match self.totals.merge(&delta) {
            Ok(true) => {
                count(&FIGURES.merged_deltas);
                self.judge.note(&delta);
            }
            Ok(false) => count(&FIGURES.repeated_deltas),
            Err(error) => {
                count(&FIGURES.refused_deltas);
                warn!(%error, "a delta cannot be merged");
            }
        }
        // What was acknowledged moves the horizon, at once and no oftener.
        self.extend(&delta.node);
        delta.shortfall == Some(Shortfall::Left) && self.leave(&delta.node)
    }

    async fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::Clock { node, offset } => {
                self.asking.measured(&node);
                if let Some(offset) = offset {
                    self.hearing.heard(&node, monotonic_ns());
                    let seen = self.clocks.entry(node).or_insert(ClockSeen { first: offset, last: offset });
                    seen.last = offset;
                }
            }
            Answer::Extended { node, horizon_ns, outcome } => self.extended(&node, horizon_ns, outcome).await,
            Answer::Taken { node, number, outcome } => self.taken(node, number, outcome).await,
            Answer::Rerouted { node, number, outcome } => self.rerouted(node, number, outcome).await,
            Answer::Stored(outcome) => self.stored(outcome),
            Answer::Stopped { node, is_heard } => self.asking.stopped(&node, is_heard),
            Answer::LastStored(last) => self.give_up(last).await,
            Answer::Pressure(told) => self.say(told).await,
        }
    }

    async fn tick(&mut self) {
        self.look_for_lost();
        self.take_over();
        self.checkpoint_when_due();
        let run_ns = self.run_ns();
        // Seconds are closed once every node has spoken of later ones, or they are long past.
        let through = self
            .names
            .iter()
            .filter(|name| !self.has_ended(name))
            .map(|name| self.totals.nodes.get(name).and_then(|node| node.through_second).map_or(0, |second| second + 1))
            .min();
        let past = u32::try_from(run_ns / SECOND_NS).unwrap_or(u32::MAX).saturating_sub(OPEN_SECONDS);
        self.close(through.unwrap_or(past).max(past)).await;
        // Whatever got no answer is asked again.
        for name in self.names.clone() {
            if let Whereabouts::Renamed(address) = self.whereabouts(&name) {
                self.asking.readdress(&name, &address);
            }
            self.extend(&name);
            self.stop(&name);
        }
        self.tell_routes();
        self.asking.measure_clocks(self.names.iter().filter(|name| !self.lost.contains_key(*name)));
    }

    /// Closes seconds: judges windows and tells what they were.
    async fn close(&mut self, before: u32) {
        for (second, totals) in self.totals.close_before(before) {
            let mut failed = self.judge.add_second(second, &totals);
            if failed.is_none() && self.cut_short.is_none() {
                failed = self.judge.look(&self.totals.steps, second + 1, self.run_ns());
            }
            if let Some(gate) = failed
                && self.cut_short.is_none()
            {
                let reason = format!("aborted: gate {} failed: {}", gate.gate, gate.reason);
                self.cut(CutShort { reason, cancelled: false }).await;
            }
            let closing = Closing {
                status: self.running.journal.record.status,
                stopped_ns: self.stopped_ns,
                ended_ns: self.is_over().then(|| self.over_at_ns()),
            };
            for told in self.seconds.close(second, &totals, &closing) {
                self.teller.tell(told);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nuncius_schemas::spec::Group;

    #[test]
    fn a_run_lasts_as_long_as_its_longest_group_says_whatever_its_last_rate() {
        let group = |text: &str| -> Group { serde_json::from_str(text).unwrap() };
        let stages = r#"[{"rate": "9/s", "duration": "4s"}, {"rate": "0/s", "duration": "2s"}]"#;
        let pausing = group(&format!(r#"{{"target": "http://h/", "stages": {stages}}}"#));
        let counted = group(r#"{"target": "http://h/", "rate": "100/s", "duration": "30s", "iterations": 77}"#);
        let users = group(r#"{"target": "http://h/", "users": 3, "duration": "5s"}"#);
        for (groups, seconds) in [
            (vec![pausing.clone(), users.clone()], 6),
            (vec![counted.clone()], 0),
            (vec![counted, users], 5),
            (Vec::new(), 0),
        ] {
            assert_eq!(lasts_until_ns(&ExperimentSpec::of_groups(groups)), seconds * SECOND_NS);
        }
    }
}
