//! What the conformance tests need: a small scriptable HTTP server, and one call that runs a group and adds up what
//! came out.
#![allow(dead_code, unreachable_pub, clippy::indexing_slicing, reason = "each test binary uses its part")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use nuncius_clock::monotonic_ns;
use nuncius_engine::{
    Caps, Control, EngineMessage, EngineOptions, FinishReason, GroupInput, GroupPlan, MeterValue, PlanError, Row,
    SlowRow, TargetPolicy, plan_group, spawn_group,
};
use nuncius_load::ShardSet;
use nuncius_schemas::fault::GeneratorFault;
use nuncius_schemas::metric::{BySeries, FailureCount, Series};
use nuncius_schemas::route::Route;
use nuncius_schemas::spec::{ExperimentSpec, RecordsMode};
use nuncius_stats::Totals;

/// What the server does with one request.
pub enum Reply {
    /// Writes these pieces, each on its own.
    Pieces(Vec<Vec<u8>>),
    /// Writes this and closes.
    Close(Vec<u8>),
    /// Waits, then writes.
    After(Duration, Vec<u8>),
    /// Never answers.
    Hang,
}

impl Reply {
    pub fn ok() -> Self {
        Self::text("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
    }

    pub fn text(text: &str) -> Self {
        Self::Pieces(vec![text.as_bytes().to_vec()])
    }
}

/// One request as the server saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub head: String,
    pub body: String,
    /// Which connection, in the order of acceptance.
    pub connection: usize,
    /// Which request of that connection.
    pub position: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

type Script = dyn Fn(&Seen, usize) -> Reply + Send + Sync;

#[derive(Default)]
struct Log {
    seen: Mutex<Vec<Seen>>,
    more: Condvar,
    connections: AtomicUsize,
    stop: AtomicBool,
}

pub struct Server {
    pub address: SocketAddr,
    log: Arc<Log>,
}

impl Server {
    /// `script` gets the request and its number over all connections.
    pub fn start(script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1:0", script)
    }

    pub fn start_on(listen: &str, script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(listen).unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let script: Arc<Script> = Arc::new(script);
        let shared = Arc::clone(&log);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                let connection = shared.connections.fetch_add(1, Ordering::SeqCst);
                let (log, script) = (Arc::clone(&shared), Arc::clone(&script));
                std::thread::spawn(move || serve(socket, connection, &log, &*script));
            }
        });
        Self { address, log }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.log.seen.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }

    /// Waits until so many requests have come.
    pub fn wait_for(&self, count: usize) {
        let seen = self.log.seen.lock().unwrap();
        let wait = self.log.more.wait_timeout_while(seen, Duration::from_secs(10), |seen| seen.len() < count);
        assert!(!wait.unwrap().1.timed_out(), "the server did not get {count} requests");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.log.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut socket: TcpStream, connection: usize, log: &Log, script: &Script) {
    socket.set_nodelay(true).unwrap();
    let mut pending: Vec<u8> = Vec::new();
    let mut buffer = [0u8; 4096];
    for position in 0.. {
        let (head, body) = loop {
            if let Some(end) = pending.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8(pending[..end].to_vec()).unwrap();
                let length = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned))
                    .map_or(0, |value| value.trim().parse::<usize>().unwrap());
                if pending.len() >= end + 4 + length {
                    let body = String::from_utf8(pending[end + 4..end + 4 + length].to_vec()).unwrap();
                    pending.drain(..end + 4 + length);
                    break (head, body);
                }
            }
            match socket.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(read) => pending.extend_from_slice(&buffer[..read]),
            }
        };
        let seen = Seen { head, body, connection, position };
        let number = {
            let mut all = log.seen.lock().unwrap();
            all.push(seen.clone());
            log.more.notify_all();
            all.len() - 1
        };
        match script(&seen, number) {
            Reply::Pieces(pieces) => {
                for piece in pieces {
                    if socket.write_all(&piece).is_err() {
                        return;
                    }
                    std::thread::yield_now();
                }
            }
            Reply::Close(bytes) => {
                let _ = socket.write_all(&bytes);
                return;
            }
            Reply::After(delay, bytes) => {
                std::thread::sleep(delay);
                if socket.write_all(&bytes).is_err() {
                    return;
                }
            }
            Reply::Hang => {}
        }
    }
}

/// Which client runs the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    Plain,
    General,
}

pub const CLIENTS: [Client; 2] = [Client::Plain, Client::General];

