//! Tests of Artillery as they are: a set-up of the shape that its users have, against a service with a login, an API
//! and rooms over real Socket.IO. What the reports say equals what the service counted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Output;

use nuncius_testkit::{Booking, SocketIoVersion, TempDir};
use serde::Deserialize;
use serde_json::Value;

use crate::harness::nuncius;

/// What the service has seen.
#[derive(Debug, Deserialize)]
struct Seen {
    requests: BTreeMap<String, u64>,
    connected: u64,
    disconnected: u64,
    events: BTreeMap<String, u64>,
    polls: u64,
}

/// What a run told.
struct Told {
    output: Output,
    text: String,
    counters: BTreeMap<String, u64>,
    report: Value,
}

impl Told {
    fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or_default()
    }

    /// The counters whose names begin so, together.
    fn all(&self, prefix: &str) -> u64 {
        self.counters.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, number)| number).sum()
    }

    /// The number behind a word at the beginning of a line of the text.
    fn line(&self, begin: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.trim().strip_prefix(begin)).map(str::trim)
    }
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/artillery").join(name)
}

/// Runs a file against a service. Whether the run was a valid one is for the machine to say: the counts hold anyway.
async fn run(service: &Booking, name: &str, more: &[&str]) -> (Told, Seen) {
    let directory = TempDir::new("it-artillery").unwrap();
    let mut command = nuncius();
    command.arg("run").arg(file(name)).args(["--quiet", "-k"]).args(more);
    command.arg("--data").arg(directory.path().join("data"));
    let output = directory.path().join("report.json");
    command.arg("--output").arg(&output);
    command.env("TARGET", format!("http://{}", service.address()));
    command.env("KEYCLOAK_USERNAME", "cfms-postman-operator").env("KEYCLOAK_PASSWORD", "password");
    command.env("SERVICE_API_KEY", "a key");
    if !more.contains(&"--env-file") {
        command.env("MAX_VIRTUAL_USERS", "200");
    }
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let said = format!("{text}{}", String::from_utf8_lossy(&ran.stderr));
    let report = std::fs::read(&output).unwrap_or_else(|error| panic!("{error}\n{said}"));
    let report: Value = serde_json::from_slice(&report).unwrap();
    let counters = serde_json::from_value(report["aggregate"]["counters"].clone()).unwrap();
    let seen = serde_json::from_str(&service.counts().unwrap()).unwrap();
    (Told { output: ran, text, counters, report }, seen)
}

/// Requests but for the logins, which Artillery counts nowhere.
fn requests(seen: &Seen) -> u64 {
    seen.requests.iter().filter(|(name, _)| !name.ends_with("/token")).map(|(_, number)| number).sum()
}

fn of(seen: &Seen, request: &str) -> u64 {
    seen.requests.get(request).copied().unwrap_or_default()
}

fn event(seen: &Seen, name: &str) -> u64 {
    seen.events.get(name).copied().unwrap_or_default()
}

