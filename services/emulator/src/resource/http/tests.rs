//! The face by real sockets.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use nuncius_schemas::resource::{ResourceKind, ResourcePhase, ResourceState};
use nuncius_testkit::{TempDir, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::resource::{ResourceConfig, ResourceError, run};

const SOON: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), ResourceError>>,
    _data: TempDir,
}

fn config() -> ResourceConfig {
    ResourceConfig { http: "127.0.0.1:0".to_owned(), floor_bytes: Some(0), ..ResourceConfig::new("node-1", "lab") }
}

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Running {
    async fn start(config: ResourceConfig) -> Self {
        let data = TempDir::new("http").unwrap();
        let config = ResourceConfig { data_directory: data.path().to_owned(), ..config };
        let shutdown = CancellationToken::new();
        let (sender, ready) = oneshot::channel();
        let task = tokio::spawn(run(config, None, shutdown.clone(), Some(sender)));
        Self { address: ready.await.unwrap().address, shutdown, task, _data: data }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }

    async fn send(&self, line: &str, headers: &str, body: &str) -> Reply {
        let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let request = format!("{line} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n{headers}{length}\r\n{body}");
        exchange(self.address, request.as_bytes()).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(&format!("GET {path}"), "", "").await
    }

    async fn post(&self, kind: &str, body: &str) -> Reply {
        self.send(&format!("POST /v1/{kind}"), "", body).await
    }

    async fn state(&self, kind: &str) -> ResourceState {
        serde_json::from_str(&self.get(&format!("/v1/{kind}")).await.body).unwrap()
    }
}

