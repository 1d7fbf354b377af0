//! A daemon may die at any moment: another one, or the same one restarted, goes on with its runs, and the report is
//! that of an undisturbed run.

use std::time::Duration;

use nuncius_schemas::event::EventKind;
use nuncius_schemas::report::Report;
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_store::Store;
use rustix::process::Signal;

use crate::harness::{System, beside_others, open_spec, stub_stats, until};

/// Everything that an undisturbed run of so many requests shows.
pub(crate) async fn assert_undisturbed(system: &System, id: &str, requests: u64) -> Report {
    let record = system.wait_for_end(id).await;
    let report = system.report(id).await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
    assert_eq!((report.scheduled, report.offered, report.deficit), (requests, requests, 0), "{:?}", report.reasons);
    let step = &report.groups[0].steps[0];
    assert_eq!((step.planned, step.succeeded, step.failed, step.censored), (requests, requests, 0, 0));
    let columns = &report.series[0].columns;
    assert_eq!(columns.offered.iter().sum::<u64>(), requests);
    assert_eq!(columns.succeeded.iter().sum::<u64>(), requests);
    // One start, one end, one row with all of its records.
    let events = until("the end is told", async || {
        let events = system.events(id).await;
        events.iter().any(|event| event.status == Some(RunStatus::Finished)).then_some(events)
    })
    .await;
    for status in [RunStatus::Running, RunStatus::Finished] {
        let said = events.iter().filter(|event| event.status == Some(status)).count();
        assert_eq!(said, 1, "{status:?}: {events:?}");
    }
    let store = Store::open(system.data().join("nuncius.db")).await.unwrap();
    let rows = store.list_experiments(100).await.unwrap();
    let rows = rows.iter().filter(|row| row.id == id).count();
    let records = store.record_count(id).await.unwrap();
    store.close().await;
    assert_eq!((rows, records), (1, requests));
    report
}

/// Kills the daemon in mid-run; what `after` does then is all that happens.
async fn killed_in_mid_run(more: &str, after: impl AsyncFnOnce(&mut System)) {
    let mut system = System::start(2).await;
    let address = system.start_stub(&[]);
    let more = format!("records: all\n{more}");
    system.publish(open_spec("goes-on", &address, "200/s", "9s", &more).as_bytes()).await;
    system.wait_for_requests(400).await;
    system.daemon.as_mut().unwrap().kill();
    after(&mut system).await;
    let report = assert_undisturbed(&system, "goes-on", 1_800).await;
    assert_eq!(stub_stats(&address).requests, 1_800);
    let told = report.events.iter().filter(|event| event.kind == EventKind::Node && event.message.contains("watches"));
    assert_eq!(told.count(), 1, "{:?}", report.events);
    until("nothing is held any more", async || {
        let lease = system.bus.kv(&system.bus.namespace().bucket_lease()).await.unwrap();
        let nodes = system.nodes().await;
        let is_free = nodes.iter().all(|node| node.experiment.is_none());
        (is_free && lease.keys().await.unwrap().iter().all(|key| !key.starts_with("run."))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_restarted_after_one_second_goes_on_with_its_run() {
    let _turn = beside_others().await;
    killed_in_mid_run("", async |system| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        system.start_daemon();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_restarted_after_five_seconds_goes_on_with_its_run() {
    let _turn = beside_others().await;
    killed_in_mid_run("", async |system| {
        tokio::time::sleep(Duration::from_secs(5)).await;
        system.start_daemon();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_over_when_its_daemon_is_restarted_gets_the_verdict_of_its_books() {
    let _turn = beside_others().await;
    killed_in_mid_run("horizon: 30s", async |system| {
        tokio::time::sleep(Duration::from_secs(15)).await;
        system.start_daemon();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_daemon_goes_on_with_the_run_of_one_that_was_killed() {
    let _turn = beside_others().await;
    let mut system = System::start(2).await;
    let mut second = System::start_second_daemon(&system, "deputy");
    system.wait_for_nodes(4).await;
    let address = system.start_stub(&[]);
    system.publish(open_spec("goes-on", &address, "200/s", "9s", "records: all").as_bytes()).await;
    system.wait_for_requests(400).await;
    // Whichever of the two has it.
    let holder = system.holder("goes-on").await;
    if holder == "deputy" {
        second.kill()
    } else {
        system.daemon.as_mut().unwrap().kill()
    }
    let report = assert_undisturbed(&system, "goes-on", 1_800).await;
    assert_eq!(stub_stats(&address).requests, 1_800, "{:?}", report.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_daemon_that_wakes_up_moves_no_horizon_and_writes_nothing() {
    let _turn = beside_others().await;
    let mut system = System::start(2).await;
    let second = System::start_second_daemon(&system, "deputy");
    system.wait_for_nodes(4).await;
    let address = system.start_stub(&[]);
    system.publish(open_spec("two-heads", &address, "100/s", "14s", "records: all").as_bytes()).await;
    system.wait_for_requests(150).await;
    let holder = system.holder("two-heads").await;
    let frozen = if holder == "deputy" { &second } else { system.daemon.as_ref().unwrap() };
    frozen.signal(Signal::STOP);
    until("the other one has it", async || (system.holder_now("two-heads").await? != holder).then_some(())).await;
    frozen.signal(Signal::CONT);
    let report = assert_undisturbed(&system, "two-heads", 1_400).await;
    assert_eq!(stub_stats(&address).requests, 1_400, "{:?}", report.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_daemon_dies_before_any_load_starts_over() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    // It gets ready as soon as it is let.
    system.clients[0].signal(Signal::STOP);
    system.publish(open_spec("early", &address, "400/s", "1s", "records: all").as_bytes()).await;
    system.wait_for_status("early", RunStatus::Preparing).await;
    system.daemon.as_mut().unwrap().kill();
    assert_eq!(stub_stats(&address).requests, 0);
    system.clients[0].signal(Signal::CONT);
    system.start_daemon();
    assert_undisturbed(&system, "early", 400).await;
    assert_eq!(stub_stats(&address).requests, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_is_taken_by_the_daemon_that_takes_the_run_over() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    system.publish(open_spec("unwanted", &address, "100/s", "60s", "").as_bytes()).await;
    system.wait_for_requests(100).await;
    system.daemon.as_mut().unwrap().kill();
    system.start_daemon();
    let output = system.output(&["cancel", "unwanted"]);
    assert!(output.status.success(), "{output:?}");
    let record = system.wait_for_end("unwanted").await;
    assert_eq!(record.status, RunStatus::Cancelled);
    let report = system.report("unwanted").await;
    let step = &report.groups[0].steps[0];
    assert_eq!(stub_stats(&address).requests, step.sent);
    assert_eq!(step.planned, step.succeeded + step.failed + step.censored);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_told_to_end_hands_its_run_over_to_another() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let second = System::start_second_daemon(&system, "deputy");
    system.wait_for_nodes(3).await;
    let address = system.start_stub(&[]);
    system.publish(open_spec("handed", &address, "100/s", "6s", "records: all").as_bytes()).await;
    system.wait_for_requests(100).await;
    let holder = system.holder("handed").await;
    let ending = if holder == "deputy" { &second } else { system.daemon.as_ref().unwrap() };
    ending.signal(Signal::TERM);
    assert_undisturbed(&system, "handed", 600).await;
    assert_eq!(stub_stats(&address).requests, 600);
}
