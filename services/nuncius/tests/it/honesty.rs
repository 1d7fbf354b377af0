//! A measurement says what it is worth: time that a target stood still is in the numbers, what was not answered is
//! shown from below, a starved generator is no slow target, and too little data decides nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nuncius_schemas::gate::Quantity;
use nuncius_schemas::report::{Report, StepReport};
use nuncius_schemas::run::{RunStatus, Verdict};
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{System, beside_others, open_spec, undisturbed};

fn step(report: &Report) -> &StepReport {
    &report.groups[0].steps[0]
}

fn quantile_ns(report: &Report, quantity: Quantity, quantile: f64) -> (f64, bool) {
    let summary = &step(report).quantities[&quantity];
    let found = summary.quantiles.iter().find(|q| (q.quantile - quantile).abs() < 1e-9).unwrap();
    (found.value_ns as f64, found.at_least)
}

/// The request records of a run, as `nuncius export --json` gives them.
fn exported(system: &System, id: &str) -> Vec<Value> {
    let output = system.output(&["export", id, "--json"]);
    assert!(output.status.success(), "{output:?}");
    let mut document: Value = serde_json::from_slice(&output.stdout).unwrap();
    match document["requests"].take() {
        Value::Array(rows) => rows,
        other => panic!("requests: {other}"),
    }
}

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("{name}: {row}"))
}

/// A server that stands still for two seconds of twenty (Tene's test of coordinated omission).
///
/// Arrivals come every 1/λ. Those planned while it stands, k = 0, 1, 2 … after the stop, are answered in order once it
/// runs again. With F the length of the stop and r the rate at which it then works them off, the k-th is answered F +
/// k/r after the stop and was planned k/λ after it:
///
///   response(k) = F + k/r − k/λ = F − k·(1/λ − 1/r)
///
/// which falls with k, so that exactly k of all N requests took longer. The q-quantile of all is therefore response((1
/// − q)·N). With r = ∞ that is the well-known p95 = F − 1 s, p99 = F − 0.2 s for N = 20 000, λ = 1000/s. The
/// drain rate is taken from the request records, F from the clock around the two signals.
///
/// A machine that is too busy to measure says so: then there is nothing to compare, and it is asked again.
#[tokio::test(flavor = "multi_thread")]
async fn two_frozen_seconds_are_in_the_response_time() {
    let _turn = undisturbed().await;
    let mut system = System::start(1).await;
    for attempt in ["frozen-1", "frozen-2", "frozen-3"] {
        let (report, frozen_ns) = freeze_for_two_seconds(&mut system, attempt).await;
        assert_eq!((report.offered, step(&report).succeeded, step(&report).censored), (20_000, 20_000, 0));
        let starved = report.reasons.iter().all(|reason| reason.contains("starved"));
        let (lag_p99, _) = quantile_ns(&report, Quantity::Lag, 0.99);
        if (report.verdict == Some(Verdict::Invalid) && starved) || lag_p99 >= 50e6 {
            eprintln!("{attempt}: lag p99 {lag_p99} ns; {:?}", report.reasons);
            continue;
        }
        let answered = Answered::of(&exported(&system, attempt), frozen_ns);
        assert_eq!((report.status, report.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
        match compare_with_formula(&report, &answered, frozen_ns) {
            Ok(()) => return,
            // The formula has the held ones answered evenly: on a machine that took long over them they were not.
            Err(told) => assert!(answered.drained_ns >= 0.06 * frozen_ns, "{told}"),
        }
    }
    panic!("this machine is too busy to keep to a schedule of 1000/s");
}

/// Twenty seconds of 1000/s with a stop after the eighth, and how long the stop lasted in nanoseconds.
async fn freeze_for_two_seconds(system: &mut System, id: &str) -> (Report, f64) {
    let address = system.start_stub(&["--service-time", "0"]);
    // A burst of two thousand answers takes the processors for a moment: that is not what is judged here.
    let spec = open_spec(id, &address, "1000/s", "20s", "records: all")
        .replace("lag_limit: 10s", "lag_limit: 100ms")
        .replace("run_delay_limit: 1.0", "run_delay_limit: 0.5")
        + "  max_in_flight: 4000\n";
    system.publish(spec.as_bytes()).await;
    system.wait_for_requests(8_000).await;
    let stub = &system.stub.as_ref().unwrap().0;
    let stopped = Instant::now();
    stub.signal(Signal::STOP);
    tokio::time::sleep(Duration::from_secs(2)).await;
    stub.signal(Signal::CONT);
    let frozen_ns = stopped.elapsed().as_nanos() as f64;
    system.wait_for_end(id).await;
    (system.report(id).await, frozen_ns)
}

/// How those were answered that were planned before the first answer after the stop.
struct Answered {
    held: usize,
    drained_ns: f64,
}

impl Answered {
    fn of(rows: &[Value], frozen_ns: f64) -> Self {
        assert_eq!(rows.len(), 20_000);
        let mut by_done: Vec<(f64, f64)> =
            rows.iter().map(|row| (number(row, "done_ns"), number(row, "planned_ns"))).collect();
        by_done.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (before, thaw_ns) = by_done
            .windows(2)
            .map(|pair| (pair[0].0, pair[1].0))
            .max_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0)))
            .unwrap();
        assert!((thaw_ns - before - frozen_ns).abs() < 0.1e9, "the longest silence is the stop: {}", thaw_ns - before);
        let held = by_done.iter().filter(|(done, planned)| *done >= thaw_ns && *planned < thaw_ns);
        let held: Vec<f64> = held.map(|(done, _)| *done).collect();
        Self { held: held.len(), drained_ns: held.last().unwrap() - thaw_ns }
    }
}

