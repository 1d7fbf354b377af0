//! Seconds of a run of a small file, and the reports that are made of them: those are beside the other golden files,
//! and are written anew where `NUNCIUS_UPDATE` is set.

use std::path::Path;

use nuncius_schemas::meter::MeterUnit;
use nuncius_schemas::metric::{CheckCount, StatusCount};
use nuncius_schemas::report::MeterSummary;
use nuncius_schemas::second::Distribution;
use nuncius_stats::{Histogram, Totals, second};

use super::*;
use crate::artillery::report::{LocalTime, checks_text, to_json, to_legacy_text, to_text};
use crate::artillery::{Imported, Options, ensure, import};

const FILE: &str = "
config:
  target: http://desk.test:8080
  phases: [{duration: 20, arrivalRate: 10}]
  processor: p.js
  apdex: {threshold: 100}
  plugins: {expect: {}, metrics-by-endpoint: {stripQueryString: true}}
  ensure:
    thresholds: [http.response_time.p95: 200]
    conditions:
    - {expression: vusers.failed < 2}
    - {expression: http.codes.500 == 0, strict: false}
scenarios:
- name: people
  flow:
  - get: {url: '/people/{{ id }}?x=1', expect: [{statusCode: 200}, {hasProperty: a}]}
  - post: {url: /visits, name: visit, capture: {json: $.id, as: id}}
- name: sockets
  engine: socketio
  flow:
  - emit: [hello, 1]
";
const PROCESSOR: &str =
    "exports.f = (c, ee, n) => { ee.emit('counter', 'tokens.new', 1); ee.emit('histogram', 'work', 3); n(); };";

fn imported() -> Imported {
    let mut reader = |_: crate::files::Wanted<'_>| Ok(PROCESSOR.as_bytes().to_vec());
    let file = FILE.replace("flow:\n  - get", "flow:\n  - function: f\n  - get");
    import("run.yaml", file.as_bytes(), &Options::default(), &mut reader).unwrap()
}

fn of_ms(times: impl IntoIterator<Item = u64>) -> Distribution {
    let mut histogram = Histogram::new();
    times.into_iter().for_each(|ms| histogram.record_ns(ms * 1_000_000));
    second::distribution(&Totals::from(&histogram))
}

fn step(name: &str, offered: u64) -> StepSecond {
    StepSecond { name: name.to_owned(), offered, sent: offered, succeeded: offered, ..StepSecond::default() }
}

/// Ten users: six of one scenario, four of the other. In each tenth second one request waits its timeout, another
/// captures nothing.
fn second_of(number: u32) -> ExperimentSecond {
    let is_bad = number % 10 == 3;
    let statuses = |status, count| vec![StatusCount { status, count }];
    let failure = |kind, status| FailureCount { kind, status, count: 1, sample: None };
    let mut people = StepSecond {
        statuses: statuses(200, 6),
        bytes_received: 600,
        service: of_ms((1..=6).map(|ms| ms * 10)),
        checks: vec![
            CheckCount { name: "statusCode 200".to_owned(), passed: 6, failed: 0 },
            CheckCount { name: "hasProperty a".to_owned(), passed: 5, failed: 1 },
            CheckCount { name: "header x".to_owned(), passed: 1, failed: 0 },
        ],
        ..step("people/GET /people/{{ id }}", 6)
    };
    let mut visits = StepSecond { statuses: statuses(201, 6), service: of_ms([100; 6]), ..step("people/visit", 6) };
    if is_bad {
        people.succeeded = 5;
        people.failed = 1;
        people.failures = vec![failure(FailureKind::Timeout, 0)];
        people.statuses = statuses(200, 5);
        people.service = of_ms([10, 20, 30, 40, 50, 10_000]);
        visits.succeeded = 5;
        visits.failed = 1;
        visits.failures = vec![failure(FailureKind::Capture, 201)];
        visits.service = of_ms([100; 5]);
        visits.failed_service = of_ms([500]);
    }
    let bad = u64::from(is_bad) * 2;
    let whole = StepSecond {
        succeeded: 10 - bad,
        failed: bad,
        response: of_ms((0..10 - bad).map(|_| 170)),
        ..step("iteration", 10)
    };
    let emits = StepSecond { service: of_ms([1; 4]), ..step("sockets/emit hello", 4) };
    let names = [step("people/f", 6), people, visits, step("sockets/connect", 4), emits];
    ExperimentSecond {
        experiment: "e".to_owned(),
        second: number,
        first_second: number,
        revision: 0,
        late: false,
        part: 0,
        parts: 1,
        length_ns: 1_000_000_000,
        at_unix_ns: (1_604_952_162 + u64::from(number)) * 1_000_000_000,
        status: nuncius_schemas::run::RunStatus::Running,
        seconds_total: Some(20),
        groups: vec![GroupSecond { steps: numbered(names), iterations: Some(whole), ..GroupSecond::default() }],
        nodes: Vec::new(),
        nodes_left_out: 0,
    }
}

