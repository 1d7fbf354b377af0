//! Every panel of every dashboard has data from a real Prometheus that has watched a live experiment.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nuncius_bus::{ConnectOptions, Headers, connect};
use nuncius_testkit::amqp::AmqpClient;
use nuncius_testkit::{RabbitMq, free_port};
use serde_json::Value;

use crate::harness::{PATIENCE, Process, beside_others, until};
use crate::observe_harness::{Observed, ask};

/// Parts of queries that have no data in a system that is well, or on machines without the hardware; and why. A panel
/// needs one query that has data all the same.
const WITHOUT_DATA: &[(&str, &str)] = &[
    ("nuncius_nats_account_store_limit_bytes", "the account has no limit"),
    ("nuncius_gateway_folded_series", "there are not too many series of anything"),
];

/// A load of every kind: HTTP in both models, some of it failing, sessions, jobs, servos.
fn spec() -> String {
    "id: shown
name: shown
creator: test
lag_limit: 10s
run_delay_limit: 1.0
heartbeat_limit: 1h
trace_ratio: 0.05
groups:
- {name: open, target: 'http://flaky/', rate: 50/s, duration: 20s}
- {name: closed, target: 'http://stub/', users: 2, duration: 20s, think_time: 50ms}
- name: session
  target: http://stub/
  users: 1
  duration: 20s
  meters: {answers: counter, sizes: {kind: histogram, unit: bytes}}
  script: {source: 'export function seen(context) { context.counter(\"answers\", 1); context.histogram(\"sizes\", 3) }'}
  steps:
  - get: {url: /, checks: [{status: 200}], after_response: seen}
  - think: 50ms
- {name: jobs, engine: queue, target: 'queue://sleep', users: 2, duration: 20s}
- {name: devices, engine: queue, target: 'queue://device', users: 2, duration: 20s}
- name: servos
  engine: servo
  target: http://oco/
  users: 4
  duration: 20s
  servo: {measure: 'uniform:100ms..300ms', adjust: 100ms, progress_interval: 50ms}
gates:
- {expression: failures < 99%}
"
    .to_owned()
}

/// A query of a panel.
struct Asked {
    place: String,
    expr: String,
    is_native: bool,
}

fn panels(panels: &Value, found: &mut Vec<Value>) {
    for panel in panels.as_array().into_iter().flatten() {
        if panel["type"] == "row" {
            self::panels(&panel["panels"], found);
        } else {
            found.push(panel.clone());
        }
    }
}

/// All queries of all panels, with the variables filled in.
fn asked() -> Vec<(String, Vec<Asked>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana/dashboards");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let board: Value = serde_json::from_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
        let mut all = Vec::new();
        panels(&board["panels"], &mut all);
        for panel in all {
            let place = format!("{}: {}", board["title"].as_str().unwrap(), panel["title"].as_str().unwrap());
            let is_native = place.contains(", native");
            let queries = panel["targets"].as_array().unwrap().iter().map(|target| Asked {
                place: place.clone(),
                expr: filled(target["expr"].as_str().unwrap()),
                is_native,
            });
            found.push((place.clone(), queries.collect()));
        }
    }
    found
}

fn filled(expr: &str) -> String {
    [
        ("$__rate_interval", "10s"),
        ("$__range", "2m"),
        ("$namespace", ".*"),
        ("$experiment", "shown"),
        ("$queue", "sleep"),
        ("$group", ".*"),
        ("$step", ".*"),
        ("$node", ".*"),
    ]
    .into_iter()
    .fold(expr.to_owned(), |expr, (variable, value)| expr.replace(variable, value))
}

/// Whether a query has had a value that is a number since `start`.
fn has_data(prometheus: &str, expr: &str, start: f64) -> bool {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let (start, end) = (start.to_string(), now.to_string());
    let parameters = [("query", expr), ("start", &start), ("end", &end), ("step", "1")];
    let answer = ask(prometheus, "/api/v1/query_range", &parameters);
    answer["data"]["result"].as_array().unwrap().iter().any(|series| {
        let values = series["values"].as_array().into_iter().flatten();
        let is_number = |value: &Value| value[1].as_str().is_some_and(|text| text != "NaN");
        values.into_iter().any(is_number) || series["histograms"].as_array().is_some_and(|list| !list.is_empty())
    })
}

