//! Patterns of arrivals: what the schedule of the record holds is offered by three nodes, each arrival once, and the
//! target has counted it, whatever dies meanwhile.

use std::path::PathBuf;

use nuncius_load::schedule_of;
use nuncius_schemas::report::Report;
use nuncius_schemas::run::{RunRecord, RunStatus, Verdict};
use nuncius_schemas::spec::Instants;
use nuncius_schemas::units::SECOND_NS;
use serde_json::Value;

use crate::harness::{System, beside_others, stub_stats, until};
use crate::rest_harness::Face;

/// An experiment of one group with this load.
fn spec(id: &str, address: &str, load: &str, more: &str) -> String {
    format!(
        "id: {id}\n# The machines that run tests are busy: what is judged here is not their health.\n\
         lag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\nservices: {{target: ['{address}']}}\n{more}\n\
         groups:\n- target: http://target/\n  {load}\n"
    )
}

/// A directory with an experiment, and instants in milliseconds.
fn directory(system: &System, name: &str, spec: &str, instants_ms: &[u64]) -> PathBuf {
    let directory = system.directory.path().join(name);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("experiment.yaml"), spec).unwrap();
    let rows: String = instants_ms.iter().map(|at| format!("x,{}.{:03}\n", at / 1_000, at % 1_000)).collect();
    std::fs::write(directory.join("times.csv"), format!("what,at\n{rows}")).unwrap();
    directory
}

/// Six hundred in six seconds: eighty a second, and a hundred and twenty at once in the middle.
fn recorded_ms() -> Vec<u64> {
    let mut all: Vec<u64> = (0..480).map(|at| at * 12 + at % 7).chain((0..120).map(|_| 3_000)).collect();
    all.sort_unstable();
    all
}

const RECORDED: &str = "arrivals: {file: times.csv, column: at}\n  duration: 20s";

/// How many arrivals the schedule of a record holds in each second; of a file, with these instants.
fn planned(record: &RunRecord, instants_ms: &[u64]) -> Vec<u64> {
    let mut spec = record.spec.clone();
    for (_, _, recorded) in spec.recorded_mut() {
        recorded.instants = Some(Instants(instants_ms.iter().map(|at| at * 1_000_000).collect()));
    }
    let mut seconds = vec![0u64; 60];
    for arrival in schedule_of(&spec, 0, &spec.groups[0], 3).unwrap() {
        seconds[usize::try_from(arrival.planned_ns / SECOND_NS).unwrap()] += 1;
    }
    seconds
}

/// A run that passed: every number is that of the schedule of its record.
async fn assert_as_planned(system: &System, id: &str, address: &str, instants_ms: &[u64]) -> (RunRecord, Report) {
    let record = system.wait_for_end(id).await;
    let report = system.report(id).await;
    let ended = (record.status, record.verdict);
    assert_eq!(ended, (RunStatus::Finished, Some(Verdict::Pass)), "{record:?}: {:?}", report.reasons);
    let seconds = planned(&record, instants_ms);
    let all: u64 = seconds.iter().sum();
    assert_eq!((report.scheduled, report.offered, report.deficit), (all, all, 0), "{:?}", report.reasons);
    assert_eq!(stub_stats(address).requests, all);
    // Nothing is early; what a thread takes a little after the end of a second is in the next.
    let offered = &report.series[0].columns.offered;
    let (mut planned_sum, mut offered_sum) = (0, 0);
    for (second, (planned, offered_now)) in seconds.iter().zip(offered).enumerate() {
        (planned_sum, offered_sum) = (planned_sum + planned, offered_sum + offered_now);
        let least = planned_sum.saturating_sub(10 + planned / 4);
        assert!((least..=planned_sum).contains(&offered_sum), "second {second}: {offered:?}, planned {seconds:?}");
    }
    (record, report)
}

