//! Telemetry of every process leaves by the bus and the gateway, with nothing but the bus to be reached.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nuncius_schemas::node::Role;
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_schemas::subjects::Signal;
use nuncius_testkit::{Island, LogLine, OtlpReceiver, Span};
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;

use crate::harness::{PATIENCE, Process, System, nuncius, open_spec, until};
use crate::way_out_harness::{Gateway, all_came, came, nothing_waits, publish_spans};

/// The spans of an experiment, by name and service.
const WANTED: [(&str, &str); 8] = [
    ("send nuncius.experiment.submit", "nuncius"),
    ("process nuncius.experiment.submit", "nuncius-experimentd"),
    ("run experiment", "nuncius-experimentd"),
    ("plan experiment", "nuncius-experimentd"),
    ("start experiment", "nuncius-experimentd"),
    ("prepare node", "nuncius-client"),
    ("start node", "nuncius-client"),
    ("GET /", "nuncius-client"),
];

fn has_all(spans: &[Span]) -> bool {
    let has =
        |(name, service): &(&str, &str)| spans.iter().any(|span| span.name == *name && span.service_name == *service);
    WANTED.iter().all(has)
}

fn is_of(line: &LogLine, service: &str) -> bool {
    line.resource.get("service.name").is_some_and(|name| name == service)
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_and_log_lines_of_every_process_reach_the_collector_by_http_and_by_grpc() {
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    for (id, protocol, compression) in
        [("by-http", "http/protobuf", "gzip"), ("by-grpc", "grpc", "gzip"), ("plain", "grpc", "none")]
    {
        let receiver = OtlpReceiver::start().await.unwrap();
        let arguments = ["--otlp-protocol", protocol, "--otlp-compression", compression];
        let mut gateway = Gateway::to(&system, id, &receiver, &arguments);
        let file = system.directory.path().join(format!("{id}.yaml"));
        std::fs::write(&file, open_spec(id, &address, "100/s", "1s", "trace_ratio: 0.5\ngates: ['failures < 20%']"))
            .unwrap();
        let mut command = system.command(&["run", file.to_str().unwrap(), "--quiet"]);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{output:?}");

        // By grpc the first gateway's leftovers may come, too: what counts is the trace of this run.
        let trace_id = system.report(id).await.trace_id.unwrap();
        let mine = |spans: &[Span]| spans.iter().filter(|span| span.trace_id == trace_id).cloned().collect::<Vec<_>>();
        let spans = receiver.wait_for(|spans| has_all(&mine(spans)), PATIENCE).await;
        let spans = mine(&spans.unwrap_or_else(|| panic!("{id}: {:?}", mine(&receiver.spans()))));
        let requests = spans.iter().filter(|span| span.name == "GET /").count();
        assert!(requests > 20, "about half of 100 requests are sampled: {requests}");

        let of_run = |line: &&LogLine| {
            line.attributes.get("nuncius.experiment.id").is_some_and(|experiment| experiment == id)
                && line.trace_id == trace_id
                && !line.span_id.is_empty()
        };
        let told = receiver
            .wait_for_logs(
                |lines| lines.iter().any(|line| of_run(&line) && is_of(line, "nuncius-experimentd")),
                PATIENCE,
            )
            .await;
        assert!(told.is_some(), "{id}: {:?}", receiver.logs());

        // Which incarnation it was that told it.
        let nodes = system.nodes().await;
        let client = nodes.iter().find(|node| node.role == Role::Client).unwrap();
        let span = spans.iter().find(|span| span.name == "start node").unwrap();
        assert_eq!(span.resource["service.instance.id"], format!("{:016x}", client.epoch));
        assert_eq!(
            (span.resource["service.namespace"].as_str(), span.resource["host.name"].as_str()),
            ("nuncius", client.host.as_str())
        );

        nothing_waits(&system.bus).await;
        gateway.process.signal(rustix::process::Signal::TERM);
        until("the gateway has ended", async || gateway.process.child.try_wait().unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_comes_late_hands_on_what_was_told_before_and_two_hand_on_nothing_twice() {
    let system = System::start(0).await;
    let receiver = OtlpReceiver::start().await.unwrap();
    publish_spans(&system.bus, "before", 0..50, 10).await;
    // Small batches, so that neither takes all of it at once.
    let arguments = ["--otlp-batch", "2KiB", "--otlp-signals", "traces"];
    let gateways =
        [Gateway::to(&system, "g1", &receiver, &arguments), Gateway::to(&system, "g2", &receiver, &arguments)];
    all_came(&receiver, "before", 50).await;
    publish_spans(&system.bus, "after", 0..400, 500).await;
    all_came(&receiver, "after", 400).await;
    nothing_waits(&system.bus).await;
    for prefix in ["before", "after"] {
        let repeated: Vec<_> = came(&receiver, prefix).into_iter().filter(|(_, times)| *times > 1).collect();
        assert!(repeated.is_empty(), "{repeated:?}");
    }
    let exported = gateways.each_ref().map(|gateway| gateway.exported(Signal::Traces));
    assert!(exported.iter().all(|count| *count > 0), "both work: {exported:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_are_told_to_make_no_telemetry_make_none() {
    let disabled = vec![("OTEL_SDK_DISABLED".to_owned(), "true".to_owned())];
    let mut system = System::start_with_environment(1, disabled).await;
    let address = system.start_stub(&[]);
    system
        .publish(open_spec("quiet", &address, "50/s", "1s", "trace_ratio: 1.0\ngates: ['failures < 20%']").as_bytes())
        .await;
    assert_eq!(system.wait_for_end("quiet").await.verdict, Some(Verdict::Pass));
    assert_eq!(system.bus.last_sequence(&system.bus.namespace().stream_otlp()).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_leaves_its_spans_on_the_bus_and_one_without_a_bus_waits_for_nobody() {
    let system = System::start(0).await;
    let receiver = OtlpReceiver::start().await.unwrap();
    let _gateway = Gateway::to(&system, "g1", &receiver, &[]);
    let file = system.directory.path().join("submitted.yaml");
    std::fs::write(&file, open_spec("submitted", "127.0.0.1:9", "1/s", "1s", "")).unwrap();
    assert!(system.output(&["submit", file.to_str().unwrap()]).status.success());
    let sent = |spans: &[Span]| spans.iter().any(|span| span.name == "send nuncius.experiment.submit");
    assert!(receiver.wait_for(sent, PATIENCE).await.is_some(), "{:?}", receiver.spans());

    let begun = Instant::now();
    let mut command = nuncius();
    command.arg("--data").arg(system.directory.path().join("nobody")).arg("validate").arg(&file);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_but_the_bus_can_be_reached_spans_and_log_lines_still_arrive() {
    let mut system = System::start(0).await;
    let receiver = OtlpReceiver::start().await.unwrap();
    let island = Island::with_way_to(SocketAddr::from(([127, 0, 0, 1], system.server.port()))).unwrap();
    let url = format!("nats://{}", island.address());
    let put = |arguments: &[&str], log: &str| {
        let mut command: Command = nuncius();
        let data = system.directory.path().join("island");
        command.arg("--data").arg(data).arg("--nats").arg(&url).args(arguments).stdout(Stdio::null());
        command.stderr(std::fs::File::create(system.directory.path().join(log)).unwrap());
        command.env("OTEL_METRIC_EXPORT_INTERVAL", "500");
        Process { child: island.spawn(command).unwrap() }
    };
    let made = system.output(&["queue", "create", "islanders"]);
    assert!(made.status.success(), "{made:?}");
    let stub = put(&["emulator", "stub", "--listen", "127.0.0.1:8089", "--register", "island"], "stub.log");
    let client = put(&["client", "--name", "islander"], "islander.log");
    let worker = put(&["worker", "--queue", "islanders", "--ignore", "/bin/true"], "worker.log");
    let sampler = put(&["telemetry", "--name", "sampler"], "sampler.log");
    system.clients.extend([stub, client, worker, sampler]);
    system.wait_for_nodes(4).await;
    // Nothing else goes out: the receiver is a stranger there.
    let endpoint = receiver.endpoint();
    let mut probe = Command::new("bash");
    let port = endpoint.rsplit_once(':').unwrap().1;
    probe.arg("-c").arg(format!("exec 3<>/dev/tcp/127.0.0.1/{port}")).stderr(Stdio::null());
    assert!(!island.spawn(probe).unwrap().wait().unwrap().success(), "the island has another way out");

    let _gateway = Gateway::to(&system, "g1", &receiver, &["--otlp-protocol", "grpc"]);
    let spec = "id: island\nlag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\ntrace_ratio: 1.0\n\
                gates: ['failures < 20%']\ngroups:\n\
                - {name: requests, target: 'http://island/', rate: 50/s, duration: 1s}\n\
                - {name: jobs, engine: queue, target: 'queue://islanders', users: 1, iterations: 5}\n";
    until("the stub has its name", async || {
        let routes = system.bus.kv(&system.bus.namespace().bucket_route()).await.unwrap();
        routes.get("island").await.unwrap()
    })
    .await;
    system.publish(spec.as_bytes()).await;
    let record = system.wait_for_end("island").await;
    assert_eq!(record.status, RunStatus::Finished, "{:?}", record.reason);
    let wanted = [
        ("start node", "nuncius-client"),
        ("GET /", "nuncius-client"),
        ("send nuncius.job.islanders", "nuncius-client"),
        ("process nuncius.job.islanders", "nuncius-worker"),
    ];
    let has = |spans: &[Span]| {
        wanted
            .iter()
            .all(|(name, service)| spans.iter().any(|span| span.name == *name && span.service_name == *service))
    };
    assert!(receiver.wait_for(has, PATIENCE).await.is_some(), "{:?}", receiver.spans());
    for service in ["nuncius-client", "nuncius-worker", "nuncius-emulator", "nuncius-telemetry"] {
        let told = |lines: &[LogLine]| lines.iter().any(|line| is_of(line, service));
        assert!(receiver.wait_for_logs(told, PATIENCE).await.is_some(), "{service}: {:?}", receiver.logs());
        let of_service = format!("{service:?}");
        let told = |all: &[ResourceMetrics]| all.iter().any(|of| format!("{:?}", of.resource).contains(&of_service));
        assert!(receiver.wait_for_metrics(told, PATIENCE).await.is_some(), "no metrics of {service}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_what_the_collectors_nats_receiver_is_configured_to_read() {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message;

    let system = System::start(1).await;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("deploy/otel/collector.yaml")).unwrap();
    let collector: serde_json::Value = nuncius_schemas::codec::from_text(&text).unwrap();
    let receiver = &collector["receivers"]["nats"];
    // The keys that the receiver has: it refuses others.
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<String>>();
    assert!(
        keys(receiver).iter().all(|key| ["endpoint", "jetstream", "traces", "metrics", "logs"].contains(&key.as_str()))
    );
    assert!(
        keys(&receiver["jetstream"]).iter().all(|key| ["domain", "ack_wait", "max_deliver"].contains(&key.as_str()))
    );
    let names = system.bus.namespace();
    for signal in Signal::ALL {
        let of_signal = &receiver[signal.name()];
        assert_eq!(keys(of_signal), ["durable", "encoding", "stream", "subject"]);
        assert_eq!(of_signal["subject"], names.otlp(signal));
        assert_eq!(of_signal["stream"], names.stream_otlp());
        assert_eq!(of_signal["encoding"], "otlp_proto");
        let pipeline = &collector["service"]["pipelines"][signal.name()];
        assert_eq!(pipeline["receivers"][0], "nats");
        for (kind, all) in [("exporters", &collector["exporters"]), ("processors", &collector["processors"])] {
            for name in pipeline[kind].as_array().unwrap() {
                assert!(all.get(name.as_str().unwrap()).is_some(), "{name} is not configured");
            }
        }
    }
    // As the receiver does it: a durable consumer with the subject as its filter, and the whole body as one request.
    let read = async |signal: Signal| {
        let of_signal = &receiver[signal.name()];
        let field = |name: &str| of_signal[name].as_str().unwrap().to_owned();
        let wait = Duration::from_secs(30);
        let queue = system.bus.work_queue(&field("stream"), &field("durable"), &field("subject"), wait).await;
        let item = queue.unwrap().next().await.unwrap();
        item.ack().await.unwrap();
        item
    };
    let logs = read(Signal::Logs).await;
    assert_eq!(logs.headers.get("Content-Type"), Some("application/x-protobuf"));
    let request = ExportLogsServiceRequest::decode(logs.payload.clone()).unwrap();
    assert!(!request.resource_logs.is_empty() && logs.payload.len() <= 256 << 10);
    let file = system.directory.path().join("spans.yaml");
    std::fs::write(&file, open_spec("spans", "127.0.0.1:9", "1/s", "1s", "")).unwrap();
    assert!(system.output(&["submit", file.to_str().unwrap()]).status.success());
    let request = ExportTraceServiceRequest::decode(read(Signal::Traces).await.payload).unwrap();
    let resource = request.resource_spans[0].resource.as_ref().unwrap();
    assert!(resource.attributes.iter().any(|attribute| attribute.key == "service.name"));
}
