//! The REST interface as a person with curl uses it: over a real daemon and real nodes.

use std::process::Stdio;

use nuncius_schemas::event::EventKind;
use nuncius_schemas::run::RunStatus;
use nuncius_testkit::TempDir;
use serde_json::{Value, json};

use crate::harness::{Process, System, beside_others, nuncius, open_spec, until};
use crate::rest_harness::{Face, Told, ask, follow};

const EXPERIMENTS: &str = "/api/v1/experiments";

/// Beside the runtime: the client blocks.
pub(crate) fn apart<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

fn seconds(told: &[Told]) -> Vec<u64> {
    told.iter().filter(|told| told.name == "second").map(|told| told.data["second"].as_u64().unwrap()).collect()
}

fn numbers(told: &[Told]) -> Vec<u64> {
    let of =
        |told: &Told| (told.data["revision"] == 0 && told.data["late"] == false).then(|| told.data["second"].as_u64());
    told.iter().filter(|told| told.name == "second").filter_map(of).flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_is_submitted_once_followed_over_a_killed_gateway_reported_compared_and_deleted() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let target = system.start_stub(&[]);
    let mut face = Face::start(&system, &[]);
    let spec = open_spec("first", &target, "50/s", "6s", "name: shop\nrecords: all\n");
    let submit = |face: &Face, id: &str, spec: &str| {
        let headers = format!("content-type: application/yaml\r\nnuncius-id: {id}\r\n");
        face.ask("POST", EXPERIMENTS, &headers, spec)
    };
    // Made twice at the same time, and again: it is one experiment.
    let (one, other) = apart(|| {
        std::thread::scope(|scope| {
            let both = [0, 1].map(|_| scope.spawn(|| submit(&face, "first", &spec)));
            let [one, other] = both.map(|made| made.join().unwrap());
            (one, other)
        })
    });
    let mut statuses = [one.0, other.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 201], "{one:?} {other:?}");
    assert_eq!(apart(|| submit(&face, "first", &spec)), (200, json!({ "id": "first", "existed": true })));
    let another = spec.replace("50/s", "51/s");
    let refused = apart(|| submit(&face, "first", &another));
    assert_eq!((refused.0, &refused.1["code"]), (409, &json!("id-taken")));

    // Followed, over a gateway that is killed in between.
    let path = format!("{EXPERIMENTS}/first/live");
    let mut told = apart(|| {
        let mut seen = 0;
        follow(&face.address, &path, None, |told| {
            seen += u32::from(told.name == "second");
            seen < 2
        })
    });
    assert_eq!(told[0].name, "definitions");
    face.process.kill();
    face = Face::start(&system, &[]);
    let last = told.last().unwrap().id.clone();
    told.extend(apart(|| follow(&face.address, &path, Some(&last), |told| told.name != "end")));
    let end = told.last().unwrap();
    assert_eq!((end.name.as_str(), &end.data["status"]), ("end", &json!("finished")), "{end:?}");
    let first_ones = numbers(&told);
    let wanted: Vec<u64> = (0..first_ones.len() as u64).collect();
    assert_eq!(first_ones, wanted, "no gap, and none twice: {:?}", seconds(&told));
    let sum: u64 = told
        .iter()
        .filter(|told| told.name == "second" && told.data["late"] == false && told.data["revision"] == 0)
        .map(|told| told.data["steps"]["succeeded"][0].as_u64().unwrap())
        .sum();

    // What came of it.
    system.wait_for_end("first").await;
    let report = until("there is a report", async || {
        let (status, report) = apart(|| face.get(&format!("{EXPERIMENTS}/first/report")));
        (status == 200).then_some(report)
    })
    .await;
    assert_eq!(report["id"], "first");
    let sent = report["groups"][0]["steps"][0]["succeeded"].as_u64().unwrap();
    assert!(sum <= sent && sum + 60 >= sent, "{sum} of {sent} were told while it ran");
    let (status, page) = apart(|| face.get(&format!("{EXPERIMENTS}/first/report.html")));
    assert!(status == 200 && page.as_str().unwrap().starts_with("<!DOCTYPE html>"));
    let (_, series) = apart(|| face.get(&format!("{EXPERIMENTS}/first/series?points=3")));
    assert_eq!(series["source"], "report");
    let counted: u64 =
        series["series"][0]["counts"]["succeeded"].as_array().unwrap().iter().filter_map(Value::as_u64).sum();
    assert_eq!(counted, sent);
    let (_, events) = apart(|| face.get(&format!("{EXPERIMENTS}/first/events")));
    assert!(events["items"].as_array().unwrap().iter().any(|event| event["status"] == "finished"));
    let (status, records) = apart(|| face.get(&format!("{EXPERIMENTS}/first/records")));
    assert_eq!(status, 200, "{records}");
    assert!(records.as_str().unwrap().lines().count() as u64 > sent, "a line each, and the names");
    let (status, document) = apart(|| face.get(&format!("{EXPERIMENTS}/first/export")));
    assert!(status == 200 && document["requests"].as_array().unwrap().len() as u64 >= sent);
    let (status, table) = apart(|| face.get(&format!("{EXPERIMENTS}/first/export/nothing")));
    assert!(status == 404 && table["detail"].as_str().unwrap().contains("requests.csv"), "{table}");

    // Another one, and whether they differ.
    let spec = open_spec("second", &target, "50/s", "3s", "name: shop\n");
    assert_eq!(apart(|| submit(&face, "second", &spec)).0, 201);
    system.wait_for_end("second").await;
    let compared = until("both are compared", async || {
        let (status, compared) = apart(|| face.get("/api/v1/compare?baseline=first&candidate=second&figures=p50"));
        (status == 200).then_some(compared)
    })
    .await;
    assert_eq!((&compared["baseline"]["id"], &compared["candidate"]["id"]), (&json!("first"), &json!("second")));
    assert!(compared["spec_differences"].to_string().contains("duration"), "{compared}");
    let (status, refused) = apart(|| face.get("/api/v1/compare?baseline=first&candidate=second&confidence=2"));
    assert_eq!((status, &refused["field"]), (400, &json!("confidence")));

    // Gone from the bus, it is still listed: by the daemon that has it.
    let runs = system.bus.kv(&system.bus.namespace().bucket_run()).await.unwrap();
    runs.delete("first").await.unwrap();
    let listed = until("the daemon lists it", async || {
        let (_, page) = apart(|| face.get(&format!("{EXPERIMENTS}?name=shop&status=finished")));
        let items = page["items"].as_array().unwrap().clone();
        (items.len() == 2 && items[1]["offered"] == 300).then_some(items)
    })
    .await;
    assert_eq!((&listed[0]["id"], &listed[1]["id"]), (&json!("second"), &json!("first")));
    let (status, one) = apart(|| face.get(&format!("{EXPERIMENTS}/first")));
    assert_eq!((status, &one["on_bus"]), (200, &json!(false)));
    assert_eq!(apart(|| face.ask("DELETE", &format!("{EXPERIMENTS}/first"), "", "")).0, 204);
    assert_eq!(apart(|| face.get(&format!("{EXPERIMENTS}/first"))).0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_stands_in_the_events_with_who_and_why_and_the_server_may_be_restarted_meanwhile() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let target = system.start_stub(&[]);
    let made = system.output(&["gateway", "hash-token", "ci", "--scope", "control", "--json"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let file = system.directory.path().join("tokens");
    std::fs::write(&file, made["line"].as_str().unwrap()).unwrap();
    let face = Face::start(&system, &["--token-file", file.to_str().unwrap()]);
    let token = format!("authorization: Bearer {}\r\n", made["token"].as_str().unwrap());
    let spec = open_spec("long", &target, "20/s", "10m", "");
    assert_eq!(apart(|| face.ask("POST", EXPERIMENTS, "", &spec)).0, 401);
    assert_eq!(apart(|| face.ask("POST", EXPERIMENTS, &token, &spec)).0, 201);
    system.wait_for_status("long", RunStatus::Running).await;
    let marks = format!("{EXPERIMENTS}/long/events");
    let (status, marked) = apart(|| face.ask("POST", &marks, &token, "{\"name\": \"deployed\", \"value\": \"2.4.1\"}"));
    assert_eq!((status, marked), (201, json!({ "id": "long", "name": "deployed" })));
    let (status, refused) = apart(|| face.ask("POST", &marks, &token, "{\"name\": \"\"}"));
    assert_eq!((status, &refused["field"]), (400, &json!("name")), "{refused}");
    system.server.restart().await.unwrap();
    let path = format!("{EXPERIMENTS}/long/cancel");
    let answer = until("it is cancelled", async || {
        let (status, answer) = apart(|| face.ask("POST", &path, &token, "{\"reason\": \"enough seen\"}"));
        (status == 202).then_some(answer)
    })
    .await;
    assert_eq!(answer, json!({ "id": "long", "started": true }));
    assert_eq!(system.wait_for_end("long").await.status, RunStatus::Cancelled);
    let events = system.events("long").await;
    let control = events.iter().find(|event| event.kind == EventKind::Control).unwrap();
    assert_eq!(control.message, "cancelled by ci: enough seen");
    let mark = events.iter().find(|event| event.kind == EventKind::User).unwrap();
    assert_eq!((mark.message.as_str(), mark.data["who"].as_str()), ("deployed: 2.4.1", "ci"));
    let record = system.record("long").await.unwrap();
    assert_eq!(record.spec.creator.as_deref(), Some("ci"), "who submitted it");
    let (status, refused) = apart(|| face.ask("POST", &path, &token, "{}"));
    assert_eq!((status, &refused["code"]), (409, &json!("ended")), "{refused}");
    let (status, refused) = apart(|| face.ask("POST", &path, &token, "{\"why\": 1}"));
    assert_eq!((status, &refused["field"]), (422, &json!("why")), "{refused}");
    // The same while its daemon has just ended it: somebody is asked still, and answers no more.
    let deaf = system.bus.subscribe(&system.bus.namespace().experiment_control("long")).await.unwrap();
    let (status, refused) = apart(|| face.ask("POST", &path, &token, "{}"));
    assert_eq!((status, &refused["code"]), (409, &json!("ended")), "{refused}");
    drop(deaf);
    // It may not delete.
    assert_eq!(apart(|| face.ask("DELETE", &format!("{EXPERIMENTS}/long"), &token, "")).0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn galileos_calls_work_and_a_running_experiment_is_cancelled_before_it_is_deleted() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let target = system.start_stub(&[]);
    let face = Face::start(&system, &[]);
    let route = json!({ "hosts": [{ "address": target }] }).to_string();
    assert_eq!(apart(|| face.ask("PUT", "/api/v1/routes/shop", "", &route)).0, 200);
    let galileo = |method: &str, path: &str, body: &str| apart(|| ask(&face.galileo, method, path, "", body));
    until("the node is seen", async || (galileo("GET", "/api/worker", "").1 == json!(["n1"])).then_some(())).await;
    assert_eq!(galileo("GET", "/api/services", "").1, json!([{ "name": "shop" }]));
    let body = |service: &str, duration: &str| {
        json!({
            "experiment": { "name": "ticks", "creator": "ada" },
            "configuration": {
                "duration": duration, "interval": "10m",
                "workloads": [{ "service": service, "ticks": [5], "clients_per_host": 1, "arrival_pattern": "constant" }],
            },
        })
        .to_string()
    };
    let (status, problem) = galileo("POST", "/api/experiments", &body("shop", "soon"));
    assert_eq!((status, &problem["field"]), (400, &json!("configuration.duration")), "{problem}");
    assert_eq!(galileo("GET", "/api/experiments", "").1, json!([]), "and no row");
    let (status, id) = galileo("POST", "/api/experiments", &body("shop", "10m"));
    assert_eq!(status, 200, "{id}");
    let id = id.as_str().unwrap().to_owned();
    system.wait_for_status(&id, RunStatus::Running).await;
    let (_, one) = galileo("GET", &format!("/api/experiments/{id}"), "");
    assert_eq!((&one["status"], &one["creator"]), (&json!("IN_PROGRESS"), &json!("ada")));
    let path = format!("/api/experiments/{id}");
    until("it is deleted", async || (galileo("DELETE", &path, "") == (200, json!(id))).then_some(())).await;
    assert_eq!(galileo("GET", &path, "").0, 404);
    assert!(system.record(&id).await.is_none());
}

#[test]
fn a_gateway_that_would_be_open_to_strangers_is_a_mistake_and_says_what_to_do() {
    let directory = TempDir::new("open").unwrap();
    let tokens = directory.path().join("tokens");
    std::fs::write(&tokens, "ada read plain\n").unwrap();
    let tokens = tokens.to_str().unwrap();
    for (arguments, told) in [
        (vec!["--listen", "0.0.0.0:0"], "--token-file"),
        (vec!["--listen", "0.0.0.0:0", "--token-file", tokens], "line 1: the hash is none of argon2"),
        (vec!["--galileo", "[::]:5001"], "--token-file"),
        (vec!["--base-path", "nuncius"], "--base-path"),
    ] {
        let output = nuncius().arg("gateway").args(&arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {error}");
        assert!(error.contains(told), "{arguments:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn up_says_what_to_open_and_takes_a_free_port_where_the_usual_one_is_taken() {
    let start = |arguments: &[&str]| {
        let directory = TempDir::new("up").unwrap();
        let mut command = nuncius();
        command.arg("--data").arg(directory.path().join("data")).args([
            "up",
            "--listen",
            "127.0.0.1:0",
            "--clients",
            "0",
        ]);
        command.args(arguments).stdout(Stdio::piped());
        let mut process = Process::start(&mut command, &directory.path().join("up.log"));
        let lines = std::io::BufRead::lines(std::io::BufReader::new(process.child.stdout.take().unwrap()));
        let lines: Vec<String> = lines.map_while(Result::ok).take_while(|line| line != "ready").collect();
        (directory, process, lines)
    };
    let place = |lines: &[String]| {
        let line = lines.iter().find_map(|line| line.strip_prefix("open"))?;
        Some(line.trim().trim_start_matches("http://").trim_end_matches('/').to_owned())
    };
    let (_first_directory, _first, lines) = start(&[]);
    let first = place(&lines).unwrap_or_else(|| panic!("{lines:?}"));
    let (_second_directory, _second, lines) = start(&[]);
    let second = place(&lines).unwrap_or_else(|| panic!("{lines:?}"));
    assert_ne!(first, second);
    for address in [&first, &second] {
        let (status, page) = apart(|| ask(address, "GET", "/", "", ""));
        assert!(status == 200 && page.as_str().unwrap().contains("Nuncius"), "{page}");
        assert_eq!(apart(|| ask(address, "GET", "/api/v1/system", "", "")).0, 200);
    }
    let (_third_directory, _third, lines) = start(&["--no-gateway"]);
    assert_eq!(place(&lines), None, "{lines:?}");
}
