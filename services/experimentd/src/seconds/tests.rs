use nuncius_schemas::meter::{MeterDelta, MeterKind, MeterUnit};
use nuncius_schemas::metric::{Health, MetricDelta, SlowRequest, StepDelta};
use nuncius_schemas::second::MeterSecond;
use nuncius_stats::{Histogram, Incarnation};

use super::*;
use crate::totals::RunTotals;

const SPEC: &str = r#"{"groups":[
    {"name":"browse","target":"http://127.0.0.1:1/","rate":"10/s","duration":"2500ms",
     "steps":[{"name":"list"},{"name":"buy"}]},
    {"name":"poll","target":"http://127.0.0.1:1/","users":2,"duration":"4s"}]}"#;

fn spec() -> ExperimentSpec {
    serde_json::from_str(SPEC).unwrap()
}

const RUNNING: Closing = Closing { status: RunStatus::Running, stopped_ns: None, ended_ns: None };

fn histogram(values_ns: &[u64]) -> Vec<u8> {
    let mut histogram = Histogram::default();
    values_ns.iter().for_each(|value_ns| histogram.record_ns(*value_ns));
    nuncius_stats::Totals::from(&histogram).encode()
}

/// An empty delta, made from its message so that fields that are added later need no mention here.
fn empty(node: &str, sequence: u64, second: u32) -> MetricDelta {
    let text = format!(
        r#"{{"experiment":"e","node":"{node}","epoch":1,"sequence":{sequence},"part":0,"parts":1,
            "first_second":{second},"last_second":{second},"last":false,"stopped":null,"steps":[],"health":null}}"#
    );
    serde_json::from_str(&text).unwrap()
}

/// What a node told of a second: `count` iterations of two requests each, and as many of the other group.
fn delta(node: &str, sequence: u64, second: u32, count: u64, latency_ns: u64) -> MetricDelta {
    let step = |group, step| StepDelta {
        group,
        step,
        planned: count,
        sent: count,
        succeeded: count,
        in_flight: 1,
        bytes_sent: 100 * count,
        response: histogram(&vec![latency_ns; count as usize]),
        ..StepDelta::default()
    };
    MetricDelta {
        steps: vec![step(0, 0), step(0, 1), step(0, 2), step(1, 0)],
        health: Some(Health { interval_ns: 1_000_000_000, busy_ns: 250_000_000, ..Health::default() }),
        ..empty(node, sequence, second)
    }
}

fn books() -> (RunTotals, Seconds) {
    let mut totals = RunTotals::new(vec![2, 0]);
    let incarnation = Incarnation { epoch: 1, attempt: 1 };
    totals.enroll("n1", incarnation);
    totals.enroll("n2", incarnation);
    (totals, Seconds::new("e", &spec(), &[2, 2], 5_000_000_000))
}

fn close(totals: &mut RunTotals, seconds: &mut Seconds, before: u32, closing: &Closing) -> Vec<ExperimentSecond> {
    totals.close_before(before).iter().flat_map(|(second, closed)| seconds.close(*second, closed, closing)).collect()
}