/// A second Prometheus, which takes native histograms.
fn native(observed: &Observed) -> (Process, String) {
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let directory = observed.path("native");
    std::fs::create_dir(&directory).unwrap();
    let config = directory.join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n\
         - {{job_name: nuncius-gateway, static_configs: [{{targets: ['{}']}}]}}\n",
        observed.gateway
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--enable-feature=native-histograms")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    (Process::start(&mut command, &observed.path("native.log")), address)
}

/// A machine with all the hardware there is, as it tells of itself: the message that the wire format is held to.
const MACHINE: &[u8] = include_bytes!("../../../../schemas/examples/messages/node-telemetry.v1.msgpack");

/// Tells of that machine once a second.
async fn tell_of_a_machine(nats: String) {
    let options = ConnectOptions { urls: vec![nats], name: "machine".to_owned(), ..ConnectOptions::default() };
    let bus = connect(options).await.unwrap();
    loop {
        bus.publish(&bus.namespace().telemetry("edge-1"), &Headers::new(), MACHINE.into()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_of_every_dashboard_shows_something_of_a_live_experiment() {
    let _machine = beside_others().await;
    let observed = Observed::start(&[
        "--clients",
        "2",
        "--queue",
        "sleep",
        "--queue",
        "device",
        "--maddr",
        "127.0.0.1:0",
        "--emulator",
        "oco=127.0.0.1:0",
        "--emulator",
        "resource=127.0.0.1:0",
    ]);
    let (_native, native) = native(&observed);
    let telling = tokio::spawn(tell_of_a_machine(observed.nats.clone()));
    let broker = RabbitMq::start().await.unwrap_or_else(|problem| panic!("{problem}"));
    AmqpClient::connect(&broker.url()).await.unwrap().declare("foreign", None).await.unwrap();
    let _others = [
        observed.spawn(&["bridge", "--from", &format!("{}/foreign", broker.url()), "--to", "sleep"]),
        observed.spawn(&["emulator", "stub", "--listen", "127.0.0.1:0", "--error-rate", "0.1", "--register", "flaky"]),
        observed.spawn(&["emulator", "device", "gpu0", "--lanes", "2", "--work", "20ms"]),
        observed.spawn(&["worker", "--queue", "sleep", "--slots", "2", "--limit", "12s", "--ignore", "sleep", "0.05"]),
        observed
            .spawn(&["worker", "--queue", "device", "--slots", "2", "--limit", "12s", "--ignore", "device", "gpu0"]),
    ];
    until("all have joined", async || {
        let nodes = observed.command(&["nodes"]).output().unwrap();
        let text = String::from_utf8_lossy(&nodes.stdout).into_owned();
        (text.matches("worker").count() >= 2 && text.contains("gpu0")).then_some(())
    })
    .await;
    // A limit to be shown.
    let limited = observed.command(&["queue", "create", "sleep", "--qmax", "1000"]).output().unwrap();
    assert!(limited.status.success(), "{limited:?}");
    let pressed = observed.command(&["resource", "set", "--memory", "16MiB", "--for", "1m"]).output().unwrap();
    assert!(pressed.status.success(), "{pressed:?}");
    let start = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();

    let asked = asked();
    let mut empty: BTreeSet<(usize, usize)> = asked
        .iter()
        .enumerate()
        .flat_map(|(panel, (_, queries))| (0..queries.len()).map(move |at| (panel, at)))
        .collect();
    let look = |empty: &mut BTreeSet<(usize, usize)>| {
        empty.retain(|(panel, at)| {
            let query = &asked[*panel].1[*at];
            let prometheus = if query.is_native { &native } else { &observed.prometheus };
            !has_data(prometheus, &query.expr, start)
        });
    };
    tokio::task::block_in_place(|| observed.run("shown", &spec()));
    let deadline = Instant::now() + PATIENCE / 2;
    loop {
        look(&mut empty);
        let is_excused = |(panel, at): &(usize, usize)| {
            let query = &asked[*panel].1[*at].expr;
            WITHOUT_DATA.iter().any(|(part, _)| query.contains(part))
        };
        let unexcused: Vec<String> = empty
            .iter()
            .filter(|place| !is_excused(place))
            .map(|(panel, at)| format!("{}: {}", asked[*panel].1[*at].place, asked[*panel].1[*at].expr))
            .collect();
        let bare: Vec<&str> = asked
            .iter()
            .enumerate()
            .filter(|(panel, (_, queries))| (0..queries.len()).all(|at| empty.contains(&(*panel, at))))
            .map(|(_, (place, _))| place.as_str())
            .collect();
        if unexcused.is_empty() && bare.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "panels without data: {bare:#?}\nqueries without data: {unexcused:#?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    telling.abort();
}
