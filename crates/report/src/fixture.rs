//! A small made-up report for tests.

use std::collections::BTreeMap;

use nuncius_schemas::event::{EventKind, ExperimentEvent};
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::metric::{FailureKind, SlowRequest, StatusCount};
use nuncius_schemas::report::{
    FailureReport, FailureSeries, GateReport, GroupReport, HeatMap, Interval, NodeReport, QuantileReport,
    REPORT_SCHEMA, Report, SeriesColumns, SeriesReport, StatusSeries, StepReport, Summary,
};
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_schemas::spec::EngineKind;

/// A summary whose quantiles grow from `base_ns`; those from p99 on are only known from below when some are censored.
pub(crate) fn summary(base_ns: u64, censored: u64) -> Summary {
    let quantiles = [(0.5, 1), (0.9, 2), (0.95, 3), (0.99, 10), (0.999, 40)]
        .into_iter()
        .map(|(quantile, factor)| QuantileReport {
            quantile,
            value_ns: base_ns * factor,
            at_least: censored > 0 && quantile >= 0.99,
            lower_ns: Some(base_ns * factor * 9 / 10),
            upper_ns: Some(base_ns * factor * 11 / 10),
        })
        .collect();
    let curve = (1..200u64)
        .map(|i| {
            let nines = f64::from(u32::try_from(i).unwrap()) / 40.0;
            (1.0 - 10f64.powf(-nines), base_ns / 2 + base_ns * i * i / 900)
        })
        .collect();
    Summary {
        count: 59_998,
        censored,
        overflow: 0,
        min_ns: base_ns / 2,
        mean_ns: base_ns as f64 * 1.2,
        max_ns: base_ns * 45,
        quantiles,
        curve,
    }
}

fn step(name: &str, open: bool) -> StepReport {
    let mut quantities =
        BTreeMap::from([(Quantity::Service, summary(1_150_000, 0)), (Quantity::Blocked, summary(2_100, 0))]);
    if open {
        quantities.insert(Quantity::Response, summary(1_230_000, 2));
        quantities.insert(Quantity::Lag, summary(21_000, 0));
    }
    StepReport {
        name: name.to_owned(),
        is_iteration: false,
        planned: 60_000,
        sent: 60_000,
        succeeded: 59_990,
        failed: 8,
        censored: 2,
        skipped: 0,
        retried: 0,
        redirects: 0,
        held_back: 0,
        backed_off: 0,
        bytes_sent: 6_000_000,
        bytes_received: 120_000_000,
        succeeded_per_second: 999.8,
        bytes_sent_per_second: 100_000.0,
        bytes_received_per_second: 2_000_000.0,
        statuses: vec![StatusCount { status: 200, count: 59_990 }, StatusCount { status: 503, count: 7 }],
        failures: vec![
            FailureReport {
                kind: FailureKind::Status,
                status: 503,
                count: 7,
                sample: Some("upstream is away".to_owned()),
            },
            FailureReport { kind: FailureKind::Timeout, status: 0, count: 1, sample: None },
        ],
        checks: Vec::new(),
        hosts: Vec::new(),
        quantities,
        failed_quantities: BTreeMap::from([(Quantity::Service, summary(500_000, 0))]),
        slowest: vec![
            SlowRequest {
                trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
                span_id: "b7ad6b7169203331".to_owned(),
                response_ns: 812_345_678,
                service_ns: 812_000_000,
                done_ns: 41_250_000_000,
                index: 40_437,
                status: 200,
                failure: None,
                sampled: false,
                node: "edge-2".to_owned(),
            },
            SlowRequest {
                trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
                span_id: "00f067aa0ba902b7".to_owned(),
                response_ns: 512_000_000,
                service_ns: 511_000_000,
                done_ns: 3_000_000_000,
                index: 2_500,
                status: 503,
                failure: Some(FailureKind::Status),
                sampled: true,
                node: "edge-1".to_owned(),
            },
        ],
    }
}

