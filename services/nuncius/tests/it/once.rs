//! What is done once for a whole experiment, whatever becomes of nodes and daemons: `before` ahead of the load, whose
//! variables all sessions have, and `after` when it is over.

use std::time::{Duration, Instant};

use nuncius_schemas::event::{EventKind, ExperimentEvent};
use nuncius_schemas::node::{GivenVariables, NodeCommand, NodeReply, Once, OncePhase, RefusalCode};
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_store::Store;
use rustix::process::Signal;

use crate::harness::{PATIENCE, System, beside_others, open_spec, stub_stats, until};
use crate::orders_harness::{Orders, SECOND_NS, nodes_alone, refusal};

/// A group of members: each request shows the token that one login has brought.
fn members(before: &str, more: &str) -> String {
    format!(
        "  name: members\n{more}  before:\n{before}  - name: log in\n    post:\n      url: /login\n      \
         json: {{user: ada, password: '${{NUNCIUS_VAR_PASSWORD:-hunter2}}'}}\n      \
         capture: {{token: {{json: $.token}}}}\n  \
         steps:\n  - name: look\n    get: {{url: /private, auth: {{bearer: '{{{{ token }}}}'}}}}\n  \
         after:\n  - name: log out\n    post: {{url: /logout, auth: {{bearer: '{{{{ token }}}}'}}}}\n"
    )
}

fn spec(id: &str, address: &str, (rate, duration): (&str, &str), more: &str, members: &str) -> String {
    open_spec(id, address, rate, duration, more) + members
}

/// Events that tell of what was done once.
fn told<'a>(events: &'a [ExperimentEvent], words: &str) -> Vec<&'a ExperimentEvent> {
    events.iter().filter(|event| event.message.contains(words)).collect()
}

/// Waits for the node that works for a run, which has not been started yet.
async fn worker_of(system: &System, id: &str) -> String {
    until("a node works for the run", async || {
        let nodes = system.nodes().await;
        nodes.into_iter().find(|node| node.experiment.as_deref() == Some(id)).map(|node| node.name)
    })
    .await
}

fn number_of(node: &str) -> usize {
    node.trim_start_matches('n').parse::<usize>().unwrap() - 1
}

#[tokio::test(flavor = "multi_thread")]
async fn one_login_serves_all_sessions_of_three_nodes_and_its_token_is_written_nowhere() {
    let _turn = beside_others().await;
    let password = ("NUNCIUS_VAR_PASSWORD".to_owned(), "hunter2-of-the-nodes".to_owned());
    let mut system = System::start_with_environment(3, vec![password]).await;
    let address = system.start_stub(&[]);
    let members = members("", "");
    system.publish(spec("once", &address, ("100/s", "3s"), "records: all", &members).as_bytes()).await;
    let record = system.wait_for_end("once").await;
    let report = system.report("once").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
    assert!(report.nodes.len() == 3 && report.nodes.iter().all(|node| node.offered > 0), "{:?}", report.nodes);
    let step = &report.groups[0].steps[0];
    assert_eq!((step.name.as_str(), step.sent, step.succeeded), ("look", 300, 300), "what is done once is no step");
    let stats = stub_stats(&address);
    let counted = ["login", "private", "logout"].map(|kind| stats.path(kind));
    assert_eq!((counted, stats.unauthorized, stats.requests), ([1, 300, 1], 0, 302), "{:?}", report.events);
    for phase in ["before", "after"] {
        let done = told(&report.events, &format!("`{phase}` of group members was done by node n"));
        assert_eq!(done.len(), 1, "{:?}", report.events);
        assert!(done[0].data["seconds"].parse::<f64>().unwrap() < 60.0, "{done:?}");
    }
    // The token of the first request that the stub had, which is found where it has to be.
    let secrets = ["stub.0.ffffffffffffffff", "hunter2"];
    assert!(nuncius_emulator_token(&address).contains(".ffffffffffffffff."));
    let store = Store::open(system.data().join("nuncius.db")).await.unwrap();
    let stored = store.report("once").await.unwrap().unwrap();
    store.close().await;
    let mut written = vec![
        serde_json::to_string(&record).unwrap(),
        serde_json::to_string(&report).unwrap(),
        serde_json::to_string(&stored).unwrap(),
        format!("{:?}", system.events("once").await),
        String::from_utf8_lossy(&system.output(&["export", "once", "--json"]).stdout).into_owned(),
        String::from_utf8_lossy(&system.output(&["report", "once", "--json"]).stdout).into_owned(),
    ];
    assert!(written.iter().all(|text| text.contains("once")));
    for directory in [system.directory.path().to_owned(), system.data()] {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                written.push(String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned());
            }
        }
    }
    for text in &written {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is in {}", text.chars().take(300).collect::<String>());
        }
    }
    let artifacts = format!("OBJ_{}", system.bus.namespace().bucket_artifact());
    let metas = format!("$O.{}.M.>", system.bus.namespace().bucket_artifact());
    let chunks = format!("$O.{}.C.>", system.bus.namespace().bucket_artifact());
    assert!(system.bus.last_sequence_of(&artifacts, &metas).await.unwrap().is_some());
    let left = until("where the run stood is forgotten", async || {
        let left = system.bus.subjects(&artifacts, &chunks).await.unwrap();
        (left.len() == 1).then_some(left)
    })
    .await;
    assert_eq!(left.len(), 1, "the report alone");
}