#[test]
fn meters_are_told_in_each_second_with_what_they_add_up_to_and_once_in_parts() {
    let (mut totals, mut seconds) = books();
    let with_meter = |node: &str, sequence: u64, second: u32, sum: u64| {
        let counter = MeterDelta {
            group: 0,
            name: "messages".to_owned(),
            kind: MeterKind::Counter,
            unit: MeterUnit::Number,
            sum,
            histogram: Vec::new(),
        };
        let values = histogram(&[5_000_000; 3]);
        let waits = MeterDelta {
            name: "waits".to_owned(),
            kind: MeterKind::Histogram,
            histogram: values,
            sum: 0,
            ..counter.clone()
        };
        MetricDelta { meters: vec![counter, waits], ..delta(node, sequence, second, 2, 1_000_000) }
    };
    totals.merge(&with_meter("n1", 1, 0, 7)).unwrap();
    totals.merge(&with_meter("n2", 1, 0, 5)).unwrap();
    totals.merge(&delta("n1", 2, 1, 1, 1_000_000)).unwrap();
    let told = close(&mut totals, &mut seconds, 2, &RUNNING);
    let sums = |second: &ExperimentSecond| -> Vec<(String, u64, u64, u64, u64)> {
        let of = |m: &MeterSecond| (m.name.clone(), m.sum, m.sum_so_far, m.values.count, m.values_so_far);
        second.groups[0].meters.iter().map(of).collect()
    };
    assert_eq!(sums(&told[0]), [("messages".to_owned(), 12, 12, 0, 0), ("waits".to_owned(), 0, 0, 6, 6)]);
    assert_eq!(sums(&told[1]), [("messages".to_owned(), 0, 12, 0, 0), ("waits".to_owned(), 0, 0, 0, 6)]);
    assert!(told[0].groups[1].meters.is_empty(), "of the other group");
    // What comes late is added, and whoever goes on from the state knows the sums.
    totals.merge(&with_meter("n2", 2, 0, 1)).unwrap();
    let late = close(&mut totals, &mut seconds, 2, &RUNNING);
    assert_eq!(sums(&late[0])[0], ("messages".to_owned(), 13, 13, 0, 0));
    let mut other = Seconds::new("e", &spec(), &[2, 2], 5_000_000_000);
    other.restore(&seconds.state().unwrap()).unwrap();
    let on = close(&mut totals, &mut other, 3, &RUNNING);
    assert!(on.iter().all(|second| second.groups[0].meters[0].sum_so_far == 13), "{on:?}");
    // In several messages each is told once.
    let parts = split_within(told[0].clone(), 2_500, 512);
    assert!(parts.len() > 1);
    let meters = parts.iter().flat_map(|part| &part.groups).map(|group| group.meters.len()).sum::<usize>();
    assert_eq!(meters, 2, "{parts:?}");
}

#[test]
fn a_second_tells_iterations_and_requests_apart_and_what_the_schedule_holds() {
    let (mut totals, mut seconds) = books();
    totals.merge(&delta("n1", 1, 0, 6, 1_000_000)).unwrap();
    totals.merge(&delta("n2", 1, 0, 4, 2_000_000)).unwrap();
    let told = close(&mut totals, &mut seconds, 1, &RUNNING);
    assert_eq!(told.len(), 1);
    let second = &told[0];
    assert_eq!((second.second, second.length_ns, second.seconds_total), (0, SECOND_NS, Some(4)));
    assert_eq!(second.at_unix_ns, 5_000_000_000);
    let (browse, poll) = (&second.groups[0], &second.groups[1]);
    assert_eq!((browse.scheduled, browse.offered_ns), (Some(10), SECOND_NS));
    assert_eq!(browse.iterations.as_ref().map(|step| (step.offered, step.in_flight)), Some((10, 2)));
    assert_eq!(browse.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["list", "buy"]);
    assert_eq!((browse.so_far.iterations.offered, browse.so_far.requests.offered), (10, 20));
    assert!(poll.iterations.is_none() && poll.scheduled.is_none());
    assert_eq!(poll.iteration().map(|step| step.offered), Some(10));
    assert_eq!(browse.steps[0].response.count, 10);
    let node = &second.nodes[0];
    assert_eq!((node.node.as_str(), node.offered, node.in_flight), ("n1", 12, 2));
    assert!((node.utilisation - 0.25).abs() < 1e-9);
}

