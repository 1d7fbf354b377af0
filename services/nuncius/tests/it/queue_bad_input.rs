//! What is wrong with a job, a queue or a workload ends with its reason, and worker and frontend go on.

use std::os::unix::fs::PermissionsExt;

use nuncius_schemas::job::{JobResult, JobStatus};

use crate::harness::{Process, beside_others, until};
use crate::queue_harness::{Queues, Served, is_running};

/// A system whose processes are those that were started, all the time.
struct Case {
    system: Queues,
    frontend: Served,
    workers: Vec<Process>,
}

impl Case {
    /// A good job of this queue succeeds at its first attempt, and every process lives.
    fn assert_all_well(&mut self, queue: &str, arguments: &[&str]) {
        let result = self.system.submit(queue, arguments);
        assert_eq!((result.status, result.attempt), (JobStatus::Succeeded, 1), "{result:?}");
        for process in self.workers.iter_mut().chain([&mut self.frontend.process]) {
            assert!(process.child.try_wait().unwrap().is_none(), "every process lives");
        }
        self.frontend.page("/healthz");
    }
}

fn assert_says(result: &JobResult, wanted: &[&str]) {
    for wanted in wanted {
        let error = result.error.as_deref().unwrap_or_default();
        assert!(error.contains(wanted), "`{wanted}` is not named: {result:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_too_large_or_makes_no_sense_is_refused_or_ends_with_its_reason() {
    let _turn = beside_others().await;
    let system = Queues::start().await;
    let frontend = system.start_frontend(&["sleep"]);
    let workers = vec![
        system.start_worker("w1", &["--queue", "sleep", "sleep"]),
        system.start_worker("w2", &["--queue", "wide", "/bin/sh"]),
    ];
    let mut case = Case { system, frontend, workers };
    let good: &[&str] = &["0.01"];

    // By the command, which knows the limits, and by whoever does not ask.
    let long = "x".repeat(70_000);
    case.system.refused(&["queue", "submit", "sleep", "--", &long], 5, &["max_job_bytes", "65536", "sleep"]);
    let subject = case.system.bus.namespace().job("sleep", 0, "plain");
    let payload = format!("{{\"args\": [\"{long}\"]}}").into_bytes().into();
    let stored = case.system.bus.publish_acked(&subject, &nuncius_bus::Headers::new(), payload, None, None).await;
    let error = stored.unwrap_err().to_string();
    assert!(error.contains("maximum"), "{error}");
    case.assert_all_well("sleep", good);

    let many = vec!["1"; 10_000];
    let submit: Vec<&str> = ["queue", "submit", "sleep", "--"].iter().chain(&many).copied().collect();
    case.system.refused(&submit, 5, &["10000 arguments", "`max_arguments` of 256", "sleep"]);
    let payload = serde_json::json!({ "args": many }).to_string();
    let id = case.system.publish("sleep", "plain", &payload).await;
    let result = case.system.wait_for_record("sleep", &id).await;
    assert_eq!(result.status, JobStatus::Dead);
    assert_says(&result, &["10000 arguments", "`max_arguments` of 256"]);
    case.assert_all_well("sleep", good);

    let id = case.system.publish("sleep", "plain", "{\"args\": [\"1\\u0000\"]}").await;
    let result = case.system.wait_for_record("sleep", &id).await;
    assert_eq!((result.status, result.attempt), (JobStatus::Failed, 1), "{result:?}");
    assert_says(&result, &["argument 1", "NUL"]);
    case.assert_all_well("sleep", good);

    for (payload, wanted) in
        [("{\"args\": [", "not readable as JSON"), ("\u{ff}garbage", "not readable"), ("{\"args\": 7}", "not readable")]
    {
        let id = case.system.publish("sleep", "plain", payload).await;
        let result = case.system.wait_for_record("sleep", &id).await;
        assert_eq!(result.status, JobStatus::Dead, "{payload}: {result:?}");
        assert_says(&result, &[wanted]);
    }
    case.assert_all_well("sleep", good);

    for (argument, wanted) in [("soon", "is not a number"), ("-1", "is negative"), ("1e99", "above the limit")] {
        let result = case.system.submit("sleep", &[argument]);
        assert_eq!(result.status, JobStatus::Failed);
        assert_says(&result, &["sleep", argument, wanted]);
    }
    assert_says(&case.system.submit("sleep", &[]), &["needs seconds"]);
    case.assert_all_well("sleep", good);

    // The same number where it is allowed is run, with all of them.
    case.system.done(&["queue", "create", "wide", "--max-arguments", "20000", "--max-job-bytes", "262144"]);
    let arguments: Vec<&str> = ["-c", "echo $# $1 ${10000}", "sh"].iter().chain(&many).copied().collect();
    let result = case.system.submit("wide", &arguments);
    assert_eq!((result.status, result.stdout_tail.as_deref()), (JobStatus::Succeeded, Some("10000 1 1\n")));
    case.assert_all_well("sleep", good);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_may_be_missing_crash_hang_fork_or_flood_and_its_worker_goes_on() {
    let _turn = beside_others().await;
    let system = Queues::start().await;
    let tool = system.path("tool");
    let frontend = system.start_frontend(&["shell", "tool"]);
    let limits = ["--limit", "30s", "--kill-grace", "200ms"];
    let shell: Vec<&str> = ["--queue", "shell"].iter().chain(&limits).chain(&["/bin/sh", "-c"]).copied().collect();
    let workers = vec![
        system.start_worker("w1", &shell),
        system.start_worker("w2", &["--queue", "tool", tool.to_str().unwrap()]),
    ];
    let mut case = Case { system, frontend, workers };
    let good: &[&str] = &["exit 0"];

    // A program that is not there, then may not be executed, then is neither program nor script, then is good.
    assert_says(&case.system.submit("tool", &[]), &["tool not started", "no such program"]);
    std::fs::write(&tool, "echo me\n").unwrap();
    assert_says(&case.system.submit("tool", &[]), &["tool not started", "may not execute it"]);
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_says(&case.system.submit("tool", &[]), &["tool not started", "begins with #!"]);
    std::fs::write(&tool, "#!/bin/sh\nexit 0\n").unwrap();
    case.assert_all_well("tool", &[]);

    let result = case.system.submit("shell", &["echo out; echo err >&2; exit 3"]);
    assert_eq!((result.status, result.exit_code, result.signal), (JobStatus::Failed, Some(3), None), "{result:?}");
    assert_eq!((result.stdout_tail.as_deref(), result.stderr_tail.as_deref()), (Some("out\n"), Some("err\n")));
    assert_says(&result, &["exit code 3"]);
    let result = case.system.submit("shell", &["kill -SEGV $$"]);
    assert_eq!((result.status, result.exit_code, result.signal), (JobStatus::Failed, None, Some(11)), "{result:?}");
    assert_says(&result, &["signal 11"]);
    case.assert_all_well("shell", good);

    // What it left behind is gone when its result is there, although it holds the program's output.
    let result = case.system.submit("shell", &["sleep 300 & (trap '' TERM HUP; sleep 301) & echo $! ; exit 0"]);
    assert_eq!(result.status, JobStatus::Succeeded, "{result:?}");
    let pid = result.stdout_tail.unwrap().trim().parse().unwrap();
    assert!(!is_running(pid), "grandchild {pid} is gone");
    case.assert_all_well("shell", good);

    // It and its child ignore TERM: both are killed once the grace is over.
    let stubborn = "trap '' TERM; echo $$; (trap '' TERM; while :; do sleep 0.05; done) & echo $!; \
                    while :; do sleep 0.05; done";
    let result = case.system.submit_with("shell", &["--limit", "300ms"], &[stubborn]);
    assert_eq!((result.status, result.timed_out, result.signal), (JobStatus::Failed, true, Some(9)), "{result:?}");
    assert_eq!(result.limit_seconds, Some(0.3));
    assert!(result.run_seconds >= 0.5 && result.run_seconds < 5.0, "limit and grace: {result:?}");
    assert_says(&result, &["over its limit of 0.3 s"]);
    for pid in result.stdout_tail.unwrap().lines().map(|line| line.parse().unwrap()) {
        assert!(!is_running(pid), "{pid} is gone");
    }
    case.assert_all_well("shell", good);

    // The smaller one of both limits is in force.
    for (flags, wanted) in [(vec![], 30.0), (vec!["--limit", "5s"], 5.0), (vec!["--limit", "1h"], 30.0)] {
        let result = case.system.submit_with("shell", &flags, &["exit 0"]);
        assert_eq!((result.status, result.limit_seconds), (JobStatus::Succeeded, Some(wanted)), "{flags:?}");
    }

    let flood = "yes 0123456789 | head -c 200000000; echo; echo last";
    let result = case.system.submit("shell", &[flood]);
    let tail = result.stdout_tail.unwrap();
    assert_eq!((result.status, tail.len()), (JobStatus::Succeeded, 4_096), "the tail is bounded");
    assert!(tail.ends_with("0123456789\n01\nlast\n") || tail.ends_with("last\n"), "{tail}");
    let peak_kib = peak_memory_kib(case.workers[0].child.id());
    assert!(peak_kib < 150_000, "the worker took {peak_kib} KiB");
    case.assert_all_well("shell", good);
    case.frontend.wait_for_metric("nuncius_queue_timed_out_jobs_total{queue=\"shell\"}", 1.0).await;
}

fn peak_memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_pattern_are_shared_out_to_slots_and_a_pattern_or_workload_without_any_is_refused() {
    let _turn = beside_others().await;
    let system = Queues::start().await;
    let empty = system.path("none-*");
    let empty = empty.to_str().unwrap();
    let worker = |arguments: &[&'static str]| -> Vec<&str> { [&["worker"], arguments].concat() };
    let with_glob = [&["worker", "--glob", empty], &["/bin/cat", "FILENAME"][..]].concat();
    system.refused(&with_glob, 64, &[empty, "matches no file"]);
    system.refused(&worker(&["--glob", "[", "sleep"]), 64, &["glob `[`", "malformed"]);
    system.refused(&worker(&["/bin/cat", "FILENAME"]), 64, &["FILENAME", "give a glob"]);
    system.refused(&worker(&["bin/cat"]), 64, &["`bin/cat`", "absolute path"]);
    system.refused(&worker(&["sleep", "soon"]), 64, &["soon", "is not a number"]);
    system.refused(&worker(&["--slots", "0", "sleep"]), 64, &["--slots 0"]);
    system.refused(&worker(&["--capture", "5000", "sleep"]), 64, &["5000", "4096"]);
    system.refused(&worker(&["--backoff", "-1", "sleep"]), 64, &["--backoff"]);
    system.refused(&worker(&["--exit-on-empty", "--backoff", "1", "sleep"]), 64, &["--backoff"]);

    for name in ["dev0", "dev1"] {
        std::fs::write(system.path(name), "").unwrap();
    }
    let pattern = system.path("dev*");
    system.done(&["queue", "create", "files"]);
    let flags = ["--queue", "files", "--slots", "2", "--glob", pattern.to_str().unwrap(), "/bin/sh", "-c"];
    let _worker = system.joined_worker("w1", &flags).await;
    // Each waits until both run.
    let ready = system.path("ready");
    let ready = ready.display();
    let script = format!(
        "echo FILENAME >> {ready}; until [ $(sort -u {ready} | wc -l) = 2 ]; do sleep 0.02; done; echo FILENAME"
    );
    for id in ["a", "b"] {
        system.submit_only("files", id, &[&script]);
    }
    let mut devices = Vec::new();
    for id in ["a", "b"] {
        let result = system.wait_for_record("files", id).await;
        assert_eq!(result.status, JobStatus::Succeeded, "{result:?}");
        let device = result.device.unwrap();
        let printed = result.stdout_tail.unwrap();
        assert_eq!(printed.trim(), system.path(&device).to_str().unwrap());
        devices.push(device);
    }
    devices.sort();
    assert_eq!(devices, ["dev0", "dev1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_queue_is_refused_by_its_name_and_what_is_none_is_said_to_be_none() {
    let _turn = beside_others().await;
    let system = Queues::start().await;
    let long = "x".repeat(49);
    for name in ["a.b", "a b", ">", "", &long] {
        let quoted = format!("`{name}`");
        let commands: [&[&str]; 9] = [
            &["queue", "create", name],
            &["frontend", name],
            &["worker", "--queue", name, "sleep"],
            &["client", "--queue", name],
            &["queue", "submit", name],
            &["queue", "info", name],
            &["queue", "rm", name],
            &["queue", "dead", "ls", name],
            &["up", "--queue", name],
        ];
        for command in commands {
            system.refused(command, 64, &[&quoted]);
        }
    }
    for command in ["submit", "info", "pause", "resume", "drain", "purge", "rm"] {
        system.refused(&["queue", command, "nobody"], 5, &["`nobody`", "there is no such queue"]);
    }
    for command in [&["dead", "ls", "nobody"][..], &["dead", "retry", "nobody"], &["dead", "rm", "nobody", "x"]] {
        system.refused(&[&["queue"], command].concat(), 5, &["`nobody`", "there is no such queue"]);
    }
    system.refused(&["queue", "create", "new", "--like", "nobody"], 5, &["`nobody`", "there is no such queue"]);
    system.refused(&["queue", "create", "new", "--priorities", "4"], 5, &["priorities", "give 1 to 3"]);
    system.refused(&["queue", "submit", "nobody", "--id", "a.b"], 5, &["`a.b`"]);
    system.refused(&["client", "--queue", "q", "--name", "a.b"], 64, &["`a.b`"]);
    system.refused(&["client", "--queue", "q", "--req-now", "3"], 64, &["--req-now 3", "--req-max 2"]);
    system.refused(&["client", "--queue", "q", "--delay", "soon"], 64, &["--delay", "`soon` is not a duration"]);
    until("nothing was made", async || system.queues.list().await.unwrap().is_empty().then_some(())).await;
}
