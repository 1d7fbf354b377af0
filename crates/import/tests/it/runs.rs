//! What comes out, planned as a node plans it, and run against a server that writes down what it sees.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

use nuncius_clock::monotonic_ns;
use nuncius_engine::{
    Caps, Control, EngineMessage, EngineOptions, GroupInput, GroupPlan, TargetPolicy, plan_group, spawn_group,
};
use nuncius_import::artillery::{Imported, Options, import};
use nuncius_import::{ImportError, Wanted};
use nuncius_load::ShardSet;
use nuncius_schemas::spec::RecordsMode;

use crate::support::{directory, environment, options};

const SECOND_NS: u64 = 1_000_000_000;

/// The files of an experiment where a node has them.
fn bundle(imported: &Imported, name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("import-{name}-{}", std::process::id()));
    for file in &imported.files {
        let path = root.join(&file.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &file.bytes).unwrap();
    }
    std::fs::create_dir_all(&root).unwrap();
    root
}

fn plan(imported: &Imported, name: &str) -> Result<GroupPlan, String> {
    let root = bundle(imported, name);
    let input = GroupInput {
        spec: &imported.specification,
        group: 0,
        shards: ShardSet::all(256),
        nodes: 1,
        routes: &[],
        run_key: 7,
        trace_id: 1,
        threads: 1,
        bundle: Some(&root),
        variables: None,
    };
    let policy = TargetPolicy::parse(&["any".to_owned()]).unwrap();
    // Nodes know what they were given, and nothing else.
    let value = |name: &str| environment().get(name).cloned().unwrap_or_else(|| "given".to_owned());
    let known = |name: &str| imported.environment.contains(name).then(|| value(name));
    plan_group(&input, &policy, &known).map_err(|error| error.to_string())
}

#[test]
fn a_node_can_plan_whatever_is_taken() {
    let mut planned = 0;
    for entry in std::fs::read_dir(directory()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(plain) = name.strip_suffix(".yaml") else { continue };
        let text = std::fs::read_to_string(directory().join(&name)).unwrap();
        let scheme = if text.contains("target: ws") { "ws" } else { "http" };
        // Nothing listens there; and names are not to be looked up.
        let options = Options { target: Some(format!("{scheme}://127.0.0.1:9")), leave_out_refused: true, ..options() };
        let text = text
            .replace("shop.test", "127.0.0.1:9")
            .replace("other.test", "127.0.0.1:9")
            .replace("chat.test", "127.0.0.1:9");
        let mut reader = |wanted: Wanted<'_>| std::fs::read(directory().join(wanted.path)).map_err(|e| e.to_string());
        let imported = import(&name, text.as_bytes(), &options, &mut reader).unwrap_or_else(|e| panic!("{name}: {e}"));
        plan(&imported, plain).unwrap_or_else(|error| panic!("{name}: {error}"));
        planned += 1;
    }
    assert!(planned >= 13, "{planned}");
}

/// A request as the server saw it.
#[derive(Debug, Clone)]
struct Seen {
    line: String,
    headers: BTreeMap<String, String>,
    body: String,
    connection: usize,
}

struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// `answer` gives status, further headers and body.
    fn start(answer: fn(&Seen) -> (u16, String, String)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let all = Arc::clone(&seen);
        std::thread::spawn(move || {
            for (connection, socket) in listener.incoming().flatten().enumerate() {
                let all = Arc::clone(&all);
                std::thread::spawn(move || serve(socket, connection, &all, answer));
            }
        });
        Self { address, seen }
    }

    fn seen(&self, beginning: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.line.starts_with(beginning)).cloned().collect()
    }
}

fn serve(mut socket: TcpStream, connection: usize, all: &Mutex<Vec<Seen>>, answer: fn(&Seen) -> (u16, String, String)) {
    let (mut pending, mut buffer) = (Vec::new(), [0u8; 4096]);
    loop {
        let end = pending.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8(pending[..end].to_vec()).unwrap();
            let mut lines = head.lines();
            let line = lines.next().unwrap().to_owned();
            let header = |line: &str| line.split_once(": ").map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned()));
            let headers: BTreeMap<String, String> = lines.filter_map(header).collect();
            let length = headers.get("content-length").map_or(0, |value| value.parse().unwrap());
            if pending.len() >= end + 4 + length {
                let body = String::from_utf8(pending[end + 4..end + 4 + length].to_vec()).unwrap();
                pending.drain(..end + 4 + length);
                let seen = Seen { line, headers, body, connection };
                let (status, more, body) = answer(&seen);
                all.lock().unwrap().push(seen);
                let text = format!("HTTP/1.1 {status} X\r\n{more}Content-Length: {}\r\n\r\n{body}", body.len());
                if socket.write_all(text.as_bytes()).is_err() {
                    return;
                }
                continue;
            }
        }
        match socket.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => pending.extend_from_slice(&buffer[..read]),
        }
    }
}

