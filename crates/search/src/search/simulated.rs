//! Searches of a target whose limit is known: one server with exponential service times.
//!
//! Requests are simulated one by one by Lindley's recursion, with the queue that a probe leaves carried into the next
//! one; their response times are judged by the gates' own code, as those of a run are: what is not answered when the
//! drain is over is censored.

use fastrand::Rng;
use nuncius_schemas::gate::{Gate, Quantity};
use nuncius_schemas::search::{
    Load, RateRange, RecoverRule, SearchEnding, SearchFinding, SearchOutcome, SearchProbe, SearchPurpose, SearchSpec,
    Spacing,
};
use nuncius_schemas::units::{Rate, SECOND_NS};
use nuncius_stats::{Confidence, GateData, Histogram, Observed, OfferedTime, Outcome, Totals, evaluate};

use super::*;

/// Requests per second that the server can do.
const SERVICE_RATE: f64 = 1_000.0;
const DRAIN_SECONDS: f64 = 5.0;

/// A target, and when it will have done all that it was sent.
struct Target {
    random: Rng,
    now: f64,
    free_at: f64,
}

fn exponential(random: &mut Rng) -> f64 {
    -libm::log(1.0 - random.f64())
}

impl Target {
    fn new(seed: u64) -> Self {
        Self { random: Rng::with_seed(seed), now: 0.0, free_at: 0.0 }
    }

    /// Runs a probe and judges it.
    fn probe(&mut self, probe: &SearchProbe, gate: &Gate) -> (SearchOutcome, String, HumanDuration) {
        let Load::Rate(rate) = probe.load else { panic!("rates are searched") };
        let counted_from = self.now + probe.settle.as_secs_f64();
        let end = counted_from + probe.length.as_secs_f64();
        let drained = end + DRAIN_SECONDS;
        let (mut completed, mut censored) = (Histogram::new(), Histogram::new());
        let mut at = self.now;
        loop {
            at += exponential(&mut self.random) / rate.as_per_second();
            if at >= end {
                break;
            }
            self.free_at = self.free_at.max(at) + exponential(&mut self.random) / SERVICE_RATE;
            if at >= counted_from {
                let ns = |seconds: f64| (seconds * SECOND_NS as f64) as u64;
                if self.free_at <= drained {
                    completed.record_ns(ns(self.free_at - at));
                } else {
                    censored.record_ns(ns(drained - at));
                }
            }
        }
        // As long as the drain needs.
        let ended = end.max(self.free_at.min(drained));
        let took = HumanDuration(((ended - self.now) * SECOND_NS as f64) as u64);
        self.now = ended;
        let observed = Observed { completed: Totals::from(&completed), censored: Totals::from(&censored) };
        let data = GateData {
            planned: observed.count(),
            succeeded: observed.completed.count(),
            censored: observed.censored.count(),
            offered: OfferedTime::exactly(probe.length.as_secs_f64()),
            ..GateData::default()
        };
        let judged = evaluate(gate, &data.with(Quantity::Response, &observed), Confidence::ONCE);
        let outcome = match judged.outcome {
            Outcome::Pass => SearchOutcome::Pass,
            Outcome::Undetermined => SearchOutcome::Undetermined,
            Outcome::Fail => SearchOutcome::Fail,
        };
        (outcome, judged.reason, took)
    }
}

fn gate(text: &str) -> Gate {
    Gate { expression: text.parse().unwrap(), group: None, step: None, over: None, abort: false }
}

fn searched(search: SearchSpec, gate: &Gate, seed: u64) -> (SearchFinding, SearchState) {
    let mut target = Target::new(seed);
    let mut state = SearchState::new(search).unwrap();
    loop {
        match next(&state) {
            SearchAction::Run(probe) => {
                let (outcome, reason, took) = target.probe(&probe, gate);
                record(&mut state, outcome, &reason, took).unwrap();
            }
            SearchAction::End(finding) => return (*finding, state),
        }
    }
}

fn search() -> SearchSpec {
    SearchSpec::of_rate(RateRange { from: Rate::per_second(50), to: Rate::per_second(5_000), start: None })
}