/// The counters of a run of all three scenarios, as Artillery counts.
fn agrees(told: &Told, seen: &Seen, version: SocketIoVersion) {
    let created = told.counter("vusers.created");
    let of_scenario = |name: &str| told.counter(&format!("vusers.created_by_name.{name}"));
    let sockets = of_scenario("CSR - Websockets");
    let idle = of_scenario("CSR – Login, load data, idle");
    let whole = of_scenario("CSR – Create and delete appointments");
    // 3, the sum of a ramp, and 9.
    assert_eq!((created, sockets + idle + whole), (24, 24), "{:?}", told.counters);
    assert_eq!((told.counter("vusers.completed"), told.counter("vusers.failed")), (created, 0));
    assert!(sockets > 0 && idle > 0 && whole > 0, "{:?}", told.counters);
    assert_eq!(told.counter("http.requests"), requests(seen));
    assert_eq!(told.counter("http.requests"), 6 * idle + 11 * whole);
    assert_eq!((told.all("http.codes."), told.counter("http.responses")), (requests(seen), requests(seen)));
    let (posts, deletes) =
        (of(seen, "POST /api/v{id}/appointments/draft"), of(seen, "PUT /api/v{id}/appointments/{id}/"));
    assert_eq!((posts, deletes), (whole, whole));
    assert_eq!((told.counter("http.codes.201"), told.counter("http.codes.204")), (2 * whole, 2 * whole));
    // Clients of version 2 keep `connecting` for themselves and never send it.
    let connecting = match version {
        SocketIoVersion::V2 => 0,
        SocketIoVersion::V4 => sockets,
    };
    assert_eq!(told.counter("socketio.emit"), connecting + sockets);
    assert_eq!((seen.connected, seen.disconnected, seen.polls), (sockets, sockets, 0));
    assert_eq!((event(seen, "connecting"), event(seen, "joinRoom")), (connecting, sockets));
    assert!(told.report["aggregate"]["summaries"]["http.response_time"]["p99"].is_number(), "{}", told.report);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_of_three_scenarios_runs_as_it_is_and_ends_with_the_report_of_version_2() {
    let _machine = crate::harness::beside_others().await;
    let service = Booking::start(SocketIoVersion::V4).unwrap();
    let (told, seen) = run(&service, "csr-all.yaml", &[]).await;
    agrees(&told, &seen, SocketIoVersion::V4);
    // One login for each thread of the engine at most, however many users there are.
    assert!((1..=8).contains(&of(&seen, "POST /auth/realms/booking/protocol/openid-connect/token")), "{seen:?}");
    for line in ["vusers.created: ", "http.requests: ", "http.codes.201: ", "socketio.emit: "] {
        let shown = told.line(line).unwrap_or_else(|| panic!("{line}\n{}", told.text)).trim_start_matches('.').trim();
        assert_eq!(shown, told.counter(line.trim_end_matches(": ")).to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_of_version_1_has_emits_as_code_0_and_scenarios_with_their_shares() {
    let _machine = crate::harness::beside_others().await;
    let service = Booking::start(SocketIoVersion::V2).unwrap();
    let more = ["--artillery-report", "v1", "--overrides", r#"{"config":{"socketio":{"protocol":4}}}"#];
    let (told, seen) = run(&service, "csr-all.yaml", &more).await;
    agrees(&told, &seen, SocketIoVersion::V2);
    assert!(told.text.contains("All virtual users finished\nSummary report @ "), "{}", told.text);
    assert_eq!(told.line("Scenarios launched:"), Some("24"));
    assert_eq!(told.line("Scenarios completed:"), Some("24"));
    let emits = told.counter("socketio.emit");
    assert_eq!(told.line("Requests completed:"), Some((requests(&seen) + emits).to_string().as_str()));
    assert_eq!(told.line("0:"), Some(emits.to_string().as_str()));
    assert_eq!(told.line("200:"), Some(told.counter("http.codes.200").to_string().as_str()));
    let sockets = told.line("CSR - Websockets:").unwrap();
    assert!(sockets.starts_with(&seen.connected.to_string()) && sockets.ends_with("%)"), "{sockets}");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_and_checks_do_what_artillery_does_with_them() {
    let _machine = crate::harness::beside_others().await;
    let service = Booking::start(SocketIoVersion::V4).unwrap();
    let directory = TempDir::new("it-artillery").unwrap();
    let variables = directory.path().join("of-the-test.env");
    std::fs::write(&variables, "# At most so many at once.\nMAX_VIRTUAL_USERS=50\n").unwrap();
    let variables = variables.to_str().unwrap();
    let overrides = r#"{"config": {"phases": [{"duration": 1, "arrivalCount": 5}], "ensure": {
        "thresholds": [{"vusers.created": 3}], "conditions": [{"expression": "http.codes.201 > 0"}]}}}"#;
    let (told, seen) = run(&service, "csr-http.yaml", &["--env-file", variables, "--overrides", overrides]).await;
    assert_eq!((told.counter("vusers.created"), told.counter("vusers.completed")), (5, 5), "{:?}", told.counters);
    assert_eq!((told.counter("http.requests"), requests(&seen)), (20, 20));
    assert!(told.text.contains("fail: vusers.created < 3"), "{}", told.text);
    assert!(told.text.contains("ok: http.codes.201 > 0"), "{}", told.text);
    assert_ne!(told.output.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_beyond_the_cap_is_skipped_and_counted() {
    let _machine = crate::harness::beside_others().await;
    let service = Booking::start(SocketIoVersion::V4).unwrap();
    // A user takes 0.2 s, and twenty come in a second.
    let overrides = r#"{"config": {"phases": [{"duration": 1, "arrivalRate": 20, "maxVusers": 1}]}}"#;
    let (told, seen) = run(&service, "csr-http.yaml", &["--overrides", overrides]).await;
    let (created, skipped) = (told.counter("vusers.created"), told.counter("vusers.skipped"));
    assert_eq!(created + skipped, 20, "{:?}", told.counters);
    assert!((2..=5).contains(&created), "{:?}", told.counters);
    assert_eq!(told.counter("vusers.completed"), created);
    assert_eq!((told.counter("http.requests"), requests(&seen)), (4 * created, 4 * created));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_on_standard_output_is_alone_there() {
    let _machine = crate::harness::beside_others().await;
    let service = Booking::start(SocketIoVersion::V4).unwrap();
    let directory = TempDir::new("it-artillery").unwrap();
    let mut command = nuncius();
    command.arg("run").arg(file("csr-http.yaml")).args(["--quiet", "--output", "-", "--solo"]);
    command.arg("--data").arg(directory.path().join("data")).env("TARGET", format!("http://{}", service.address()));
    command.env("KEYCLOAK_USERNAME", "cfms-postman-operator").env("KEYCLOAK_PASSWORD", "password");
    command.env("SERVICE_API_KEY", "a key").env("MAX_VIRTUAL_USERS", "200");
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!(report["aggregate"]["counters"]["vusers.created"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_alone_run_too_with_a_name_of_an_event_that_later_clients_refuse() {
    let _machine = crate::harness::beside_others().await;
    let service = Booking::start(SocketIoVersion::V2).unwrap();
    let more = ["--overrides", r#"{"config":{"socketio":{"protocol":4}}}"#];
    let (told, seen) = run(&service, "csr-socket.yaml", &more).await;
    assert_eq!((told.counter("vusers.created"), told.counter("vusers.completed")), (24, 24));
    assert_eq!((seen.connected, event(&seen, "joinRoom")), (24, 24));
    let said = String::from_utf8_lossy(&told.output.stderr);
    assert!(said.contains("connect"), "{said}");
}
