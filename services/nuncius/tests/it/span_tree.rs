//! The tree of spans of one experiment with all that it may do: names, kinds, parents, links, attributes, and no
//! orphan.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nuncius_schemas::report::Report;
use nuncius_testkit::{OtlpReceiver, Span, spans_in};

use crate::harness::{PATIENCE, Process, System, beside_others};

const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;

/// What spans of one name and kind are to be: whose they are, under what, and what they say.
struct Wanted {
    name: &'static str,
    kind: i32,
    service: &'static str,
    parent: &'static str,
    attributes: &'static [(&'static str, &'static str)],
}

const fn wanted(
    name: &'static str,
    kind: i32,
    service: &'static str,
    parent: &'static str,
    attributes: &'static [(&'static str, &'static str)],
) -> Wanted {
    Wanted { name, kind, service, parent, attributes }
}

const SUBMIT: &str = "nuncius.experiment.submit";
const COMMAND: &str = "nuncius.node.{node}.command";
const OCO: &str = "nuncius.oco.{account}.{app}.servo";
const ROUTE: &str = "/accounts/{account}/applications/{app}/servo";

/// Every span there may be.
const TREE: &[Wanted] = &[
    wanted(
        "send nuncius.experiment.submit",
        PRODUCER,
        "nuncius",
        "",
        &[
            ("messaging.system", "nats"),
            ("messaging.operation.name", "send"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", SUBMIT),
        ],
    ),
    wanted(
        "process nuncius.experiment.submit",
        CONSUMER,
        "nuncius-experimentd",
        "send nuncius.experiment.submit",
        &[
            ("messaging.system", "nats"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", SUBMIT),
        ],
    ),
    wanted(
        "run experiment",
        INTERNAL,
        "nuncius-experimentd",
        "process nuncius.experiment.submit",
        &[("nuncius.experiment.id", "tree")],
    ),
    wanted("plan experiment", INTERNAL, "nuncius-experimentd", "run experiment", &[]),
    wanted("start experiment", INTERNAL, "nuncius-experimentd", "run experiment", &[]),
    wanted(
        "request nuncius.node.{node}.command",
        CLIENT,
        "nuncius-experimentd",
        "start experiment",
        &[
            ("messaging.system", "nats"),
            ("messaging.operation.name", "request"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.template", COMMAND),
        ],
    ),
    wanted(
        "process nuncius.node.{node}.command",
        SERVER,
        "nuncius-client",
        "request nuncius.node.{node}.command",
        &[
            ("messaging.system", "nats"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.template", COMMAND),
        ],
    ),
    wanted("prepare node", INTERNAL, "nuncius-client", "process nuncius.node.{node}.command", &[]),
    wanted("start node", INTERNAL, "nuncius-client", "process nuncius.node.{node}.command", &[]),
    wanted("offer load", INTERNAL, "nuncius-client", "start node", &[("nuncius.experiment.id", "tree")]),
    wanted(
        "GET /",
        CLIENT,
        "nuncius-client",
        "offer load",
        &[
            ("http.request.method", "GET"),
            ("http.response.status_code", "200"),
            ("url.template", "/"),
            ("server.address", "target"),
            ("nuncius.group", "web"),
            ("nuncius.step", "look"),
        ],
    ),
    wanted(
        "POST /status/503",
        CLIENT,
        "nuncius-client",
        "offer load",
        &[
            ("http.request.method", "POST"),
            ("http.response.status_code", "503"),
            ("url.full", "http://target/status/503"),
            ("nuncius.step", "break"),
        ],
    ),
    wanted(
        "GET",
        SERVER,
        "nuncius-emulator",
        "GET /",
        &[("http.request.method", "GET"), ("http.response.status_code", "200"), ("url.path", "/")],
    ),
    wanted(
        "POST",
        SERVER,
        "nuncius-emulator",
        "POST /status/503",
        &[("http.response.status_code", "503"), ("error.type", "503")],
    ),
    wanted(
        "send nuncius.job.tree",
        PRODUCER,
        "nuncius-client",
        "offer load",
        &[
            ("messaging.system", "nats"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", "nuncius.job.tree"),
        ],
    ),
    wanted("wait nuncius.job.tree", INTERNAL, "nuncius-worker", "send nuncius.job.tree", &[]),
    wanted(
        "receive nuncius.job.tree",
        CLIENT,
        "nuncius-worker",
        "send nuncius.job.tree",
        &[("messaging.operation.type", "receive")],
    ),
    wanted(
        "process nuncius.job.tree",
        CONSUMER,
        "nuncius-worker",
        "send nuncius.job.tree",
        &[("messaging.operation.type", "process"), ("nuncius.job.outcome", "succeeded")],
    ),
    wanted("execute true", INTERNAL, "nuncius-worker", "process nuncius.job.tree", &[("process.exit.code", "0")]),
    wanted(
        "send nuncius.record.tree",
        PRODUCER,
        "nuncius-worker",
        "process nuncius.job.tree",
        &[("messaging.operation.type", "send"), ("messaging.destination.name", "nuncius.record.tree")],
    ),
    wanted(
        "ack nuncius.job.tree",
        CLIENT,
        "nuncius-worker",
        "process nuncius.job.tree",
        &[("messaging.operation.name", "ack"), ("messaging.operation.type", "settle")],
    ),
    wanted(
        "process nuncius.result.tree",
        CONSUMER,
        "nuncius-client",
        "send nuncius.record.tree",
        &[("messaging.operation.type", "process"), ("messaging.destination.name", "nuncius.result.tree")],
    ),
    wanted(
        "POST /accounts/{account}/applications/{app}/servo",
        CLIENT,
        "nuncius-client",
        "offer load",
        &[("http.request.method", "POST"), ("http.response.status_code", "200"), ("url.template", ROUTE)],
    ),
    wanted(
        "POST /accounts/{account}/applications/{app}/servo",
        SERVER,
        "nuncius-emulator",
        "POST /accounts/{account}/applications/{app}/servo",
        &[("http.route", ROUTE), ("http.response.status_code", "200")],
    ),
    wanted(
        "request nuncius.oco.{account}.{app}.servo",
        CLIENT,
        "nuncius-client",
        "offer load",
        &[("messaging.operation.name", "request"), ("messaging.destination.template", OCO)],
    ),
    wanted(
        "process nuncius.oco.{account}.{app}.servo",
        SERVER,
        "nuncius-emulator",
        "request nuncius.oco.{account}.{app}.servo",
        &[("messaging.operation.type", "process"), ("messaging.destination.template", OCO)],
    ),
    wanted(
        "process nuncius.metric.{experiment}.{node}",
        CONSUMER,
        "nuncius-experimentd",
        "run experiment",
        &[("messaging.operation.type", "process"), ("nuncius.experiment.id", "tree")],
    ),
    wanted(
        "process nuncius.trace.{experiment}.{node}",
        CONSUMER,
        "nuncius-experimentd",
        "run experiment",
        &[("messaging.operation.type", "process"), ("nuncius.experiment.id", "tree")],
    ),
];

/// Those that are under no span that has come.
fn orphans(spans: &[Span]) -> Vec<&Span> {
    let known: BTreeSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
    spans
        .iter()
        .filter(|span| !span.parent_span_id.is_empty() && !known.contains(span.parent_span_id.as_str()))
        .collect()
}

fn of<'a>(spans: &'a [Span], name: &str, kind: i32) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name && span.kind == kind).collect()
}

fn attribute<'a>(span: &'a Span, key: &str) -> &'a str {
    span.attributes.get(key).map_or("", String::as_str)
}

