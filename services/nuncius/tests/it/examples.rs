//! The examples run as they are, wherever they are run; and the commands do what a person expects.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use nuncius_schemas::report::Report;
use nuncius_store::Store;
use nuncius_testkit::{TempDir, TestServer, free_port};
use serde_json::Value;

use crate::harness::{PATIENCE, Process, beside_others, nuncius, until};

/// Every example that needs nothing but what `nuncius run` brings along.
const EXAMPLES: [&str; 5] =
    ["smallest.yaml", "staged.yaml", "closed.yaml", "galileo-instructions.json", "galileo-ticks.json"];
/// Those of patterns of arrivals.
const PATTERNS: [&str; 4] = ["sine.yaml", "random-walk.yaml", "bursts.yaml", "replay"];

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/examples").join(name)
}

/// A place to run an example in: its own data directory, and what runs there already.
struct Place {
    name: &'static str,
    directory: TempDir,
    nats: Option<String>,
    // Ended before the directory goes.
    run: Option<Process>,
    _up: Option<Process>,
    _server: Option<TestServer>,
}

impl Place {
    fn new(name: &'static str) -> Self {
        let directory = TempDir::new("example").unwrap();
        Self { name, directory, nats: None, run: None, _up: None, _server: None }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = nuncius();
        command.args(arguments).arg("--data").arg(self.directory.path());
        if let Some(nats) = &self.nats {
            command.arg("--nats").arg(nats);
        }
        command
    }

    fn start(&mut self) {
        let report = self.directory.path().join("report.json");
        let mut command = self.command(&["run", "--json", report.to_str().unwrap()]);
        command.arg(example(self.name)).stdout(std::fs::File::create(self.directory.path().join("out")).unwrap());
        self.run = Some(Process::start(&mut command, &self.directory.path().join("err")));
    }

    /// Waits until it has ended; checks what it says and returns its report.
    async fn finish(&mut self) -> Report {
        let mut run = self.run.take().unwrap();
        let status = until("the example has ended", async || run.child.try_wait().unwrap()).await;
        let read = |name: &str| std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        let (out, error) = (read("out"), read("err"));
        // Noise may decide the verdict on a busy machine, never whether it can be run.
        assert!(matches!(status.code(), Some(0 | 1 | 3 | 4)), "{}: {status}\n{out}\n{error}", self.name);
        // Every digit counts: it is compared with what is stored.
        let report: Report = nuncius_schemas::codec::decode(read("report.json").as_bytes()).unwrap();
        assert!(report.verdict.is_some(), "{}", self.name);
        for group in &report.groups {
            assert!(group.offered > 0, "{}: {}", self.name, group.name);
            if let Some(scheduled) = group.scheduled {
                assert_eq!(group.offered, scheduled, "{}: {:?}", self.name, report.reasons);
            }
            let steps = &group.steps;
            assert!(steps.iter().all(|step| step.planned == step.succeeded + step.failed + step.censored));
            assert!(steps.iter().all(|step| step.succeeded > 0), "{}: {:?}", self.name, report.reasons);
        }
        let html = self.directory.path().join("reports").join(format!("{}.html", report.id));
        assert!(std::fs::read_to_string(html).unwrap().contains(&report.id), "{}: an HTML report", self.name);
        assert!(out.contains(&report.verdict.unwrap().name().to_uppercase()), "{}: {out}", self.name);
        report
    }
}

