//! Three nats-servers in a cluster: one of them, whichever it is, may die at any moment of a run.

use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::{Bus, ConnectOptions, Headers, connect};
use nuncius_schemas::codec;
use nuncius_schemas::report::Report;
use nuncius_schemas::run::{RunRecord, RunStatus, Verdict};
use nuncius_testkit::{TempDir, TestCluster};

use super::harness::{Process, nuncius, open_spec, spawn_stub, stub_stats, until};

struct Clustered {
    cluster: TestCluster,
    directory: TempDir,
    bus: Bus,
    _processes: Vec<Process>,
    stub: String,
}

impl Clustered {
    async fn start() -> Self {
        let cluster = TestCluster::start(3).await.unwrap();
        let directory = TempDir::new("cluster").unwrap();
        let options = ConnectOptions { urls: vec![cluster.url()], name: "test".into(), ..ConnectOptions::default() };
        let bus = connect(options).await.unwrap();
        let (stub, address) = spawn_stub(directory.path(), &[]);
        let mut clustered = Self { cluster, directory, bus, _processes: vec![stub], stub: address };
        for (name, arguments) in [
            ("experimentd", &["experimentd"][..]),
            ("n1", &["client", "--name", "n1"]),
            ("n2", &["client", "--name", "n2"]),
        ] {
            let log = clustered.directory.path().join(format!("{name}.log"));
            let mut command = clustered.command(arguments);
            command.stdout(std::process::Stdio::null());
            clustered._processes.push(Process::start(&mut command, &log));
        }
        until("all have joined", async || {
            let nodes = clustered.bus.kv(&clustered.bus.namespace().bucket_node()).await.ok()?;
            (nodes.keys().await.ok()?.len() >= 3).then_some(())
        })
        .await;
        clustered
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = nuncius();
        let data = self.directory.path().join("data");
        command.arg("--nats").arg(self.cluster.url()).arg("--data").arg(data).args(["--replicas", "3"]).args(arguments);
        command
    }

    async fn record(&self, id: &str) -> Option<RunRecord> {
        let runs = self.bus.kv(&self.bus.namespace().bucket_run()).await.ok()?;
        codec::decode(&runs.get(id).await.ok()??.value).ok()
    }

    async fn reaches(&self, id: &str, status: RunStatus) -> RunRecord {
        until("the run got that far", async || self.record(id).await.filter(|record| record.status >= status)).await
    }

    /// Which server leads a stream.
    async fn leader(&self, stream: &str) -> usize {
        until("there is a leader", async || {
            let subject = format!("$JS.API.STREAM.INFO.{stream}");
            let asked = self.bus.request(&subject, &Headers::new(), Bytes::new(), Duration::from_secs(2)).await.ok()?;
            let info: serde_json::Value = serde_json::from_slice(&asked.payload).ok()?;
            self.cluster.index_of(info["cluster"]["leader"].as_str()?)
        })
        .await
    }

    async fn report(&self, id: &str) -> Report {
        let names = self.bus.namespace();
        until("the report is there", async || {
            let objects = self.bus.objects(&names.bucket_artifact()).await.ok()?;
            let bytes = objects.get(&names.artifact_report(id)).await.ok()??;
            serde_json::from_slice(&bytes).ok()
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_with_the_right_numbers_whichever_server_dies_and_whenever() {
    let _turn = super::harness::beside_others().await;
    let mut clustered = Clustered::start().await;
    let names = clustered.bus.namespace().clone();
    for (round, when) in ["submit", "prepare", "running", "draining"].into_iter().enumerate() {
        let id = format!("e{round}");
        let spec = clustered.directory.path().join(format!("{id}.yaml"));
        // What is in flight at the end keeps it draining for a while.
        std::fs::write(&spec, open_spec(&id, &clustered.stub, "100", "4s", "")).unwrap();
        let before = stub_stats(&clustered.stub).requests;
        let victim = match when {
            "submit" => until("there is a meta leader", async || clustered.cluster.meta_leader()).await,
            "prepare" => clustered.leader(&format!("KV_{}", names.bucket_run())).await,
            "running" => clustered.leader(&names.stream_metric()).await,
            _ => clustered.leader(&names.stream_event()).await,
        };
        if when == "submit" {
            clustered.cluster.servers[victim].kill();
        }
        let output = clustered.command(&["submit", spec.to_str().unwrap()]).output().unwrap();
        assert!(output.status.success(), "{when}: {}", String::from_utf8_lossy(&output.stderr));
        match when {
            "submit" => {}
            "prepare" => clustered.cluster.servers[victim].kill(),
            "running" => {
                clustered.reaches(&id, RunStatus::Running).await;
                let stub = &clustered.stub;
                until("load is offered", async || (stub_stats(stub).requests > before + 50).then_some(())).await;
                clustered.cluster.servers[victim].kill();
            }
            _ => {
                let stub = &clustered.stub;
                until("all load is offered", async || (stub_stats(stub).requests > before + 380).then_some(())).await;
                clustered.cluster.servers[victim].kill();
            }
        }
        let ended = clustered.reaches(&id, RunStatus::Finished).await;
        assert_eq!((ended.status, ended.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{when}: {ended:?}");
        let report = clustered.report(&id).await;
        let sent = stub_stats(&clustered.stub).requests - before;
        let step = &report.groups[0].steps[0];
        let told = step.succeeded + step.failed + step.censored;
        assert_eq!(told, sent, "{when}: the target counted {sent}");
        clustered.cluster.servers[victim].restart().await.unwrap();
        until("the server has caught up", async || {
            for stream in [names.stream_metric(), names.stream_event(), format!("KV_{}", names.bucket_run())] {
                let subject = format!("$JS.API.STREAM.INFO.{stream}");
                let bus = &clustered.bus;
                let asked = bus.request(&subject, &Headers::new(), Bytes::new(), Duration::from_secs(2)).await.ok()?;
                let info: serde_json::Value = serde_json::from_slice(&asked.payload).ok()?;
                let replicas = info["cluster"]["replicas"].as_array()?.clone();
                if replicas.len() != 2 || replicas.iter().any(|one| one["current"] != true) {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }
}
