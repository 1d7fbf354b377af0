//! Searches and sweeps: series of experiments that the daemon runs one after the other; and two runs against each
//! other.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nuncius_schemas::run::{RunRecord, RunStatus, Verdict};
use nuncius_schemas::search::{Load, SearchEnding, SearchOutcome, SearchReport};
use nuncius_schemas::sweep::SweepReport;

use crate::harness::{System, open_spec, until};

/// How long a whole search may take here.
const STUDY_PATIENCE: Duration = Duration::from_secs(240);

/// A search against a target that serves one request at a time, 5 ms each: 200/s and no more.
fn search_spec(id: &str, address: &str) -> String {
    format!(
        "id: {id}\nname: capacity\nlag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\n\
         services: {{target: ['{address}']}}\ngates: ['p90(response) < 150ms', 'failures < 50%']\n\
         groups: [{{target: 'http://target/', timeout: 2s}}]\n\
         search: {{rate: {{from: 50/s, to: 800/s}}, precision: 20%, probe: 1s, settle: 0s,\n\
           confirm: {{probes: 1, pass: 1, probe: 1s}}, recover: {{probe: 1s, share: 10%, at_most: 20s}}}}\n"
    )
}

const ONE_AT_A_TIME: [&str; 4] = ["--service-time", "constant:5ms", "--concurrency", "1"];

