use super::*;

const MS: u64 = 1_000_000;

fn gate(text: &str, over: &str) -> Gate {
    let expression = text.parse().unwrap();
    Gate { expression, group: None, step: None, over: Some(over.parse().unwrap()), abort: false }
}

fn windows(text: &str, over: &str, spans: &[(u64, u64)]) -> Windows {
    let spans = spans.iter().map(|(from_ms, to_ms)| (from_ms * MS, to_ms.saturating_mul(MS)));
    Windows::new(gate(text, over), OfferedSpans::new(spans)).unwrap()
}

/// Closes a second in which so many succeeded at this value, all of them begun in it.
fn close(windows: &mut Windows, second: u64, value_ns: u64, count: u64) -> bool {
    let observed = Observed::complete(waited(value_ns, count));
    let data = GateData { planned: count, succeeded: count, ..GateData::default() };
    windows.close(second, &data.with(Quantity::Response, &observed), UnderWay::default()).unwrap()
}

fn ended(mut windows: Windows) -> WindowsOutcome {
    windows.finish(0).unwrap();
    windows.outcome()
}

#[test]
fn one_bad_window_fails_the_gate_and_is_named() {
    let mut windows = windows("p99(response) < 250ms", "5s", &[(0, 30_000)]);
    for second in 0..30 {
        let failed = close(&mut windows, second, if second == 12 { 900 * MS } else { 10 * MS }, 100);
        assert_eq!(failed, (12..=16).contains(&second), "{second}");
    }
    assert!(windows.closed.len() == 5);
    let outcome = ended(windows);
    assert_eq!(outcome.outcome.outcome, Outcome::Fail);
    assert_eq!((outcome.judged, outcome.failed, outcome.undetermined), (26, 5, 0));
    assert_eq!(outcome.worst_second, Some(8));
    assert_eq!(outcome.outcome.samples, 500);
}

#[test]
fn a_window_that_cannot_decide_makes_the_gate_undetermined() {
    let mut windows = windows("p99(response) < 250ms", "2s", &[(0, 10_000)]);
    for second in 0..10 {
        close(&mut windows, second, 10 * MS, if second == 4 { 10 } else { 200 });
    }
    let outcome = ended(windows);
    assert_eq!((outcome.outcome.outcome, outcome.failed, outcome.undetermined), (Outcome::Undetermined, 0, 2));
    assert_eq!(outcome.worst_second, Some(3));
}

#[test]
fn load_shorter_than_the_window_is_undetermined() {
    for (seconds, expected) in [(29, Outcome::Undetermined), (30, Outcome::Pass)] {
        let mut windows = windows("failures < 1%", "30s", &[(0, seconds * 1_000)]);
        for second in 0..seconds {
            close(&mut windows, second, MS, 100);
        }
        assert_eq!(ended(windows).outcome.outcome, expected);
    }
}

#[test]
fn pauses_late_begins_and_early_ends_are_no_windows() {
    // Load from 3 to 8 s and from 12 to 16 s, in a run of 30 s.
    let spans = [(3_000, 8_000), (12_000, 16_000)];
    for text in ["p99(response) < 250ms", "failures < 1%", "rate > 100/s"] {
        let mut windows = windows(text, "3s", &spans);
        for second in 0..30 {
            let offered = (3..8).contains(&second) || (12..16).contains(&second);
            close(&mut windows, second, 10 * MS, if offered { 150 } else { 0 });
        }
        let outcome = ended(windows);
        assert_eq!((outcome.outcome.outcome, outcome.judged), (Outcome::Pass, 5), "{text}: {outcome:?}");
    }
}

