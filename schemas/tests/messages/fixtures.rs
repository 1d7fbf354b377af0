//! One value of each message type, with every field set to something.

use std::collections::BTreeMap;

use nuncius_schemas::amendment::{Amendment, Change};
use nuncius_schemas::bundle::{AppRecord, AppVersion};
use nuncius_schemas::event::{EventKind, ExperimentEvent};
use nuncius_schemas::fault::{FaultCount, GeneratorFault};
use nuncius_schemas::galileo::{InstructionExperiment, TickExperiment};
use nuncius_schemas::meter::{MeterDelta, MeterKind, MeterUnit};
use nuncius_schemas::metric::{
    CheckCount, FailureCount, FailureKind, Health, HostCount, MetricDelta, RecordsWritten, Shortfall, SlowRequest,
    StatusCount, StepDelta,
};
use nuncius_schemas::node::{
    Capacity, Extend, GivenVariables, GroupAssignment, GroupVariables, Inquire, NodeCommand, NodeInfo, NodeReply, Once,
    OncePhase, Prepare, RefusalCode, Role, ShardRun, Start, Stop, Take,
};
use nuncius_schemas::record::{RecordBatch, RecordOutcome};
use nuncius_schemas::run::{Control, ControlReply, RunNode, RunRecord, RunStatus, SubmitReply, Verdict};
use nuncius_schemas::second::{
    Counts, Distribution, ExperimentSecond, GroupSecond, GroupSums, MeterSecond, NodeSecond, StepSecond,
};
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_schemas::track::TrackDelta;

pub(crate) use super::archive_fixtures::*;
pub(crate) use super::queue_fixtures::*;
use super::route_fixtures::route;

pub(crate) fn map(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

pub(crate) fn experiment() -> ExperimentSpec {
    serde_json::from_str(
        r#"{
        "id": "e-1", "name": "shop", "creator": "me", "metadata": {"purpose": "golden"}, "seed": 7,
        "services": {"shop": ["127.0.0.1:8080", "[::1]:8080"], "broker": ["127.0.0.1:5672"]},
        "bundle": {"digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "name": "shop",
                   "bytes": 4711},
        "nodes": {"count": 2, "labels": {"zone": "a"}, "names": "edge-.*"},
        "groups": [
            {"name": "browse", "target": "https://shop/", "stages": [
                {"duration": "10s", "rate": "0/s", "to": "100/s"}, {"duration": "1m30s", "rate": "20/m"}],
             "rate_per_node": true, "arrivals": "poisson", "max_in_flight": 50, "timeout": "250ms",
             "headers": {"Authorization": "Bearer ${SHOP_TOKEN}"},
             "connections": "per_request",
             "tls": {"verify": false, "ca": "-----BEGIN CERTIFICATE-----", "cert": "-----BEGIN CERTIFICATE-----",
                     "key": "${CLIENT_KEY}", "server_name": "shop.example"},
             "nodes": {"names": "edge-1"},
             "steps": [{"name": "look", "method": "POST", "path": "/a?b=1", "headers": {"X-A": "b"}, "body": "x",
                        "expect": {"status": [200, 404]}}]},
            {"name": "users", "target": "http://shop/", "users": 3, "think_time": "1500ms", "duration": "2h",
             "iterations": 10},
            {"name": "edge", "target": "http://shop/", "duration": "5s",
             "clients": {"count": 3, "interarrival": ["expovariate", 10], "requests": 100}},
            {"name": "messages", "engine": "amqp", "target": "amqp://broker/%2f", "rate": 0.2, "duration": "5s",
             "steps": [{"publish": {"exchange": "", "routing_key": "q", "body": "b", "persistent": true, "declare": true}},
                       {"consume": {"queue": "q", "prefetch": 10}}]}],
        "amendments": [{"at": "3s", "group": "browse", "change": {"rate": "30/s"}},
            {"at": "4s", "change": "pause", "reason": "r", "who": "w"}, {"at": "5s", "change": "resume"}],
        "gates": ["p99(response) < 250ms", "failures <= 1%", "rate > 20/m", "max(lag) < 10ms", "censored < 0.5%",
            {"expression": "p99.9(service) >= 1us", "group": "browse", "step": "look", "over": "5s", "abort": true}],
        "records": "sample", "telemetry": {"nodes": ["edge-*", "db"], "period": "500ms"}, "trace_ratio": 0.25,
        "trace_slowest": 5, "lag_limit": "20ms", "heartbeat_limit": "300ms", "drain": "7s"}"#,
    )
    .unwrap()
}