async fn study_end(system: &System, id: &str) -> RunRecord {
    let begun = Instant::now();
    loop {
        if let Some(record) = system.record(id).await.filter(|record| record.status.is_terminal()) {
            return record;
        }
        assert!(begun.elapsed() < STUDY_PATIENCE, "{id} has not ended: {:?}", system.events(id).await.last());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn per_second(load: Load) -> f64 {
    match load {
        Load::Rate(rate) => rate.as_per_second(),
        Load::Users(users) => panic!("{users} users"),
    }
}

async fn search_report(system: &System, id: &str) -> SearchReport {
    *system.report(id).await.search.expect("the report of a search")
}

/// Every probe is an experiment of its own, with the outcome that the search goes by.
async fn assert_members(system: &System, id: &str, search: &SearchReport) {
    let mut numbers = BTreeSet::new();
    for record in &search.history {
        assert!(numbers.insert(record.probe.number), "no number twice: {:?}", search.history);
        let member = system.record(&format!("{id}-p{}", record.probe.number)).await.expect("an experiment of its own");
        let outcome = match member.verdict.unwrap() {
            Verdict::Pass => SearchOutcome::Pass,
            Verdict::Fail => SearchOutcome::Fail,
            Verdict::Undetermined => SearchOutcome::Undetermined,
            Verdict::Invalid => SearchOutcome::Invalid,
        };
        assert_eq!(record.outcome, outcome, "{member:?}");
        assert_eq!(member.spec.metadata["search"], id);
    }
    assert_eq!(numbers.len() as u32, *numbers.last().unwrap(), "none left out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_the_highest_rate_that_meets_the_gates() {
    let mut system = System::start(2).await;
    let address = system.start_stub(&ONE_AT_A_TIME);
    system.publish(search_spec("find", &address).as_bytes()).await;
    let record = study_end(&system, "find").await;
    let search = search_report(&system, "find").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", record.reason);
    let finding = search.finding.clone().unwrap();
    assert_eq!(finding.ending, SearchEnding::Found, "{finding:?}");
    let found = per_second(finding.found().unwrap());
    assert!((150.0..=240.0).contains(&found), "{finding:?}");
    assert_members(&system, "find", &search).await;
    // As a user sees it.
    let report = system.output(&["report", "find"]);
    let text = String::from_utf8(report.stdout).unwrap();
    assert!(text.starts_with("PASS capacity (find)"), "{text}");
    assert!(text.contains("highest load that passes: ") && text.contains("confirm"), "{text}");
    let page = system.directory.path().join("find.html");
    assert!(system.output(&["report", "find", "--html", page.to_str().unwrap()]).status.success());
    assert!(std::fs::read_to_string(page).unwrap().contains("<h2>Search</h2>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_goes_on_where_it_was_when_its_daemon_is_killed_and_runs_no_probe_twice() {
    let mut system = System::start(1).await;
    let address = system.start_stub(&ONE_AT_A_TIME);
    system.publish(search_spec("again", &address).as_bytes()).await;
    until("the third probe runs", async || {
        system.record("again-p3").await.filter(|record| record.status >= RunStatus::Running)
    })
    .await;
    // Killed, not told to end.
    system.start_daemon();
    let record = study_end(&system, "again").await;
    let search = search_report(&system, "again").await;
    assert_eq!(record.verdict, Some(Verdict::Pass), "{:?}", record.reason);
    assert_members(&system, "again", &search).await;
    let events = system.events("again").await;
    assert!(events.iter().any(|event| event.message.contains("goes on with it")), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_is_cancelled_ends_its_probe_and_keeps_what_it_knows() {
    let mut system = System::start(1).await;
    let address = system.start_stub(&ONE_AT_A_TIME);
    let spec = search_spec("stop", &address).replace("probe: 1s, settle", "probe: 30s, settle");
    let spec = spec.replace("confirm: {probes: 1, pass: 1, probe: 1s}", "confirm: {probes: 1, pass: 1}");
    system.publish(spec.as_bytes()).await;
    system.wait_for_requests(20).await;
    assert!(system.output(&["cancel", "stop", "--reason", "enough"]).status.success());
    let record = system.wait_for_end("stop").await;
    assert_eq!(record.status, RunStatus::Cancelled);
    assert_eq!(system.record("stop-p1").await.unwrap().status, RunStatus::Cancelled);
    let search = search_report(&system, "stop").await;
    assert!(search.history.is_empty() && search.finding.is_none(), "{search:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_that_has_the_id_of_a_probe_is_not_taken_for_it() {
    let mut system = System::start(1).await;
    let address = system.start_stub(&ONE_AT_A_TIME);
    system.publish(open_spec("taken-p1", &address, "10/s", "1s", "").as_bytes()).await;
    system.wait_for_end("taken-p1").await;
    system.publish(search_spec("taken", &address).as_bytes()).await;
    let record = system.wait_for_end("taken").await;
    assert_eq!(record.status, RunStatus::Failed);
    assert!(record.reason.unwrap().contains("`taken-p1` exists already"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_runs_every_combination_and_tells_the_capacity_of_each() {
    let mut system = System::start(1).await;
    let address = system.start_stub(&ONE_AT_A_TIME);
    let spec = format!(
        "id: map\nlag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\nservices: {{target: ['{address}']}}\n\
         gates: ['p90(response) < 150ms', 'failures < 50%']\n\
         groups: [{{target: 'http://target/', duration: 1s, timeout: 2s}}]\n\
         sweep: {{factors: {{rate: [50/s, 400/s], compression: [true, false]}}, repeats: 2}}\n"
    );
    system.publish(spec.as_bytes()).await;
    let record = study_end(&system, "map").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", record.reason);
    let sweep: SweepReport = *system.report("map").await.sweep.expect("the report of a sweep");
    let runs: BTreeSet<(u64, u32)> = sweep.runs.iter().map(|run| (run.combination, run.repeat)).collect();
    assert_eq!((runs.len(), sweep.runs.len()), (8, 8), "each combination, each repeat, once: {runs:?}");
    for cell in &sweep.cells {
        let passes = cell.levels["rate"] == "50/s";
        assert_eq!(cell.passes(), Some(passes), "{cell:?}");
        assert_eq!(cell.figures["succeeded_per_second"].runs, 2, "{cell:?}");
        assert!(cell.figures.contains_key("response_p50_ns"), "{cell:?}");
    }
    assert_eq!(sweep.capacity.len(), 2, "with and without compression");
    for capacity in &sweep.capacity {
        assert_eq!(capacity.highest_passed.as_deref(), Some("50/s"), "{capacity:?}");
        assert_eq!(capacity.lowest_not_passed.as_deref(), Some("400/s"), "{capacity:?}");
    }
    let text = String::from_utf8(system.output(&["report", "map"]).stdout).unwrap();
    assert!(text.contains("capacity: the highest load that passes"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_of_one_truth_are_not_told_to_differ_and_a_slower_one_is() {
    let mut system = System::start(1).await;
    // The autocorrelation of a dozen seconds is by chance now and then so high that they are worth three, and the tool
    // says so; that of 30 is not.
    let run = async |system: &System, id: &str, address: &str, duration: &str| {
        system.publish(open_spec(id, address, "100/s", duration, "").as_bytes()).await;
        assert_eq!(system.wait_for_end(id).await.status, RunStatus::Finished);
    };
    let address = system.start_stub(&["--service-time", "exponential:4ms", "--seed", "1"]);
    run(&system, "short", &address, "2s").await;
    run(&system, "before", &address, "30s").await;
    run(&system, "after", &address, "30s").await;
    let slow = system.start_stub(&["--service-time", "exponential:9ms", "--seed", "2"]);
    run(&system, "slow", &slow, "30s").await;
    let unsure = system.output(&["compare", "before", "short", "--figure", "p99"]);
    assert_eq!(unsure.status.code(), Some(3), "{}", String::from_utf8_lossy(&unsure.stdout));
    // At 95 % one in twenty comparisons of one truth would be told to differ: that is what it means.
    let figures = ["--figure", "mean,failures,rate", "--confidence", "99.99%"];
    let same = system.output(&[&["compare", "before", "after"][..], &figures].concat());
    let text = String::from_utf8(same.stdout).unwrap();
    assert_eq!(same.status.code(), Some(0), "{text}");
    assert!(text.starts_with("NOT SHOWN TO DIFFER"), "{text}");
    let differ = system.output(&["compare", "before", "slow", "--json"]);
    assert_eq!(differ.status.code(), Some(1));
    let compared: serde_json::Value = serde_json::from_slice(&differ.stdout).unwrap();
    let figures = compared["comparison"]["parts"][0]["figures"].as_array().unwrap();
    let of = |name: &str| figures.iter().find(|figure| figure["figure"] == name).unwrap();
    assert_eq!(of("mean")["verdict"], "different", "{compared}");
    assert_eq!(of("rate")["verdict"], "not_shown_to_differ", "{compared}");
    assert!(of("mean")["relative"]["lower"].as_f64().unwrap() > 0.5, "{compared}");
    // From a machine that has nothing of it: the daemon's store says the same.
    let elsewhere = system.directory.path().join("elsewhere");
    let arguments =
        ["--nats", &system.server.url(), "--data", elsewhere.to_str().unwrap(), "compare", "before", "slow"];
    let there = crate::harness::nuncius().args(arguments).output().unwrap();
    assert_eq!(there.status.code(), Some(1), "{}", String::from_utf8_lossy(&there.stderr));
    let unknown = system.output(&["compare", "before", "nobody"]);
    assert_eq!(unknown.status.code(), Some(5));
}