#[test]
fn seconds_of_which_nothing_was_told_are_there_with_what_was_scheduled() {
    let (mut totals, mut seconds) = books();
    totals.merge(&delta("n1", 1, 0, 10, 1_000_000)).unwrap();
    let mut folded = delta("n1", 2, 3, 5, 1_000_000);
    folded.first_second = 1;
    totals.merge(&folded).unwrap();
    let told = close(&mut totals, &mut seconds, 4, &RUNNING);
    assert_eq!(told.iter().map(|second| second.second).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let scheduled: Vec<_> = told.iter().map(|second| second.groups[0].scheduled).collect();
    assert_eq!(scheduled, [Some(10), Some(10), Some(5), Some(0)], "2.5 s at 10/s");
    let offered: Vec<_> = told.iter().map(|second| second.groups[0].offered_ns / 1_000_000).collect();
    assert_eq!(offered, [1_000, 1_000, 500, 0]);
    assert_eq!(told.iter().map(|second| second.nodes.len()).collect::<Vec<_>>(), [1, 0, 0, 1]);
    assert_eq!(told[3].first_second, 1);
}

#[test]
fn only_the_last_second_is_shorter_than_a_whole_one() {
    let filled = || {
        let (mut totals, seconds) = books();
        for second in 0..3 {
            totals.merge(&delta("n1", u64::from(second) + 1, second, 5, 1_000_000)).unwrap();
        }
        (totals, seconds)
    };
    let ended = Closing { ended_ns: Some(2_800_000_000), ..RUNNING };
    let (mut totals, mut seconds) = filled();
    let told = close(&mut totals, &mut seconds, u32::MAX, &ended);
    let lengths: Vec<_> = told.iter().map(|second| second.length_ns / 1_000_000).collect();
    // The users were to go on until 4 s: what was offered was under way.
    assert_eq!(lengths, [1_000, 1_000, 1_000]);

    let (mut totals, mut seconds) = filled();
    let stopped = Closing { stopped_ns: Some(2_300_000_000), ..ended };
    let told = close(&mut totals, &mut seconds, u32::MAX, &stopped);
    assert_eq!(told[2].length_ns, 800_000_000);
    assert_eq!((told[2].groups[0].offered_ns, told[2].groups[1].offered_ns), (300_000_000, 300_000_000));
}

#[test]
fn what_comes_late_is_told_as_a_revision_of_the_whole_second() {
    let (mut totals, mut seconds) = books();
    for second in 0..3 {
        totals.merge(&delta("n1", u64::from(second) + 1, second, 5, 1_000_000)).unwrap();
    }
    close(&mut totals, &mut seconds, 3, &RUNNING);
    totals.merge(&delta("n2", 1, 1, 7, 9_000_000)).unwrap();
    let told = close(&mut totals, &mut seconds, 3, &RUNNING);
    assert_eq!(told.len(), 1);
    let second = &told[0];
    assert_eq!((second.second, second.revision, second.late), (1, 1, false));
    assert_eq!(second.groups[0].steps[0].offered, 12);
    let all = [[1_000_000; 5].as_slice(), &[9_000_000; 7]].concat();
    assert_eq!(second.groups[0].steps[0].response.histogram, histogram(&all));
    assert_eq!(second.groups[0].so_far.iterations.offered, 22);
    assert_eq!(second.nodes.len(), 2);
    assert_eq!(seconds.over_time().series[0].columns.offered, [5, 12, 5]);
}

#[test]
fn what_comes_after_its_second_was_let_go_is_told_as_a_piece_and_no_count_is_lost() {
    let (mut totals, mut seconds) = books();
    let many = u32::try_from(RECENT_SECONDS_MAX).unwrap() + 5;
    for second in 0..many {
        totals.merge(&delta("n1", u64::from(second) + 1, second, 1, 1_000_000)).unwrap();
    }
    close(&mut totals, &mut seconds, many, &RUNNING);
    let mut late = Vec::new();
    for (sequence, second) in [(1, 0), (2, 0), (3, 1)] {
        totals.merge(&delta("n2", sequence, second, 3, 9_000_000)).unwrap();
        late.extend(close(&mut totals, &mut seconds, many, &RUNNING));
    }
    assert!(late.iter().all(|piece| piece.late && piece.groups[0].steps[0].offered == 3));
    let mut numbers: Vec<_> = late.iter().map(|piece| (piece.second, piece.revision)).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), 3, "each piece is known by a number of its own");
    let offered: u64 = seconds.over_time().series[0].columns.offered.iter().sum();
    assert_eq!(offered, u64::from(many) + 9);
}

#[test]
fn a_second_that_is_too_long_is_split_by_steps_and_its_parts_add_up_to_it() {
    let (mut totals, mut seconds) = books();
    totals.merge(&delta("n1", 1, 0, 50, 1_000_000)).unwrap();
    let whole = close(&mut totals, &mut seconds, 1, &RUNNING).remove(0);
    // One step a message: a limit just above what one needs.
    let limit = 2_500;
    let parts = split_within(whole.clone(), limit, 500);
    assert!(parts.len() > 1 && parts.iter().all(|part| part.parts as usize == parts.len()), "{}", parts.len());
    for part in &parts {
        assert!(codec::encode(part).unwrap().len() <= limit);
    }
    assert!(parts[1..].iter().all(|part| part.nodes.is_empty()));
    let mut parts = parts.into_iter();
    let mut sum = parts.next().unwrap();
    parts.for_each(|part| add_piece(&mut sum, &part).unwrap());
    assert_eq!(ExperimentSecond { parts: 1, ..sum }, whole);
    assert_eq!(split(whole, usize::MAX).len(), 1);
}