/// What a run came to: of each step and the iteration, sent, succeeded, failed and the failures in words.
type Outcome = BTreeMap<String, (u64, u64, u64, String)>;

/// Runs the only group to its end.
fn run(imported: &Imported, name: &str) -> (Outcome, BTreeMap<String, u64>) {
    let plan = plan(imported, name).unwrap();
    let mut names = plan.step_names().to_vec();
    names.push("iteration".to_owned());
    let options = EngineOptions {
        records: RecordsMode::None,
        trace_ratio: 0.0,
        trace_slowest: 0,
        seed: 1,
        drain_ns: 20 * SECOND_NS,
        orphan_limit_ns: 600 * SECOND_NS,
    };
    let control = Control::with_caps(Caps::none());
    let (sink, messages) = sync_channel(1_024);
    let threads = spawn_group(plan, options, Arc::clone(&control), sink, None).unwrap();
    control.start(monotonic_ns() + 5_000_000, u64::MAX);
    let (mut outcome, mut meters) = (Outcome::new(), BTreeMap::new());
    for message in messages {
        let EngineMessage::Second(report) = message else { continue };
        for (name, step) in names.iter().zip(&report.steps) {
            let known = outcome.entry(name.clone()).or_default();
            known.0 += step.sent;
            known.1 += step.succeeded;
            known.2 += step.failed;
            step.failures.iter().for_each(|failure| known.3 += &format!("{:?} {:?}; ", failure.kind, failure.sample));
        }
        for meter in &report.meters {
            if let nuncius_engine::MeterValue::Counter(sum) = meter.value {
                *meters.entry(meter.meter.name.clone()).or_default() += sum;
            }
        }
    }
    for thread in threads {
        thread.handle.join().unwrap();
    }
    (outcome, meters)
}