/// Runs all at once, each in its place.
async fn run_all(mut places: Vec<Place>) -> Vec<(Place, Report)> {
    places.iter_mut().for_each(Place::start);
    let mut ended = Vec::new();
    for mut place in places {
        let report = place.finish().await;
        ended.push((place, report));
    }
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_run_with_nothing_running_and_galileo_input_keeps_a_record_of_every_request() {
    let _turn = beside_others().await;
    let ended = run_all(EXAMPLES.map(Place::new).into()).await;
    for (place, report) in &ended {
        let store = Store::open(place.directory.path().join("nuncius.db")).await.unwrap();
        let records = store.record_count(&report.id).await.unwrap();
        let stored = store.report(&report.id).await.unwrap();
        store.close().await;
        assert_eq!(stored.as_ref(), Some(report), "{}: the store has the same report", place.name);
        if !place.name.starts_with("galileo") {
            continue;
        }
        assert_eq!(records, report.offered, "{}: a record of every request", place.name);
        assert_eq!(report.creator.as_deref(), Some("example"), "{}", place.name);
        assert_exported(place, report);
        let telemetry = std::fs::read_to_string(place.directory.path().join("csv/telemetry.csv")).unwrap();
        assert!(telemetry.lines().count() > 1, "{}: telemetry of the machine, as the original stores it", place.name);
        assert!(!report.machines.is_empty(), "{}: and what the machine is", place.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_of_patterns_run_with_nothing_running() {
    let _turn = beside_others().await;
    let ended = run_all(PATTERNS.map(Place::new).into()).await;
    let scheduled: Vec<u64> = ended.iter().map(|(_, report)| report.scheduled).collect();
    // What a whole number of periods holds, and what the file has.
    assert_eq!((scheduled[0], scheduled[3]), (400, 295), "{scheduled:?}");
}

/// The export has what Galileo's users plot: when each request was created, sent and done.
fn assert_exported(place: &Place, report: &Report) {
    let directory = place.directory.path().join("csv");
    let output =
        place.command(&["export", &report.id, "--csv", "--out", directory.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(directory.join("requests.csv")).unwrap();
    let mut lines = text.lines();
    let heading: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| heading.iter().position(|column| *column == name).unwrap_or_else(|| panic!("no {name}"));
    let columns = [column("created"), column("sent"), column("done")];
    let (from, until) = (report.submitted_unix_ms as f64 / 1e3, report.ended_unix_ms.unwrap() as f64 / 1e3);
    let mut rows = 0;
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let [created, sent, done] = columns.map(|column| fields[column].parse::<f64>().unwrap());
        assert!(from <= created && created <= sent && sent <= done && done <= until, "{line}");
        rows += 1;
    }
    assert_eq!(rows, report.offered);
    let output = place.command(&["export", &report.id, "--json"]).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["experiment"]["id"], report.id.as_str());
    assert_eq!(document["requests"].as_array().unwrap().len() as u64, report.offered);
    assert!(document["requests"][0]["created"].is_f64());
}

/// A target that notes when each request came, seconds since the Unix epoch.
fn start_noting_target() -> (String, std::sync::mpsc::Receiver<f64>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, came) = std::sync::mpsc::sync_channel(1_024);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, sender) = (stream.unwrap(), sender.clone());
            std::thread::spawn(move || {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                for line in lines.map_while(Result::ok) {
                    if line.starts_with("GET ") {
                        let _ = sender.send(nuncius_clock::unix_ns() as f64 / 1e9);
                    } else if line.is_empty() {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                    }
                }
            });
        }
    });
    (address, came)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_export_tells_when_requests_were_sent_by_the_clock_on_the_wall() {
    let _turn = beside_others().await;
    let mut place = Place::new("wall clock");
    let (address, came) = start_noting_target();
    let file = place.directory.path().join("experiment.yaml");
    let spec = crate::harness::open_spec("wall", &address, "20/s", "1s", "records: all");
    std::fs::write(&file, spec).unwrap();
    place.name = file.to_str().unwrap().to_owned().leak();
    place.start();
    let report = place.finish().await;
    assert_exported(&place, &report);
    let text = std::fs::read_to_string(place.directory.path().join("csv/requests.csv")).unwrap();
    let column = text.lines().next().unwrap().split(',').position(|name| name == "sent").unwrap();
    let mut sent: Vec<f64> =
        text.lines().skip(1).map(|line| line.split(',').nth(column).unwrap().parse().unwrap()).collect();
    sent.sort_by(f64::total_cmp);
    let came: Vec<f64> = came.try_iter().collect();
    assert_eq!(sent.len(), came.len());
    let mut ways: Vec<f64> = sent.iter().zip(&came).map(|(sent, came)| came - sent).collect();
    ways.sort_by(f64::total_cmp);
    // The instant zero is kept in milliseconds; the median does not mind a busy machine.
    let median = ways[ways.len() / 2];
    assert!((-0.002..0.1).contains(&median), "a request came {median} s after it was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_run_beside_what_up_has_started() {
    let _turn = beside_others().await;
    let mut places: Vec<Place> = EXAMPLES.map(Place::new).into();
    for place in &mut places {
        place._up = Some(start_up(place.directory.path(), 1).0);
    }
    for (place, report) in run_all(places).await {
        assert_eq!(report.nodes.len(), 1, "{}: the node of `up` did it", place.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_run_on_a_bare_nats_server() {
    let _turn = beside_others().await;
    let mut places: Vec<Place> = EXAMPLES.map(Place::new).into();
    for place in &mut places {
        let server = TestServer::start().await.unwrap();
        place.nats = Some(server.url());
        place._server = Some(server);
    }
    run_all(places).await;
}

/// Starts `nuncius up` on a free port and waits until it is ready; the lines that it printed.
fn start_up(data: &Path, clients: u32) -> (Process, Vec<String>) {
    let listen = format!("127.0.0.1:{}", free_port().unwrap());
    let mut command = nuncius();
    command.args(["up", "--listen", &listen, "--clients", &clients.to_string(), "--data"]).arg(data);
    command.stdout(Stdio::piped());
    let mut up = Process::start(&mut command, &data.join("up.log"));
    let mut lines = Vec::new();
    for line in BufReader::new(up.child.stdout.take().unwrap()).lines() {
        lines.push(line.unwrap());
        if lines.last().is_some_and(|line| line == "ready") {
            return (up, lines);
        }
    }
    panic!("`up` ended: {lines:?}\n{}", std::fs::read_to_string(data.join("up.log")).unwrap_or_default());
}

/// Types a command; what it printed, and its exit code.
fn typed(data: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = nuncius().args(arguments).arg("--data").arg(data).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// The same where it must succeed.
fn good(data: &Path, arguments: &[&str]) -> String {
    let (code, out, error) = typed(data, arguments);
    assert_eq!(code, 0, "{arguments:?}: {out}{error}");
    out
}

/// The same where it must fail with this code and name something.
fn bad(data: &Path, arguments: &[&str], wanted_code: i32, wanted: &str) {
    let (code, out, error) = typed(data, arguments);
    assert_eq!(code, wanted_code, "{arguments:?}: {out}{error}");
    assert!(error.contains(wanted), "{arguments:?} does not name `{wanted}`: {error}");
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_walks_through_the_commands() {
    let _turn = beside_others().await;
    let directory = TempDir::new("walk").unwrap();
    let data = directory.path();
    bad(data, &["nodes"], 5, "nuncius up");
    assert!(good(data, &["doctor"]).contains("no NATS server is running"));
    assert!(good(data, &["ps", "--all"]).contains("there is no experiment yet"));
    let (mut up, lines) = start_up(data, 2);
    let said = lines.join("\n");
    assert!(said.contains("nats    nats://127.0.0.1:") && said.contains("client-1, client-2"), "{said}");
    assert!(said.contains("service `stub`"), "{said}");

    let nodes = good(data, &["nodes"]);
    assert!(["client-1", "client-2", "experimentd"].iter().all(|name| nodes.contains(name)), "{nodes}");
    assert_eq!(json(&good(data, &["nodes", "--json"])).as_array().unwrap().len(), 4, "a gateway, too");
    let doctor = good(data, &["doctor"]);
    assert!(doctor.contains("ok    2 client") && !doctor.lines().any(|line| line.starts_with("bad")), "{doctor}");

    good(data, &["route", "set", "shop", "127.0.0.1:7001", "127.0.0.1:7002=3"]);
    let routes = good(data, &["route", "ls"]);
    assert!(routes.contains("stub") && routes.contains("127.0.0.1:7002"), "{routes}");
    let table = json(&good(data, &["route", "ls", "--json"]));
    assert_eq!(table[0]["service"], "shop");
    assert_eq!(table[0]["hosts"][1]["weight"], 3);
    good(data, &["route", "rm", "shop"]);
    assert!(!good(data, &["route", "ls"]).contains("shop"));
    bad(data, &["route", "set", "shop", "nowhere"], 64, "nowhere");
    bad(data, &["route", "set", "a shop", "h:1"], 64, "a shop");
    bad(data, &["route", "rm", "shop"], 5, "shop");

    let file = example("smallest.yaml");
    let file = file.to_str().unwrap();
    let submitted = Instant::now();
    assert_eq!(good(data, &["submit", file, "--id", "walk"]).trim(), "walk");
    assert!(submitted.elapsed() < PATIENCE / 6, "it returns at once");
    let running = good(data, &["ps"]);
    assert!(running.lines().any(|line| line.starts_with("walk ")), "{running}");
    bad(data, &["rm", "walk"], 5, "cancel it first");
    bad(data, &["report", "walk"], 5, "there is no report of walk");
    let (code, shown, followed) = typed(data, &["watch", "walk"]);
    assert!(matches!(code, 0 | 1 | 3 | 4), "{code}: {shown}{followed}");
    assert!(followed.contains("running") && shown.contains("walk"), "{shown}{followed}");
    assert!(!good(data, &["ps"]).contains("walk"));
    let all = json(&good(data, &["ps", "--all", "--json"]));
    assert_eq!((all[0]["id"].as_str(), all[0]["status"].as_str()), (Some("walk"), Some("finished")));
    bad(data, &["watch", "nobody"], 5, "there is no experiment nobody");
    bad(data, &["cancel", "walk"], 5, "finished already");
    bad(data, &["cancel", "nobody"], 5, "there is no experiment nobody");

    assert!(good(data, &["report", "walk"]).contains("500"));
    let page = data.join("page.html");
    let report = json(&good(data, &["report", "walk", "--json", "--html", page.to_str().unwrap()]));
    assert_eq!((report["id"].as_str(), report["offered"].as_u64()), (Some("walk"), Some(500)));
    assert_eq!(report["nodes"].as_array().unwrap().len(), 2);
    assert!(std::fs::read_to_string(page).unwrap().contains("walk"));
    bad(data, &["report", "nobody"], 5, "there is no report of nobody");

    let csv = data.join("csv");
    good(data, &["export", "walk", "--csv", "--out", csv.to_str().unwrap()]);
    for name in ["experiment.csv", "seconds.csv", "nodes.csv", "events.csv", "quantiles.csv", "requests.csv"] {
        assert!(std::fs::read_to_string(csv.join(name)).unwrap().contains(','), "{name}");
    }
    assert_eq!(json(&good(data, &["export", "walk", "--json"]))["report"]["offered"], 500);
    bad(data, &["export", "walk"], 64, "--csv");
    bad(data, &["export", "walk"], 64, "--json");
    bad(data, &["export", "nobody", "--json"], 5, "nobody");

    good(data, &["submit", file, "--id", "kept"]);
    let (code, ..) = typed(data, &["cancel", "kept"]);
    assert_eq!(code, 0);
    assert_eq!(typed(data, &["watch", "kept"]).0, 6);
    good(data, &["rm", "walk"]);
    assert!(!good(data, &["ps", "--all"]).contains("walk"));
    bad(data, &["rm", "walk"], 5, "there is no experiment walk");
    bad(data, &["report", "walk"], 5, "there is no report of walk");

    up.signal(rustix::process::Signal::TERM);
    let status = until("`up` has ended", async || up.child.try_wait().unwrap()).await;
    assert!(status.success(), "{status}: {}", std::fs::read_to_string(data.join("up.log")).unwrap());
    // What was kept is there without a server, too.
    bad(data, &["nodes"], 5, "nuncius up");
    assert!(good(data, &["ps", "--all"]).lines().any(|line| line.starts_with("kept ") && line.contains("cancelled")));
    assert!(good(data, &["report", "kept"]).contains("cancelled"));
}
