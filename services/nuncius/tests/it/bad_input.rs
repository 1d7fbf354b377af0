//! What is wrong ends with its reason where people look for it, and nothing else notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use nuncius_bus::Headers;
use nuncius_bus::tail::{Start, StoredMessage};
use nuncius_schemas::codec;
use nuncius_schemas::run::{RunStatus, SubmitReply, Verdict};
use nuncius_schemas::subjects::{HEADER_REASON, HEADER_REPLY};
use nuncius_store::Store;

use crate::harness::{PATIENCE, System, beside_others, open_spec, until};

/// One experiment that must fail under its name.
struct Case {
    id: &'static str,
    payload: String,
    /// Whether it is admitted: what is wrong shows only when its nodes are asked.
    admitted: bool,
    /// What the reason must hold.
    wanted: &'static [&'static str],
}

/// A good specification with one piece replaced.
fn replaced(id: &str, address: &str, from: &str, to: &str) -> String {
    let good = good_spec(id, address);
    assert!(good.contains(from), "{from} is not in {good}");
    good.replace(from, to)
}

/// Fits the caps of the node of these tests.
fn good_spec(id: &str, address: &str) -> String {
    open_spec(id, address, "50/s", "1s", "gates: ['failures < 20%']") + "  max_in_flight: 20\n"
}

fn cases(address: &str, closed_address: &str) -> Vec<Case> {
    let refused = |id, from: &str, to: &str, wanted| Case {
        id,
        payload: replaced(id, address, from, to),
        admitted: false,
        wanted,
    };
    let failing = |id, from: &str, to: &str, wanted| Case {
        id,
        payload: replaced(id, address, from, to),
        admitted: true,
        wanted,
    };
    vec![
        refused("unknown-key", "lag_limit:", "lag_limitt:", &["lag_limitt"]),
        refused("unknown-group-key", "  rate:", "  ratee:", &["groups[0]", "ratee"]),
        refused("wrong-unit", "duration: 1s", "duration: 10 parsecs", &["groups[0].duration", "parsecs"]),
        refused("negative-rate", "rate: 50/s", "rate: -1", &["groups[0].rate"]),
        refused("wrong-gate", "failures < 20%", "wishes < 20%", &["gates[0]", "wishes"]),
        Case {
            id: "galileo-word",
            payload: r#"{"exp_id": "galileo-word", "instructions": "spawn .* shop 1\nfly .* shop 10\nsleep 1"}"#
                .to_owned(),
            admitted: false,
            wanted: &["instructions line 2", "fly"],
        },
        refused("wrong-scheme", "http://target/", "gopher://target/", &["groups[0].target", "gopher"]),
        refused("wrong-address", address, "nowhere", &["services.target", "nowhere"]),
        failing("nobody-there", "groups:", "nodes: {labels: {zone: mars}}\ngroups:", &["nodes.labels", "zone=mars"]),
        failing("unknown-service", "http://target/", "http://nobody/", &["groups[0].target", "nobody"]),
        failing("refused-connection", address, closed_address, &["groups[0].target", "does not accept connections"]),
        failing("strangers", "http://target/", "http://192.0.2.1/", &["target", "192.0.2.1", "--allow-target"]),
        failing(
            "unset-variable",
            "  rate:",
            "  headers: {x-token: '${NUNCIUS_VAR_ABSENT}'}\n  rate:",
            &["groups[0].headers", "--expose-env NUNCIUS_VAR_ABSENT"],
        ),
        failing("over-rate", "rate: 50/s", "rate: 501/s", &["groups[0].rate", "500", "--max-rate"]),
        failing(
            "over-in-flight",
            "in_flight: 20",
            "in_flight: 101",
            &["groups[0].max_in_flight", "100", "--max-in-flight"],
        ),
        failing("over-duration", "duration: 1s", "duration: 31s", &["groups[0].duration", "30", "--max-duration"]),
    ]
}

/// A system whose only node has low caps.
async fn capped_system() -> System {
    let mut system = System::start(0).await;
    system.start_client("n1", &["--max-rate", "500", "--max-in-flight", "100", "--max-duration", "30s"]);
    system.wait_for_nodes(2).await;
    system
}

/// Publishes with `Nuncius-Reply` and returns the answer.
async fn submit(system: &System, payload: Vec<u8>) -> SubmitReply {
    let inbox = system.bus.new_inbox();
    let mut answers = system.bus.subscribe(&inbox).await.unwrap();
    let headers = Headers::new().with(HEADER_REPLY, inbox);
    let subject = system.bus.namespace().experiment_submit();
    system.bus.publish_acked(&subject, &headers, payload.into(), None, None).await.unwrap();
    tokio::time::timeout(PATIENCE, answers.next()).await.expect("an answer comes").unwrap().decode().unwrap()
}

