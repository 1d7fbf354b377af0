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
    evaluate(&gate(text), &GateData::default().with(Quantity::Response, &observed), Confidence::ONCE)
}

fn counts(text: &str, succeeded: u64, failed: u64, censored: u64) -> GateOutcome {
    let planned = succeeded + failed + censored;
    let offered = OfferedTime::exactly(10.0);
    let data = GateData { planned, succeeded, failed, censored, offered, ..GateData::default() };
    evaluate(&gate(text), &data, Confidence::ONCE)
}

#[test]
fn no_data_never_passes() {
    for text in ["p99(response) < 1s", "p50(lag) > 1ms", "max(blocked) < 1s", "failures < 100%", "failures <= 0%"] {
        let data = GateData { offered: OfferedTime::exactly(5.0), ..GateData::default() };
        let outcome = evaluate(&gate(text), &data, Confidence::ONCE);
        assert_eq!(outcome.outcome, Outcome::Undetermined, "{text}");
        assert!(outcome.reason.contains("no data"), "{}", outcome.reason);
    }
    for text in ["censored < 1%", "rate > 1/s", "rate < 1/s"] {
        assert_eq!(
            evaluate(&gate(text), &GateData::default(), Confidence::ONCE).outcome,
            Outcome::Undetermined,
            "{text}"
        );
    }
    let other = Observed::complete(totals(MS, 1_000));
    let data = GateData::default().with(Quantity::Lag, &other);
    assert_eq!(evaluate(&gate("p99(response) < 1s"), &data, Confidence::ONCE).outcome, Outcome::Undetermined);
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
    assert_eq!(counts("failures < 20%", 1_000, 100, 0).outcome, Outcome::Pass);
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
fn what_is_not_known_counts_on_both_sides_of_a_share() {
    // Whatever the 100 come to, 1 % is kept to or not.
    assert_eq!(counts("failures < 1%", 10_000, 0, 90).outcome, Outcome::Undetermined);
    assert_eq!(counts("failures < 1%", 10_000, 0, 50).outcome, Outcome::Pass);
    assert_eq!(counts("failures < 1%", 10_000, 300, 100).outcome, Outcome::Fail);
    assert_eq!(counts("failures > 1%", 10_000, 90, 300).outcome, Outcome::Undetermined);
    assert_eq!(counts("failures <= 0%", 1_000, 0, 1).outcome, Outcome::Undetermined);
    assert_eq!(counts("failures >= 100%", 0, 10, 1).outcome, Outcome::Undetermined);
    // A target that hangs from the start: nothing has ended, and that is not nothing.
    let hanging = counts("failures < 1%", 0, 0, 400);
    assert_eq!((hanging.outcome, hanging.samples), (Outcome::Undetermined, 400));
    assert!(hanging.reason.contains("of 400 requests none has ended"), "{}", hanging.reason);
    assert_eq!((hanging.lower, hanging.upper), (Some(0.0), Some(1.0)));
    let told = counts("failures < 1%", 10_000, 0, 90).reason;
    assert!(told.contains("0 of 10000") && told.contains("of 90 more it is not known"), "{told}");
    let data = GateData { planned: 1_000, succeeded: 900, unknown: 100, ..GateData::default() };
    assert_eq!(evaluate(&gate("censored < 5%"), &data, Confidence::ONCE).outcome, Outcome::Undetermined);
}

#[test]
fn the_rate_is_judged_by_an_interval() {
    assert_eq!(counts("rate > 900/s", 10_000, 0, 0).outcome, Outcome::Pass);
    assert_eq!(counts("rate > 990/s", 10_000, 0, 0).outcome, Outcome::Undetermined);
    assert_eq!(counts("rate > 900/s", 8_000, 2_000, 0).outcome, Outcome::Fail);
    // What was not answered has not succeeded, whatever it would have come to.
    assert_eq!(counts("rate > 900/s", 0, 0, 10).outcome, Outcome::Fail);
    assert_eq!(counts("rate > 900/s", 5_000, 0, 5_000).outcome, Outcome::Fail);
    assert_eq!(counts("rate <= 1000/s", 10_000, 0, 0).observed, Some(1_000.0));
    // Garwood's two-sided 90 % for 10 is 5.425 to 16.96.
    let ten = counts("rate > 2/s", 10, 0, 0);
    assert!((ten.lower.unwrap() - 0.5425).abs() < 1e-4 && (ten.upper.unwrap() - 1.6962).abs() < 1e-4, "{ten:?}");
    let mut data = GateData { succeeded: 5, ..GateData::default() };
    for seconds in [0.0, -1.0, f64::NAN] {
        data.offered = OfferedTime::exactly(seconds);
        assert_eq!(evaluate(&gate("rate < 1000/s"), &data, Confidence::ONCE).outcome, Outcome::Undetermined);
    }
}

#[test]
fn one_arrival_more_or_less_of_an_even_schedule_decides_nothing() {
    let evenly = |text: &str, arrivals: u64, seconds: f64| {
        let data = GateData {
            planned: arrivals,
            succeeded: arrivals,
            offered: OfferedTime::exactly(seconds),
            evenly_spaced_groups: Some(1),
            ..GateData::default()
        };
        evaluate(&gate(text), &data, Confidence::ONCE).outcome
    };
    // 0.5/s for 5 s has arrivals at 0, 2 and 4 s.
    assert_eq!(evenly("rate < 0.55/s", 3, 5.0), Outcome::Undetermined);
    // No chance is in how many there are: 95 of 100 per second can be told in ten seconds.
    assert_eq!(evenly("rate > 95/s", 1_000, 10.0), Outcome::Pass);
    assert_eq!(evenly("rate > 102/s", 1_000, 10.0), Outcome::Fail);
    assert_eq!(evenly("rate > 100/s", 1_000, 10.0), Outcome::Undetermined);
}

#[test]
fn a_time_that_is_not_known_exactly_widens_the_rate() {
    let data = GateData {
        planned: 77,
        succeeded: 77,
        offered: OfferedTime { least_seconds: 0.0, most_seconds: 1.0 },
        ..GateData::default()
    };
    let outcome = evaluate(&gate("rate < 90/s"), &data, Confidence::ONCE);
    assert_eq!((outcome.outcome, outcome.upper), (Outcome::Undetermined, None));
    assert_eq!(evaluate(&gate("rate > 50/s"), &data, Confidence::ONCE).outcome, Outcome::Pass);
}

#[test]
fn what_is_under_way_at_a_look_may_yet_succeed() {
    let data = GateData {
        planned: 100,
        succeeded: 40,
        unknown: 60,
        offered: OfferedTime::exactly(1.0),
        ..GateData::default()
    };
    assert_eq!(evaluate(&gate("rate > 80/s"), &data, Confidence::ONCE).outcome, Outcome::Undetermined);
    assert_eq!(evaluate(&gate("rate > 200/s"), &data, Confidence::ONCE).outcome, Outcome::Fail);
}

#[test]
fn the_generators_lag_is_told_where_it_may_have_decided() {
    let judge = |text: &str, response_ms: u64, lag_ms: [u64; 2]| {
        let response = Observed::complete(totals(response_ms * MS, 1_000));
        let mut lag = totals(lag_ms[0] * MS, 990);
        lag.merge(&totals(lag_ms[1] * MS, 10)).unwrap();
        let data = GateData { generator_lag: Some(&lag), ..GateData::default() };
        evaluate(&gate(text), &data.with(Quantity::Response, &response), Confidence::ONCE).lag_ns
    };
    assert_eq!(judge("p99.5(response) < 15ms", 20, [0, 30]), Some(30 * MS));
    // At the gate's own quantile there is none.
    assert!(judge("p50(response) < 15ms", 20, [0, 30]).unwrap() < 1_000);
    // Even without the longest lag it would have been too slow; and what was quick enough was so with it.
    assert_eq!(judge("p99.5(response) < 15ms", 60, [0, 30]), None);
    assert_eq!(judge("p99.5(response) < 15ms", 10, [0, 30]), None);
    // A lower limit is kept to by lag.
    assert_eq!(judge("p50(response) > 15ms", 20, [10, 10]), Some(10 * MS));
    assert_eq!(judge("p50(response) > 15ms", 60, [10, 10]), None);
    assert_eq!(judge("max(response) < 15ms", 20, [0, 30]), Some(30 * MS));
}

#[test]
fn bounds_are_said_to_be_one_sided_and_how_sure_they_are() {
    let once = counts("failures < 1%", 10_000, 80, 0).reason;
    assert!(once.contains("one-sided 95 % bounds"), "{once}");
    let data = GateData { succeeded: 1_000, ..GateData::default() };
    let looked = |confidence| evaluate(&gate("failures < 1%"), &data, confidence).reason;
    assert!(
        looked(Confidence::of_share(0.5)).contains("0.000 % (97.5 %) and 0.299 % (95 %)"),
        "{}",
        looked(Confidence::of_share(0.5))
    );
    assert!(looked(Confidence::of_share(1.0 / 141.0)).contains("(99.965 %)"));
}

#[test]
fn times_are_shown_with_four_digits() {
    assert_eq!(time(1_800_000_000.0), "1.800 s");
    assert_eq!(time(250_400_000.0), "250.4 ms");
    assert_eq!(time(12_000.0), "12.00 µs");
}
