use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Instant;

use nuncius_testkit::{OtlpReceiver, Span};
use opentelemetry::trace::Status;

use super::*;
use crate::{SpanKind, SpanRecord, current_traceparent, set_parent, traceparent};

const DEADLINE: Duration = Duration::from_secs(10);

fn prepared(variables: &[(&str, &str)]) -> Result<(Telemetry, tracing::Dispatch), TelemetryError> {
    let environment =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let prepared = prepare(TelemetryOptions {
        service_name: "nuncius-test".to_owned(),
        log_format: LogFormat::Json,
        colour: false,
        log_filter: Some("off".to_owned()),
        resource: vec![("host.name".to_owned(), "here".to_owned())],
        environment: &environment,
    });
    prepared.map(|(telemetry, dispatch, _)| (telemetry, dispatch))
}

/// A receiver on a thread of its own, as a collector is another process.
struct Collector {
    endpoint: String,
    ask: mpsc::Sender<usize>,
    spans: mpsc::Receiver<Option<Vec<Span>>>,
}

impl Collector {
    fn start() -> Self {
        let (ready, endpoint) = mpsc::channel();
        let (ask, asked) = mpsc::channel::<usize>();
        let (answer, spans) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let receiver = runtime.block_on(OtlpReceiver::start()).unwrap();
            ready.send(receiver.endpoint().to_owned()).unwrap();
            while let Ok(count) = asked.recv() {
                let found = runtime.block_on(receiver.wait_for(|spans| spans.len() >= count, DEADLINE));
                answer.send(found).unwrap();
            }
        });
        Self { endpoint: endpoint.recv().unwrap(), ask, spans }
    }

    fn spans(&self, count: usize) -> Vec<Span> {
        self.ask.send(count).unwrap();
        self.spans.recv().unwrap().expect("the spans never came")
    }
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name} in {spans:?}"))
}

#[test]
fn spans_of_a_runtime_with_one_thread_arrive_at_shutdown_with_their_parents() {
    for (protocol, compression) in
        [("http/protobuf", "none"), ("http/protobuf", "gzip"), ("grpc", "none"), ("grpc", "gzip")]
    {
        let collector = Collector::start();
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", compression),
        ];
        let (telemetry, dispatch) = prepared(&variables).unwrap();
        assert!(telemetry.is_exporting());
        let remote = traceparent(0xabc, 0xdef, true);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let inner = runtime.block_on(async {
            let inner = tracing::dispatcher::with_default(&dispatch, || {
                let outer = tracing::info_span!("outer", answer = 42);
                set_parent(&outer, &remote);
                let _entered = outer.enter();
                let inner = tracing::info_span!("inner");
                inner.in_scope(|| current_traceparent().unwrap())
            });
            telemetry.flush_and_shutdown(DEADLINE).unwrap();
            inner
        });
        let spans = collector.spans(2);
        let (outer_span, inner_span) = (named(&spans, "outer"), named(&spans, "inner"));
        assert_eq!(outer_span.trace_id, format!("{:032x}", 0xabc));
        assert_eq!(outer_span.parent_span_id, format!("{:016x}", 0xdef));
        assert_eq!(outer_span.attributes["answer"], "42");
        assert_eq!(outer_span.service_name, "nuncius-test");
        assert_eq!(inner_span.parent_span_id, outer_span.span_id);
        assert_eq!(inner, format!("00-{}-{}-01", inner_span.trace_id, inner_span.span_id));
    }
}

#[test]
fn a_recorded_span_arrives_as_it_was_told() {
    let collector = Collector::start();
    let (telemetry, _dispatch) = prepared(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)]).unwrap();
    let record = SpanRecord {
        parent_span_id: 3,
        attributes: vec![("messaging.system", "nats".into()), ("size", 7i64.into())],
        error: Some("refused".to_owned()),
        ..SpanRecord::new(1, 2, "send nuncius.job.{queue}", SpanKind::Producer, 1_000_000_001, 2_000_000_002)
    };
    telemetry.exporting.as_ref().unwrap().queue.push(record.into_span_data());
    // Without a shutdown: the first span of a batch waits half a second at most.
    let spans = collector.spans(1);
    let span = named(&spans, "send nuncius.job.{queue}");
    assert_eq!(span.trace_id, format!("{:032x}", 1));
    assert_eq!((span.span_id.as_str(), span.parent_span_id.as_str()), ("0000000000000002", "0000000000000003"));
    assert_eq!((span.kind, span.status), (4, 2));
    assert_eq!((span.start_ns, span.end_ns), (1_000_000_001, 2_000_000_002));
    assert_eq!((span.attributes["messaging.system"].as_str(), span.attributes["size"].as_str()), ("nats", "7"));
    telemetry.flush_and_shutdown(DEADLINE).unwrap();
}