/// A small good run, and the processes are the ones that were started.
async fn assert_all_well(system: &mut System, id: &str, address: &str) {
    let answer = submit(system, good_spec(id, address).into_bytes()).await;
    assert_eq!(answer, SubmitReply { id: Some(id.to_owned()), accepted: true, error: None });
    let record = system.wait_for_end(id).await;
    let report = system.report(id).await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
    assert_eq!((report.scheduled, report.offered), (50, 50));
    let processes = system.clients.iter_mut().chain(&mut system.daemon);
    for process in processes {
        assert!(process.child.try_wait().unwrap().is_none(), "every process lives");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_read_fails_under_its_name_with_the_field_on_the_bus_in_the_store_and_in_the_report() {
    let _turn = beside_others().await;
    let mut system = capped_system().await;
    let address = system.start_stub(&[]);
    let closed = format!("127.0.0.1:{}", nuncius_testkit::free_port().unwrap());
    let cases = cases(&address, &closed);
    for case in &cases {
        let answer = submit(&system, case.payload.clone().into_bytes()).await;
        assert_eq!((answer.id.as_deref(), answer.accepted), (Some(case.id), case.admitted), "{:?}", answer.error);
        if !case.admitted {
            assert_says(case, "the answer", &answer.error.unwrap());
        }
    }
    let store = Store::open(system.data().join("nuncius.db")).await.unwrap();
    for case in &cases {
        let record = system.wait_for_end(case.id).await;
        assert_eq!((record.status, record.verdict), (RunStatus::Failed, None), "{}", case.id);
        assert_says(case, "the record", record.reason.as_deref().unwrap_or_default());
        // The record comes first, then the event and the store.
        let event = until("the last event is told", async || {
            system.events(case.id).await.into_iter().find(|event| event.status == Some(RunStatus::Failed))
        })
        .await;
        assert_says(case, "the event", &event.message);
        let report = system.report(case.id).await;
        assert_eq!((report.status, report.offered), (RunStatus::Failed, 0), "{}", case.id);
        assert_says(case, "the report", &report.reasons.join("; "));
        let stored = until("the store has the end", async || {
            store.experiment(case.id).await.ok().filter(|stored| stored.status == RunStatus::Failed)
        })
        .await;
        assert_says(case, "the store", stored.reason.as_deref().unwrap_or_default());
        let stored = store.report(case.id).await.unwrap().expect("the report is stored, too");
        assert_says(case, "the stored report", &stored.reasons.join("; "));
    }
    store.close().await;
    assert_all_well(&mut system, "afterwards", &address).await;
}

fn assert_says(case: &Case, place: &str, text: &str) {
    for wanted in case.wanted {
        assert!(text.contains(wanted), "{}: {place} does not name `{wanted}`: {text:?}", case.id);
    }
}

/// All dead letters so far, at least `count`.
async fn dead_letters(system: &System, count: usize) -> Vec<StoredMessage> {
    let namespace = system.bus.namespace().clone();
    let mut tail = system.bus.tail(&namespace.stream_dead(), &namespace.experiment_dead(), Start::All).await.unwrap();
    let mut letters = Vec::new();
    while letters.len() < count {
        letters.push(tokio::time::timeout(PATIENCE, tail.next()).await.expect("a dead letter comes").unwrap());
    }
    assert_eq!(tail.pending(), 0, "no more letters than expected");
    letters
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_becomes_a_dead_letter_with_its_reason_and_nobody_else_notices() {
    let _turn = beside_others().await;
    let mut system = capped_system().await;
    let address = system.start_stub(&[]);
    assert_all_well(&mut system, "taken", &address).await;
    let epochs = |nodes: Vec<nuncius_schemas::node::NodeInfo>| {
        let mut epochs: Vec<_> = nodes.into_iter().map(|node| (node.name, node.epoch)).collect();
        epochs.sort();
        epochs
    };
    let before = epochs(system.nodes().await);
    let mut random = fastrand::Rng::with_seed(7);
    let garbage: Vec<u8> =
        std::iter::once(0xffu8).chain(std::iter::repeat_with(|| random.u8(..))).take(900 * 1024).collect();
    let small_garbage = garbage[..1_000].to_vec();
    let value: std::collections::BTreeMap<String, String> =
        [("id".to_owned(), "halved".to_owned()), ("name".to_owned(), "x".repeat(100))].into();
    let mut halved = codec::encode(&value).unwrap();
    halved.truncate(halved.len() / 2);
    let dead: [(&str, Vec<u8>, &str); 7] = [
        ("garbage", garbage, "at most 262144 are taken"),
        ("small garbage", small_garbage, "not readable"),
        ("half a map", halved, "not readable as MessagePack"),
        ("half a JSON", br#"{"id": "halved", "groups": ["#.to_vec(), "not readable as JSON"),
        ("no map", b"- a\n- b\n".to_vec(), "not a map"),
        ("nothing", b"  \n".to_vec(), "empty"),
        ("an id that exists", good_spec("taken", &address).into_bytes(), "`taken` exists already"),
    ];
    for (name, payload, wanted) in &dead {
        let answer = submit(&system, payload.clone()).await;
        assert_eq!((answer.id, answer.accepted), (None, false), "{name}");
        let error = answer.error.unwrap_or_default();
        assert!(error.contains(wanted), "{name}: {error}");
    }
    for ((name, payload, wanted), letter) in dead.iter().zip(dead_letters(&system, dead.len()).await) {
        let reason = letter.headers.get(HEADER_REASON).unwrap_or_default();
        assert!(reason.contains(wanted), "{name}: {reason}");
        assert_eq!(letter.headers.get("Nuncius-Size-Bytes"), Some(payload.len().to_string().as_str()), "{name}");
        assert!(payload.starts_with(&letter.payload) && !letter.payload.is_empty(), "{name}: its beginning is kept");
    }
    assert!(system.record("halved").await.is_none());
    let taken = system.report("taken").await;
    assert_eq!((taken.offered, taken.verdict), (50, Some(Verdict::Pass)), "the first of that id keeps its report");

    assert_answers_go_nowhere_else(&system, &address).await;
    assert_too_large_for_the_server(&system);
    assert_eq!(epochs(system.nodes().await), before, "everybody is who he was");
    assert_all_well(&mut system, "afterwards", &address).await;
    assert_the_command_tells_a_bad_file_by_its_exit_code(&system, &address);
}

/// A subject that is none, or that is ours, is no place for an answer: the experiment runs all the same.
async fn assert_answers_go_nowhere_else(system: &System, address: &str) {
    let namespace = system.bus.namespace().clone();
    for (index, reply) in ["a b c d", "x..y", ">", "", &namespace.experiment_submit()].into_iter().enumerate() {
        let id = format!("reply-{index}");
        let headers = Headers::new().with(HEADER_REPLY, reply);
        let payload = good_spec(&id, address).into_bytes();
        system.bus.publish_acked(&namespace.experiment_submit(), &headers, payload.into(), None, None).await.unwrap();
        let record = system.wait_for_end(&id).await;
        assert_eq!(record.status, RunStatus::Finished, "{reply:?}: {:?}", record.reason);
    }
}

/// 2 MiB by a program that does not ask how much the server takes.
fn assert_too_large_for_the_server(system: &System) {
    let mut stream = TcpStream::connect(("127.0.0.1", system.server.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let size = 2 << 20;
    let subject = system.bus.namespace().experiment_submit();
    let mut writer = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let head = format!("CONNECT {{\"verbose\":false}}\r\nPUB {subject} {size}\r\n");
        // The server closes before all of it is there.
        let _ = writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&vec![b'x'; size]));
    });
    let mut said = Vec::new();
    let mut buffer = [0; 4_096];
    while !String::from_utf8_lossy(&said).contains("-ERR") {
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => said.extend_from_slice(&buffer[..count]),
            end => panic!("no refusal: {end:?} after {}", String::from_utf8_lossy(&said)),
        }
    }
    assert!(String::from_utf8_lossy(&said).contains("-ERR 'Maximum Payload Violation'"));
    sender.join().unwrap();
}

fn assert_the_command_tells_a_bad_file_by_its_exit_code(system: &System, address: &str) {
    let wrong = replaced("cli-wrong", address, "  rate:", "  ratee:");
    let files: [(&str, &str, i32, &str); 6] = [
        ("text.yaml", "just a sentence", 64, "not a map"),
        ("list.yaml", "- a\n- b\n", 64, "not a map"),
        ("half.json", "{\"groups\": [", 64, "not readable as JSON"),
        ("wrong.yaml", &wrong, 64, "groups[0].ratee: unknown field `ratee`; did you mean `rate`? (line "),
        ("galileo.json", r#"{"instructions": "spawn .* shop 1\nfly away"}"#, 64, "instructions line 2"),
        ("taken.yaml", &good_spec("taken", address), 5, "`taken` exists already"),
    ];
    for (name, text, code, wanted) in files {
        let path = system.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        for command in ["run", "submit"] {
            let output = system.output(&[command, path.to_str().unwrap()]);
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{command} {name}: {error}");
            assert!(error.contains(wanted), "{command} {name}: {error}");
            if code == 64 {
                assert!(error.contains(name), "{command} {name}: names the file: {error}");
                assert_eq!(error.matches(wanted).count(), 1, "{command} {name}: told once: {error}");
            }
            let shown = String::from_utf8_lossy(&output.stdout).to_lowercase();
            assert!(!shown.contains("pass"), "{command} {name}: shows nobody else's report: {shown}");
        }
    }
    let listed = system.output(&["ps", "--all"]).stdout;
    assert!(!String::from_utf8_lossy(&listed).contains("cli-wrong"), "a bad file leaves nothing behind");
    let output = system.output(&["run", "/nonexistent.yaml"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent.yaml"));
}