fn compare_with_formula(report: &Report, answered: &Answered, frozen_ns: f64) -> Result<(), String> {
    let drained_ns = answered.drained_ns;
    let between_answers_ns = drained_ns / answered.held as f64;
    let between_arrivals_ns = 1e6;
    let expected = |q: f64| frozen_ns - (1.0 - q) * 20_000.0 * (between_arrivals_ns - between_answers_ns);
    let (p50, _) = quantile_ns(report, Quantity::Response, 0.5);
    assert!(p50 < 10e6, "p50 {p50}");
    for q in [0.95, 0.99] {
        let (measured, at_least) = quantile_ns(report, Quantity::Response, q);
        let expected = expected(q);
        let told = format!("p{}: {measured} measured, {expected} expected, drained in {drained_ns}", q * 100.0);
        if (measured / expected - 1.0).abs() >= 0.03 || at_least {
            return Err(told);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_answered_is_censored_and_shown_from_below() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&["--service-time", "0"]);
    let spec = open_spec(
        "censored",
        &address,
        "500/s",
        "10s",
        "drain: 1s\ngates: ['p99(response) < 60s', 'p50(response) < 60s']",
    ) + "  max_in_flight: 4000\n";
    system.publish(spec.as_bytes()).await;
    // The end of the ninth second; the exact instant of the signal decides about a few.
    system.wait_for_requests(4_500).await;
    system.stub.as_ref().unwrap().0.signal(Signal::STOP);
    let record = system.wait_for_end("censored").await;
    let report = system.report("censored").await;
    let step = step(&report);
    assert_eq!((report.scheduled, report.offered, step.planned), (5_000, 5_000, 5_000));
    assert_eq!((step.succeeded + step.censored, step.failed), (5_000, 0), "{step:?}");
    assert!((400..=510).contains(&step.censored), "a tenth of them: {}", step.censored);
    let response = &step.quantities[&Quantity::Response];
    assert_eq!((response.count, response.censored), (step.succeeded, step.censored));
    let (p50, p50_at_least) = quantile_ns(&report, Quantity::Response, 0.5);
    let (p99, p99_at_least) = quantile_ns(&report, Quantity::Response, 0.99);
    assert!(!p50_at_least && p99_at_least, "{response:?}");
    // The oldest of them had waited for the last second and the drain.
    assert!(p50 < 500e6 && (1e9..=2.5e9).contains(&p99), "{p50} {p99}");
    assert!(response.max_ns < 5_000_000_000, "{response:?}");

    // A limit far above everything that was seen is not kept to by what was not answered.
    assert_eq!(
        (record.status, record.verdict),
        (RunStatus::Finished, Some(Verdict::Undetermined)),
        "{:?}",
        report.reasons
    );
    let outcomes: Vec<Verdict> = report.gates.iter().map(|gate| gate.outcome).collect();
    // What never ended may have failed: nor is it known whether 1 % did.
    assert_eq!(outcomes, [Verdict::Undetermined, Verdict::Pass, Verdict::Undetermined], "{:?}", report.gates);
    assert!(report.gates[0].reason.contains('≥') && report.gates[0].reason.contains("censored"), "{:?}", report.gates);

    let text = String::from_utf8(system.output(&["report", "censored"]).stdout).unwrap();
    let line = text.lines().find(|line| line.contains(" response ")).expect(&text);
    assert!(line.contains('≥'), "{text}");
    let json: Value = serde_json::from_slice(&system.output(&["report", "censored", "--json"]).stdout).unwrap();
    let quantiles = &json["groups"][0]["steps"][0]["quantities"]["response"]["quantiles"];
    let p99 = quantiles.as_array().unwrap().iter().find(|q| q["quantile"] == 0.99).unwrap();
    assert_eq!(p99["at_least"], true, "{p99}");
}

#[tokio::test(flavor = "multi_thread")]
async fn how_many_nodes_there_are_changes_no_planned_instant_and_no_total() {
    let _turn = beside_others().await;
    let mut system = System::start(17).await;
    let address = system.start_stub(&[]);
    let spec = |id: &str, count: u32| {
        let evenly =
            open_spec(id, &address, "300/s", "2s", &format!("records: all\nnodes: {{count: {count}}}\nseed: 7"));
        format!(
            "{evenly}  name: evenly\n- target: http://target/\n  name: by-chance\n  rate: 300/s\n  duration: 2s\n  arrivals: poisson\n"
        )
    };
    let counts = [("one", 1), ("three", 3), ("seventeen", 17)];
    // The first two find room beside each other, the third waits for them.
    for (id, count) in counts {
        system.publish(spec(id, count).as_bytes()).await;
    }
    let mut all = Vec::new();
    for (id, count) in counts {
        let record = system.wait_for_end(id).await;
        let report = system.report(id).await;
        assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
        assert_eq!(report.nodes.len(), count as usize);
        assert!(report.nodes.iter().all(|node| node.offered > 0), "{:?}", report.nodes);
        let mut planned: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
        for row in exported(&system, id) {
            let group = row["group"].as_str().unwrap().to_owned();
            planned
                .entry(group)
                .or_default()
                .push((row["index"].as_u64().unwrap(), row["planned_ns"].as_u64().unwrap()));
        }
        planned.values_mut().for_each(|instants| instants.sort_unstable());
        let totals: Vec<(u64, u64, u64, u64)> = report
            .groups
            .iter()
            .map(|group| (group.offered, group.steps[0].succeeded, group.steps[0].failed, group.steps[0].censored))
            .collect();
        for group in &report.groups {
            let instants = &planned[&group.name];
            assert_eq!(instants.len() as u64, group.offered, "a record for each request of {}", group.name);
            assert!(instants.iter().enumerate().all(|(place, (index, _))| place as u64 == *index), "no index twice");
        }
        all.push((planned, totals));
    }
    assert_eq!(all[0].1[0], (600, 600, 0, 0));
    let by_chance = all[0].1[1].0;
    assert!((450..750).contains(&by_chance) && all[0].0["evenly"] != all[0].0["by-chance"], "{by_chance}");
    assert!(all[0] == all[1] && all[0] == all[2], "totals {:?} {:?} {:?}", all[0].1, all[1].1, all[2].1);
}

/// Takes processor time away from one process, by whatever this machine allows.
struct Squeeze {
    group: Option<PathBuf>,
    neighbours: Vec<Child>,
}

impl Squeeze {
    /// Puts `pid` into a control group of its own, without a quota yet, where control groups can be written.
    fn around(pid: u32) -> Self {
        let name = format!("nuncius-test-{pid}");
        let roots = [
            ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us"),
            ("/sys/fs/cgroup/cpu,cpuacct", "cpu.cfs_quota_us"),
            ("/sys/fs/cgroup", "cpu.max"),
        ];
        let group = roots.iter().find_map(|(root, file)| {
            let group = Path::new(root).join(&name);
            std::fs::create_dir(&group).ok()?;
            // Where the controller is not delegated the directory has no such file.
            if group.join(file).exists() && std::fs::write(group.join("cgroup.procs"), pid.to_string()).is_ok() {
                return Some(group);
            }
            let _ = std::fs::remove_dir(&group);
            None
        });
        Self { group, neighbours: Vec::new() }
    }

    /// Lets `pid` have `share` of one processor from now on.
    fn hold(&mut self, pid: u32, share: f64) {
        let Some(group) = &self.group else {
            // Pinned to one processor among neighbours that want all of it.
            let mut pin = Command::new("taskset");
            pin.args(["-a", "-c", "-p", "0", &pid.to_string()]);
            assert!(pin.stdout(Stdio::null()).status().unwrap().success());
            for _ in 0..(1.0 / share).ceil().clamp(4.0, 16.0) as usize {
                let mut neighbour = Command::new("taskset");
                neighbour.args(["-c", "0", "sh", "-c", "while :; do :; done"]);
                self.neighbours.push(neighbour.spawn().unwrap());
            }
            return;
        };
        let quota_us = (share * 100_000.0).max(1_000.0) as u64;
        if group.join("cpu.max").exists() {
            std::fs::write(group.join("cpu.max"), format!("{quota_us} 100000")).unwrap();
        } else {
            std::fs::write(group.join("cpu.cfs_period_us"), "100000").unwrap();
            std::fs::write(group.join("cpu.cfs_quota_us"), quota_us.to_string()).unwrap();
        }
    }
}

impl Drop for Squeeze {
    fn drop(&mut self) {
        for neighbour in &mut self.neighbours {
            let _ = neighbour.kill();
            let _ = neighbour.wait();
        }
        let Some(group) = &self.group else { return };
        // The members go back to the parent, or the group cannot be removed.
        let members = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        for pid in members.lines() {
            let _ = std::fs::write(group.with_file_name("cgroup.procs"), pid);
        }
        let _ = std::fs::remove_dir(group);
    }
}

/// Processor time a process has had, in seconds.
fn processor_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks: f64 = fields.split(' ').skip(11).take(2).map(|field| field.parse::<f64>().unwrap()).sum();
    ticks / rustix::param::clock_ticks_per_second() as f64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_starved_node_makes_the_run_invalid_and_not_the_target_slow() {
    let _turn = undisturbed().await;
    let mut system = System::start(2).await;
    let address = system.start_stub(&[]);
    let starved = system.clients[1].child.id();
    let spec = |id: &str, seconds: u32| {
        open_spec(id, &address, "1600/s", &format!("{seconds}s"), "drain: 2s\ngates: ['failures < 1%']")
            .replace("lag_limit: 10s", "lag_limit: 10ms")
            .replace("run_delay_limit: 1.0", "run_delay_limit: 0.1")
    };
    // What it needs when nobody holds it.
    let mut squeeze = Squeeze::around(starved);
    system.publish(spec("free", 3).as_bytes()).await;
    system.wait_for_requests(1_000).await;
    let (before, since) = (processor_seconds(starved), Instant::now());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let needed = (processor_seconds(starved) - before) / since.elapsed().as_secs_f64();
    system.wait_for_end("free").await;

    system.publish(spec("held", 8).as_bytes()).await;
    system.wait_for_status("held", RunStatus::Running).await;
    squeeze.hold(starved, needed / 5.0);
    system.wait_for_status("held", RunStatus::Draining).await;
    // What it had measured comes home sooner this way; the run is over.
    drop(squeeze);
    let record = system.wait_for_end("held").await;
    let report = system.report("held").await;
    let told = format!("needed {needed:.3} of a processor; {:?}", report.reasons);
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Invalid)), "{told}");
    let names_it =
        |reason: &String| reason.contains("node n2") && (reason.contains("starved") || reason.contains("throttled"));
    assert!(report.reasons.iter().any(names_it), "{told}");
    let step = step(&report);
    assert_eq!(step.planned, step.succeeded + step.failed + step.censored, "{step:?}");
    // The reason comes first, before any gate.
    assert!(report.reasons[0].contains("node "), "{told}");
}

