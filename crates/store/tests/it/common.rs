//! A small made-up experiment for the tests of the store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use nuncius_schemas::event::{EventKind, ExperimentEvent};
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::metric::{FailureCount, FailureKind, StatusCount};
use nuncius_schemas::record::{RecordBatch, RecordOutcome};
use nuncius_schemas::report::{
    GroupReport, MachineReport, NodeReport, QuantileReport, REPORT_SCHEMA, Report, StepReport, Summary,
};
use nuncius_schemas::run::{RunNode, RunRecord, RunStatus, Verdict};
use nuncius_schemas::second::{Distribution, ExperimentSecond, GroupSecond, StepSecond};
use nuncius_schemas::spec::{EngineKind, ExperimentSpec};
use nuncius_schemas::telemetry::MachineDescription;
use nuncius_store::{Place, Store};
use nuncius_testkit::{SqlKind, SqlServer};

/// A directory that goes away with its owner.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("nuncius-store-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("nuncius.sqlite")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

/// The databases that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    MariaDb,
}

/// An empty store in one of them.
pub(crate) struct Site {
    pub(crate) kind: Kind,
    directory: Directory,
    server: Option<(&'static SqlServer, String)>,
}

impl Site {
    pub(crate) async fn new(kind: Kind) -> Self {
        let shared = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(SqlServer::shared(SqlKind::Postgres).await.unwrap()),
            Kind::MariaDb => Some(SqlServer::shared(SqlKind::MariaDb).await.unwrap()),
        };
        let server = shared.map(|server| (server, server.database().unwrap()));
        Self { kind, directory: Directory::new(), server }
    }

    pub(crate) fn place(&self) -> Place {
        match &self.server {
            Some((server, database)) => Place::parse(&server.url(database)).unwrap(),
            None => Place::file(self.directory.file()),
        }
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(self.place()).await.unwrap()
    }

    /// A directory that goes with it.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What a statement prints, a line a row.
    pub(crate) async fn sql(&self, statement: &str) -> String {
        if let Some((server, database)) = &self.server {
            return server.sql(database, statement).unwrap();
        }
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.directory.file());
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        let rows: Vec<String> = sqlx::query_scalar(statement).fetch_all(&pool).await.unwrap();
        pool.close().await;
        rows.join("\n")
    }
}

/// Has a promise kept by each database.
pub(crate) async fn in_each(promise: impl AsyncFn(&Site)) {
    for kind in [Kind::Sqlite, Kind::Postgres, Kind::MariaDb] {
        eprintln!("in {kind:?}");
        promise(&Site::new(kind).await).await;
    }
}

/// What a future gives, unless it is dropped when it was asked so often in vain: a process that is ended in the middle.
pub(crate) async fn unless_dropped<T>(future: impl Future<Output = T>, polls: u32) -> Option<T> {
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        left = left.saturating_sub(1);
        match future.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn spec() -> ExperimentSpec {
    serde_json::from_str(
        r#"{"name":"checkout","creator":"alice","metadata":{"round":"1","note":"a, b"},"groups":[
            {"name":"browse","target":"http://user:hunter2@shop/","rate":"100/s","duration":"10s",
             "headers":{"Authorization":"Bearer hunter2"},
             "steps":[{"name":"list"},{"name":"buy"}]},
            {"name":"loop","target":"http://shop/","users":2,"duration":"10s"}]}"#,
    )
    .unwrap()
}

