//! Many client nodes in one process, as the daemon and the bus see them: each registers and keeps its entry, answers
//! pings and commands, and tells once a second what it would have measured. Nothing is offered to anybody: what they
//! tell is their own share of the schedule, answered in a millisecond each.
//!
//! `cargo run --release -p nuncius-experimentd --example fleet NATS_URL NODES [FIRST [NODES_PER_CONNECTION]]`
//!
//! Says how long joining took, then goes on until it is told to end (SIGTERM).

#![expect(clippy::print_stdout, reason = "a program that prints its result")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use nuncius_bus::clock::answer_pings;
use nuncius_bus::registry::{self, Registration};
use nuncius_bus::{Bus, ConnectOptions, Message, connect};
use nuncius_clock::monotonic_ns;
use nuncius_load::{ShardSet, schedule_of};
use nuncius_schemas::metric::{Health, MetricDelta, StatusCount, StepDelta};
use nuncius_schemas::node::{Capacity, NodeCommand, NodeInfo, NodeReply, Prepare, RefusalCode, Role};
use nuncius_schemas::units::SECOND_NS;
use nuncius_stats::Histogram;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Nodes that join at once: more only wait for each other.
const JOINING_AT_ONCE: usize = 64;
const DEFAULT_PER_CONNECTION: usize = 50;

/// What all nodes of the process have done.
#[derive(Default)]
struct Counters {
    commands: AtomicU64,
    deltas: AtomicU64,
    failed: AtomicU64,
}

/// Arrivals of each shard and second, of each experiment: walked once for all nodes.
type Arrivals = Arc<Vec<BTreeMap<u32, u64>>>;

#[derive(Clone)]
struct Fleet {
    counters: Arc<Counters>,
    arrivals: Arc<Mutex<BTreeMap<String, Arrivals>>>,
}

struct Node {
    bus: Bus,
    name: String,
    epoch: u64,
    fleet: Fleet,
    session: Option<Session>,
}

/// What a node is doing for an experiment.
struct Session {
    experiment: String,
    token: u64,
    attempt: u32,
    shards: ShardSet,
    arrivals: Arrivals,
    start_at_ns: Option<u64>,
    horizon_ns: u64,
    second: u32,
    sequence: u64,
    end_second: u32,
    is_stopped: bool,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args_os().skip(1).filter_map(|text| text.into_string().ok()).collect();
    let number = |at: usize, default: usize| arguments.get(at).map_or(Ok(default), |text| text.parse::<usize>());
    let url = arguments.first().ok_or("give the URL of a nats-server, and how many nodes")?.clone();
    let (count, first, per_connection) = (number(1, 100)?, number(2, 0)?, number(3, DEFAULT_PER_CONNECTION)?.max(1));
    let fleet = Fleet { counters: Arc::default(), arrivals: Arc::default() };
    let begun = Instant::now();
    let mut buses = Vec::new();
    for number in 0..count.div_ceil(per_connection) {
        let options =
            ConnectOptions { urls: vec![url.clone()], name: format!("fleet-{number}"), ..ConnectOptions::default() };
        buses.push(connect(options).await?);
    }
    let joins = (first..first + count).zip(buses.iter().cycle()).map(|(number, bus)| {
        let (bus, fleet) = (bus.clone(), fleet.clone());
        async move { join(bus, format!("sim-{number:05}"), fleet).await }
    });
    let joined: Vec<Result<Registration, Failure>> =
        stream::iter(joins).buffer_unordered(JOINING_AT_ONCE).collect().await;
    let registrations: Vec<Registration> = joined.into_iter().collect::<Result<_, _>>()?;
    println!("joined={} join_ms={}", registrations.len(), begun.elapsed().as_millis());
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?.recv().await;
    let counters = &fleet.counters;
    println!(
        "commands={} deltas={} failed={}",
        counters.commands.load(Ordering::Relaxed),
        counters.deltas.load(Ordering::Relaxed),
        counters.failed.load(Ordering::Relaxed)
    );
    Ok(())
}

