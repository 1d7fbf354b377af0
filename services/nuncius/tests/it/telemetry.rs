//! Telemetry of machines, as a user has it: sampled by one process of each, steered at run time, stored with the
//! experiments that chose it, exported as it was published.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use nuncius_bus::{Bus, Headers};
use nuncius_schemas::codec;
use nuncius_schemas::event::EventKind;
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_schemas::subjects::telemetry_lease;
use nuncius_schemas::telemetry::{NodeTelemetry, TelemetryControl, TelemetryState, for_each_value};
use nuncius_schemas::units::HumanDuration;
use nuncius_store::Store;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::harness::{Process, System, beside_others, open_spec, until};

/// The machine's name, as processes that are told no other give it.
pub(crate) fn host() -> String {
    nuncius_schemas::names::token_from_host(&rustix::system::uname().nodename().to_string_lossy())
}

/// Every sample from now on, in the order in which they come.
async fn listen(bus: &Bus) -> mpsc::Receiver<NodeTelemetry> {
    let (sender, receiver) = mpsc::channel(65_536);
    let mut samples = bus.subscribe(&bus.namespace().telemetry("*")).await.unwrap();
    bus.flush().await.unwrap();
    tokio::spawn(async move {
        while let Some(message) = samples.next().await {
            if let Ok(sample) = message.decode() {
                let _ = sender.send(sample).await;
            }
        }
    });
    receiver
}

async fn ask(bus: &Bus, node: &str, control: &TelemetryControl) -> TelemetryState {
    let subject = bus.namespace().telemetry_control(node);
    until("the sampler answers", async || {
        bus.request_message(&subject, "telemetry-control.v1", control, Duration::from_secs(5)).await.ok()
    })
    .await
}

