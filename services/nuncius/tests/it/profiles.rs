//! Commands beside the load: collected, drawn and compared where the node allows them, told where it does not, and gone
//! with their run.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use nuncius_schemas::profile::{ProfileOutcome, ProfileReport};
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_testkit::TempDir;

use crate::harness::{System, beside_others, nuncius, open_spec, spawn_stub, until};

/// A profiler: is told where, how long, of which process, and how often it shall have seen one of the stacks.
const PROFILER: &str = "kill -0 \"$3\" || exit 9\nprintf 'main;handle;work %s\\nmain;handle;wait 4\\n' \"$4\" > \"$1\"";

/// A program of one's own in a directory.
fn program(directory: &Path, name: &str, body: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// An experiment with the profiler beside two seconds of load, which `nodes` offer.
fn spec(id: &str, address: &str, nodes: &str, seen: u32) -> String {
    let profile = format!(
        "profile:\n- name: cpu\n  command: [profiler, '{{output}}', '{{seconds}}', '{{pid}}', '{seen}']\n  \
         pid_of: nuncius\n  from: 200ms\n  for: 1s\n"
    );
    open_spec(id, address, "50/s", "2s", &format!("nodes: {nodes}\ngates: ['failures < 50%']\n{profile}"))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn of_node<'a>(profiles: &'a [ProfileReport], node: &str) -> &'a ProfileReport {
    profiles.iter().find(|profile| profile.node == node).unwrap_or_else(|| panic!("{node}: {profiles:?}"))
}