#[test]
fn a_stretch_of_load_that_is_shorter_than_a_window_is_one() {
    // Two seconds of load in every ten: whatever fails in one of them is in a window.
    let spans = [(0, 2_000), (10_000, 12_000), (20_000, 22_000)];
    for bad in [0, 11, 20] {
        let mut windows = windows("p90(response) < 250ms", "5s", &spans);
        for second in 0..24 {
            let offered = second % 10 < 2;
            close(&mut windows, second, if second == bad { 900 * MS } else { MS }, if offered { 100 } else { 0 });
        }
        let outcome = ended(windows);
        assert_eq!((outcome.outcome.outcome, outcome.judged, outcome.failed), (Outcome::Fail, 3, 1), "{bad}");
    }
}

#[test]
fn what_ends_in_the_drain_or_a_pause_counts_to_a_second_of_load() {
    // The last answers are slow and come after the schedule.
    let mut slow_end = windows("p90(response) < 250ms", "2s", &[(0, 5_000)]);
    for second in 0..5 {
        assert!(!close(&mut slow_end, second, MS, 100));
    }
    assert!(!close(&mut slow_end, 6, 900 * MS, 100));
    let outcome = ended(slow_end);
    assert_eq!((outcome.outcome.outcome, outcome.worst_second, outcome.judged), (Outcome::Fail, Some(3), 4));

    let mut slow_pause = windows("p90(response) < 250ms", "2s", &[(0, 5_000), (10_000, 15_000)]);
    for second in 0..15 {
        let value_ns = if second == 7 { 900 * MS } else { MS };
        close(&mut slow_pause, second, value_ns, if (5..10).contains(&second) && second != 7 { 0 } else { 100 });
    }
    let outcome = ended(slow_pause);
    assert_eq!((outcome.outcome.outcome, outcome.worst_second), (Outcome::Fail, Some(10)));
}

#[test]
fn a_schedule_that_ends_within_a_second_has_no_window_of_a_few_samples() {
    // Half a second of load more, with five requests that no window of its own could judge; slow ones are still seen.
    for (value_ns, expected) in [(MS, Outcome::Pass), (900 * MS, Outcome::Fail)] {
        let mut windows = windows("p90(response) < 250ms", "1s", &[(0, 5_500)]);
        for second in 0..5 {
            close(&mut windows, second, MS, 100);
        }
        close(&mut windows, 5, value_ns, 50);
        let outcome = ended(windows);
        assert_eq!((outcome.outcome.outcome, outcome.judged), (expected, 5));
    }
}

#[test]
fn rates_are_of_the_time_that_load_was_offered_for_and_never_of_the_drain() {
    // A good run: 150/s for 5.5 s, the drain goes on for three seconds.
    let mut good = windows("rate > 100/s", "1s", &[(0, 5_500)]);
    for second in 0..9 {
        close(
            &mut good,
            second,
            MS,
            match second {
                0..5 => 150,
                5 => 75,
                _ => 0,
            },
        );
    }
    let outcome = ended(good);
    assert_eq!((outcome.outcome.outcome, outcome.judged), (Outcome::Pass, 5), "{outcome:?}");
    // What is answered after the end makes no rate.
    let mut late = windows("rate > 100/s", "1s", &[(0, 5_000)]);
    for second in 0..9 {
        close(&mut late, second, MS, if second < 5 { 50 } else { 500 });
    }
    assert_eq!(ended(late).outcome.outcome, Outcome::Fail);
}

#[test]
fn the_first_answers_may_still_be_on_their_way() {
    let first = |requests: u64| {
        let mut windows = windows("rate > 900/s", "1s", &[(0, 3_000)]);
        let data = GateData { planned: 1_000, succeeded: 700, ..GateData::default() };
        windows.close(0, &data, UnderWay { requests, overdue: 0 }).unwrap()
    };
    assert!(!first(300));
    assert!(first(10));
}

