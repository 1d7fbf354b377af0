//! Workers are stepped, counted, measured and judged; whatever ends it, nothing that was started is left.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_schemas::scaling::ScalingReport;
use nuncius_store::Store;
use nuncius_testkit::TempDir;
use rustix::process::Signal;

use crate::harness::{Process, System, beside_others, nuncius, until};

/// An experiment of one queue; `scaling` is the inside of its block, in one line.
fn spec(id: &str, scaling: &str) -> String {
    format!(
        "id: {id}\n# The machines that run tests are busy: what is judged here is not their health.\n\
         lag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\n\
         groups: [{{engine: queue, target: 'queue://{id}', steps: [{{job: {{args: ['0.02']}}}}]}}]\n\
         scaling: {{repeats: 1, warm_up: 0s, min_efficiency: 0.3, {scaling}}}\n"
    )
}

const SLEEPERS: &str = "workers: {start: local, command: [sleep]}";

fn write(directory: &Path, id: &str, scaling: &str) -> PathBuf {
    let path = directory.join(format!("{id}.yaml"));
    std::fs::write(&path, spec(id, scaling)).unwrap();
    path
}

/// The processes whose command line holds a text.
fn processes_with(text: &str) -> Vec<u32> {
    let numbers =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let holds = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    };
    numbers.filter(holds).collect()
}