/// Registers one node and lets it live.
async fn join(bus: Bus, name: String, fleet: Fleet) -> Result<Registration, Failure> {
    let capacity =
        Capacity { weight: 1, max_rate_per_second: 100_000, max_in_flight: 10_000, max_duration_seconds: 86_400 };
    let info = NodeInfo { capacity: Some(capacity), ..registry::this_process(&name, Role::Client, "simulated") };
    let mut commands = bus.subscribe(&bus.namespace().node_command(&name)).await?;
    let pings = answer_pings(&bus, &bus.namespace().node_ping(&name)).await?;
    let registration = registry::join(&bus, info).await?;
    let claim = registration.claim();
    let mut node = Node { bus, name: claim.name, epoch: claim.epoch, fleet, session: None };
    tokio::spawn(async move {
        let _pings = pings;
        loop {
            tokio::select! {
                command = commands.next() => match command {
                    Some(message) => node.command(&message).await,
                    None => return,
                },
                () = sleep_until(node.due_ns()) => node.report(),
            }
        }
    });
    Ok(registration)
}

async fn sleep_until(due_ns: Option<u64>) {
    match due_ns {
        Some(due_ns) => tokio::time::sleep(Duration::from_nanos(due_ns.saturating_sub(monotonic_ns()))).await,
        None => std::future::pending().await,
    }
}