/// A token as the stub gives it.
fn nuncius_emulator_token(address: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "POST /login HTTP/1.1\r\nhost: stub\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split("\"token\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_before_fails_is_failed_with_the_step_and_the_node_and_has_offered_nothing() {
    let _turn = beside_others().await;
    let mut system = System::start(3).await;
    let address = system.start_stub(&[]);
    let file = system.directory.path().join("experiment.yaml");
    let members = members("  - {name: ask, get: /status/503}\n", "");
    std::fs::write(&file, spec("refused", &address, ("100/s", "3s"), "", &members)).unwrap();
    let output = system.output(&["run", file.to_str().unwrap()]);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("groups[0].before: ask failed: ") && said.contains("(node n"), "{said}");
    let record = system.wait_for_end("refused").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Failed, None));
    assert!(record.reason.unwrap().contains("503"));
    let stats = stub_stats(&address);
    assert_eq!((stats.requests, stats.path("login"), stats.path("logout")), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_node_was_doing_once_is_done_by_another_and_the_run_goes_on_without_it() {
    let _turn = beside_others().await;
    let mut system = System::start(3).await;
    let address = system.start_stub(&[]);
    let members = members("  - {name: wait, get: /delay/2s}\n", "");
    system.publish(spec("killed", &address, ("100/s", "3s"), "", &members).as_bytes()).await;
    let node = worker_of(&system, "killed").await;
    until("it has begun", async || (stub_stats(&address).path("delay") == 1).then_some(())).await;
    system.clients[number_of(&node)].kill();
    let record = system.wait_for_end("killed").await;
    let report = system.report("killed").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
    let stats = stub_stats(&address);
    let counted = ["delay", "login", "private", "logout"].map(|kind| stats.path(kind));
    assert_eq!((counted, stats.unauthorized), ([2, 1, 300, 1], 0), "{:?}", report.events);
    let given_up = told(&report.events, &format!("`before` of group members: node {node} does not answer"));
    assert!(given_up.len() == 1 && given_up[0].message.contains(" does it"), "{:?}", report.events);
    assert_eq!(report.nodes.len(), 2, "{:?}", report.nodes);
    // It was planned anew without the node, and was not done again for that.
    assert_eq!(told(&report.events, "`before` of group members was done").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_is_done_when_a_gate_ends_the_run_and_when_somebody_cancels_it() {
    let _turn = beside_others().await;
    let mut system = System::start(2).await;
    let address = system.start_stub(&[]);
    let failing = members("", "").replace("get: {url: /private,", "get: {url: /status/500,");
    let gate = "gates: [{expression: 'failures < 10%', over: 1s, abort: true}]";
    system.publish(spec("aborted", &address, ("50/s", "60s"), gate, &failing).as_bytes()).await;
    let record = system.wait_for_end("aborted").await;
    assert_eq!(record.verdict, Some(Verdict::Fail), "{record:?}");
    assert_eq!(stub_stats(&address).path("logout"), 1);
    system.publish(spec("cancelled", &address, ("50/s", "60s"), "", &members("", "")).as_bytes()).await;
    system.wait_for_status("cancelled", RunStatus::Running).await;
    assert!(system.output(&["cancel", "cancelled"]).status.success());
    assert_eq!(system.wait_for_end("cancelled").await.status, RunStatus::Cancelled);
    let stats = stub_stats(&address);
    assert_eq!((stats.path("login"), stats.path("logout"), stats.unauthorized), (2, 2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_after_that_fails_is_a_warning_and_changes_no_verdict() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let members = members("", "").replace("post: {url: /logout,", "post: {url: /status/500,");
    system.publish(spec("untidy", &address, ("400/s", "1s"), "", &members).as_bytes()).await;
    let record = system.wait_for_end("untidy").await;
    let report = system.report("untidy").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
    let warnings = told(&report.events, "`after` of group members was not done: groups[0].after: log out failed");
    assert!(warnings.len() == 1 && warnings[0].kind == EventKind::Warning, "{:?}", report.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_takes_a_run_over_has_the_token_for_after() {
    let _turn = beside_others().await;
    let mut system = System::start(2).await;
    let address = system.start_stub(&[]);
    system.publish(spec("inherited", &address, ("100/s", "9s"), "", &members("", "")).as_bytes()).await;
    system.wait_for_requests(300).await;
    system.daemon.as_mut().unwrap().kill();
    system.start_daemon();
    let record = system.wait_for_end("inherited").await;
    let report = system.report("inherited").await;
    assert_eq!((record.status, record.verdict), (RunStatus::Finished, Some(Verdict::Pass)), "{:?}", report.reasons);
    let stats = stub_stats(&address);
    let counted = ["login", "private", "logout"].map(|kind| stats.path(kind));
    assert_eq!((counted, stats.unauthorized), ([1, 900, 1], 0), "{:?}", report.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_cancelled_while_its_before_goes_on_and_its_node_is_free_at_once() {
    let _turn = beside_others().await;
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let members = members("  - {name: wait, get: {url: /delay/1h, timeout: 1h}}\n", "");
    system.publish(spec("unwanted", &address, ("100/s", "3s"), "", &members).as_bytes()).await;
    worker_of(&system, "unwanted").await;
    until("it has begun", async || (stub_stats(&address).path("delay") == 1).then_some(())).await;
    let begun = Instant::now();
    assert!(system.output(&["cancel", "unwanted"]).status.success());
    assert_eq!(system.wait_for_end("unwanted").await.status, RunStatus::Cancelled);
    until("the node is free", async || {
        let nodes = system.nodes().await;
        nodes.iter().all(|node| node.experiment.is_none()).then_some(())
    })
    .await;
    assert!(begun.elapsed() < PATIENCE / 3, "{:?}", begun.elapsed());
    assert_eq!(stub_stats(&address).path("logout"), 0, "what was not done has nothing to clear away");
}

/// The node's side, with the test in the daemon's place.
impl Orders {
    fn once(&self, phase: OncePhase, limit_ns: u64) -> NodeCommand {
        NodeCommand::Once(Box::new(Once {
            experiment: self.experiment.clone(),
            token: self.token,
            attempt: 1,
            spec: self.spec.clone(),
            routes: Vec::new(),
            run_key: 7,
            group: 0,
            phase,
            variables: GivenVariables::default(),
            limit_ns,
        }))
    }
}

const LONG_NS: u64 = 60 * SECOND_NS;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_asked_again_does_it_once_and_gives_everybody_the_same_answer() {
    let _turn = beside_others().await;
    let (system, address) = nodes_alone(1, &[]).await;
    let members = members("  - {name: wait, get: /delay/1s}\n", "  rate: 1/s\n  duration: 1s\n");
    let mut orders = Orders::new(&system, "asked", &address, &format!("- target: http://target/\n{members}"));
    let order = orders.once(OncePhase::Before, LONG_NS);
    let (first, second) = tokio::join!(orders.order(1, &order), orders.order(1, &order));
    let third = orders.order(1, &order).await;
    let NodeReply::Done { variables, .. } = &first else { panic!("{first:?}") };
    assert!(variables.map()["token"].as_str().unwrap().starts_with("stub."));
    assert!(first == second && second == third);
    let stats = stub_stats(&address);
    assert_eq!((stats.path("delay"), stats.path("login")), (1, 1));
    // The other phase is another thing, and fails here: nobody has given it the token.
    let (code, reason) = refusal(orders.order(1, &orders.once(OncePhase::After, LONG_NS)).await);
    assert!(code == RefusalCode::Failed && reason.contains("groups[0].after: log out failed"), "{code:?}: {reason}");
    orders.token -= 1;
    let (code, _) = refusal(orders.order(1, &order_of(&orders)).await);
    assert_eq!(code, RefusalCode::Stale, "a daemon that was replaced");
}

fn order_of(orders: &Orders) -> NodeCommand {
    orders.once(OncePhase::Before, LONG_NS)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_longer_than_it_may_gives_too_much_or_goes_where_the_node_may_not_is_refused_with_the_limit() {
    let _turn = beside_others().await;
    let (mut system, _) = nodes_alone(1, &[]).await;
    let address = system.start_stub(&["--body-bytes", "70000"]);
    let of = |id: &str, before: &str| {
        let load = "rate: 1/s\n  duration: 1s";
        let group = format!("- target: http://target/\n  {load}\n  before:\n  - {before}\n  steps: [{{get: /}}]\n");
        Orders::new(&system, id, &address, &group)
    };
    let slow = of("slow", "{name: wait, get: {url: /delay/1h, timeout: 1h}}");
    let (code, reason) = refusal(slow.order(1, &slow.once(OncePhase::Before, SECOND_NS / 2)).await);
    assert!(code == RefusalCode::Failed && reason.contains("not done within 500ms"), "{code:?}: {reason}");
    let large = of("large", "{name: all, get: {url: /, capture: {all: body}}}");
    let (code, reason) = refusal(large.order(1, &order_of(&large)).await);
    assert!(code == RefusalCode::Failed && reason.contains("more than the 65536"), "{code:?}: {reason}");
    let strange = of("strange", "{name: out, get: 'http://8.8.8.8/'}");
    let (code, reason) = refusal(strange.order(1, &order_of(&strange)).await);
    assert!(code == RefusalCode::Unfit && reason.contains("8.8.8.8"), "{code:?}: {reason}");
    // And the node is free again.
    let fine = of("fine", "{name: ask, get: {url: /status/201, capture: {code: status}}}");
    let reply = fine.order(1, &order_of(&fine)).await;
    let NodeReply::Done { variables, .. } = &reply else { panic!("{reply:?}") };
    assert_eq!(variables.map()["code"], 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_something_once_is_busy_for_others_and_refuses_when_it_is_told_to_end() {
    let _turn = beside_others().await;
    let (system, address) = nodes_alone(1, &[]).await;
    let group = |before: &str| {
        format!("- target: http://target/\n  rate: 1/s\n  duration: 1s\n  before: [{before}]\n  steps: [{{get: /}}]\n")
    };
    let long = Orders::new(&system, "long", &address, &group("{get: {url: /delay/1h, timeout: 1h}}"));
    let other = Orders::new(&system, "other", &address, &group("{get: /}"));
    let order = order_of(&long);
    let asked = long.order(1, &order);
    tokio::pin!(asked);
    let begun = until("it has begun", async || (stub_stats(&address).path("delay") == 1).then_some(()));
    tokio::select! {
        reply = &mut asked => panic!("{reply:?}"),
        () = begun => {}
    }
    for command in [order_of(&other), other.prepare(other.assignments(1, 1))] {
        let (code, reason) = refusal(other.order(1, &command).await);
        assert!(code == RefusalCode::Busy && reason.contains("long"), "{code:?}: {reason}");
    }
    let mut system = system;
    let begun = Instant::now();
    system.clients[0].signal(Signal::TERM);
    let (code, reason) = refusal(asked.await);
    assert!(code == RefusalCode::System && reason.contains("this node ends"), "{code:?}: {reason}");
    until("the node has ended", async || system.clients[0].child.try_wait().unwrap()).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
