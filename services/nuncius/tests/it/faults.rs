//! Any process, nats-server included, may be killed: a run goes on or ends with its reason, and the books stay exact.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nuncius_bus::Headers;
use nuncius_schemas::codec;
use nuncius_schemas::event::EventKind;
use nuncius_schemas::report::{Report, StepReport};
use nuncius_schemas::run::{RunRecord, RunStatus, Verdict};
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_schemas::submission::{Submission, from_bytes};
use nuncius_testkit::TempDir;
use rustix::process::Signal;

use crate::harness::{PATIENCE, Process, System, beside_others, nuncius, open_spec, spawn_stub, stub_stats, until};

/// The only step of the first group.
fn step(report: &Report) -> &StepReport {
    &report.groups[0].steps[0]
}

/// Every iteration that was taken has ended in exactly one way.
fn assert_balanced(report: &Report) {
    let step = step(report);
    assert_eq!(step.planned, step.succeeded + step.failed + step.censored, "{step:?}");
    assert_eq!(step.planned, report.offered, "{step:?}");
    assert_eq!(report.scheduled, report.offered + report.deficit);
}

fn assert_reason(report: &Report, parts: &[&str]) {
    let found = report.reasons.iter().any(|reason| parts.iter().all(|part| reason.contains(part)));
    assert!(found, "no reason with {parts:?} in {:?}", report.reasons);
}

/// Nobody was lost: whatever is missing was certainly not offered.
fn deficit_text(report: &Report) -> String {
    assert_eq!(report.unaccounted, 0);
    format!("{} of {} scheduled arrivals were not offered", report.deficit, report.scheduled)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_makes_the_run_invalid_and_its_deficit_is_stated() {
    let _turn = beside_others().await;
    let mut system = System::start(3).await;
    let address = system.start_stub(&[]);
    system.publish(open_spec("lost", &address, "300/s", "6s", "drain: 1s").as_bytes()).await;
    until("the node has sent deltas", async || {
        system.stored_sums("lost").await.get("n2").filter(|sums| sums.planned > 100).copied()
    })
    .await;
    system.clients[1].kill();
    let record = system.wait_for_end("lost").await;
    let report = system.report("lost").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Invalid)), "{:?}", report.reasons);
    assert_reason(&report, &["node n2 was lost", "left the registry", "measured through second"]);
    assert!(report.deficit > 0 && report.deficit < 600, "{}", report.deficit);
    // Its horizon was beyond the end: nothing is certain of what it did not report.
    assert_eq!(report.unaccounted, report.deficit);
    assert_reason(&report, &[&format!("{} of 1800 scheduled arrivals are not accounted for", report.deficit), "n2"]);
    assert!(!report.reasons.iter().any(|reason| reason.contains("were not offered")), "{:?}", report.reasons);
    let counted = stub_stats(&address).requests;
    assert!((report.offered..=report.offered + report.unaccounted).contains(&counted), "{counted}: {report:?}");

    // The survivors' books are exact, and those of the lost node are what it had stored.
    let sums = system.stored_sums("lost").await;
    for node in &report.nodes {
        let sums = sums[&node.name];
        assert_eq!(node.offered, sums.planned, "{node:?}");
        if node.name == "n2" {
            assert!(node.lost.is_some() && sums.planned >= sums.ended(), "{node:?} {sums:?}");
        } else {
            assert_eq!((sums.planned, sums.failed, node.lost.is_some()), (sums.ended(), 0, false), "{node:?}");
            // 1800 arrivals on 256 shards: each shard has 7 or 8.
            let shards = u64::from(node.shards);
            assert!((7 * shards..=8 * shards).contains(&sums.planned), "{node:?} {sums:?}");
        }
    }
    assert_eq!(report.offered, sums.values().map(|sums| sums.planned).sum::<u64>());
    assert_eq!(step(&report).succeeded, sums.values().map(|sums| sums.succeeded).sum::<u64>());

    // Who is left takes the next one.
    let next = open_spec("next", &address, "400/s", "1s", "nodes: {count: 2}");
    system.publish(next.as_bytes()).await;
    let record = system.wait_for_end("next").await;
    let report = system.report("next").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
    assert_eq!((report.offered, step(&report).succeeded), (400, 400));
    let names: Vec<&str> = report.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["n1", "n3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_daemon_ran_goes_on_nothing_is_offered_twice_and_what_waited_runs_afterwards() {
    let _turn = beside_others().await;
    let mut system = System::start(2).await;
    let address = system.start_stub(&[]);
    system.publish(open_spec("cut", &address, "100/s", "12s", "drain: 1s").as_bytes()).await;
    system.wait_for_requests(150).await;
    system.publish(open_spec("waits", &address, "400/s", "1s", "drain: 1s").as_bytes()).await;
    until("the second one waits for nodes", async || {
        let events = system.events("waits").await;
        events.iter().any(|event| event.message.contains("waiting for nodes")).then_some(())
    })
    .await;
    assert_eq!(system.record("waits").await.unwrap().status, RunStatus::Submitted);
    system.daemon.as_mut().unwrap().kill();
    system.start_daemon();

    let record = system.wait_for_end("cut").await;
    let report = system.report("cut").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
    assert_eq!((report.scheduled, report.offered, report.deficit), (1_200, 1_200, 0));
    assert_balanced(&report);
    assert_eq!(step(&report).failed, 0);

    let record = system.wait_for_end("waits").await;
    let waited = system.report("waits").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", waited.reasons);
    assert_eq!((waited.offered, step(&waited).succeeded), (400, 400));

    // The target is the witness: it got what the books say, and nothing twice.
    let requests = stub_stats(&address).requests;
    assert_eq!(requests, step(&report).sent + step(&waited).sent);
    assert_eq!(requests, report.offered + waited.offered);
    for id in ["cut", "waits"] {
        let events = system.events(id).await;
        let starts = events.iter().filter(|event| event.status == Some(RunStatus::Running)).count();
        assert_eq!(starts, 1, "{id} was started once: {events:?}");
    }
    let free = until("the nodes are free again", async || {
        let nodes = system.nodes().await;
        nodes.iter().all(|node| node.experiment.is_none()).then_some(nodes)
    });
    free.await;
}

