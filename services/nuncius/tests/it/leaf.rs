//! Nodes at the edge: they are on a leaf server, the daemon and JetStream on the hub, and the link between can be cut.

use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::{Bus, ConnectOptions, Headers, connect};
use nuncius_jobs::Queues;
use nuncius_schemas::codec;
use nuncius_schemas::queue::QueueSettings;
use nuncius_schemas::report::Report;
use nuncius_schemas::run::{RunRecord, RunStatus};
use nuncius_testkit::{Proxy, TempDir, TestServer, free_port};

use super::harness::{Process, nuncius, open_spec, spawn_stub, stub_stats, until};

struct Edge {
    hub: TestServer,
    leaf: TestServer,
    link: Proxy,
    directory: TempDir,
    /// On the hub.
    bus: Bus,
    processes: Vec<Process>,
}

impl Edge {
    async fn start() -> Self {
        let port = free_port().unwrap();
        // Told of the hub's own address, the leaf would go around the link.
        let listen = format!("server_name: hub\nleafnodes {{ listen: \"127.0.0.1:{port}\", no_advertise: true }}");
        let hub = TestServer::start_in_domain(Some("hub"), &listen).await.unwrap();
        let link = Proxy::start(([127, 0, 0, 1], port).into()).unwrap();
        let remote = format!(
            "server_name: leaf\nleafnodes {{ reconnect: \"500ms\", remotes: [ {{ url: \"nats-leaf://{}\" }} ] }}",
            link.address()
        );
        let leaf = TestServer::start_in_domain(Some("edge"), &remote).await.unwrap();
        let directory = TempDir::new("leaf").unwrap();
        let options = ConnectOptions { urls: vec![hub.url()], name: "test".into(), ..ConnectOptions::default() };
        let bus = connect(options).await.unwrap();
        nuncius_bus::streams::ensure_streams(&bus).await.unwrap();
        Self { hub, leaf, link, directory, bus, processes: Vec::new() }
    }

    fn start_process(&mut self, name: &str, at_the_edge: bool, arguments: &[&str]) {
        let mut command = nuncius();
        let url = if at_the_edge { self.leaf.url() } else { self.hub.url() };
        command.arg("--nats").arg(url).arg("--data").arg(self.directory.path().join("data"));
        if at_the_edge {
            command.args(["--js-domain", "hub"]);
        }
        command.args(arguments).stdout(std::process::Stdio::null());
        let log = self.directory.path().join(format!("{name}.log"));
        self.processes.push(Process::start(&mut command, &log));
    }

    async fn joined(&self, count: usize) {
        let nodes = self.bus.kv(&self.bus.namespace().bucket_node()).await.unwrap();
        until("all have joined", async || (nodes.keys().await.ok()?.len() >= count).then_some(())).await;
    }

    async fn record(&self, id: &str) -> Option<RunRecord> {
        let runs = self.bus.kv(&self.bus.namespace().bucket_run()).await.ok()?;
        codec::decode(&runs.get(id).await.ok()??.value).ok()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_edge_node_measured_while_its_link_was_cut_is_filled_in_and_its_deficit_is_stated() {
    let _turn = super::harness::beside_others().await;
    let mut edge = Edge::start().await;
    let (_stub, address) = spawn_stub(edge.directory.path(), &[]);
    edge.start_process("experimentd", false, &["experimentd", "--horizon", "3s", "--last-delta-patience", "30s"]);
    edge.start_process("n1", true, &["client", "--name", "n1"]);
    edge.joined(2).await;
    let spec = edge.directory.path().join("spec.yaml");
    std::fs::write(&spec, open_spec("e1", &address, "100", "12s", "")).unwrap();
    let submitted =
        nuncius().arg("--nats").arg(edge.hub.url()).args(["submit", spec.to_str().unwrap()]).output().unwrap();
    assert!(submitted.status.success(), "{}", String::from_utf8_lossy(&submitted.stderr));
    let sent = || stub_stats(&address).requests;
    until("load is offered", async || (sent() >= 100).then_some(())).await;
    edge.link.cut();
    let at_the_cut = sent();
    // It goes on to its horizon by itself, and no further.
    until("it runs on", async || (sent() >= at_the_cut + 100).then_some(())).await;
    let mut last = sent();
    until("it has stopped at its horizon", async || {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let now = sent();
        (std::mem::replace(&mut last, now) == now).then_some(())
    })
    .await;
    assert!(sent() < 1_200, "it must not have run to its end alone");
    edge.link.restore();
    let ended = until("the run has ended", async || {
        edge.record("e1").await.filter(|record| record.status >= RunStatus::Finished)
    })
    .await;
    assert_eq!(ended.status, RunStatus::Finished, "{ended:?}");
    let names = edge.bus.namespace();
    let objects = edge.bus.objects(&names.bucket_artifact()).await.unwrap();
    let report: Report = until("the report is there", async || {
        serde_json::from_slice(&objects.get(&names.artifact_report("e1")).await.ok()??).ok()
    })
    .await;
    let step = &report.groups[0].steps[0];
    assert_eq!(step.succeeded + step.failed + step.censored, sent(), "all that was sent is told: {step:?}");
    assert_eq!(report.scheduled - report.offered, report.deficit, "{report:?}");
    assert!(report.deficit > 0, "while it stood still nothing was offered");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_of_a_job_that_ended_while_the_link_was_cut_comes_once_it_is_mended() {
    let _turn = super::harness::beside_others().await;
    let mut edge = Edge::start().await;
    let queues = Queues::open(&edge.bus).await.unwrap();
    queues.ensure("q", &QueueSettings::default()).await.unwrap();
    let ran = edge.directory.path().join("ran");
    let script = format!("echo x >> {}; sleep 1; echo y >> {}", ran.display(), ran.display());
    edge.start_process("worker", true, &["worker", "--queue", "q", "--name", "w1", "/bin/sh", "-c", &script]);
    edge.joined(1).await;
    let names = edge.bus.namespace().clone();
    let (headers, subject) = (Headers::new(), names.job("q", 0, "c"));
    edge.bus.publish_acked(&subject, &headers, Bytes::new(), Some("j1"), None).await.unwrap();
    let lines = || std::fs::read_to_string(&ran).unwrap_or_default().lines().count();
    until("the job runs", async || (lines() == 1).then_some(())).await;
    edge.link.cut();
    until("the job has ended", async || (lines() == 2).then_some(())).await;
    edge.link.restore();
    let info = until("its record is there", async || {
        let info = queues.info("q").await.ok()?;
        (info.totals.succeeded == 1).then_some(info)
    })
    .await;
    assert_eq!((info.accepted, info.jobs, info.totals.repeated), (1, 0, 0), "{info:?}");
    assert_eq!(lines(), 2, "it ran once");
}
