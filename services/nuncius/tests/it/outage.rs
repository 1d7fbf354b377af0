//! The bus is away in mid-run: a horizon that bears the outage makes nothing of it, and the report is that of an
//! undisturbed run.

use std::time::Duration;

use crate::harness::{System, beside_others, open_spec, stub_stats};
use crate::succession::assert_undisturbed;

/// What happens to nats-server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    /// It dies and comes back with its store.
    Killed,
    /// It stands still, with all connections open.
    Frozen,
}

/// Requests a second.
const RATE: u64 = 200;

/// A run of `run_seconds` whose bus is away for `away_seconds` of them.
async fn passes(outage: Outage, away_seconds: u64, horizon: &str, run_seconds: u64) {
    let mut system = System::start(2).await;
    let address = system.start_stub(&[]);
    let more = format!("records: all\nhorizon: {horizon}");
    let spec = open_spec("bears-it", &address, &format!("{RATE}/s"), &format!("{run_seconds}s"), &more);
    system.publish(spec.as_bytes()).await;
    system.wait_for_requests(2 * RATE).await;
    match outage {
        Outage::Killed => system.server.kill(),
        Outage::Frozen => system.server.pause(),
    }
    tokio::time::sleep(Duration::from_secs(away_seconds)).await;
    // Nobody has waited for it.
    assert!(stub_stats(&address).requests >= RATE * (away_seconds + 1), "load went on: {outage:?}");
    match outage {
        Outage::Killed => system.server.restart().await.unwrap(),
        Outage::Frozen => system.server.resume(),
    }
    let report = assert_undisturbed(&system, "bears-it", RATE * run_seconds).await;
    assert_eq!(stub_stats(&address).requests, RATE * run_seconds, "{outage:?}");
    assert_eq!(report.unaccounted, 0, "{outage:?}");
    assert!(report.nodes.iter().all(|node| node.lost.is_none()), "{outage:?}: {:?}", report.nodes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_for_three_seconds_costs_a_run_nothing() {
    let _turn = beside_others().await;
    passes(Outage::Killed, 3, "7s", 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_frozen_for_three_seconds_costs_a_run_nothing() {
    let _turn = beside_others().await;
    passes(Outage::Frozen, 3, "7s", 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_for_fifteen_seconds_costs_a_run_with_a_horizon_of_twenty_nothing() {
    let _turn = beside_others().await;
    tokio::join!(passes(Outage::Killed, 15, "20s", 18), passes(Outage::Frozen, 15, "20s", 18));
}