fn spec_of(text: &str) -> ExperimentSpec {
    match from_bytes(text.as_bytes()).unwrap() {
        Submission::Spec(spec) => *spec,
        Submission::Galileo(_) => panic!("a specification is wanted"),
    }
}

/// What a daemon had written down when it died before it acknowledged the submission.
async fn write_record(system: &System, id: &str, spec: &str, stream_sequence: u64, status: RunStatus) {
    let record = RunRecord {
        id: id.to_owned(),
        stream_sequence,
        status,
        verdict: None,
        reason: None,
        spec: spec_of(spec),
        submitted_unix_ms: 1_767_225_600_000,
        started_unix_ms: None,
        ended_unix_ms: None,
        routes: Vec::new(),
        route_changes: 0,
        nodes: Vec::new(),
        nodes_left_out: 0,
        attempt: 0,
        token: 0,
        traceparent: None,
        store: None,
    };
    let bucket = system.bus.kv(&system.bus.namespace().bucket_run()).await.unwrap();
    assert!(bucket.create(id, codec::encode(&record).unwrap().into()).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_that_comes_again_after_a_crash_is_the_same_run_and_one_of_another_sequence_is_refused() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    system.daemon.as_mut().unwrap().kill();
    let namespace = system.bus.namespace().clone();
    let subject = namespace.experiment_submit();
    let publish = async |text: &str, message_id: &str| {
        let payload = text.as_bytes().to_vec().into();
        system.bus.publish_acked(&subject, &Headers::new(), payload, Some(message_id), None).await.unwrap()
    };
    // Named by its message id only: record written, message not acknowledged, daemon dead.
    let nameless = open_spec("x", &address, "400/s", "1s", "").replace("id: x\n", "");
    let first = publish(&nameless, "again").await;
    write_record(&system, "again", &nameless, first.sequence, RunStatus::Submitted).await;
    // The publisher has not seen its acknowledgement either, and publishes again.
    let repeated = publish(&nameless, "again").await;
    assert!(repeated.duplicate && repeated.sequence == first.sequence, "{repeated:?}");
    // Had ended before, says the record: nothing is to be run.
    let over = open_spec("over", &address, "400/s", "1s", "");
    let sequence = publish(&over, "over-1").await.sequence;
    write_record(&system, "over", &over, sequence, RunStatus::Finished).await;
    // The id of another submission.
    let taken = open_spec("taken", &address, "400/s", "1s", "");
    let sequence = publish(&taken, "taken-1").await.sequence;
    write_record(&system, "taken", &taken, sequence + 1_000, RunStatus::Cancelled).await;
    system.start_daemon();

    let record = system.wait_for_end("again").await;
    let report = system.report("again").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
    assert_eq!(report.offered, 400);
    until("every submission is acknowledged", async || {
        let state = system.bus.stream_state(&namespace.stream_submit()).await.unwrap();
        (state.messages == 0).then_some(())
    })
    .await;
    let dead = system.bus.last_message(&namespace.stream_dead(), &namespace.experiment_dead()).await.unwrap().unwrap();
    let reason = dead.headers.get(nuncius_schemas::subjects::HEADER_REASON).unwrap();
    assert!(reason.contains("`taken` exists already"), "{reason}");
    assert_eq!(stub_stats(&address).requests, 400, "one of four submissions was run, once");
    let events = system.events("again").await;
    assert_eq!(events.iter().filter(|event| event.status == Some(RunStatus::Running)).count(), 1, "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_for_two_seconds_costs_nothing() {
    let _turn = beside_others().await;
    let mut system = System::start(2).await;
    let address = system.start_stub(&[]);
    system.publish(open_spec("outage", &address, "200/s", "8s", "records: all").as_bytes()).await;
    system.wait_for_requests(400).await;
    system.server.kill();
    tokio::time::sleep(Duration::from_secs(2)).await;
    system.server.restart().await.unwrap();
    let record = system.wait_for_end("outage").await;
    let report = system.report("outage").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
    assert_eq!((report.scheduled, report.offered, report.deficit), (1_600, 1_600, 0));
    assert_balanced(&report);
    assert_eq!((step(&report).succeeded, stub_stats(&address).requests), (1_600, 1_600));
    assert_eq!(report.series[0].columns.offered.iter().sum::<u64>(), 1_600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_for_longer_than_the_horizon_stops_the_load_until_it_is_back_and_the_report_says_so() {
    let _turn = beside_others().await;
    let mut system = System::start(2).await;
    let address = system.start_stub(&[]);
    system.publish(open_spec("dark", &address, "100/s", "20s", "drain: 1s").as_bytes()).await;
    system.wait_for_requests(150).await;
    system.server.kill();
    let away = Instant::now();
    // Not only silent: at the horizon nothing more is sent, although nobody could tell the nodes so.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let at_horizon = stub_stats(&address).requests;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stub_stats(&address).requests, at_horizon, "after {:?}", away.elapsed());
    system.server.restart().await.unwrap();
    let record = system.wait_for_end("dark").await;
    let report = system.report("dark").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Invalid)), "{:?}", report.reasons);
    for name in ["n1", "n2"] {
        assert_reason(&report, &[name, "stood at its horizon"]);
    }
    assert_reason(&report, &[&deficit_text(&report)]);
    assert_eq!(report.scheduled, 2_000);
    // About eleven or twelve seconds of it, and what was left when the server was back.
    assert!((at_horizon..1_900).contains(&report.offered), "{} of which {at_horizon} before", report.offered);
    assert!(report.offered > at_horizon, "they went on");
    assert_balanced(&report);
    assert_eq!(stub_stats(&address).requests, step(&report).sent);
    // Nobody was taken for gone, and both work again.
    system.publish(open_spec("light", &address, "100/s", "1s", "").as_bytes()).await;
    system.wait_for_end("light").await;
    assert_eq!((system.report("light").await.offered, system.report("light").await.nodes.len()), (100, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_told_to_end_sends_its_last_delta_and_is_named() {
    let _turn = beside_others().await;
    let mut system = System::start(2).await;
    let address = system.start_stub(&["--service-time", "20ms"]);
    system.publish(open_spec("leaves", &address, "200/s", "5s", "drain: 1s").as_bytes()).await;
    system.wait_for_requests(300).await;
    system.clients[1].signal(Signal::TERM);
    until("the node has left the registry", async || {
        system.nodes().await.iter().all(|node| node.name != "n2").then_some(())
    })
    .await;
    let sums = system.stored_sums("leaves").await["n2"];
    assert_eq!(sums.planned, sums.ended(), "its books were closed before it left: {sums:?}");
    let status = until("it has ended", async || system.clients[1].child.try_wait().unwrap()).await;
    assert!(status.success(), "{status}");
    let record = system.wait_for_end("leaves").await;
    let report = system.report("leaves").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Invalid)), "{:?}", report.reasons);
    assert_reason(&report, &["node n2", "was shut down"]);
    assert!(report.deficit > 0);
    assert_reason(&report, &[&deficit_text(&report)]);
    assert_balanced(&report);
    assert_eq!(stub_stats(&address).requests, step(&report).sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_told_to_end_cancels_its_runs_and_writes_that_down() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    system.publish(open_spec("ending", &address, "100/s", "60s", "").as_bytes()).await;
    system.wait_for_requests(100).await;
    let mut daemon = system.daemon.take().unwrap();
    let told = Instant::now();
    daemon.signal(Signal::TERM);
    let status = until("the daemon has ended", async || daemon.child.try_wait().unwrap()).await;
    assert!(status.success() && told.elapsed() < Duration::from_secs(10), "{status} after {:?}", told.elapsed());
    let record = system.record("ending").await.unwrap();
    let report = system.report("ending").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Cancelled, Some(Verdict::Undetermined)), "{record:?}");
    assert!(record.reason.as_deref().unwrap().contains("daemon is shutting down"), "{record:?}");
    assert_reason(&report, &["daemon is shutting down"]);
    assert_balanced(&report);
    assert!(report.events.iter().any(|e| e.kind == EventKind::Control && e.message.contains("shutting down")));
    assert!(system.nodes().await.iter().all(|node| node.name != "experimentd"), "it left the registry");
}

