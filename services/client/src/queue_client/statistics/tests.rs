use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn success(node: &str, wait_seconds: f64, run_seconds: f64, total_seconds: f64) -> Ended {
    Ended {
        node: Some(node.to_owned()),
        pod: Some(format!("{node}-pod")),
        device: Some("card0".to_owned()),
        wait_seconds,
        run_seconds,
        total_seconds,
        ..Ended::default()
    }
}

fn failure(node: Option<&str>, error: &str) -> Ended {
    Ended { node: node.map(str::to_owned), error: Some(error.to_owned()), ..Ended::default() }
}

fn counted(all: &[Ended]) -> Statistics {
    let mut statistics = Statistics::new(1);
    for ended in all {
        let begun = statistics.begin(Instant::now());
        statistics.end(begun, ended);
    }
    statistics
}

#[test]
fn the_minimum_is_the_smallest_and_not_zero_and_the_overhead_is_what_is_left() {
    let statistics = counted(&[success("a", 0.5, 0.25, 1.0), success("a", 1.5, 0.75, 3.0)]);
    let overall = statistics.overall(Instant::now());
    let (run, wait, overhead) = (overall.run.unwrap(), overall.wait.unwrap(), overall.overhead.unwrap());
    assert_eq!((run.min_seconds, run.mean_seconds, run.max_seconds), (0.25, 0.5, 0.75));
    assert_eq!((wait.min_seconds, wait.mean_seconds, wait.max_seconds), (0.5, 1.0, 1.5));
    assert_eq!((overhead.min_seconds, overhead.mean_seconds, overhead.max_seconds), (0.25, 0.5, 0.75));
}

#[test]
fn percentiles_are_those_of_successes_within_a_thousandth() {
    let mut all: Vec<Ended> =
        (1..=100).map(|n| success("a", 0.0, f64::from(n) / 100.0, f64::from(n) / 100.0)).collect();
    all.push(Ended { run_seconds: 50.0, ..failure(Some("a"), "broken") });
    let run = counted(&all).overall(Instant::now()).run.unwrap();
    for (found, wanted) in [(run.p50_seconds, 0.5), (run.p90_seconds, 0.9), (run.p99_seconds, 0.99)] {
        assert!((found - wanted).abs() <= wanted / 1_000.0, "{found} is not {wanted}");
    }
    assert_eq!(run.max_seconds, 1.0);
}

#[test]
fn an_overhead_below_nothing_and_times_that_are_none_count_as_zero() {
    let odd = [success("a", 2.0, 1.0, 2.5), success("a", f64::NAN, -1.0, f64::NEG_INFINITY)];
    let overall = counted(&odd).overall(Instant::now());
    assert_eq!(overall.overhead.unwrap().max_seconds, 0.0);
    assert_eq!(overall.run.unwrap().min_seconds, 0.0);
    let long = counted(&[success("a", 0.0, f64::INFINITY, f64::INFINITY), success("a", 0.0, 7_200.0, 7_200.0)]);
    let nodes = long.nodes().nodes;
    assert_eq!(nodes[0].run_times, [RunTimes { to_seconds: None, count: 2 }]);
}

#[test]
fn a_reset_with_requests_in_flight_keeps_them_pending_and_counts_none_of_their_ends() {
    let mut statistics = Statistics::new(3);
    let start = Instant::now();
    let [first, second] = [statistics.begin(start), statistics.begin(start)];
    statistics.reset();
    assert_eq!((statistics.pending(), statistics.elapsed_seconds(start + Duration::from_secs(9))), (2, 0.0));
    let third = statistics.begin(start + Duration::from_secs(10));
    statistics.end(first, &success("old", 0.0, 1.0, 1.0));
    statistics.end(second, &failure(Some("old"), "broken"));
    assert_eq!((statistics.pending(), statistics.successful(), statistics.failed()), (1, 0, 0));
    assert!(statistics.nodes().nodes.is_empty());
    statistics.end(third, &success("new", 0.0, 1.0, 1.0));
    assert_eq!((statistics.pending(), statistics.successful(), statistics.parallel()), (0, 1, 3));
    assert_eq!(statistics.successful_per_second(start + Duration::from_secs(14)), 0.25);
}

#[test]
fn the_rate_counts_from_the_first_request_and_is_zero_before_it() {
    let mut statistics = Statistics::new(1);
    let start = Instant::now();
    assert_eq!(statistics.successful_per_second(start), 0.0);
    for second in [5, 6, 7] {
        let begun = statistics.begin(start + Duration::from_secs(second));
        statistics.end(begun, &success("a", 0.0, 0.1, 0.1));
    }
    assert_eq!(statistics.successful_per_second(start + Duration::from_secs(5)), 0.0);
    assert_eq!(statistics.elapsed_seconds(start + Duration::from_secs(11)), 6.0);
    assert_eq!(statistics.successful_per_second(start + Duration::from_secs(11)), 0.5);
}

