use super::*;
use crate::{Histogram, Totals};

const MS: u64 = 1_000_000;

fn gate(text: &str) -> Gate {
    Gate { expression: text.parse().unwrap(), group: None, step: None, over: None, abort: false }
}

fn totals(value_ns: u64, count: u64) -> Totals {
    let mut histogram = Histogram::new();
    histogram.record_ns_many(value_ns, count);
    Totals::from(&histogram)
}

fn responses(text: &str, completed: Totals, censored: Totals) -> GateOutcome {
    let observed = Observed { completed, censored };
    evaluate(&gate(text), &GateData::default().with(Quantity::Response, &observed))
}

fn counts(text: &str, succeeded: u64, failed: u64, censored: u64) -> GateOutcome {
    let planned = succeeded + failed + censored;
    let data = GateData { planned, succeeded, failed, censored, elapsed_seconds: 10.0, ..GateData::default() };
    evaluate(&gate(text), &data)
}

#[test]
fn no_data_never_passes() {
    for text in ["p99(response) < 1s", "p50(lag) > 1ms", "max(blocked) < 1s", "failures < 100%", "failures <= 0%"] {
        let outcome = evaluate(&gate(text), &GateData { elapsed_seconds: 5.0, ..GateData::default() });
        assert_eq!(outcome.outcome, Outcome::Undetermined, "{text}");
        assert!(outcome.reason.contains("no data"), "{}", outcome.reason);
    }
    for text in ["censored < 1%", "rate > 1/s", "rate < 1/s"] {
        assert_eq!(evaluate(&gate(text), &GateData::default()).outcome, Outcome::Undetermined, "{text}");
    }
    let other = Observed::complete(totals(MS, 1_000));
    let data = GateData::default().with(Quantity::Lag, &other);
    assert_eq!(evaluate(&gate("p99(response) < 1s"), &data).outcome, Outcome::Undetermined);
}

#[test]
fn p99_is_undetermined_with_298_samples_and_may_pass_with_299() {
    let few = responses("p99(response) < 250ms", totals(10 * MS, 298), Totals::new());
    assert_eq!(few.outcome, Outcome::Undetermined);
    assert!(few.reason.contains("299"), "{}", few.reason);
    let enough = responses("p99(response) < 250ms", totals(10 * MS, 299), Totals::new());
    assert_eq!(enough.outcome, Outcome::Pass);
    assert_eq!(enough.upper, Some(1e7));
}

#[test]
fn a_quantile_fails_only_when_its_whole_interval_is_beyond_the_limit() {
    assert_eq!(responses("p99(response) < 250ms", totals(300 * MS, 1_000), Totals::new()).outcome, Outcome::Fail);
    let mut mixed = totals(10 * MS, 985);
    mixed.merge(&totals(300 * MS, 15)).unwrap();
    let near = responses("p99(response) < 250ms", mixed, Totals::new());
    assert_eq!(near.outcome, Outcome::Undetermined);
    assert!(near.reason.contains("enclose the limit"), "{}", near.reason);
    // p99 fails from few samples already when all are too slow.
    assert_eq!(responses("p99(response) < 250ms", totals(300 * MS, 3), Totals::new()).outcome, Outcome::Fail);
}

#[test]
fn lower_limits_are_the_mirror_image() {
    assert_eq!(responses("p50(response) > 5ms", totals(10 * MS, 100), Totals::new()).outcome, Outcome::Pass);
    assert_eq!(responses("p50(response) > 15ms", totals(10 * MS, 100), Totals::new()).outcome, Outcome::Fail);
    assert_eq!(responses("p50(response) > 5ms", totals(10 * MS, 4), Totals::new()).outcome, Outcome::Undetermined);
    // Censored requests can only have taken longer.
    assert_eq!(responses("p50(response) > 5ms", Totals::new(), totals(10 * MS, 100)).outcome, Outcome::Pass);
    assert_eq!(responses("p50(response) > 15ms", Totals::new(), totals(10 * MS, 100)).outcome, Outcome::Undetermined);
}

