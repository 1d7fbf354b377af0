//! One experiment is one trace across processes.

use std::collections::BTreeMap;

use nuncius_testkit::{OtlpReceiver, Span};

use crate::harness::{PATIENCE, System, open_spec};

#[tokio::test(flavor = "multi_thread")]
async fn one_experiment_is_one_trace_from_the_submission_to_a_sampled_request() {
    let receiver = OtlpReceiver::start().await.unwrap();
    let environment = vec![("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), receiver.endpoint().to_owned())];
    let mut system = System::start_with_environment(2, environment).await;
    let address = system.start_stub(&[]);
    let file = system.directory.path().join("traced.yaml");
    std::fs::write(&file, open_spec("traced", &address, "200/s", "2s", "trace_ratio: 0.2\nrecords: sample")).unwrap();
    let mut command = system.command(&["run", file.to_str().unwrap(), "--quiet"]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");

    let wanted = [
        "send nuncius.experiment.submit",
        "process nuncius.experiment.submit",
        "run experiment",
        "plan experiment",
        "start experiment",
        "prepare node",
        "start node",
        "offer load",
        "GET /",
    ];
    // What was sent later may be exported earlier.
    let is_rooted = |spans: &[Span]| {
        let is_there = |id: &str| id.is_empty() || spans.iter().any(|span| span.span_id == id);
        spans.iter().all(|span| is_there(&span.parent_span_id))
    };
    let has_all =
        |spans: &[Span]| wanted.iter().all(|name| spans.iter().any(|span| span.name == *name)) && is_rooted(spans);
    assert!(receiver.wait_for(has_all, PATIENCE).await.is_some(), "spans: {:?}", receiver.spans());
    let spans = receiver.spans();
    let traces: std::collections::BTreeSet<&String> =
        spans.iter().filter(|span| wanted.contains(&span.name.as_str())).map(|span| &span.trace_id).collect();
    assert_eq!(traces.len(), 1, "one trace: {spans:?}");
    let by_id: BTreeMap<&str, &Span> = spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
    let parent_of = |span: &Span| by_id.get(span.parent_span_id.as_str()).copied();
    let path = |span: &Span| {
        let mut names = vec![span.name.clone()];
        let mut at = span;
        while let Some(parent) = parent_of(at) {
            names.push(parent.name.clone());
            at = parent;
        }
        names.reverse();
        names
    };
    let requests: Vec<&Span> = spans.iter().filter(|span| span.name == "GET /").collect();
    assert!(requests.len() > 40, "about a fifth of 400 requests are sampled: {}", requests.len());
    for request in requests {
        assert_eq!(
            path(request),
            [
                "send nuncius.experiment.submit",
                "process nuncius.experiment.submit",
                "run experiment",
                "start experiment",
                "request nuncius.node.{node}.command",
                "process nuncius.node.{node}.command",
                "start node",
                "offer load",
                "GET /"
            ]
        );
        assert_eq!(request.service_name, "nuncius-client");
    }
    let submission = spans.iter().find(|span| span.name == "send nuncius.experiment.submit").unwrap();
    assert_eq!((submission.service_name.as_str(), submission.parent_span_id.as_str()), ("nuncius", ""));
    let report = system.report("traced").await;
    assert_eq!(report.trace_id.as_deref(), Some(submission.trace_id.as_str()), "the report names the trace");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_one_trace_from_the_client_to_each_attempt_at_it() {
    let receiver = OtlpReceiver::start().await.unwrap();
    let environment = vec![("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), receiver.endpoint().to_owned())];
    let mut system = System::start_with_environment(1, environment).await;
    let made = system.output(&["queue", "create", "traced", "--retry-failures", "--retry-backoff", "50ms"]);
    assert!(made.status.success(), "{made:?}");
    // Fails at the first attempt, and not at the second.
    let been = system.directory.path().join("been").to_str().unwrap().to_owned();
    let script = format!("test -e {been} || {{ touch {been}; exit 3; }}");
    let mut worker = system.command(&["worker", "--queue", "traced", "--ignore", "/bin/sh", "-c", &script]);
    let log = system.directory.path().join("worker.log");
    system.clients.push(crate::harness::Process::start(worker.stdout(std::process::Stdio::null()), &log));
    let file = system.directory.path().join("jobs.yaml");
    let spec = "id: jobs\nlag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\ntrace_ratio: 1\n\
                groups: [{engine: queue, target: 'queue://traced', users: 1, iterations: 1}]\n";
    std::fs::write(&file, spec).unwrap();
    let mut command = system.command(&["run", file.to_str().unwrap(), "--quiet"]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    // One job is too few to say anything of a share of failures.
    assert_eq!(output.status.code(), Some(3), "{output:?}");

    let names = ["send nuncius.job.traced", "wait nuncius.job.traced", "process nuncius.job.traced", "execute sh"];
    let counted = |spans: &[Span]| names.map(|name| spans.iter().filter(|span| span.name == name).count());
    let all = receiver.wait_for(|spans| counted(spans) == [1, 2, 2, 2], PATIENCE).await;
    assert!(all.is_some(), "spans: {:?}", receiver.spans());
    let spans = receiver.spans();
    let of = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let send = of(names[0])[0];
    assert_eq!(send.service_name, "nuncius-client");
    for name in &names[1..] {
        for span in of(name) {
            assert_eq!((&span.trace_id, span.service_name.as_str()), (&send.trace_id, "nuncius-worker"), "{name}");
        }
    }
    let attribute = |span: &Span, key: &str| span.attributes.get(key).cloned().unwrap_or_default();
    for process in of(names[2]) {
        assert_eq!(process.parent_span_id, send.span_id);
        assert_eq!(attribute(process, "messaging.system"), "nats");
        assert_eq!(attribute(process, "messaging.operation.type"), "process");
        assert_eq!(attribute(process, "messaging.destination.name"), "nuncius.job.traced");
    }
    let attempts: std::collections::BTreeSet<String> =
        of(names[2]).iter().map(|span| attribute(span, "nuncius.job.attempt")).collect();
    assert_eq!(attempts, ["1".to_owned(), "2".to_owned()].into());
    for execute in of(names[3]) {
        assert!(of(names[2]).iter().any(|process| process.span_id == execute.parent_span_id), "under an attempt");
    }
    assert!(of(names[1]).iter().all(|wait| wait.parent_span_id == send.span_id));
}