pub(crate) fn metadata(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn record(id: &str) -> RunRecord {
    RunRecord {
        id: id.to_owned(),
        stream_sequence: 7,
        status: RunStatus::Running,
        verdict: None,
        reason: None,
        spec: spec(),
        submitted_unix_ms: 1_767_225_590_000,
        started_unix_ms: Some(1_767_225_600_123),
        ended_unix_ms: None,
        routes: Vec::new(),
        route_changes: 0,
        nodes: vec![RunNode { name: "n1".to_owned(), epoch: u64::MAX }],
        nodes_left_out: 0,
        attempt: 0,
        token: 0,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        store: None,
    }
}

pub(crate) fn event(id: &str, at_unix_ms: u64, message: &str) -> ExperimentEvent {
    ExperimentEvent {
        experiment: id.to_owned(),
        at_unix_ms,
        kind: EventKind::Warning,
        message: message.to_owned(),
        status: Some(RunStatus::Running),
        verdict: None,
        data: BTreeMap::from([("node".to_owned(), "n1".to_owned())]),
    }
}

pub(crate) fn report(id: &str) -> Report {
    let summary = Summary {
        count: 990,
        censored: 10,
        overflow: 0,
        min_ns: 100,
        mean_ns: 1_500.5,
        max_ns: 9_007_199_254_740_993,
        quantiles: vec![QuantileReport {
            quantile: 0.99,
            value_ns: 9_007_199_254_740_993,
            at_least: true,
            lower_ns: Some(1),
            upper_ns: None,
        }],
        curve: vec![(0.5, 1_000), (0.75, 2_000)],
    };
    let step = StepReport {
        name: "list".to_owned(),
        is_iteration: false,
        planned: 1_000,
        sent: 1_000,
        succeeded: 990,
        failed: 0,
        censored: 10,
        skipped: 0,
        retried: 3,
        redirects: 0,
        held_back: 2,
        backed_off: 1,
        bytes_sent: 100_000,
        bytes_received: 2_000_000,
        succeeded_per_second: 99.0,
        bytes_sent_per_second: 10_000.0,
        bytes_received_per_second: 200_000.0,
        statuses: vec![StatusCount { status: 200, count: 990 }],
        failures: Vec::new(),
        checks: Vec::new(),
        hosts: Vec::new(),
        quantities: BTreeMap::from([(Quantity::Response, summary)]),
        failed_quantities: BTreeMap::new(),
        slowest: Vec::new(),
    };
    Report {
        schema: REPORT_SCHEMA.to_owned(),
        version: "0.1.0".to_owned(),
        id: id.to_owned(),
        name: "checkout".to_owned(),
        creator: Some("alice".to_owned()),
        status: RunStatus::Finished,
        verdict: Some(Verdict::Fail),
        reasons: vec!["p99, \"the gate\", did not hold".to_owned()],
        submitted_unix_ms: 1_767_225_590_000,
        started_unix_ms: Some(1_767_225_600_123),
        ended_unix_ms: Some(1_767_225_611_000),
        offered_seconds: 10.0,
        scheduled: 1_000,
        offered: 1_000,
        deficit: 0,
        unaccounted: 0,
        groups: vec![GroupReport {
            warm_up: None,
            name: "browse".to_owned(),
            engine: EngineKind::Http,
            target: "http://shop/".to_owned(),
            open: true,
            scheduled: Some(1_000),
            offered: 1_000,
            offered_seconds: 10.0,
            offered_per_second: 100.0,
            tls_verified: None,
            steps: vec![step],
            cycles: None,
            meters: Vec::new(),
        }],
        gates: Vec::new(),
        nodes: vec![node("n1"), node("n2")],
        machines: vec![machine("host", "host", 4), machine("target", "target.example", 2)],
        series: Vec::new(),
        series_left_out: 0,
        tracks: Vec::new(),
        profiles: Vec::new(),
        intervals: Vec::new(),
        search: None,
        sweep: None,
        events: vec![event(id, 1_767_225_600_123, "from the report")],
        trace_id: None,
        spec: Some(spec()),
    }
}

fn machine(node: &str, host: &str, processors: u32) -> MachineReport {
    let machine = MachineDescription {
        host: host.to_owned(),
        machine: format!("boot of {host}"),
        architecture: "aarch64".to_owned(),
        kernel: "Linux 6.1.0".to_owned(),
        processor: None,
        processors,
        memory_bytes: 8 << 30,
        booted_unix_ms: 1_767_000_000_999,
        disks: vec!["mmcblk0".to_owned(), "sda".to_owned()],
        interfaces: vec!["eth0".to_owned()],
        gpus: Vec::new(),
    };
    MachineReport { node: node.to_owned(), machine }
}

pub(crate) fn node(name: &str) -> NodeReport {
    NodeReport {
        name: name.to_owned(),
        host: "host".to_owned(),
        version: "0.1.0".to_owned(),
        labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
        clock_offset_ns: Some(-5),
        clock_error_ns: Some(45_000),
        clock_drift_ns: None,
        shards: 128,
        offered: 500,
        lag_p99_ns: Some(210_000),
        run_delay_share: 0.125,
        throttled_ns: 0,
        resident_bytes_max: 25_165_824,
        deltas: 10,
        lost: None,
    }
}

/// A second of the group `browse`: its step `list` and its whole iterations.
pub(crate) fn second(id: &str, second: u32) -> ExperimentSecond {
    let mut histogram = nuncius_stats::Histogram::new();
    (1..100).for_each(|i| histogram.record_ns(i * i * 1_000));
    let step = |step: u16, name: &str| StepSecond {
        step,
        name: name.to_owned(),
        offered: 100,
        succeeded: 99,
        failed: 1,
        in_flight: 3,
        statuses: vec![StatusCount { status: 200, count: 99 }],
        failures: vec![FailureCount { kind: FailureKind::Timeout, status: 0, count: 1, sample: None }],
        response: Distribution {
            count: 99,
            p99_ns: Some(u64::from(second) * 1_000 + 1),
            histogram: histogram.encode_delta(),
            ..Distribution::default()
        },
        ..StepSecond::default()
    };
    ExperimentSecond {
        experiment: id.to_owned(),
        second,
        first_second: second,
        revision: 0,
        late: false,
        part: 0,
        parts: 1,
        length_ns: 1_000_000_000,
        at_unix_ns: 1_767_225_600_123_000_000,
        status: RunStatus::Running,
        seconds_total: Some(10),
        groups: vec![GroupSecond {
            name: "browse".to_owned(),
            open: true,
            offered_ns: 1_000_000_000,
            scheduled: Some(100),
            iterations: Some(step(1, "iteration")),
            steps: vec![step(0, "list")],
            ..GroupSecond::default()
        }],
        nodes_left_out: 0,
        nodes: Vec::new(),
    }
}

/// `rows` records, of which every seventh was never sent and every third carries a trace.
pub(crate) fn batch(id: &str, node: &str, sequence: u64, rows: u64) -> RecordBatch {
    let mut batch = RecordBatch {
        experiment: id.to_owned(),
        node: node.to_owned(),
        epoch: u64::MAX - 1,
        sequence,
        ..RecordBatch::default()
    };
    for row in 0..rows {
        let sent = !row.is_multiple_of(7);
        batch.group.push(0);
        batch.step.push(u16::try_from(row % 3).unwrap());
        batch.index.push(sequence * 10_000 + row);
        batch.planned_ns.push(row * 1_000_000);
        batch.sent_ns.push(if sent { row * 1_000_000 + 500 } else { 0 });
        batch.done_ns.push(if sent { row * 1_000_000 + 4_567_891 } else { 0 });
        batch.status.push(if sent { 200 } else { -1 });
        batch.outcome.push(if sent { RecordOutcome::Succeeded } else { RecordOutcome::Censored });
        batch.span_id.push(if row.is_multiple_of(3) { u64::MAX - row } else { 0 });
        batch.push_host([None, Some("10.0.0.7:80"), Some("[fd00::7]:80")][(row % 3) as usize]);
    }
    batch
}
