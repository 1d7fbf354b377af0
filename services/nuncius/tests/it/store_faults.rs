//! The store fails while experiments run: it is told, nothing is lost that the bus has, and no PASS is said of a result
//! that nobody can look up.

use std::process::{Command, Stdio};

use nuncius_schemas::event::EventKind;
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_store::{Place, Store};
use nuncius_testkit::{SqlKind, SqlServer};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::harness::{Process, System, beside_others, open_spec, until};

/// Settings with which what failed is soon tried again.
const HASTY: [&str; 4] = ["--reconcile-period", "200ms", "--store-patience", "3s"];

/// A daemon that is told of a file's limit as of a full disk, instead of being killed.
async fn start_limited_daemon(system: &mut System, arguments: &[&str]) {
    let daemon = system.daemon.take().unwrap();
    daemon.signal(rustix::process::Signal::TERM);
    let mut daemon = daemon;
    until("the daemon has ended", async || daemon.child.try_wait().unwrap()).await;
    let mut wanted = system.command(&["experimentd"]);
    wanted.args(arguments);
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(wanted.get_program());
    limited.args(wanted.get_args()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    system.daemon = Some(Process { child: limited.spawn().unwrap() });
    let clients = system.clients.len();
    // Else a command that finds no daemon brings its own, which has all the room there is.
    system.wait_for_nodes(clients + 1).await;
}

/// The daemon's files may no longer grow beyond so many bytes; without a number, as far as they like.
fn limit(system: &System, bytes: Option<u64>) {
    let pid = Pid::from_child(&system.daemon.as_ref().unwrap().child);
    prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

async fn until_warned(system: &System, id: &str, words: &str) {
    until(&format!("an event of {id} tells `{words}`"), async || {
        let events = system.events(id).await;
        events.iter().any(|event| event.kind == EventKind::Warning && event.message.contains(words)).then_some(())
    })
    .await;
}

/// Seconds that the stream has of a run.
async fn published_seconds(system: &System, id: &str) -> i64 {
    use nuncius_schemas::second::ExperimentSecond;
    let namespace = system.bus.namespace();
    let (stream, subject) = (namespace.stream_second(), namespace.experiment_second(id));
    let last = system.bus.last_sequence_of(&stream, &subject).await.unwrap().unwrap();
    let mut tail = system.bus.tail(&stream, &subject, nuncius_bus::tail::Start::All).await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let stored = tail.next().await.unwrap();
        let second: ExperimentSecond = nuncius_schemas::codec::decode(&stored.payload).unwrap();
        seen.insert((second.second, if second.late { second.revision } else { 0 }));
        if stored.sequence >= last {
            return seen.len() as i64;
        }
    }
}

/// Everything of the run is in the database: its report, its seconds, its events, its phases.
async fn assert_stored_whole(system: &System, id: &str, status: RunStatus) {
    assert_whole_in(system, system.data().join("nuncius.db").into(), id, status).await;
}

async fn assert_whole_in(system: &System, place: Place, id: &str, status: RunStatus) {
    let store = Store::open(place).await.unwrap();
    let held = store.held(id).await.unwrap();
    assert!(held.has_report && held.has_ended, "{held:?}");
    assert_eq!(held.seconds, published_seconds(system, id).await);
    let stored: Vec<_> = store.events(id).await.unwrap().into_iter().map(|event| event.message).collect();
    for event in system.events(id).await {
        assert!(stored.contains(&event.message), "{} is missing in {stored:?}", event.message);
    }
    let phases: Vec<_> = store.phases(id).await.unwrap().into_iter().map(|phase| phase.status).collect();
    assert!(phases.contains(&RunStatus::Running) && phases.last() == Some(&status), "{phases:?}");
    assert!(!store.histograms(id).await.unwrap().is_empty());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_was_full_in_mid_run_is_told_and_costs_nothing() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    start_limited_daemon(&mut system, &HASTY).await;
    system.publish(open_spec("filled", &address, "200/s", "4s", "").as_bytes()).await;
    system.wait_for_requests(30).await;
    limit(&system, Some(4096));
    until_warned(&system, "filled", "the run goes on").await;
    limit(&system, None);
    let record = system.wait_for_end("filled").await;
    let report = system.report("filled").await;
    assert_eq!((record.verdict, report.verdict), (Some(Verdict::Pass), Some(Verdict::Pass)), "{:?}", report.reasons);
    for words in ["the run goes on", "takes everything again"] {
        assert!(report.events.iter().any(|event| event.message.contains(words)), "{:?}", report.events);
    }
    until_warned(&system, "filled", "takes everything again").await;
    assert_stored_whole(&system, "filled", RunStatus::Finished).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_stays_full_is_no_pass_and_the_result_is_stored_once_there_is_room() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    start_limited_daemon(&mut system, &HASTY).await;
    let id = "full-to-the-end";
    system.publish(open_spec(id, &address, "200/s", "2s", "").as_bytes()).await;
    system.wait_for_requests(30).await;
    limit(&system, Some(4096));
    let record = system.wait_for_end(id).await;
    let report = system.report(id).await;
    assert_eq!((record.verdict, report.verdict), (Some(Verdict::Invalid), Some(Verdict::Invalid)));
    assert!(report.reasons[0].contains("the result is not all in the store"), "{:?}", report.reasons);
    assert!(record.reason.unwrap().contains("not all in the store"));
    limit(&system, None);
    let store = Store::open(system.data().join("nuncius.db")).await.unwrap();
    until("the result is stored", async || {
        let held = store.held(id).await.unwrap();
        (held.has_report && held.has_ended && held.seconds > 0).then_some(())
    })
    .await;
    store.close().await;
    assert_stored_whole(&system, id, RunStatus::Finished).await;
    // The next one has a store like any other.
    system.publish(open_spec("next", &address, "400/s", "1s", "").as_bytes()).await;
    assert_eq!(system.wait_for_end("next").await.verdict, Some(Verdict::Pass));
    assert_stored_whole(&system, "next", RunStatus::Finished).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_removed_in_mid_run_is_made_anew_with_all_of_the_run() {
    let _turn = beside_others().await;
    let mut system = System::start_with(1, Vec::new(), "", &HASTY).await;
    let address = system.start_stub(&[]);
    system.publish(open_spec("before", &address, "400/s", "1s", "").as_bytes()).await;
    system.wait_for_end("before").await;
    system.publish(open_spec("removed", &address, "200/s", "3s", "").as_bytes()).await;
    until("it runs", async || system.record("removed").await.filter(|r| r.status == RunStatus::Running)).await;
    for file in ["nuncius.db", "nuncius.db-wal", "nuncius.db-shm"] {
        let _ = std::fs::remove_file(system.data().join(file));
    }
    let record = system.wait_for_end("removed").await;
    assert_eq!(record.verdict, Some(Verdict::Pass), "{record:?}");
    until_warned(&system, "removed", "was removed while the run went on").await;
    assert_stored_whole(&system, "removed", RunStatus::Finished).await;
    // What ran before is known to the bus, and comes back from there.
    let store = Store::open(system.data().join("nuncius.db")).await.unwrap();
    until("the run before is stored, too", async || store.held("before").await.unwrap().has_report.then_some(())).await;
    store.close().await;
    // What somebody removes stays away.
    assert!(system.output(&["rm", "before"]).status.success());
    let listed = system.output(&["ps", "--all"]);
    assert!(!String::from_utf8_lossy(&listed.stdout).contains("before"), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_server_that_was_away_in_mid_run_is_told_and_costs_nothing() {
    let _turn = beside_others().await;
    for kind in [SqlKind::Postgres, SqlKind::MariaDb] {
        let mut server = SqlServer::start(kind, &[]).await.unwrap();
        let url = server.url(&server.database().unwrap());
        let place = Place::parse(&url).unwrap();
        let environment = vec![("NUNCIUS_DATABASE".to_owned(), url)];
        let mut system = System::start_with(1, environment, "", &HASTY).await;
        let address = system.start_stub(&[]);
        system.publish(open_spec("away", &address, "200/s", "4s", "").as_bytes()).await;
        system.wait_for_requests(30).await;
        server.stop();
        until_warned(&system, "away", "the run goes on").await;
        server.resume().await.unwrap();
        let record = system.wait_for_end("away").await;
        let report = system.report("away").await;
        assert_eq!(record.verdict, Some(Verdict::Pass), "{:?}", report.reasons);
        assert_whole_in(&system, place.clone(), "away", RunStatus::Finished).await;
        // Whoever looks on finds the server by its name, and no password.
        assert_eq!(record.store.as_deref(), Some(place.to_string().as_str()));
        let told = format!("{record:?} {report:?} {:?}", system.events("away").await);
        assert!(!told.contains(server.password()), "{told}");
        // Commands of this machine read it there, and a whole export comes out.
        let listed = system.output(&["ps", "--all"]);
        assert!(String::from_utf8_lossy(&listed.stdout).contains("away"), "{listed:?}");
        let doctor = system.output(&["doctor", "--json"]);
        let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(doctor.contains(&place.to_string()) && !doctor.contains(server.password()), "{doctor}");
        let exported = system.output(&["export", "away", "--json"]);
        let document: serde_json::Value = serde_json::from_slice(&exported.stdout).unwrap();
        assert_eq!(document["experiment"]["verdict"], "pass");
        // One that is away altogether is bad, and named.
        server.stop();
        let doctor = system.output(&["doctor"]);
        let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert_eq!(doctor.status.code(), Some(5), "{told}");
        assert!(told.contains(&place.to_string()) && !told.contains(server.password()), "{told}");
        system.daemon.take().unwrap().kill();
    }
}