/// Steps with their numbers.
fn numbered(steps: impl IntoIterator<Item = StepSecond>) -> Vec<StepSecond> {
    (0..).zip(steps).map(|(number, step)| StepSecond { step: number, ..step }).collect()
}

fn meter(name: &str, kind: MeterKind) -> MeterReport {
    let values = MeterSummary { count: 4, overflow: 0, min: 1.0, mean: 3.0, max: 7.0, quantiles: vec![(0.5, 3.0)] };
    MeterReport {
        name: name.to_owned(),
        kind,
        unit: MeterUnit::Number,
        sum: 12,
        sum_per_second: 0.6,
        values: (kind == MeterKind::Histogram).then_some(values),
    }
}

fn collected(imported: &Imported) -> ArtilleryMetrics {
    let known: Vec<&str> = imported.origin.steps.iter().map(|step| step.step.as_str()).collect();
    let told: Vec<StepSecond> = second_of(0).groups.remove(0).steps;
    assert_eq!(known, told.iter().map(|step| step.name.as_str()).collect::<Vec<_>>());
    let mut collector = Collector::new(&imported.origin);
    // In any order.
    (0..20).rev().for_each(|number| collector.add(&second_of(number)));
    let mut metrics = collector.finish(None);
    for meter in
        [meter("tokens_new", MeterKind::Counter), meter("work", MeterKind::Histogram), meter("x", MeterKind::Counter)]
    {
        imported.origin.add_meter(&meter, &mut metrics.aggregate);
    }
    metrics
}

#[test]
fn figures_of_seconds_have_the_names_of_artillery_and_add_up() {
    let imported = imported();
    let metrics = collected(&imported);
    let all = &metrics.aggregate;
    for (name, expected) in [
        ("vusers.created", 200),
        ("vusers.completed", 196),
        ("vusers.failed", 4),
        ("vusers.created_by_name.people", 120),
        ("vusers.created_by_name.sockets", 80),
        ("http.requests", 240),
        ("http.responses", 238),
        ("http.codes.200", 118),
        ("http.codes.201", 120),
        ("http.downloaded_bytes", 12_000),
        ("errors.ETIMEDOUT", 2),
        ("errors.Failed capture or match", 2),
        ("plugins.metrics-by-endpoint./people/{{ id }}.codes.200", 118),
        ("plugins.metrics-by-endpoint./people/{{ id }}.errors.ETIMEDOUT", 2),
        ("plugins.metrics-by-endpoint./visits (visit).codes.201", 120),
        ("plugins.expect.ok", 220),
        ("plugins.expect.failed", 20),
        ("plugins.expect.failed.hasProperty", 20),
        ("socketio.emit", 80),
        ("tokens.new", 12),
    ] {
        assert_eq!(all.counted(name), expected, "{name}");
    }
    assert!(!all.counters.keys().any(|name| name.contains("header x")), "only those of the plugin count there");
    assert_eq!(all.rates["http.request_rate"], 12);
    let summary = |name: &str| all.summaries[name];
    // The one that waited its timeout is in none, the one that captured nothing is.
    assert_eq!((summary("http.response_time").count, summary("http.response_time").max), (238, 500.0));
    assert_eq!((summary("http.response_time").min, summary("http.response_time.2xx").count), (10.0, 238));
    assert_eq!(summary("plugins.metrics-by-endpoint.response_time./people/{{ id }}").max, 60.0);
    assert_eq!((summary("vusers.session_length").count, summary("socketio.response_time").count), (196, 80));
    assert_eq!((summary("work").median, summary("work").p99), (3.0, 7.0));
    assert_eq!(metrics.latency.unwrap().count, 318);
    assert_eq!(metrics.times_left_out, 0);
    // From 12:02:42 on, in periods of ten seconds of the clock.
    assert_eq!(
        metrics.periods.iter().map(|period| period.counted("vusers.created")).collect::<Vec<_>>(),
        [80, 100, 20]
    );
    for (name, sum) in &all.counters {
        let of_periods: u64 = metrics.periods.iter().map(|period| period.counted(name)).sum();
        assert!(of_periods == *sum || name == "tokens.new", "{name}");
    }
}

