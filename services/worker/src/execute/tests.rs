use std::fs;
use std::path::Path;

use nuncius_schemas::job::{Job, OUTPUT_TAIL_MAX_BYTES};
use nuncius_testkit::{TempDir, eventually};
use rustix::process::{Pid, set_child_subreaper};

use super::*;
use crate::workload::{Workload, WorkloadOptions};

/// Nothing here takes as long as this, unless it is broken.
const LONG: Duration = Duration::from_secs(60);
/// Enough for a shell to begin, on a busy machine too.
const ENOUGH: Duration = Duration::from_secs(1);

fn prepared(command: &[&str], args: &[String], options: WorkloadOptions) -> Prepared {
    let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
    let job = Job { args: args.to_vec(), limit: None };
    Workload::new(&command, options).unwrap().prepare(0, &job).unwrap()
}

async fn run(command: &[&str], options: WorkloadOptions) -> Outcome {
    execute(&prepared(command, &[], options), CancellationToken::new()).await
}

/// Runs a shell script; orphans come to this process, as they do in a container.
async fn shell(script: &str, options: WorkloadOptions) -> Outcome {
    adopt_orphans();
    run(&["/bin/sh", "-c", script], options).await
}

fn adopt_orphans() {
    set_child_subreaper(Some(rustix::process::getpid())).unwrap();
}

fn limited(limit: Duration, kill_grace: Duration) -> WorkloadOptions {
    WorkloadOptions { limit: Some(limit), kill_grace, ..WorkloadOptions::default() }
}

fn error(outcome: &Outcome) -> &str {
    assert!(!outcome.is_success(), "{outcome:?}");
    outcome.error.as_deref().expect("every failure says what was wrong")
}

fn is_there(id: &str) -> bool {
    Path::new("/proc").join(id.trim()).exists()
}

/// A process that neither TERM nor the end of its parent ends; its number is printed or goes to `file`.
fn survivor(to: &str) -> String {
    format!("(trap '' TERM HUP; echo started {to}; exec sleep 1000) & echo $! {to}")
}

#[tokio::test]
async fn an_exit_code_is_told_and_only_zero_is_success() {
    let outcome = shell("echo out; echo err >&2", WorkloadOptions::default()).await;
    assert!(outcome.is_success(), "{outcome:?}");
    assert_eq!(outcome.exit_code, Some(0));
    assert_eq!((outcome.stdout_tail.as_deref(), outcome.stderr_tail.as_deref()), (Some("out\n"), Some("err\n")));
    for code in [1, 3, 255] {
        let outcome = shell(&format!("exit {code}"), WorkloadOptions::default()).await;
        assert_eq!((outcome.exit_code, outcome.signal, outcome.timed_out), (Some(code), None, false));
        assert_eq!(error(&outcome), format!("/bin/sh ended with exit code {code}"));
        assert_eq!(outcome.stdout_tail, None);
    }
}

