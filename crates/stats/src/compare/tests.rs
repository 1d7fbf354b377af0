use nuncius_schemas::comparison::ComparablePart;
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::units::SECOND_NS;
use proptest::prelude::*;

use super::*;
use crate::{Histogram, Observed, Totals};

const MS: u64 = 1_000_000;

fn totals(values: impl IntoIterator<Item = u64>) -> Totals {
    let mut histogram = Histogram::new();
    for value in values {
        histogram.record_ns(value);
    }
    Totals::from(&histogram)
}

fn second(values: impl IntoIterator<Item = u64>, failed: u64) -> ComparedSecond {
    let latency = Observed::complete(totals(values));
    let succeeded = latency.count().saturating_sub(failed);
    ComparedSecond { latency, succeeded, failed, offered_ns: SECOND_NS, without_histogram: false }
}

fn series(group: &str, seconds: impl IntoIterator<Item = ComparedSecond>) -> PartSeries {
    let name = PartName { group: group.to_owned(), step: None };
    let mut series = PartSeries::new(name, Quantity::Response);
    for second in seconds {
        series.push(&second).unwrap();
    }
    series
}

/// Twenty seconds of a hundred latencies of 10 to 20 ms, longer by a factor.
fn steady(group: &str, factor: f64) -> PartSeries {
    let value = move |at: u64| ((10_000 + 101 * (at % 100) + 7 * (at % 13)) as f64 * 1_000.0 * factor) as u64;
    series(group, (0..20).map(|at| second((0..100).map(|k| value(at * 100 + k)), 0)))
}

fn verdicts(comparison: &Comparison) -> Vec<ComparisonVerdict> {
    comparison.parts.iter().flat_map(|part| &part.figures).map(|figure| figure.verdict).collect()
}

fn compared(first: &[PartSeries], second: &[PartSeries]) -> Comparison {
    compare(first, second, ComparisonOptions::default()).unwrap()
}

#[test]
fn a_difference_is_told_with_its_interval_and_how_sure_it_is() {
    let comparison = compared(&[steady("a", 1.0)], &[steady("a", 1.2)]);
    assert_eq!((comparison.verdict, comparison.comparisons), (ComparisonVerdict::Different, 6));
    let median = &comparison.parts[0].figures[0];
    assert_eq!((median.figure, median.quantity), (ComparedFigure::P50, Some(Quantity::Response)));
    let relative = median.relative.unwrap();
    assert!((relative.value - 0.2).abs() < 0.002, "{relative:?}");
    assert!(relative.lower.unwrap() > 0.1 && relative.upper.unwrap() < 0.3, "{relative:?}");
    assert!(median.adjusted_p_value.unwrap() < 0.05 && median.p_value <= median.adjusted_p_value);
    assert!(median.reason.contains("15.0") && median.reason.contains("+20.0 % (+"), "{}", median.reason);
    let rate = &comparison.parts[0].figures[5];
    assert_eq!((rate.verdict, rate.baseline), (ComparisonVerdict::NotShownToDiffer, Some(100.0)));
    assert!(rate.detectable_relative.unwrap() < 0.01 && rate.reason.contains("100.0/s → 100.0/s"), "{}", rate.reason);
    let failures = &comparison.parts[0].figures[4];
    assert_eq!((failures.baseline, failures.relative), (Some(0.0), None));
    assert!(failures.reason.contains("would have been seen"), "{}", failures.reason);
}

#[test]
fn what_only_one_run_has_is_named_and_not_compared() {
    let comparison = compared(&[steady("a", 1.0), steady("b", 1.0)], &[steady("c", 1.0), steady("a", 1.0)]);
    let names = |names: &[PartName]| names.iter().map(|name| name.group.clone()).collect::<Vec<_>>();
    assert_eq!(
        (names(&comparison.only_in_baseline), names(&comparison.only_in_candidate)),
        (vec!["b".to_owned()], vec!["c".to_owned()])
    );
    assert_eq!((comparison.parts.len(), comparison.verdict), (1, ComparisonVerdict::NotShownToDiffer));
    assert_eq!(compared(&[], &[steady("c", 1.0)]).verdict, ComparisonVerdict::TooLittleData);
}

#[test]
fn too_little_data_is_said_with_what_is_missing() {
    let reasons = |first: &PartSeries, second: &PartSeries| {
        let comparison = compared(std::slice::from_ref(first), std::slice::from_ref(second));
        let p99 = &comparison.parts[0].figures[2];
        assert_eq!(p99.verdict, ComparisonVerdict::TooLittleData, "{p99:?}");
        p99.reason.clone()
    };
    let full = steady("a", 1.0);
    let short = series("a", (0..7).map(|_| second([5 * MS; 100], 0)));
    assert_eq!(reasons(&short, &full), "baseline: 7 seconds, at least 8 are needed");
    let empty = series("a", (0..20).map(|_| second([], 0)));
    assert_eq!(reasons(&full, &empty), "candidate: no latency was measured");
    let few = series("a", (0..20).map(|at| second([at * MS], 0)));
    assert!(reasons(&full, &few).contains("too few independent observations"), "{}", reasons(&full, &few));
    let mut censored = second([5 * MS; 100], 0);
    censored.latency.censored = totals([MS; 3]);
    let censored = series("a", std::iter::repeat_n(second([5 * MS; 100], 0), 20).chain([censored]));
    assert_eq!(reasons(&censored, &full), "baseline: 3 requests were censored, so that it is known from below only");
    let bare = ComparedSecond { without_histogram: true, ..second([5 * MS; 100], 0) };
    let bare = series("a", std::iter::repeat_n(second([5 * MS; 100], 0), 20).chain([bare]));
    assert_eq!(reasons(&full, &bare), "candidate: the histograms of 1 seconds were left out");
    let service = ComparablePart { quantity: Quantity::Service, ..full.clone().into_part() };
    assert_eq!(reasons(&full, &PartSeries::from(service)), "the baseline tells of response, the candidate of service");
    // A drift from the first second to the last: no two of them are independent.
    let drift = series("a", (0..20).map(|at| second((0..100).map(|k| (100 * at + k) * MS), 0)));
    let comparison = compared(&[drift], &[full]);
    let median = &comparison.parts[0].figures[0];
    assert!(median.reason.contains("are worth") && median.difference.is_none(), "{}", median.reason);
}