fn ended_with(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{error}");
    (out, error)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scaling_experiment_brings_all_it_needs_and_leaves_nothing_but_its_reports() {
    let _turn = beside_others().await;
    let directory = TempDir::new("scaling").unwrap();
    let data = directory.path().join("data");
    let json = directory.path().join("report.json");
    let scaling = "steps: [1, 2], duration: 2s, workers: {start: local, command: [device, scaling-it]}, \
                   device: {name: scaling-it, lanes: 2, work: 20ms}";
    let file = write(directory.path(), "whole", scaling);
    let mut command = nuncius();
    command.arg("run").arg(&file).arg("--data").arg(&data).arg("--json").arg(&json);
    // Its jobs leave the work to the device.
    let text = std::fs::read_to_string(&file).unwrap().replace("args: ['0.02']", "args: []");
    std::fs::write(&file, text).unwrap();
    let (out, error) = ended_with(&command.output().unwrap(), 0);
    assert!(out.starts_with("PASS scaling of whole (whole)") && out.contains("emulated: no real device"), "{out}");
    assert!(error.contains("2 workers, 1/1:"), "it says what it does: {error}");
    let report: ScalingReport = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!((report.verdict, report.device.unwrap().lanes), (Verdict::Pass, 2));
    for (step, count) in report.steps.iter().zip([1, 2]) {
        assert_eq!((step.workers, step.slots, step.outcome), (count, count, Verdict::Pass));
        let [measurement] = step.measurements.as_slice() else { panic!("{step:?}") };
        assert_eq!((measurement.seconds, measurement.failed), (2.0, 0));
        let jobs = measurement.jobs_per_second * 2.0;
        assert!((jobs - measurement.succeeded as f64).abs() <= f64::from(2 * count), "{measurement:?}");
        // On a busy machine jobs take longer, never less than their work.
        assert!((0.02..1.0).contains(&measurement.run_p50_seconds.unwrap()), "{measurement:?}");
        assert!(measurement.wait_p50_seconds.is_some());
    }
    let page = std::fs::read_to_string(data.join("reports/whole.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("no real device"), "the page has its plots");
    assert_eq!(processes_with("whole-w"), [] as [u32; 0], "workers are left");
    assert!(data.join("logs/whole-w2.log").is_file());
    let store = Store::open(data.join("nuncius.db")).await.unwrap();
    for (id, workers) in [("whole-w1-r1", "1"), ("whole-w2-r1", "2")] {
        let spec = store.report(id).await.unwrap().unwrap().spec.unwrap();
        let value = |key: &str| spec.metadata.get(key).map(String::as_str);
        assert_eq!((value("scaling"), value("workers"), value("repeat")), (Some("whole"), Some(workers), Some("1")));
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_fail_fail_the_experiment_and_a_file_that_makes_no_sense_starts_nothing() {
    let _turn = beside_others().await;
    let directory = TempDir::new("scaling").unwrap();
    let run = |id: &str, scaling: &str| {
        let file = write(directory.path(), id, scaling);
        let mut command = nuncius();
        command.arg("run").arg(file).arg("--data").arg(directory.path().join(id)).arg("--quiet");
        command.output().unwrap()
    };
    let (out, _) =
        ended_with(&run("broken", "steps: [1, 2], duration: 1s, workers: {start: local, command: [/bin/false]}"), 1);
    assert!(out.starts_with("FAIL") && out.contains("jobs failed"), "{out}");
    assert_eq!(processes_with("broken-w"), [] as [u32; 0]);
    let (_, error) = ended_with(&run("wrong", &format!("steps: [2, 1], duration: 1s, {SLEEPERS}")), 64);
    assert!(error.contains("scaling.steps") && !directory.path().join("wrong").exists(), "{error}");
    let device = "device: {name: d, work: long}";
    let (_, error) = ended_with(&run("long", &format!("steps: [1, 2], duration: 1s, {SLEEPERS}, {device}")), 64);
    assert!(error.contains("scaling.device.work"), "{error}");
    // A worker that cannot be: its own words are handed on.
    let started = "steps: [1, 2], duration: 1s, workers: {start: local, command: [no-such-workload]}";
    let (_, error) = ended_with(&run("unknown", started), 5);
    assert!(error.contains("worker unknown-w1 ended") && error.contains("no-such-workload"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_others_are_waited_for_and_counted_and_a_daemon_refuses_to_step_them() {
    let _turn = beside_others().await;
    let system = System::start(1).await;
    let worker = |name: &str| {
        let mut command = system.command(&["worker", "--queue", "others", "--name", name, "sleep"]);
        Process::start(command.stdout(Stdio::null()), &system.directory.path().join(format!("{name}.log")))
    };
    let waiting = |patience: &str| {
        let scaling = format!("steps: [1, 2], duration: 1s, patience: {patience}, workers: {{start: wait}}");
        write(system.directory.path(), "others", &scaling)
    };
    let file = waiting("1s");
    let file = file.to_str().unwrap();
    let (_, error) = ended_with(&system.output(&["submit", file]), 5);
    assert!(error.contains("scaling: run it with `nuncius run`"), "{error}");
    assert_eq!(system.wait_for_end("others").await.status, RunStatus::Failed);
    let (_, error) = ended_with(&system.output(&["run", file, "--id", "too-few"]), 5);
    assert!(error.contains("0 workers of queue others are there, 1 wanted after 1s"), "{error}");
    let _first = worker("first");
    waiting("1m");
    let log = system.directory.path().join("run.err");
    let mut run =
        Process::start(system.command(&["run", file, "--id", "enough", "--quiet"]).stdout(Stdio::null()), &log);
    let told = || std::fs::read_to_string(&log).unwrap_or_default();
    until("it waits for the second worker", async || {
        told().contains("1 worker of queue others is there, 2").then_some(())
    })
    .await;
    let _second = worker("second");
    let status = until("the run has ended", async || run.child.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(0), "{}", told());
    assert_eq!(system.nodes().await.iter().filter(|node| node.worker.is_some()).count(), 2, "they are not its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_makes_its_measurement_invalid_and_a_signal_ends_everything() {
    let _turn = beside_others().await;
    let system = System::start(1).await;
    let start = |id: &str, duration: &str| {
        let file = write(system.directory.path(), id, &format!("steps: [1, 2], duration: {duration}, {SLEEPERS}"));
        let mut command = system.command(&["run", file.to_str().unwrap(), "--quiet"]);
        let path = |ending: &str| system.directory.path().join(format!("{id}.{ending}"));
        command.stdout(std::fs::File::create(path("out")).unwrap());
        Process::start(&mut command, &path("err"))
    };
    let told = |name: &str| std::fs::read_to_string(system.directory.path().join(name)).unwrap();
    let mut run = start("killed", "2s");
    system.wait_for_status("killed-w2-r1", RunStatus::Running).await;
    let node = system.nodes().await.into_iter().find(|node| node.name == "killed-w2").unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(node.process_id).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    let status = until("the run has ended", async || run.child.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(4), "{}{}", told("killed.out"), told("killed.err"));
    let out = told("killed.out").replace("\n  ", " ");
    assert!(out.starts_with("INVALID") && out.contains("measurement 1 is not valid: worker killed-w2 ended"), "{out}");
    assert_eq!(processes_with("killed-w"), [] as [u32; 0]);

    let mut run = start("stopped", "10m");
    system.wait_for_status("stopped-w1-r1", RunStatus::Running).await;
    run.signal(Signal::INT);
    let status = until("the run has ended", async || run.child.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(6), "{}", told("stopped.err"));
    assert_eq!(system.wait_for_end("stopped-w1-r1").await.status, RunStatus::Cancelled);
    assert_eq!(processes_with("stopped-w"), [] as [u32; 0]);

    // Nobody is left to stop its workers: they notice by themselves.
    let mut run = start("gone", "10m");
    system.wait_for_status("gone-w1-r1", RunStatus::Running).await;
    run.kill();
    until("its workers have ended", async || processes_with("gone-w").is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_scaled_by_kubectl_and_gets_its_replicas_back() {
    use std::os::unix::fs::PermissionsExt;
    let _turn = beside_others().await;
    let directory = TempDir::new("scaling").unwrap();
    let calls = directory.path().join("calls");
    let kubectl = directory.path().join("kubectl");
    let script = format!("#!/bin/sh\necho \"$@\" >> {}\n[ \"$1\" = get ] && echo 7\ntrue\n", calls.display());
    std::fs::write(&kubectl, script).unwrap();
    std::fs::set_permissions(&kubectl, std::fs::Permissions::from_mode(0o755)).unwrap();
    let scaling = "steps: [1, 2], duration: 1s, patience: 1s, \
                   workers: {start: kubectl, deployment: gpu-worker, namespace: batch}";
    let file = write(directory.path(), "cluster", scaling);
    let run = |path: &str| {
        let mut command = nuncius();
        command.arg("run").arg(&file).arg("--data").arg(directory.path().join("data")).env("PATH", path);
        command.output().unwrap()
    };
    let path = std::env::var("PATH").unwrap();
    let (_, error) = ended_with(&run(&format!("{}:{path}", directory.path().display())), 5);
    assert!(error.contains("0 workers of queue cluster are there, 1 wanted"), "{error}");
    assert!(error.contains("kubectl describe deployment/gpu-worker -n batch"), "{error}");
    let wanted = "get deployment/gpu-worker -o jsonpath={.spec.replicas} -n batch\n\
                  scale deployment/gpu-worker --replicas=1 -n batch\n\
                  scale deployment/gpu-worker --replicas=7 -n batch\n";
    assert_eq!(std::fs::read_to_string(&calls).unwrap(), wanted);
    std::fs::write(&kubectl, "#!/bin/sh\necho no such deployment >&2\nexit 1\n").unwrap();
    let (_, error) = ended_with(&run(&format!("{}:{path}", directory.path().display())), 5);
    assert!(error.contains("kubectl get deployment/gpu-worker failed (exit status: 1): no such deployment"), "{error}");
    let empty = directory.path().join("nothing");
    let (_, error) = ended_with(&run(empty.to_str().unwrap()), 5);
    assert!(error.contains("there is no kubectl on PATH"), "{error}");
}