#[test]
fn reports_have_the_forms_of_both_versions() {
    let imported = imported();
    let metrics = collected(&imported);
    let at = LocalTime { unix_ms: 1_604_952_200_000, ahead_minutes: -480 };
    let apdex = imported.origin.apdex(&metrics.aggregate);
    let checked = ensure::check(&imported.ensure, &metrics.aggregate, apdex);
    assert!(!ensure::holds(&checked));
    let text = format!("{}{}", to_text(&metrics, at, 38_000, &imported.origin.hidden), checks_text(&checked, apdex));
    let json = format!("{}\n", serde_json::to_string_pretty(&to_json(&metrics)).unwrap());
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/reports");
    for (name, made) in [("v2.txt", text), ("v2.json", json), ("v1.txt", to_legacy_text(&metrics, at))] {
        let path = directory.join(name);
        if std::env::var_os("NUNCIUS_UPDATE").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        assert_eq!(made, std::fs::read_to_string(&path).unwrap_or_default(), "{name}");
    }
}

#[test]
fn a_run_without_anything_has_a_report_too() {
    let imported = imported();
    let metrics = Collector::new(&imported.origin).finish(None);
    let at = LocalTime { unix_ms: 0, ahead_minutes: 0 };
    assert!(to_text(&metrics, at, 0, &[]).contains("No measurements recorded during this period"));
    assert!(to_legacy_text(&metrics, at).contains("Scenarios launched:  0\n"));
    assert_eq!(to_json(&metrics)["intermediate"], serde_json::json!([]));
    assert_eq!(imported.origin.apdex(&metrics.aggregate), None);
}

#[test]
fn times_of_classes_are_not_told_where_answers_of_several_came_together() {
    let imported = imported();
    let mut mixed = second_of(1);
    mixed.groups[0].steps[1].statuses.push(StatusCount { status: 500, count: 0 });
    let mut collector = Collector::new(&imported.origin);
    collector.add(&mixed);
    collector.add(&second_of(12));
    let metrics = collector.finish(None);
    let has = |metrics: &Metrics| metrics.summaries.keys().any(|name| is_class(name));
    assert_eq!(metrics.periods.iter().map(has).collect::<Vec<_>>(), [false, true]);
    assert!(!has(&metrics.aggregate));
    assert!(metrics.aggregate.summaries.contains_key("http.response_time"));
}

#[test]
fn parts_revisions_and_what_comes_late_are_put_together_in_whatever_order_they_come() {
    let imported = imported();
    let whole = second_of(0);
    let part = |number: u32, steps: std::ops::Range<usize>, has_iterations: bool| {
        let mut part = ExperimentSecond { part: number, parts: 2, revision: 1, ..whole.clone() };
        part.groups[0].steps = whole.groups[0].steps[steps].to_vec();
        part.groups[0].iterations.take_if(|_| !has_iterations);
        part
    };
    let mut older = second_of(3);
    older.second = 0;
    older.at_unix_ns = whole.at_unix_ns;
    let late = ExperimentSecond { late: true, revision: 7, ..whole.clone() };
    let mut collector = Collector::new(&imported.origin);
    for second in [&older, &part(1, 1..5, false), &part(0, 0..1, true), &part(0, 0..1, true), &older, &late] {
        collector.add(second);
    }
    let metrics = collector.finish(None);
    let mut twice = Collector::new(&imported.origin);
    twice.add(&whole);
    let once = twice.finish(None);
    for (name, number) in &once.aggregate.counters {
        assert_eq!(metrics.aggregate.counted(name), 2 * number, "{name}");
    }
    assert_eq!(metrics.aggregate.counters.len(), once.aggregate.counters.len());
    assert_eq!(metrics.aggregate.summaries["http.response_time"].count, 24);
}
