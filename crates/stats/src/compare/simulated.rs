//! How often comparisons err, and what they find: pairs of runs simulated with a known truth.
//!
//! Requests of a queue are simulated by Lindley's recursion, so that they are as alike as those of a real target: who
//! comes behind a slow one waits with it. Seeds are fixed, so that what passed passes again.

use fastrand::Rng;
use nuncius_schemas::comparison::{ComparedFigure, Comparison, ComparisonVerdict, PartName};
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::units::SECOND_NS;

use super::*;
use crate::{Histogram, Observed, Totals};

/// A run: how many seconds, requests per second at each of them, and how long one takes.
#[derive(Clone, Copy)]
struct Run {
    seconds: u64,
    rate: fn(f64) -> f64,
    kind: Kind,
    /// Of the service time.
    mean_seconds: f64,
    failures: f64,
}

#[derive(Clone, Copy)]
enum Kind {
    /// One server with exponential service times.
    Queue,
    /// Each request takes a lognormal time of its own, whose logarithm has this deviation.
    Apart(f64),
}

fn exponential(random: &mut Rng) -> f64 {
    -libm::log(1.0 - random.f64())
}

fn normal(random: &mut Rng) -> f64 {
    (2.0 * exponential(random)).sqrt() * libm::cos(std::f64::consts::TAU * random.f64())
}

/// Seconds before those that are kept, in which the queue becomes what it is for long.
const WARM_UP_SECONDS: f64 = 10.0;

fn simulate(run: Run, name: &str, random: &mut Rng) -> PartSeries {
    let mut seconds: Vec<(Histogram, u64, u64)> = (0..run.seconds).map(|_| Default::default()).collect();
    let (mut at, mut waited_until) = (-WARM_UP_SECONDS, f64::NEG_INFINITY);
    while at < run.seconds as f64 {
        // A rate that changes slowly against the time between arrivals.
        at += exponential(random) / (run.rate)(at.max(0.0));
        let takes = match run.kind {
            Kind::Queue => run.mean_seconds * exponential(random),
            Kind::Apart(deviation) => {
                run.mean_seconds * libm::exp(deviation * normal(random) - deviation * deviation / 2.0)
            }
        };
        let begins = match run.kind {
            Kind::Queue => waited_until.max(at),
            Kind::Apart(_) => at,
        };
        let done = begins + takes;
        waited_until = done;
        let Some((latency, succeeded, failed)) = seconds.get_mut(done as usize).filter(|_| done >= 0.0) else {
            continue;
        };
        latency.record_ns(((done - at) * SECOND_NS as f64) as u64);
        if random.f64() < run.failures { *failed += 1 } else { *succeeded += 1 }
    }
    let mut series = PartSeries::new(PartName { group: name.to_owned(), step: None }, Quantity::Response);
    for (latency, succeeded, failed) in seconds {
        let latency = Observed::complete(Totals::from(&latency));
        let second = ComparedSecond { latency, succeeded, failed, offered_ns: SECOND_NS, without_histogram: false };
        series.push(&second).unwrap();
    }
    series
}

fn compared(first: &[PartSeries], second: &[PartSeries], options: ComparisonOptions<'_>) -> Comparison {
    compare(first, second, options).unwrap()
}

fn is_different(comparison: &Comparison) -> bool {
    comparison.verdict == ComparisonVerdict::Different
}

/// A queue whose server needs `1 / service_rate` seconds for a request, on average.
fn queue(service_rate: f64, rate: fn(f64) -> f64, seconds: u64) -> Run {
    Run { seconds, rate, kind: Kind::Queue, mean_seconds: 1.0 / service_rate, failures: 0.0 }
}

/// Requests that do not wait for each other.
fn apart(rate: fn(f64) -> f64, seconds: u64) -> Run {
    Run { seconds, rate, kind: Kind::Apart(1.0), mean_seconds: 0.01, failures: 0.01 }
}

/// How many of `pairs` pairs of runs with `parts` parts are told to differ.
fn count_different(pairs: u32, parts: &[(Run, Run)], seed: u64, options: ComparisonOptions<'_>) -> u32 {
    let mut random = Rng::with_seed(seed);
    let mut pair = || {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (at, (one, other)) in parts.iter().enumerate() {
            first.push(simulate(*one, &at.to_string(), &mut random));
            second.push(simulate(*other, &at.to_string(), &mut random));
        }
        is_different(&compared(&first, &second, options))
    };
    (0..pairs).map(|_| u32::from(pair())).sum()
}

/// Of [`PAIRS`] pairs, five percent.
const FLAGGED_MAX: u32 = 10;
const PAIRS: u32 = 200;

fn check_one_truth(name: &str, parts: &[Run], seed: u64) {
    let parts: Vec<(Run, Run)> = parts.iter().map(|run| (*run, *run)).collect();
    let flagged = count_different(PAIRS, &parts, seed, ComparisonOptions::default());
    assert!(flagged <= FLAGGED_MAX, "{name}: {flagged} of {PAIRS} pairs of the same truth are told to differ");
}

#[test]
fn queues_of_one_truth_are_told_to_differ_in_at_most_five_percent_of_pairs() {
    check_one_truth("half loaded", &[queue(1_000.0, |_| 500.0, 30)], 1);
    check_one_truth("loaded to 80 %", &[queue(1_000.0, |_| 800.0, 30)], 2);
}