#[tokio::test]
async fn a_signal_is_told_apart_from_an_exit_code() {
    for (name, number) in [("USR1", 10), ("KILL", 9), ("TERM", 15)] {
        let outcome = shell(&format!("kill -{name} $$; sleep 60"), WorkloadOptions::default()).await;
        assert_eq!((outcome.exit_code, outcome.signal, outcome.timed_out), (None, Some(number), false));
        assert!(error(&outcome).contains(&format!("signal {number} SIG{name}")), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_program_that_ignores_term_is_killed_after_the_grace() {
    let (limit, grace) = (ENOUGH, Duration::from_millis(150));
    let outcome = shell("trap '' TERM; echo $$; while :; do sleep 0.02; done", limited(limit, grace)).await;
    assert!(outcome.timed_out && !outcome.cancelled);
    assert_eq!((outcome.exit_code, outcome.signal, outcome.limit), (None, Some(9), Some(limit)));
    assert_eq!(error(&outcome), "over its limit of 1 s, and ended for that");
    assert!(outcome.run >= limit + grace && outcome.run < LONG, "{outcome:?}");
    assert!(!is_there(outcome.stdout_tail.as_deref().unwrap()));
}

#[tokio::test]
async fn a_program_that_obeys_term_is_over_its_limit_whatever_its_exit_code_and_leaves_nothing() {
    let script = format!("trap 'exit 0' TERM; {}; sleep 1000 & wait", survivor(""));
    let outcome = shell(&script, limited(ENOUGH, LONG)).await;
    assert!(outcome.timed_out);
    assert_eq!((outcome.exit_code, outcome.signal), (Some(0), None));
    assert!(error(&outcome).starts_with("over its limit"));
    assert!(outcome.run < LONG, "the grace ends with the program");
    let printed = outcome.stdout_tail.unwrap();
    let id = printed.lines().find(|line| line.parse::<u32>().is_ok()).unwrap();
    assert!(printed.contains("started") && !is_there(id), "{printed}");
}

#[tokio::test]
async fn a_program_within_its_limit_is_left_alone() {
    let outcome = shell("exit 0", limited(LONG, LONG)).await;
    assert!(outcome.is_success() && outcome.limit == Some(LONG), "{outcome:?}");
}

#[tokio::test]
async fn what_a_program_leaves_behind_does_not_outlive_its_job() {
    let directory = TempDir::new("survivor").unwrap();
    let file = directory.path().join("ids");
    for to in [String::new(), format!(">>{} 2>&1 </dev/null", file.display())] {
        // With its output elsewhere the survivor holds no pipe, and there is nothing to wait for.
        let outcome = shell(&survivor(&to), WorkloadOptions::default()).await;
        assert!(outcome.is_success(), "{outcome:?}");
        let printed = if to.is_empty() { outcome.stdout_tail.unwrap() } else { fs::read_to_string(&file).unwrap() };
        let id = printed.lines().find(|line| line.parse::<u32>().is_ok()).unwrap();
        assert!(!is_there(id), "{printed}");
    }
}

#[tokio::test]
async fn a_process_out_of_reach_does_not_hold_up_its_job() {
    let directory = TempDir::new("session").unwrap();
    let file = directory.path().join("up").display().to_string();
    let script =
        format!("setsid sh -c 'echo $$; echo up >{file}; exec sleep 1000' & until [ -s {file} ]; do sleep 0.01; done");
    let outcome = shell(&script, WorkloadOptions::default()).await;
    assert!(outcome.is_success() && outcome.run < LONG, "{outcome:?}");
    let id: i32 = outcome.stdout_tail.unwrap().trim().parse().unwrap();
    rustix::process::kill_process(Pid::from_raw(id).unwrap(), rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn of_a_flood_of_output_only_the_end_is_kept() {
    let script = "head -c 200000000 /dev/zero | tr '\\0' x; printf 'the end'";
    let outcome = shell(script, WorkloadOptions::default()).await;
    assert!(outcome.is_success(), "{outcome:?}");
    let tail = outcome.stdout_tail.unwrap();
    assert_eq!(tail.len(), OUTPUT_TAIL_MAX_BYTES);
    assert!(tail.starts_with("xxx") && tail.ends_with("xthe end"), "{tail}");
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
    assert!(peak.parse::<u64>().unwrap() < 100_000, "{peak} kB");
}

#[tokio::test]
async fn a_flood_of_output_does_not_put_off_the_limit() {
    let outcome = shell("exec yes", limited(ENOUGH, LONG)).await;
    assert!(outcome.timed_out && outcome.run < LONG, "{outcome:?}");
    assert_eq!(outcome.signal, Some(15));
    assert!(outcome.stdout_tail.unwrap().ends_with("y\n"));
}

#[tokio::test]
async fn output_is_captured_only_where_it_is_wanted() {
    let script = "echo out; echo err >&2";
    for options in [
        WorkloadOptions { null_out: true, ..WorkloadOptions::default() },
        WorkloadOptions { capture_bytes: 0, ..WorkloadOptions::default() },
    ] {
        let outcome = shell(script, options).await;
        assert!(outcome.is_success(), "{outcome:?}");
        assert_eq!((outcome.stdout_tail, outcome.stderr_tail), (None, None));
    }
    let outcome = shell(script, WorkloadOptions { capture_bytes: 3, ..WorkloadOptions::default() }).await;
    assert_eq!(outcome.stdout_tail.as_deref(), Some("ut\n"));
}

#[tokio::test]
async fn a_program_that_reads_its_input_finds_the_end() {
    for null_in in [false, true] {
        let outcome = shell("cat && echo done", WorkloadOptions { null_in, ..WorkloadOptions::default() }).await;
        assert!(outcome.is_success(), "{outcome:?}");
        assert_eq!(outcome.stdout_tail.as_deref(), Some("done\n"));
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_started_fails_its_job_and_says_why() {
    let directory = TempDir::new("programs").unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    // Written by another process: a program that this one had open for writing might be busy.
    let script = format!(
        "cd {}; echo '#!/bin/sh' >plain; printf '#!/no/such/shell\\n' >lost; printf '\\001\\002' >odd; \
         chmod +x lost odd",
        directory.path().display()
    );
    assert!(shell(&script, WorkloadOptions::default()).await.is_success());
    for (program, wanted) in [
        (path("missing"), "there is no such program on this host"),
        (path("plain/below"), "there is no such program on this host"),
        (path("plain"), "may not execute it"),
        (path("lost"), "the interpreter or loader it names does not"),
        (path("odd"), "it is no program of this machine's kind"),
        (path(""), "it is a directory"),
    ] {
        let outcome = run(&[&program], WorkloadOptions::default()).await;
        let error = error(&outcome);
        assert!(error.starts_with(&program) && error.contains(wanted), "{error}");
        assert_eq!((outcome.exit_code, outcome.signal), (None, None));
    }
    for (place, wanted) in [("missing", "No such file"), ("plain", "not a directory")] {
        let options = WorkloadOptions { directory: Some(path(place).into()), ..WorkloadOptions::default() };
        let outcome = run(&["/bin/true"], options).await;
        let error = error(&outcome);
        assert!(error.contains(&path(place)) && error.contains(wanted), "{error}");
    }
}

#[tokio::test]
async fn a_program_runs_in_its_directory() {
    let directory = TempDir::new("directory").unwrap();
    let here = directory.path().canonicalize().unwrap();
    let outcome = shell("pwd", WorkloadOptions { directory: Some(here.clone()), ..WorkloadOptions::default() }).await;
    assert_eq!(outcome.stdout_tail.as_deref().map(str::trim), here.to_str());
}

#[tokio::test]
async fn ten_thousand_arguments_arrive() {
    let args: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    let job = prepared(&["/bin/sh", "-c", "eval last=\\${$#}; echo $# $last", "sh"], &args, WorkloadOptions::default());
    let outcome = execute(&job, CancellationToken::new()).await;
    assert_eq!(outcome.stdout_tail.as_deref(), Some("10000 9999\n"), "{:?}", outcome.error);
}

#[tokio::test]
async fn more_arguments_than_the_system_takes_fail_the_job_and_are_counted() {
    for args in [vec!["x".repeat(200_000)], vec!["x".repeat(100_000); 80]] {
        let outcome =
            execute(&prepared(&["/bin/true"], &args, WorkloadOptions::default()), CancellationToken::new()).await;
        let error = error(&outcome);
        assert!(error.contains(&format!("its {} arguments", args.len())) && error.contains("128 KiB"), "{error}");
    }
}

#[tokio::test]
async fn a_cancelled_job_is_killed_at_once() {
    adopt_orphans();
    let directory = TempDir::new("cancel").unwrap();
    let file = directory.path().join("ids");
    let script = format!("trap '' TERM; {}; wait", survivor(&format!(">>{}", file.display())));
    let job = prepared(&["/bin/sh", "-c", &script], &[], limited(LONG, LONG));
    let cancel = CancellationToken::new();
    let running = tokio::spawn({
        let cancel = cancel.clone();
        async move { execute(&job, cancel).await }
    });
    let id = survivor_id(&file).await;
    cancel.cancel();
    let outcome = running.await.unwrap();
    assert!(outcome.cancelled && !outcome.timed_out && outcome.run < LONG);
    assert_eq!(outcome.signal, Some(9));
    assert!(error(&outcome).starts_with("cancelled"));
    assert!(!is_there(&id));
}

#[tokio::test]
async fn a_job_is_killed_at_once_also_when_it_is_cancelled_in_its_grace() {
    adopt_orphans();
    let directory = TempDir::new("grace").unwrap();
    let file = directory.path().join("ids");
    let script = format!("trap 'echo 0 >>{0}; echo started >>{0}' TERM; while :; do sleep 0.02; done", file.display());
    let job = prepared(&["/bin/sh", "-c", &script], &[], limited(ENOUGH, LONG));
    let cancel = CancellationToken::new();
    let running = tokio::spawn({
        let cancel = cancel.clone();
        async move { execute(&job, cancel).await }
    });
    survivor_id(&file).await;
    cancel.cancel();
    let outcome = running.await.unwrap();
    assert!(outcome.cancelled && outcome.timed_out && outcome.run < LONG, "{outcome:?}");
    assert!(!outcome.is_success());
}

#[tokio::test]
async fn a_job_cancelled_before_it_began_is_not_begun() {
    let directory = TempDir::new("never").unwrap();
    let file = directory.path().join("made");
    let job = prepared(&["/bin/touch", file.to_str().unwrap()], &[], WorkloadOptions::default());
    let cancel = CancellationToken::new();
    cancel.cancel();
    let outcome = execute(&job, cancel).await;
    assert!(outcome.cancelled && !outcome.is_success());
    assert!(!file.exists());
}

#[tokio::test]
async fn a_job_whose_future_is_dropped_is_killed() {
    let directory = TempDir::new("dropped").unwrap();
    let file = directory.path().join("ids");
    let script = format!("{}; wait", survivor(&format!(">>{}", file.display())));
    let job = prepared(&["/bin/sh", "-c", &script], &[], WorkloadOptions::default());
    let running = tokio::spawn(async move { execute(&job, CancellationToken::new()).await });
    let id = survivor_id(&file).await;
    running.abort();
    running.await.unwrap_err();
    // Nobody may be there to reap it.
    let over = || async {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    };
    eventually(LONG, over).await.expect("gone");
}

async fn survivor_id(file: &Path) -> String {
    let id = || async {
        let printed = fs::read_to_string(file).ok().filter(|printed| printed.contains("started\n"))?;
        printed.lines().find(|line| line.parse::<u32>().is_ok()).map(str::to_owned)
    };
    eventually(LONG, id).await.expect("started")
}

#[tokio::test]
async fn many_jobs_at_once_keep_their_outputs_and_codes_apart() {
    let jobs: Vec<_> = (0..40)
        .map(|number| {
            let script = format!("echo {number}; echo $$ >&2; exit {number}");
            tokio::spawn(async move { shell(&script, WorkloadOptions::default()).await })
        })
        .collect();
    for (number, job) in (0..).zip(jobs) {
        let outcome = job.await.unwrap();
        assert_eq!(outcome.exit_code, Some(number));
        assert_eq!(outcome.stdout_tail, Some(format!("{number}\n")));
        assert!(!is_there(outcome.stderr_tail.as_deref().unwrap()), "reaped");
    }
}

#[tokio::test]
async fn the_builtin_sleep_sleeps_keeps_its_limit_and_can_be_cancelled() {
    let outcome = run(&["sleep", "0.05"], WorkloadOptions::default()).await;
    assert!(outcome.is_success() && outcome.run >= Duration::from_millis(50) && outcome.run < LONG, "{outcome:?}");

    let limit = Duration::from_millis(20);
    let outcome = run(&["sleep", "1000"], limited(limit, LONG)).await;
    assert!(outcome.timed_out && outcome.exit_code.is_none() && outcome.run < LONG, "{outcome:?}");
    assert_eq!((outcome.limit, error(&outcome)), (Some(limit), "over its limit of 0.02 s, and ended for that"));

    let cancel = CancellationToken::new();
    let job = prepared(&["sleep", "1000"], &[], limited(LONG, LONG));
    let (outcome, ()) = tokio::join!(execute(&job, cancel.clone()), async { cancel.cancel() });
    assert!(outcome.cancelled && !outcome.timed_out && !outcome.is_success(), "{outcome:?}");
}

#[tokio::test]
async fn work_on_an_emulated_device_is_left_to_the_caller() {
    let outcome = run(&["device", "gpu-1"], WorkloadOptions::default()).await;
    assert!(error(&outcome).contains("gpu-1"));
    assert_eq!(outcome.device.as_deref(), Some("gpu-1"));
}

#[tokio::test]
async fn an_error_is_never_longer_than_a_result_takes() {
    let outcome = run(&[&format!("/{}", "ü".repeat(5000))], WorkloadOptions::default()).await;
    assert!(error(&outcome).len() <= ERROR_MAX_BYTES);
    assert!(Outcome::failed("ü".repeat(5000), None).error.unwrap().len() <= ERROR_MAX_BYTES);
}
