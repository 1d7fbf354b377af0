//! A gateway over a real nats-server, without a daemon: what one would tell is published by the test.

use std::net::SocketAddr;

use nuncius_bus::{Bus, ConnectOptions, connect};
use nuncius_gateway::GatewayConfig;
use nuncius_schemas::codec;
use nuncius_schemas::event::{EventKind, ExperimentEvent};
use nuncius_schemas::run::{RunRecord, RunStatus, Verdict};
use nuncius_schemas::second::{Distribution, ExperimentSecond, GroupSecond, StepSecond};
use nuncius_testkit::TestServer;
use tokio_util::sync::CancellationToken;

/// A gateway.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) galileo: Option<SocketAddr>,
    pub(crate) shutdown: CancellationToken,
    ended: tokio::task::JoinHandle<Result<(), nuncius_gateway::GatewayError>>,
}

impl Gateway {
    pub(crate) async fn start(bus: &Bus, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let mut config = GatewayConfig { listen: "127.0.0.1:0".to_owned(), ..GatewayConfig::new("gateway", "test") };
        change(&mut config);
        let shutdown = CancellationToken::new();
        let (told, ready) = tokio::sync::oneshot::channel();
        let ended = tokio::spawn(nuncius_gateway::run(config, bus.clone(), shutdown.clone(), Some(told)));
        let at = ready.await.unwrap();
        Self { address: at.http, galileo: at.galileo, shutdown, ended }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.ended.await.unwrap().unwrap();
    }
}

/// A server and a connection of the test.
pub(crate) struct Scene {
    pub(crate) server: TestServer,
    pub(crate) bus: Bus,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        let server = TestServer::start().await.unwrap();
        let bus = connected(&server).await;
        nuncius_bus::streams::ensure_streams(&bus).await.unwrap();
        Self { server, bus }
    }

    /// A gateway with a connection of its own.
    pub(crate) async fn gateway(&self, change: impl FnOnce(&mut GatewayConfig)) -> Gateway {
        Gateway::start(&connected(&self.server).await, change).await
    }

    /// Writes the record of a run that goes on, whose iterations have so many steps.
    pub(crate) async fn record_with_steps(&self, id: &str, steps: usize) {
        let steps: Vec<String> = (0..steps).map(|step| format!("{{name: step-{step}, get: /}}")).collect();
        let steps = format!(", steps: [{}]", steps.join(", "));
        self.record_of(id, RunStatus::Running, &steps).await;
    }

    /// Writes the record of a run.
    pub(crate) async fn record(&self, id: &str, status: RunStatus) {
        self.record_of(id, status, "").await;
    }

    async fn record_of(&self, id: &str, status: RunStatus, more: &str) {
        let group = format!("{{target: 'http://shop/', rate: 5, duration: 9s{more}}}");
        let spec = codec::from_text(&format!("name: shop {id}\ngroups: [{group}]"));
        let record = RunRecord {
            id: id.to_owned(),
            stream_sequence: 1,
            status,
            verdict: status.is_terminal().then_some(Verdict::Pass),
            reason: None,
            spec: spec.unwrap(),
            submitted_unix_ms: 1_700_000_000_000 + id.bytes().map(u64::from).sum::<u64>(),
            started_unix_ms: None,
            ended_unix_ms: status.is_terminal().then_some(1_700_000_100_000),
            routes: Vec::new(),
            route_changes: 0,
            nodes: Vec::new(),
            nodes_left_out: 0,
            attempt: 1,
            token: 1,
            traceparent: None,
            store: None,
        };
        let runs = self.bus.kv(&self.bus.namespace().bucket_run()).await.unwrap();
        runs.put(id, codec::encode(&record).unwrap().into()).await.unwrap();
    }

    /// Tells a second of a run.
    pub(crate) async fn second(&self, id: &str, number: u32) {
        let response = Distribution {
            count: 5,
            p50_ns: Some(1_000),
            p95_ns: Some(2_000),
            p99_ns: Some(3_000 + u64::from(number)),
            max_ns: Some(4_000),
            histogram: Vec::new(),
        };
        let step =
            StepSecond { name: "get".to_owned(), offered: 5, sent: 5, succeeded: 5, response, ..StepSecond::default() };
        let group = GroupSecond {
            name: "main".to_owned(),
            open: true,
            offered_ns: 1_000_000_000,
            scheduled: Some(5),
            steps: vec![step],
            ..GroupSecond::default()
        };
        let second = ExperimentSecond {
            experiment: id.to_owned(),
            second: number,
            first_second: number,
            revision: 0,
            late: false,
            part: 0,
            parts: 1,
            length_ns: 1_000_000_000,
            at_unix_ns: 1_700_000_000_000_000_000,
            status: RunStatus::Running,
            seconds_total: Some(9),
            groups: vec![group],
            nodes: Vec::new(),
            nodes_left_out: 0,
        };
        let subject = self.bus.namespace().experiment_second(id);
        self.bus.store_message(&subject, "experiment-second.v1", &second, None).await.unwrap();
    }

    /// Tells something of a run that is as long as this.
    pub(crate) async fn long_event(&self, id: &str, bytes: usize) {
        let event = ExperimentEvent {
            experiment: id.to_owned(),
            at_unix_ms: 1_700_000_000_000,
            kind: EventKind::Warning,
            message: "x".repeat(bytes),
            status: None,
            verdict: None,
            data: std::collections::BTreeMap::new(),
        };
        let subject = self.bus.namespace().experiment_event(id);
        self.bus.store_message(&subject, "experiment-event.v1", &event, None).await.unwrap();
    }

    /// Tells that a run is somewhere in its life.
    pub(crate) async fn event(&self, id: &str, status: RunStatus) {
        let event = ExperimentEvent {
            experiment: id.to_owned(),
            at_unix_ms: 1_700_000_000_000,
            kind: EventKind::Status,
            message: format!("<script>{}</script>", status.name()),
            status: Some(status),
            verdict: status.is_terminal().then_some(Verdict::Pass),
            data: std::collections::BTreeMap::new(),
        };
        let subject = self.bus.namespace().experiment_event(id);
        self.bus.store_message(&subject, "experiment-event.v1", &event, None).await.unwrap();
    }
}

async fn connected(server: &TestServer) -> Bus {
    let options = ConnectOptions { urls: vec![server.url()], name: "test".into(), ..ConnectOptions::default() };
    connect(options).await.unwrap()
}

/// Does what blocks, beside the runtime.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}
