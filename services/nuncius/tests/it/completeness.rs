//! What is promised to be whole is whole, or the report says what is missing; a run lasts as long as it says.

use nuncius_schemas::report::Report;
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_store::Store;

use crate::harness::{System, beside_others, open_spec, stub_stats, until};

/// When it got a status, milliseconds since the Unix epoch.
fn since(report: &Report, status: RunStatus) -> u64 {
    report.events.iter().find(|event| event.status == Some(status)).map(|event| event.at_unix_ms).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_its_record_and_every_delta_its_place_on_servers_with_small_messages() {
    let _turn = beside_others().await;
    for max_payload_bytes in [8_192, 16_384] {
        let configuration = format!("max_payload: {max_payload_bytes}");
        let mut system = System::start_with(2, Vec::new(), &configuration, &[]).await;
        let address = system.start_stub(&["--service-time", "exponential:20ms"]);
        let more = "records: all\ngates: ['failures < 20%']";
        system.publish(open_spec("kept", &address, "1500/s", "4s", more).as_bytes()).await;
        let record = system.wait_for_end("kept").await;
        let report = system.report("kept").await;
        let told = format!("{:?}", report.reasons);
        assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{told}");
        let counted = stub_stats(&address).requests;
        assert_eq!((report.offered, counted), (6_000, 6_000), "{told}");
        let store = Store::open(system.data().join("nuncius.db")).await.unwrap();
        assert_eq!(store.record_count("kept").await.unwrap(), counted);
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_do_not_arrive_make_the_run_invalid_with_their_number() {
    let _turn = beside_others().await;
    let mut system = System::start(2).await;
    let address = system.start_stub(&[]);
    let more = "records: all\ngates: ['failures < 20%']";
    system.publish(open_spec("holed", &address, "100/s", "9s", more).as_bytes()).await;
    // A batch that came while nobody read it vanishes from the stream.
    let namespace = system.bus.namespace().clone();
    let (stream, subject) = (namespace.stream_trace(), namespace.trace("holed", "n1"));
    let last = async || system.bus.last_sequence_of(&stream, &subject).await.unwrap();
    until("a batch has come", last).await;
    system.daemon.as_mut().unwrap().kill();
    let before = last().await;
    let unread = until("another one has come", async || last().await.filter(|last| Some(*last) > before)).await;
    assert!(system.bus.delete_message(&stream, unread).await.unwrap());
    system.start_daemon();
    let record = system.wait_for_end("holed").await;
    let report = system.report("holed").await;
    let told = format!("{:?}", report.reasons);
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Invalid)), "{told}");
    let store = Store::open(system.data().join("nuncius.db")).await.unwrap();
    let missing = stub_stats(&address).requests - store.record_count("holed").await.unwrap();
    store.close().await;
    assert!(missing > 0, "{told}");
    let of = report.nodes.iter().find(|node| node.name == "n1").unwrap().offered;
    let text = format!("{missing} of {of} request records of node n1 are missing");
    assert!(report.reasons.iter().any(|reason| reason.contains(&text)), "{text}: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_last_stage_has_no_rate_lasts_to_the_end_of_that_stage() {
    let _turn = beside_others().await;
    let mut system = System::start(2).await;
    let address = system.start_stub(&[]);
    let stages = "  stages: [{rate: 40/s, duration: 1s}, {rate: 0/s, duration: 3s}]\n";
    let spec = open_spec("cooling", &address, "1/s", "1s", "gates: ['failures < 20%']")
        .replace("  rate: 1/s\n  duration: 1s\n", stages);
    system.publish(spec.as_bytes()).await;
    let record = system.wait_for_end("cooling").await;
    let report = system.report("cooling").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
    assert_eq!((report.offered, stub_stats(&address).requests), (40, 40));
    // Rates are of the second in which there was load; the run lasts for all four.
    assert!((report.offered_seconds - 1.0).abs() < 1e-9, "{}", report.offered_seconds);
    let lasted_ms = since(&report, RunStatus::Draining) - report.started_unix_ms.unwrap();
    assert!(lasted_ms >= 4_000, "{lasted_ms}");
    // The nodes stay, and say how they fare, as long as the run lasts.
    let last = report.nodes.iter().map(|node| node.deltas).min().unwrap();
    assert!(last >= 4, "{:?}", report.nodes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nodes_caps_hold_for_all_groups_of_an_experiment_together() {
    let _turn = beside_others().await;
    let mut system = System::start(0).await;
    system.start_client("capped", &["--max-rate", "100"]);
    system.wait_for_nodes(2).await;
    let address = system.start_stub(&[]);
    let group = |rate: u32| format!("- target: http://target/\n  rate: {rate}/s\n  duration: 1s\n");
    let spec = |id: &str, rate: u32| {
        let groups: String =
            (1..=3).map(|n| group(rate).replace("- target", &format!("- name: g{n}\n  target"))).collect();
        let head = open_spec(id, &address, "1/s", "1s", "gates: ['failures < 20%']");
        format!("{}groups:\n{groups}", head.split("groups:").next().unwrap())
    };
    system.publish(spec("over", 40).as_bytes()).await;
    let over = system.wait_for_end("over").await;
    assert_eq!(over.status, RunStatus::Failed);
    let reason = over.reason.unwrap();
    assert!(reason.contains("--max-rate") && reason.contains("120"), "{reason}");
    assert_eq!(stub_stats(&address).requests, 0);
    system.publish(spec("within", 30).as_bytes()).await;
    let within = system.wait_for_end("within").await;
    let told = system.report("within").await.reasons;
    assert_eq!((within.status, within.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{told:?}");
    assert_eq!(stub_stats(&address).requests, 90);
}