#[test]
fn what_hangs_longer_than_the_limit_fails_the_window_that_it_hangs_in() {
    let mut hanging = windows("p95(response) < 500ms", "2s", &[(0, 60_000)]);
    let data = GateData { planned: 400, ..GateData::default() };
    assert!(!hanging.close(0, &data, UnderWay { requests: 400, overdue: 0 }).unwrap());
    assert!(hanging.close(1, &data, UnderWay { requests: 800, overdue: 400 }).unwrap());
    let outcome = hanging.outcome();
    assert_eq!((outcome.outcome.outcome, outcome.judged), (Outcome::Fail, 1));
    // A window in which nothing ended yet, and nothing is overdue, says nothing.
    let mut slow = windows("p95(response) < 5s", "1s", &[(0, 4_000)]);
    for second in 0..3 {
        slow.close(second, &data, UnderWay { requests: 400 * (second + 1), overdue: 0 }).unwrap();
    }
    close(&mut slow, 3, 3_000 * MS, 1_600);
    let outcome = ended(slow);
    assert_eq!((outcome.outcome.outcome, outcome.judged), (Outcome::Pass, 1));
}

#[test]
fn what_nobody_knows_at_the_end_lets_no_window_pass() {
    for text in ["p90(response) < 250ms", "failures < 5%"] {
        let mut windows = windows(text, "1s", &[(0, 3_000)]);
        for second in 0..3 {
            close(&mut windows, second, MS, 100);
        }
        windows.finish(50).unwrap();
        assert_eq!(windows.outcome().outcome.outcome, Outcome::Undetermined, "{text}");
    }
}

#[test]
fn a_run_that_is_cut_ends_its_windows_there() {
    let mut windows = windows("failures < 50%", "2s", &[(0, 60_000)]);
    for second in 0..6 {
        close(&mut windows, second, MS, 100);
    }
    windows.end_at(6_400 * MS);
    let last = GateData { planned: 40, failed: 40, ..GateData::default() };
    windows.close(6, &last, UnderWay::default()).unwrap();
    close(&mut windows, 11, MS, 0);
    let outcome = ended(windows);
    assert_eq!((outcome.outcome.outcome, outcome.judged, outcome.worst_second), (Outcome::Pass, 6, Some(4)));
    assert_eq!(outcome.outcome.samples, 240, "what came last is in the last window: {outcome:?}");
}

#[test]
fn late_pieces_count_to_the_next_second_and_gaps_are_empty() {
    let mut windows = windows("failures < 5%", "1s", &[(0, 6_000)]);
    close(&mut windows, 0, MS, 100);
    close(&mut windows, 3, MS, 100);
    assert!(!close(&mut windows, 1, MS, 30));
    for second in 4..6 {
        close(&mut windows, second, MS, 100);
    }
    let outcome = ended(windows);
    assert_eq!((outcome.outcome.outcome, outcome.judged), (Outcome::Pass, 4), "{outcome:?}");
    assert_eq!(outcome.outcome.samples, 100);
}

#[test]
fn lag_in_the_failed_window_is_told_with_it() {
    let mut windows = windows("p90(response) < 15ms", "1s", &[(0, 10_000)]);
    for second in 0..10 {
        let (value_ns, lag_ns) = if second == 4 { (30 * MS, 25 * MS) } else { (MS, 0) };
        let (observed, lag) = (Observed::complete(waited(value_ns, 100)), waited(lag_ns, 100));
        let data = GateData { planned: 100, succeeded: 100, generator_lag: Some(&lag), ..GateData::default() };
        windows.close(second, &data.with(Quantity::Response, &observed), UnderWay::default()).unwrap();
    }
    let outcome = ended(windows);
    assert_eq!((outcome.outcome.outcome, outcome.outcome.lag_ns), (Outcome::Fail, Some(25 * MS)));
}

#[test]
fn a_window_that_is_no_whole_number_of_seconds_is_refused_with_the_limit() {
    for over in ["0s", "1500ms", "2h"] {
        assert!(Windows::new(gate("rate > 10/s", over), OfferedSpans::until(10 * SECOND_NS)).is_err());
    }
    let mut whole = gate("rate > 10/s", "1s");
    whole.over = None;
    assert!(Windows::new(whole, OfferedSpans::until(10 * SECOND_NS)).is_err());
}