pub(crate) fn galileo_instructions() -> InstructionExperiment {
    InstructionExperiment {
        instructions: "spawn edge-.* shop 2\nrps edge-.* shop 0.5\nsleep 1m30s\nclose edge-.* shop".into(),
        exp_id: Some("202301010000-abcd".into()),
        creator: Some("me".into()),
        name: Some("golden".into()),
        services: [("shop".to_owned(), vec!["127.0.0.1:80".to_owned()])].into(),
    }
}

pub(crate) fn galileo_ticks() -> TickExperiment {
    nuncius_schemas::codec::decode(
        br#"{"experiment": {"id": "e-2", "name": "golden", "creator": "me"},
        "configuration": {"duration": "1m30s", "interval": 45, "workloads": [{
            "service": "shop", "ticks": [1, 2.5], "clients_per_host": 2, "arrival_pattern": "poisson",
            "client_parameters": {"method": "post", "path": "/p", "kwargs": {
                "headers": {"X-A": "b"}, "json": {"k": [1, null]}, "params": {"q": "a b", "n": 3}, "timeout": "2.5s"}}}]},
        "services": {"shop": ["127.0.0.1:80"]}}"#,
    )
    .unwrap()
}

pub(crate) fn node_info() -> NodeInfo {
    NodeInfo {
        name: "edge-1".into(),
        role: Role::Client,
        labels: map("zone", "a"),
        host: "edge-1.example".into(),
        version: "0.1.0".into(),
        epoch: u64::MAX,
        process_id: 4_711,
        processors: 8,
        memory_bytes: 34_359_738_368,
        capacity: Some(Capacity {
            weight: 100,
            max_rate_per_second: 50_000,
            max_in_flight: 10_000,
            max_duration_seconds: 86_400,
        }),
        allowed_targets: vec!["127.0.0.0/8".into()],
        experiment: Some("e-1".into()),
        worker: Some(worker_info()),
        started_unix_ms: 1_700_000_000_000,
        round_trip_ns: 0,
    }
}

