//! Experiments do not mix, wait for each other's nodes, and end when they are told to.

use std::time::{Duration, Instant};

use nuncius_schemas::event::EventKind;
use nuncius_schemas::report::Report;
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_store::Store;

use crate::harness::{System, beside_others, open_spec, spawn_stub, stub_stats, until};

/// An experiment for the nodes of one side.
fn spec_for(side: &str, id: &str, address: &str, rate: &str, duration: &str) -> String {
    let more = format!("gates: ['failures < 20%']\nnodes: {{labels: {{side: {side}}}}}");
    open_spec(id, address, rate, duration, &more)
}

/// When it got a status, milliseconds since the Unix epoch.
fn since(report: &Report, status: RunStatus) -> Option<u64> {
    report.events.iter().find(|event| event.status == Some(status)).map(|event| event.at_unix_ms)
}

/// When load was offered, from and until.
fn offered_between(report: &Report) -> (u64, u64) {
    (
        since(report, RunStatus::Running).unwrap(),
        since(report, RunStatus::Draining).unwrap_or(report.ended_unix_ms.unwrap()),
    )
}

fn nodes_of(report: &Report) -> Vec<(&str, u64)> {
    report.nodes.iter().map(|node| (node.name.as_str(), node.offered)).collect()
}

/// Iterations offered so far, from what the nodes have stored.
async fn offered_so_far(system: &System, id: &str) -> u64 {
    system.stored_sums(id).await.values().map(|sums| sums.planned).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn experiments_on_disjoint_nodes_run_at_once_and_cancelling_one_within_a_second_leaves_the_other_alone() {
    let _turn = beside_others().await;
    let mut system = System::start(0).await;
    for (name, side) in [("l1", "side=left"), ("l2", "side=left"), ("r1", "side=right")] {
        system.start_client(name, &["--label", side]);
    }
    system.wait_for_nodes(4).await;
    let address = system.start_stub(&[]);
    let (_stub, right_address) = spawn_stub(system.directory.path(), &["--service-time", "500ms"]);
    system.publish(spec_for("left", "kept", &address, "100/s", "6s").as_bytes()).await;
    system.publish(spec_for("right", "short", &right_address, "70/s", "2s").as_bytes()).await;
    system.wait_for_end("short").await;
    // The right side is free again while the left is at it.
    system.publish(spec_for("right", "stopped", &right_address, "200/s", "60s").as_bytes()).await;
    until("a second of it has been offered", async || (offered_so_far(&system, "stopped").await > 200).then_some(()))
        .await;
    let asked_unix_ms = nuncius_bus::clock::unix_ns() / 1_000_000;
    let asked = Instant::now();
    let output = system.output(&["cancel", "stopped", "--reason", "enough seen"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answered = asked.elapsed();
    // Asked again while its last answers are waited for, it is the same request.
    let again = Instant::now();
    let output = system.output(&["cancel", "stopped"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || error.contains("cancelled already"), "{error}");
    assert!(again.elapsed() < Duration::from_secs(3), "{error}");
    tokio::time::sleep_until((asked + Duration::from_secs(1)).into()).await;
    let requests_then = stub_stats(&right_address).requests;
    let stopped = system.wait_for_end("stopped").await;
    let kept = system.wait_for_end("kept").await;

    assert_eq!((stopped.status, stopped.verdict), (RunStatus::Cancelled, Some(Verdict::Undetermined)));
    let report = system.report("stopped").await;
    assert!(report.reasons.iter().any(|reason| reason.contains("enough seen")), "{:?}", report.reasons);
    assert!(
        report.events.iter().any(|event| event.kind == EventKind::Control && event.message.contains("enough seen"))
    );
    // Nothing was offered later than a second after the request.
    assert_eq!(stub_stats(&right_address).requests, requests_then, "answered in {answered:?}");
    let from = since(&report, RunStatus::Running).unwrap();
    let bound = 200 * (asked_unix_ms - from + 1_000) / 1_000;
    assert!(
        (200..=bound).contains(&report.offered),
        "{} offered, at most {bound}; answered in {answered:?}",
        report.offered
    );
    assert_eq!(nodes_of(&report), [("r1", report.offered)]);
    assert!(report.scheduled == 12_000 && report.deficit == 12_000 - report.offered);
    let steps = &report.groups[0].steps[0];
    assert_eq!(steps.planned, steps.succeeded + steps.failed + steps.censored, "its books balance");

    let short = system.report("short").await;
    let whole = system.report("kept").await;
    assert_eq!((kept.status, kept.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", whole.reasons);
    assert_eq!((whole.scheduled, whole.offered), (600, 600));
    assert_eq!(
        stub_stats(&right_address).requests,
        140 + report.groups[0].steps[0].sent,
        "nobody else's load came there"
    );
    assert_eq!(stub_stats(&address).requests, 600);
    assert_eq!((short.scheduled, short.offered, short.verdict), (140, 140, Some(Verdict::Pass)), "{:?}", short.reasons);
    assert_eq!(nodes_of(&short), [("r1", 140)]);
    let [("l1", first), ("l2", second)] = nodes_of(&whole)[..] else { panic!("{:?}", nodes_of(&whole)) };
    assert!(first > 200 && second > 200 && first + second == 600, "{first} and {second}");
    let (kept_from, kept_until) = offered_between(&whole);
    for other in [&short, &report] {
        let (other_from, other_until) = offered_between(other);
        assert!(other_from < kept_until && kept_from < other_until, "{} ran at the same time", other.id);
    }
    for report in [&whole, &short, &report] {
        assert!(report.events.iter().all(|event| event.experiment == report.id), "its events are its own");
        assert!(system.events(&report.id).await.iter().all(|event| event.experiment == report.id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn experiments_that_wait_start_in_the_order_of_their_submission_and_a_large_one_is_not_overtaken() {
    let _turn = beside_others().await;
    let mut system = System::start(2).await;
    let address = system.start_stub(&[]);
    let publish = async |system: &System, id: &str, count: u32, duration: &str| {
        let more = format!("nodes: {{count: {count}}}\ngates: ['failures < 20%']");
        system.publish(open_spec(id, &address, "50/s", duration, &more).as_bytes()).await;
    };
    let waits = async |system: &System, id: &str| {
        until("it waits for nodes", async || {
            let events = system.events(id).await;
            events.iter().any(|event| event.message.contains("waiting for nodes")).then_some(())
        })
        .await;
    };
    for (id, duration) in [("short", "2s"), ("long", "6s")] {
        publish(&system, id, 1, duration).await;
        system.wait_for_status(id, RunStatus::Running).await;
    }
    for (id, count) in [("large", 2), ("small", 1), ("smaller", 1)] {
        publish(&system, id, count, "1s").await;
        waits(&system, id).await;
    }
    for id in ["large", "small", "smaller"] {
        let record = system.wait_for_end(id).await;
        assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{id}");
    }
    let (long, large) = (system.report("long").await, system.report("large").await);
    assert!(since(&large, RunStatus::Running) >= long.ended_unix_ms, "both nodes were free");
    for id in ["small", "smaller"] {
        let small = system.report(id).await;
        assert!(since(&small, RunStatus::Running) >= large.ended_unix_ms, "{id} came later, though a node was free");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_that_waits_for_nodes_starts_when_they_are_free_or_never_when_it_is_cancelled() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let gates = "gates: ['failures < 20%']";
    let waiting = async |system: &System, id: &str| {
        until("it waits for nodes", async || {
            let events = system.events(id).await;
            events.iter().any(|event| event.kind == EventKind::Node && event.message.contains("waiting")).then_some(())
        })
        .await;
    };
    system.publish(open_spec("first", &address, "50/s", "5s", gates).as_bytes()).await;
    system.wait_for_status("first", RunStatus::Running).await;
    for id in ["never", "second"] {
        system.publish(open_spec(id, &address, "50/s", "1s", gates).as_bytes()).await;
        waiting(&system, id).await;
    }
    let output = system.output(&["cancel", "never"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_never_ran(&system, "never", "cancelled on request").await;
    assert!(!system.record("first").await.unwrap().status.is_terminal(), "it was cancelled while it waited");
    let second = system.wait_for_end("second").await;
    assert_eq!((second.status, second.verdict), (RunStatus::Finished, Some(Verdict::Pass)));
    let (first, second) = (system.report("first").await, system.report("second").await);
    assert_eq!((first.offered, second.offered), (250, 50));
    assert!(since(&second, RunStatus::Running) >= first.ended_unix_ms, "the nodes were free");

    // Now with no daemon there: one that waits when its daemon ends goes on waiting.
    system.publish(open_spec("third", &address, "50/s", "30s", gates).as_bytes()).await;
    system.wait_for_status("third", RunStatus::Running).await;
    system.publish(open_spec("orphan", &address, "50/s", "1s", gates).as_bytes()).await;
    waiting(&system, "orphan").await;
    let mut daemon = system.daemon.take().unwrap();
    daemon.signal(rustix::process::Signal::TERM);
    until("the daemon has ended", async || daemon.child.try_wait().unwrap()).await;
    let third = system.record("third").await.unwrap();
    assert_eq!((third.status, third.verdict), (RunStatus::Cancelled, Some(Verdict::Undetermined)));
    assert_eq!(system.record("orphan").await.unwrap().status, RunStatus::Submitted);
    let output = system.output(&["cancel", "orphan", "--reason", "not wanted"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(system.record("orphan").await.unwrap().status, RunStatus::Cancelled);
    let again = system.output(&["cancel", "orphan"]);
    assert_eq!(again.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&again.stderr).contains("cancelled already"));
    system.start_daemon();
    system.publish(open_spec("last", &address, "50/s", "1s", gates).as_bytes()).await;
    let last = system.wait_for_end("last").await;
    assert_eq!((last.status, last.verdict), (RunStatus::Finished, Some(Verdict::Pass)));
    assert_never_ran(&system, "orphan", "not wanted").await;
}

/// Cancelled, nothing offered, and so told everywhere.
async fn assert_never_ran(system: &System, id: &str, reason: &str) {
    let record = system.wait_for_end(id).await;
    assert_eq!((record.status, record.verdict), (RunStatus::Cancelled, Some(Verdict::Undetermined)), "{id}");
    let told = until("its end is told", async || {
        system.events(id).await.into_iter().find(|event| event.status == Some(RunStatus::Cancelled))
    })
    .await;
    assert!(told.message.contains(reason), "{}", told.message);
    let report = system.report(id).await;
    assert_eq!((report.status, report.verdict, report.offered), (record.status, record.verdict, 0));
    assert!(report.reasons.join("; ").contains(reason), "{:?}", report.reasons);
    assert_eq!(offered_so_far(system, id).await, 0);
    let started = system
        .events(id)
        .await
        .into_iter()
        .find(|event| event.status >= Some(RunStatus::Planned) && event.status < Some(RunStatus::Finished));
    assert_eq!(started, None, "it never started");
    let store = Store::open(system.data().join("nuncius.db")).await.unwrap();
    until("the store has its end", async || {
        store.experiment(id).await.ok().filter(|stored| stored.status == RunStatus::Cancelled)
    })
    .await;
    store.close().await;
}

/// An address at which connecting takes until the connector gives up, as long as what comes with it is kept.
fn tarpit() -> (String, Vec<std::net::TcpStream>, std::net::TcpListener) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // A queue of one, and nobody who takes anything off it.
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let patience = Duration::from_millis(300);
    let full = std::iter::from_fn(|| std::net::TcpStream::connect_timeout(&address, patience).ok()).take(100).collect();
    (address.to_string(), full, listener)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_that_is_cancelled_while_its_nodes_get_ready_leaves_them_free() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let (slow, _full, _listener) = tarpit();
    let gates = "gates: ['failures < 20%']";
    let both = format!("{slow}', '{address}");
    system.publish(open_spec("slow", &both, "50/s", "1s", gates).as_bytes()).await;
    system.wait_for_status("slow", RunStatus::Preparing).await;
    let asked = Instant::now();
    let output = system.output(&["cancel", "slow"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(system.wait_for_end("slow").await.status, RunStatus::Cancelled);
    assert!(asked.elapsed() < Duration::from_secs(2), "it does not wait for the node: {:?}", asked.elapsed());
    system.publish(open_spec("next", &address, "50/s", "1s", gates).as_bytes()).await;
    let next = system.wait_for_end("next").await;
    assert_eq!((next.status, next.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", next.reason);
    assert!(asked.elapsed() < Duration::from_secs(15), "the node is soon free: {:?}", asked.elapsed());
    assert_eq!(stub_stats(&address).requests, 50);
}
