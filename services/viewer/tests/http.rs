//! What strangers send: refused with the reason, never held without bounds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must end")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use nuncius_testkit::TempDir;
use nuncius_viewer::{ViewerConfig, run};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Longest body here, in bytes.
const BODY_MAX_BYTES: usize = 4096;

async fn viewer() -> (TempDir, SocketAddr, CancellationToken) {
    let pages = TempDir::new("viewer").unwrap();
    std::fs::write(pages.path().join("index.html"), "<p>page").unwrap();
    let mut config = ViewerConfig { listen: "127.0.0.1:0".to_owned(), ..ViewerConfig::new(pages.path()) };
    config.limits.body_max_bytes = BODY_MAX_BYTES;
    let (shutdown, (ready, waiting)) = (CancellationToken::new(), oneshot::channel());
    tokio::spawn(run(config, shutdown.clone(), Some(ready)));
    (pages, waiting.await.unwrap(), shutdown)
}

/// Status, head and body.
fn send(address: SocketAddr, head: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(format!("{head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes())
        .unwrap();
    // Whoever is refused may be cut off before all of it was sent.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head, body)
}

fn post(address: SocketAddr, more: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
    send(address, &format!("POST /v1/traces HTTP/1.1\r\nhost: {address}{more}"), body)
}

const PROTOBUF: &str = "\r\ncontent-type: application/x-protobuf";

fn spans() -> Vec<u8> {
    let span = Span { trace_id: vec![7; 16], span_id: vec![1; 8], name: "get".to_owned(), ..Span::default() };
    let nameless = Span { name: "lost".to_owned(), ..Span::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![span, nameless], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_are_taken_plain_and_packed_and_what_is_no_span_is_told() {
    let (_pages, address, shutdown) = viewer().await;
    for (more, body) in [("", spans()), ("\r\ncontent-encoding: gzip", packed(&spans()))] {
        let (status, _, answer) = post(address, &format!("{PROTOBUF}{more}"), &body);
        assert_eq!(status, 200, "{more}");
        let partial = ExportTraceServiceResponse::decode(&*answer).unwrap().partial_success.unwrap();
        assert_eq!(partial.rejected_spans, 1, "{more}");
    }
    let trace = "07".repeat(16);
    let (status, _, found) = send(address, &format!("GET /api/traces/{trace} HTTP/1.1\r\nhost: {address}"), b"");
    let found: serde_json::Value = serde_json::from_slice(&found).unwrap();
    assert_eq!((status, found["data"][0]["spans"].as_array().unwrap().len()), (200, 1), "{found}");
    let bomb = packed(&vec![0; 8 << 20]);
    for (what, more, body, wanted, told) in [
        ("JSON", "\r\ncontent-type: application/json".to_owned(), b"{}".to_vec(), 415, "application/x-protobuf"),
        ("noise", PROTOBUF.to_owned(), vec![0xff; 64], 400, "no spans in OTLP"),
        ("no gzip", format!("{PROTOBUF}\r\ncontent-encoding: gzip"), vec![1; 64], 400, "no gzip"),
        ("zstd", format!("{PROTOBUF}\r\ncontent-encoding: zstd"), vec![1; 64], 415, "zstd"),
        ("too long", PROTOBUF.to_owned(), vec![0; 2 * BODY_MAX_BYTES], 413, "body_max_bytes"),
        ("a bomb", format!("{PROTOBUF}\r\ncontent-encoding: gzip"), bomb, 413, "body_max_bytes"),
        ("another site", format!("{PROTOBUF}\r\norigin: http://evil.example"), spans(), 403, "another site"),
    ] {
        let (status, _, answer) = post(address, &more, &body);
        let answer = String::from_utf8_lossy(&answer);
        assert!(status == wanted && answer.contains(told), "{what}: {status} {answer}");
    }
    shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_load_nothing_from_elsewhere_and_what_is_not_there_is_told() {
    let (_pages, address, shutdown) = viewer().await;
    let get = |path: &str| send(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}"), b"");
    let (status, head, page) = get("/trace/0123");
    assert_eq!((status, &*page), (200, &b"<p>page"[..]));
    assert!(head.to_ascii_lowercase().contains("content-security-policy: default-src 'self'"), "{head}");
    for (path, wanted, told) in [
        ("/api/traces/0123", 404, "trace not found"),
        ("/api/traces/xyz", 400, "no trace id"),
        ("/api/traces?limit=many", 400, "whole number"),
        ("/api/none", 404, "not known"),
        ("/static/none.js", 404, "there is no"),
        ("/v1/traces", 405, "posted"),
    ] {
        let (status, _, answer) = get(path);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(status == wanted && answer.contains(told), "{path}: {status} {answer}");
    }
    shutdown.cancel();
}