/// Stops the client for 700 ms in the middle of a run, and returns how the run is judged.
async fn stand_still(id: &str, load: &str, gates: &str) -> Report {
    let mut system = System::start(1).await;
    let address = system.start_stub(&["--service-time", "5ms"]);
    let spec = open_spec(id, &address, "3/s", "4s", gates).replace("heartbeat_limit: 1h", "heartbeat_limit: 400ms");
    system.publish(spec.replace("  rate: 3/s\n", load).as_bytes()).await;
    system.wait_for_requests(2).await;
    system.clients[0].signal(Signal::STOP);
    tokio::time::sleep(Duration::from_millis(700)).await;
    system.clients[0].signal(Signal::CONT);
    system.wait_for_end(id).await;
    system.report(id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generator_that_stood_still_is_invalid_whatever_the_rate_and_the_model() {
    let _turn = beside_others().await;
    for (id, load, gates) in [
        ("slow", "  rate: 3/s\n", "gates: ['max(response) < 300ms', 'failures < 50%']"),
        ("closed", "  users: 2\n", "gates: ['max(service) < 300ms', 'rate > 10000/s']"),
    ] {
        let report = stand_still(id, load, gates).await;
        assert_eq!(report.verdict, Some(Verdict::Invalid), "{id}: {:?}", report.reasons);
        let told = ["node n1 stood still", "heartbeat_limit 400ms"];
        assert!(told.iter().all(|piece| report.reasons[0].contains(piece)), "{id}: {:?}", report.reasons);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_hangs_at_the_start_is_left_alone_by_a_gate_that_aborts() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let gates = "drain: 500ms\ngates: [{expression: 'p95(response) < 500ms', over: 2s, abort: true}]";
    let spec = open_spec("hanging", &address, "100/s", "20s", gates);
    system.stub.as_ref().unwrap().0.signal(Signal::STOP);
    system.publish(spec.as_bytes()).await;
    let record = system.wait_for_end("hanging").await;
    let report = system.report("hanging").await;
    let told = format!("{:?} {:?}", report.reasons, report.gates);
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Fail)), "{told}");
    assert!(report.reasons[0].starts_with("aborted: gate p95(response) < 500ms over any 2s"), "{told}");
    assert!(report.offered < 1_000 && report.offered_seconds < 10.0, "{} offered, {told}", report.offered);
    // Nothing failed and nothing is known not to have: the default gate says neither.
    assert_eq!(report.gates[1].outcome, Verdict::Undetermined, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_judged_over_its_own_time_and_by_what_succeeded() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let gates = "gates:\n- {expression: 'rate < 1/s', group: main}\n- 'p95(response) of all < 10s'\n\
                 - 'p50(response) < 10s'\n- {expression: 'p50(response) of all < 10s', over: 2s, group: main}";
    let spec = open_spec("refusing", &address, "200/s", "3s", gates)
        + "- target: http://target/\n  name: longer\n  rate: 100/s\n  duration: 6s\n  iterations: 77\n";
    system.publish(spec.replace("http://target/", "http://target/status/401").as_bytes()).await;
    system.wait_for_end("refusing").await;
    let report = system.report("refusing").await;
    let told = format!("{:?} {:?}", report.reasons, report.gates);
    // All answers failed: that is judged though nobody asked, and hidden by nothing.
    assert_eq!(report.verdict, Some(Verdict::Fail), "{told}");
    let outcomes: Vec<Verdict> = report.gates.iter().map(|gate| gate.outcome).collect();
    let [pass, open, fail] = [Verdict::Pass, Verdict::Undetermined, Verdict::Fail];
    assert_eq!(outcomes, [pass, pass, open, pass, fail], "{told}");
    assert_eq!((report.gates[1].samples, report.gates[2].samples), (677, 0), "{told}");
    assert_eq!((report.groups[0].offered_seconds, report.groups[1].offered_seconds), (3.0, 0.77), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_samples_and_no_data_at_all_decide_nothing() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let gates = "gates:\n- 'p99(response) < 60s'\n- {expression: 'p50(response) < 60s', group: main}\n\
                 - {expression: 'failures < 1%', group: silent}\n- {expression: 'p50(response) < 60s', group: silent}\n\
                 - {expression: 'max(response) < 60s', group: silent}\n- {expression: 'censored < 50%', group: silent}\n\
                 - {expression: 'rate > 0/s', group: silent}";
    // With this seed the second group has no arrival in its second.
    let spec = open_spec("few", &address, "250/s", "1s", gates)
        + "- target: http://target/\n  name: silent\n  rate: 1/h\n  arrivals: poisson\n  duration: 1s\n";
    system.publish(spec.as_bytes()).await;
    let record = system.wait_for_end("few").await;
    let report = system.report("few").await;
    let told = format!("{:?} {:?}", report.reasons, report.gates);
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Undetermined)), "{told}");
    assert_eq!((report.groups[0].offered, report.groups[1].offered), (250, 0), "{told}");
    let [p99, p50, silent @ .., default] = report.gates.as_slice() else { panic!("{told}") };
    assert_eq!((p99.outcome, p99.samples), (Verdict::Undetermined, 250), "{told}");
    assert!(p99.reason.contains("needs 299 samples"), "{told}");
    assert_eq!(p50.outcome, Verdict::Pass, "{told}");
    for gate in silent {
        assert_eq!(gate.outcome, Verdict::Undetermined, "{gate:?}");
        assert!(gate.reason.contains("no data"), "{gate:?}");
    }
    assert_eq!(silent.len(), 5, "{told}");
    // Nobody judges what fails in the other group: that is judged by default.
    assert_eq!((default.gate.as_str(), default.samples), ("failures < 1% in main (default)", 250), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_closed_model_has_no_response_and_no_lag_and_says_so() {
    let _turn = beside_others().await;
    let mut system = System::start(2).await;
    let address = system.start_stub(&["--service-time", "5ms"]);
    let spec = open_spec("closed", &address, "1/s", "2s", "gates: ['p50(service) < 60s', 'failures < 20%']")
        .replace("  rate: 1/s\n", "  users: 5\n");
    system.publish(spec.as_bytes()).await;
    let record = system.wait_for_end("closed").await;
    let report = system.report("closed").await;
    let told = format!("{:?} {:?}", report.reasons, report.gates);
    assert!(!report.groups[0].open && report.groups[0].scheduled.is_none() && report.deficit == 0);
    let step = step(&report);
    assert!(step.planned > 20 && step.planned == step.succeeded + step.failed + step.censored, "{step:?}");
    for absent in [Quantity::Response, Quantity::Lag] {
        assert!(!step.quantities.contains_key(&absent), "{absent:?}: {:?}", step.quantities);
    }
    assert!(step.quantities.contains_key(&Quantity::Service));
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{told}");
    let columns = &report.series[0].columns;
    assert!(columns.response_p99_ns.iter().chain(&columns.lag_p99_ns).all(Option::is_none));
    let text = String::from_utf8(system.output(&["report", "closed"]).stdout).unwrap();
    assert!(text.contains("closed model") && text.contains("response is not shown"), "{text}");
    let rows = text.lines().filter(|line| line.contains("get response ") || line.contains("get lag "));
    assert_eq!(rows.count(), 0, "{text}");

    // A gate on what does not exist is refused, and what is there is named.
    let file = system.directory.path().join("response.yaml");
    std::fs::write(&file, spec.replace("id: closed", "id: response").replace("p50(service)", "p50(response)")).unwrap();
    let refused = system.output(&["submit", file.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("closed model") && told.contains("p50(service)"), "{told}");
}