/// `nuncius run` or `up` with a server of its own, in a directory of its own.
pub(crate) struct Alone {
    pub(crate) directory: TempDir,
    stub: Process,
    pub(crate) address: String,
}

impl Alone {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new("alone").unwrap();
        let (stub, address) = spawn_stub(directory.path(), &[]);
        Self { directory, stub, address }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = nuncius();
        command.args(arguments).arg("--data").arg(self.directory.path().join("data"));
        command.env("NATS_SERVER_BIN", nuncius_testkit::find_binary().unwrap());
        command.env("TMPDIR", self.directory.path());
        command.stdout(Stdio::piped());
        command
    }

    /// `nuncius run` of a minute of load, once some of it has come.
    pub(crate) async fn run(&self, more: &str) -> (Process, u32) {
        let file = self.directory.path().join("spec.yaml");
        std::fs::write(&file, open_spec("alone", &self.address, "100/s", "60s", more)).unwrap();
        let mut command = self.command(&["run", file.to_str().unwrap(), "--quiet"]);
        let process = Process::start(&mut command, &self.directory.path().join("run.log"));
        let address = self.address.clone();
        until("load is offered", async || (stub_stats(&address).requests > 100).then_some(())).await;
        let server = nats_server_of(process.child.id()).expect("it has a nats-server of its own");
        (process, server)
    }
}

