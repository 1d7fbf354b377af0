use nuncius_metrics::{Families, Value};
use nuncius_schemas::meter::{MeterKind, MeterUnit};
use nuncius_schemas::metric::{CheckCount, FailureCount, SlowRequest, StatusCount};
use nuncius_schemas::second::{Distribution, GroupSums, MeterSecond};
use nuncius_schemas::spec::{ExperimentSpec, Group, Step};
use nuncius_stats::second::distribution;
use nuncius_stats::{Histogram, Totals};
use proptest::prelude::*;

use super::*;

fn record(steps: usize) -> RunRecord {
    let group = Group {
        rate: Some("10/s".parse().unwrap()),
        steps: (0..steps).map(|number| Step { name: Some(format!("s{number}")), ..Step::default() }).collect(),
        ..Group::of_target("http://stub/".to_owned())
    };
    let spec = ExperimentSpec::of_groups(vec![group]);
    RunRecord {
        id: "e1".to_owned(),
        stream_sequence: 1,
        status: RunStatus::Running,
        verdict: None,
        reason: None,
        spec,
        submitted_unix_ms: 1_700_000_000_000,
        started_unix_ms: Some(1_700_000_001_000),
        ended_unix_ms: None,
        routes: Vec::new(),
        route_changes: 0,
        nodes: Vec::new(),
        nodes_left_out: 0,
        attempt: 1,
        token: 1,
        traceparent: None,
        store: None,
    }
}

/// A step that made so many requests, some of which failed, each as long as its number says.
fn step(index: u16, ended: u64, failed: u64) -> StepSecond {
    let mut histogram = Histogram::new();
    (0..ended - failed).for_each(|number| histogram.record_ns(number * 1_000_000 + 500));
    let failures =
        (failed > 0).then_some(FailureCount { kind: FailureKind::Connect, status: 0, count: failed, sample: None });
    StepSecond {
        step: index,
        name: format!("s{index}"),
        offered: ended,
        sent: ended - failed,
        succeeded: ended - failed,
        failed,
        in_flight: 3,
        bytes_sent: 10 * ended,
        statuses: vec![StatusCount { status: 200, count: ended - failed }],
        failures: failures.into_iter().collect(),
        response: distribution(&Totals::from(&histogram)),
        ..StepSecond::default()
    }
}

fn second(number: u32, revision: u32, steps: Vec<StepSecond>) -> ExperimentSecond {
    let group = GroupSecond {
        group: 0,
        name: "main".to_owned(),
        open: true,
        offered_ns: 1_000_000_000,
        scheduled: Some(10),
        // The only step is the iteration, too.
        iterations: if steps.len() > 1 { steps.first().cloned() } else { None },
        steps,
        ..GroupSecond::default()
    };
    ExperimentSecond {
        experiment: "e1".to_owned(),
        second: number,
        first_second: number,
        revision,
        late: false,
        part: 0,
        parts: 1,
        length_ns: 1_000_000_000,
        at_unix_ns: 1_700_000_001_000_000_000 + u64::from(number) * 1_000_000_000,
        status: RunStatus::Running,
        seconds_total: Some(5),
        groups: vec![group],
        nodes: vec![NodeSecond { node: "n1".to_owned(), offered: 10, in_flight: 3, ..NodeSecond::default() }],
        nodes_left_out: 0,
    }
}

fn run(steps: usize, told: &[ExperimentSecond]) -> Run {
    let mut run = Run::new(&record(steps), 1_000);
    told.iter().for_each(|second| run.second(second));
    run
}

/// The sum of a family's series whose labels have all of these values.
fn sum(families: &Families, name: &str, labels: &[&str]) -> u64 {
    let Some(family) = families.get(name) else { return 0 };
    let chosen =
        family.series.iter().filter(|series| labels.iter().all(|label| series.labels.iter().any(|of| of == label)));
    chosen
        .map(|series| match &series.value {
            Value::Count(count) => *count,
            Value::Number(number) => *number as u64,
            Value::Distribution(distribution) => distribution.count(),
        })
        .sum()
}

const REQUESTS: &str = "nuncius_experiment_requests_total";
const RESPONSE: &str = "nuncius_experiment_response_seconds";

