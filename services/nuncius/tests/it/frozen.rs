//! A node that stands still (SIGSTOP) holds up nobody else, and what is reported is what the target counted.

use std::time::{Duration, Instant};

use nuncius_bus::{clock, registry};
use nuncius_load::assign;
use nuncius_schemas::event::EventKind;
use nuncius_schemas::node::{Capacity, NodeCommand, NodeInfo, NodeReply, Role};
use nuncius_schemas::report::Report;
use nuncius_schemas::run::{Control, ControlReply, RunStatus, Verdict};
use rustix::process::Signal;

use crate::harness::{PATIENCE, System, beside_others, open_spec, stub_stats, until};

/// Settings that make a frozen node matter soon.
const QUICK: &[&str] =
    &["--horizon", "3s", "--command-timeout", "1s", "--clock-period", "1s", "--last-delta-patience", "2s"];

async fn quick_system(clients: usize) -> System {
    System::start_with(clients, Vec::new(), "", QUICK).await
}

/// Gates that hold whatever the machine is like.
const GATES: &str = "gates: ['failures < 20%']";

/// How many of the first `count` arrivals belong to each of `nodes` equal nodes.
fn shares(count: u64, nodes: usize) -> Vec<u64> {
    let shards = assign(&vec![1; nodes]).unwrap().sets().unwrap();
    shards.iter().map(|shards| (0..count).filter(|index| shards.owns(*index)).count() as u64).collect()
}

fn offered_by(report: &Report, node: &str) -> u64 {
    report.nodes.iter().find(|found| found.name == node).map_or(0, |found| found.offered)
}

/// Asks for the end of a run as any NATS client may; how long the answer took.
async fn cancel(system: &System, id: &str) -> (ControlReply, Duration) {
    let subject = system.bus.namespace().experiment_control(id);
    let asked = Instant::now();
    let control = Control::Cancel { reason: "enough seen".to_owned(), who: None };
    let reply = system.bus.request_message(&subject, "control.v1", &control, PATIENCE).await.unwrap();
    (reply, asked.elapsed())
}