pub(crate) fn node_commands() -> Vec<(&'static str, NodeCommand)> {
    let (experiment, token) = ("e-1".to_owned(), 42);
    let prepare = Prepare {
        experiment: experiment.clone(),
        token,
        attempt: 2,
        spec: self::experiment(),
        routes: vec![route()],
        assignments: vec![GroupAssignment {
            group: 1,
            shards: 512,
            owned: vec![ShardRun { start: 1, step: 2, count: 256 }, ShardRun { start: 0, step: 1, count: 1 }],
            nodes: 2,
        }],
        run_key: 0x0123_4567_89ab_cdef,
        variables: Vec::new(),
    };
    let given = GroupVariables { group: 1, variables: given_variables() };
    let prepare_with_variables = Prepare { variables: vec![given], ..prepare.clone() };
    let once = Once {
        experiment: experiment.clone(),
        token,
        attempt: 2,
        spec: self::experiment(),
        routes: vec![route()],
        run_key: 0x0123_4567_89ab_cdef,
        group: 1,
        phase: OncePhase::After,
        variables: given_variables(),
        limit_ns: 600_000_000_000,
    };
    let start = Start {
        experiment: experiment.clone(),
        token,
        attempt: 2,
        start_at_ns: 123_456_789_012,
        start_unix_ns: 1_700_000_000_000_000_000,
        horizon_ns: 10_000_000_000,
    };
    let extend = Extend {
        experiment: experiment.clone(),
        token,
        attempt: 2,
        horizon_ns: 11_000_000_000,
        acknowledged_sequence: 7,
        amendments: vec![amendment(10), Amendment { change: Change::Pause, ..amendment(11) }],
    };
    let take = Take {
        experiment: experiment.clone(),
        token,
        attempt: 2,
        number: 3,
        from_ns: 12_000_000_000,
        assignments: vec![GroupAssignment {
            group: 1,
            shards: 256,
            owned: vec![ShardRun { start: 69, step: 1, count: 1 }, ShardRun { start: 193, step: 1, count: 2 }],
            nodes: 2,
        }],
        amendments: vec![amendment(10)],
    };
    let inquire = Inquire { experiment: experiment.clone(), token: 43, attempt: 2 };
    let stop = Stop { experiment, token, attempt: 2, drain_ns: 5_000_000_000, reason: "the schedule is over".into() };
    vec![
        ("", NodeCommand::Prepare(Box::new(prepare))),
        ("-variables", NodeCommand::Prepare(Box::new(prepare_with_variables))),
        ("-start", NodeCommand::Start(start)),
        ("-extend", NodeCommand::Extend(extend)),
        ("-stop", NodeCommand::Stop(stop)),
        ("-take", NodeCommand::Take(Box::new(take))),
        ("-inquire", NodeCommand::Inquire(inquire)),
        ("-once", NodeCommand::Once(Box::new(once))),
    ]
}

fn given_variables() -> GivenVariables {
    let value = serde_json::json!({"token": "abc", "ids": [1, 2.5, null], "owner": {"name": "me", "is_new": true}});
    GivenVariables::try_from(value.as_object().unwrap().clone()).unwrap()
}

pub(crate) fn node_replies() -> Vec<(&'static str, NodeReply)> {
    let refused =
        NodeReply::Refused { epoch: 3, code: RefusalCode::Busy, reason: "group 0: rate over --max-rate".into() };
    let standing = NodeReply::Standing {
        epoch: 3,
        attempt: 2,
        is_started: true,
        start_at_ns: 123_456_789_012,
        horizon_ns: 12_000_000_000,
        taken: vec![1, 3],
    };
    let done = NodeReply::Done { epoch: 3, variables: given_variables() };
    vec![("", refused), ("-standing", standing), ("-done", done)]
}