impl Node {
    async fn command(&mut self, message: &Message) {
        self.fleet.counters.commands.fetch_add(1, Ordering::Relaxed);
        let outcome = match message.decode() {
            Ok(command) => self.obey(command),
            Err(error) => Err((RefusalCode::Unreadable, error.to_string())),
        };
        let epoch = self.epoch;
        let reply = match outcome {
            Ok(()) => NodeReply::Accepted { epoch },
            Err((code, reason)) => NodeReply::Refused { epoch, code, reason },
        };
        if message.respond_message("node-reply.v1", &reply).await.is_err() {
            self.fleet.counters.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn obey(&mut self, command: NodeCommand) -> Result<(), (RefusalCode, String)> {
        let unknown = || (RefusalCode::Unknown, "not at it".to_owned());
        match command {
            NodeCommand::Prepare(prepare) => {
                self.session = Some(self.prepare(&prepare).map_err(|error| (RefusalCode::Unfit, error.to_string()))?);
            }
            NodeCommand::Start(start) => {
                let session = self.session.as_mut().ok_or_else(unknown)?;
                if start.start_at_ns <= monotonic_ns() {
                    return Err((RefusalCode::Late, "the instant of the start had passed".to_owned()));
                }
                session.start_at_ns = Some(start.start_at_ns);
                session.horizon_ns = start.horizon_ns;
            }
            NodeCommand::Extend(extend) => {
                let session = self.session.as_mut().ok_or_else(unknown)?;
                session.horizon_ns = session.horizon_ns.max(extend.horizon_ns);
            }
            NodeCommand::Stop(_) => match &mut self.session {
                Some(session) if session.start_at_ns.is_some() => session.is_stopped = true,
                _ => self.session = None,
            },
            NodeCommand::Take(_) => return Err((RefusalCode::Unfit, "simulated nodes take nothing over".to_owned())),
            NodeCommand::Reroute(_) => {}
            NodeCommand::Inquire(_) => return Err(unknown()),
            NodeCommand::Once(_) => return Err((RefusalCode::Unfit, "simulated nodes send nothing".to_owned())),
            NodeCommand::Profile(_) => return Err((RefusalCode::Unfit, "simulated nodes run nothing".to_owned())),
        }
        Ok(())
    }

    fn prepare(&self, prepare: &Prepare) -> Result<Session, Failure> {
        let assignment = prepare.assignments.first().ok_or("nothing to do")?;
        let shards = ShardSet::of_assignment(assignment)?;
        let group = prepare.spec.groups.first().ok_or("no group")?;
        let schedule = schedule_of(&prepare.spec, 0, group, assignment.nodes)?;
        let end_second = u32::try_from(schedule.end_ns().div_ceil(SECOND_NS))?;
        let key = format!("{}-{}", prepare.experiment, prepare.attempt);
        let mut known = self.fleet.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let arrivals = match known.get(&key) {
            Some(arrivals) => Arc::clone(arrivals),
            None => {
                let mut by_shard = vec![BTreeMap::new(); shards.shards() as usize];
                for arrival in schedule {
                    let second = u32::try_from(arrival.planned_ns / SECOND_NS)?;
                    if let Some(seconds) = by_shard.get_mut(shards.shard_of(arrival.index) as usize) {
                        *seconds.entry(second).or_default() += 1;
                    }
                }
                let arrivals = Arc::new(by_shard);
                known.insert(key, Arc::clone(&arrivals));
                arrivals
            }
        };
        drop(known);
        Ok(Session {
            experiment: prepare.experiment.clone(),
            token: prepare.token,
            attempt: prepare.attempt,
            shards,
            arrivals,
            start_at_ns: None,
            horizon_ns: 0,
            second: 0,
            sequence: 0,
            end_second,
            is_stopped: false,
        })
    }

    /// When the second that is under way is over.
    fn due_ns(&self) -> Option<u64> {
        let session = self.session.as_ref()?;
        // Not all of them at one instant: their clocks are as good as those of different hosts.
        let apart_ns = self.epoch % (SECOND_NS / 2);
        Some(session.start_at_ns? + (u64::from(session.second) + 1) * SECOND_NS + apart_ns)
    }

    /// Tells of the second that is over.
    fn report(&mut self) {
        let Some(session) = &mut self.session else { return };
        let second = session.second;
        let is_within = u64::from(second + 1) * SECOND_NS <= session.horizon_ns;
        let own = |shard: u32| session.arrivals.get(shard as usize).and_then(|seconds| seconds.get(&second)).copied();
        let count: u64 = if is_within { session.shards.iter().filter_map(own).sum() } else { 0 };
        session.second += 1;
        session.sequence += 1;
        let last = session.is_stopped || session.second >= session.end_second || !is_within;
        let stopped = (!is_within).then(|| "it stood at its horizon".to_owned());
        let mut short = Histogram::new();
        short.record_ns_many(20_000, count);
        let mut answered = Histogram::new();
        answered.record_ns_many(1_000_000, count);
        let step = StepDelta {
            planned: count,
            sent: count,
            succeeded: count,
            statuses: vec![StatusCount { status: 200, count }],
            lag: short.encode_delta(),
            blocked: short.encode_delta(),
            service: answered.encode_delta(),
            response: answered.encode_delta(),
            ..StepDelta::default()
        };
        let delta = MetricDelta {
            experiment: session.experiment.clone(),
            node: self.name.clone(),
            epoch: self.epoch,
            attempt: session.attempt,
            sequence: session.sequence,
            part: 0,
            parts: 1,
            first_second: second,
            last_second: second,
            last,
            stopped,
            shortfall: None,
            records: None,
            meters: Vec::new(),
            tracks: Vec::new(),
            steps: vec![step],
            health: Some(Health { interval_ns: SECOND_NS, cpu_ns: SECOND_NS / 100, ..Health::default() }),
        };
        let id = format!("{}-{}-{:x}-{}", delta.experiment, self.name, session.token, delta.sequence);
        if last {
            self.session = None;
        }
        let (bus, counters) = (self.bus.clone(), Arc::clone(&self.fleet.counters));
        // As a node does: commands are answered meanwhile.
        tokio::spawn(async move {
            let subject = bus.namespace().metric(&delta.experiment, &delta.node);
            let stored = bus.store_message(&subject, "metric-delta.v1", &delta, Some(&id)).await;
            let counter = if stored.is_ok() { &counters.deltas } else { &counters.failed };
            counter.fetch_add(1, Ordering::Relaxed);
        });
    }
}