/// The same for what is typed: standard output as JSON.
fn typed(system: &System, arguments: &[&str]) -> Value {
    let output = system.output(&[&["telemetry"], arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_sampled_by_one_of_its_processes_and_by_another_when_that_dies() {
    let _turn = beside_others().await;
    let system = System::start(2).await;
    let mut samples = listen(&system.bus).await;
    let state = ask(&system.bus, &host(), &TelemetryControl::Describe {}).await;
    assert_eq!(state.process, "client");
    let mut before = samples.recv().await.unwrap();
    for _ in 0..3 {
        let sample = samples.recv().await.unwrap();
        // Of two processes one tells: nothing is counted twice.
        assert_eq!((&sample.node, sample.epoch, sample.sequence), (&host(), before.epoch, before.sequence + 1));
        assert!(sample.cpu.as_ref().unwrap().times.total_ns() >= before.cpu.unwrap().times.total_ns());
        before = sample;
    }
    assert_eq!(before.epoch, state.epoch);
    let mut clients = system.clients;
    let holder = clients.iter_mut().find(|client| client.child.id() == state.process_id).unwrap();
    holder.kill();
    let next = loop {
        let sample = tokio::time::timeout(crate::harness::PATIENCE, samples.recv()).await.unwrap().unwrap();
        if sample.epoch != before.epoch {
            break sample;
        }
    };
    assert_eq!((next.node, next.machine, next.sequence), (before.node, before.machine, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_are_shown_paused_resumed_and_told_how_often_at_run_time() {
    let _turn = beside_others().await;
    let system = System::start(1).await;
    let node = host();
    let shown = typed(&system, &["show", "--wait", "30s"]);
    assert_eq!(shown[0]["node"], node);
    assert_eq!(shown[0]["state"]["period"], "1s");
    assert!(shown[0]["telemetry"]["memory"]["total_bytes"].as_u64().unwrap() > 0, "{shown}");
    let mut samples = listen(&system.bus).await;

    let paused = typed(&system, &["pause", &node]);
    assert_eq!((&paused[0]["state"]["is_paused"], &paused[0]["state"]["sampled_every"]), (&true.into(), &Value::Null));
    let sequence = paused[0]["state"]["sequence"].as_u64().unwrap();
    // What was under way may come; after two periods nothing has.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let state = ask(&system.bus, &node, &TelemetryControl::Describe {}).await;
    assert!(state.sequence <= sequence + 1, "{} samples while it was paused", state.sequence - sequence);
    while samples.try_recv().is_ok() {}

    typed(&system, &["period", &node, "0.2"]);
    typed(&system, &["resume", &format!("{}*", node.chars().next().unwrap())]);
    let mut at = Vec::new();
    while at.len() < 6 {
        let sample = samples.recv().await.unwrap();
        assert_eq!(sample.period_ns, 200_000_000);
        at.push(sample.at_monotonic_ns);
    }
    let mean_ns = (at[5] - at[0]) / 5;
    assert!((100_000_000..1_000_000_000).contains(&mean_ns), "every {mean_ns} ns");
    assert_eq!(typed(&system, &["period", &node])[0]["state"]["period"], "200ms");

    // Text for people has the same.
    let table = system.output(&["telemetry", "show"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains(&node) && table.contains("every 200ms"), "{table}");
    let figures = String::from_utf8(system.output(&["telemetry", "show", "--all"]).stdout).unwrap();
    assert!(figures.contains("cpu_system") && figures.contains("seconds"), "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_of_a_sampler_is_refused_with_what_to_do() {
    let _turn = beside_others().await;
    let system = System::start(1).await;
    let node = host();
    ask(&system.bus, &node, &TelemetryControl::Describe {}).await;
    for (arguments, code, told) in [
        (vec!["telemetry", "period", &node, "0.01"], 64, "samples are taken every 100ms to 1h"),
        (
            vec!["telemetry", "pause", "nobody-*"],
            5,
            "no machine of nobody-* is sampled; start `nuncius telemetry` there",
        ),
        (vec!["telemetry", "--period", "2h"], 64, "--period: period 2h"),
        (vec!["client", "--telemetry-period", "1ms"], 64, "--telemetry-period: period 1ms"),
    ] {
        let output = system.output(&arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(told), "{arguments:?}: {text}");
    }
    // A stranger with a plain client is answered in JSON, whatever it says.
    let subject = system.bus.namespace().telemetry_control(&node);
    for (payload, told) in [
        (&b"{}"[..], "action"),
        (b"{\"action\":\"stop\"}", "stop"),
        (b"{\"action\":\"pause\",\"for\":1}", "for"),
        (b"{\"action\":\"period\",\"period\":\"1ns\"}", "100ms to 1h"),
        (b"{\"action\":\"hold\",\"experiment\":\"a.b\",\"lasts\":\"1s\"}", "a.b"),
        (b"\xff\xff\xff", ""),
    ] {
        let asked =
            system.bus.request(&subject, &Headers::new(), payload.to_vec().into(), Duration::from_secs(5)).await;
        let state: TelemetryState = codec::decode(&asked.unwrap().payload).unwrap();
        let error = state.error.unwrap();
        assert!(error.contains(told), "{error}");
        assert!(!state.is_paused && state.holds.is_empty() && state.period == HumanDuration::from_secs(1));
    }
    let asked =
        system.bus.request(&subject, &Headers::new(), Default::default(), Duration::from_secs(5)).await.unwrap();
    assert_eq!(codec::decode::<TelemetryState>(&asked.payload).unwrap().error, None, "an empty question is one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_its_own_samples_a_machine_and_another_machine_of_the_same_name_gets_a_suffix() {
    let _turn = beside_others().await;
    let system = System::start(0).await;
    let start = |name: &str, arguments: &[&str]| {
        let log = system.directory.path().join(format!("{name}.log"));
        let mut command = system.command(&["telemetry", "--name", "edge", "--period", "200ms"]);
        Process::start(command.args(arguments).stdout(Stdio::null()), &log)
    };
    let mut samples = listen(&system.bus).await;
    let _first = start("first", &[]);
    let first = samples.recv().await.unwrap();
    assert_eq!((first.node.as_str(), first.period_ns), ("edge", 200_000_000));
    // A machine that was booted at another time, with a kernel that says little.
    let root = system.directory.path().join("root");
    for (file, text) in [
        ("proc/sys/kernel/random/boot_id", "00000000-0000-4000-8000-000000000001\n"),
        ("proc/loadavg", "0.50 0.25 0.00 1/7 9\n"),
        ("proc/stat", "no processors\n"),
        ("sys/class/thermal/thermal_zone0/type", "cpu\n"),
        ("sys/class/thermal/thermal_zone0/temp", "41000\n"),
    ] {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let (proc, sys) = (root.join("proc"), root.join("sys"));
    let _second = start("second", &["--proc", proc.to_str().unwrap(), "--sys", sys.to_str().unwrap()]);
    let second = loop {
        let sample = samples.recv().await.unwrap();
        if sample.node != "edge" {
            break sample;
        }
    };
    assert_eq!((second.node.as_str(), second.sequence), ("edge-2", 1));
    assert_eq!(second.machine, "00000000-0000-4000-8000-000000000001");
    let load = second.load.unwrap();
    assert_eq!((load.load1, load.threads, second.thermal[0].temperature_celsius), (0.5, 7, 41.0));
    assert!(second.cpu.is_none() && second.memory.is_none());
    assert!(second.problems[0].contains("proc/stat: has no line `cpu`"), "{:?}", second.problems);
    // Both are in the registry, and each answers for itself.
    let roles = until("both are seen", async || {
        let nodes = system.nodes().await;
        let names: BTreeSet<String> = nodes.into_iter().map(|node| node.name).collect();
        names.contains("edge-telemetry").then_some(names).filter(|names| names.contains("edge-2-telemetry"))
    });
    roles.await;
    let shown = typed(&system, &["show", "edge*"]);
    assert_eq!(shown.as_array().unwrap().len(), 2, "{shown}");
    assert!(shown[1]["state"]["problems"][0].as_str().unwrap().contains("has no line `cpu`"), "{shown}");
}

/// The figures of a sample as the export has them.
fn lines_of(id: &str, sample: &NodeTelemetry) -> Vec<String> {
    let (seconds, rest) = (sample.at_unix_ns / 1_000_000_000, sample.at_unix_ns % 1_000_000_000);
    let mut lines = Vec::new();
    for_each_value(sample, |value| {
        lines.push(format!(
            "{id},{seconds}.{rest:09},{},{},{},{},{}",
            value.metric.name,
            value.subsystem,
            sample.node,
            value.value,
            value.metric.unit.name()
        ));
    });
    lines.sort();
    lines
}

/// The lines of an experiment's telemetry.csv, by the instant they are of.
fn exported(system: &System, id: &str) -> BTreeMap<String, Vec<String>> {
    let directory = system.directory.path().join(format!("{id}-csv"));
    let output = system.output(&["export", id, "--csv", "--out", directory.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(directory.join("telemetry.csv")).unwrap();
    let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
    assert_eq!(lines.next(), Some("EXP_ID,TIMESTAMP,METRIC,SUBSYSTEM,NODE,VALUE,UNIT"));
    let mut exported: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        exported.entry(line.split(',').nth(1).unwrap().to_owned()).or_default().push(line.to_owned());
    }
    exported.values_mut().for_each(|lines| lines.sort());
    exported
}

fn taken(samples: &mut mpsc::Receiver<NodeTelemetry>) -> Vec<NodeTelemetry> {
    std::iter::from_fn(|| samples.try_recv().ok()).collect()
}

fn instant(sample: &NodeTelemetry) -> String {
    format!("{}.{:09}", sample.at_unix_ns / 1_000_000_000, sample.at_unix_ns % 1_000_000_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_of_an_experiment_is_what_was_published_and_goes_with_it() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let node = host();
    ask(&system.bus, &node, &TelemetryControl::Describe {}).await;
    // Nobody samples at present: the experiment has it done.
    typed(&system, &["pause", &node]);
    let mut samples = listen(&system.bus).await;
    let telemetry = format!("telemetry: {{nodes: [{node}, somebody-else], period: 200ms}}");
    system.publish(open_spec("chosen", &address, "150/s", "3s", &telemetry).as_bytes()).await;
    system.publish(open_spec("unchosen", &address, "50/s", "1s", "").as_bytes()).await;
    system.wait_for_status("chosen", RunStatus::Running).await;
    let held = until("the machine is held", async || {
        let state = ask(&system.bus, &node, &TelemetryControl::Describe {}).await;
        state.holds.first().cloned()
    })
    .await;
    assert_eq!((held.experiment.as_str(), held.period), ("chosen", Some(HumanDuration::from_millis(200))));
    let record = system.wait_for_end("chosen").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)));
    system.wait_for_end("unchosen").await;
    let state = ask(&system.bus, &node, &TelemetryControl::Describe {}).await;
    assert!(state.holds.is_empty() && state.is_paused && state.sampled_every.is_none(), "{state:?}");

    let published = taken(&mut samples);
    let exported = exported(&system, "chosen");
    let stored: Vec<&NodeTelemetry> =
        published.iter().filter(|sample| exported.contains_key(&instant(sample))).collect();
    assert!(stored.len() >= 10, "{} of {} samples", stored.len(), published.len());
    assert_eq!(stored.len(), exported.len(), "every instant was published");
    let (first, last) = (stored[0].sequence, stored[stored.len() - 1].sequence);
    assert_eq!(stored.len() as u64, last - first + 1, "none between is missing");
    for sample in &stored {
        assert_eq!(exported[&instant(sample)], lines_of("chosen", sample));
    }
    let warned = system.events("chosen").await;
    assert!(warned.iter().all(|event| !event.message.contains("telemetry")), "{warned:?}");

    // The same in the document, and in the table that Galileo has.
    let document = system.output(&["export", "chosen", "--json"]);
    let document: Value = serde_json::from_slice(&document.stdout).unwrap();
    let rows: usize = exported.values().map(Vec::len).sum();
    assert_eq!(document["telemetry"].as_array().unwrap().len(), rows);
    assert_eq!(document["telemetry"][0]["node"], node);

    let output = system.output(&["export", "unchosen", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["telemetry"].as_array().unwrap().len(), 0);

    assert!(system.output(&["rm", "chosen"]).status.success());
    let store = Store::open(system.data().join("nuncius.db")).await.unwrap();
    assert_eq!(store.telemetry_rows("chosen").await.unwrap(), 0);
    assert!(store.telemetry_coverage("chosen").await.unwrap().is_empty());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_takes_a_run_over_goes_on_storing_and_says_what_was_lost_meanwhile() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let mut samples = listen(&system.bus).await;
    let telemetry = "telemetry: {nodes: true, period: 200ms}";
    system.publish(open_spec("passed-on", &address, "50/s", "9s", telemetry).as_bytes()).await;
    system.wait_for_requests(150).await;
    system.daemon.as_mut().unwrap().kill();
    let killed_ns = nuncius_clock::unix_ns();
    tokio::time::sleep(Duration::from_secs(1)).await;
    system.start_daemon();
    let record = system.wait_for_end("passed-on").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)));
    let exported = exported(&system, "passed-on");
    let published = taken(&mut samples);
    let stored: Vec<&NodeTelemetry> =
        published.iter().filter(|sample| exported.contains_key(&instant(sample))).collect();
    assert_eq!(stored.len(), exported.len());
    let before = stored.iter().filter(|sample| sample.at_unix_ns < killed_ns).count();
    assert!(before > 3 && stored.len() > before + 3, "{before} before, {} in all", stored.len());
    for sample in &stored {
        assert_eq!(exported[&instant(sample)], lines_of("passed-on", sample));
    }
    let (first, last) = (stored[0].sequence, stored[stored.len() - 1].sequence);
    let lost = last - first + 1 - stored.len() as u64;
    assert!(lost > 0, "nobody listened for a second");
    let told = format!("telemetry: {lost} samples of node {} are missing between its others", host());
    let events = system.events("passed-on").await;
    let warned = events.iter().filter(|event| event.kind == EventKind::Warning && event.message == told);
    assert_eq!(warned.count(), 1, "{told}: {events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn telemetry_that_is_garbage_too_much_or_nowhere_is_told_and_harms_no_run() {
    let _turn = beside_others().await;
    let mut system = System::start_with(1, Vec::new(), "", &["--telemetry-rows", "400"]).await;
    let address = system.start_stub(&[]);
    ask(&system.bus, &host(), &TelemetryControl::Describe {}).await;
    let names = system.bus.namespace().clone();
    // Somebody who holds a lease and answers nothing.
    let leases = system.bus.kv(&names.bucket_lease()).await.unwrap();
    leases.put(&telemetry_lease("deaf"), b"x".to_vec().into()).await.unwrap();
    let spec = open_spec("harmed", &address, "100/s", "4s", "telemetry: {nodes: true, period: 100ms}");
    system.publish(spec.as_bytes()).await;
    let nobody = open_spec("nowhere", &address, "400/s", "1s", "telemetry: {nodes: nobody-*}");
    system.publish(nobody.as_bytes()).await;
    system.wait_for_status("harmed", RunStatus::Running).await;
    let bus = system.bus.clone();
    let impostor = NodeTelemetry { node: "other".to_owned(), ..NodeTelemetry::default() };
    let noise = tokio::spawn(async move {
        loop {
            for payload in [vec![0xff; 64], b"{}".to_vec(), codec::encode(&impostor).unwrap(), vec![b'['; 300_000]] {
                let subject = bus.namespace().telemetry("liar");
                let _ = bus.publish(&subject, &Headers::new(), payload.into()).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    for id in ["harmed", "nowhere"] {
        let record = system.wait_for_end(id).await;
        assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{id}: {record:?}");
    }
    noise.abort();
    let messages: Vec<String> = system.events("harmed").await.into_iter().map(|event| event.message).collect();
    for told in [
        "400 figures are stored, the limit (`--telemetry-rows` of the daemon)",
        "samples came after the limit of 400 figures",
        "a sample of node liar cannot be read",
        "node liar told a sample of `other`",
        "node deaf is not asked for samples",
        "node deaf told nothing",
    ] {
        let found = messages.iter().filter(|message| message.contains(told)).count();
        assert!(found >= 1, "{told}: {messages:#?}");
    }
    assert!(messages.len() < 60, "{messages:#?}");
    let store = Store::open(system.data().join("nuncius.db")).await.unwrap();
    let rows = store.telemetry_rows("harmed").await.unwrap();
    store.close().await;
    assert!(rows > 0 && rows <= 400, "{rows}");
    let messages: Vec<String> = system.events("nowhere").await.into_iter().map(|event| event.message).collect();
    let told = "telemetry: no machine of `nobody-*` is sampled; start `nuncius telemetry` there";
    assert!(messages.iter().any(|message| message == told), "{messages:#?}");
}
