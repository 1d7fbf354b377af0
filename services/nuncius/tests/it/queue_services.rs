//! Frontends, workers and test clients over crashes and outages, and what autoscalers and people see of them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nuncius_schemas::job::JobStatus;
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{PATIENCE, Process, beside_others, until};
use crate::queue_harness::{Queues, Served, all_ended, ended, http_get, is_running, wait_for_file};

/// How long a process may take to end by SIGTERM, whatever the server does.
const END_MAX: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn everything_ends_within_five_seconds_though_the_server_stands_still() {
    let _turn = beside_others().await;
    let system = Queues::start().await;
    let mut frontend = system.start_frontend(&["q", "idle"]);
    let mut idle = system.joined_worker("idle", &["--queue", "idle", "sleep"]).await;
    let mut busy = system.joined_worker("busy", &["--queue", "q", "/bin/sh", "-c"]).await;
    let mut client = system.start_client(&["q", "--req-now", "2", "--", "sleep 0.05"]);
    let pid_file = system.path("pid");
    system.submit_only("q", "long", &[&format!("echo $$ > {}; sleep 600", pid_file.display())]);
    let pid = wait_for_file(&pid_file).await.trim().parse().unwrap();
    system.server.pause();
    let mut processes = [
        ("frontend", &mut frontend.process),
        ("idle worker", &mut idle),
        ("busy worker", &mut busy),
        ("client", &mut client.process),
    ];
    for (_, process) in &processes {
        process.signal(Signal::TERM);
    }
    for (name, status, took) in all_ended(&mut processes).await {
        assert_eq!(status.code(), Some(0), "{name}");
        assert!(took < END_MAX, "{name} ended after {took:?}");
    }
    assert!(!is_running(pid), "no job outlives its worker");
    let report = client.rest();
    assert!(report.contains("All requests"), "{report}");
    system.server.resume();
    // What was not finished is there still.
    assert!(system.has_job("q", "long").await);
    assert!(system.records("q").await.iter().all(|record| record.job != "long"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_joins_again_when_the_server_was_killed_and_goes_on() {
    let _turn = beside_others().await;
    let mut system = Queues::start().await;
    system.done(&["queue", "create", "q"]);
    let mut worker = system.joined_worker("w1", &["--queue", "q", "--slots", "2", "/bin/sh", "-c"]).await;
    assert_eq!(system.submit("q", &["exit 0"]).status, JobStatus::Succeeded);
    let (begun, may_end) = (system.path("begun"), system.path("may-end"));
    let script = format!("echo $$ >> {}; until [ -e {} ]; do sleep 0.02; done", begun.display(), may_end.display());
    system.submit_only("q", "over", &[&script]);
    wait_for_file(&begun).await;
    for _ in 0..2 {
        system.server.kill();
        system.server.restart().await.unwrap();
        let result = system.submit("q", &["exit 0"]);
        assert_eq!((result.status, result.attempt), (JobStatus::Succeeded, 1), "{result:?}");
        until("it is in the registry", async || system.node("w1").await).await;
    }
    // What ran all the time is counted once, and was begun once: a server that is killed forgets what it gave to whom.
    assert_eq!(std::fs::read_to_string(&begun).unwrap().lines().count(), 1);
    std::fs::write(&may_end, "").unwrap();
    let result = system.wait_for_record("q", "over").await;
    assert_eq!((result.status, result.attempt), (JobStatus::Succeeded, 1), "{result:?}");
    assert!(worker.child.try_wait().unwrap().is_none(), "it is the same process");
    system.wait_for_jobs("q", 0, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_frontend_takes_over_the_books_of_one_that_was_killed_and_its_totals() {
    let _turn = beside_others().await;
    let system = Queues::start().await;
    let frontends = [system.start_frontend(&["q", "--name", "f1"]), system.start_frontend(&["q", "--name", "f2"])];
    let _worker = system.joined_worker("w1", &["--queue", "q", "/bin/sh", "-c"]).await;
    for script in ["exit 0", "exit 0", "exit 1"] {
        system.submit("q", &[script]);
    }
    let holder = until("one of them keeps the queue", async || system.info("q").await.holder).await;
    let [first, second] = frontends;
    let (mut holding, other) = if holder == "f1" { (first, second) } else { (second, first) };
    let (succeeded, failed) = (finished("succeeded"), finished("failed"));
    holding.wait_for_metric(&succeeded, 2.0).await;
    holding.wait_for_metric(&failed, 1.0).await;
    assert_eq!(other.metric(&succeeded), None, "only one tells of a queue");
    holding.process.kill();
    let killed = Instant::now();
    other.wait_for_metric(&succeeded, 2.0).await;
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(16), "after {took:?}");
    assert_eq!(other.metric(&failed), Some(1.0));
    assert_eq!(other.metric("nuncius_queue_run_seconds_count{queue=\"q\"}"), Some(3.0));
    assert_eq!(system.submit("q", &["exit 0"]).status, JobStatus::Succeeded);
    other.wait_for_metric(&succeeded, 3.0).await;
    other.wait_for_metric("nuncius_queue_accepted_jobs_total{queue=\"q\"}", 4.0).await;
}

fn finished(status: &str) -> String {
    format!("nuncius_queue_finished_jobs_total{{queue=\"q\",status=\"{status}\"}}")
}

/// Waits until three more jobs of the queue were dropped; how long that took.
async fn dropped(system: &Queues, frontend: &Served, dropped_before: usize) -> Duration {
    let since = Instant::now();
    let records = until("its jobs are dropped", async || {
        let records = system.records("q").await;
        (records.len() >= dropped_before + 3).then_some(records)
    })
    .await;
    let took = since.elapsed();
    for record in &records {
        assert_eq!((record.status, record.attempt), (JobStatus::Dropped, 0), "{record:?}");
        assert_eq!(record.error.as_deref(), Some("its client went away"));
    }
    let count = (dropped_before + 3) as f64;
    frontend.wait_for_metric(&finished("dropped"), count).await;
    frontend.wait_for_metric("hpa_queue_disconnect_total{name=\"q\"}", count).await;
    // What does not ask for a present client stays.
    assert_eq!(system.info("q").await.jobs, 1);
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_client_that_is_gone_is_dropped_and_counted() {
    let _turn = beside_others().await;
    let system = Queues::start().await;
    let frontend = system.start_frontend(&["q"]);
    system.done(&["queue", "pause", "q"]);
    system.submit_only("q", "stays", &["0.01"]);
    let flags = ["q", "--req-now", "3", "--req-max", "3", "--", "0.01"];

    let mut client = system.start_client(&flags);
    system.wait_for_jobs("q", 4, 4).await;
    client.process.signal(Signal::TERM);
    let (status, took) = tokio::join!(ended(&mut client.process), dropped(&system, &frontend, 0));
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(3), "after {took:?}");

    let mut client = system.start_client(&flags);
    system.wait_for_jobs("q", 4, 4).await;
    client.process.kill();
    let took = dropped(&system, &frontend, 3).await;
    assert!(took < Duration::from_secs(14), "a lease of 10 s, and 3 s: {took:?}");

    // A client that is there keeps its jobs, and gets them done.
    let client = system.start_client(&flags);
    system.wait_for_jobs("q", 4, 4).await;
    let _worker = system.start_worker("w1", &["--queue", "q", "sleep"]);
    system.done(&["queue", "resume", "q"]);
    until("it gets results", async || {
        let stats: Value = serde_json::from_str(&client.page("/stats?type=json")).unwrap();
        assert_eq!(stats["result"]["failed"], 0, "{stats}");
        stats["result"]["successful"].as_u64().filter(|count| *count > 3)
    })
    .await;
    assert_eq!(system.wait_for_record("q", "stays").await.status, JobStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_client_of_a_name_waits_says_so_and_can_be_ended() {
    let _turn = beside_others().await;
    let system = Queues::start().await;
    let first = system.start_client(&["q", "--name", "same", "--req-now", "0"]);
    let mut command = system.command(&["client", "--queue", "q", "--name", "same", "--caddr", "127.0.0.1:0"]);
    let mut second = Process::start(command.stdout(std::process::Stdio::null()), &system.path("second.log"));
    until("it says so", async || system.log("second").contains("another client has this name").then_some(())).await;
    second.signal(Signal::TERM);
    let told = Instant::now();
    assert_eq!(ended(&mut second).await.code(), Some(0));
    assert!(told.elapsed() < END_MAX, "after {:?}", told.elapsed());
    first.page("/stats");
}

/// Jobs of the consumer of a queue as the server's own monitoring page tells them.
fn lag(monitor: &str, stream: &str, consumer: &str) -> Option<u64> {
    // As KEDA's scaler asks.
    let (status, body) = http_get(monitor, "/jsz?acc=$G&consumers=true&config=true&streams=true");
    assert_eq!(status, 200, "{body}");
    let page: Value = serde_json::from_str(&body).unwrap();
    let account = page["account_details"].as_array()?.iter().find(|account| account["name"] == "$G")?;
    let stream = account["stream_detail"].as_array()?.iter().find(|found| found["name"] == stream)?;
    let consumer = stream["consumer_detail"].as_array()?.iter().find(|found| found["name"] == consumer)?;
    Some(consumer["num_pending"].as_u64()? + consumer["num_ack_pending"].as_u64()?)
}

/// All files below a directory that hold this line.
fn files_with(directory: &Path, line: &str) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let (directories, files): (Vec<_>, Vec<_>) = entries.map(|entry| entry.path()).partition(|path| path.is_dir());
    let texts = files.into_iter().filter_map(|path| Some((path.clone(), std::fs::read_to_string(path).ok()?)));
    let own = texts.filter(|(_, text)| text.lines().any(|found| found == line));
    own.chain(directories.iter().flat_map(|path| files_with(path, line))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn autoscalers_read_the_same_number_of_jobs_from_the_server_and_from_the_frontend() {
    let _turn = beside_others().await;
    let monitor = format!("127.0.0.1:{}", nuncius_testkit::free_port().unwrap());
    let system = Queues::start_with(&format!("http: \"{monitor}\"")).await;
    let frontend = system.start_frontend(&["sleep", "--priorities", "3"]);
    let _worker = system.joined_worker("w1", &["--queue", "sleep", "sleep"]).await;
    assert_eq!(lag(&monitor, "nuncius_job_sleep", "priority-0"), Some(0));
    for id in ["a", "b", "c", "d"] {
        system.submit_only("sleep", id, &["600"]);
    }
    system.wait_for_jobs("sleep", 4, 3).await;
    assert_eq!(lag(&monitor, "nuncius_job_sleep", "priority-0"), Some(4));
    assert_eq!(lag(&monitor, "nuncius_job_sleep", "priority-1"), Some(0));
    frontend.wait_for_metric("hpa_queue_all{name=\"sleep\"}", 4.0).await;
    frontend.wait_for_metric("hpa_queue_running{name=\"sleep\"}", 1.0).await;
    frontend.wait_for_metric("hpa_queue_waiting{name=\"sleep\"}", 3.0).await;
    system.done(&["queue", "submit", "sleep", "--no-wait", "--priority", "2", "--", "600"]);
    assert_eq!(lag(&monitor, "nuncius_job_sleep", "priority-2"), Some(1));
    frontend.wait_for_metric("hpa_queue_all{name=\"sleep\"}", 5.0).await;

    // The manifests name what is there.
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kubernetes");
    if deploy.exists() {
        let manifests = files_with(&deploy, "kind: ScaledObject");
        assert!(!manifests.is_empty(), "{} has a ScaledObject", deploy.display());
        for (path, text) in manifests {
            let values = |name: &str| -> Vec<String> {
                let found = text.lines().filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
                found.map(str::to_owned).collect()
            };
            assert_eq!(values("stream"), ["nuncius_job_sleep"], "{}", path.display());
            assert_eq!(values("consumer"), ["priority-0", "priority-1", "priority-2"], "{}", path.display());
            assert!(values("account").iter().all(|account| account == "$G"), "{}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_test_client_is_steered_by_its_page_over_outages_and_reports_at_its_end() {
    let _turn = beside_others().await;
    let mut system = Queues::start().await;
    system.done(&["queue", "create", "q"]);
    let mut client = system.start_client(&["q", "--req-max", "5", "--", "0.05"]);
    // Nobody runs them yet: what is in flight stays so.
    let result = |client: &Served, path: &str| -> Value {
        let page: Value = serde_json::from_str(&client.page(path)).unwrap();
        page["result"].clone()
    };
    until("a job is in flight", async || (result(&client, "/stats?type=json")["pending"] == 1).then_some(())).await;
    system.wait_for_jobs("q", 1, 1).await;
    assert!(client.page("/stats").contains("<html"), "a page for people");
    assert_eq!(client.page("/parallel?type=plain").trim(), "1");
    assert_eq!(client.page("/parallel?value=3&type=plain").trim(), "3");
    system.wait_for_jobs("q", 3, 3).await;
    assert_eq!(result(&client, "/stats?type=json")["pending"], 3);
    assert_eq!(result(&client, "/parallel?value=99&type=json"), 5, "no more than --req-max");
    system.wait_for_jobs("q", 5, 5).await;
    let (status, body) = http_get(&client.address, "/parallel?value=many&type=plain");
    assert_eq!((status, body.starts_with("ERROR")), (400, true), "{body}");

    let _worker = system.joined_worker("w1", &["--queue", "q", "--slots", "5", "sleep"]).await;
    let more_than = async |client: &Served, count: u64| {
        until("jobs succeed", async || {
            result(client, "/stats?type=json")["successful"].as_u64().filter(|now| *now > count)
        })
        .await
    };
    let before = more_than(&client, 10).await;
    system.server.kill();
    system.server.restart().await.unwrap();
    // Those that were at work meanwhile and a few more.
    more_than(&client, before + 20).await;
    assert_eq!(result(&client, "/parallel?value=2&type=json"), 2);
    more_than(&client, 5).await;
    let nodes = result(&client, "/nodes?type=json");
    assert_eq!(nodes["nodes"].as_array().unwrap().len(), 1, "{nodes}");

    client.process.signal(Signal::TERM);
    let told = Instant::now();
    assert_eq!(ended(&mut client.process).await.code(), Some(0));
    assert!(told.elapsed() < END_MAX && END_MAX < PATIENCE, "after {:?}", told.elapsed());
    let report = client.rest();
    assert!(report.contains("All requests") && report.contains("2 requests in parallel"), "{report}");
    assert!(report.contains("Node statistics") && report.contains("0 failed"), "{report}");
}