pub(crate) fn metric_delta() -> MetricDelta {
    MetricDelta {
        experiment: "e-1".into(),
        node: "edge-1".into(),
        epoch: 3,
        attempt: 2,
        sequence: 9,
        part: 0,
        parts: 2,
        first_second: 8,
        last_second: 10,
        last: true,
        stopped: Some("no extension".into()),
        shortfall: Some(Shortfall::Stood),
        records: Some(RecordsWritten { batches: 3, rows: 2_500 }),
        steps: vec![StepDelta {
            group: 1,
            step: 2,
            planned: 100,
            sent: 99,
            succeeded: 90,
            failed: 5,
            censored: 5,
            skipped: 6,
            in_flight: 4,
            retried: 1,
            redirects: 7,
            held_back: 3,
            backed_off: 2,
            bytes_sent: 9_900,
            bytes_received: 20_000,
            statuses: vec![StatusCount { status: 200, count: 90 }, StatusCount { status: 503, count: 5 }],
            failures: vec![FailureCount {
                kind: FailureKind::Status,
                status: 503,
                count: 5,
                sample: Some("busy".into()),
            }],
            checks: vec![CheckCount { name: "has a price".into(), passed: 88, failed: 2 }],
            hosts: vec![HostCount { host: "10.0.0.7:8080".into(), succeeded: 80, failed: 1, service_ns: 400_000_000 }],
            lag: vec![1, 2, 255],
            blocked: vec![],
            service: vec![0],
            response: vec![128; 3],
            failed_service: vec![9],
            failed_response: vec![10],
            censored_response: vec![7],
            censored_service: vec![8],
            cycles: vec![(3, 20)],
            slowest: vec![SlowRequest { node: String::new(), ..slow_request() }],
        }],
        tracks: vec![TrackDelta {
            track: "orders".to_owned(),
            publisher: 0x1234_5678_9abc,
            published: vec![[0, 99], [101, 101]],
            messages: 103,
            reordered: 1,
            received: vec![[0, 98], [100, 101]],
        }],
        meters: vec![
            MeterDelta {
                group: 1,
                name: "events".into(),
                kind: MeterKind::Counter,
                unit: MeterUnit::Number,
                sum: 12,
                histogram: Vec::new(),
            },
            MeterDelta {
                group: 1,
                name: "sizes".into(),
                kind: MeterKind::Histogram,
                unit: MeterUnit::Bytes,
                sum: 0,
                histogram: vec![1, 2, 255],
            },
        ],
        health: Some(Health {
            interval_ns: 1_000_000_000,
            run_delay_ns: 2,
            throttled_ns: 3,
            cpu_ns: 4,
            resident_bytes: 5,
            dropped_records: 6,
            slow_consumer: 7,
            heartbeat_late_ns: 8,
            busy_ns: 9,
            faults: vec![FaultCount { fault: GeneratorFault::Ports, count: 10 }],
        }),
    }
}

pub(crate) fn slow_request() -> SlowRequest {
    SlowRequest {
        trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
        span_id: "b7ad6b7169203331".into(),
        response_ns: 812_345_678,
        service_ns: 812_000_000,
        done_ns: 8_900_000_001,
        index: 1_234,
        status: 503,
        failure: Some(FailureKind::Status),
        sampled: true,
        node: "edge-1".into(),
    }
}

pub(crate) fn record_batch() -> RecordBatch {
    RecordBatch {
        experiment: "e-1".into(),
        node: "edge-1".into(),
        epoch: 3,
        attempt: 2,
        sequence: 1,
        last: true,
        group: vec![0, 1],
        step: vec![0, 2],
        index: vec![u64::MAX, 1],
        planned_ns: vec![1_000, 2_000],
        sent_ns: vec![1_100, 0],
        done_ns: vec![9_000, 0],
        status: vec![200, -1],
        outcome: vec![RecordOutcome::Succeeded, RecordOutcome::Censored],
        span_id: vec![0xdead_beef_dead_beef, 0],
        host: vec![1, 0],
        hosts: vec!["10.0.0.7:8080".into()],
    }
}

pub(crate) fn experiment_event() -> ExperimentEvent {
    ExperimentEvent {
        experiment: "e-1".into(),
        at_unix_ms: 1_700_000_000_001,
        kind: EventKind::Status,
        message: "finished".into(),
        status: Some(RunStatus::Finished),
        verdict: Some(Verdict::Pass),
        data: map("node", "edge-1"),
    }
}

