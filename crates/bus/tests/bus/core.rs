use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::{BusError, ConnectOptions, Headers, clock, connect, extract, inject};
use nuncius_testkit::{Proxy, TestServer, free_port};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};

use crate::support::{bytes, none, server_and_bus, soon};

#[tokio::test]
async fn a_request_without_listener_is_told_apart_from_one_without_answer() {
    let (_server, bus) = server_and_bus().await;
    let timeout = Duration::from_millis(80);
    let nobody = bus.request("nobody.home", &none(), Bytes::new(), timeout).await.unwrap_err();
    assert_eq!(nobody, BusError::NoResponders { subject: "nobody.home".into() });
    let mut mute = bus.subscribe("mute").await.unwrap();
    let silent = bus.request("mute", &none(), Bytes::new(), timeout).await.unwrap_err();
    assert_eq!(silent, BusError::Timeout { what: "mute".into(), after: timeout });
    let question = soon(mute.next()).await.unwrap();
    assert!(question.reply.is_some());
}

#[tokio::test]
async fn a_queue_group_answers_once_and_headers_travel() {
    let (_server, bus) = server_and_bus().await;
    let mut one = bus.queue_subscribe("ask", "q").await.unwrap();
    let mut two = bus.queue_subscribe("ask", "q").await.unwrap();
    let answering = tokio::spawn(async move {
        tokio::select! { question = one.next() => question, question = two.next() => question }
    });
    let headers = Headers::new().with("Nuncius-Schema", "job.v1");
    let asking = bus.request("ask", &headers, bytes("?"), Duration::from_secs(5));
    let answered = async {
        let question = answering.await.unwrap().unwrap();
        question.respond(&question.headers, bytes("!")).await.unwrap();
    };
    let (answer, ()) = tokio::join!(asking, answered);
    let answer = answer.unwrap();
    assert_eq!((&answer.payload[..], answer.headers.get("Nuncius-Schema")), (&b"!"[..], Some("job.v1")));
}

#[tokio::test]
async fn a_too_large_payload_is_refused_with_the_limit() {
    let server = TestServer::start_with("max_payload: 1024").await.unwrap();
    let bus = crate::support::client(&server).await;
    let big = Bytes::from(vec![0; 2000]);
    let limit = |error: BusError| match error {
        BusError::PayloadTooLarge { limit_bytes, size_bytes, .. } => (size_bytes, limit_bytes),
        other => panic!("{other}"),
    };
    assert_eq!(limit(bus.publish("a", &none(), big.clone()).await.unwrap_err()), (2000, 1024));
    let asked = bus.request("a", &none(), big.clone(), Duration::from_secs(1)).await;
    assert_eq!(limit(asked.unwrap_err()), (2000, 1024));
    assert_eq!(limit(bus.publish_acked("a", &none(), big, None, None).await.unwrap_err()).1, 1024);
}

#[tokio::test]
async fn what_was_told_into_a_connection_that_broke_is_heard_through_the_next() {
    let (server, near) = server_and_bus().await;
    let link = Proxy::start(([127, 0, 0, 1], server.port()).into()).unwrap();
    let options = ConnectOptions { urls: vec![link.url()], name: "far".into(), ..ConnectOptions::default() };
    let far = connect(options).await.unwrap();
    let mut heard = near.subscribe("told").await.unwrap();
    near.flush().await.unwrap();
    far.tell("told", &none(), bytes("before")).await.unwrap();
    assert_eq!(soon(heard.next()).await.unwrap().payload, bytes("before"));
    link.stall();
    far.tell("told", &Headers::new().with("A", "1"), bytes("into the void")).await.unwrap();
    far.flush().await.unwrap();
    link.drop_connections();
    link.restore();
    let mut all = Vec::new();
    while all.last().is_none_or(|(payload, _)| *payload != bytes("into the void")) {
        let message = soon(heard.next()).await.unwrap();
        all.push((message.payload, message.headers.get("A").map(str::to_owned)));
    }
    assert_eq!(all.last().unwrap().1.as_deref(), Some("1"));
}