#[test]
fn before_anything_happens_there_are_zeros_for_what_will_be_counted() {
    let families = run(2, &[]).families();
    for (name, series) in [
        (REQUESTS, 8),
        ("nuncius_experiment_offered_requests_total", 2),
        ("nuncius_experiment_scheduled_iterations_total", 1),
        ("nuncius_experiment_iterations_total", 4),
        ("nuncius_experiment_failures_total", 16),
        (RESPONSE, 2),
        ("nuncius_experiment_events_total", 7),
    ] {
        let family = families.get(name).unwrap();
        assert_eq!(family.series.len(), series, "{name}");
        assert_eq!(sum(&families, name, &[]), 0, "{name}");
    }
    assert_eq!(sum(&families, "nuncius_phase_info", &["running"]), 1);
}

#[test]
fn what_is_told_again_counts_once_and_a_revision_adds_what_it_has_more() {
    let first = second(0, 0, vec![step(0, 8, 1)]);
    let revised = second(0, 1, vec![step(0, 10, 2)]);
    let whole = run(1, &[first.clone(), revised.clone()]).families();
    let again = run(1, &[first.clone(), first.clone(), revised.clone(), first, revised.clone()]).families();
    assert_eq!(whole, again);
    assert_eq!(sum(&whole, REQUESTS, &["succeeded"]), 8);
    assert_eq!(sum(&whole, REQUESTS, &["failed"]), 2);
    assert_eq!(sum(&whole, "nuncius_experiment_failures_total", &["connect", "0"]), 2);
    assert_eq!(sum(&whole, "nuncius_experiment_answers_total", &["200"]), 8);
    assert_eq!(sum(&whole, RESPONSE, &[]), 8);
    assert_eq!(sum(&whole, "nuncius_experiment_scheduled_iterations_total", &[]), 10);
    assert_eq!(sum(&whole, "nuncius_experiment_node_offered_iterations_total", &["n1"]), 10);
    assert_eq!(whole, run(1, &[revised]).families());
}

#[test]
fn checks_redirects_and_what_was_skipped_are_counted_once_beside_the_outcomes() {
    let told = |revision: u32, times: u64| {
        let checks = vec![CheckCount { name: "has a price".to_owned(), passed: times, failed: 2 * times }];
        let step = StepSecond { offered: 8 + times, skipped: times, redirects: times, checks, ..step(0, 8, 1) };
        second(0, revision, vec![step])
    };
    let families = run(1, &[told(0, 1), told(1, 3), told(1, 3)]).families();
    assert_eq!(sum(&families, REQUESTS, &["skipped"]), 3);
    assert_eq!(sum(&families, "nuncius_experiment_redirects_total", &["s0"]), 3);
    assert_eq!(sum(&families, "nuncius_experiment_checks_total", &["s0", "has a price", "passed"]), 3);
    assert_eq!(sum(&families, "nuncius_experiment_checks_total", &["s0", "has a price", "failed"]), 6);
}

#[test]
fn another_daemon_that_knows_less_of_a_second_at_first_takes_nothing_back_and_adds_nothing_twice() {
    let told =
        [second(0, 0, vec![step(0, 10, 0)]), second(0, 0, vec![step(0, 4, 0)]), second(0, 1, vec![step(0, 10, 0)])];
    for count in 1..=told.len() {
        assert_eq!(sum(&run(1, &told[..count]).families(), REQUESTS, &[]), 10, "{count}");
        assert_eq!(sum(&run(1, &told[..count]).families(), RESPONSE, &[]), 10, "{count}");
    }
}

#[test]
fn late_pieces_are_added_each_once() {
    let mut piece = second(0, 1, vec![step(0, 3, 0)]);
    piece.late = true;
    let mut other = piece.clone();
    other.revision = 2;
    let told = [second(0, 0, vec![step(0, 10, 0)]), piece.clone(), piece, other];
    let families = run(1, &told).families();
    assert_eq!(sum(&families, REQUESTS, &["succeeded"]), 16);
    assert_eq!(sum(&families, "nuncius_experiment_in_flight_requests", &[]), 3, "a gauge is of the last second");
}

#[test]
fn parts_make_a_whole_in_any_order() {
    let part = |number: u32, steps| ExperimentSecond { part: number, parts: 2, ..second(0, 0, steps) };
    let (a, b) = (part(0, vec![step(0, 10, 0)]), part(1, vec![step(1, 9, 0)]));
    let there = run(2, &[a.clone(), b.clone()]).families();
    assert_eq!(there, run(2, &[b, a]).families());
    assert_eq!(sum(&there, REQUESTS, &["s0"]), 10);
    assert_eq!(sum(&there, REQUESTS, &["s1"]), 9);
    assert_eq!(sum(&there, "nuncius_experiment_scheduled_iterations_total", &[]), 10, "not once for each part");
}

