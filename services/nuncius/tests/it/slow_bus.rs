//! A bus that takes long for an answer: what waits for answers waits long enough.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use nuncius_bus::{ConnectOptions, connect};
use nuncius_control::submit::submit;
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_schemas::submission;
use nuncius_testkit::Proxy;

use crate::harness::{Process, System, beside_others, nuncius, open_spec, until};

/// One way between each process and the server: a command to a node and its answer take four times as long.
const DELAY: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn a_run_starts_and_passes_over_a_bus_that_takes_two_seconds_for_an_answer() {
    let _turn = beside_others().await;
    let mut system = System::start(0).await;
    system.daemon = None;
    let address = system.start_stub(&[]);
    let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], system.server.port()))).unwrap();
    proxy.set_delay(DELAY);
    let mut processes = Vec::new();
    for arguments in [&["experimentd"][..], &["client", "--name", "n1"], &["client", "--name", "n2"]] {
        let log = system.directory.path().join(format!("slow-{}.log", processes.len()));
        let mut command = nuncius();
        command.arg("--nats").arg(proxy.url()).arg("--data").arg(system.data()).args(arguments).stdout(Stdio::null());
        processes.push(Process::start(&mut command, &log));
    }
    until("both nodes say how long the bus takes", async || {
        let nodes = system.nodes().await;
        let slow = nodes.iter().filter(|node| node.round_trip_ns >= 2 * DELAY.as_nanos() as u64).count();
        (slow >= 3).then_some(())
    })
    .await;
    system.publish(open_spec("slow", &address, "50/s", "4s", "gates: ['failures < 20%']").as_bytes()).await;
    // Everything takes seconds here.
    system.wait_for_status("slow", RunStatus::Running).await;
    system.wait_for_status("slow", RunStatus::Draining).await;
    let record = system.wait_for_end("slow").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", record.reason);
    let report = system.report("slow").await;
    assert_eq!((report.offered, record.attempt, report.nodes.len()), (200, 1, 2));
    for node in &report.nodes {
        // What cannot be known better is told: half of the round trip.
        assert!(node.clock_error_ns >= Some(2 * DELAY.as_nanos() as u64), "{node:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_whose_acknowledgement_came_too_late_is_taken_once_and_no_error() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], system.server.port()))).unwrap();
    let options = ConnectOptions { urls: vec![proxy.url()], name: "submitter".into(), ..ConnectOptions::default() };
    let bus = connect(options).await.unwrap();
    let text = open_spec("late", &address, "400/s", "1s", "");
    let submission = submission::from_bytes(text.as_bytes()).unwrap();
    proxy.set_delay(Duration::from_secs(3));
    let submitting = tokio::spawn(async move { submit(&bus, &submission).await });
    // The acknowledgement of what the stream has now is on its way for three seconds more, which is too long.
    until("the daemon has it", async || system.record("late").await).await;
    proxy.set_delay(Duration::ZERO);
    let id = submitting.await.unwrap().unwrap();
    assert_eq!(id, "late");
    let record = system.wait_for_end("late").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", record.reason);
}