#[test]
fn runs_of_different_length_did_not_follow_one_schedule() {
    let options = ComparisonOptions { same_schedule: true, ..ComparisonOptions::default() };
    let short = series("a", (0..19).map(|_| second([5 * MS; 100], 0)));
    let told = |other: PartSeries| {
        let comparison = compare(&[steady("a", 1.0)], &[other], options).unwrap();
        comparison.parts[0].figures[0].reason.clone()
    };
    assert_eq!(told(short), "20 seconds against 19: they did not follow the same schedule");
    let long = series("a", (0..600).map(|_| second([5 * MS; 10], 0)));
    assert!(told(long).starts_with("the one run is several times as long"));
}

#[test]
fn options_outside_of_their_range_are_refused_by_name() {
    for (options, told) in [
        (ComparisonOptions { confidence: 1.0, ..ComparisonOptions::default() }, "confidence 1: "),
        (ComparisonOptions { confidence: f64::NAN, ..ComparisonOptions::default() }, "confidence NaN: "),
        (ComparisonOptions { least_relative: -0.1, ..ComparisonOptions::default() }, "least relative difference -0.1"),
        (ComparisonOptions { least_relative: 1.0, ..ComparisonOptions::default() }, "least relative difference 1"),
    ] {
        assert!(compare(&[], &[], options).unwrap_err().to_string().starts_with(told));
    }
}

#[test]
fn failures_in_one_run_only_are_found_when_they_are_more_than_chance() {
    let with = |failed: usize| {
        let mut failures: Vec<u64> = (0..20).map(|at| u64::from(at < failed)).collect();
        fastrand::Rng::with_seed(1).shuffle(&mut failures);
        series("a", failures.into_iter().map(|failed| second([5 * MS; 100], failed)))
    };
    let verdict = |first: usize, second: usize| {
        let comparison = compared(&[with(first)], &[with(second)]);
        (comparison.parts[0].figures[4].verdict, comparison.parts[0].figures[4].p_value.unwrap())
    };
    // Fisher's exact test of 5 against 0 in 2000 each has a p-value of 0.06, that of 15 one below 0.0001.
    let (few, p_value) = verdict(0, 5);
    assert!(few == ComparisonVerdict::NotShownToDiffer && (0.01..0.2).contains(&p_value), "{p_value}");
    let (many, p_value) = verdict(0, 15);
    assert!(many == ComparisonVerdict::Different && p_value < 0.005, "{p_value}");
}

fn any_series() -> impl Strategy<Value = PartSeries> {
    let second = (prop::collection::vec(0u64..3_000_000_000, 0..30), 0u64..9, 0u64..2, 0u64..3);
    prop::collection::vec(second, 0..40).prop_map(|seconds| {
        let one = |(values, failed, censored, offered): (Vec<u64>, u64, u64, u64)| {
            let mut one = second_of(values, failed);
            one.latency.censored = totals((0..censored / 20).map(|_| 4 * SECOND_NS));
            one.offered_ns = offered * SECOND_NS / 2;
            one
        };
        series("a", seconds.into_iter().map(one))
    })
}

fn second_of(values: Vec<u64>, failed: u64) -> ComparedSecond {
    second(values, failed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_run_never_differs_from_itself(run in any_series(), same_schedule: bool, sure: bool) {
        let confidence = if sure { 0.95 } else { 0.05 };
        let options = ComparisonOptions { confidence, same_schedule, ..ComparisonOptions::default() };
        let comparison = compare(std::slice::from_ref(&run), std::slice::from_ref(&run), options).unwrap();
        prop_assert!(!verdicts(&comparison).contains(&ComparisonVerdict::Different));
    }

    #[test]
    fn intervals_agree_with_verdicts_and_swapped_runs_differ_the_other_way(
        first in any_series(), second in any_series(), same_schedule: bool,
    ) {
        let options = ComparisonOptions { same_schedule, ..ComparisonOptions::default() };
        let there = compare(std::slice::from_ref(&first), std::slice::from_ref(&second), options).unwrap();
        let back = compare(&[second], &[first], options).unwrap();
        prop_assert_eq!(there.comparisons, back.comparisons);
        for (there, back) in there.parts[0].figures.iter().zip(&back.parts[0].figures) {
            prop_assert_eq!(there.verdict, back.verdict, "{:?} {:?}", there, back);
            prop_assert!(!there.reason.is_empty());
            let Some(difference) = there.difference else { continue };
            let other = back.difference.unwrap();
            let scale = 1e-9 * (1.0 + there.baseline.unwrap() + there.candidate.unwrap());
            prop_assert!((difference.value + other.value).abs() <= scale);
            let leaves_out = difference.lower.is_some_and(|end| end > 0.0)
                || difference.upper.is_some_and(|end| end < 0.0);
            prop_assert_eq!(leaves_out, there.verdict == ComparisonVerdict::Different, "{:?}", there);
            prop_assert!(difference.lower.is_none_or(|end| end <= difference.value + scale));
            prop_assert!(difference.upper.is_none_or(|end| end >= difference.value - scale));
        }
    }
}