/// Starts a process that says where it listens; its address.
fn start_listening(system: &System, arguments: &[&str]) -> (Process, String) {
    let mut command = system.command(arguments);
    let log = system.directory.path().join(format!("{}.log", arguments[1]));
    let mut process = Process::start(command.stdout(Stdio::piped()), &log);
    let mut line = String::new();
    BufReader::new(process.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address =
        line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_else(|| panic!("{line}"));
    (process, address.to_owned())
}

/// A worker of queue `tree`, which is made.
fn start_worker(system: &mut System) {
    let made = system.output(&["queue", "create", "tree"]);
    assert!(made.status.success(), "{made:?}");
    let log = system.directory.path().join("worker.log");
    let mut worker = system.command(&["worker", "--queue", "tree", "--ignore", "/bin/true"]);
    system.clients.push(Process::start(worker.stdout(Stdio::null()), &log));
}

const HEAD: &str = "lag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_over_http_jobs_and_emulators_is_one_tree_without_an_orphan() {
    let _machine = beside_others().await;
    let receiver = OtlpReceiver::start().await.unwrap();
    let environment = vec![("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), receiver.endpoint().to_owned())];
    let mut system = System::start_with_environment(2, environment).await;
    let (_stub, stub) = start_listening(&system, &["emulator", "stub", "--listen", "127.0.0.1:0"]);
    let (_oco, oco) = start_listening(&system, &["emulator", "oco", "--http", "127.0.0.1:0"]);
    start_worker(&mut system);
    let servo = "measure: 100ms, adjust: 100ms, progress_interval: 50ms, start_spread: 100ms";
    let spec = format!(
        "id: tree\n{HEAD}trace_ratio: 1\nrecords: all\nservices: {{target: ['{stub}'], oco: ['{oco}']}}\ngroups:\n\
         - {{name: web, target: 'http://target/', users: 2, iterations: 6, steps: [{{name: look}}, \
           {{name: break, method: POST, path: /status/503, expect: {{status: [503]}}}}]}}\n\
         - {{name: jobs, engine: queue, target: 'queue://tree', users: 1, iterations: 2}}\n\
         - {{name: servos, engine: servo, target: 'http://oco/', users: 2, duration: 1500ms, servo: {{{servo}}}}}\n\
         - {{name: bus, engine: servo, target: 'nats://oco', users: 1, duration: 1500ms, \
           servo: {{app_template: 'other{{n}}', {servo}}}}}\n"
    );
    let file = system.directory.path().join("tree.yaml");
    std::fs::write(&file, spec).unwrap();
    let mut command = system.command(&["run", file.to_str().unwrap(), "--quiet"]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let report = system.report("tree").await;
    let trace_id = report.trace_id.clone().unwrap_or_else(|| panic!("{output:?}"));

    let in_trace =
        |spans: &[Span]| -> Vec<Span> { spans.iter().filter(|span| span.trace_id == trace_id).cloned().collect() };
    let has_all = |spans: &[Span]| {
        let spans = in_trace(spans);
        TREE.iter().all(|wanted| !of(&spans, wanted.name, wanted.kind).is_empty()) && orphans(&spans).is_empty()
    };
    let all = receiver.wait_for(has_all, PATIENCE).await;
    let spans = in_trace(&receiver.spans());
    let missing: Vec<_> = TREE
        .iter()
        .filter(|wanted| of(&spans, wanted.name, wanted.kind).is_empty())
        .map(|wanted| wanted.name)
        .collect();
    assert!(all.is_some(), "missing {missing:?}, orphans {:?}", orphans(&spans));

    let by_id: BTreeMap<&str, &Span> = spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
    assert_eq!(by_id.len(), spans.len(), "no id comes twice");
    for span in &spans {
        let wanted = TREE.iter().find(|wanted| wanted.name == span.name && wanted.kind == span.kind);
        let wanted = wanted.unwrap_or_else(|| panic!("not of the tree: {span:?}"));
        assert_eq!(span.service_name, wanted.service, "{span:?}");
        assert_eq!(by_id.get(span.parent_span_id.as_str()).map_or("", |parent| parent.name.as_str()), wanted.parent);
        for (key, value) in wanted.attributes {
            assert_eq!(attribute(span, key), *value, "{key} of {span:?}");
        }
        assert!(span.start_ns <= span.end_ns && span.start_ns > 0, "{span:?}");
    }
    // Each command has been given to each node that takes part, and answered.
    let commands: BTreeSet<(&str, &str)> = of(&spans, "process nuncius.node.{node}.command", SERVER)
        .iter()
        .map(|span| (attribute(span, "messaging.destination.name"), attribute(span, "nuncius.command")))
        .collect();
    let offered = of(&spans, "offer load", INTERNAL);
    for node in &report.nodes {
        let subject = format!("nuncius.node.{}.command", node.name);
        for command in ["prepare", "start"] {
            assert!(commands.contains(&(subject.as_str(), command)), "{command} of {subject}: {commands:?}");
        }
        assert!(offered.iter().any(|span| attribute(span, "nuncius.node") == node.name), "{}", node.name);
    }
    // What is worked on in batches is linked to, node by node.
    for batch in ["process nuncius.metric.{experiment}.{node}", "process nuncius.trace.{experiment}.{node}"] {
        let [batch] = of(&spans, batch, CONSUMER)[..] else { panic!("one {batch}") };
        let linked: BTreeSet<&str> = batch.links.iter().map(|(_, span_id)| span_id.as_str()).collect();
        let nodes: BTreeSet<&str> = offered.iter().map(|span| span.span_id.as_str()).collect();
        assert_eq!(linked, nodes);
        assert!(attribute(batch, "messaging.batch.message_count").parse::<u64>().unwrap() >= nodes.len() as u64);
    }
    // At a ratio of 1 nothing is missing: the tree counts what the report counts.
    let count = |group: usize, step: usize| report.groups[group].steps[step].succeeded as usize;
    for (name, kind, counted) in [
        ("GET /", CLIENT, count(0, 0)),
        ("GET", SERVER, count(0, 0)),
        ("POST /status/503", CLIENT, count(0, 1)),
        ("send nuncius.job.tree", PRODUCER, count(1, 0)),
        ("process nuncius.result.tree", CONSUMER, count(1, 0)),
    ] {
        assert_eq!(of(&spans, name, kind).len(), counted, "{name}");
    }
    assert_eq!((count(0, 0), count(1, 0)), (6, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slowest_of_each_second_are_traced_though_nothing_is_sampled_and_reports_lead_to_them() {
    let _machine = beside_others().await;
    let receiver = OtlpReceiver::start().await.unwrap();
    let environment = vec![("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), receiver.endpoint().to_owned())];
    let system = System::start_with_environment(1, environment).await;
    let (_stub, stub) = start_listening(&system, &["emulator", "stub", "--listen", "127.0.0.1:0"]);
    let spec = format!(
        "id: slow\n{HEAD}trace_ratio: 0\ntrace_slowest: 2\ngates: ['failures < 50%']\nservices: {{target: ['{stub}']}}\ngroups:\n\
         - {{name: fast, target: 'http://target/', rate: 50/s, duration: 2s}}\n\
         - {{name: slow, target: 'http://target/delay/200ms', rate: 5/s, duration: 2s}}\n"
    );
    let file = system.directory.path().join("slow.yaml");
    std::fs::write(&file, spec).unwrap();
    let mut command = system.command(&["run", file.to_str().unwrap(), "--quiet"]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let report = system.report("slow").await;
    let trace_id = report.trace_id.clone().unwrap();
    let has_ended = |spans: &[Span]| spans.iter().any(|span| span.name == "offer load");
    assert!(receiver.wait_for(has_ended, PATIENCE).await.is_some());
    let spans = receiver.spans();
    let [offered] = of(&spans, "offer load", INTERNAL)[..] else { panic!("{spans:?}") };
    assert!(of(&spans, "GET", SERVER).is_empty(), "the target was told of no trace");
    for (group, name) in [(0, "GET /"), (1, "GET /delay/200ms")] {
        let told = of(&spans, name, CLIENT);
        // Two of each of the two seconds, and of what the drain made of a third.
        assert!((2..=6).contains(&told.len()), "{name}: {}", told.len());
        for span in &told {
            assert_eq!((&span.trace_id, &span.parent_span_id), (&trace_id, &offered.span_id));
            assert_eq!(attribute(span, "nuncius.sampling"), "slowest");
        }
        let step = &report.groups[group].steps[0];
        assert_eq!(step.slowest.len(), told.len(), "{name}");
        assert!(step.slowest.is_sorted_by(|a, b| a.response_ns >= b.response_ns));
        for slow in &step.slowest {
            let span = told.iter().find(|span| span.span_id == slow.span_id).unwrap();
            assert_eq!(span.end_ns - span.start_ns, slow.service_ns, "{slow:?}");
            assert_eq!((slow.trace_id.as_str(), slow.sampled, slow.node.as_str()), (trace_id.as_str(), false, "n1"));
        }
        let max_ns = step.quantities[&nuncius_schemas::gate::Quantity::Response].max_ns;
        let slowest_ns = step.slowest[0].response_ns;
        assert!(slowest_ns.abs_diff(max_ns) * 50 <= max_ns, "within a bucket: {slowest_ns} and {max_ns}");
    }
    let slow = &report.groups[1].steps[0].slowest[0];
    let link = format!("http://jaeger:16686/trace/{trace_id}?uiFind={}", slow.span_id);
    let page = system.directory.path().join("slow.html");
    let arguments = ["report", "slow", "--html", page.to_str().unwrap(), "--jaeger-url", "http://jaeger:16686"];
    let text = system.output(&arguments);
    assert!(String::from_utf8_lossy(&text.stdout).contains(&link), "{text:?}");
    assert!(std::fs::read_to_string(page).unwrap().contains(&format!("href=\"{link}\"")));
    let json = system
        .command(&["report", "slow", "--json"])
        .env("NUNCIUS_JAEGER_URL", "http://jaeger:16686")
        .output()
        .unwrap();
    let read: Report = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(read, report);
    assert!(String::from_utf8_lossy(&json.stdout).contains(&link));
    let refused = system.output(&["report", "slow", "--jaeger-url", "javascript:alert(1)"]);
    assert_eq!(refused.status.code(), Some(64), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_tell_how_sampled_jobs_went_through_them_where_that_was_asked_for() {
    let _machine = beside_others().await;
    let receiver = OtlpReceiver::start().await.unwrap();
    let environment = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), receiver.endpoint().to_owned()),
        ("NUNCIUS_TRACE_HOPS".to_owned(), "true".to_owned()),
    ];
    let mut system = System::start_with_environment(1, environment).await;
    let (_gateway, _) = start_listening(&system, &["gateway", "--listen", "127.0.0.1:0"]);
    let mut exported = system.bus.subscribe("nuncius.otlp.traces").await.unwrap();
    system.bus.flush().await.unwrap();
    start_worker(&mut system);
    let spec = format!(
        "id: hops\n{HEAD}trace_ratio: 1\n\
         groups: [{{engine: queue, target: 'queue://tree', users: 1, iterations: 2}}]\n"
    );
    let file = system.directory.path().join("hops.yaml");
    std::fs::write(&file, spec).unwrap();
    let mut command = system.command(&["run", file.to_str().unwrap(), "--quiet"]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let trace_id = system.report("hops").await.trace_id.unwrap_or_else(|| panic!("{output:?}"));
    // What the worker has sent may be exported after the client's.
    let has_ended = |spans: &[Span]| {
        let records = spans.iter().filter(|span| span.name == "send nuncius.record.tree");
        of(spans, "process nuncius.result.tree", CONSUMER).len() == 2 && records.count() == 2
    };
    assert!(receiver.wait_for(has_ended, PATIENCE).await.is_some());
    let sent: BTreeMap<String, Span> = receiver.spans().into_iter().map(|span| (span.span_id.clone(), span)).collect();

    let mut hops: Vec<Span> = Vec::new();
    let is_whole = |hops: &[Span]| {
        // A record is told under the same span once it is stored.
        let stored = |name: &str, subjects: &str| {
            let under = |hop: &Span| sent.get(&hop.parent_span_id).is_some_and(|parent| parent.name == name);
            let is_of = |hop: &Span| attribute(hop, "messaging.destination.name").starts_with(subjects);
            hops.iter().filter(|hop| hop.name == "nats ingress" && is_of(hop) && under(hop)).count()
        };
        let jobs = stored("send nuncius.job.tree", "nuncius.job.");
        jobs == 2 && stored("send nuncius.record.tree", "nuncius.record.") == 2
    };
    tokio::time::timeout(PATIENCE, async {
        while !is_whole(&hops) {
            hops.extend(spans_in(&exported.next().await.unwrap().payload));
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{hops:?}"));
    for ingress in hops.iter().filter(|hop| hop.name == "nats ingress") {
        assert_eq!((&ingress.trace_id, ingress.service_name.as_str()), (&trace_id, "nats-server"));
        let Some(parent) = sent.get(&ingress.parent_span_id) else { continue };
        // Laid where it was sent, whatever the server's clock says.
        assert!(parent.start_ns <= ingress.start_ns && ingress.start_ns <= parent.end_ns, "{parent:?} {ingress:?}");
        if parent.name == "send nuncius.job.tree" {
            let within = |hop: &&Span| hop.parent_span_id == ingress.span_id && hop.name == "nats store";
            let [store] = hops.iter().filter(within).collect::<Vec<_>>()[..] else { panic!("{hops:?}") };
            assert_eq!(attribute(store, "nats.stream"), "nuncius_job_tree");
        }
    }
    // Telemetry is none of it.
    assert!(hops.iter().all(|hop| !attribute(hop, "messaging.destination.name").starts_with("nuncius.metric.")));
}