/// Whether a process is gone, or waits for whoever inherited it.
fn is_gone(id: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

/// A file of a test, by its path.
fn file(directory: &Path, name: &str) -> String {
    directory.join(name).to_string_lossy().into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_profiler_is_collected_and_drawn_and_a_forbidden_one_changes_no_verdict() {
    let _turn = beside_others().await;
    let mut system = System::start(0).await;
    let directory = system.directory.path().to_owned();
    let profiler = program(&directory, "profiler", PROFILER).to_string_lossy().into_owned();
    // Beside the target; it offers no load.
    system.start_client("beside", &["--allow-profile", &profiler]);
    system.start_client("load", &[]);
    system.wait_for_nodes(3).await;
    let address = system.start_stub(&[]);
    let page = file(&directory, "page.html");
    for (id, seen) in [("before", 12), ("after", 36)] {
        let file = directory.join(format!("{id}.yaml"));
        std::fs::write(&file, spec(id, &address, "{names: load}", seen)).unwrap();
        let run = system.output(&["run", &file.to_string_lossy(), "--quiet", "--html", &page]);
        assert!(run.status.success(), "{}", text(&run));
        let told = text(&run);
        assert!(told.contains("collected") && told.contains("forbidden"), "{told}");
        assert!(told.contains("this node does not allow `profiler`: it allows none (--allow-profile)"), "{told}");
    }
    let report = system.report("after").await;
    assert_eq!(report.verdict, Some(Verdict::Pass));
    assert_eq!(report.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["load"]);
    let collected = of_node(&report.profiles, "beside");
    assert_eq!((collected.outcome, collected.exit_code), (ProfileOutcome::Collected, Some(0)));
    assert_eq!(collected.object.as_deref(), Some("after/cpu/beside"));
    assert_eq!(of_node(&report.profiles, "load").outcome, ProfileOutcome::Forbidden);
    assert!(report.events.iter().any(|event| event.message.starts_with("profile cpu on node beside: collected")));
    assert!(report.events.iter().any(|event| event.message.starts_with("profile cpu on node load: forbidden")));
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<img class=\"profile\"") && page.contains("src=\"data:image/svg+xml;base64,"));

    let listed = text(&system.output(&["profile", "after"]));
    assert!(listed.contains("beside") && listed.contains("forbidden"), "{listed}");
    let out = system.output(&["profile", "after", "cpu", "--node", "beside", "--out", "-"]);
    assert_eq!(String::from_utf8_lossy(&out.stdout), "main;handle;work 36\nmain;handle;wait 4\n");
    let (graph, change) = (file(&directory, "cpu.svg"), file(&directory, "change.svg"));
    let drawn = system.output(&["profile", "after", "cpu", "--flamegraph", &graph]);
    assert!(drawn.status.success() && text(&drawn).contains("40 samples"), "{}", text(&drawn));
    let picture = std::fs::read_to_string(&graph).unwrap();
    assert!(picture.contains("work (36 samples, 90.00%)") && picture.contains("wait (4 samples, 10.00%)"));
    let drawn = system.output(&["profile", "after", "--flamegraph", &change, "--diff", "before"]);
    assert!(drawn.status.success(), "{}", text(&drawn));
    let picture = std::fs::read_to_string(&change).unwrap();
    assert!(picture.contains("work (36 samples, 90.00%; +15.00%)"), "{picture}");
    assert!(picture.contains("wait (4 samples, 10.00%; -15.00%)"), "{picture}");

    let missing = system.output(&["profile", "after", "memory", "--out", "-"]);
    assert!(text(&missing).contains("experiment after has no such profile"), "{}", text(&missing));
    let forbidden = system.output(&["profile", "after", "--node", "load", "--out", "-"]);
    assert!(text(&forbidden).contains("was not collected: forbidden"), "{}", text(&forbidden));

    assert!(system.output(&["rm", "after"]).status.success());
    let objects = system.bus.objects(&system.bus.namespace().bucket_profile()).await.unwrap();
    assert_eq!(objects.names().await.unwrap(), ["before/cpu/beside"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_kills_its_profiler_and_all_that_it_has_started() {
    let _turn = beside_others().await;
    let mut system = System::start(0).await;
    let directory = system.directory.path().to_owned();
    let begun = directory.join("begun");
    let body = format!("trap '' INT TERM\nsleep 1000 &\necho $! > {0}.new\nmv {0}.new {0}\nwait", begun.display());
    let profiler = program(&directory, "profiler", &body).to_string_lossy().into_owned();
    system.start_client("n1", &["--allow-profile", &profiler]);
    system.wait_for_nodes(2).await;
    let address = system.start_stub(&[]);
    let profile = "profile: [{name: cpu, command: [profiler], format: raw, grace: 5m}]";
    system.publish(open_spec("cut", &address, "20/s", "10m", profile).as_bytes()).await;
    let child = until("the profiler runs", async || std::fs::read_to_string(&begun).ok()).await;
    assert!(system.output(&["cancel", "cut"]).status.success());
    assert_eq!(system.wait_for_end("cut").await.status, RunStatus::Cancelled);
    let report = system.report("cut").await;
    assert_eq!(of_node(&report.profiles, "n1").outcome, ProfileOutcome::Stopped, "{:?}", report.profiles);
    until("what it started is gone", async || is_gone(&child).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profiler_goes_with_its_node_and_the_run_says_that_nothing_was_told_of_it() {
    let _turn = beside_others().await;
    let mut system = System::start(0).await;
    let directory = system.directory.path().to_owned();
    let begun = directory.join("begun");
    let body = format!("echo $$ > {0}.new\nmv {0}.new {0}\nexec sleep 1000", begun.display());
    let profiler = program(&directory, "profiler", &body).to_string_lossy().into_owned();
    system.start_client("beside", &["--allow-profile", &profiler]);
    system.start_client("load", &[]);
    system.wait_for_nodes(3).await;
    let address = system.start_stub(&[]);
    let more = "gates: ['failures < 50%']\nnodes: {names: load}\nprofile: [{name: cpu, command: [profiler], nodes: {names: beside}, grace: 1s}]";
    system.publish(open_spec("alone", &address, "20/s", "4s", more).as_bytes()).await;
    let id = until("the profiler runs", async || std::fs::read_to_string(&begun).ok()).await;
    system.clients[0].kill();
    until("the profiler is gone", async || is_gone(&id).then_some(())).await;
    assert_eq!(system.wait_for_end("alone").await.verdict, Some(Verdict::Pass));
    let report = system.report("alone").await;
    assert_eq!(of_node(&report.profiles, "beside").outcome, ProfileOutcome::Unanswered, "{:?}", report.profiles);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_profiler_wrote_while_its_run_changed_hands_is_collected() {
    let _turn = beside_others().await;
    let mut system = System::start(0).await;
    let directory = system.directory.path().to_owned();
    let begun = directory.join("begun");
    let body = format!("echo main 7 > profile.folded\necho again >> {}\nexec sleep 1000", begun.display());
    let profiler = program(&directory, "profiler", &body).to_string_lossy().into_owned();
    system.start_client("n1", &["--allow-profile", &profiler]);
    system.wait_for_nodes(2).await;
    let address = system.start_stub(&[]);
    let profile = "profile: [{name: cpu, command: [profiler]}]";
    system.publish(open_spec("passed-on", &address, "20/s", "15s", profile).as_bytes()).await;
    until("the profiler runs", async || std::fs::read_to_string(&begun).ok()).await;
    system.daemon.as_mut().unwrap().kill();
    system.start_daemon();
    assert_eq!(system.wait_for_end("passed-on").await.status, RunStatus::Finished);
    let report = system.report("passed-on").await;
    assert_eq!(of_node(&report.profiles, "n1").outcome, ProfileOutcome::Collected, "{:?}", report.profiles);
    assert_eq!(std::fs::read_to_string(&begun).unwrap(), "again\n", "it ran once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_profiler_wrote_outlives_a_server_that_was_there_for_one_run() {
    let _turn = beside_others().await;
    let directory = TempDir::new("profile").unwrap();
    let (_stub, address) = spawn_stub(directory.path(), &[]);
    let profiler = program(directory.path(), "profiler", PROFILER).to_string_lossy().into_owned();
    let (data, graph) = (file(directory.path(), "data"), file(directory.path(), "cpu.svg"));
    let written = directory.path().join("spec.yaml");
    std::fs::write(&written, spec("alone", &address, "{}", 12)).unwrap();
    let run = nuncius()
        .args(["--data", &data, "run", &written.to_string_lossy(), "--quiet", "--allow-profile", &profiler])
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", text(&run));
    let drawn = nuncius().args(["--data", &data, "profile", "last", "--flamegraph", &graph]).output().unwrap();
    assert!(drawn.status.success(), "{}", text(&drawn));
    assert!(std::fs::read_to_string(&graph).unwrap().contains("work (12 samples, 75.00%)"));
    assert!(nuncius().args(["--data", &data, "rm", "alone"]).output().unwrap().status.success());
    assert!(!Path::new(&data).join("profiles/alone").exists());
}
