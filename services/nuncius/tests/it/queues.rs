//! Queues by command, and what the flags of a worker promise.

use std::path::Path;
use std::time::{Duration, Instant};

use nuncius_schemas::job::JobStatus;
use nuncius_schemas::queue::QueueState;
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{beside_others, nuncius, until};
use crate::queue_harness::{Queues, ended, wait_for_file};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_made_shown_paused_resumed_drained_purged_and_removed() {
    let _turn = beside_others().await;
    let system = Queues::start().await;
    let made = system.done(&["queue", "create", "q", "--qmax", "2", "--priorities", "2", "--max-wait", "1h"]);
    assert_eq!(made.trim(), "queue q made");
    let again = system.done(&["queue", "create", "q", "--qmax", "2"]);
    assert_eq!(again.trim(), "queue q is as wanted");
    system.done(&["queue", "create", "like", "--like", "q", "--attempts", "7"]);
    let like = system.info("like").await.definition;
    assert_eq!((like.max_waiting, like.priorities, like.attempts), (2, 2, 7));

    // Paused: it takes jobs up to its limit and gives none.
    let worker = system.joined_worker("w1", &["--queue", "q", "sleep"]).await;
    let paused = system.done(&["queue", "pause", "q"]);
    assert!(paused.starts_with("queue q is paused: it takes jobs and gives none"), "{paused}");
    system.submit_only("q", "a", &["0.01"]);
    system.done(&["queue", "submit", "q", "--no-wait", "--id", "b", "--priority", "1", "--", "0.01"]);
    system.refused(&["queue", "submit", "q", "--", "0.01"], 5, &["queue `q` is full", "`max_waiting` of 2"]);
    system.refused(&["queue", "submit", "q", "--priority", "2", "--", "0"], 5, &["priority 2", "0 to 1"]);
    let info = json(&system.done(&["queue", "info", "q", "--json"]));
    assert_eq!((&info["jobs"], &info["limit"]), (&2.into(), &2.into()), "{info}");
    assert_eq!(info["waiting"], serde_json::json!([1, 1]), "{info}");
    assert_eq!(info["definition"]["state"], "paused");
    let text = system.done(&["queue", "info", "q"]);
    assert!(text.contains("2, of which 2 were never begun") && text.contains("paused"), "{text}");
    assert!(text.contains("no frontend: nothing is swept or exported"), "{text}");
    let table = system.done(&["queue", "ls"]);
    let row = table.lines().find(|line| line.split_whitespace().next() == Some("q")).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells, ["q", "paused", "2", "2", "2", "2", "0", "0", "0", "-"], "{table}");
    let names: Vec<String> = json(&system.done(&["queue", "ls", "--json"]))
        .as_array()
        .unwrap()
        .iter()
        .map(|queue| queue["definition"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["like", "q"]);
    system.refused(&["queue", "rm", "q"], 5, &["`q` still has 2 jobs", "--force"]);

    // Purged: each job that waits gets its record.
    let purged = system.done(&["queue", "purge", "q"]);
    assert_eq!(purged.trim(), "2 jobs of queue q dropped, 0 jobs left, which have begun");
    let records = system.records("q").await;
    let ends: Vec<_> = records.iter().map(|record| (record.status, record.error.as_deref())).collect();
    assert_eq!(ends, [(JobStatus::Dropped, Some("purged")); 2]);
    assert_eq!(system.info("q").await.jobs, 0);

    // Resumed: what waited is given out, and who waits for a result gets it.
    system.submit_only("q", "c", &["0.01"]);
    system.done(&["queue", "resume", "q"]);
    assert_eq!(system.wait_for_record("q", "c").await.status, JobStatus::Succeeded);
    assert_eq!(system.submit("q", &["0.01"]).status, JobStatus::Succeeded);

    // Drained: it takes none, and the command waits for what is there.
    system.submit_only("q", "d", &["0.4"]);
    system.done(&["queue", "drain", "q"]);
    assert_eq!(system.wait_for_record("q", "d").await.status, JobStatus::Succeeded);
    assert_eq!(system.info("q").await.jobs, 0);
    system.refused(&["queue", "submit", "q", "--", "0"], 5, &["queue `q` is draining", "queue resume q"]);
    system.done(&["queue", "resume", "q"]);
    assert_eq!(system.submit("q", &["0.01"]).status, JobStatus::Succeeded);

    system.done(&["queue", "drain", "q", "--no-wait"]);
    assert_eq!(system.info("q").await.definition.state, QueueState::Draining);
    system.wait_for_jobs("q", 0, 0).await;
    assert_eq!(system.done(&["queue", "rm", "q"]).trim(), "queue q removed with its records, 0 jobs lost");
    system.refused(&["queue", "submit", "q", "--", "0"], 5, &["`q`", "there is no such queue"]);
    system.refused(&["queue", "info", "q"], 5, &["`q`", "there is no such queue"]);
    system.done(&["queue", "pause", "like"]);
    system.submit_only("like", "lost", &[]);
    system.done(&["queue", "rm", "like", "--force"]);
    assert_eq!(system.done(&["queue", "ls", "--json"]).trim(), "[]");

    // A worker waits for a queue that was removed to be made anew.
    system.done(&["queue", "create", "q"]);
    assert_eq!(system.submit("q", &["0.01"]).status, JobStatus::Succeeded);
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_when_its_queue_was_removed_is_no_business_of_the_next_queue_of_that_name() {
    let _turn = beside_others().await;
    let system = Queues::start().await;
    let frontend = system.start_frontend(&["q"]);
    let flags = ["--queue", "q", "/bin/sh", "-c"];
    let _first = system.joined_worker("w1", &flags).await;
    let [old, old_may_end, new, new_may_end] = ["old", "old-end", "new", "new-end"].map(|name| system.path(name));
    system.submit_only("q", "old", &[&waiting_script(&old, &old_may_end)]);
    wait_for_file(&old).await;
    system.done(&["queue", "rm", "q", "--force"]);
    system.done(&["queue", "create", "q"]);
    // The first of its stream, as the other was.
    let _second = system.joined_worker("w2", &flags).await;
    system.submit_only("q", "new", &[&waiting_script(&new, &new_may_end)]);
    wait_for_file(&new).await;
    std::fs::write(&old_may_end, "").unwrap();
    let next = system.submit("q", &["exit 0"]);
    assert_eq!(next.worker.as_deref(), Some("w1"), "the old one has ended");
    assert!(system.has_job("q", "new").await, "the new one is there still");
    std::fs::write(&new_may_end, "").unwrap();
    assert_eq!(system.wait_for_record("q", "new").await.status, JobStatus::Succeeded);
    assert_eq!(system.records("q").await.len(), 2);
    frontend.wait_for_metric("hpa_queue_success_total{name=\"q\"}", 2.0).await;
    frontend.wait_for_metric("nuncius_queue_accepted_jobs_total{queue=\"q\"}", 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_submitted_again_and_removed() {
    let _turn = beside_others().await;
    let system = Queues::start().await;
    let settings = ["--attempts", "2", "--retry-failures", "--retry-backoff", "50ms"];
    system.done(&[&["queue", "create", "q"], &settings[..]].concat());
    let _worker = system.joined_worker("w1", &["--queue", "q", "/bin/sh", "-c"]).await;
    let flag = system.path("flag");
    let script = format!("test -e {}", flag.display());
    for id in ["a", "b"] {
        let result = system.submit_with("q", &["--id", id], &[&script]);
        assert_eq!((result.status, result.attempt, result.exit_code), (JobStatus::Dead, 2, Some(1)), "{result:?}");
    }
    let letters = json(&system.done(&["queue", "dead", "ls", "q", "--json"]));
    let first = &letters[0];
    assert_eq!((&first["job"], &first["attempts"]), (&"a".into(), &2.into()), "{letters}");
    assert!(first["reason"].as_str().unwrap().contains("exit code 1"), "{letters}");
    assert_eq!(letters.as_array().unwrap().len(), 2);
    let table = system.done(&["queue", "dead", "ls", "q", "--limit", "1"]);
    assert!(table.contains("exit code 1") && !table.lines().any(|line| line.trim().starts_with("b ")), "{table}");
    assert_eq!(json(&system.done(&["queue", "info", "q", "--json"]))["dead_letters"], 2);
    system.refused(&["queue", "dead", "retry", "q", "nobody"], 5, &["`q`", "no dead letter of job `nobody`"]);
    system.refused(&["queue", "dead", "rm", "q", "nobody"], 5, &["`q`", "no dead letter of job `nobody`"]);

    // Again and in vain, then again and well.
    assert_eq!(system.done(&["queue", "dead", "retry", "q", "a"]).trim(), "a is submitted again as a-r1");
    assert_eq!(system.wait_for_record("q", "a-r1").await.status, JobStatus::Dead);
    until("there are two letters again", async || (system.info("q").await.dead_letters == 2).then_some(())).await;
    std::fs::write(&flag, "").unwrap();
    let said = system.done(&["queue", "dead", "retry", "q"]);
    assert_eq!(said.lines().collect::<Vec<_>>(), ["b is submitted again as b-r1", "a-r1 is submitted again as a-r2"]);
    for job in ["b-r1", "a-r2"] {
        let result = system.wait_for_record("q", job).await;
        assert_eq!((result.status, result.attempt), (JobStatus::Succeeded, 1), "{result:?}");
    }
    assert_eq!(system.done(&["queue", "dead", "ls", "q", "--json"]).trim(), "[]");

    std::fs::remove_file(&flag).unwrap();
    assert_eq!(system.submit_with("q", &["--id", "c"], &[&script]).status, JobStatus::Dead);
    until("its letter is there", async || (system.info("q").await.dead_letters == 1).then_some(())).await;
    system.done(&["queue", "dead", "rm", "q", "c"]);
    assert_eq!(system.info("q").await.dead_letters, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_to_end_at_an_empty_queue_does_what_is_there_first() {
    let _turn = beside_others().await;
    let system = Queues::start().await;
    system.done(&["queue", "create", "q"]);
    for (round, flags) in [&["--exit-on-empty"][..], &["--backoff", "0"]].into_iter().enumerate() {
        let jobs: Vec<String> = (0..3).map(|number| format!("{round}-{number}")).collect();
        for job in &jobs {
            system.submit_only("q", job, &["0.05"]);
        }
        let arguments = [&["--queue", "q"], flags, &["sleep"][..]].concat();
        let mut worker = system.start_worker(&format!("w{round}"), &arguments);
        let status = ended(&mut worker).await;
        assert_eq!(status.code(), Some(0), "{flags:?}: {}", system.log(&format!("w{round}")));
        let records = system.records("q").await;
        let mut done: Vec<&str> = records.iter().skip(3 * round).map(|record| record.job.as_str()).collect();
        // One that came too many is handed back and done later.
        done.sort_unstable();
        assert_eq!(done, jobs, "{flags:?}");
        assert!(records.iter().all(|record| record.status == JobStatus::Succeeded), "{records:?}");
        assert_eq!(system.info("q").await.jobs, 0);
    }

    // Nothing at all is there.
    let begun = Instant::now();
    let mut worker = system.start_worker("w", &["--queue", "q", "--exit-on-empty", "sleep"]);
    assert_eq!(ended(&mut worker).await.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "after {:?}", begun.elapsed());

    // One that backs off asks again: what comes later is done.
    let flags = ["--queue", "q", "--backoff", "0.05", "--backoff-max", "0.2", "sleep"];
    let mut worker = system.joined_worker("b", &flags).await;
    for _ in 0..3 {
        let result = system.submit("q", &["0.01"]);
        assert_eq!((result.status, result.worker.as_deref()), (JobStatus::Succeeded, Some("b")));
        assert!(result.wait_seconds < 5.0, "{result:?}");
        // Long enough for the longest pause.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    worker.signal(Signal::TERM);
    assert_eq!(ended(&mut worker).await.code(), Some(0));
}

#[test]
fn a_workload_is_run_once_without_any_server() {
    // Nobody listens there.
    let once = |arguments: &[&str]| {
        let mut command = nuncius();
        command.args(["worker", "--nats", "nats://127.0.0.1:1", "--once"]).args(arguments);
        command.output().unwrap()
    };
    let output = once(&["/bin/sh", "-c", "echo well"]);
    assert_eq!((output.status.code(), output.stdout.starts_with(b"well\n")), (Some(0), true), "{output:?}");
    assert_eq!(once(&["sleep", "0.01"]).status.code(), Some(0));
    for (arguments, wanted) in [
        (&["/bin/sh", "-c", "exit 3"][..], "exit code 3"),
        (&["/bin/sh", "-c", "kill -9 $$"], "signal 9"),
        (&["--limit", "100ms", "sleep", "60"], "limit of 0.1 s"),
        (&["/nonexistent/program"], "no such program"),
    ] {
        let output = once(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(error.contains(wanted), "{arguments:?}: {error}");
    }
}

/// A script that says that it has begun, and ends once it may.
fn waiting_script(begun: &Path, may_end: &Path) -> String {
    format!("echo $$ > {}; until [ -e {} ]; do sleep 0.02; done", begun.display(), may_end.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_end_finishes_its_job_and_one_that_is_told_twice_hands_it_back() {
    let _turn = beside_others().await;
    let system = Queues::start().await;
    system.done(&["queue", "create", "q"]);
    let (begun, may_end) = (system.path("begun"), system.path("may-end"));
    let script = waiting_script(&begun, &may_end);
    let flags = ["--queue", "q", "/bin/sh", "-c"];
    let mut worker = system.joined_worker("w1", &flags).await;
    system.submit_only("q", "first", &[&script]);
    wait_for_file(&begun).await;
    worker.signal(Signal::TERM);
    until("it drains", async || system.log("w1").contains("takes no more jobs").then_some(())).await;
    system.submit_only("q", "second", &["exit 0"]);
    assert!(worker.child.try_wait().unwrap().is_none(), "it finishes its job");
    std::fs::write(&may_end, "").unwrap();
    assert_eq!(ended(&mut worker).await.code(), Some(0), "{}", system.log("w1"));
    let records = system.records("q").await;
    assert_eq!(records.len(), 1, "it took no other: {records:?}");
    assert_eq!((records[0].job.as_str(), records[0].status, records[0].attempt), ("first", JobStatus::Succeeded, 1));
    system.wait_for_jobs("q", 1, 1).await;
    assert!(system.node("w1").await.is_none(), "it left the registry");

    // Told twice: the job is handed back at once and costs no attempt, and its processes are gone.
    std::fs::remove_file(&may_end).unwrap();
    std::fs::remove_file(&begun).unwrap();
    let mut worker = system.joined_worker("w2", &flags).await;
    assert_eq!(system.wait_for_record("q", "second").await.status, JobStatus::Succeeded);
    system.submit_only("q", "third", &[&script]);
    let pid = wait_for_file(&begun).await.trim().parse().unwrap();
    worker.signal(Signal::TERM);
    until("it drains", async || system.log("w2").contains("takes no more jobs").then_some(())).await;
    let told = Instant::now();
    worker.signal(Signal::TERM);
    assert_eq!(ended(&mut worker).await.code(), Some(0), "{}", system.log("w2"));
    assert!(told.elapsed() < Duration::from_secs(5), "after {:?}", told.elapsed());
    assert!(!crate::queue_harness::is_running(pid), "its program is gone");
    std::fs::write(&may_end, "").unwrap();
    let _worker = system.joined_worker("w3", &flags).await;
    let result = system.wait_for_record("q", "third").await;
    assert_eq!((result.status, result.attempt), (JobStatus::Succeeded, 1), "{result:?}");
    assert_eq!(result.worker.as_deref(), Some("w3"));
}
