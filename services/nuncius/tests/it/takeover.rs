//! A node may be lost at any moment: the others take its load over from its horizon on, no arrival is sent twice, and
//! what is missing is told to the request.

use nuncius_schemas::report::Report;
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_testkit::Recorder;
use rustix::process::Signal;

use crate::harness::{System, beside_others, open_spec, until};

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

/// Whether the whole rate was offered from `second` on, but for what a thread takes a little after the end of a second.
fn rates(report: &Report, second: usize, rate: u64) -> bool {
    let columns = &report.series[0].columns;
    columns.offered.iter().take(20).skip(second).all(|at| at.abs_diff(rate) <= 4)
}

/// A run of four nodes at 200/s for 20 s with a horizon of 3 s, one of which is lost after about 4 s.
async fn run_that_loses_a_node(
    id: &str,
    more: &str,
    lose: impl AsyncFnOnce(&mut System),
) -> (System, Recorder, Report) {
    let mut system = System::start(4).await;
    let recorder = Recorder::start().unwrap();
    let more = format!("horizon: 3s\ntrace_ratio: 1.0\nrecords: all\ndrain: 2s\ngates: ['failures < 20%']\n{more}");
    system.publish(open_spec(id, &recorder.address(), "200/s", "20s", &more).as_bytes()).await;
    until("load is offered", async || (recorder.requests() >= 800).then_some(())).await;
    lose(&mut system).await;
    let record = system.wait_for_end(id).await;
    assert_eq!(record.status, RunStatus::Finished, "{record:?}");
    let report = system.report(id).await;
    assert_as_counted(&report, &recorder);
    (system, recorder, report)
}

/// The lost node had a quarter of the load: 3 s and a little of that are missing at most, and the full rate is back
/// within five seconds.
fn assert_taken_over(report: &Report) {
    assert_eq!(report.verdict, Some(Verdict::Pass), "{:?}", report.reasons);
    assert!(report.deficit > 0 && report.deficit <= 50 * 5, "{} are missing: {:?}", report.deficit, report.events);
    assert!(rates(report, 10, 200), "{:?}", report.series[0].columns.offered);
    let told = report.events.iter().any(|event| event.message.contains("offer what n4 was to offer"));
    assert!(told, "{:?}", report.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_load_of_a_killed_node_moves_to_the_others() {
    let _turn = beside_others().await;
    let (_system, _recorder, report) =
        run_that_loses_a_node("killed", "max_deficit: 0.1", async |system| system.clients[3].kill()).await;
    assert_taken_over(&report);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_load_of_a_frozen_node_moves_to_the_others_and_nothing_is_sent_twice_when_it_wakes_up() {
    let _turn = beside_others().await;
    let (_system, recorder, report) = run_that_loses_a_node("frozen", "max_deficit: 0.1", async |system| {
        system.clients[3].signal(Signal::STOP);
        until("the others have taken its load over", async || {
            let events = system.events("frozen").await;
            events.iter().any(|event| event.message.contains("offer what n4 was to offer")).then_some(())
        })
        .await;
        system.clients[3].signal(Signal::CONT);
    })
    .await;
    assert_taken_over(&report);
    assert_eq!(recorder.repeated(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deficit_over_its_limit_makes_the_run_invalid_and_is_told_to_the_request() {
    let _turn = beside_others().await;
    let (_system, _recorder, report) =
        run_that_loses_a_node("short", "", async |system| system.clients[3].kill()).await;
    assert_eq!(report.verdict, Some(Verdict::Invalid), "{:?}", report.reasons);
    let told =
        report.reasons.iter().any(|reason| reason.contains("max_deficit") && reason.contains("of 4000 scheduled"));
    assert!(told, "{:?}", report.reasons);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_may_shrink_or_end_with_a_lost_node() {
    let _turn = beside_others().await;
    let (_system, _recorder, report) =
        run_that_loses_a_node("shrinks", "on_node_loss: shrink\nmax_deficit: 0.5", async |system| {
            system.clients[3].kill();
        })
        .await;
    assert_eq!(report.verdict, Some(Verdict::Pass), "{:?}", report.reasons);
    assert!(report.deficit > 50 * 10, "its part is missing to the end: {}", report.deficit);
    let (_system, _recorder, report) =
        run_that_loses_a_node("ends", "on_node_loss: end\nmax_deficit: 0.5", async |system| system.clients[3].kill())
            .await;
    assert_eq!(report.verdict, Some(Verdict::Invalid), "{:?}", report.reasons);
    assert!(report.reasons.iter().any(|reason| reason.contains("node n4 was lost")), "{:?}", report.reasons);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_told_to_end_hands_its_load_over_and_little_is_missing() {
    let _turn = beside_others().await;
    let (_system, _recorder, report) = run_that_loses_a_node("leaves", "max_deficit: 0.1", async |system| {
        system.clients[3].signal(Signal::TERM);
    })
    .await;
    assert_taken_over(&report);
    assert_eq!(report.unaccounted, 0, "it has told everything");
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