/// What a step measured in a whole run.
#[derive(Debug, Default)]
pub struct Step {
    pub planned: u64,
    pub sent: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub censored: u64,
    pub skipped: u64,
    pub redirects: u64,
    /// By name: passed and failed.
    pub checks: std::collections::BTreeMap<String, (u64, u64)>,
    pub in_flight: u64,
    pub failures: Vec<FailureCount>,
    pub retried: u64,
    pub held_back: u64,
    pub backed_off: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub statuses: std::collections::BTreeMap<u16, u64>,
    pub series: BySeries<Totals>,
}

impl Step {
    pub fn of(&self, series: Series) -> &Totals {
        self.series.of(series)
    }
}

impl Step {
    pub fn balances(&self) {
        let ended = self.succeeded + self.failed + self.censored + self.skipped;
        assert_eq!((self.planned, self.in_flight), (ended, 0), "{self:?}");
    }

    /// The only kind of its failures, how many there are, and one of them.
    pub fn failure(&self) -> (nuncius_schemas::metric::FailureKind, u64, String) {
        let kinds: std::collections::BTreeSet<_> = self.failures.iter().map(|failure| failure.kind).collect();
        assert_eq!(kinds.len(), 1, "{:?}", self.failures);
        let sample = self.failures.iter().find_map(|failure| failure.sample.clone()).unwrap_or_default();
        (self.failures[0].kind, self.failures.iter().map(|failure| failure.count).sum(), sample)
    }
}

#[derive(Debug, Default)]
pub struct Outcome {
    pub steps: Vec<Step>,
    pub rows: Vec<Row>,
    /// The slowest of each second.
    pub slowest: Vec<SlowRow>,
    pub reasons: Vec<FinishReason>,
    /// The longest that a thread stood at its horizon.
    pub stood_ns: u64,
    pub seconds: Vec<(u32, u32)>,
    pub faults: std::collections::BTreeMap<GeneratorFault, u64>,
    /// Of servos: completed cycles, and how many servos completed so many.
    pub cycles: std::collections::BTreeMap<u32, u64>,
    /// Of each meter the sum, or how many values there were.
    pub meters: std::collections::BTreeMap<String, u64>,
    /// Of each track: published, received messages, different ones of them, reordered.
    pub tracks: std::collections::BTreeMap<String, [u64; 4]>,
}

impl Outcome {
    /// The only step; checks that the books balance.
    pub fn step(&self) -> &Step {
        assert_eq!(self.steps.len(), 1);
        let step = &self.steps[0];
        step.balances();
        step
    }

    /// Steps and the iteration, all of whose books balance.
    pub fn all(&self) -> &[Step] {
        self.steps.iter().for_each(Step::balances);
        &self.steps
    }
}

pub struct Run<'a> {
    pub client: Client,
    pub spec: String,
    pub options: EngineOptions,
    pub routes: &'a [Route],
    pub shards: ShardSet,
    pub threads: usize,
    pub horizon_ns: u64,
    /// How long ago the run has begun when its threads hear of it.
    pub begun_ago_ns: u64,
    pub bus: Option<nuncius_bus::Bus>,
    pub caps: Arc<Caps>,
    pub environment: fn(&str) -> Option<String>,
    pub bundle: Option<std::path::PathBuf>,
    pub during: Box<dyn FnOnce(&Control) + 'a>,
}

pub const SECOND_NS: u64 = 1_000_000_000;

impl<'a> Run<'a> {
    /// `group` holds the fields of the group but its target's address, which stands for `ADDRESS` in it.
    pub fn new(client: Client, address: SocketAddr, group: &str) -> Self {
        let group = group.replace("ADDRESS", &address.to_string());
        let group = if group.contains("\"target\"") {
            group
        } else {
            // A query of the target is refused where the steps have paths.
            let query = if group.contains("\"path\"") { "" } else { "?x=1" };
            format!("\"target\": \"http://{address}/path{query}\", {group}")
        };
        Self {
            client,
            spec: format!("{{\"groups\": [{{{group}}}]}}"),
            options: EngineOptions {
                records: RecordsMode::All,
                trace_ratio: 0.0,
                trace_slowest: 3,
                seed: 1,
                drain_ns: 5 * SECOND_NS,
                orphan_limit_ns: 600 * SECOND_NS,
            },
            routes: &[],
            shards: ShardSet::all(256),
            threads: 1,
            horizon_ns: u64::MAX,
            begun_ago_ns: 0,
            bus: None,
            caps: Caps::none(),
            environment: |_| None,
            bundle: None,
            during: Box::new(|_| {}),
        }
    }

