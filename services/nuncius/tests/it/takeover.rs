//! A node may be lost at any moment: the others take its load over from its horizon on, no arrival is sent twice, and
//! what is missing is told to the request.

use std::time::Duration;

use nuncius_schemas::codec;
use nuncius_schemas::node::NodeInfo;
use nuncius_schemas::report::Report;
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_testkit::Recorder;
use rustix::process::Signal;

use crate::harness::{PATIENCE, System, beside_others, open_spec, until};

/// What the target counted is what the report says was sent, and what a lost node may have sent without telling.
fn assert_as_counted(report: &Report, recorder: &Recorder) {
    let sent: u64 = report.groups.iter().flat_map(|group| &group.steps).map(|step| step.sent).sum();
    let counted = recorder.requests();
    let most = sent + report.unaccounted;
    assert!((sent..=most).contains(&counted), "{sent} to {most} told, {counted} counted: {:?}", report.reasons);
    assert_eq!(recorder.repeated(), [], "a request was sent twice");
    for group in &report.groups {
        let step = &group.steps[0];
        assert_eq!(step.planned, step.succeeded + step.failed + step.censored, "{step:?}");
    }
}

/// What is run: two minutes at 1000/s with NUNCIUS_LONG=1, where the limit of the deficit is the usual one.
struct Load {
    rate: u64,
    seconds: u64,
    more: &'static str,
}

impl Load {
    fn of(short_seconds: u64) -> Self {
        match std::env::var_os("NUNCIUS_LONG").is_some_and(|value| value == "1") {
            true => Self { rate: 1_000, seconds: 120, more: "" },
            false => Self { rate: 200, seconds: short_seconds, more: "max_deficit: 0.2" },
        }
    }
}

/// A run that has lost a node.
struct Lossy {
    _system: System,
    recorder: Recorder,
    report: Report,
    /// Run time at which the node was lost, in seconds.
    lost_at_s: f64,
}

