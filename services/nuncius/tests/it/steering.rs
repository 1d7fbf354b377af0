//! Load that is changed while it runs: all nodes change at one planned instant, the target counts what the schedule of
//! the record says, whatever dies meanwhile.

use std::time::Duration;

use nuncius_load::schedule_of;
use nuncius_schemas::amendment::Change;
use nuncius_schemas::event::EventKind;
use nuncius_schemas::report::Report;
use nuncius_schemas::run::{RunRecord, RunStatus, Verdict};
use nuncius_schemas::units::SECOND_NS;
use rustix::process::Signal;

use crate::harness::{System, beside_others, open_spec, stub_stats, until};

/// Changes the load by the command line; from which instant of run time on.
fn amend(system: &System, arguments: &[&str]) -> u64 {
    let mut command = vec!["--json"];
    command.extend(arguments);
    let output = system.output(&command);
    let (told, problem) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{arguments:?}: {problem}");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    told["at_ns"].as_u64().unwrap()
}

/// Why a change is refused, which ends with exit code 5 or 64.
fn refused(system: &System, arguments: &[&str]) -> String {
    let output = system.output(arguments);
    assert!(matches!(output.status.code(), Some(5 | 64)), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A run of open groups that was amended and passed: every number is that of the schedule of its record.
pub(crate) async fn assert_as_amended(system: &System, id: &str, address: &str) -> (RunRecord, Report) {
    let record = system.wait_for_end(id).await;
    let report = system.report(id).await;
    let ended = (record.status, record.verdict);
    assert_eq!(ended, (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
    let schedules = (0..).zip(&record.spec.groups).map(|(index, group)| {
        schedule_of(&record.spec, index, group, 3).unwrap().map(|arrival| arrival.planned_ns / SECOND_NS)
    });
    let mut seconds = vec![0u64; 120];
    for second in schedules.flatten() {
        seconds[usize::try_from(second).unwrap()] += 1;
    }
    let all: u64 = seconds.iter().sum();
    assert_eq!((report.scheduled, report.offered, report.deficit), (all, all, 0), "{:?}", report.reasons);
    assert_eq!(stub_stats(address).requests, all);
    // What a thread takes a little after the end of a second is in the next.
    let offered = &report.series[0].columns.offered;
    for (second, planned) in seconds.iter().enumerate().take(offered.len()) {
        let off = offered[second].abs_diff(*planned);
        assert!(
            off <= 2 + planned / 20,
            "second {second}: {} offered, {planned} planned: {offered:?}",
            offered[second]
        );
    }
    (record, report)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_change_their_rate_at_one_planned_instant_and_the_target_counted_it() {
    let _turn = beside_others().await;
    let mut system = System::start(3).await;
    let address = system.start_stub(&[]);
    system.publish(open_spec("scaled", &address, "120/s", "16s", "horizon: 2s").as_bytes()).await;
    assert!(refused(&system, &["scale", "nobody-has-it", "--by", "2"]).contains("nobody-has-it"));
    system.wait_for_requests(240).await;
    let first_ns = amend(&system, &["scale", "scaled", "--rate", "300/s", "--reason", "more"]);
    let paused_ns = amend(&system, &["pause", "scaled"]);
    assert!(first_ns >= 2 * SECOND_NS && paused_ns >= first_ns && paused_ns <= first_ns + 3 * SECOND_NS);
    until("the pause is there", async || {
        let events = system.events("scaled").await;
        events.iter().any(|event| event.message.starts_with("pause")).then_some(())
    })
    .await;
    // It shows in the seconds that it is paused.
    until("nothing is offered", async || {
        let before = stub_stats(&address).requests;
        tokio::time::sleep(Duration::from_millis(700)).await;
        (before > 0 && stub_stats(&address).requests == before).then_some(())
    })
    .await;
    let resumed_ns = amend(&system, &["resume", "scaled"]);
    assert!(resumed_ns > paused_ns);
    let (record, report) = assert_as_amended(&system, "scaled", &address).await;
    let changes: Vec<(u64, Change)> = record.spec.amendments.iter().map(|one| (one.at.0, one.change.clone())).collect();
    let rate = Change::Rate("300/s".parse().unwrap());
    assert_eq!(changes, [(first_ns, rate), (paused_ns, Change::Pause), (resumed_ns, Change::Resume)]);
    assert_eq!(record.spec.amendments[0].reason, "more");
    let told: Vec<&str> = report
        .events
        .iter()
        .filter(|event| event.kind == EventKind::Control)
        .map(|event| event.message.as_str())
        .collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("rate 300/s from ") && told[0].ends_with(": more"), "{told:?}");
    assert!(refused(&system, &["pause", "scaled"]).contains("finished"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amended_run_goes_on_as_amended_though_its_daemon_and_its_server_die() {
    let _turn = beside_others().await;
    let mut system = System::start(3).await;
    let address = system.start_stub(&[]);
    let spec = open_spec("dies", &address, "100/s", "16s", "horizon: 8s") + "  arrivals: poisson\n";
    system.publish(spec.as_bytes()).await;
    system.wait_for_requests(100).await;
    let at_ns = amend(&system, &["scale", "dies", "--by", "2.5"]);
    // It is in the record before anybody hears of it.
    system.daemon.as_mut().unwrap().kill();
    system.server.restart().await.unwrap();
    system.start_daemon();
    let (record, _) = assert_as_amended(&system, "dies", &address).await;
    assert_eq!(record.spec.amendments.len(), 1);
    assert_eq!(record.spec.amendments[0].at.0, at_ns);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hears_of_no_amendment_offers_nothing_beyond_its_instant() {
    let _turn = beside_others().await;
    let mut system = System::start(3).await;
    let address = system.start_stub(&[]);
    let more = "horizon: 3s\nmax_deficit: 0.5\non_node_loss: shrink";
    system.publish(open_spec("deaf", &address, "90/s", "14s", more).as_bytes()).await;
    system.wait_for_requests(180).await;
    system.clients[2].signal(Signal::STOP);
    let at_ns = amend(&system, &["scale", "deaf", "--rate", "300/s"]);
    until("the others offer at the new rate", async || {
        let run_ns = nuncius_clock::unix_ms().saturating_sub(system.record("deaf").await?.started_unix_ms?) * 1_000_000;
        (run_ns > at_ns + SECOND_NS).then_some(())
    })
    .await;
    system.clients[2].signal(Signal::CONT);
    let record = system.wait_for_end("deaf").await;
    let report = system.report("deaf").await;
    let whole = schedule_of(&record.spec, 0, &record.spec.groups[0], 3).unwrap().total();
    assert_eq!(report.scheduled, whole);
    let counted = stub_stats(&address).requests;
    assert!(report.deficit > 0 && counted <= whole, "{counted} of {whole}: {:?}", report.reasons);
    assert_eq!(report.offered + report.deficit, whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_come_and_go_at_one_instant_on_all_nodes() {
    let _turn = beside_others().await;
    let mut system = System::start(3).await;
    let address = system.start_stub(&["--service-time", "constant:20ms"]);
    let spec = format!(
        "id: users\nhorizon: 2s\nlag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\nservices: {{stub: ['{address}']}}\ngroups:\n- name: shop\n  target: http://stub/\n  \
         users: 6\n  duration: 14s\n- name: other\n  target: http://stub/\n  rate: 10/s\n  duration: 14s\n"
    );
    system.publish(spec.as_bytes()).await;
    system.wait_for_requests(100).await;
    let refusal = refused(&system, &["scale", "users", "--users", "200", "--group", "shop"]);
    assert!(refusal.contains("at most 100") && refusal.contains("max_users"), "{refusal}");
    assert!(refused(&system, &["scale", "users", "--users", "9"]).contains("group other has a rate"));
    assert!(refused(&system, &["scale", "users", "--users", "9", "--group", "nix"]).contains("shop, other"));
    let more_ns = amend(&system, &["scale", "users", "--users", "24", "--group", "shop"]);
    until("there are 24", async || {
        let run_ms = nuncius_clock::unix_ms().saturating_sub(system.record("users").await?.started_unix_ms?);
        (run_ms * 1_000_000 > more_ns + 2 * SECOND_NS).then_some(())
    })
    .await;
    let fewer_ns = amend(&system, &["scale", "users", "--users", "3", "--group", "shop"]);
    let record = system.wait_for_end("users").await;
    let report = system.report("users").await;
    assert_eq!(record.verdict, Some(Verdict::Pass), "{:?}", report.reasons);
    let step = &report.groups[0].steps[0];
    assert_eq!(step.succeeded + report.groups[1].steps[0].succeeded, stub_stats(&address).requests);
    let in_flight = &report.series[0].columns.in_flight;
    let at = |ns: u64| usize::try_from(ns / SECOND_NS).unwrap();
    let within = |from: usize, to: usize| in_flight[from..to].iter().copied().max().unwrap();
    assert!(within(0, at(more_ns)) <= 6, "{in_flight:?}");
    let many = within(at(more_ns) + 1, at(fewer_ns));
    assert!((20..=24).contains(&many), "{in_flight:?} from {more_ns} to {fewer_ns}");
    assert!(within(at(fewer_ns) + 1, 13) <= 3, "{in_flight:?} from {fewer_ns}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_specification_with_amendments_of_its_own_is_run_as_it_says() {
    let _turn = beside_others().await;
    let mut system = System::start(3).await;
    let address = system.start_stub(&[]);
    let more = "amendments:\n- {at: 2500ms, change: pause}\n- {at: 4s, change: resume}\n- {at: 6s, change: {scale: 3}}";
    system.publish(open_spec("written", &address, "60/s", "9s", more).as_bytes()).await;
    let (_, report) = assert_as_amended(&system, "written", &address).await;
    assert_eq!(report.offered, 60 * 3 * 3 + 150 + 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_send_at_times_of_their_own_are_added_and_end_with_a_verdict() {
    let _turn = beside_others().await;
    let mut system = System::start(3).await;
    let address = system.start_stub(&[]);
    let spec = format!(
        "id: clients\nhorizon: 2s\nlag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\n\
         services: {{stub: ['{address}']}}\ngroups:\n- target: http://stub/\n  duration: 10m\n  clients:\n    \
         count: 20\n    interarrival: [expovariate, 5]\n"
    );
    system.publish(spec.as_bytes()).await;
    system.wait_for_requests(150).await;
    assert!(refused(&system, &["scale", "clients", "--rate", "9/s"]).contains("decide when they send"));
    let _ = amend(&system, &["scale", "clients", "--users", "40"]);
    system.wait_for_requests(600).await;
    let end_ns = amend(&system, &["end", "clients"]);
    let (record, report) = assert_as_amended(&system, "clients", &address).await;
    assert_eq!(record.spec.amendments.last().map(|one| (one.at.0, one.change.clone())), Some((end_ns, Change::End)));
    assert!((report.offered_seconds - end_ns as f64 / 1e9).abs() < 1.0, "{}", report.offered_seconds);
    assert!(refused(&system, &["resume", "clients"]).contains("finished"));
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_of_scenarios_change_for_what_is_planned_from_an_instant_on_and_the_schedule_stays() {
    let _turn = beside_others().await;
    let mut system = System::start(2).await;
    let address = system.start_stub(&[]);
    let scenarios = "  scenarios:\n  - {name: browse, weight: 1, steps: [{get: /browse}]}\n\
                     \x20 - {name: buy, weight: 1, steps: [{get: /buy}]}\n";
    let spec = open_spec("weights", &address, "100/s", "10s", "horizon: 2s") + scenarios;
    system.publish(spec.as_bytes()).await;
    system.wait_for_requests(100).await;
    assert!(refused(&system, &["scale", "weights", "--weights", "sell=1"]).contains("there are browse, buy"));
    assert!(refused(&system, &["scale", "weights", "--weights", "browse=0,buy=0"]).contains("weight over 0"));
    let at_ns = amend(&system, &["scale", "weights", "--weights", "browse=0"]);
    let record = system.wait_for_end("weights").await;
    assert_eq!(record.status, RunStatus::Finished, "{:?}", record.reason);
    let report = system.report("weights").await;
    let of = |name: &str| report.groups[0].steps.iter().find(|step| step.name.contains(name)).unwrap().succeeded;
    // A hundred a second, each at its hundredth: of what was planned before the instant half browsed, and nobody since.
    let before = at_ns.div_ceil(10_000_000) as f64;
    let (browsed, bought) = (of("browse"), of("buy"));
    assert_eq!(browsed + bought, 1_000);
    assert!((0.35..0.65).contains(&(browsed as f64 / before)), "{browsed} of {before} browsed");
}