fn assert_cancelled_at_once((reply, took): (ControlReply, Duration)) {
    assert!(reply.accepted, "{reply:?}");
    assert!(took < Duration::from_secs(1), "answered after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_planned_anew_without_a_node_that_is_frozen_at_prepare_reports_what_the_target_counted() {
    let _turn = beside_others().await;
    let mut system = quick_system(3).await;
    let address = system.start_stub(&[]);
    system.clients[1].signal(Signal::STOP);
    let begun = Instant::now();
    system.publish(open_spec("anew", &address, "90/s", "3s", GATES).as_bytes()).await;
    system.wait_for_status("anew", RunStatus::Running).await;
    let waited = begun.elapsed();
    let record = system.wait_for_end("anew").await;
    let report = system.report("anew").await;
    let told = format!("{:?}", report.reasons);
    assert!(report.events.iter().any(|e| e.kind == EventKind::Node && e.message.contains("planning anew")), "{told}");
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{told}");
    assert_eq!(record.attempt, 2);
    let step = &report.groups[0].steps[0];
    assert_eq!((report.scheduled, report.offered, report.deficit), (270, 270, 0), "{told}");
    assert_eq!((step.planned, step.succeeded + step.failed + step.censored), (270, 270), "{step:?}");
    assert_eq!(stub_stats(&address).requests, 270);
    let nodes: Vec<&str> = report.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(nodes, ["n1", "n3"]);
    // What was prepared for the first attempt and never started has said nothing.
    let deltas = system.stored_deltas("anew").await;
    assert!(!deltas.is_empty() && deltas.iter().all(|delta| delta.attempt == 2), "{deltas:?}");
    // One deadline of a second, not the half minute that a node may take to get ready.
    assert!(waited < Duration::from_secs(12), "{waited:?}");

    // It wakes to orders of long ago, obeys none of them, and takes part again.
    system.clients[1].signal(Signal::CONT);
    system.publish(open_spec("after", &address, "90/s", "2s", GATES).as_bytes()).await;
    let after = system.wait_for_end("after").await;
    let report = system.report("after").await;
    assert_eq!((after.status, after.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
    assert_eq!((report.offered, report.nodes.len()), (180, 3));
    assert_eq!(stub_stats(&address).requests, 270 + 180);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_offer_all_of_their_shards_while_a_node_is_frozen_in_mid_run() {
    let _turn = beside_others().await;
    let mut system = quick_system(3).await;
    let address = system.start_stub(&[]);
    // More than twice the horizon, after the node has frozen.
    let more = format!("{GATES}\non_node_loss: shrink");
    system.publish(open_spec("half", &address, "60/s", "9s", &more).as_bytes()).await;
    system.wait_for_requests(90).await;
    system.clients[1].signal(Signal::STOP);
    let record = system.wait_for_end("half").await;
    let counted = stub_stats(&address).requests;
    let report = system.report("half").await;
    let told = format!("{:?} {:?}", report.reasons, report.nodes);
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Invalid)), "{told}");
    let shares = shares(540, 3);
    assert_eq!((offered_by(&report, "n1"), offered_by(&report, "n3")), (shares[0], shares[2]), "{told}");
    assert!(report.nodes.iter().all(|node| node.lost.is_some() == (node.name == "n2")), "{told}");
    // What it may have sent without a word is told apart from what it cannot have sent.
    assert!(counted >= report.offered && counted <= report.offered + report.unaccounted, "{counted}: {told}");
    assert!(report.unaccounted > 0 && report.unaccounted <= report.deficit, "{told}");
    let unaccounted =
        format!("{0} of 540 scheduled arrivals are not accounted for (at most {0} not offered)", report.unaccounted);
    assert!(report.reasons.iter().any(|reason| reason.contains(&unaccounted)), "{told}");
    let certain = report.deficit - report.unaccounted;
    let not_offered = format!("{certain} of 540 scheduled arrivals were not offered");
    assert_eq!(certain > 0, report.reasons.iter().any(|reason| reason.contains(&not_offered)), "{told}");
    let step = &report.groups[0].steps[0];
    assert_eq!(step.planned, step.succeeded + step.failed + step.censored, "{step:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_is_answered_within_a_second_while_a_frozen_node_is_asked_to_get_ready() {
    let _turn = beside_others().await;
    // With deadlines as they are by default: the answer does not wait for them.
    let mut system = System::start(3).await;
    let address = system.start_stub(&[]);
    system.clients[1].signal(Signal::STOP);
    system.publish(open_spec("early", &address, "50/s", "5s", GATES).as_bytes()).await;
    system.wait_for_status("early", RunStatus::Preparing).await;
    let begun = Instant::now();
    assert_cancelled_at_once(cancel(&system, "early").await);
    let record = system.wait_for_end("early").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Cancelled, Some(Verdict::Undetermined)));
    assert!(begun.elapsed() < Duration::from_secs(2), "it ends at once, too: {:?}", begun.elapsed());
    assert_eq!(stub_stats(&address).requests, 0);
    assert_eq!(system.report("early").await.offered, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_is_answered_within_a_second_while_a_frozen_node_is_watched_and_waited_for() {
    let _turn = beside_others().await;
    let mut system = quick_system(2).await;
    // Its answers take longer than anything here.
    let address = system.start_stub(&["--service-time", "60s"]);
    let more = format!("{GATES}\ndrain: 60s");
    for (id, duration, phase) in [("running", "60s", RunStatus::Running), ("draining", "1s", RunStatus::Draining)] {
        system.publish(open_spec(id, &address, "40/s", duration, &more).as_bytes()).await;
        system.wait_for_status(id, RunStatus::Running).await;
        let before = stub_stats(&address).requests;
        until("some of it was sent", async || (stub_stats(&address).requests >= before + 20).then_some(())).await;
        system.clients[1].signal(Signal::STOP);
        system.wait_for_status(id, phase).await;
        // Past a measurement of clocks and an extension of horizons that it does not answer.
        until("a second of it is over", async || {
            let seconds = system.stored_sums(id).await.get("n1").map_or(0, |sums| sums.planned);
            (seconds >= 20).then_some(())
        })
        .await;
        assert_cancelled_at_once(cancel(&system, id).await);
        assert_cancelled_at_once(cancel(&system, id).await);
        let record = system.wait_for_end(id).await;
        assert_eq!(record.status, RunStatus::Cancelled, "{:?}", record.reason);
        let report = system.report(id).await;
        assert!(report.reasons.iter().any(|reason| reason.contains("enough seen")), "{:?}", report.reasons);
        let step = &report.groups[0].steps[0];
        assert_eq!(step.planned, step.succeeded + step.failed + step.censored, "{step:?}");
        system.clients[1].signal(Signal::CONT);
        until("both nodes are free", async || {
            let clients = system.nodes().await.into_iter().filter(|node| node.name.starts_with('n'));
            (clients.filter(|node| node.experiment.is_none()).count() == 2).then_some(())
        })
        .await;
    }
}

/// A node that gets ready and then falls silent: it never answers a start.
async fn silent_at_the_start(system: &System, name: &str) -> (registry::Registration, clock::PingResponder) {
    let capacity = Capacity { weight: 1, max_rate_per_second: 1_000, max_in_flight: 1_000, max_duration_seconds: 60 };
    let info = NodeInfo { capacity: Some(capacity), ..registry::this_process(name, Role::Client, "nowhere") };
    let bus = system.bus.clone();
    let pings = clock::answer_pings(&bus, &bus.namespace().node_ping(name)).await.unwrap();
    let mut commands = bus.subscribe(&bus.namespace().node_command(name)).await.unwrap();
    let registration = registry::join(&bus, info).await.unwrap();
    let epoch = registration.claim().epoch;
    tokio::spawn(async move {
        while let Some(message) = commands.next().await {
            match message.decode::<NodeCommand>().unwrap() {
                NodeCommand::Prepare(_) | NodeCommand::Stop(_) => {
                    message.respond_message("node-reply.v1", &NodeReply::Accepted { epoch }).await.unwrap();
                }
                NodeCommand::Start(_)
                | NodeCommand::Extend(_)
                | NodeCommand::Take(_)
                | NodeCommand::Inquire(_)
                | NodeCommand::Once(_)
                | NodeCommand::Profile(_)
                | NodeCommand::Reroute(_) => {}
            }
        }
    });
    (registration, pings)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_one_node_does_not_answer_is_taken_back_before_anybody_has_sent_anything() {
    let _turn = beside_others().await;
    let mut system = quick_system(2).await;
    let address = system.start_stub(&[]);
    let (silent, pings) = silent_at_the_start(&system, "n3").await;
    system.wait_for_nodes(4).await;
    system.publish(open_spec("back", &address, "100/s", "2s", GATES).as_bytes()).await;
    let record = system.wait_for_end("back").await;
    let report = system.report("back").await;
    let told = format!("{:?}", report.reasons);
    assert!(report.events.iter().any(|e| e.message.contains("planning anew") && e.message.contains("n3")), "{told}");
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{told}");
    // Nodes whose part of the first has yet to end when they are asked again are waited for, in a further one.
    assert!(record.attempt >= 2, "{}", record.attempt);
    assert_eq!((report.offered, report.groups[0].steps[0].succeeded), (200, 200), "{told}");
    assert_eq!(stub_stats(&address).requests, 200);
    silent.release().await;
    drop(pings);
}
