use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::run::RunStatus;

use super::*;
use crate::Histogram;

fn totals(values_ns: &[u64]) -> Totals {
    let mut histogram = Histogram::default();
    values_ns.iter().for_each(|value_ns| histogram.record_ns(*value_ns));
    Totals::from(&histogram)
}

fn step(step: u16, values_ns: &[u64]) -> StepSecond {
    let count = values_ns.len() as u64;
    let failure = FailureCount { kind: FailureKind::Status, status: 503, count: 1, sample: None };
    StepSecond {
        step,
        offered: count + 2,
        sent: count + 1,
        succeeded: count,
        failed: 1,
        statuses: vec![StatusCount { status: 200, count }, StatusCount { status: 503, count: 1 }],
        failures: vec![failure],
        response: distribution(&totals(values_ns)),
        ..StepSecond::default()
    }
}

fn second(steps: Vec<StepSecond>) -> ExperimentSecond {
    ExperimentSecond {
        experiment: "e".to_owned(),
        second: 3,
        first_second: 3,
        revision: 0,
        late: false,
        part: 0,
        parts: 1,
        length_ns: 1_000_000_000,
        at_unix_ns: 0,
        status: RunStatus::Running,
        seconds_total: None,
        groups: vec![GroupSecond { steps, ..GroupSecond::default() }],
        nodes_left_out: 0,
        nodes: Vec::new(),
    }
}

#[test]
fn pieces_of_a_second_add_up_to_what_it_would_have_been_at_once() {
    let (early, late) = ([1_000_000, 2_000_000, 90_000_000], [3_000_000, 400_000_000]);
    let mut sum = second(vec![step(0, &early)]);
    add_piece(&mut sum, &second(vec![step(0, &late), step(1, &late)])).unwrap();
    let all: Vec<u64> = early.iter().chain(&late).copied().collect();
    let found = &sum.groups[0].steps[0];
    assert_eq!(found.response, distribution(&totals(&all)));
    assert_eq!((found.offered, found.sent, found.succeeded, found.failed), (9, 7, 5, 2));
    assert_eq!(found.statuses, [StatusCount { status: 200, count: 5 }, StatusCount { status: 503, count: 2 }]);
    assert_eq!(found.failures.len(), 1);
    assert_eq!(sum.groups[0].steps[1], step(1, &late));
}

#[test]
fn a_sum_with_a_histogram_that_was_left_out_bounds_its_quantiles_from_above() {
    let mut sum = step(0, &[1_000_000, 2_000_000]);
    let mut other = step(0, &[5_000_000, 6_000_000]);
    other.response.histogram.clear();
    other.without_histograms = true;
    add_step(&mut sum, &other).unwrap();
    assert_eq!((sum.response.count, sum.response.p99_ns), (4, other.response.p99_ns));
    assert!(sum.without_histograms && sum.response.histogram.is_empty());
}

#[test]
fn sums_count_iterations_and_requests_apart() {
    let mut group = GroupSecond { steps: vec![step(0, &[1]), step(1, &[1, 2])], ..GroupSecond::default() };
    group.iterations = Some(step(2, &[1]));
    let mut sums = GroupSums::default();
    add_sums(&mut sums, &group);
    add_sums(&mut sums, &group);
    assert_eq!((sums.iterations.succeeded, sums.requests.succeeded), (2, 6));
    assert_eq!(sums.failures.iter().map(|failure| failure.count).sum::<u64>(), 4);
    // The only step is the iteration.
    group.iterations = None;
    group.steps.truncate(1);
    add_sums(&mut sums, &group);
    assert_eq!((sums.iterations.succeeded, sums.requests.succeeded), (3, 7));
}