/// A passed run of one open and one closed group over 60 seconds.
pub(crate) fn checkout() -> Report {
    Report {
        schema: REPORT_SCHEMA.to_owned(),
        version: "0.1.0".to_owned(),
        id: "e12".to_owned(),
        name: "checkout".to_owned(),
        creator: Some("alice".to_owned()),
        status: RunStatus::Finished,
        verdict: Some(Verdict::Pass),
        reasons: vec!["every gate held".to_owned()],
        submitted_unix_ms: 1_767_225_590_000,
        started_unix_ms: Some(1_767_225_600_000),
        ended_unix_ms: Some(1_767_225_665_000),
        offered_seconds: 60.0,
        scheduled: 60_000,
        offered: 60_000,
        deficit: 0,
        unaccounted: 0,
        groups: vec![
            GroupReport {
                warm_up: None,
                name: "browse".to_owned(),
                engine: EngineKind::Http,
                target: "http://shop/".to_owned(),
                open: true,
                scheduled: Some(60_000),
                offered: 60_000,
                offered_seconds: 60.0,
                offered_per_second: 1_000.0,
                tls_verified: None,
                steps: vec![step("get", true)],
                cycles: None,
                meters: Vec::new(),
            },
            GroupReport {
                warm_up: None,
                name: "loop".to_owned(),
                engine: EngineKind::Amqp,
                target: "amqp://[redacted]@broker/%2f".to_owned(),
                open: false,
                scheduled: None,
                offered: 60_000,
                offered_seconds: 60.0,
                offered_per_second: 1_000.0,
                tls_verified: Some(false),
                steps: vec![step("publish", false)],
                cycles: None,
                meters: Vec::new(),
            },
        ],
        gates: vec![GateReport {
            gate: "p99(response) < 250ms over any 30s in browse".to_owned(),
            outcome: Verdict::Pass,
            observed: Some(12_300_000.0),
            lower: Some(11_070_000.0),
            upper: Some(13_530_000.0),
            samples: 59_998,
            worst_window_second: Some(30),
            reason: "the upper bound 13.5ms is below 250ms".to_owned(),
        }],
        nodes: vec![node("n1", None), node("n2", Some("no heartbeat for 10 s"))],
        machines: Vec::new(),
        series: vec![series("browse", "get", true), series("loop", "publish", false)],
        series_left_out: 0,
        tracks: Vec::new(),
        profiles: Vec::new(),
        intervals: (0..60).map(interval).collect(),
        search: None,
        sweep: None,
        events: vec![
            event(0, EventKind::Status, "running"),
            event(61_000, EventKind::Warning, "node n2 did not answer for 10 s"),
            event(65_000, EventKind::Status, "finished"),
        ],
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".to_owned()),
        spec: Some(
            serde_json::from_str(
                r#"{"name":"checkout","metadata":{"ticket":"SHOP-12"},
                "groups":[{"name":"browse","target":"http://shop/","rate":"1000/s","duration":"60s"}],
                "gates":["p99(response) < 250ms"]}"#,
            )
            .unwrap(),
        ),
    }
}

fn node(name: &str, lost: Option<&str>) -> NodeReport {
    NodeReport {
        name: name.to_owned(),
        host: format!("host-{name}"),
        version: "0.1.0".to_owned(),
        labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
        clock_offset_ns: Some(-1_500_000_000),
        clock_error_ns: Some(45_000),
        clock_drift_ns: Some(-12_000),
        shards: 128,
        offered: 30_000,
        lag_p99_ns: Some(210_000),
        run_delay_share: 0.004,
        throttled_ns: 0,
        resident_bytes_max: 25_165_824,
        deltas: 60,
        lost: lost.map(str::to_owned),
    }
}

fn event(after_ms: u64, kind: EventKind, message: &str) -> ExperimentEvent {
    ExperimentEvent {
        experiment: "e12".to_owned(),
        at_unix_ms: 1_767_225_600_000 + after_ms,
        kind,
        message: message.to_owned(),
        status: None,
        verdict: None,
        data: BTreeMap::new(),
    }
}