/// At 50/s and 80 % load what happened 2 s ago is still in the queue: seconds are far from independent.
#[test]
fn slow_queues_of_one_truth_are_told_to_differ_in_at_most_five_percent_of_pairs() {
    check_one_truth("slow", &[queue(50.0, |_| 40.0, 120)], 3);
    check_one_truth("slow and short", &[queue(50.0, |_| 40.0, 20)], 4);
    let unequal = (queue(50.0, |_| 40.0, 240), queue(50.0, |_| 40.0, 30));
    let flagged = count_different(PAIRS, &[unequal], 13, ComparisonOptions::default());
    assert!(flagged <= FLAGGED_MAX, "of unequal length: {flagged} of {PAIRS}");
}

#[test]
fn many_independent_parts_of_one_truth_are_told_to_differ_in_at_most_five_percent_of_pairs() {
    let few_failures = Run { failures: 0.001, ..apart(|_| 100.0, 20) };
    check_one_truth("three parts", &[apart(|_| 100.0, 20), few_failures, queue(200.0, |_| 100.0, 30)], 5);
    check_one_truth("one sparse part", &[apart(|_| 10.0, 20)], 6);
}

#[test]
fn a_service_time_ten_percent_longer_is_found() {
    let pairs: [(&str, Run); 3] = [
        ("apart", Run { failures: 0.0, ..apart(|_| 1_000.0, 60) }),
        ("half loaded", queue(2_000.0, |_| 1_000.0, 60)),
        ("loaded to 80 %", queue(1_250.0, |_| 1_000.0, 60)),
    ];
    for (name, run) in pairs {
        let slower = Run { mean_seconds: run.mean_seconds * 1.1, ..run };
        let found = count_different(20, &[(run, slower)], 7, ComparisonOptions::default());
        assert!(found >= 19, "{name}: found in {found} of 20");
    }
}

#[test]
fn more_failures_are_found_where_nothing_else_differs() {
    let run = apart(|_| 200.0, 60);
    let found = count_different(20, &[(run, Run { failures: 0.02, ..run })], 8, ComparisonOptions::default());
    assert!(found >= 19, "{found}");
}

fn figure(comparison: &Comparison, wanted: ComparedFigure) -> &FigureComparison {
    comparison.parts[0].figures.iter().find(|found| found.figure == wanted).unwrap()
}

/// Intervals are at 95 % or more, and what is detectable is found in 4 of 5 cases, or a little more often: the first
/// step of Holm's procedure is the hardest.
#[test]
fn intervals_hold_the_truth_and_what_is_detectable_is_found_as_often_as_they_say() {
    let run = Run { failures: 0.0, ..apart(|_| 50.0, 40) };
    let mut random = Rng::with_seed(9);
    let mut detectable = 0.0;
    for _ in 0..20 {
        let pair = [simulate(run, "a", &mut random), simulate(run, "a", &mut random)];
        let comparison = compared(&pair[..1], &pair[1..], ComparisonOptions::default());
        detectable += figure(&comparison, ComparedFigure::P50).detectable_relative.unwrap() / 20.0;
    }
    let slower = Run { mean_seconds: run.mean_seconds * (1.0 + detectable), ..run };
    let pairs = 200;
    let (mut found, mut held) = (0, [0; 4]);
    for _ in 0..pairs {
        let pair = [simulate(run, "a", &mut random), simulate(slower, "a", &mut random)];
        let comparison = compared(&pair[..1], &pair[1..], ComparisonOptions::default());
        found += u32::from(figure(&comparison, ComparedFigure::P50).verdict == ComparisonVerdict::Different);
        for (held, wanted) in held.iter_mut().zip(ComparedFigure::ALL) {
            let relative = figure(&comparison, wanted).relative.unwrap();
            let is_above = relative.lower.is_none_or(|lower| lower <= detectable);
            *held += u32::from(is_above && relative.upper.is_none_or(|upper| upper >= detectable));
        }
    }
    assert!((150..=190).contains(&found), "{detectable} was found in {found} of {pairs}");
    // Three standard errors of 95 % in 200 are 4.6 %.
    assert!(held.iter().all(|held| *held >= 181), "{held:?} of {pairs}");
}

/// From 10 % to 70 % of the load and back: seconds of one run differ by far more than those of the two by chance.
fn wave(at: f64) -> f64 {
    400.0 - 300.0 * libm::cos(std::f64::consts::TAU * at / 60.0)
}

#[test]
fn runs_of_one_schedule_are_compared_second_by_second() {
    let paired = ComparisonOptions { same_schedule: true, ..ComparisonOptions::default() };
    let run = queue(1_000.0, wave, 60);
    let flagged = count_different(100, &[(run, run)], 10, paired);
    assert!(flagged <= 5, "{flagged}");
    let slower = Run { mean_seconds: run.mean_seconds * 1.1, ..run };
    let (by_second, apart) = (
        count_different(20, &[(run, slower)], 11, paired),
        count_different(20, &[(run, slower)], 11, ComparisonOptions::default()),
    );
    assert!(by_second >= 19, "{by_second} of 20, {apart} without that");
    assert!(apart <= 5, "{apart} of 20: nothing is gained by it");
}

#[test]
fn differences_that_are_none_are_not_told() {
    let run = Run { failures: 0.0, ..apart(|_| 1_000.0, 30) };
    let slower = Run { mean_seconds: run.mean_seconds * 1.05, ..run };
    let tolerant = ComparisonOptions { least_relative: 0.05, ..ComparisonOptions::default() };
    let flagged = count_different(40, &[(run, slower)], 12, tolerant);
    assert!(flagged <= 5, "{flagged} of 40 at the very limit");
    let found = count_different(10, &[(run, slower)], 12, ComparisonOptions::default());
    assert!(found >= 9, "{found} of 10");
    let much_slower = Run { mean_seconds: run.mean_seconds * 1.15, ..run };
    let found = count_different(10, &[(run, much_slower)], 12, tolerant);
    assert!(found >= 9, "{found} of 10");
}