/// A run of four nodes, the last of which is lost after about 4 s.
async fn run_that_loses_a_node(id: &str, load: &Load, more: &str, lose: impl AsyncFnOnce(&mut System)) -> Lossy {
    let mut system = System::start(4).await;
    let recorder = Recorder::start().unwrap();
    let more = format!("trace_ratio: 1.0\nrecords: all\ndrain: 2s\ngates: ['failures < 20%']\n{}\n{more}", load.more);
    let (rate, duration) = (format!("{}/s", load.rate), format!("{}s", load.seconds));
    system.publish(open_spec(id, &recorder.address(), &rate, &duration, &more).as_bytes()).await;
    until("load is offered", async || (recorder.requests() >= 4 * load.rate).then_some(())).await;
    let lost_unix_ms = nuncius_bus::clock::unix_ms();
    lose(&mut system).await;
    let patience = Duration::from_secs(load.seconds);
    let record = tokio::time::timeout(patience + PATIENCE, async {
        loop {
            match system.record(id).await.filter(|record| record.status.is_terminal()) {
                Some(record) => break record,
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    let record = record.await.unwrap();
    assert_eq!(record.status, RunStatus::Finished, "{record:?}");
    let report = system.report(id).await;
    assert_as_counted(&report, &recorder);
    let lost_at_s = lost_unix_ms.saturating_sub(record.started_unix_ms.unwrap()) as f64 / 1_000.0;
    Lossy { _system: system, recorder, report, lost_at_s }
}

impl Lossy {
    /// The lost node had a quarter of the load: that of so many seconds is missing at most, and after so many the
    /// others offer all of it.
    fn assert_taken_over(&self, load: &Load, within_seconds: u64) {
        let report = &self.report;
        assert_eq!(report.verdict, Some(Verdict::Pass), "{:?}", report.reasons);
        let most = load.rate / 4 * within_seconds;
        assert!(report.deficit > 0 && report.deficit <= most, "{} are missing: {:?}", report.deficit, report.events);
        let told = report.events.iter().any(|event| event.message.contains("offer what n4 was to offer"));
        assert!(told, "{:?}", report.events);
        let (offered, lost_at_s) = (&report.series[0].columns.offered, self.lost_at_s);
        eprintln!("lost at {lost_at_s:.1} s, {} of {} missing: {offered:?}", report.deficit, report.scheduled);
        // From the first whole second after that on, two by two: what a thread takes a little after the end of a second
        // is in the next.
        let from = (lost_at_s + within_seconds as f64).ceil() as usize;
        let whole: Vec<u64> = offered.iter().take(load.seconds as usize).skip(from).copied().collect();
        assert!(whole.len() > 2, "lost too late for anything to be seen: {lost_at_s} s");
        let is_whole = |pair: &[u64]| (pair[0] + pair[1]).abs_diff(2 * load.rate) <= load.rate / 25;
        assert!(whole.windows(2).all(is_whole), "lost at {lost_at_s} s, not whole from {from} s on: {offered:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_load_of_a_killed_node_is_back_within_five_seconds_where_its_horizon_is_three() {
    let _turn = beside_others().await;
    let load = Load::of(16);
    let lose = async |system: &mut System| system.clients[3].kill();
    run_that_loses_a_node("killed", &load, "horizon: 3s", lose).await.assert_taken_over(&load, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_load_of_a_killed_node_is_back_within_twelve_seconds_by_default() {
    let _turn = beside_others().await;
    let load = Load::of(24);
    let more = if load.more.is_empty() { "max_deficit: 0.05" } else { "" };
    let lose = async |system: &mut System| system.clients[3].kill();
    run_that_loses_a_node("default", &load, more, lose).await.assert_taken_over(&load, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_load_of_a_frozen_node_is_back_within_five_seconds_and_nothing_is_sent_twice_when_it_wakes_up() {
    let _turn = beside_others().await;
    let load = Load::of(20);
    let lose = async |system: &mut System| {
        system.clients[3].signal(Signal::STOP);
        until("the others have taken its load over", async || {
            let events = system.events("frozen").await;
            events.iter().any(|event| event.message.contains("offer what n4 was to offer")).then_some(())
        })
        .await;
        system.clients[3].signal(Signal::CONT);
    };
    let lossy = run_that_loses_a_node("frozen", &load, "horizon: 3s", lose).await;
    lossy.assert_taken_over(&load, 5);
    assert_eq!(lossy.recorder.repeated(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deficit_over_its_limit_makes_the_run_invalid_and_is_told_to_the_request() {
    let _turn = beside_others().await;
    let load = Load { rate: 200, seconds: 20, more: "horizon: 3s" };
    let lose = async |system: &mut System| system.clients[3].kill();
    let report = run_that_loses_a_node("short", &load, "", lose).await.report;
    assert_eq!(report.verdict, Some(Verdict::Invalid), "{:?}", report.reasons);
    let told =
        report.reasons.iter().any(|reason| reason.contains("max_deficit") && reason.contains("of 4000 scheduled"));
    assert!(told, "{:?}", report.reasons);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_may_shrink_or_end_with_a_lost_node() {
    let _turn = beside_others().await;
    let load = Load { rate: 200, seconds: 20, more: "horizon: 3s\nmax_deficit: 0.5" };
    let lose = async |system: &mut System| system.clients[3].kill();
    let report = run_that_loses_a_node("shrinks", &load, "on_node_loss: shrink", lose).await.report;
    assert_eq!(report.verdict, Some(Verdict::Pass), "{:?}", report.reasons);
    assert!(report.deficit > 50 * 10, "its part is missing to the end: {}", report.deficit);
    let lose = async |system: &mut System| system.clients[3].kill();
    let report = run_that_loses_a_node("ends", &load, "on_node_loss: end", lose).await.report;
    assert_eq!(report.verdict, Some(Verdict::Invalid), "{:?}", report.reasons);
    assert!(report.reasons.iter().any(|reason| reason.contains("node n4 was lost")), "{:?}", report.reasons);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_told_to_end_hands_its_load_over_and_little_is_missing() {
    let _turn = beside_others().await;
    let load = Load { rate: 200, seconds: 20, more: "horizon: 3s\nmax_deficit: 0.1" };
    let lossy = run_that_loses_a_node("leaves", &load, "", async |system: &mut System| {
        system.clients[3].signal(Signal::TERM);
    })
    .await;
    lossy.assert_taken_over(&load, 5);
    assert_eq!(lossy.report.unaccounted, 0, "it has told everything");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_a_lost_node_go_on_elsewhere() {
    let _turn = beside_others().await;
    let mut system = System::start(3).await;
    let recorder = Recorder::start().unwrap();
    let spec = format!(
        "id: moved\nlag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\nhorizon: 3s\ntrace_ratio: 1.0\n\
         records: all\nmax_deficit: 0.2\nservices: {{target: ['{}']}}\ngroups:\n- target: http://target/\n  users: 30\n  \
         think_time: 100ms\n  duration: 15s\n",
        recorder.address()
    );
    system.publish(spec.as_bytes()).await;
    until("load is offered", async || (recorder.requests() >= 600).then_some(())).await;
    system.clients[2].kill();
    let record = system.wait_for_end("moved").await;
    let report = system.report("moved").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
    let step = &report.groups[0].steps[0];
    assert_eq!(step.planned, step.succeeded + step.failed + step.censored, "{step:?}");
    assert_eq!(recorder.repeated(), [], "an iteration was done twice");
    // Thirty users, each about ten times a second: all of them are there again in the last seconds.
    let columns = &report.series[0].columns;
    let last = columns.offered[12..14].iter().copied().min().unwrap();
    assert!(last > 230, "{:?}", columns.offered);
    let told = report.events.iter().any(|event| event.message.contains("users of lost nodes were away"));
    assert!(told, "{:?}", report.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_name_somebody_takes_in_mid_run_goes_on_under_another_and_is_not_lost() {
    let _turn = beside_others().await;
    let system = System::start(2).await;
    let recorder = Recorder::start().unwrap();
    let more = "horizon: 4s\ntrace_ratio: 1.0\nrecords: all";
    system.publish(open_spec("renamed", &recorder.address(), "100/s", "14s", more).as_bytes()).await;
    until("load is offered", async || (recorder.requests() >= 200).then_some(())).await;
    // As after an outage that was longer than names are kept: another process was quicker.
    let named = async |name: &str| system.nodes().await.into_iter().find(|node| node.name == name);
    let before = named("n1").await.unwrap();
    let other = NodeInfo { epoch: before.epoch ^ 1, experiment: None, ..before.clone() };
    let bucket = system.bus.kv(&system.bus.namespace().bucket_node()).await.unwrap();
    bucket.put("n1", codec::encode(&other).unwrap().into()).await.unwrap();
    let after = until("it is there under another name", async || named("n1-2").await).await;
    assert_eq!((after.epoch, after.experiment.as_deref()), (before.epoch, Some("renamed")));
    let record = system.wait_for_end("renamed").await;
    let report = system.report("renamed").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
    assert_eq!((report.offered, report.deficit, recorder.requests()), (1_400, 0, 1_400), "{:?}", report.events);
    assert!(report.nodes.iter().all(|node| node.lost.is_none()), "{:?}", report.nodes);
    assert_eq!(recorder.repeated(), []);
}
