//! What people are told of their jobs: what is waited for, what is known already, and nothing that is secret.

use std::process::Stdio;

use nuncius_schemas::job::{JobResult, JobStatus};

use crate::harness::{Process, beside_others, until};
use crate::queue_harness::{Queues, ended};

fn record(text: &str) -> JobResult {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_submits_to_a_queue_without_a_worker_is_told_what_is_waited_for() {
    let _turn = beside_others().await;
    let system = Queues::start().await;
    system.done(&["queue", "create", "q"]);
    let log = system.path("submit.log");
    let out = std::fs::File::create(system.path("submit.out")).unwrap();
    let mut command = system.command(&["queue", "submit", "q", "--limit", "12", "--", "0.01"]);
    let mut submit = Process::start(command.stdout(Stdio::from(out)), &log);
    let told = |words: &'static str| {
        let log = log.clone();
        async move {
            let has = async || std::fs::read_to_string(&log).is_ok_and(|text| text.contains(words)).then_some(());
            until(words, has).await;
        }
    };
    told("queue `q` has no worker; `nuncius worker --queue q").await;
    // Another reason is told as it comes.
    system.done(&["queue", "pause", "q"]);
    told("queue `q` is paused; `nuncius queue resume q`").await;
    let _worker = system.joined_worker("w1", &["--queue", "q", "--limit", "12", "--kill-grace", "1", "sleep"]).await;
    system.done(&["queue", "resume", "q"]);
    assert_eq!(ended(&mut submit).await.code(), Some(0));
    let result = record(&std::fs::read_to_string(system.path("submit.out")).unwrap());
    assert_eq!(result.status, JobStatus::Succeeded);
    assert_eq!(std::fs::read_to_string(&log).unwrap().lines().filter(|line| line.contains("no worker")).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_ended_is_told_with_its_record_and_does_not_run_again() {
    let _turn = beside_others().await;
    let system = Queues::start().await;
    system.done(&["queue", "create", "q", "--duplicate-window", "0.1"]);
    let runs = system.path("runs");
    let worker = system.joined_worker("w1", &["--queue", "q", "/bin/sh", "-c"]).await;
    let script = format!("echo run >> {}; exit 3", runs.display());
    let first = system.submit_with("q", &["--id", "x"], &[&script]);
    assert_eq!((first.status, first.exit_code), (JobStatus::Failed, Some(3)));
    // Its worker is not needed for that.
    drop(worker);
    let output = system.output(&["queue", "submit", "q", "--id", "x", "--", &script]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(record(&String::from_utf8(output.stdout).unwrap()), first);
    assert!(String::from_utf8_lossy(&output.stderr).contains("job x of queue q has ended before"));
    assert_eq!(std::fs::read_to_string(&runs).unwrap(), "run\n");
    let info = system.info("q").await;
    assert_eq!((info.accepted, info.totals.ended(), info.jobs), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_commands_say_of_every_moment_that_accepted_is_ended_and_in_the_queue() {
    let _turn = beside_others().await;
    let system = Queues::start().await;
    let frontend = system.start_frontend(&["q", "--qmax", "9999", "--duplicate-window", "0.1"]);
    let _worker = system.joined_worker("w1", &["--queue", "q", "--slots", "2", "sleep"]).await;
    assert_eq!(system.info("q").await.limit, 9999, "as it was said, whatever the slots of workers add");
    let client = system.start_client(&["q", "--req-now", "4", "--req-max", "4", "--", "0.01"]);
    let mut ended = 0;
    while ended < 100 {
        let info = system.info("q").await;
        ended = info.totals.ended();
        assert_eq!((info.accepted, info.unaccounted), (ended + info.totals.repeated + info.jobs, 0), "{info:?}");
        let text = frontend.page("/metrics");
        let sum = |name: &str| -> f64 {
            let values =
                text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' ')?.1.parse::<f64>().ok());
            values.sum()
        };
        let accepted = sum("nuncius_queue_accepted_jobs_total{");
        let settled = sum("nuncius_queue_finished_jobs_total{") + sum("nuncius_queue_repeated_jobs_total{");
        assert_eq!(accepted, settled + sum("hpa_queue_all{"), "{text}");
    }
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_does_not_inherit_what_leads_to_the_bus_and_passwords_are_not_in_its_record() {
    let _turn = beside_others().await;
    let system = Queues::start().await;
    system.done(&["queue", "create", "q"]);
    let mut command = system.command(&["worker", "--queue", "q", "--name", "w1", "/bin/sh", "-c"]);
    command.env("NATS_URL", "nats://user:hunter2@127.0.0.1:1").env("NUNCIUS_NATS_PASSWORD", "");
    command.env("MY_BUS", "nats://user:hunter2@127.0.0.1:1").env("RENDER_TOKEN", "kept");
    let _worker = Process::start(command.stdout(Stdio::null()), &system.path("w1.log"));
    let result =
        system.submit("q", &["env; echo amqp://guest:hunter2@broker/; echo postgres://a:hunter2@db >&2; exit 3"]);
    let shown = serde_json::to_string(&result).unwrap();
    assert!(!shown.contains("hunter2"), "{shown}");
    let printed = result.stdout_tail.unwrap();
    for name in ["NATS_URL", "NUNCIUS_", "MY_BUS"] {
        assert!(!printed.contains(name), "{name}: {printed}");
    }
    assert!(printed.contains("RENDER_TOKEN=kept") && printed.contains("amqp://[redacted]@broker/"), "{printed}");
}
