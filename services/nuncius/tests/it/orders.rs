//! What a node does when a daemon, here the test, tells it to: it stands at its horizon and goes on, takes shards over,
//! and obeys nobody who was replaced.

use std::collections::BTreeSet;
use std::time::Duration;

use nuncius_bus::clock::{self, monotonic_ns};
use nuncius_bus::registry::{self, NodeEvent};
use nuncius_load::assign;
use nuncius_schemas::node::{GroupAssignment, NodeReply, RefusalCode};

use crate::harness::{PATIENCE, beside_others, stub_stats, until};
use crate::orders_harness::{Orders, SECOND_NS, nodes_alone, planned, refusal, told};

const OPEN: &str = "- target: http://target/\n  rate: 100/s\n  duration: 6s\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stands_at_its_horizon_tells_its_seconds_and_goes_on_when_it_is_moved() {
    let _turn = beside_others().await;
    let (system, address) = nodes_alone(1, &[]).await;
    let mut orders = Orders::new(&system, "e", &address, OPEN);
    orders.run(1, SECOND_NS).await;
    orders.wait_for_second(&system, 1, 2).await;
    assert_eq!(stub_stats(&address).requests, 100);
    let NodeReply::Standing { is_started: true, horizon_ns: SECOND_NS, .. } = orders.order(1, &orders.inquire()).await
    else {
        panic!("it stands where it was told to")
    };
    let moved_ns = orders.run_ns();
    orders.obeyed(1, &orders.extend(60 * SECOND_NS)).await;
    let answered_ns = orders.run_ns();
    let deltas = orders.wait_for_end(&system, 1).await;
    assert!(told(&deltas).contains("stood at its horizon for"), "{}", told(&deltas));
    let rows = orders.rows(1).await;
    assert_eq!((planned(&deltas), stub_stats(&address).requests), (rows.len() as u64, rows.len() as u64));
    let (before, after): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, _, planned_ns, _)| *planned_ns < SECOND_NS);
    assert_eq!(before.len(), 100);
    assert!(after.iter().all(|(_, _, planned_ns, _)| *planned_ns >= moved_ns), "nothing is made up for");
    // All that was planned after the answer, and no more than what was after the question.
    let due = |from_ns: u64| (0..600u64).filter(|index| index * SECOND_NS / 100 >= from_ns).count();
    assert!((due(answered_ns)..=due(moved_ns)).contains(&after.len()), "{} after {moved_ns}", after.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_a_node_that_stands_at_once() {
    let _turn = beside_others().await;
    let (system, address) = nodes_alone(1, &[]).await;
    let mut orders = Orders::new(&system, "e", &address, OPEN);
    orders.run(1, SECOND_NS).await;
    orders.wait_for_second(&system, 1, 1).await;
    orders.obeyed(1, &orders.stop()).await;
    let stopped_ns = orders.run_ns();
    let deltas = orders.wait_for_end(&system, 1).await;
    assert_eq!((planned(&deltas), told(&deltas)), (100, String::new()));
    let last = deltas.iter().map(|delta| delta.last_second).max().unwrap();
    assert!(u64::from(last) <= stopped_ns / SECOND_NS + 1, "{last} s, stopped at {stopped_ns} ns");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_without_an_end_are_given_up_after_the_orphan_limit_and_the_node_says_so() {
    let _turn = beside_others().await;
    let groups = "- target: http://target/\n  users: 2\n  iterations: 100000000\n  think_time: 10ms\n";
    let (system, address) = nodes_alone(1, &["--orphan-limit", "1s"]).await;
    let mut orders = Orders::new(&system, "e", &address, groups);
    orders.run(1, SECOND_NS).await;
    let deltas = orders.wait_for_end(&system, 1).await;
    assert!(told(&deltas).contains("nobody had moved its horizon for 1s (--orphan-limit)"), "{}", told(&deltas));
    assert!(orders.rows(1).await.iter().all(|(_, _, planned_ns, _)| *planned_ns < SECOND_NS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_was_replaced_is_refused_whatever_it_asks() {
    let _turn = beside_others().await;
    let (system, address) = nodes_alone(1, &[]).await;
    let mut orders = Orders::new(&system, "e", &address, OPEN);
    orders.run(1, 2 * SECOND_NS).await;
    // Another daemon has taken the run up.
    orders.token = 9;
    let NodeReply::Standing { attempt: 1, is_started: true, start_at_ns, horizon_ns, taken, .. } =
        orders.order(1, &orders.inquire()).await
    else {
        panic!("it works for the experiment")
    };
    assert_eq!((start_at_ns, horizon_ns, taken), (orders.start_at_ns, 2 * SECOND_NS, Vec::new()));
    orders.token = 5;
    let all = orders.assignments(1, 1);
    for command in [
        orders.prepare(all.clone()),
        orders.start(SECOND_NS),
        orders.extend(60 * SECOND_NS),
        orders.stop(),
        orders.take(1, SECOND_NS, all.clone()),
        orders.inquire(),
    ] {
        let (code, reason) = refusal(orders.order(1, &command).await);
        assert_eq!(code, RefusalCode::Stale, "{reason}");
        assert!(reason.contains("token 5 is older than 9"), "{reason}");
    }
    orders.token = 9;
    orders.obeyed(1, &orders.stop()).await;
    assert!(planned(&orders.wait_for_end(&system, 1).await) <= 200);
    // Nor does it get the node once that is free.
    until("the node is free", async || {
        let nodes = system.nodes().await;
        nodes.iter().all(|node| node.experiment.is_none()).then_some(())
    })
    .await;
    orders.token = 5;
    assert_eq!(refusal(orders.order(1, &orders.prepare(all)).await).0, RefusalCode::Stale);
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_a_lost_node_are_taken_over_from_an_instant_on_and_nothing_is_sent_twice() {
    let _turn = beside_others().await;
    let users = "- name: users\n  target: http://target/\n  users: 6\n  think_time: 20ms\n  duration: 6s\n";
    let (mut system, address) = nodes_alone(2, &["--threads", "2"]).await;
    let mut orders = Orders::new(&system, "e", &address, &format!("{OPEN}{users}"));
    orders.run(2, SECOND_NS).await;
    orders.obeyed(1, &orders.extend(60 * SECOND_NS)).await;
    orders.wait_for_second(&system, 2, 0).await;
    system.clients[1].kill();
    let lost = orders.assignments(2, 2);
    let from_ns = 4 * SECOND_NS;
    let take = orders.take(4, from_ns, lost);
    orders.obeyed(1, &take).await;
    orders.obeyed(1, &take).await;
    assert!(orders.run_ns() < from_ns, "the machine was too slow for this test: {} ns", orders.run_ns());
    let NodeReply::Standing { taken, .. } = orders.order(1, &orders.inquire()).await else { panic!("it runs") };
    assert_eq!(taken, [4]);
    let deltas = orders.wait_for_end(&system, 1).await;
    assert_eq!(told(&deltas), "");
    // Its watch covers the threads that came later: no second has a hole, and their gauges come down.
    assert!(deltas.iter().all(|delta| !delta.last || delta.steps.iter().all(|step| step.in_flight == 0)));
    let rows = orders.rows(1).await;
    assert_eq!(planned(&deltas), rows.len() as u64);
    let open: BTreeSet<u64> = rows.iter().filter(|row| row.0 == 0).map(|row| row.1).collect();
    // 100/s: its own half of all, and of the other half what is planned from the fourth second on.
    assert_eq!(open, (0..600).filter(|index| index % 2 == 0 || *index >= 400).collect());
    assert_eq!(open.len(), rows.iter().filter(|row| row.0 == 0).count(), "none twice");
    // Users 1, 3 and 5 begin then, and repeat none of the iterations that they may have had there.
    let moved: Vec<_> = rows.iter().filter(|row| row.0 == 1 && row.1 % 2 == 1).collect();
    assert!(moved.len() > 50, "{}", moved.len());
    assert!(moved.iter().all(|row| row.2 >= from_ns && row.1 >= 6 * 4_000_001), "{moved:?}");
    assert_eq!(moved.iter().map(|row| row.1).collect::<BTreeSet<_>>().len(), moved.len());
    // The lost node had sent what was planned within its horizon.
    let counted = stub_stats(&address).requests;
    let elsewhere = counted - rows.len() as u64;
    assert!(elsewhere >= 50, "{elsewhere}");
    let (code, reason) = refusal(orders.order(1, &orders.take(5, from_ns, Vec::new())).await);
    assert_eq!(code, RefusalCode::Unknown, "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_too_late_to_be_ready_in_time_is_not_offered_late() {
    let _turn = beside_others().await;
    let (system, address) = nodes_alone(1, &[]).await;
    let mut orders = Orders::new(&system, "e", &address, OPEN);
    let [own, lost] = [1, 2].map(|number| orders.assignments(number, 2));
    orders.obeyed(1, &orders.prepare(own)).await;
    orders.start_at_ns = monotonic_ns() + SECOND_NS / 2;
    orders.obeyed(1, &orders.start(60 * SECOND_NS)).await;
    orders.wait_for_second(&system, 1, 1).await;
    let asked_ns = orders.run_ns();
    orders.obeyed(1, &orders.take(1, SECOND_NS / 2, lost)).await;
    orders.wait_for_end(&system, 1).await;
    let moved: Vec<_> = orders.rows(1).await.into_iter().filter(|row| row.1 % 2 == 1).collect();
    assert!(moved.iter().all(|row| row.2 >= asked_ns), "{moved:?}");
    assert!(moved.iter().any(|row| row.1 == 599), "{moved:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_takes_no_more_shards_over_than_its_caps_allow() {
    let _turn = beside_others().await;
    let (system, address) = nodes_alone(1, &["--max-rate", "99"]).await;
    let mut orders = Orders::new(&system, "e", &address, OPEN);
    let [own, lost] = [1, 2].map(|number| orders.assignments(number, 2));
    orders.obeyed(1, &orders.prepare(own)).await;
    orders.start_at_ns = monotonic_ns() + SECOND_NS / 2;
    orders.obeyed(1, &orders.start(60 * SECOND_NS)).await;
    let (code, reason) = refusal(orders.order(1, &orders.take(1, SECOND_NS, lost.clone())).await);
    assert_eq!(code, RefusalCode::Unfit, "{reason}");
    assert!(reason.contains("100 is over this node's share of the rate") && reason.contains("--max-rate"), "{reason}");
    // A part of them fits.
    let fewer = vec![GroupAssignment { owned: assign(&[1; 16]).unwrap().owned[1].clone(), ..lost[0].clone() }];
    orders.obeyed(1, &orders.take(2, SECOND_NS, fewer)).await;
    let NodeReply::Standing { taken, .. } = orders.order(1, &orders.inquire()).await else { panic!("it runs") };
    assert_eq!(taken, [2]);
    orders.obeyed(1, &orders.stop()).await;
    orders.wait_for_end(&system, 1).await;
    assert!(orders.rows(1).await.iter().all(|row| row.1 % 2 == 0 || row.1 % 16 == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_experiment_that_it_does_not_work_for_a_node_says_so() {
    let _turn = beside_others().await;
    let (system, address) = nodes_alone(1, &[]).await;
    let orders = Orders::new(&system, "e", &address, OPEN);
    let (code, reason) = refusal(orders.order(1, &orders.inquire()).await);
    assert_eq!((code, reason.contains("does not work for experiment e")), (RefusalCode::Unknown, true), "{reason}");
    orders.obeyed(1, &orders.prepare(orders.assignments(1, 1))).await;
    let NodeReply::Standing { is_started: false, start_at_ns: 0, .. } = orders.order(1, &orders.inquire()).await else {
        panic!("it is ready")
    };
    tokio::time::timeout(Duration::from_secs(10), orders.obeyed(1, &orders.stop())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_works_for_one_experiment_says_by_a_code_that_it_is_busy() {
    let _turn = beside_others().await;
    let (system, address) = nodes_alone(1, &[]).await;
    let orders = Orders::new(&system, "first", &address, OPEN);
    let all = orders.assignments(1, 1);
    orders.obeyed(1, &orders.prepare(all.clone())).await;
    let other = Orders::new(&system, "second", &address, OPEN);
    for command in [other.prepare(all.clone()), orders.prepare(all.clone())] {
        let (code, reason) = refusal(orders.order(1, &command).await);
        assert_eq!((code, reason.contains("experiment first")), (RefusalCode::Busy, true), "{reason}");
        assert!(!code.is_final(), "another node, or the same one later, may do it");
    }
    orders.obeyed(1, &orders.stop()).await;
    until("the node is free", async || {
        let nodes = system.nodes().await;
        nodes.iter().all(|node| node.experiment.is_none()).then_some(())
    })
    .await;
    other.obeyed(1, &other.prepare(all)).await;
    other.obeyed(1, &other.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sees_a_node_in_the_registry_is_answered_by_it_at_the_first_try() {
    let _turn = beside_others().await;
    let (mut system, address) = nodes_alone(0, &[]).await;
    let orders = Orders::new(&system, "e", &address, OPEN);
    let mut watch = registry::watch_nodes(&system.bus).await.unwrap();
    for number in 1..=5 {
        system.start_client(&format!("n{number}"), &[]);
        let wanted = format!("n{number}");
        loop {
            match tokio::time::timeout(PATIENCE, watch.next()).await.unwrap().unwrap() {
                NodeEvent::Joined { name, .. } if name == wanted => break,
                NodeEvent::Joined { .. } | NodeEvent::Updated { .. } | NodeEvent::Left { .. } | NodeEvent::Current => {}
            }
        }
        assert_eq!(refusal(orders.order(number, &orders.inquire()).await).0, RefusalCode::Unknown);
        let ping = system.bus.namespace().node_ping(&wanted);
        clock::measure_offset(&system.bus, &ping, 1, monotonic_ns, PATIENCE).await.unwrap();
    }
}
