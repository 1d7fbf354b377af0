use std::sync::mpsc::{Receiver, sync_channel};

use nuncius_schemas::record::RecordOutcome;

use super::*;

const ROW: Row = Row {
    group: 0,
    step: 0,
    index: 0,
    planned_ns: 0,
    sent_ns: 1,
    done_ns: 1,
    status: 200,
    outcome: RecordOutcome::Succeeded,
    failure: None,
    trace_id: 0,
    span_id: 0,
    received_from: 0,
    host: None,
};

fn told(messages: &Receiver<EngineMessage>) -> Vec<(u32, u32, u64)> {
    messages
        .try_iter()
        .filter_map(|message| match message {
            EngineMessage::Second(report) => Some((report.first_second, report.last_second, report.steps[0].planned)),
            _ => None,
        })
        .collect()
}

fn count_one(seconds: &mut Seconds) {
    seconds.step(0).unwrap().planned += 1;
}

#[test]
fn each_second_is_reported_when_it_is_over() {
    let (sink, messages) = sync_channel(16);
    let mut seconds = Seconds::new((0, 0), (1, 0), &[], sink);
    seconds.start(1_000, 1_000);
    for (at_ns, expected) in [
        (1_000, vec![]),
        (999_999_999, vec![]),
        (1_000_001_000, vec![(0, 0, 3)]),
        (1_500_000_000, vec![]),
        (3_900_000_000, vec![(1, 2, 2)]),
        (4_000_001_000, vec![(3, 3, 1)]),
    ] {
        count_one(&mut seconds);
        seconds.tick(at_ns);
        assert_eq!(told(&messages), expected, "{at_ns}");
    }
    seconds.close(4_100_000_000, FinishReason::Stopped, 0);
    assert_eq!(told(&messages), [(4, 4, 0)]);
}

#[test]
fn a_full_sink_folds_seconds_and_loses_no_count() {
    let (sink, messages) = sync_channel(1);
    let mut seconds = Seconds::new((0, 0), (1, 0), &[], sink);
    seconds.start(0, 0);
    for second in 1..=5u64 {
        count_one(&mut seconds);
        seconds.tick(second * SECOND_NS);
    }
    assert_eq!(told(&messages), [(0, 0, 1)]);
    count_one(&mut seconds);
    seconds.tick(6 * SECOND_NS);
    assert_eq!(told(&messages), [(1, 5, 5)]);
}

#[test]
fn rows_without_room_are_dropped_and_counted() {
    let (sink, messages) = sync_channel(1);
    let mut seconds = Seconds::new((0, 0), (1, 0), &[], sink);
    seconds.start(0, 0);
    for _ in 0..3 * ROWS_MAX + 7 {
        seconds.row(ROW);
    }
    assert!(matches!(messages.try_recv(), Ok(EngineMessage::Rows(rows)) if rows.len() == ROWS_MAX));
    let reader = std::thread::spawn(move || messages.iter().collect::<Vec<_>>());
    seconds.close(SECOND_NS, FinishReason::Stopped, 0);
    let all = reader.join().unwrap();
    assert!(matches!(&all[0], EngineMessage::Rows(rows) if rows.len() == 7));
    assert!(matches!(&all[1], EngineMessage::Second(report) if report.dropped_rows == 2 * ROWS_MAX as u64));
    assert!(matches!(all[2], EngineMessage::Finished { .. }));
}

#[test]
fn failures_are_kept_by_kind_and_status_with_one_bounded_sample() {
    let (sink, _messages) = sync_channel(1);
    let mut seconds = Seconds::new((0, 0), (1, 0), &[], sink);
    for status in [500, 500, 503] {
        seconds.fail(0, FailureKind::Status, status, || "ä".repeat(1_000));
    }
    let recorder = seconds.step(0).unwrap();
    let counts: Vec<(u16, u64)> = recorder.failures.iter().map(|failure| (failure.status, failure.count)).collect();
    assert_eq!((recorder.failed, counts), (3, vec![(500, 2), (503, 1)]));
    assert!(recorder.failures.iter().all(|failure| failure.sample.as_ref().unwrap().len() == 256));
}

#[test]
fn a_receiver_that_is_gone_is_noticed() {
    let (sink, messages) = sync_channel(1);
    let mut seconds = Seconds::new((0, 0), (1, 0), &[], sink);
    seconds.start(0, 0);
    drop(messages);
    seconds.tick(SECOND_NS);
    assert!(seconds.is_deaf());
}
