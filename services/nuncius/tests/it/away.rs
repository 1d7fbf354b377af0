//! The bus goes away under nodes that are ready, that offer load, that stand at their horizon, and that wait for
//! their last answers: nothing that was measured is lost, and all of them go on under their own names.

use std::collections::BTreeMap;
use std::time::Duration;

use nuncius_bus::clock::monotonic_ns;
use nuncius_schemas::metric::MetricDelta;
use nuncius_schemas::node::NodeReply;

use crate::harness::{System, beside_others, spawn_stub, stub_stats, until};
use crate::orders_harness::{Orders, SECOND_NS, nodes_alone, planned, told};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    /// The server dies and comes back with its store.
    Killed,
    /// It stands still, with all connections open.
    Frozen,
}

/// Name and incarnation of every client node.
async fn incarnations(system: &System) -> BTreeMap<String, u64> {
    let nodes = system.nodes().await.into_iter().filter(|node| node.name.starts_with('n'));
    nodes.map(|node| (node.name, node.epoch)).collect()
}

/// All sequences of a node are there, once, and every iteration has ended in one way.
fn assert_whole(deltas: &[MetricDelta], scheduled: u64) {
    let mut sequences: Vec<u64> = deltas.iter().map(|delta| delta.sequence).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    let succeeded: u64 = deltas.iter().flat_map(|delta| &delta.steps).map(|step| step.succeeded).sum();
    assert_eq!((planned(deltas), succeeded), (scheduled, scheduled));
    let dropped: u64 =
        deltas.iter().filter_map(|delta| delta.health.as_ref()).map(|health| health.dropped_records).sum();
    assert_eq!(dropped, 0);
}

async fn survives(outage: Outage, seconds: u64) {
    let (mut system, address) = nodes_alone(4, &[]).await;
    let (_slow, slow_address) = spawn_stub(system.directory.path(), &["--service-time", "4s"]);
    let open = |duration: u64| format!("- target: http://target/\n  rate: 50/s\n  duration: {duration}s\n");
    let mut ready = Orders::new(&system, "ready", &address, &open(2));
    let mut runs = Orders::new(&system, "runs", &address, &open(seconds + 6));
    let mut stands = Orders::new(&system, "stands", &address, &open(seconds + 12));
    let slow = format!("{}  timeout: 60s\n", open(2));
    let mut drains = Orders::new(&system, "drains", &slow_address, &slow);
    for (node, orders) in [(1, &ready), (2, &runs), (3, &stands), (4, &drains)] {
        orders.obeyed(node, &orders.prepare(orders.assignments(1, 1))).await;
    }
    let far_ns = 3_600 * SECOND_NS;
    for (node, orders, horizon_ns) in [(2, &mut runs, far_ns), (3, &mut stands, SECOND_NS), (4, &mut drains, far_ns)] {
        orders.start_at_ns = monotonic_ns() + SECOND_NS / 4;
        orders.obeyed(node, &orders.start(horizon_ns)).await;
    }
    for (node, orders) in [(2, &runs), (3, &stands), (4, &drains)] {
        orders.wait_for_second(&system, node, 1).await;
    }
    let before = incarnations(&system).await;

    match outage {
        Outage::Killed => system.server.kill(),
        Outage::Frozen => system.server.pause(),
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    match outage {
        Outage::Killed => system.server.restart().await.unwrap(),
        Outage::Frozen => system.server.resume(),
    }
    let told_of = format!("{outage:?} for {seconds} s");
    until("every node is in the registry as it was", async || (incarnations(&system).await == before).then_some(()))
        .await;

    for (node, orders) in [(1, &ready), (2, &runs), (3, &stands), (4, &drains)] {
        orders.wait_for_answer(node).await;
    }
    ready.start_at_ns = monotonic_ns() + SECOND_NS / 2;
    ready.obeyed(1, &ready.start(far_ns)).await;
    let NodeReply::Standing { is_started: true, .. } = runs.order(2, &runs.inquire()).await else {
        panic!("it works for its experiment: {told_of}")
    };
    stands.obeyed(3, &stands.extend(far_ns)).await;

    assert_whole(&ready.wait_for_end(&system, 1).await, 100);
    let whole = runs.wait_for_end(&system, 2).await;
    assert_whole(&whole, 50 * (seconds + 6));
    assert_eq!(told(&whole), "", "{told_of}");
    assert_whole(&drains.wait_for_end(&system, 4).await, 100);
    let stood = stands.wait_for_end(&system, 3).await;
    assert_whole(&stood, planned(&stood));
    assert!(told(&stood).contains("stood at its horizon"), "{told_of}: {}", told(&stood));
    for (node, orders, deltas) in [(2, &runs, &whole), (3, &stands, &stood)] {
        assert_eq!(orders.rows(node).await.len() as u64, planned(deltas), "{told_of}");
    }
    // The targets are the witnesses.
    assert_eq!(stub_stats(&address).requests, 100 + planned(&whole) + planned(&stood), "{told_of}");
    assert_eq!(stub_stats(&slow_address).requests, 100, "{told_of}");
    until("all nodes are free", async || {
        let nodes = system.nodes().await;
        nodes.iter().all(|node| node.experiment.is_none()).then_some(())
    })
    .await;
    assert_eq!(incarnations(&system).await, before, "{told_of}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_for_a_second_costs_no_node_anything() {
    let _turn = beside_others().await;
    survives(Outage::Killed, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_frozen_for_five_seconds_costs_no_node_anything() {
    let _turn = beside_others().await;
    survives(Outage::Frozen, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_for_longer_than_names_are_kept_costs_no_node_anything() {
    let _turn = beside_others().await;
    survives(Outage::Killed, 15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_frozen_for_longer_than_names_are_kept_costs_no_node_anything() {
    let _turn = beside_others().await;
    survives(Outage::Frozen, 15).await;
}
