//! Systems under test as a user starts them: servos that drive OCO backends, over nodes and over a kill; pressure on a
//! node.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use nuncius_schemas::event::EventKind;
use nuncius_schemas::report::Report;
use nuncius_schemas::run::Verdict;
use nuncius_testkit::{TempDir, free_port};
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{PATIENCE, Process, System, beside_others, nuncius, until};

/// Starts an emulator and gives its address.
fn start(command: &mut Command, log: &Path) -> (Process, String) {
    let mut process = Process::start(command.stdout(Stdio::piped()), log);
    let mut line = String::new();
    BufReader::new(process.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
    let address = address.unwrap_or_else(|| panic!("{line:?}: {}", std::fs::read_to_string(log).unwrap_or_default()));
    (process, address.to_owned())
}

/// One request; the status and the body.
fn send(address: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nhost: {address}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {answer:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn json(address: &str, path: &str) -> Value {
    let (status, body) = send(address, "GET", path, "");
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// An experiment of servos; `more` is put among their options.
fn servos(id: &str, target: &str, servos: u32, duration: &str, more: &str) -> String {
    format!(
        "id: {id}\nlag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\ngroups:\n- engine: servo\n  target: {target}\n  users: {servos}\n  \
         duration: {duration}\n  servo: {{measure: 'uniform:100ms..300ms', adjust: 100ms, progress_interval: 50ms, \
         start_spread: 500ms, {more}}}\n"
    )
}

fn step<'a>(report: &'a Report, name: &str) -> &'a nuncius_schemas::report::StepReport {
    report.groups[0].steps.iter().find(|step| step.name == name).unwrap()
}

#[tokio::test]
async fn nodes_share_servos_whose_cycles_the_report_tells() {
    let _machine = beside_others().await;
    let system = System::start(3).await;
    let log = system.directory.path().join("oco.log");
    let (_oco, address) =
        start(&mut system.command(&["emulator", "oco", "--http", "127.0.0.1:0", "--register", "oco"]), &log);
    until("the service is known", async || {
        let routes = system.output(&["route", "ls", "--json"]);
        String::from_utf8_lossy(&routes.stdout).contains(&address).then_some(())
    })
    .await;
    system.publish(servos("http", "http://oco/", 60, "4s", "").as_bytes()).await;
    system.wait_for_end("http").await;
    let report = system.report("http").await;
    assert_eq!(report.nodes.iter().filter(|node| node.offered > 0).count(), 3, "{:?}", report.reasons);
    let cycles = report.groups[0].cycles.clone().unwrap();
    assert_eq!(cycles.servos, 60);
    assert!(cycles.min > 0 && cycles.total >= 60 && cycles.unevenness.is_some(), "{cycles:?}");
    for name in ["hello", "whats_next", "description", "measurement_progress", "measurement", "adjustment", "goodbye"] {
        let step = step(&report, name);
        assert!(step.succeeded >= 60 && step.failed == 0, "{name}: {step:?}");
        assert!(!step.quantities.is_empty(), "{name}");
    }
    // The backends say the same: no event was out of sequence, and each application had one servo.
    let statistics = json(&address, "/stats");
    assert_eq!((&statistics["n"], &statistics["errors"]), (&Value::from(60), &Value::from(0)), "{statistics}");
    let measured = statistics["cycles"].as_u64().unwrap();
    assert_eq!(measured, step(&report, "measurement").succeeded);

    // The same backends over the bus.
    system.publish(servos("bus", "nats://oco", 20, "2s", "app_template: 'other{n}'").as_bytes()).await;
    system.wait_for_end("bus").await;
    let report = system.report("bus").await;
    assert_eq!(report.groups[0].cycles.as_ref().unwrap().servos, 20, "{:?}", report.reasons);
    assert_eq!(json(&address, "/stats")["errors"], 0);
    assert_eq!(json(&address, "/")["n"], 80);
}

#[tokio::test]
async fn a_killed_backend_that_keeps_its_state_causes_no_sequence_error() {
    let _machine = beside_others().await;
    let system = System::start(1).await;
    let port = free_port().unwrap();
    let http = format!("127.0.0.1:{port}");
    let log = |number: u32| system.directory.path().join(format!("oco-{number}.log"));
    let command = || system.command(&["emulator", "oco", "--http", &http, "--state", "kv", "--register", "backends"]);
    let (mut oco, address) = start(&mut command(), &log(0));
    // As real servos do: the same event again until it is answered.
    let spec = servos("kill", &format!("http://{address}/"), 100, "8s", "retry: always, retry_delay: 100ms");
    system.publish(spec.as_bytes()).await;
    for kill in 1..=3 {
        until("the servos are at work", async || {
            let statistics = json(&address, "/stats");
            (statistics["events"]["MEASUREMENT"].as_u64()? > 100 && statistics["events"]["ADJUSTMENT"].as_u64()? > 100)
                .then_some(())
        })
        .await;
        assert_eq!(json(&address, "/stats")["errors"], 0, "before kill {kill}");
        oco.kill();
        oco = start(&mut command(), &log(kill)).0;
    }
    system.wait_for_end("kill").await;
    let report = system.report("kill").await;
    assert_eq!(json(&address, "/stats")["errors"], 0, "{:?}", report.groups[0].steps);
    let refused = report.groups[0].steps.iter().flat_map(|step| &step.failures).find(|failure| failure.status == 400);
    assert_eq!(refused, None);
    assert!(report.groups[0].cycles.as_ref().unwrap().min > 0);
    let routes = || String::from_utf8_lossy(&system.output(&["route", "ls"]).stdout).into_owned();
    // The one that is there now has the route once the lease of the one before is over.
    until("they are led to it", async || routes().contains("backends").then_some(())).await;
    oco.signal(Signal::TERM);
    until("it has ended", async || oco.child.try_wait().unwrap()).await;
    // Its own route goes with it, that of a killed one with its lease.
    until("nobody is led to it any more", async || (!routes().contains("backends")).then_some(())).await;
}

#[tokio::test]
async fn servos_run_from_one_command_against_any_service() {
    let _machine = beside_others().await;
    let directory = TempDir::new("servos").unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut command = nuncius();
    command.args(["emulator", "oco", "--http", "127.0.0.1:0", "--mode", "service"]).arg("--data").arg(path("data"));
    let (_oco, address) = start(&mut command, &path("oco.log"));
    let mut command = nuncius();
    command.args(["emulator", "servo", "--url", &format!("http://{address}/"), "--servos", "20", "--for", "2s"]);
    command.args(["--measure", "200ms", "--adjust", "100ms", "--progress-interval", "50ms", "--start-spread", "0"]);
    command.args(["--fault", "crash=0.05", "--quiet", "--json"]).arg(path("report.json"));
    let output = command.arg("--data").arg(path("data")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(matches!(output.status.code(), Some(0 | 1 | 3 | 4)), "{text} {}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("cycles") && text.contains("(max - min)/average"), "{text}");
    let report: Report = serde_json::from_str(&std::fs::read_to_string(path("report.json")).unwrap()).unwrap();
    assert_eq!(step(&report, "hello").succeeded, 20);
    assert!(step(&report, "goodbye").succeeded < 20, "some have crashed");

    for wrong in [["--fault", "crash"], ["--fault", "crash=2"], ["--servos", "0"], ["--progress-interval", "0s"]] {
        let output = nuncius().args(["emulator", "servo"]).args(wrong).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(64) && error.contains(wrong[0]), "{error}");
    }
    let mut command = nuncius();
    command.args(["emulator", "oco", "--http", &address]).arg("--data").arg(path("data"));
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(5) && error.contains(&address) && error.contains("--http"), "{error}");
}

/// What lies in a directory.
fn entries(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().flatten();
    names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn nothing_is_left_on_disk_whichever_way_a_consumer_ends() {
    let _machine = beside_others().await;
    let directory = TempDir::new("resource").unwrap();
    let files = directory.path().join("files");
    std::fs::create_dir(&files).unwrap();
    std::fs::create_dir(files.join("somebody-else")).unwrap();
    let command = || {
        let mut command = nuncius();
        command.args(["emulator", "resource", "--http", "127.0.0.1:0", "--floor", "0"]);
        command.arg("--data").arg(directory.path().join("data")).env("DATADIR", &files);
        command
    };
    let log = directory.path().join("resource.log");
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::KILL] {
        let (mut process, address) = start(&mut command(), &log);
        let (status, body) = send(&address, "POST", "/v1/disk", r#"{"amount": "8MiB"}"#);
        assert_eq!(status, 202, "{body}");
        until("the files are there", async || (json(&address, "/v1/disk")["phase"] == "holding").then_some(())).await;
        assert_eq!(entries(&files).len(), 2);
        process.signal(signal);
        let status = until("it has ended", async || process.child.try_wait().unwrap()).await;
        if signal == Signal::KILL {
            assert_eq!(entries(&files).len(), 2);
        } else {
            assert_eq!(status.code(), Some(0), "{signal:?}");
            assert_eq!(entries(&files), ["somebody-else"], "{signal:?}");
        }
    }
    // The next one takes away what a killed one left, and nothing else.
    let (_process, _) = start(&mut command(), &log);
    until("what was left is gone", async || (entries(&files) == ["somebody-else"]).then_some(())).await;
}

#[tokio::test]
async fn a_dump_shows_in_the_log_what_memory_holds() {
    let _machine = beside_others().await;
    let directory = TempDir::new("dump").unwrap();
    let log = directory.path().join("resource.log");
    let mut command = nuncius();
    command.args(["emulator", "resource", "--http", "127.0.0.1:0", "--compat", "--only", "memory", "--data"]);
    let (_process, address) = start(command.arg(directory.path().join("data")), &log);
    let (_, body) = send(&address, "GET", "/api/mem/set?size=1048576", "");
    assert!(body.starts_with("Memory data request sent for 1048576 bytes"), "{body}");
    until("the memory is held", async || (json(&address, "/v1/memory")["phase"] == "holding").then_some(())).await;
    let plain = send(&address, "GET", "/api/mem/getact", "");
    assert_eq!(send(&address, "GET", "/api/mem/getact?dump=true", ""), plain);
    let lines = || std::fs::read_to_string(&log).unwrap_or_default().matches("size_bytes=262144").count();
    until("every part is in the log", async || (lines() == 4).then_some(())).await;
}

#[tokio::test]
async fn a_fleet_is_put_under_pressure_by_label_and_by_an_experiment() {
    let _machine = beside_others().await;
    let mut system = System::start(1).await;
    let stub = system.start_stub(&[]);
    let mut emulators = Vec::new();
    for (name, zone) in [("r1", "a"), ("r2", "a"), ("r3", "b")] {
        let label = format!("zone={zone}");
        let mut command = system.command(&["emulator", "resource", "--http", "127.0.0.1:0", "--name", name, "--label"]);
        command.arg(label).env("DATADIR", system.directory.path());
        if zone == "b" {
            command.args(["--only", "memory", "--only", "cpu"]);
        }
        emulators.push(start(&mut command, &system.directory.path().join(format!("{name}.log"))));
    }
    system.wait_for_nodes(5).await;
    let held = |address: &str| json(address, "/v1/memory")["actual_bytes"].as_u64().unwrap();
    let set = system.output(&["resource", "set", "--nodes", "zone=a", "--memory", "16MiB", "--for", "1h"]);
    let text = String::from_utf8_lossy(&set.stdout);
    assert_eq!(set.status.code(), Some(0), "{text} {}", String::from_utf8_lossy(&set.stderr));
    assert!(text.contains("r1") && text.contains("r2") && !text.contains("r3"), "{text}");
    for (emulator, wanted) in emulators.iter().zip([16u64 << 20, 16 << 20, 0]) {
        until("it is held", async || (held(&emulator.1) == wanted).then_some(())).await;
    }
    assert_eq!(system.output(&["resource", "release"]).status.code(), Some(0));
    for emulator in &emulators {
        until("it is released", async || (held(&emulator.1) == 0).then_some(())).await;
    }
    let listed = system.output(&["resource", "ls", "--names", "r3", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2, "no disk: {listed}");
    let disk = system.output(&["resource", "set", "--nodes", "zone=b", "--disk", "1MiB"]);
    let told = String::from_utf8_lossy(&disk.stdout).into_owned();
    assert!(disk.status.code() == Some(5) && told.contains("disk is not offered by r3"), "{told}");
    let nobody = system.output(&["resource", "set", "--nodes", "zone=c", "--cpu", "10%"]);
    assert_eq!(nobody.status.code(), Some(5));
    assert_eq!(system.output(&["resource", "set"]).status.code(), Some(64));

    let stress = "stress:\n- {nodes: {labels: {zone: b}}, at: 500ms, for: 10m, memory: 8MiB, cpu: 5%}\n\
                  - {nodes: {labels: {zone: c}}, for: 1s, disk: 1MiB}\n";
    let spec = crate::harness::open_spec("pressed", &stub, "20/s", "3s", stress);
    system.publish(spec.as_bytes()).await;
    until("the experiment presses", async || (held(&emulators[2].1) == 8 << 20).then_some(())).await;
    system.wait_for_end("pressed").await;
    until("the pressure ends with the run", async || (held(&emulators[2].1) == 0).then_some(())).await;
    assert_eq!(held(&emulators[0].1), 0);
    let events = system.events("pressed").await;
    let said =
        |kind: EventKind, text: &str| events.iter().any(|event| event.kind == kind && event.message.contains(text));
    assert!(said(EventKind::Node, "stress[0]: memory 8MiB for 10m on r3"), "{events:?}");
    assert!(said(EventKind::Node, "stress[0]: cpu 5%"), "{events:?}");
    assert!(said(EventKind::Warning, "stress[1]: no emulator of resources matches"), "{events:?}");
    let report = system.report("pressed").await;
    assert_eq!(report.verdict, Some(Verdict::Invalid), "the nodes were not under the pressure that was meant");
    assert!(report.reasons.iter().any(|reason| reason.contains("stress[1]")), "{:?}", report.reasons);
}