/// Response times of M/M/1 are exponential with rate μ − λ: p99 is ln 100 / (μ − λ), and 50 ms at 907.9/s.
const GATE: &str = "p99(response) < 50ms";
const LIMIT: f64 = SERVICE_RATE - 92.103_4;

fn rate(load: Load) -> f64 {
    match load {
        Load::Rate(rate) => rate.as_per_second(),
        Load::Users(_) => panic!("rates are searched"),
    }
}

/// How many of so many searches find the limit within 5 %.
fn count_found(search: &SearchSpec, gate: &Gate, seeds: std::ops::Range<u64>) -> u32 {
    let found = seeds.map(|seed| {
        let (finding, _) = searched(search.clone(), gate, seed);
        let is_near = finding.found().is_some_and(|load| (rate(load) / LIMIT - 1.0).abs() <= 0.05);
        u32::from(is_near && finding.ending == SearchEnding::Found)
    });
    found.sum()
}

#[test]
fn the_limit_of_a_queue_is_found_within_five_percent() {
    let found = count_found(&search(), &gate(GATE), 0..40);
    assert!(found >= 38, "found in {found} of 40 searches");
}

#[test]
fn it_takes_a_quarter_of_an_hour_on_average_and_both_ends_are_confirmed() {
    let searches: Vec<SearchFinding> = (100..120).map(|seed| searched(search(), &gate(GATE), seed).0).collect();
    let minutes = searches.iter().map(|finding| finding.time.as_secs_f64()).sum::<f64>() / 60.0 / 20.0;
    assert!(minutes < 15.0, "{minutes} minutes");
    for finding in searches.iter().filter(|finding| finding.ending == SearchEnding::Found) {
        let (lower, upper) = (finding.highest_passed.unwrap(), finding.lowest_not_passed.unwrap());
        assert!(lower.is_confirmed && upper.is_confirmed && lower.passed >= 2 && upper.of - upper.passed >= 2);
        assert!(rate(upper.load) <= rate(lower.load) * 1.02 + 1e-6, "{}", finding.reason);
        assert!(lower.confidence.unwrap() >= 0.5, "{}", finding.reason);
    }
}

#[test]
fn it_is_found_from_above_and_by_differences_as_well() {
    let range = RateRange { start: Some(Rate::per_second(4_000)), ..search().rate.unwrap() };
    let from_above = SearchSpec { rate: Some(range), spacing: Spacing::Linear, growth: 1.5, ..search() };
    let found = count_found(&from_above, &gate(GATE), 200..220);
    assert!(found >= 19, "found in {found} of 20 searches");
}

/// Twenty seconds at 1600/s leave 12 000 requests behind, which the server needs twelve seconds for; the drain waits
/// for five.
#[test]
fn a_probe_after_an_overload_does_not_inherit_its_queue() {
    let (_, state) = searched(search(), &gate(GATE), 300);
    let history = state.history();
    let overload = history.iter().position(|record| rate(record.probe.load) >= 1_600.0).unwrap();
    let after = &history[overload + 1..];
    assert_eq!(after[0].probe.purpose, SearchPurpose::Recover);
    assert_eq!(after[0].outcome, SearchOutcome::Fail, "{}", after[0].reason);
    let next = after.iter().find(|record| record.probe.purpose != SearchPurpose::Recover).unwrap();
    assert_eq!(next.probe.purpose, SearchPurpose::Halve);
    // Without recoveries what is in the queue fails loads that the target is equal to.
    let impatient = SearchSpec {
        recover: RecoverRule { at_most: HumanDuration::default(), ..RecoverRule::default() },
        settle: HumanDuration::default(),
        growth: 10.0,
        ..search()
    };
    let wrong = (300..320).filter(|seed| {
        let (_, state) = searched(impatient.clone(), &gate(GATE), *seed);
        let is_low = |record: &&SearchRecord| rate(record.probe.load) < 0.9 * LIMIT;
        state.history().iter().filter(is_low).any(|record| record.outcome == SearchOutcome::Fail)
    });
    assert!(wrong.count() >= 15);
}
