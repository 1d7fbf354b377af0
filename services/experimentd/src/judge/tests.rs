use nuncius_schemas::gate::Quantity;
use nuncius_schemas::metric::StepDelta;
use nuncius_schemas::run::Verdict;
use nuncius_stats::{Histogram, Totals};

use super::*;

const MS: u64 = 1_000_000;

fn spec(groups: &str, gates: &str) -> ExperimentSpec {
    let text = format!(r#"{{"groups":[{groups}],"gates":[{gates}]}}"#);
    let spec: ExperimentSpec = serde_json::from_str(&text).unwrap();
    spec.validate().unwrap();
    spec
}

fn judge(groups: &str, gates: &str) -> Judge {
    Judge::new(&spec(groups, gates), &[])
}

fn totals(value_ns: u64, count: u64) -> Totals {
    let mut histogram = Histogram::new();
    histogram.record_ns_many(value_ns, count);
    Totals::from(&histogram)
}

/// So many succeeded at this latency.
fn answered(count: u64, value_ns: u64) -> StepTotals {
    let mut step = StepTotals { planned: count, sent: count, succeeded: count, ..StepTotals::default() };
    step.response.completed = totals(value_ns, count);
    step.service.completed = totals(value_ns, count);
    step
}

fn names(spec: &ExperimentSpec) -> Vec<String> {
    default_gates(spec).iter().map(ToString::to_string).collect()
}

const OPEN: &str = r#"{"name":"a","target":"http://stub/","rate":"400/s","duration":"4s"}"#;
const OTHER: &str = r#"{"name":"b","target":"http://stub/","rate":"10/s","duration":"10s"}"#;

#[test]
fn what_nobody_judges_for_failures_is_judged_by_default() {
    let both = format!("{OPEN},{OTHER}");
    assert_eq!(names(&spec(OPEN, "")), ["failures < 1%"]);
    assert_eq!(names(&spec(&both, r#""p99(response) < 100ms","rate > 5/s""#)), ["failures < 1%"]);
    assert_eq!(names(&spec(&both, r#""failures < 20%""#)), [""; 0]);
    assert_eq!(names(&spec(&both, r#"{"expression":"failures < 20%","group":"a"}"#)), ["failures < 1% in b"]);
    // The only step of a group is the group; one step of two is not.
    assert_eq!(names(&spec(OPEN, r#"{"expression":"failures < 20%","step":"get"}"#)), [""; 0]);
    let steps = r#"{"name":"c","target":"http://stub/","rate":"9/s","duration":"4s",
        "steps":[{"name":"look"},{"name":"order"}]}"#;
    assert_eq!(names(&spec(steps, r#"{"expression":"failures < 20%","step":"look"}"#)), ["failures < 1%"]);
    assert_eq!(names(&spec(OPEN, r#"{"expression":"failures < 50%","over":"2s","abort":true}"#)), [""; 0]);
}

#[test]
fn answers_that_fail_fast_make_no_target_fast() {
    let mut step = answered(600, 80 * MS);
    (step.planned, step.sent, step.failed) = (1_000, 1_000, 400);
    step.failed_response.completed = totals(MS, 400);
    let steps = BTreeMap::from([((0, 0), step)]);
    let gates = r#""p50(response) < 50ms","p30(response) of all < 50ms""#;
    let decision = judge(OPEN, gates).decide(&steps, &[]);
    let outcomes: Vec<Verdict> = decision.gates.iter().map(|gate| gate.outcome).collect();
    // The default gate sees what failed, too.
    assert_eq!(outcomes, [Verdict::Fail, Verdict::Pass, Verdict::Fail], "{:?}", decision.gates);
    assert_eq!((decision.gates[0].samples, decision.gates[1].samples), (600, 1_000));
    assert_eq!(decision.gates[2].gate, "failures < 1% (default)");
}

#[test]
fn a_rate_is_of_the_time_that_its_group_was_offered_for() {
    let groups = format!(
        r#"{OTHER},{{"name":"short","target":"http://stub/","rate":"50/s","duration":"3s"}},
           {{"name":"counted","target":"http://stub/","rate":"100/s","duration":"3s","iterations":77}},
           {{"name":"paused","target":"http://stub/","stages":[
               {{"duration":"2s","rate":"50/s"}},{{"duration":"5s","rate":0}},{{"duration":"1s","rate":"50/s"}}]}}"#
    );
    let gate = |text: &str, group: &str| format!(r#"{{"expression":"{text}","group":"{group}"}}"#);
    let gates = [
        gate("rate > 45/s", "short"),
        gate("rate > 90/s", "counted"),
        gate("rate > 45/s", "paused"),
        gate("rate > 9/s", "b"),
    ]
    .join(",");
    let mut judge = judge(&groups, &gates);
    let seconds = judge.offered();
    assert_eq!((seconds.all, seconds.by_group), (10.0, vec![10.0, 3.0, 0.77, 3.0]));
    let counts = [100, 150, 77, 150];
    let steps = (0..4).zip(counts).map(|(group, count)| ((group, 0), answered(count, MS))).collect();
    let decision = judge.decide(&steps, &[]);
    assert!(decision.gates[..4].iter().all(|gate| gate.outcome == Verdict::Pass), "{:?}", decision.gates);
    assert_eq!(decision.gates[1].observed, Some(100.0));
}

#[test]
fn one_arrival_too_many_of_a_slow_schedule_fails_no_rate() {
    let slow = r#"{"name":"slow","target":"http://stub/","rate":"0.5/s","duration":"5s"}"#;
    let steps = BTreeMap::from([((0, 0), answered(3, MS))]);
    let decision = judge(slow, r#""rate < 0.55/s""#).decide(&steps, &[]);
    assert_eq!(decision.gates[0].outcome, Verdict::Undetermined, "{:?}", decision.gates);
}

#[test]
fn users_that_stop_after_their_iterations_are_timed_by_what_they_began() {
    let users = r#"{"name":"users","target":"http://stub/","users":4,"duration":"60s","iterations":80}"#;
    let mut judge = judge(users, r#""rate > 15/s""#);
    let mut sum = BTreeMap::new();
    for second in 0..4 {
        let one = second_of(answered(20, MS));
        judge.add_second(second, &one);
        sum.entry((0, 0)).or_insert_with(StepTotals::default).merge(&one.steps[&(0, 0)]);
    }
    assert_eq!(judge.offered().all, 4.0);
    let gate = &judge.decide(&sum, &[]).gates[0];
    assert_eq!((gate.outcome, gate.observed), (Verdict::Pass, Some(20.0)), "{gate:?}");
}

fn second_of(step: StepTotals) -> SecondTotals {
    let mut second = SecondTotals::default();
    second.steps.insert((0, 0), step);
    second
}

/// A second of a node's delta of one step.
fn delta(second: u32, step: StepDelta) -> MetricDelta {
    MetricDelta {
        experiment: "e".into(),
        node: "n".into(),
        epoch: 1,
        attempt: 1,
        sequence: u64::from(second) + 1,
        part: 0,
        parts: 1,
        first_second: second,
        last_second: second,
        last: false,
        stopped: None,
        shortfall: None,
        records: None,
        meters: Vec::new(),
        tracks: Vec::new(),
        steps: vec![step],
        health: None,
    }
}

/// Seconds in which nothing is answered; the second after which the judge wants the run's end.
fn hang(gates: &str) -> (Option<u32>, Judge, BTreeMap<(u16, u16), StepTotals>) {
    let mut judge = judge(OPEN, gates);
    let mut steps: BTreeMap<(u16, u16), StepTotals> = BTreeMap::new();
    for second in 0..4 {
        judge.note(&delta(second, StepDelta { planned: 400, sent: 400, ..StepDelta::default() }));
        let one = StepTotals { planned: 400, sent: 400, ..StepTotals::default() };
        steps.entry((0, 0)).or_default().merge(&one);
        let closed = second_of(one);
        let run_ns = (u64::from(second) + 1) * SECOND_NS;
        let windowed = judge.add_second(second, &closed);
        if windowed.or_else(|| judge.look(&steps, second + 1, run_ns)).is_some() {
            return (Some(second), judge, steps);
        }
    }
    (None, judge, steps)
}

#[test]
fn a_target_that_hangs_at_the_start_is_left_alone_within_the_window() {
    let windowed = r#"{"expression":"p95(response) < 500ms","over":"2s","abort":true}"#;
    let whole = r#"{"expression":"p95(response) < 500ms","abort":true}"#;
    for gates in [windowed, whole] {
        let (aborted, mut judge, steps) = hang(gates);
        assert_eq!(aborted, Some(1), "{gates}");
        let decision = judge.decide(&steps, &[]);
        assert_eq!(decision.gates[0].outcome, Verdict::Fail, "{:?}", decision.gates);
    }
    // Nobody knows yet what is slower than five seconds.
    assert_eq!(hang(r#"{"expression":"p95(response) < 5s","abort":true}"#).0, None);
    assert_eq!(hang(r#"{"expression":"p95(service) < 1500ms","abort":true}"#).0, Some(2));
}

#[test]
fn what_never_ended_counts_on_both_sides() {
    let (_, mut judge, steps) = hang(r#""failures < 1%","rate > 100/s","p95(response) < 500ms""#);
    let decision = judge.decide(&steps, &[]);
    let outcomes: Vec<Verdict> = decision.gates.iter().map(|gate| gate.outcome).collect();
    assert_eq!(outcomes, [Verdict::Undetermined; 3], "{:?}", decision.gates);
    assert_eq!((decision.gates[0].lower, decision.gates[0].upper), (Some(0.0), Some(1.0)));
    // What a lost node may have offered lets nothing pass.
    let steps = BTreeMap::from([((0, 0), answered(1_000, MS))]);
    for (unaccounted, expected) in [(0, Verdict::Pass), (600, Verdict::Undetermined)] {
        let mut judge = self::judge(OPEN, r#""p95(response) < 500ms","failures < 1%""#);
        let decision = judge.decide(&steps, &[unaccounted]);
        assert!(decision.gates.iter().all(|gate| gate.outcome == expected), "{:?}", decision.gates);
    }
}

#[test]
fn what_waited_for_a_connection_until_the_stop_lets_no_gate_on_blocked_pass() {
    let mut step = answered(1_000, MS);
    (step.planned, step.censored) = (1_500, 500);
    step.blocked.completed = totals(MS, 1_000);
    let decision = judge(OPEN, r#""p90(blocked) < 100ms""#).decide(&BTreeMap::from([((0, 0), step)]), &[]);
    assert_eq!(decision.gates[0].outcome, Verdict::Undetermined, "{:?}", decision.gates);
}

#[test]
fn the_service_of_several_steps_is_that_of_the_steps_and_not_of_the_whole() {
    let steps = r#"{"name":"c","target":"http://stub/","rate":"9/s","duration":"40s",
        "steps":[{"name":"look"},{"name":"order"}]}"#;
    let books = BTreeMap::from([
        ((0, 0), answered(400, 10 * MS)),
        ((0, 1), answered(400, 20 * MS)),
        ((0, 2), answered(400, 30 * MS)),
    ]);
    let gates = r#""max(service) < 25ms","max(response) < 25ms""#;
    let decision = judge(steps, gates).decide(&books, &[]);
    assert_eq!((decision.gates[0].outcome, decision.gates[0].samples), (Verdict::Pass, 800));
    assert_eq!((decision.gates[1].outcome, decision.gates[1].samples), (Verdict::Fail, 400));
}

#[test]
fn the_generators_lag_at_a_gates_own_quantile_makes_the_run_invalid() {
    let mut step = answered(10_000, 5 * MS);
    step.response.completed = totals(5 * MS, 9_970);
    step.response.completed.merge(&totals(35 * MS, 30)).unwrap();
    step.lag.completed = totals(0, 9_970);
    step.lag.completed.merge(&totals(30 * MS, 30)).unwrap();
    let steps = BTreeMap::from([((0, 0), step)]);
    let decide = |gates: &str| judge(OPEN, gates).decide(&steps, &[]).invalid;
    let invalid = decide(r#""p99.9(response) < 15ms""#);
    assert_eq!(invalid.len(), 1, "{invalid:?}");
    for piece in ["p99.9(response) < 15ms", "p99.9(lag) is 30.0ms", "lag_limit 10.0ms"] {
        assert!(invalid[0].contains(piece), "{invalid:?}");
    }
    // It passes with its lag, fails at a quantile without any, or would fail without it.
    for gates in [r#""p99.9(response) < 50ms""#, r#""p50(response) < 4ms""#, r#""p99.9(lag) < 15ms""#] {
        assert_eq!(decide(gates), [""; 0], "{gates}");
    }
}

#[test]
fn every_quantity_has_its_place() {
    let step = answered(1, MS);
    for quantity in Quantity::ALL {
        let expected = u64::from(matches!(quantity, Quantity::Response | Quantity::Service));
        assert_eq!(step.quantity(quantity).count(), expected, "{quantity:?}");
    }
}