    /// A group of sessions: its fields as YAML, but for the target, whose address stands for `ADDRESS` in them.
    pub fn sessions(address: SocketAddr, fields: &str) -> Self {
        let fields = fields.replace("ADDRESS", &address.to_string());
        let spec = format!("groups:\n- {{target: 'http://{address}', {fields}}}\n");
        Self { spec, ..Self::new(Client::Plain, address, "") }
    }

    pub fn plan(&self) -> Result<GroupPlan, PlanError> {
        let spec: ExperimentSpec = nuncius_schemas::codec::from_text(&self.spec).unwrap();
        spec.validate().unwrap();
        let input = GroupInput {
            spec: &spec,
            group: 0,
            shards: self.shards.clone(),
            nodes: 1,
            routes: self.routes,
            run_key: 7,
            trace_id: 1,
            threads: self.threads,
            bundle: self.bundle.as_deref(),
            variables: None,
        };
        let plan = plan_group(&input, &TargetPolicy::default(), &self.environment)?;
        Ok(if self.client == Client::General { plan.with_general_client() } else { plan })
    }

    /// Runs the group to its end.
    pub fn go(self) -> Outcome {
        let plan = self.plan().unwrap();
        self.go_with(plan)
    }

    /// Runs a plan to its end.
    pub fn go_with(self, plan: GroupPlan) -> Outcome {
        let mut outcome = Outcome::default();
        outcome.steps.resize_with(plan.recorders(), Step::default);
        let control = Control::with_caps(Arc::clone(&self.caps));
        let (sink, messages) = sync_channel(1_024);
        let threads = spawn_group(plan, self.options, Arc::clone(&control), sink, self.bus.as_ref()).unwrap();
        assert!(threads.iter().all(|thread| thread.thread_id > 0));
        control.start(monotonic_ns() + 5_000_000 - self.begun_ago_ns, self.horizon_ns);
        (self.during)(&control);
        for message in messages {
            match message {
                EngineMessage::Rows(rows) => outcome.rows.extend(rows),
                EngineMessage::Finished { reason, stood_ns, .. } => {
                    outcome.reasons.push(reason);
                    outcome.stood_ns = outcome.stood_ns.max(stood_ns);
                }
                EngineMessage::Second(report) => {
                    outcome.seconds.push((report.first_second, report.last_second));
                    assert_eq!(report.dropped_rows, 0);
                    for fault in &report.faults {
                        *outcome.faults.entry(fault.fault).or_default() += fault.count;
                    }
                    for (cycles, servos) in &report.cycles {
                        *outcome.cycles.entry(*cycles).or_default() += servos;
                    }
                    for meter in &report.meters {
                        let counted = match &meter.value {
                            MeterValue::Counter(sum) => *sum,
                            MeterValue::Histogram(values) => values.count(),
                        };
                        *outcome.meters.entry(meter.meter.name.clone()).or_default() += counted;
                    }
                    for track in &report.tracks {
                        let known = outcome.tracks.entry(track.track.to_string()).or_default();
                        let counts = [track.published.count(), track.messages, track.received.count(), track.reordered];
                        known.iter_mut().zip(counts).for_each(|(known, count)| *known += count);
                    }
                    outcome.slowest.extend(report.steps.iter().flat_map(|step| step.slowest.rows()));
                    for (total, step) in outcome.steps.iter_mut().zip(&report.steps) {
                        total.planned += step.planned;
                        total.sent += step.sent;
                        total.succeeded += step.succeeded;
                        total.failed += step.failed;
                        total.censored += step.censored;
                        total.skipped += step.skipped;
                        total.redirects += step.redirects;
                        for check in &step.checks {
                            let known = total.checks.entry(check.name.clone()).or_default();
                            *known = (known.0 + check.passed, known.1 + check.failed);
                        }
                        total.in_flight = step.in_flight;
                        total.failures.extend(step.failures.iter().cloned());
                        for (series, histogram) in step.series.iter() {
                            total.series.of_mut(series).add(histogram).unwrap();
                        }
                        total.retried += step.retried;
                        total.held_back += step.held_back;
                        total.backed_off += step.backed_off;
                        total.bytes_sent += step.bytes_sent;
                        total.bytes_received += step.bytes_received;
                        for answers in &step.statuses {
                            *total.statuses.entry(answers.status).or_default() += answers.count;
                        }
                    }
                }
            }
        }
        for thread in threads {
            thread.handle.join().unwrap();
        }
        outcome
    }
}