#[test]
fn censored_requests_fail_or_open_a_quantile_and_never_pass_it() {
    let slow = responses("p99(response) < 1s", totals(10 * MS, 900), totals(1_800 * MS, 100));
    assert_eq!(slow.outcome, Outcome::Fail);
    assert!(slow.reason.contains("≥ 1.800 s"), "{}", slow.reason);
    let open = responses("p99(response) < 1s", totals(10 * MS, 900), totals(20 * MS, 100));
    assert_eq!(open.outcome, Outcome::Undetermined);
    assert!(open.reason.contains("100 of them censored"), "{}", open.reason);
}

#[test]
fn the_largest_value_is_a_fact_unless_requests_were_censored() {
    let judge = |text: &str, censored: Totals| responses(text, totals(10 * MS, 5), censored).outcome;
    assert_eq!(judge("max(response) < 20ms", Totals::new()), Outcome::Pass);
    assert_eq!(judge("max(response) < 10ms", Totals::new()), Outcome::Fail);
    assert_eq!(judge("max(response) <= 10ms", Totals::new()), Outcome::Pass);
    assert_eq!(judge("max(response) < 20ms", totals(5 * MS, 1)), Outcome::Undetermined);
    assert_eq!(judge("max(response) < 20ms", totals(50 * MS, 1)), Outcome::Fail);
    assert_eq!(judge("max(response) > 20ms", totals(50 * MS, 1)), Outcome::Pass);
    assert_eq!(judge("max(response) > 20ms", totals(5 * MS, 1)), Outcome::Undetermined);
    assert_eq!(judge("max(response) > 20ms", Totals::new()), Outcome::Fail);
}

#[test]
fn shares_are_judged_by_their_interval() {
    assert_eq!(counts("failures < 1%", 298, 0, 0).outcome, Outcome::Undetermined);
    assert!(counts("failures < 1%", 298, 0, 0).reason.contains("299"));
    assert_eq!(counts("failures < 1%", 299, 0, 0).outcome, Outcome::Pass);
    assert_eq!(counts("failures < 1%", 10_000, 80, 0).outcome, Outcome::Pass);
    assert_eq!(counts("failures < 1%", 10_000, 95, 0).outcome, Outcome::Undetermined);
    assert_eq!(counts("failures < 1%", 10_000, 200, 0).outcome, Outcome::Fail);
    assert_eq!(counts("failures > 1%", 10_000, 200, 0).outcome, Outcome::Pass);
    assert_eq!(counts("failures > 1%", 10_000, 10, 0).outcome, Outcome::Fail);
    assert_eq!(counts("censored < 1%", 1_000, 0, 100).outcome, Outcome::Fail);
    assert_eq!(counts("censored < 1%", 500, 500, 0).outcome, Outcome::Pass);
}

#[test]
fn none_at_all_is_a_fact_about_the_run() {
    assert_eq!(counts("failures <= 0%", 10, 0, 0).outcome, Outcome::Pass);
    assert_eq!(counts("failures <= 0%", 1_000_000, 1, 0).outcome, Outcome::Fail);
    assert_eq!(counts("failures > 0%", 10, 1, 0).outcome, Outcome::Pass);
    assert_eq!(counts("failures < 0%", 10, 0, 0).outcome, Outcome::Fail);
    assert_eq!(counts("failures >= 100%", 0, 10, 0).outcome, Outcome::Pass);
}

#[test]
fn the_rate_is_compared_as_it_is() {
    assert_eq!(counts("rate > 900/s", 10_000, 0, 0).outcome, Outcome::Pass);
    assert_eq!(counts("rate > 900/s", 8_000, 2_000, 0).outcome, Outcome::Fail);
    assert_eq!(counts("rate > 900/s", 0, 0, 10).outcome, Outcome::Fail);
    assert_eq!(counts("rate <= 1000/s", 10_000, 0, 0).observed, Some(1_000.0));
    let mut data = GateData { succeeded: 5, ..GateData::default() };
    for elapsed_seconds in [0.0, -1.0, f64::NAN] {
        data.elapsed_seconds = elapsed_seconds;
        assert_eq!(evaluate(&gate("rate < 1000/s"), &data).outcome, Outcome::Undetermined);
    }
}

#[test]
fn times_are_shown_with_four_digits() {
    assert_eq!(time(1_800_000_000.0), "1.800 s");
    assert_eq!(time(250_400_000.0), "250.4 ms");
    assert_eq!(time(12_000.0), "12.00 µs");
}
