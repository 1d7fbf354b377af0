//! A thousand runs may follow each other: what the bus keeps is bounded, and none of them pays for those before.

use nuncius_bus::streams::{StreamLimits, ensure_streams_with};
use nuncius_schemas::run::Verdict;
use nuncius_store::Store;

use crate::harness::{System, beside_others, open_spec, until};

/// Runs that follow each other.
const RUNS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_follow_each_other_past_the_limits_of_the_streams_all_have_whole_reports() {
    let _turn = beside_others().await;
    let settings = ["--stream-retention", "1ms", "--reconcile-period", "200ms"];
    let mut system = System::start_with(1, Vec::new(), "", &settings).await;
    let address = system.start_stub(&[]);
    // Room for a few runs each. Whoever starts after this would give them their usual size again.
    let limits = StreamLimits {
        event_bytes: 16 << 10,
        second_bytes: 32 << 10,
        artifact_bytes: 64 << 10,
        ..StreamLimits::default()
    };
    ensure_streams_with(&system.bus, &limits).await.unwrap();
    for number in 1..=RUNS {
        let id = format!("run-{number}");
        system.publish(open_spec(&id, &address, "400/s", "1s", "").as_bytes()).await;
        let record = system.wait_for_end(&id).await;
        assert_eq!(record.verdict, Some(Verdict::Pass), "{record:?}");
        let report = system.report(&id).await;
        assert_eq!((report.offered, report.verdict), (400, Some(Verdict::Pass)), "{id}");
        assert_eq!(report.series[0].columns.offered.iter().sum::<u64>(), 400, "{id}");
        assert!(report.events.iter().all(|event| !event.message.contains("not on the bus")), "{:?}", report.events);
    }
    // The bus has the latest reports, the store all of them, and so has whoever asks for one.
    let namespace = system.bus.namespace().clone();
    let objects = system.bus.objects(&namespace.bucket_artifact()).await.unwrap();
    let kept = objects.names().await.unwrap();
    assert!(kept.len() < RUNS && kept.contains(&namespace.artifact_report(&format!("run-{RUNS}"))), "{kept:?}");
    let store = Store::open(system.data().join("nuncius.db")).await.unwrap();
    for number in 1..=RUNS {
        let held = store.held(&format!("run-{number}")).await.unwrap();
        assert!(held.has_report && held.seconds > 0, "run-{number}: {held:?}");
    }
    store.close().await;
    let first = system.output(&["report", "run-1", "--json"]);
    assert!(first.status.success(), "{first:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_left_on_the_bus_that_nobody_needs_goes_after_a_while() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    system.publish(open_spec("left", &address, "400/s", "1s", "records: all").as_bytes()).await;
    system.wait_for_end("left").await;
    let names = system.bus.namespace().clone();
    let left = async || {
        let deltas = system.bus.last_sequence_of(&names.stream_metric(), &names.metric_all("left")).await.unwrap();
        let records = system.bus.last_sequence_of(&names.stream_trace(), &names.trace_all("left")).await.unwrap();
        (deltas, records)
    };
    // A daemon that keeps them for an hour has them now, unless it needs them no longer.
    let mut other = system.command(&["experimentd", "--name", "second", "--stream-retention", "1ms"]);
    let _other = crate::harness::Process::start(&mut other, &system.directory.path().join("second.log"));
    until("they are gone", async || (left().await == (None, None)).then_some(())).await;
}