#[test]
fn a_step_that_alone_is_too_long_goes_without_its_histograms_and_says_so() {
    let (mut totals, mut seconds) = books();
    let mut long = delta("n1", 1, 0, 1, 1);
    let values: Vec<u64> = (0..20_000u64).map(|i| 3_000_000 + i * 97_000).collect();
    for step in &mut long.steps {
        step.response = histogram(&values);
    }
    totals.merge(&long).unwrap();
    let whole = close(&mut totals, &mut seconds, 1, &RUNNING).remove(0);
    let limit = 4_000;
    let parts = split_within(whole, limit, 1_000);
    let steps: Vec<_> = parts.iter().flat_map(|part| &part.groups).flat_map(|group| &group.steps).collect();
    assert!(steps.iter().all(|step| step.without_histograms && step.response.histogram.is_empty()));
    assert!(steps.iter().all(|step| step.response.count == 20_000 && step.response.p99_ns.is_some()));
    for part in &parts {
        assert!(codec::encode(part).unwrap().len() <= limit);
    }
}

#[test]
fn of_very_many_nodes_a_second_tells_of_those_that_fared_worst_and_of_how_many_others() {
    let (mut totals, mut seconds) = books();
    for number in 0..1_000 {
        totals.enroll(&format!("m{number}"), Incarnation { epoch: 1, attempt: 1 });
        let mut delta = delta(&format!("m{number}"), 1, 0, 1, 1_000_000);
        for step in &mut delta.steps {
            step.lag = histogram(&[if number == 777 { 90_000_000 } else { 1_000 }]);
        }
        let run_delay_ns = if number == 3 { SECOND_NS / 2 } else { 0 };
        delta.health = Some(Health { interval_ns: SECOND_NS, run_delay_ns, ..Health::default() });
        totals.merge(&delta).unwrap();
    }
    let whole = close(&mut totals, &mut seconds, 1, &RUNNING).remove(0);
    assert_eq!((whole.nodes.len(), whole.nodes_left_out), (256, 744));
    assert!(whole.nodes.iter().any(|node| node.node == "m777" && node.lag_p99_ns >= Some(90_000_000)));
    assert!(whole.nodes.iter().any(|node| node.node == "m3" && node.run_delay_share > 0.4));
    assert_eq!(whole.groups[0].iteration().map(|step| step.offered), Some(1_000));
    let parts = split_within(whole.clone(), 64 * 1024, 2_000);
    assert_eq!(parts.iter().map(|part| part.nodes_left_out).sum::<u32>(), 744);
}

fn slow(response_ns: u64) -> SlowRequest {
    let text = format!(
        r#"{{"trace_id":"{:032x}","span_id":"{response_ns:016x}","response_ns":{response_ns},"service_ns":1,"done_ns":2,
            "index":3,"status":200}}"#,
        7
    );
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_slowest_of_all_nodes_are_told_with_the_second_and_what_came_late_takes_its_place_among_them() {
    let (mut totals, mut seconds) = books();
    let told_by = |node: &str, sequence: u64, times_ns: &[u64]| {
        let mut delta = delta(node, sequence, 0, 6, 1_000_000);
        delta.steps[0].slowest = times_ns.iter().copied().map(slow).collect();
        delta
    };
    totals.merge(&told_by("n1", 1, &[900, 500, 100])).unwrap();
    totals.merge(&told_by("n2", 1, &[800, 700, 600])).unwrap();
    let of = |second: &ExperimentSecond| -> Vec<(u64, String)> {
        let slowest = &second.groups[0].steps[0].slowest;
        slowest.iter().map(|slow| (slow.response_ns, slow.node.clone())).collect()
    };
    let first = close(&mut totals, &mut seconds, 1, &RUNNING);
    let names = |pairs: &[(u64, &str)]| pairs.iter().map(|(ns, node)| (*ns, (*node).to_owned())).collect::<Vec<_>>();
    assert_eq!(of(&first[0]), names(&[(900, "n1"), (800, "n2"), (700, "n2")]), "as many as the specification says");
    assert!(first[0].groups[0].steps[1].slowest.is_empty());
    totals.merge(&told_by("n1", 2, &[850, 10])).unwrap();
    let again = close(&mut totals, &mut seconds, 1, &RUNNING);
    assert_eq!(of(&again[0]), names(&[(900, "n1"), (850, "n1"), (800, "n2")]));
    // Over the run more are kept, for the report.
    let kept: Vec<u64> = totals.steps[&(0, 0)].slowest.iter().map(|slow| slow.response_ns).collect();
    assert_eq!(kept, [900, 850, 800, 700, 600, 500, 100, 10]);
}
