use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use nuncius_bus::registry::watch_nodes;
use nuncius_bus::streams::ensure_streams;
use nuncius_bus::{Bus, ConnectOptions, Headers, Message, connect};
use nuncius_emulator::oco::{self, Mode, OcoConfig, OcoError, Ready, StateStore, servo_limits};
use nuncius_schemas::codec;
use nuncius_schemas::node::{NodeInfo, Role};
use nuncius_schemas::subjects::HEADER_CONTENT_TYPE;
use nuncius_serve::HttpLimits;
use nuncius_testkit::{TempDir, TestServer, eventually, free_port};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(15);
const OK: &str = r#"{"status":"ok","message":null}"#;

/// On a port that nobody else is given meanwhile: some start there again.
fn any_port() -> OcoConfig {
    let port = nuncius_testkit::free_port().unwrap();
    OcoConfig { http: format!("127.0.0.1:{port}"), ..OcoConfig::default() }
}

/// Fails the test instead of hanging it.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("in time")
}

struct Running {
    ready: Ready,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), OcoError>>,
}

impl Running {
    async fn start(config: OcoConfig, bus: Option<&Bus>) -> Self {
        let shutdown = CancellationToken::new();
        let (sender, ready) = oneshot::channel();
        let task = tokio::spawn(oco::run(config, bus.cloned(), shutdown.clone(), Some(sender)));
        Self { ready: soon(ready).await.expect("ready"), shutdown, task }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        soon(self.task).await.unwrap().unwrap();
    }

    async fn ask(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        raw(self.ready.address, &[head.as_bytes(), body].concat()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, b"").await
    }

    async fn event(&self, app: &str, body: &str) -> Answer {
        self.ask("POST", &format!("/accounts/a/applications/{app}/servo"), body.as_bytes()).await
    }
}

/// An emulator with threads and a connection of its own, so that it can end at any moment without a word to anybody, as
/// a killed process does.
struct Killable {
    runtime: Runtime,
    running: Running,
}

impl Killable {
    async fn start(config: OcoConfig, nats_url: Option<String>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let begun = runtime.spawn(async move {
            let bus = match nats_url {
                Some(url) => Some(client(url).await),
                None => None,
            };
            Running::start(config, bus.as_ref()).await
        });
        let running = soon(begun).await.unwrap();
        Self { runtime, running }
    }