pub(crate) fn experiment_second() -> ExperimentSecond {
    let distribution = |ns: u64| Distribution {
        count: 90,
        p50_ns: Some(ns),
        p95_ns: Some(2 * ns),
        p99_ns: Some(3 * ns),
        max_ns: Some(4 * ns),
        histogram: vec![1, 2, 255],
    };
    let counts =
        |offered: u64| Counts { offered, sent: offered - 1, succeeded: 90, failed: 5, censored: 1, skipped: 2 };
    let failure = FailureCount { kind: FailureKind::Status, status: 503, count: 5, sample: Some("busy".into()) };
    let step = |index: u16, name: &str| StepSecond {
        step: index,
        name: name.to_owned(),
        offered: 100,
        sent: 99,
        succeeded: 90,
        failed: 5,
        censored: 1,
        skipped: 2,
        in_flight: 4,
        retried: 1,
        redirects: 3,
        bytes_sent: 9_900,
        bytes_received: 20_000,
        statuses: vec![StatusCount { status: 200, count: 90 }, StatusCount { status: 503, count: 5 }],
        failures: vec![failure.clone()],
        checks: vec![CheckCount { name: "has a price".into(), passed: 88, failed: 2 }],
        hosts: vec![HostCount { host: "10.0.0.7:8080".into(), succeeded: 80, failed: 1, service_ns: 400_000_000 }],
        response: distribution(1_000_000),
        service: distribution(900_000),
        blocked: distribution(50_000),
        lag: distribution(20_000),
        failed_response: distribution(300_000),
        failed_service: distribution(200_000),
        censored_response: distribution(700_000),
        censored_service: distribution(600_000),
        slowest: vec![slow_request()],
        without_histograms: true,
    };
    ExperimentSecond {
        experiment: "e-1".into(),
        second: 9,
        first_second: 8,
        revision: 1,
        late: true,
        part: 1,
        parts: 2,
        length_ns: 1_000_000_000,
        at_unix_ns: 1_700_000_010_000_000_000,
        status: RunStatus::Running,
        seconds_total: Some(100),
        groups: vec![GroupSecond {
            group: 1,
            name: "browse".into(),
            open: true,
            offered_ns: 900_000_000,
            scheduled: Some(101),
            iterations: Some(step(1, "iteration")),
            steps: vec![step(0, "look")],
            so_far: GroupSums { iterations: counts(1_000), requests: counts(1_001), failures: vec![failure] },
            meters: vec![MeterSecond {
                name: "sizes".into(),
                kind: MeterKind::Histogram,
                unit: MeterUnit::Bytes,
                sum: 0,
                sum_so_far: 0,
                values: Distribution {
                    count: 3,
                    p50_ns: Some(5_000),
                    p95_ns: Some(6_000),
                    p99_ns: Some(6_000),
                    max_ns: Some(6_000),
                    histogram: vec![0, 7, 255],
                },
                values_so_far: 30,
            }],
        }],
        nodes_left_out: 0,
        nodes: vec![NodeSecond {
            node: "edge-1".into(),
            offered: 50,
            in_flight: 2,
            lag_p99_ns: Some(80_000),
            run_delay_share: 0.01,
            utilisation: 0.5,
        }],
    }
}

pub(crate) fn run_record() -> RunRecord {
    RunRecord {
        id: "e-1".into(),
        stream_sequence: 12,
        status: RunStatus::Cancelled,
        verdict: Some(Verdict::Undetermined),
        reason: Some("cancelled by me".into()),
        spec: experiment(),
        submitted_unix_ms: 1_700_000_000_000,
        started_unix_ms: Some(1_700_000_001_000),
        ended_unix_ms: None,
        routes: vec![route()],
        route_changes: 2,
        nodes: vec![RunNode { name: "edge-1".into(), epoch: 3 }],
        nodes_left_out: 8_976,
        attempt: 2,
        token: 9,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        store: Some("host-a:/var/lib/nuncius/nuncius.db".to_owned()),
    }
}

pub(crate) fn submit_reply() -> SubmitReply {
    SubmitReply { id: Some("e-1".into()), accepted: false, error: Some("groups: empty".into()) }
}

pub(crate) fn control() -> Control {
    Control::Cancel { reason: "by me".into(), who: None }
}

pub(crate) fn control_reply() -> ControlReply {
    ControlReply { accepted: false, error: Some("it has ended".into()), at_ns: Some(13_000_000_000) }
}

pub(crate) fn app() -> AppRecord {
    AppRecord {
        name: "shop".into(),
        versions: vec![AppVersion {
            digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into(),
            bytes: 4_711,
            unpacked_bytes: 47_110,
            files: 3,
            spec: "experiment.yaml".into(),
            deployed_unix_ms: 1_700_000_000_000,
        }],
    }
}
