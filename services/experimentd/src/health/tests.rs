use nuncius_schemas::fault::FaultCount;
use nuncius_schemas::units::HumanDuration;
use nuncius_stats::Histogram;

use super::*;

const MS: u64 = 1_000_000;

fn spec() -> ExperimentSpec {
    ExperimentSpec::of_groups(Vec::new())
}

fn second(run_delay_ns: u64, throttled_ns: u64) -> Health {
    Health { interval_ns: SECOND_NS, run_delay_ns, throttled_ns, ..Health::default() }
}

/// So many lags, the first `late` of them at 200 ms.
fn lags(count: u64, late: u64) -> Totals {
    let mut histogram = Histogram::new();
    histogram.record_ns_many(200 * MS, late);
    histogram.record_ns_many(50_000, count - late);
    Totals::from(&histogram)
}

/// The problems of a node whose seconds had these lags.
fn problems(seconds: &[Totals]) -> Vec<String> {
    let mut health = NodeHealth::default();
    for (at, lag) in seconds.iter().enumerate() {
        health.add(at as u32, Some(&second(0, 0)), lag);
    }
    health.problems("n1", &spec())
}

#[test]
fn a_healthy_node_has_no_problems() {
    let mut health = NodeHealth::default();
    for s in 0..20 {
        let busy = Health { busy_ns: 900 * MS, heartbeat_late_ns: 99 * MS, ..second(50 * MS, 0) };
        health.add(s, Some(&busy), &lags(100, 0));
    }
    assert_eq!(health.problems("n", &spec()), [""; 0]);
}

#[test]
fn half_a_second_of_run_delay_in_any_five_is_starvation_and_says_what_to_do() {
    let mut health = NodeHealth::default();
    for s in 0..20 {
        let delay = if (7..9).contains(&s) { 300 * MS } else { 0 };
        health.add(s, Some(&second(delay, 0)), &Totals::default());
    }
    let problems = health.problems("n1", &spec());
    let told = ["n1", "waited for a processor", "run_delay_limit", "lower rate"];
    assert!(problems.iter().any(|p| told.iter().all(|piece| p.contains(piece))), "{problems:?}");
}

#[test]
fn throttling_is_seen() {
    let mut health = NodeHealth::default();
    for s in 0..5 {
        health.add(s, Some(&second(0, 400 * MS)), &Totals::default());
    }
    assert!(health.problems("n1", &spec()).iter().any(|p| p.contains("throttled")));
}

#[test]
fn one_late_request_is_no_starvation_wherever_it_comes() {
    for late in 0..8 {
        let seconds: Vec<Totals> = (0..8).map(|at| lags(20, u64::from(at == late))).collect();
        assert_eq!(problems(&seconds), [""; 0], "in second {late}");
    }
    // Nor are the few of a run of two seconds.
    assert_eq!(problems(&[lags(20, 1), lags(20, 0)]), [""; 0]);
}

#[test]
fn lag_that_is_certain_in_a_whole_window_is_starvation_and_says_what_to_do() {
    let mut seconds: Vec<Totals> = (0..12).map(|_| lags(1_000, 0)).collect();
    seconds[6] = lags(1_000, 150);
    let problems = problems(&seconds);
    let told = ["node n1 was starved", "lag p99", "lag_limit 10", "another machine", "lower rate", "raise lag_limit"];
    assert!(problems.len() == 1 && told.iter().all(|piece| problems[0].contains(piece)), "{problems:?}");
    // A run that is shorter than a window is one, when it is over.
    assert_eq!(self::problems(&[lags(1_000, 0), lags(1_000, 150)]).len(), 1);
}

#[test]
fn the_order_in_which_seconds_come_changes_little() {
    let mut health = NodeHealth::default();
    for s in [0, 1, 3, 2, 4, 5, 6, 7] {
        let lag = if s == 2 { lags(1_000, 150) } else { lags(1_000, 0) };
        health.add(s, Some(&second(0, 0)), &lag);
    }
    assert_eq!(health.problems("n1", &spec()).len(), 1);
}

#[test]
fn a_generator_that_stood_still_is_told_whatever_the_rate() {
    let mut health = NodeHealth::default();
    for s in 0..3 {
        let late = if s == 1 { 1_200 * MS } else { MS };
        health.add(s, Some(&Health { heartbeat_late_ns: late, ..second(0, 0) }), &Totals::default());
    }
    let problems = health.problems("n1", &spec());
    assert!(problems.len() == 1 && problems[0].contains("node n1 stood still for 1.20s"), "{problems:?}");
    assert!(problems[0].contains("heartbeat_limit 100ms"), "{problems:?}");
    let tolerant = ExperimentSpec { heartbeat_limit: HumanDuration::from_secs(2), ..spec() };
    assert_eq!(health.problems("n1", &tolerant), [""; 0]);
}

#[test]
fn what_the_generator_ran_out_of_is_told_with_what_to_do() {
    let mut health = NodeHealth::default();
    for count in [3, 4] {
        let faults = vec![FaultCount { fault: GeneratorFault::Ports, count }];
        health.add(0, Some(&Health { faults, ..second(0, 0) }), &Totals::default());
    }
    let problems = health.problems("n1", &spec());
    assert!(problems.len() == 1 && problems[0].contains("7 times"), "{problems:?}");
    assert!(problems[0].contains(GeneratorFault::Ports.advice()), "{problems:?}");
}

#[test]
fn an_engine_thread_that_never_rests_is_saturated() {
    let busy = |busy_ms: u64, seconds: u32| {
        let mut health = NodeHealth::default();
        for s in 0..seconds {
            health.add(s, Some(&Health { busy_ns: busy_ms * MS, ..second(0, 0) }), &Totals::default());
        }
        health.problems("n1", &spec())
    };
    assert!(busy(970, 6).iter().any(|p| p.contains("saturated") && p.contains("lower the rate")));
    assert!(busy(990, 2).iter().any(|p| p.contains("saturated")));
    assert_eq!(busy(940, 6), [""; 0]);
}