async fn exchange(address: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Refusals may come before all is written.
    let _ = stream.write_all(request).await;
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("in time");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Reply { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_is_answered_with_a_status_and_an_error() {
    let node = Running::start(config()).await;
    let deep = "[".repeat(200_000);
    let deep_in = format!("{{\"profile\": {}", "[".repeat(10_000));
    let long = format!("{{\"amount\": \"{}\"}}", "9".repeat(5000));
    for (body, problem) in [
        ("", "JSON object"),
        ("please", "JSON object"),
        ("[]", "JSON object"),
        ("{", "not readable as JSON"),
        ("{\"amount\": \"-5MiB\"}", "amount"),
        ("{\"amount\": -5}", "amount"),
        ("{\"amount\": \"5 parsecs\"}", "amount"),
        ("{\"amount\": \"18446744073709551616\"}", "too large"),
        ("{\"amount\": 1e400}", "out of range"),
        ("{\"amount\": \"1MiB\", \"for\": \"soon\"}", "for"),
        ("{\"amout\": \"1MiB\"}", "amout"),
        ("{\"amount\": null}", "amount"),
        ("{}", "amount"),
        (&deep_in, "JSON"),
        (&long, "amount"),
    ] {
        let reply = node.post("memory", body).await;
        assert_eq!(reply.status, 400, "{body:.60}: {reply:?}");
        let error: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert!(error["error"].as_str().unwrap().contains(problem), "{body:.60}: {reply:?}");
    }
    let request = |body: &[u8]| {
        let head = format!("POST /v1/memory HTTP/1.1\r\nhost: node\r\ncontent-length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let address = node.address;
    assert_eq!(exchange(address, &request(b"{\"amount\": \"\xff\xfe\"}")).await.status, 400);
    assert_eq!(exchange(address, &request(deep.as_bytes())).await.status, 413);
    assert_eq!(exchange(address, &request(&vec![b'x'; 10 << 20])).await.status, 413);
    let chunked = b"POST /v1/memory HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let endless = [&chunked[..], &b"8000\r\n"[..], &[b'x'; 0x8000], b"\r\n"].concat();
    let endless = [endless.as_slice(), &[&b"8001\r\n"[..], &[b'x'; 0x8001], b"\r\n"].concat()].concat();
    assert_eq!(exchange(address, &endless).await.status, 413);
    let slow = b"POST /v1/memory HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{";
    assert_eq!(exchange(address, slow).await.status, 408);
    let big_head = format!("x-long: {}\r\n", "y".repeat(5000));
    assert_eq!(node.send("GET /v1", &big_head, "").await.status, 431);
    assert_eq!(node.get("/v1/gpu").await.status, 404);
    assert_eq!(node.get("/v2").await.status, 404);
    let reply = node.send("PUT /v1/disk", "", "").await;
    assert!(reply.status == 405 && reply.head.contains("allow: get, post, delete"), "{reply:?}");
    assert_eq!(node.send("POST /metrics", "", "x").await.status, 405);
    assert_eq!(node.send("GET /metrics", "", "x").await.status, 400);
    assert_eq!(node.send("POST /v1", "", "").await.status, 405);
    let foreign = node.send("DELETE /v1/disk", "origin: http://evil.example\r\n", "").await;
    assert_eq!(foreign.status, 403);
    let over = node.post("memory", r#"{"amount": "1000TiB"}"#).await;
    assert!(over.status == 409 && over.body.contains("over the limit"), "{over:?}");
    assert_eq!(node.state("memory").await.actual_bytes, Some(0));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_nothing_is_told_or_done_without_it() {
    let node = Running::start(ResourceConfig { token: Some("s3cret".to_owned()), ..config() }).await;
    for line in ["GET /", "GET /v1", "DELETE /v1/disk", "GET /metrics", "GET /api/mem/set?size=1", "GET /nothing"] {
        let reply = node.send(line, "", "").await;
        assert!(reply.status == 401 && reply.head.contains("www-authenticate: bearer"), "{line}: {reply:?}");
        assert_eq!(node.send(line, "authorization: Bearer s3cre\r\n", "").await.status, 401);
    }
    assert_eq!(node.get("/healthz").await.status, 200);
    assert_eq!(node.send("GET /v1", "authorization: Bearer s3cret\r\n", "").await.status, 200);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_the_metrics_show_how_all_stand() {
    let kinds = BTreeSet::from([ResourceKind::Memory, ResourceKind::Cpu]);
    let node = Running::start(ResourceConfig { kinds, ..config() }).await;
    node.post("memory", r#"{"amount": "3MiB"}"#).await;
    let held =
        eventually(SOON, || async { (node.state("memory").await.phase == ResourcePhase::Holding).then_some(()) });
    assert!(held.await.is_some());
    let metrics = node.get("/metrics").await.body;
    for line in [
        "nuncius_resource_actual_bytes{kind=\"memory\"} 3145728",
        "nuncius_resource_accepted_total{kind=\"memory\"} 1",
        "nuncius_resource_phase{kind=\"memory\",phase=\"holding\"} 1",
        "nuncius_resource_wanted_cores{kind=\"cpu\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in {metrics}");
    }
    assert!(!metrics.contains("kind=\"disk\""));
    let page = node.get("/").await;
    assert!(page.head.contains("text/html") && page.head.contains("default-src 'none'"), "{page:?}");
    assert!(page.body.contains("3.0 MiB") && !page.body.contains("<script"), "{page:?}");
    let off = node.post("disk", r#"{"amount": 1}"#).await;
    assert!(off.status == 404 && off.body.contains("switched off"), "{off:?}");
    node.stop().await;
}

#[test]
fn only_the_very_token_is_taken() {
    let given = |value: &'static str| {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
        check_token(&headers, Some("s3cret")).is_ok()
    };
    assert!(given("Bearer s3cret") && given("bearer  s3cret"));
    for wrong in ["", "s3cret", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3crets", "Basic s3cret", "Bearer S3cret"]
    {
        assert!(!given(wrong), "{wrong}");
    }
    assert!(check_token(&HeaderMap::new(), None).is_ok());
    assert!(check_token(&HeaderMap::new(), Some("x")).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_sends_for_another_site_changes_nothing_not_even_under_a_rebound_name() {
    let node = Running::start(ResourceConfig { compat: true, ..config() }).await;
    for headers in
        ["origin: http://evil.example\r\n", "sec-fetch-site: cross-site\r\n", "referer: http://evil.example/page\r\n"]
    {
        for line in ["POST /v1/memory", "DELETE /v1/memory", "GET /api/mem/set?size=1", "GET /api/cpu/load?time=9"] {
            assert_eq!(node.send(line, headers, "").await.status, 403, "{line} {headers}");
        }
    }
    let rebound = "GET /api/mem/set?size=1 HTTP/1.1\r\nhost: evil.example:8080\r\nconnection: close\r\n\r\n";
    assert_eq!(exchange(node.address, rebound.as_bytes()).await.status, 403);
    assert!(node.get("/api/mem/getact").await.body.starts_with("Last request ID: 0\n"));
    node.stop().await;
}