#[test]
fn what_is_over_its_limit_fails_even_without_an_error() {
    let timed_out = Ended { timed_out: true, ..success("a", 0.0, 1.0, 1.0) };
    let statistics = counted(&[timed_out, failure(Some("a"), "broken")]);
    let overall = statistics.overall(Instant::now());
    assert_eq!((overall.successful, overall.failed, overall.timed_out, overall.run), (0, 2, 1, None));
    let node = &statistics.nodes().nodes[0];
    let texts: Vec<_> = node.errors.named.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!((node.failed, node.timed_out, texts), (2, 1, vec!["broken", "timed out"]));
}

#[test]
fn failures_without_a_node_have_a_place_of_their_own() {
    let all = [failure(None, "queue full"), failure(Some(""), "queue full"), failure(Some("a"), "broken")];
    let nodes = counted(&all).nodes();
    assert_eq!(nodes.nodes.len(), 1);
    let without = nodes.without_node.unwrap();
    assert_eq!((without.failed, &without.errors.named[0]), (2, &Count { name: "queue full".to_owned(), count: 2 }));
    assert_eq!(nodes.other_nodes, None);
}

#[test]
fn error_texts_and_nodes_beyond_their_limits_are_folded() {
    let texts: Vec<Ended> = (0..ERRORS_MAX + 5).map(|n| failure(Some("a"), &format!("error {n}"))).collect();
    let errors = counted(&texts).nodes().nodes.remove(0).errors;
    assert_eq!((errors.named.len(), errors.other), (ERRORS_MAX, 5));

    let names: Vec<Ended> = (0..NODES_MAX + 3).map(|n| success(&format!("n{n}"), 0.0, 0.1, 0.1)).collect();
    let nodes = counted(&names).nodes();
    let other = nodes.other_nodes.unwrap();
    assert_eq!((nodes.nodes.len(), other.successful, other.pods.named.len()), (NODES_MAX, 3, 3));
}

#[test]
fn texts_are_cut_and_cannot_act_on_a_terminal() {
    assert_eq!(cleaned("a\nb\u{1b}[2J\u{202e}c"), "a b\u{fffd}[2J\u{fffd}c");
    assert_eq!(cleaned(&"ä".repeat(TEXT_CHARACTERS)), "ä".repeat(TEXT_CHARACTERS));
    let cut = cleaned(&"ä".repeat(TEXT_CHARACTERS + 1));
    assert_eq!((cut.chars().count(), cut.ends_with('…')), (TEXT_CHARACTERS, true));
}

#[test]
fn run_times_are_gathered_to_round_limits() {
    let all: Vec<Ended> = [0.0001, 0.1, 0.15, 0.3, 0.4, 3_500.0].map(|run| success("a", 0.0, run, run)).into();
    let run_times = counted(&all).nodes().nodes.remove(0).run_times;
    let bins: Vec<_> = run_times.iter().map(|bin| (bin.to_seconds.unwrap(), bin.count)).collect();
    assert_eq!(bins, [(0.001, 1), (0.1, 1), (0.2, 1), (0.5, 2), (3_600.0, 1)]);
}

#[derive(Debug, Clone)]
enum Step {
    Begin,
    End(usize, bool),
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Begin),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(which, succeeds)| Step::End(which, succeeds)),
        1 => Just(Step::Reset),
    ]
}

proptest! {
    #[test]
    fn whatever_the_order_nothing_wraps_and_each_end_is_counted_in_its_own_period(
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let mut statistics = Statistics::new(1);
        let now = Instant::now();
        let mut flying: Vec<(Begun, bool)> = Vec::new();
        let (mut successful, mut failed) = (0, 0);
        for step in steps {
            match step {
                Step::Begin => flying.push((statistics.begin(now), true)),
                Step::End(..) if flying.is_empty() => {}
                Step::End(which, succeeds) => {
                    let (begun, is_current) = flying.swap_remove(which % flying.len());
                    let ended = if succeeds { success("a", 0.0, 0.1, 0.2) } else { failure(None, "refused") };
                    statistics.end(begun, &ended);
                    successful += u64::from(is_current && succeeds);
                    failed += u64::from(is_current && !succeeds);
                }
                Step::Reset => {
                    statistics.reset();
                    flying.iter_mut().for_each(|(_, is_current)| *is_current = false);
                    (successful, failed) = (0, 0);
                }
            }
            prop_assert_eq!(statistics.pending(), flying.len() as u64);
            prop_assert_eq!((statistics.successful(), statistics.failed()), (successful, failed));
        }
    }
}