#[test]
fn whoever_joins_late_begins_with_the_sums_so_far() {
    for steps in [1, 2] {
        let all_steps = |ended| (0..steps).map(|index| step(index, ended, 1)).collect::<Vec<_>>();
        let mut so_far = GroupSums::default();
        let told: Vec<ExperimentSecond> = (0..6)
            .map(|number| {
                let mut one = second(number, 0, all_steps(10));
                nuncius_stats::second::add_sums(&mut so_far, &one.groups[0]);
                one.groups[0].so_far.clone_from(&so_far);
                one
            })
            .collect();
        let (whole, late) = (run(usize::from(steps), &told).families(), run(usize::from(steps), &told[3..]).families());
        for (name, labels) in [
            (REQUESTS, &["succeeded"][..]),
            (REQUESTS, &["failed"]),
            ("nuncius_experiment_offered_requests_total", &[]),
            ("nuncius_experiment_sent_requests_total", &[]),
            ("nuncius_experiment_failures_total", &["connect"]),
            ("nuncius_experiment_iterations_total", &["succeeded"]),
            ("nuncius_experiment_offered_iterations_total", &[]),
        ] {
            assert_eq!(sum(&whole, name, labels), sum(&late, name, labels), "{name} {labels:?}, {steps} steps");
        }
        let earlier = sum(&late, REQUESTS, &["(earlier)"]);
        assert_eq!(earlier, if steps == 1 { 0 } else { 3 * 2 * 10 }, "the only step of a group has made all of them");
        assert_eq!(sum(&whole, REQUESTS, &["(earlier)"]), 0);
        assert_eq!(
            sum(&late, "nuncius_experiment_deficit_iterations", &[]),
            0,
            "of what was not read nothing is known"
        );
    }
}

#[test]
fn what_changes_a_second_that_is_forgotten_is_counted_and_still_in_the_sums() {
    let mut so_far = GroupSums::default();
    let mut told = Vec::new();
    for number in 0..200 {
        let mut one = second(number, 0, vec![step(0, 10, 0)]);
        nuncius_stats::second::add_sums(&mut so_far, &one.groups[0]);
        one.groups[0].so_far.clone_from(&so_far);
        told.push(one);
    }
    let mut run = run(1, &told);
    run.second(&second(0, 1, vec![step(0, 20, 0)]));
    assert_eq!(run.late_seconds, 1);
    assert_eq!(sum(&run.families(), REQUESTS, &[]), 2_000);
    let mut next = second(200, 0, vec![step(0, 10, 0)]);
    so_far.requests.offered += 20;
    so_far.requests.succeeded += 20;
    next.groups[0].so_far = so_far;
    run.second(&next);
    assert_eq!(sum(&run.families(), REQUESTS, &["succeeded"]), 2_020);
}

#[test]
fn the_slowest_lead_to_their_traces_and_failures_do_not() {
    let slow = |trace: char, response_ns, failure| SlowRequest {
        trace_id: trace.to_string().repeat(32),
        span_id: "b".repeat(16),
        response_ns,
        service_ns: response_ns / 2,
        done_ns: 1_500_000_000,
        index: 7,
        status: 0,
        failure,
        sampled: true,
        node: "n1".to_owned(),
    };
    let mut one = step(0, 10, 1);
    one.slowest = vec![
        slow('a', 9_000_000, None),
        slow('c', 8_900_000, Some(FailureKind::Connect)),
        slow('d', 4_000_000, None),
        SlowRequest { trace_id: String::new(), ..slow('e', 1_000, None) },
    ];
    let run = run(1, &[second(1, 0, vec![one])]);
    let families = run.families();
    let Value::Distribution(response) = &families.get(RESPONSE).unwrap().series[0].value else { panic!() };
    let told: Vec<(&str, f64, u64)> =
        response.exemplars.iter().map(|one| (&one.trace_id[..1], one.value, one.unix_ns)).collect();
    let at = 1_700_000_002_500_000_000;
    assert_eq!(told, [("d", 0.004, at), ("a", 0.009, at)]);
}