/// State and parent of a process: `1234 (name) S 1 …`, the name may contain anything.
fn state_of(pid: u32) -> Option<(String, char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (front, back) = stat.rsplit_once(") ")?;
    let mut fields = back.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((front.split_once('(')?.1.to_owned(), state, fields.next()?.parse().ok()?))
}

fn nats_server_of(parent: u32) -> Option<u32> {
    let pids = std::fs::read_dir("/proc").ok()?.flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let mut children = pids.filter(|pid| state_of(*pid).is_some_and(|(_, _, of)| of == parent));
    children.find(|pid| state_of(*pid).is_some_and(|(name, ..)| name.contains("nats-server")))
}

pub(crate) async fn wait_until_gone(pid: u32) {
    until("the nats-server is gone", async || {
        // The number may be somebody else's by now; a zombie nobody reaps is gone too.
        state_of(pid).is_none_or(|(name, state, _)| !name.contains("nats-server") || state == 'Z').then_some(())
    })
    .await;
}

pub(crate) async fn ended(process: &mut Process) -> (std::process::ExitStatus, String) {
    let mut stdout = process.child.stdout.take().unwrap();
    let reader = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        text
    });
    let status = until("the command has ended", async || process.child.try_wait().unwrap()).await;
    (status, reader.await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_drains_and_prints_what_it_has_and_ends_with_6() {
    let _turn = beside_others().await;
    let alone = Alone::new();
    let (mut run, server) = alone.run("drain: 1s").await;
    run.signal(Signal::INT);
    let (status, text) = ended(&mut run).await;
    assert_eq!(status.code(), Some(6), "{text}");
    assert!(text.to_lowercase().contains("undetermined") && text.contains("interrupted"), "{text}");
    assert!(text.contains("succeeded") && text.contains("planned"), "{text}");
    wait_until_gone(server).await;
    let left: Vec<_> = std::fs::read_dir(alone.directory.path()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().starts_with("nuncius-")),
        "nothing temporary is left: {left:?}"
    );

    // What was printed is stored too.
    let output = alone.command(&["report", "alone", "--json"]).output().unwrap();
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((report.status, report.verdict), (RunStatus::Cancelled, Some(Verdict::Undetermined)));
    assert_balanced(&report);
    assert_eq!((step(&report).censored, stub_stats(&alone.address).requests), (0, step(&report).sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_interrupted_twice_ends_at_once() {
    let _turn = beside_others().await;
    let mut alone = Alone::new();
    let (mut run, server) = alone.run("drain: 30s").await;
    // A target that stands still: there is something to wait for.
    alone.stub.signal(Signal::STOP);
    tokio::time::sleep(Duration::from_millis(300)).await;
    run.signal(Signal::INT);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(run.child.try_wait().unwrap().is_none(), "it waits for answers");
    run.signal(Signal::INT);
    let told = Instant::now();
    let (status, text) = ended(&mut run).await;
    assert!(told.elapsed() < Duration::from_secs(2), "after {:?}: {text}", told.elapsed());
    assert!(status.code() == Some(6) || status.signal() == Some(2), "{status} {text}");
    wait_until_gone(server).await;
    alone.stub.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_or_up_leaves_no_server_behind() {
    let _turn = beside_others().await;
    let alone = Alone::new();
    let (mut run, server) = alone.run("").await;
    run.kill();
    wait_until_gone(server).await;

    let mut command = alone.command(&["up", "--listen", "127.0.0.1:0", "--no-stub"]);
    let mut up = Process::start(&mut command, &alone.directory.path().join("up.log"));
    let server = until("up has a nats-server", async || nats_server_of(up.child.id())).await;
    let address_file = alone.directory.path().join("data").join(nuncius_bus::server::URL_FILE);
    until("up is ready", async || address_file.exists().then_some(())).await;
    up.kill();
    wait_until_gone(server).await;
    // The address it left behind leads nowhere, and the next one gets by without it. The first thread of a process may
    // be gone a moment before its sockets are.
    let url = std::fs::read_to_string(&address_file).unwrap();
    let address = url.trim().trim_start_matches("nats://").rsplit('@').next().unwrap().to_owned();
    until("nobody listens there", async || std::net::TcpStream::connect(&address).is_err().then_some(())).await;
    let file = alone.directory.path().join("after.yaml");
    std::fs::write(&file, open_spec("after", &alone.address, "400/s", "1s", "")).unwrap();
    let mut command = alone.command(&["run", file.to_str().unwrap(), "--quiet"]);
    let mut run = Process::start(&mut command, &alone.directory.path().join("after.log"));
    let started = Instant::now();
    let (status, text) = ended(&mut run).await;
    assert_eq!(status.code(), Some(0), "{text}");
    assert!(started.elapsed() < PATIENCE);
}