fn with_files(text: &str, files: &[(&str, &str)], address: SocketAddr) -> Imported {
    let options = Options { target: Some(format!("http://{address}")), ..options() };
    let mut reader = |wanted: Wanted<'_>| {
        let found = files.iter().find(|(path, _)| *path == wanted.path);
        found.map(|(_, text)| text.as_bytes().to_vec()).ok_or_else(|| "it is not there".to_owned())
    };
    let taken: Result<Imported, ImportError> = import("run.yaml", text.as_bytes(), &options, &mut reader);
    taken.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn users_log_in_with_their_rows_and_go_on_with_what_they_were_told() {
    let server = Server::start(|seen| match seen.line.split(' ').nth(1).unwrap() {
        "/login" => {
            let user: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
            let cookie = format!("Set-Cookie: sid={}; Path=/\r\n", user["user"].as_str().unwrap());
            (201, cookie, format!(r#"{{"token": "t-{}", "ids": [4, 5]}}"#, user["age"]))
        }
        "/gone" => (404, String::new(), String::new()),
        "/empty" => (200, String::new(), "{}".to_owned()),
        _ => (200, String::new(), r#"{"a": 1}"#.to_owned()),
    });
    let text = r#"
config:
  target: nowhere
  phases: [{duration: 1, arrivalCount: 12}]
  processor: p.js
  payload: {path: u.csv, fields: [email, age], order: sequence}
  variables: {kind: [a, b]}
  plugins: {expect: {}}
scenarios:
- name: shop
  flow:
  - post:
      url: /login
      json: {user: "{{ email }}", age: "{{ age }}", kind: "{{ kind }}"}
      capture: [{json: $.token, as: token}, {json: "$.ids[*]", as: id}]
      expect: [{statusCode: 201}, {hasProperty: token}]
  - loop:
    - get: {url: "/items/{{ id }}/{{ $loopCount }}", headers: {Authorization: "Bearer {{ token }}"}}
    count: 3
  - get: {url: /signed, beforeRequest: sign, afterResponse: look}
  - get: {url: /gone}
  - get: {url: /never, ifTrue: "age > 100"}
  - get: {url: /empty, capture: {json: $.nothing, as: x}}
  - get: {url: /unreached}
"#;
    let processor = "
const { secret } = require('./lib/secret');
exports.sign = (req, ctx, ee, next) => {
  req.headers = { 'X-Signed': `${ctx.vars.email}:${secret}:${process.env.API_KEY}` };
  req.searchParams = { n: '{{ age }}' };
  ee.emit('counter', 'signed.requests', 1);
  next();
};
exports.look = async (req, res, ctx) => {
  if (res.statusCode !== 200 || JSON.parse(res.body).a !== 1) throw new Error('no');
};
";
    let files =
        [("u.csv", "ada@x.test,31\nbob@x.test,42\n"), ("p.js", processor), ("lib/secret.js", "exports.secret = 's3';")];
    let imported = with_files(text, &files, server.address);
    let (outcome, meters) = run(&imported, "shop");
    let of = |name: &str| {
        let (sent, succeeded, failed, why) = outcome.get(name).unwrap_or_else(|| panic!("{name}: {outcome:?}"));
        (*sent, *succeeded, *failed, why.clone())
    };
    let well = |number: u64| (number, number, 0, String::new());
    assert_eq!(of("POST /login"), well(12));
    assert_eq!(of("GET /items/{{ id }}/{{ $loopCount }}"), well(36), "{outcome:?}");
    assert_eq!(of("GET /signed"), well(12), "{outcome:?}");
    assert_eq!(of("GET /gone"), well(12), "a status is no error");
    assert_eq!((of("GET /never").0, of("GET /unreached").0), (0, 0));
    // A capture that finds nothing ends its user.
    assert_eq!((of("GET /empty").2, of("iteration").2), (12, 12), "{outcome:?}");
    assert_eq!(meters["signed_requests"], 12);
    let logins = server.seen("POST /login");
    let bodies: BTreeSet<String> = logins.iter().map(|seen| seen.body.clone()).collect();
    for body in &bodies {
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let row = (body["user"].as_str().unwrap(), body["age"].as_u64().unwrap());
        assert!([("ada@x.test", 31), ("bob@x.test", 42)].contains(&row), "{body}: numbers stay numbers");
        assert!(["a", "b"].contains(&body["kind"].as_str().unwrap()));
    }
    assert_eq!(logins.iter().filter(|seen| seen.body.contains("ada")).count(), 6, "rows are taken in turn");
    for seen in server.seen("GET /signed") {
        let age = if seen.headers["cookie"].contains("ada") { 31 } else { 42 };
        assert_eq!(seen.line, format!("GET /signed?n={age} HTTP/1.1"));
        let user = if age == 31 { "ada" } else { "bob" };
        assert_eq!(seen.headers["x-signed"], format!("{user}@x.test:s3:k3y"));
    }
    let items: BTreeSet<String> = server.seen("GET /items").iter().map(|seen| seen.line.clone()).collect();
    let expected =
        |line: &String| (0..3).any(|n| [4, 5].iter().any(|id| *line == format!("GET /items/{id}/{n} HTTP/1.1")));
    assert!(items.iter().all(expected), "{items:?}");
    assert!(
        server
            .seen("GET /items")
            .iter()
            .all(|seen| ["Bearer t-31", "Bearer t-42"].contains(&seen.headers["authorization"].as_str()))
    );
    let connections: BTreeSet<usize> = server.seen("").iter().map(|seen| seen.connection).collect();
    assert_eq!(connections.len(), 12, "each user has one connection");
}

#[test]
fn exactly_as_many_users_come_as_the_phases_say() {
    let server = Server::start(|_| (200, String::new(), String::new()));
    let text = "
config:
  target: nowhere
  phases:
  - {duration: 1, arrivalRate: 7}
  - {pause: 200ms}
  - {duration: 2, arrivalRate: 2, rampTo: 9, name: up}
  - {duration: 1, arrivalCount: 5}
scenarios:
- {flow: [{get: {url: /}}], weight: 3, name: a}
- {flow: [{get: {url: /b}}], name: b}
";
    let imported = with_files(text, &[], server.address);
    let users: u64 = imported.origin.phases.iter().map(|phase| phase.users).sum();
    let (outcome, _) = run(&imported, "phases");
    assert_eq!(users, 7 + 2 + 9 + 5);
    assert_eq!(outcome["iteration"].1, users, "{outcome:?}");
    assert_eq!(server.seen("GET /").len() as u64, users);
}