#[test]
fn a_hundred_thousand_hostile_steps_share_one_beyond_the_limit() {
    let mut run = Run::new(&record(1), 100);
    for number in 0..100_000u32 {
        let mut one = second(number / 65_000, 0, vec![step((number % 65_000) as u16, 1, 0)]);
        one.groups[0].name = format!("g{}", number / 65_000);
        one.groups[0].group = (number / 65_000) as u16;
        one.groups[0].steps[0].name = format!("hostile {number}");
        run.second(&one);
    }
    let families = run.families();
    assert_eq!(families.get(RESPONSE).unwrap().series.len(), 100);
    assert_eq!(sum(&families, REQUESTS, &["succeeded"]), 100_000);
    assert_eq!(sum(&families, REQUESTS, &["other", "succeeded"]), 100_000 - 99);
}

#[test]
fn at_its_end_a_run_has_a_verdict_and_nothing_under_way() {
    let mut run = run(1, &[second(0, 0, vec![step(0, 10, 0)])]);
    let ended = RunRecord {
        status: RunStatus::Finished,
        verdict: Some(Verdict::Fail),
        ended_unix_ms: Some(1_700_000_009_500),
        ..record(1)
    };
    run.recorded(&ended);
    let families = run.families();
    assert!(run.is_over());
    assert_eq!(sum(&families, "nuncius_experiment_verdict", &["fail"]), 1);
    assert_eq!(sum(&families, "nuncius_experiment_verdict", &[]), 1);
    assert_eq!(sum(&families, "nuncius_experiment_in_flight_requests", &[]), 0);
    assert_eq!(sum(&families, "nuncius_phase_info", &[]), 1);
    assert_eq!(sum(&families, "nuncius_experiment_phase_start_time_seconds", &["finished"]), 1_700_000_009);
    assert_eq!(sum(&families, REQUESTS, &["succeeded"]), 10);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Counters never go backwards, whatever is told in whatever order.
    #[test]
    fn no_counter_ever_goes_backwards(
        told in prop::collection::vec((0u32..4, 0u32..3, any::<bool>(), 1u64..20, 0u64..1), 1..30),
    ) {
        let mut run = Run::new(&record(1), 10);
        let mut before: Option<Families> = None;
        for (number, revision, late, ended, failed) in told {
            let mut one = second(number, revision, vec![step(0, ended, failed)]);
            one.late = late;
            run.second(&one);
            let after = run.families();
            if let Some(before) = &before {
                for family in before.iter() {
                    if !family.metric.name.ends_with("_total") {
                        continue;
                    }
                    let now = after.get(family.metric.name).unwrap();
                    for series in &family.series {
                        let (name, labels, Value::Count(count)) = (family.metric.name, &series.labels, &series.value)
                        else {
                            continue;
                        };
                        let same = now.series.iter().find(|series| series.labels == *labels);
                        let Some(Value::Count(now)) = same.map(|same| same.value.clone()) else {
                            return Err(TestCaseError::fail(format!("{name} {labels:?} is gone")));
                        };
                        prop_assert!(now >= *count, "{} {:?}: {} after {}", name, labels, now, count);
                    }
                }
            }
            before = Some(after);
        }
    }
}

#[test]
fn meters_count_what_was_added_up_to_now_whatever_comes_again_or_late() {
    let told = |number: u32, sum_so_far: u64| {
        let mut told = second(number, 0, vec![step(0, 1, 0)]);
        let counter = MeterSecond {
            name: "messages".to_owned(),
            kind: MeterKind::Counter,
            unit: MeterUnit::Number,
            sum: 1,
            sum_so_far,
            values: Distribution::default(),
            values_so_far: 0,
        };
        let mut histogram = Histogram::new();
        histogram.record_ns_many(5_000, 3);
        let values = distribution(&Totals::from(&histogram));
        let sizes = MeterSecond {
            name: "sizes".to_owned(),
            kind: MeterKind::Histogram,
            unit: MeterUnit::Bytes,
            values,
            values_so_far: 3 * u64::from(number),
            sum_so_far: 0,
            ..counter.clone()
        };
        told.groups[0].meters = vec![counter, sizes];
        told
    };
    let mut run = Run::new(&record(1), 10);
    for second in [told(1, 5), told(2, 9), told(2, 9), told(1, 5)] {
        run.second(&second);
    }
    let families = run.families();
    assert_eq!(sum(&families, "nuncius_experiment_meter_total", &["messages", "number"]), 9);
    assert_eq!(sum(&families, "nuncius_experiment_meter_values_total", &["sizes", "bytes"]), 6);
    // Kept as so many microseconds.
    assert_eq!(sum(&families, "nuncius_experiment_meter_value", &["sizes", "bytes", "p50"]), 5);
}
