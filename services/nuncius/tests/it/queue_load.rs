//! Jobs as load of an experiment: `engine: queue`.

use std::process::Stdio;

use nuncius_schemas::gate::Quantity;
use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::report::Report;
use nuncius_schemas::run::Verdict;

use crate::harness::{Process, System};

async fn system() -> System {
    let mut system = System::start(2).await;
    let made = system.output(&["queue", "create", "load", "--priorities", "2"]);
    assert!(made.status.success(), "{made:?}");
    let log = system.directory.path().join("worker.log");
    let mut worker = system.command(&["worker", "--queue", "load", "--slots", "16", "sleep"]);
    system.clients.push(Process::start(worker.stdout(Stdio::null()), &log));
    system
}

/// Runs a specification of these groups; the exit code and the report.
async fn run(system: &System, id: &str, groups: &str) -> (Option<i32>, Report) {
    let file = system.directory.path().join(format!("{id}.yaml"));
    std::fs::write(&file, format!("id: {id}\nlag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\n{groups}"))
        .unwrap();
    let mut command = system.command(&["run", file.to_str().unwrap(), "--quiet"]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (output.status.code(), system.report(id).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_offered_in_both_models_and_measured_to_their_records() {
    let _beside = crate::harness::beside_others().await;
    let system = system().await;
    let groups = "gates: ['failures < 5%']\ngroups:\n\
        - {name: open, engine: queue, target: 'queue://load', rate: 50/s, duration: 2s,\n\
           steps: [{job: {args: ['0.01'], limit: 1s}}]}\n\
        - {name: closed, engine: queue, target: 'queue://load', users: 4, iterations: 100,\n\
           steps: [{job: {args: ['0.01'], priority: 1}}, {job: {args: ['0.02']}}]}\n";
    let (code, report) = run(&system, "jobs", groups).await;
    assert_eq!((code, report.verdict), (Some(0), Some(Verdict::Pass)), "{report:?}");
    let [open, closed] = report.groups.as_slice() else { panic!("{report:?}") };
    assert_eq!((open.steps[0].succeeded, open.steps[0].failed, open.steps[0].censored), (100, 0, 0));
    // From the planned instant to the record: the run is in it.
    assert!(open.steps[0].quantities[&Quantity::Response].min_ns >= 10_000_000);
    let succeeded: Vec<u64> = closed.steps.iter().map(|step| step.succeeded).collect();
    assert_eq!(succeeded, [100, 100, 100], "two steps and the iteration");
    assert!(closed.steps[2].quantities[&Quantity::Service].min_ns >= 30_000_000);
    // What was measured and what the queue's books say is the same.
    let names = system.bus.namespace();
    assert_eq!(system.bus.last_sequence(&names.stream_result("load")).await.unwrap(), 300);
    assert_eq!(system.bus.stream_state(&names.stream_job("load")).await.unwrap().messages, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_is_a_failure_with_its_reason_and_a_queue_that_is_not_there_is_told_of() {
    let _beside = crate::harness::beside_others().await;
    let system = system().await;
    let groups = |queue: &str| {
        format!(
            "groups: [{{engine: queue, target: 'queue://{queue}', users: 2, iterations: 40,\n\
               steps: [{{name: bad, job: {{args: [x]}}}}]}}]\n"
        )
    };
    let (code, report) = run(&system, "failing", &groups("load")).await;
    assert_eq!((code, report.verdict), (Some(1), Some(Verdict::Fail)));
    let failures = &report.groups[0].steps[0].failures;
    assert_eq!((failures[0].kind, failures[0].count), (FailureKind::Job, 40));
    let sample = failures[0].sample.clone().unwrap();
    assert!(sample.starts_with("failed: ") && sample.contains("not a number"), "{sample}");
    let (code, report) = run(&system, "nowhere", &groups("nowhere")).await;
    assert_eq!(code, Some(5));
    let reason = format!("{report:?}");
    assert!(reason.contains("groups[0].target") && reason.contains("there is no such queue"), "{reason}");
}