#[tokio::test]
async fn trace_context_survives_the_journey() {
    opentelemetry::global::set_text_map_propagator(opentelemetry_sdk::propagation::TraceContextPropagator::new());
    let (_server, bus) = server_and_bus().await;
    let sent = SpanContext::new(
        TraceId::from(0x1234_u128),
        SpanId::from(0x56_u64),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    let mut headers = none();
    inject(&opentelemetry::Context::new().with_remote_span_context(sent.clone()), &mut headers);
    assert!(headers.get("traceparent").is_some(), "{headers:?}");
    let mut received = bus.subscribe("traced").await.unwrap();
    bus.publish("traced", &headers, Bytes::new()).await.unwrap();
    let message = soon(received.next()).await.unwrap();
    let context = extract(&message.headers);
    let span = context.span().span_context().clone();
    assert_eq!((span.trace_id(), span.span_id(), span.is_sampled()), (sent.trace_id(), sent.span_id(), true));
    assert!(!extract(&none()).span().span_context().is_valid());
}

/// More than any measurement here takes.
const LIMIT: Duration = Duration::from_secs(10);

fn shifted() -> u64 {
    clock::monotonic_ns() + 5_000_000_000
}

#[tokio::test]
async fn a_clock_offset_is_right_within_its_bound() {
    let (_server, bus) = server_and_bus().await;
    let _responder = clock::answer_pings_with(&bus, "node.a.ping", shifted).await.unwrap();
    let offset = clock::measure_offset(&bus, "node.a.ping", clock::SAMPLES, clock::monotonic_ns, LIMIT).await.unwrap();
    let error_ns = (offset.offset_ns - 5_000_000_000).unsigned_abs();
    assert!(error_ns <= offset.error_ns, "{offset:?}");
    assert!(offset.error_ns < 100_000_000, "{offset:?}");
    assert!(offset.remote_unix_ns.abs_diff(clock::unix_ns()) < 60_000_000_000);
    let nobody = clock::measure_offset(&bus, "node.b.ping", 1, clock::monotonic_ns, LIMIT).await;
    assert!(matches!(nobody, Err(BusError::NoResponders { .. })));
}

#[tokio::test]
async fn a_clock_that_stops_answering_is_given_up_after_one_deadline_for_all_samples() {
    let (_server, bus) = server_and_bus().await;
    // Somebody who listens and is silent, as a stopped process is.
    let _silent = bus.subscribe("node.c.ping").await.unwrap();
    bus.flush().await.unwrap();
    let limit = Duration::from_millis(200);
    let begun = std::time::Instant::now();
    let measured = clock::measure_offset(&bus, "node.c.ping", clock::SAMPLES, clock::monotonic_ns, limit).await;
    assert!(matches!(measured, Err(BusError::Timeout { .. })), "{measured:?}");
    assert!((limit..5 * limit).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_lost_connection_is_counted_and_comes_back() {
    let (mut server, bus) = server_and_bus().await;
    assert!(bus.connected_for() > Duration::ZERO);
    let before = bus.link().borrow().generation;
    server.kill();
    let mut link = bus.link();
    soon(link.wait_for(|link| link.since.is_none())).await.unwrap();
    assert_eq!(bus.connected_for(), Duration::ZERO);
    server.restart().await.unwrap();
    soon(bus.connected()).await;
    assert_eq!(bus.link().borrow().generation, before + 1);
    assert_eq!(bus.events().disconnected.load(Ordering::Relaxed), 1);
    bus.drain_and_close().await.unwrap();
    let late = bus.request("x", &none(), Bytes::new(), Duration::from_millis(50)).await;
    assert!(late.is_err());
}

#[tokio::test]
async fn the_first_connection_is_tried_once_unless_asked_otherwise() {
    let options = |port: u16, credentials: &str, retry: bool| ConnectOptions {
        urls: vec![format!("nats://{credentials}127.0.0.1:{port}")],
        retry_initial_connect: retry,
        ..ConnectOptions::default()
    };
    let port = free_port().unwrap();
    let error = connect(options(port, "user:secret@", false)).await.unwrap_err();
    assert!(matches!(error, BusError::Connect { .. }));
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_eq!(connect(options(port, "", true)).await.unwrap().connected_for(), Duration::ZERO);

    let server = TestServer::start_with(
        "accounts { A { jetstream: enabled, users: [ { user: u, password: \"p@ss\" } ] } }\nno_auth_user: u",
    )
    .await
    .unwrap();
    let bus = connect(options(server.port(), "u:p%40ss@", false)).await.unwrap();
    assert!(bus.last_sequence("none").await.is_err());
    assert!(connect(options(server.port(), "u:wrong@", false)).await.is_err());
}

#[tokio::test]
async fn a_service_answers_to_the_service_api_until_it_stops() {
    let (_server, bus) = server_and_bus().await;
    let no_headers = none();
    let ask = |subject: &'static str| bus.request(subject, &no_headers, Bytes::new(), Duration::from_secs(2));
    let name = bus.namespace().service("client");
    let service = bus.register_service(&name, "0.1.0", "a client", &[("node", "edge-1")]).await.unwrap();
    let info: serde_json::Value =
        serde_json::from_slice(&ask("$SRV.INFO.nuncius-client").await.unwrap().payload).unwrap();
    assert_eq!((info["name"].as_str(), info["version"].as_str()), (Some("nuncius-client"), Some("0.1.0")));
    assert_eq!(info["metadata"]["node"].as_str(), Some("edge-1"));
    let ping: serde_json::Value = serde_json::from_slice(&ask("$SRV.PING").await.unwrap().payload).unwrap();
    assert_eq!(ping["id"].as_str(), Some(service.id()));
    service.stop().await;
    let gone = nuncius_testkit::eventually(Duration::from_secs(5), || async {
        let asked = bus.request("$SRV.PING", &none(), Bytes::new(), Duration::from_millis(100)).await;
        matches!(asked, Err(BusError::NoResponders { .. })).then_some(())
    });
    assert_eq!(gone.await, Some(()));
}