    async fn kill(self) {
        let ended = tokio::task::spawn_blocking(move || self.runtime.shutdown_timeout(SOON));
        soon(ended).await.unwrap();
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// What comes back until the connection is closed.
async fn raw(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may be refused before all of it was sent.
    let _ = stream.write_all(request).await;
    let mut bytes = Vec::new();
    let _ = soon(stream.read_to_end(&mut bytes)).await;
    parse(&bytes)
}

async fn client(url: String) -> Bus {
    let options = ConnectOptions { urls: vec![url], name: "test".into(), ..ConnectOptions::default() };
    connect(options).await.unwrap()
}

async fn server_and_bus() -> (TestServer, Bus) {
    let server = TestServer::start().await.unwrap();
    let bus = client(server.url()).await;
    ensure_streams(&bus).await.unwrap();
    (server, bus)
}

async fn on_bus(bus: &Bus, app: &str, payload: impl Into<Bytes>) -> Message {
    let subject = bus.namespace().oco_servo("dev.example.com", app);
    bus.request(&subject, &Headers::new(), payload.into(), SOON).await.unwrap()
}

const HELLO: &str = r#"{"event":"HELLO","param":{"agent":"x"}}"#;
const NEXT: &str = r#"{"event":"WHATS_NEXT","param":null}"#;
const DESCRIPTION: &str = r#"{"event":"DESCRIPTION","param":{"status":"ok","descriptor":{}}}"#;
const MEASURED: &str = r#"{"event":"MEASUREMENT","param":{"status":"ok"}}"#;

fn measuring(progress: i64) -> String {
    json!({"event": "MEASUREMENT", "param": {"progress": progress}}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_originals_curls_and_its_list_and_its_statistics_work() {
    let oco = Running::start(any_port(), None).await;
    assert_eq!(oco.get("/").await.body, r#"{"n":0,"average":null,"min":null,"max":null}"#);
    for body in [HELLO, DESCRIPTION, &measuring(10), &measuring(10)] {
        let answer = oco.event("app00000", body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, OK), "{body}");
        assert!(answer.head.contains("content-type: application/json"), "{answer:?}");
    }
    assert_eq!(oco.get("/").await.body, r#"{"n":1,"average":0.0,"min":0,"max":0}"#);
    let names = ["app00000", "app00001", "app00002", "app00003", "app00004"];
    let listed = json!({"mode": null, "mode_limit": null, "state": "active"});
    let list: Value =
        names.iter().map(|name| ((*name).to_owned(), listed.clone())).collect::<serde_json::Map<_, _>>().into();
    assert_eq!(oco.get("/accounts/a/application-overrides").await.json(), list);
    assert_eq!(oco.get("/accounts/a/application-overrides?show_all=0").await.json(), list);
    for query in ["cluster_id=c&show_all=1", "cluster_id=c", "show_all=1"] {
        let wrapped = oco.get(&format!("/accounts/a/application-overrides?{query}")).await.json();
        assert_eq!(wrapped, json!({"status": "ok", "message": null, "data": list}), "{query}");
    }
    oco.event("app00000", MEASURED).await;
    assert_eq!(oco.event("app00000", NEXT).await.json()["cmd"], "ADJUST");
    oco.event("app00000", HELLO).await;
    let stats = oco.get("/stats?apps=1").await.json();
    assert_eq!((&stats["cycles"], &stats["evenness"], &stats["errors"]), (&json!(1), &json!(0.0), &json!(1)));
    assert_eq!((&stats["events"]["MEASUREMENT"], &stats["requests"]), (&json!(3), &json!(7)));
    let app = &stats["apps"]["app00000"];
    assert_eq!(
        (&app["state"], &app["errors"], &app["events"]["WHATS_NEXT"]),
        (&json!("start-adjust"), &json!(1), &json!(1))
    );
    assert_eq!(oco.get("/stats").await.json()["apps"], Value::Null);
    let metrics = oco.get("/metrics").await;
    for line in
        ["nuncius_oco_events_total{event=\"MEASUREMENT\"} 3", "nuncius_oco_errors_total 1", "nuncius_oco_apps 1"]
    {
        assert!(metrics.body.lines().any(|have| have == line), "{line}: {}", metrics.body);
    }
    assert!(oco.get("/openapi.json").await.json()["openapi"].is_string());
    assert!(oco.get("/docs").await.head.contains("text/html"));
    oco.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_servo_sends_is_refused_with_what_is_wrong() {
    let limits = HttpLimits { read_timeout: Duration::from_millis(400), body_max_bytes: 10_000, ..servo_limits() };
    let oco = Running::start(OcoConfig { limits, ..any_port() }, None).await;
    let servo = "/accounts/a/applications/app00000/servo";
    for (method, path, status, told) in [
        ("GET", "/nothing", 404, r#"{"detail":"Not Found"}"#),
        ("GET", "/accounts/a/applications/b", 404, r#"{"detail":"Not Found"}"#),
        ("GET", servo, 405, r#"{"detail":"Method Not Allowed"}"#),
        ("PUT", servo, 405, "allow: post"),
        ("POST", "/", 405, "allow: get"),
        ("DELETE", "/stats", 405, "allow: get"),
        ("POST", "/metrics", 405, "allow: get"),
        ("POST", "/docs", 405, "allow: get"),
        ("POST", "/openapi.json", 405, "allow: get"),
        ("POST", "/accounts/a/application-overrides", 405, "allow: get"),
        ("GET", "/accounts/a%20b/application-overrides", 422, "account"),
        ("POST", "/accounts/a/applications/a%2Fb/servo", 422, "A-Z"),
        ("POST", "/accounts//applications/b/servo", 422, "account"),
        ("POST", servo, 422, "field required"),
    ] {
        let answer = oco.ask(method, path, b"").await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert!(answer.body.contains(told) || answer.head.contains(told), "{method} {path}: {answer:?}");
    }
    let long = "a".repeat(65);
    assert_eq!(oco.event(&long, HELLO).await.status, 422);
    let deep = format!(r#"{{"event":"HELLO","param":{{"a":{}"#, "[".repeat(5000));
    for body in ["{", "[]", "{}", r#"{"event":7}"#, r#"{"event":"HELLO","param":[]}"#, "event=HELLO", &deep] {
        let answer = oco.event("app00000", body).await;
        let detail = &answer.json()["detail"][0];
        assert!(answer.status == 422 && detail["loc"][0] == "body" && detail["msg"].is_string(), "{body}: {answer:?}");
    }
    let not_text = oco.ask("POST", servo, b"{\"event\":\"HELLO\",\"x\":\"\xff\"}").await;
    assert_eq!(not_text.status, 422);
    let too_long = oco.event("app00000", &format!(r#"{{"event":"HELLO","x":"{}"}}"#, "x".repeat(10_000))).await;
    assert!(too_long.status == 413 && too_long.body.contains("body_max_bytes, 10000"), "{too_long:?}");
    let address = oco.ready.address;
    let chunked = format!(
        "POST {servo} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        10_001,
        "x".repeat(10_001)
    );
    assert_eq!(raw(address, chunked.as_bytes()).await.status, 413);
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(17_000));
    assert_eq!(raw(address, head.as_bytes()).await.status, 431);
    let slow = format!("POST {servo} HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\n{{");
    let slow = raw(address, slow.as_bytes()).await;
    assert!(slow.status == 408 && slow.body.contains("read_timeout"), "{slow:?}");
    // After all that it serves.
    assert_eq!(oco.event("app00000", HELLO).await.body, OK);
    oco.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_python_takes_for_json_is_taken_and_a_slash_too_many_is_led_on() {
    let oco = Running::start(any_port(), None).await;
    let told = oco.ask("POST", "/accounts/a/applications/app00000/servo/", HELLO.as_bytes()).await;
    assert_eq!(told.status, 307);
    assert!(told.head.contains("location: /accounts/a/applications/app00000/servo\r\n"), "{told:?}");
    assert_eq!(oco.get("/stats/?apps=1").await.status, 307);
    assert_eq!(oco.get("/nowhere/").await.status, 404);
    for body in [HELLO, DESCRIPTION, &measuring(10)] {
        assert_eq!(oco.event("app00000", body).await.status, 200, "{body}");
    }
    for metrics in ["NaN", "[Infinity, -Infinity]", "1e400", "{\"a\": -1e999}"] {
        let body = format!(r#"{{"event":"MEASUREMENT","param":{{"progress":20,"metrics":{metrics}}}}}"#);
        let answer = oco.event("app00000", &body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, OK), "{body}");
    }
    let beyond = oco.event("app00000", r#"{"event":"MEASUREMENT","param":{"progress":9223372036854775808}}"#).await;
    assert_eq!(beyond.status, 422);
    assert!(beyond.body.contains("beyond 64 bits"), "{beyond:?}");
    // A page of another site says nothing in a servo's name.
    let path = "/accounts/a/applications/app00000/servo";
    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\norigin: http://evil.example\r\nconnection: close\r\n");
    let request = format!("{head}content-length: {}\r\n\r\n{HELLO}", HELLO.len());
    assert_eq!(raw(oco.ready.address, request.as_bytes()).await.status, 403);
    oco.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_servo_keeps_its_connection_and_a_stalled_head_does_not() {
    let limits = HttpLimits { read_timeout: Duration::from_millis(100), ..servo_limits() };
    let oco = Running::start(OcoConfig { limits, ..any_port() }, None).await;
    let mut silent = TcpStream::connect(oco.ready.address).await.unwrap();
    let ask = async |stream: &mut TcpStream| {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut bytes = [0; 1024];
        let read = soon(stream.read(&mut bytes)).await.unwrap();
        parse(&bytes[..read]).status
    };
    assert_eq!(ask(&mut silent).await, 200);
    let mut stalled = TcpStream::connect(oco.ready.address).await.unwrap();
    stalled.write_all(b"GET / HT").await.unwrap();
    let mut bytes = Vec::new();
    // Closed by the server, well after the other has been silent for longer than a head may take.
    soon(stalled.read_to_end(&mut bytes)).await.unwrap();
    assert_eq!(ask(&mut silent).await, 200);
    oco.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_and_settings_that_cannot_be_meant_are_told() {
    let taken = Running::start(any_port(), None).await;
    let http = taken.ready.address.to_string();
    let start = |config| oco::run(config, None, CancellationToken::new(), None);
    let error = soon(start(OcoConfig { http: http.clone(), ..OcoConfig::default() })).await.unwrap_err().to_string();
    assert!(error.contains(&http) && error.contains("--http"), "{error}");
    let free = OcoConfig { http: "127.0.0.1:0".to_owned(), ..OcoConfig::default() };
    let error = soon(start(OcoConfig { state: StateStore::Kv, ..free.clone() })).await.unwrap_err().to_string();
    assert!(error.contains("NATS"), "{error}");
    let missing = OcoConfig { config_file: Some("/nowhere/oco.yaml".into()), ..free.clone() };
    let error = soon(start(missing)).await.unwrap_err().to_string();
    assert!(error.contains("/nowhere/oco.yaml"), "{error}");
    let error = soon(start(OcoConfig { apps_max: 0, ..free })).await.unwrap_err().to_string();
    assert!(error.contains("apps_max"), "{error}");
    taken.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_read_again_when_their_file_changes_and_kept_when_it_is_broken() {
    let dir = TempDir::new("oco").unwrap();
    let file = dir.path().join("oco.yaml");
    std::fs::write(&file, "apps: 2\n").unwrap();
    let oco = Running::start(OcoConfig { config_file: Some(file.clone()), ..any_port() }, None).await;
    let listed = async |apps: usize| {
        let probe = || async {
            let list = oco.get("/accounts/a/application-overrides").await.json();
            (list.as_object().unwrap().len() == apps).then_some(())
        };
        eventually(SOON, probe).await.unwrap_or_else(|| panic!("{apps} listed"));
    };
    listed(2).await;
    std::fs::write(&file, "apps: {broken\n").unwrap();
    listed(2).await;
    std::fs::write(&file, "apps: 7\nscript: [ADJUST]\n").unwrap();
    listed(7).await;
    oco.event("x", HELLO).await;
    oco.event("x", DESCRIPTION).await;
    assert_eq!(oco.event("x", NEXT).await.json()["cmd"], "ADJUST");
    oco.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bus_leads_to_the_same_applications_and_answers_in_the_form_of_the_request() {
    let (_server, bus) = server_and_bus().await;
    let oco = Running::start(any_port(), Some(&bus)).await;
    let mut nodes = watch_nodes(&bus).await.unwrap();
    while nodes.nodes().is_empty() {
        soon(nodes.next()).await.unwrap();
    }
    let (value, _) = &nodes.nodes()[oco.ready.node.as_ref().unwrap()];
    let info: NodeInfo = codec::decode(value).unwrap();
    assert_eq!((info.role, info.labels["emulated"].as_str()), (Role::Emulator, "oco"));

    let app = "app.1";
    assert_eq!(on_bus(&bus, app, HELLO).await.payload, OK);
    let packed = codec::encode(&json!({"event": "WHATS_NEXT", "param": null})).unwrap();
    let answer = on_bus(&bus, app, packed.clone()).await;
    assert_eq!(answer.headers.get(HEADER_CONTENT_TYPE), Some("application/msgpack"));
    assert_eq!(answer.decode::<Value>().unwrap(), json!({"cmd": "DESCRIBE", "param": {}}));
    let refused = on_bus(&bus, app, packed).await;
    let text = "Sequence error for app.1: Unexpected WHATS_NEXT in hello-received";
    assert_eq!(refused.headers.get("Nats-Service-Error-Code"), Some("400"));
    assert_eq!(refused.headers.get("Nats-Service-Error"), Some(text));
    assert_eq!(refused.decode::<Value>().unwrap(), json!({"detail": text}));
    for garbage in [&b""[..], b"\xc1", b"go", b"{}"] {
        let answer = on_bus(&bus, app, garbage).await;
        assert_eq!(answer.headers.get("Nats-Service-Error-Code"), Some("422"), "{garbage:?}");
    }
    assert_eq!(oco.event(app, DESCRIPTION).await.body, OK);
    // A command is told once, whichever way it is asked for.
    let by_http = join_all((0..8).map(|_| oco.event(app, NEXT)));
    let by_bus = join_all((0..8).map(|_| on_bus(&bus, app, NEXT)));
    let (by_http, by_bus) = tokio::join!(by_http, by_bus);
    let told = by_http.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(told + by_bus.iter().filter(|answer| answer.payload.starts_with(b"{\"cmd\"")).count(), 1);
    oco.stop().await;
}

/// A servo of the old kind: sends an event again until it is answered, and gives up at an answer that is an error.
async fn servo(address: SocketAddr, app: String, cycles: usize, answered: &AtomicUsize) -> Result<(), String> {
    let begin = [HELLO, NEXT, DESCRIPTION].map(str::to_owned);
    let adjusting = |value: &str| format!(r#"{{"event":"ADJUSTMENT","param":{value}}}"#);
    let cycle = [NEXT.to_owned(), measuring(5), measuring(50), MEASURED.to_owned(), NEXT.to_owned()]
        .into_iter()
        .chain([adjusting(r#"{"progress":1}"#), adjusting("{}")]);
    let events = begin.into_iter().chain(std::iter::repeat_n(cycle, cycles).flatten());
    for event in events {
        let head = format!("POST /accounts/a/applications/{app}/servo HTTP/1.1\r\nhost: a\r\nconnection: close\r\n");
        let request = format!("{head}content-length: {}\r\n\r\n{event}", event.len());
        loop {
            let answer = async {
                let mut stream = TcpStream::connect(address).await.ok()?;
                stream.write_all(request.as_bytes()).await.ok()?;
                let mut text = String::new();
                stream.read_to_string(&mut text).await.ok()?;
                // An answer ends with its body.
                text.ends_with('}').then_some(text)
            };
            match answer.await {
                Some(text) if text.starts_with("HTTP/1.1 200 ") => break,
                // The bus was gone a moment before the emulator was.
                Some(text) if text.starts_with("HTTP/1.1 503 ") => {}
                Some(text) => return Err(format!("{app} {event}: {text}")),
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Kills the emulator again and again under servos at work, and expects none of them to be told of an error.
async fn survives_being_killed(state: StateStore, nats_url: Option<String>) {
    const SERVOS: usize = 8;
    const CYCLES: usize = 40;
    const EVENTS: usize = SERVOS * (3 + 7 * CYCLES);
    const KILLS: usize = 6;
    let http = format!("127.0.0.1:{}", free_port().unwrap());
    let config = OcoConfig { http, state, ..OcoConfig::default() };
    let mut oco = Killable::start(config.clone(), nats_url.clone()).await;
    let address = oco.running.ready.address;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut servos = JoinSet::new();
    for number in 0..SERVOS {
        let answered = Arc::clone(&answered);
        servos.spawn(async move { servo(address, format!("app.{number}"), CYCLES, &answered).await });
    }
    for kill in 1..=KILLS {
        let far_enough = || async { (answered.load(Ordering::Relaxed) >= kill * EVENTS / (KILLS + 1)).then_some(()) };
        let reached = eventually(SOON, far_enough).await;
        if reached.is_none() {
            while let Some(ended) = servos.try_join_next() {
                ended.unwrap().unwrap();
            }
            panic!("the servos do not get on");
        }
        oco.kill().await;
        oco = Killable::start(config.clone(), nats_url.clone()).await;
    }
    while let Some(ended) = soon(servos.join_next()).await {
        ended.unwrap().unwrap();
    }
    let summary = oco.running.get("/").await.json();
    assert_eq!(summary, json!({"n": SERVOS, "average": CYCLES as f64, "min": CYCLES, "max": CYCLES}));
    oco.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_state_in_a_file_no_servo_notices_that_the_emulator_was_killed() {
    let dir = TempDir::new("oco").unwrap();
    survives_being_killed(StateStore::File(dir.path().join("state")), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_state_in_a_bucket_no_servo_notices_that_the_emulator_was_killed() {
    let (server, _bus) = server_and_bus().await;
    survives_being_killed(StateStore::Kv, Some(server.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_a_kill_took_away_is_given_again_and_only_once() {
    let dir = TempDir::new("oco").unwrap();
    let config = OcoConfig { state: StateStore::File(dir.path().join("state")), ..any_port() };
    let oco = Killable::start(config.clone(), None).await;
    oco.running.event("x", HELLO).await;
    let told = oco.running.event("x", NEXT).await.body;
    oco.kill().await;
    let oco = Killable::start(config, None).await;
    assert_eq!(oco.running.event("x", NEXT).await.body, told);
    assert_eq!(oco.running.event("x", NEXT).await.status, 400);
    oco.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_service_mode_a_bucket_keeps_the_applications_of_each_account() {
    let (server, bus) = server_and_bus().await;
    let config = OcoConfig { mode: Mode::Service, state: StateStore::Kv, ..any_port() };
    let oco = Killable::start(config.clone(), Some(server.url())).await;
    assert_eq!(oco.running.event("x", HELLO).await.body, OK);
    oco.kill().await;
    let oco = Killable::start(config, Some(server.url())).await;
    // What an operator deletes is written anew.
    let bucket = bus.kv(&bus.namespace().bucket_oco()).await.unwrap();
    bucket.delete("a/x").await.unwrap();
    assert_eq!(oco.running.event("x", NEXT).await.json()["cmd"], "DESCRIBE");
    assert_eq!(oco.running.event("x", DESCRIPTION).await.body, OK);
    assert!(bucket.get("a/x").await.unwrap().is_some());
    let elsewhere = oco.running.ask("POST", "/accounts/b/applications/x/servo", NEXT.as_bytes()).await;
    assert_eq!(elsewhere.json()["status"], "unexpected-event");
    oco.kill().await;
}