/// What a command says as JSON, which goes well.
fn json(system: &System, arguments: &[&str]) -> Value {
    let output = system.output(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a command that does not go well says, with its exit code.
fn refused(system: &System, arguments: &[&str]) -> (Option<i32>, String) {
    let output = system.output(arguments);
    let told = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&told).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sine_is_offered_as_it_was_told_beforehand() {
    let _turn = beside_others().await;
    let mut system = System::start(3).await;
    let address = system.start_stub(&[]);
    let load = "pattern: {sine: {min: 20/s, max: 180/s, period: 4s, phase: 3s}}\n  duration: 8s";
    let text = spec("sine", &address, load, "");
    let file = system.directory.path().join("sine.yaml");
    std::fs::write(&file, &text).unwrap();
    let told = json(&system, &["validate", file.to_str().unwrap()]);
    assert_eq!((&told["groups"][0]["scheduled"], &told["groups"][0]["offered_seconds"]), (&800.into(), &8.0.into()));
    let face = Face::start(&system, &[]);
    let (status, told) = face.ask("POST", "/api/v1/experiments/validate", "content-type: application/yaml\r\n", &text);
    let curve = &told["groups"][0]["curve"];
    let rate = |point: usize| curve[point][1].as_f64().unwrap();
    // Sixteen straight lines from the lowest rate to the highest.
    assert_eq!((status, &told["groups"][0]["scheduled"], curve.as_array().unwrap().len()), (200, &800.into(), 65));
    assert!((rate(0) - 20.0).abs() < 1e-6 && (rate(16) - 180.0).abs() < 1e-6, "{curve}");
    system.publish(text.as_bytes()).await;
    let (_, report) = assert_as_planned(&system, "sine", &address, &[]).await;
    assert_eq!(report.scheduled, 800);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_random_walk_is_the_same_for_all_nodes_and_can_be_steered() {
    let _turn = beside_others().await;
    let mut system = System::start(3).await;
    let address = system.start_stub(&[]);
    let load = "pattern: {random_walk: {min: 20/s, max: 160/s, sigma: 30}}\n  arrivals: poisson\n  duration: 10s";
    system.publish(spec("walk", &address, load, "horizon: 2s").as_bytes()).await;
    system.wait_for_requests(100).await;
    json(&system, &["scale", "walk", "--by", "2"]);
    let (record, _) = assert_as_planned(&system, "walk", &address, &[]).await;
    assert_eq!(record.spec.amendments.len(), 1);
    let mut written = record.clone();
    written.spec.amendments.clear();
    let (amended, plain) = (planned(&record, &[]).iter().sum::<u64>(), planned(&written, &[]).iter().sum::<u64>());
    assert!(amended > plain, "{amended} as amended, {plain} as written");
}

#[tokio::test(flavor = "multi_thread")]
async fn bursts_are_offered_and_a_run_of_them_is_offered_again_instant_by_instant() {
    let _turn = beside_others().await;
    let mut system = System::start(3).await;
    let address = system.start_stub(&[]);
    let load = "pattern: {bursts: {states: [{rate: 20/s, dwell: 1s}, {rate: 300/s, dwell: 300ms}]}}\n  \
                arrivals: poisson\n  duration: 7s";
    system.publish(spec("bursts", &address, load, "").as_bytes()).await;
    let (record, report) = assert_as_planned(&system, "bursts", &address, &[]).await;
    let directory = directory(&system, "again", &spec("again", &address, RECORDED, ""), &[]);
    let times = directory.join("times.csv");
    let told = json(&system, &["export", "bursts", "--arrivals", times.to_str().unwrap()]);
    assert_eq!((&told["group"], told["arrivals"].as_u64()), (&"main".into(), Some(report.scheduled)));
    let text = std::fs::read_to_string(&times).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let first: Vec<u64> =
        schedule_of(&record.spec, 0, &record.spec.groups[0], 3).unwrap().map(|arrival| arrival.planned_ns).collect();
    assert_eq!((lines[0], lines.len()), ("seconds", first.len() + 1));
    let again = spec("again", &address, "arrivals: {file: times.csv}\n  duration: 20s", "records: all");
    std::fs::write(directory.join("experiment.yaml"), again).unwrap();
    let output = system.output(&["run", directory.to_str().unwrap(), "--quiet"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let second = system.report("again").await;
    assert_eq!((second.scheduled, second.offered), (report.scheduled, report.offered), "{:?}", second.reasons);
    assert_eq!(stub_stats(&address).requests, 2 * report.offered);
    // Each request was planned at the instant that it had in the first run.
    let exported = json(&system, &["export", "again"]);
    let mut planned: Vec<(u64, u64)> = exported["requests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|request| (request["index"].as_u64().unwrap(), request["planned_ns"].as_u64().unwrap()))
        .collect();
    planned.sort_unstable();
    assert_eq!(planned.iter().map(|(_, at_ns)| *at_ns).collect::<Vec<_>>(), first);
    // What is made of that run is the same file once more.
    let file = system.directory.path().join("third.csv");
    json(&system, &["export", "again", "--arrivals", file.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_played_to_its_last_row_faster_when_it_is_scaled() {
    let _turn = beside_others().await;
    let mut system = System::start(3).await;
    let address = system.start_stub(&[]);
    let instants = recorded_ms();
    let load = "arrivals: {file: times.csv, column: at, speed: 0.5}\n  duration: 30s";
    let directory = directory(&system, "shop", &spec("file", &address, load, "horizon: 2s"), &instants);
    let path = directory.to_str().unwrap();
    let told = json(&system, &["validate", path]);
    assert_eq!(told["groups"][0]["scheduled"], 600, "{told}");
    let output = system.output(&["submit", path]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    system.wait_for_requests(60).await;
    let (_, told) = refused(&system, &["scale", "file", "--rate", "5/s"]);
    assert!(told.contains("how fast it is played"), "{told}");
    json(&system, &["pause", "file"]);
    json(&system, &["resume", "file"]);
    json(&system, &["scale", "file", "--by", "4"]);
    let slower: Vec<u64> = instants.iter().map(|at| at * 2).collect();
    let (record, report) = assert_as_planned(&system, "file", &address, &slower).await;
    assert_eq!((report.scheduled, record.spec.amendments.len()), (600, 3));
    let lasted_ms = record.ended_unix_ms.unwrap() - record.started_unix_ms.unwrap();
    assert!(lasted_ms < 20_000, "it was over with its last row: {lasted_ms} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_played_on_though_a_daemon_and_a_node_die() {
    let _turn = beside_others().await;
    let mut system = System::start(3).await;
    let address = system.start_stub(&[]);
    let instants: Vec<u64> = (0..2_400).map(|at| at * 10).collect();
    let load = "arrivals: {file: times.csv, column: at}\n  duration: 40s";
    let more = "horizon: 8s\nmax_deficit: 0.5\ngates: [failures < 50%]";
    let directory = directory(&system, "shop", &spec("dies", &address, load, more), &instants);
    let output = system.output(&["submit", directory.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    system.wait_for_requests(100).await;
    system.daemon.as_mut().unwrap().kill();
    system.start_daemon();
    until("the daemon goes on with it", async || {
        let events = system.events("dies").await;
        events.iter().any(|event| event.message.contains("watches the run from here on")).then_some(())
    })
    .await;
    system.clients[2].kill();
    let record = system.wait_for_end("dies").await;
    let report = system.report("dies").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
    assert_eq!((report.scheduled, report.offered + report.deficit), (2_400, 2_400), "{:?}", report.events);
    let told = report.events.iter().any(|event| event.message.contains("offer what n3 was to offer"));
    assert!(told, "{:?}", report.events);
    // What the lost node had sent without telling is in the deficit, as far as it is not accounted for.
    let came = stub_stats(&address).requests;
    assert!((report.offered..=report.offered + report.unaccounted).contains(&came), "{came}: {report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_played_is_refused_with_its_row_by_whoever_sees_it_first() {
    let _turn = beside_others().await;
    let system = System::start(1).await;
    let text = spec("wrong", "127.0.0.1:9", RECORDED, "");
    let directory = directory(&system, "wrong", &text, &[10, 20, 15]);
    let path = directory.to_str().unwrap();
    for command in ["run", "submit", "validate"] {
        let (code, told) = refused(&system, &[command, path]);
        let words = "groups[0].arrivals.file: times.csv: row 4: 0.015000000 is before 0.020000000";
        assert!(code == Some(64) && told.contains(words), "{command}: {code:?} {told}");
    }
    assert!(system.record("wrong").await.is_none(), "nothing was submitted");
    // What was deployed before is seen where it is needed.
    let deployed = system.output(&["app", "deploy", path]);
    assert!(deployed.status.success(), "{}", String::from_utf8_lossy(&deployed.stderr));
    let (code, told) = refused(&system, &["validate", "app:wrong"]);
    assert!(code == Some(5) && told.contains("row 4"), "{code:?} {told}");
    let output = system.output(&["submit", "app:wrong"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ended = system.wait_for_end("wrong").await;
    let reason = ended.reason.clone().unwrap_or_default();
    assert!(ended.status == RunStatus::Failed && reason.contains("times.csv: row 4"), "{ended:?}");
    // Without a bundle nobody looks for it anywhere.
    system.publish(text.replace("id: wrong", "id: bare").as_bytes()).await;
    let ended = system.wait_for_end("bare").await;
    let reason = ended.reason.clone().unwrap_or_default();
    assert!(ended.status == RunStatus::Failed && reason.contains("travels in a bundle"), "{ended:?}");
    // And what has no schedule, or several, is no file either.
    let (code, told) = refused(&system, &["export", "bare", "--arrivals", "-", "--group", "nobody"]);
    assert!(code == Some(64) && told.contains("no group `nobody`: there are main"), "{code:?} {told}");
}