#[test]
fn many_spans_at_once_all_arrive() {
    let collector = Collector::start();
    let (telemetry, _dispatch) = prepared(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)]).unwrap();
    let count = 20_000u64;
    for number in 1..=count {
        let record = SpanRecord::new(9, number, "request", SpanKind::Client, number, number + 1);
        telemetry.exporting.as_ref().unwrap().queue.push(record.into_span_data());
    }
    assert_eq!(telemetry.losses(), Losses::default());
    telemetry.flush_and_shutdown(DEADLINE).unwrap();
    assert_eq!(collector.spans(20_000).len(), 20_000);
}

#[test]
fn an_endpoint_that_is_away_or_silent_keeps_nobody_beyond_the_deadline() {
    // One port where nobody listens, one where nobody answers.
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_endpoint = format!("http://{}", silent.local_addr().unwrap());
    for endpoint in [&closed, &silent_endpoint] {
        let (telemetry, dispatch) = prepared(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())]).unwrap();
        tracing::dispatcher::with_default(&dispatch, || tracing::info_span!("lost").in_scope(|| {}));
        let begun = Instant::now();
        let deadline = Duration::from_millis(300);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let result = runtime.block_on(async { telemetry.flush_and_shutdown(deadline) });
        assert!(begun.elapsed() < Duration::from_secs(3), "{endpoint}: {:?}", begun.elapsed());
        assert!(
            matches!(result, Err(TelemetryError::Deadline { unsent: 1, .. } | TelemetryError::Lost { spans: 1, .. })),
            "{endpoint}: {result:?}"
        );
    }
}

/// Reads one HTTP request, answers 200, returns its head and body.
fn one_request(listener: &TcpListener) -> (String, Vec<u8>) {
    let (mut stream, _): (TcpStream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut read = Vec::new();
    let mut byte = [0u8; 1];
    while !read.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        read.push(byte[0]);
    }
    let head = String::from_utf8(read).unwrap();
    let length = head.to_lowercase().split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse();
    let mut body = vec![0; length.unwrap()];
    stream.read_exact(&mut body).unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    (head, body)
}

#[test]
fn http_protobuf_goes_to_its_path_with_its_headers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || one_request(&listener));
    let (telemetry, dispatch) = prepared(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "tenant=seven%20of%20nine"),
    ])
    .unwrap();
    tracing::dispatcher::with_default(&dispatch, || tracing::info_span!("over-http").in_scope(|| {}));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { telemetry.flush_and_shutdown(DEADLINE) }).unwrap();
    let (head, body) = server.join().unwrap();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("tenant: seven of nine\r\n") && head.contains("application/x-protobuf"), "{head}");
    for text in ["over-http", "nuncius-test", "here"] {
        assert!(body.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
}

#[test]
fn spans_below_info_and_of_the_transport_are_left_out() {
    let collector = Collector::start();
    let (telemetry, dispatch) = prepared(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)]).unwrap();
    tracing::dispatcher::with_default(&dispatch, || {
        tracing::debug_span!("detail").in_scope(|| {});
        tracing::info_span!(target: "hyper_util::client", "frame").in_scope(|| {});
        tracing::info_span!("kept").in_scope(|| {});
    });
    telemetry.flush_and_shutdown(DEADLINE).unwrap();
    let names: Vec<String> = collector.spans(1).into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["kept"]);
}

#[test]
fn a_bad_filter_or_endpoint_is_an_error_and_starts_nothing() {
    let bad = prepared(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere")]).unwrap_err();
    assert!(matches!(bad, TelemetryError::Variable { variable, .. } if variable == "OTEL_EXPORTER_OTLP_ENDPOINT"));
    let header = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:1"), ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c")];
    assert!(matches!(prepared(&header).unwrap_err(), TelemetryError::Exporter { .. }));
    let environment = |name: &str| (name == "NUNCIUS_LOG").then(|| "info,=,x=loud".to_owned());
    assert!(matches!(logs(LogFormat::Human, false, None, &environment), Err(TelemetryError::Filter { .. })));
}

#[test]
fn an_error_becomes_the_status() {
    let record = SpanRecord { error: Some("e".to_owned()), ..SpanRecord::new(1, 1, "n", SpanKind::Internal, 0, 0) };
    assert_eq!(record.into_span_data().status, Status::error("e"));
}
