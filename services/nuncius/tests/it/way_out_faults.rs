//! A collector that is away, slow, refusing, silent or failing touches no load, and is back as soon as it is back.

use std::net::SocketAddr;
use std::time::Duration;

use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_schemas::subjects::{HEADER_CONTENT_TYPE, Signal};
use nuncius_testkit::{Manner, OtlpReceiver, Proxy, TempDir, spans_message};

use crate::harness::{System, beside_others, open_spec, stub_stats, until};
use crate::way_out_harness::{Gateway, all_came, came, nothing_waits, publish_spans};

/// Two ways in which a collector is spoken to.
const PROTOCOLS: [&str; 2] = ["http/protobuf", "grpc"];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_the_matter_with_the_collector_all_arrives_once_it_is_well() {
    let system = System::start(0).await;
    for protocol in PROTOCOLS {
        let receiver = OtlpReceiver::start().await.unwrap();
        let target: SocketAddr = receiver.endpoint().trim_start_matches("http://").parse().unwrap();
        let link = Proxy::start(target).unwrap();
        let endpoint = format!("http://{}", link.address());
        let mut gateway = Gateway::start(
            &system,
            "g1",
            &[
                "--otlp-endpoint",
                &endpoint,
                "--otlp-protocol",
                protocol,
                "--otlp-timeout",
                "1s",
                "--otlp-signals",
                "traces",
                "--retry-pause",
                "20ms",
                "--retry-pause-max",
                "100ms",
                "--takeover",
                "2s",
            ],
        );
        let failed = || gateway.shows("nuncius_gateway_export_errors_total", &[("signal", "traces")]);
        let troubles = [
            ("unavailable", Manner::Answers { status: 503, retry_after: None }),
            ("busy", Manner::Answers { status: 429, retry_after: Some(Duration::from_secs(1)) }),
            ("silent", Manner::Silent),
            ("slow", Manner::Slow(Duration::from_secs(3))),
        ];
        for (trouble, manner) in troubles {
            receiver.behave(manner);
            let before = failed();
            publish_spans(&system.bus, trouble, 0..20, 10).await;
            until("requests fail", async || (failed() >= before + 2).then_some(())).await;
            receiver.behave(Manner::Takes);
            all_came(&receiver, trouble, 20).await;
        }
        // Away for a time, behind a link that is half open, and cut in the middle.
        receiver.go_away().await;
        let before = failed();
        publish_spans(&system.bus, "away", 0..20, 10).await;
        until("requests fail", async || (failed() >= before + 2).then_some(())).await;
        receiver.come_back().await.unwrap();
        all_came(&receiver, "away", 20).await;
        link.stall();
        let before = failed();
        publish_spans(&system.bus, "stalled", 0..20, 10).await;
        until("requests fail", async || (failed() >= before + 2).then_some(())).await;
        link.cut();
        publish_spans(&system.bus, "cut", 0..20, 10).await;
        link.restore();
        all_came(&receiver, "stalled", 20).await;
        all_came(&receiver, "cut", 20).await;
        nothing_waits(&system.bus).await;
        for reason in ["full", "refused", "malformed"] {
            assert_eq!(gateway.dropped(Signal::Traces, reason), 0, "{reason}");
        }
        // A partial success is one: nothing is sent again.
        receiver.behave(Manner::Rejects(3));
        let before = failed();
        publish_spans(&system.bus, "partly", 0..5, 10).await;
        all_came(&receiver, "partly", 5).await;
        nothing_waits(&system.bus).await;
        until("what it did not want is counted", async || {
            let rejected = gateway.shows("nuncius_gateway_rejected_items_total", &[("signal", "traces")]);
            (rejected >= 3).then_some(())
        })
        .await;
        assert!(failed() > before || came(&receiver, "partly").values().all(|times| *times == 1));
        gateway.process.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_answers_errors_all_the_while_costs_the_load_nothing_and_memory_little() {
    let _turn = beside_others().await;
    let mut system = System::start(2).await;
    let address = system.start_stub(&[]);
    let receiver = OtlpReceiver::start().await.unwrap();
    receiver.behave(Manner::Answers { status: 503, retry_after: None });
    let spool = 512 << 10;
    let gateway = Gateway::to(&system, "g1", &receiver, &["--spool", "512KiB", "--otlp-batch", "64KiB"]);
    let more = "trace_ratio: 1.0\ngates: ['failures < 20%']";
    system.publish(open_spec("traced", &address, "400/s", "5s", more).as_bytes()).await;
    // Beside it somebody floods the bus with telemetry.
    let before_bytes = gateway.resident_bytes();
    publish_spans(&system.bus, "flood", 0..2_000, 16 << 10).await;
    let record = system.wait_for_end("traced").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", record.reason);
    let report = system.report("traced").await;
    assert_eq!((report.scheduled, report.offered, stub_stats(&address).requests), (2_000, 2_000, 2_000));
    let step = &report.groups[0].steps[0];
    assert_eq!((step.succeeded, step.failed, step.censored), (2_000, 0, 0));

    until("the oldest have gone", async || (gateway.dropped(Signal::Traces, "full") > 1_000).then_some(())).await;
    let waiting = gateway.shows("nuncius_gateway_spool_bytes", &[("signal", "traces")]);
    assert!(waiting <= spool, "{waiting} bytes wait");
    let grown_bytes = gateway.resident_bytes().saturating_sub(before_bytes);
    assert!(grown_bytes < 48 << 20, "{} MiB more", grown_bytes >> 20);

    publish_spans(&system.bus, "newest", 0..1, 10).await;
    receiver.behave(Manner::Takes);
    nothing_waits(&system.bus).await;
    until("everything is accounted for", async || {
        let received = gateway.shows("nuncius_gateway_otlp_messages_total", &[("signal", "traces")]);
        let ended = gateway.exported(Signal::Traces) + gateway.dropped(Signal::Traces, "full");
        (received == ended).then_some(())
    })
    .await;
    all_came(&receiver, "newest", 1).await;
    let arrived = came(&receiver, "flood");
    assert!(arrived.values().all(|times| *times == 1));
    publish_spans(&system.bus, "afterwards", 0..10, 10).await;
    all_came(&receiver, "afterwards", 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_collector_refuses_or_no_collector_can_read_is_dropped_alone_and_counted() {
    let system = System::start(0).await;
    let receiver = OtlpReceiver::start().await.unwrap();
    let gateway = Gateway::to(&system, "g1", &receiver, &["--otlp-signals", "traces"]);
    // What goes out together may hold one message that spoils it: the receiver cannot read what is inside.
    receiver.behave(Manner::Answers { status: 503, retry_after: None });
    publish_spans(&system.bus, "good", 0..10, 10).await;
    let spoilt = bytes::Bytes::from_static(b"\x0a\x03\x12\x7fx");
    system.bus.publish_otlp(Signal::Traces, spoilt).await.unwrap();
    publish_spans(&system.bus, "good", 10..20, 10).await;
    let subject = system.bus.namespace().otlp(Signal::Traces);
    let json = nuncius_bus::Headers::new().with(HEADER_CONTENT_TYPE, "application/json");
    system.bus.publish(&subject, &json, "{\"resourceSpans\":[]}".into()).await.unwrap();
    system.bus.publish(&subject, &nuncius_bus::Headers::new(), "no telemetry at all".into()).await.unwrap();
    // Foreign publishers need say nothing of the content.
    let foreign = spans_message("foreign", 9, &["plain-0-".to_owned()]);
    system.bus.publish(&subject, &nuncius_bus::Headers::new(), foreign.into()).await.unwrap();
    until("all have been heard", async || (gateway.dropped(Signal::Traces, "malformed") == 1).then_some(())).await;
    receiver.behave(Manner::Takes);
    all_came(&receiver, "good", 20).await;
    all_came(&receiver, "plain", 1).await;
    nothing_waits(&system.bus).await;
    for reason in ["json", "malformed", "refused"] {
        until("it is counted", async || (gateway.dropped(Signal::Traces, reason) == 1).then_some(())).await;
    }
    assert!(came(&receiver, "good").values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_loses_nothing_that_was_not_delivered() {
    let mut system = System::start(0).await;
    let receiver = OtlpReceiver::start().await.unwrap();
    receiver.behave(Manner::Silent);
    let mut gateway = Gateway::to(&system, "g1", &receiver, &["--otlp-signals", "traces"]);
    publish_spans(&system.bus, "held", 0..100, 100).await;
    until("it has them", async || {
        (gateway.shows("nuncius_gateway_spool_messages", &[("signal", "traces")]) == 100).then_some(())
    })
    .await;
    gateway.process.kill();
    receiver.behave(Manner::Takes);
    publish_spans(&system.bus, "held", 100..150, 100).await;
    let gateway = Gateway::to(&system, "g1", &receiver, &["--otlp-signals", "traces"]);
    all_came(&receiver, "held", 150).await;
    // The bus, too, may die and come back, with a collector that is away meanwhile.
    receiver.go_away().await;
    publish_spans(&system.bus, "over", 0..50, 100).await;
    until("it has them", async || {
        (gateway.shows("nuncius_gateway_spool_messages", &[("signal", "traces")]) == 50).then_some(())
    })
    .await;
    let mut link = system.bus.link();
    let before = link.borrow().generation;
    system.server.kill();
    system.server.restart().await.unwrap();
    link.wait_for(|link| link.generation > before && link.since.is_some()).await.unwrap();
    publish_spans(&system.bus, "over", 50..100, 100).await;
    receiver.come_back().await.unwrap();
    all_came(&receiver, "over", 100).await;
    nothing_waits(&system.bus).await;
    assert_eq!(gateway.dropped(Signal::Traces, "full"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_memory_cannot_hold_waits_on_disk_and_outlives_the_gateway() {
    let system = System::start(0).await;
    let receiver = OtlpReceiver::start().await.unwrap();
    receiver.go_away().await;
    let place = TempDir::new("spool").unwrap();
    let directory = place.path().join("spool").to_str().unwrap().to_owned();
    let arguments = [
        "--otlp-signals",
        "traces",
        "--spool",
        "64KiB",
        "--spool-directory",
        &directory,
        "--spool-directory-max",
        "10MiB",
    ];
    let mut gateway = Gateway::to(&system, "g1", &receiver, &arguments);
    publish_spans(&system.bus, "kept", 0..500, 4 << 10).await;
    until("it has all of them", async || {
        (gateway.shows("nuncius_gateway_spool_messages", &[("signal", "traces")]) == 500).then_some(())
    })
    .await;
    assert!(gateway.shows("nuncius_gateway_spool_bytes", &[("signal", "traces")]) <= 64 << 10);
    assert_eq!(gateway.dropped(Signal::Traces, "full"), 0);
    let files = std::fs::read_dir(&directory).unwrap().count();
    assert!(files > 400, "{files}");
    // Nobody else may use it meanwhile.
    let mut second = system.command(&[
        "gateway",
        "--name",
        "g2",
        "--listen",
        "127.0.0.1:0",
        "--otlp-endpoint",
        &receiver.endpoint(),
    ]);
    let refused = second.args(["--spool-directory", &directory]).output().unwrap();
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && error.contains("another gateway"), "{error}");
    gateway.process.kill();
    receiver.come_back().await.unwrap();
    let _gateway = Gateway::to(&system, "g1", &receiver, &arguments);
    all_came(&receiver, "kept", 500).await;
    nothing_waits(&system.bus).await;
    until("the files are gone", async || (std::fs::read_dir(&directory).unwrap().count() == 1).then_some(())).await;
}