/// A minute of one step, whose latencies swing as those of [`interval`] do; the last row is half a second long.
pub(crate) fn series(group: &str, step: &str, open: bool) -> SeriesReport {
    let rows = 0..60u32;
    let each = |of: fn(&Interval) -> u64| rows.clone().map(|second| of(&interval(second))).collect::<Vec<u64>>();
    let time = |of: fn(&Interval) -> Option<u64>| rows.clone().map(|second| of(&interval(second))).collect::<Vec<_>>();
    let absent = || vec![None; 60];
    let mut lengths = vec![1_000_000_000; 60];
    lengths[59] = 500_000_000;
    let cells = rows.clone().flat_map(|second| [(second, 0, 900), (second, 1, 90), (second, 4, 7)]).collect();
    SeriesReport {
        group: group.to_owned(),
        step: Some(step.to_owned()),
        row_seconds: 1,
        columns: SeriesColumns {
            second: rows.clone().collect(),
            length_ns: lengths.clone(),
            offered_ns: lengths,
            nodes: vec![2; 60],
            scheduled: if open { each(|i| i.offered) } else { Vec::new() },
            offered: each(|i| i.offered),
            sent: each(|i| i.offered),
            succeeded: each(|i| i.succeeded),
            failed: each(|i| i.failed),
            censored: each(|_| 0),
            in_flight: each(|i| i.in_flight),
            retried: each(|_| 0),
            bytes_sent: each(|_| 100_000),
            bytes_received: each(|_| 2_000_000),
            response_p50_ns: if open { time(|i| i.response_p50_ns) } else { absent() },
            response_p95_ns: if open { time(|i| i.response_p95_ns) } else { absent() },
            response_p99_ns: if open { time(|i| i.response_p99_ns) } else { absent() },
            response_max_ns: if open { time(|i| i.response_p99_ns.map(|ns| 2 * ns)) } else { absent() },
            service_p50_ns: time(|i| i.service_p50_ns),
            service_p95_ns: time(|i| i.service_p50_ns.map(|ns| 3 * ns)),
            service_p99_ns: time(|i| i.service_p99_ns),
            service_max_ns: time(|i| i.service_p99_ns.map(|ns| 2 * ns)),
            blocked_p99_ns: time(|i| i.blocked_p99_ns),
            lag_p99_ns: if open { time(|i| i.lag_p99_ns) } else { absent() },
        },
        statuses: vec![
            StatusSeries { status: 200, counts: each(|i| i.succeeded) },
            StatusSeries { status: 503, counts: each(|i| i.failed) },
        ],
        failures: vec![FailureSeries { kind: FailureKind::Status, status: 503, counts: each(|i| i.failed) }],
        heat_map: Some(HeatMap {
            quantity: if open { Quantity::Response } else { Quantity::Service },
            column_seconds: 1,
            row_upper_ns: vec![1_250_000, 1_600_000, 2_000_000, 2_500_000, 3_150_000],
            cells,
        }),
    }
}

/// A second whose latencies swing, with a failure now and then and no lag in every tenth.
pub(crate) fn interval(second: u32) -> Interval {
    let wave = 1.0 + (f64::from(second) / 7.0).sin().abs() * 2.0;
    let ns = |base: f64| Some((base * wave) as u64);
    Interval {
        second,
        offered: 1_000,
        succeeded: 997 + u64::from(second % 3),
        failed: u64::from(second.is_multiple_of(9)) * 2,
        in_flight: 10 + u64::from(second % 5),
        response_p50_ns: ns(1.2e6),
        response_p95_ns: ns(3.6e6),
        response_p99_ns: ns(12.0e6),
        service_p50_ns: ns(1.1e6),
        service_p99_ns: ns(9.0e6),
        blocked_p99_ns: ns(2.0e4),
        lag_p99_ns: if second % 10 == 9 { None } else { ns(1.5e5) },
    }
}
