//! With a clock of the test's own: whose time a delay is.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use nuncius_schemas::metric::Series;

use super::*;
use crate::control::Control;
use crate::plan::GroupPlan;
use crate::sink::EngineMessage;
use crate::testing::{START_NS, http, thread, told};

mod horizon;

const ROOM: usize = 1_000;

/// A group that was started at [`START_NS`], with room for so many iterations at a time.
fn started(load: &str, room: usize) -> (Sequencer, Receiver<EngineMessage>) {
    let control = Control::new();
    control.start(START_NS, u64::MAX);
    sequencer_of(&http(load), control, room)
}

fn sequencer_of(plan: &GroupPlan, control: Arc<Control>, room: usize) -> (Sequencer, Receiver<EngineMessage>) {
    let (pace, recorder, messages) = thread(plan, control, room);
    (Sequencer::new(pace, recorder, plan.sequence()), messages)
}

#[test]
fn in_a_burst_what_the_sends_before_it_took_is_a_requests_lag_and_nobodys_service() {
    let (mut sequencer, messages) = started(r#""rate": "1000000/s", "iterations": 500"#, ROOM);
    let mut now_ns = START_NS + 1_000_000;
    sequencer.poll(now_ns);
    while let Some(mut iteration) = sequencer.next(now_ns) {
        sequencer.sent(&mut iteration, now_ns);
        assert!(sequencer.answered(iteration, 200, true, now_ns + 1_000).is_none());
        // Each takes the engine so long to write.
        now_ns += 5_000;
    }
    sequencer.close(None, now_ns);
    let report = told(&messages);
    let step = &report.steps[0];
    assert_eq!((step.planned, step.succeeded, step.series.of(Series::Lag).count()), (500, 500, 500));
    // The last is planned at 0.5 ms of run time and sent at 1 ms + 499 × 5 µs.
    let lag_ns = step.series.of(Series::Lag).summary().max_ns;
    assert!((2_900_000..3_100_000).contains(&lag_ns), "{lag_ns}");
    assert_eq!(step.series.of(Series::Blocked).summary().max_ns, 0);
    assert_eq!(step.series.of(Series::Service).summary().max_ns, 1_000);
}

#[test]
fn what_a_task_waits_to_run_is_lag_and_not_blocked() {
    let (mut sequencer, messages) = started(r#""rate": "1000/s", "iterations": 10"#, ROOM);
    let taken_ns = START_NS + 20_000_000;
    sequencer.poll(taken_ns);
    let Sequencer { mut pace, mut recorder, .. } = sequencer;
    let tasks: Vec<_> = std::iter::from_fn(|| pace.next(&mut recorder, taken_ns)).collect();
    assert_eq!(tasks.len(), 10);
    for mut start in tasks {
        let runs_ns = taken_ns + 300_000_000;
        recorder.begun(&mut start, runs_ns);
        let mut exchange = recorder.enter(&start);
        recorder.sent(&mut exchange, runs_ns + 2_000);
        recorder.succeeded(exchange, 200, runs_ns + 5_000);
        pace.ended(&mut recorder, start.user, true, runs_ns + 5_000);
    }
    pace.close(recorder, taken_ns + 400_000_000);
    let report = told(&messages);
    let step = &report.steps[0];
    assert!(
        step.series.of(Series::Lag).quantile_ns(0.01).unwrap() >= 310_000_000,
        "{:?}",
        step.series.of(Series::Lag).quantile_ns(0.01)
    );
    assert_eq!(step.series.of(Series::Blocked).summary().max_ns, 2_000);
    assert_eq!(step.series.of(Series::Service).summary().max_ns, 3_000);
}

#[test]
fn an_arrival_that_waits_for_room_is_taken_at_its_instant_and_blocked_until_there_is_some() {
    let (mut sequencer, messages) = started(r#""rate": "1000/s", "iterations": 2"#, 1);
    sequencer.poll(START_NS);
    let mut first = sequencer.next(START_NS).unwrap();
    sequencer.sent(&mut first, START_NS);
    sequencer.poll(START_NS + 1_000_000);
    assert!(sequencer.next(START_NS + 1_000_000).is_none());
    let _ = sequencer.answered(first, 200, true, START_NS + 41_000_000);
    let mut second = sequencer.next(START_NS + 41_000_000).unwrap();
    sequencer.sent(&mut second, START_NS + 41_000_000);
    let _ = sequencer.answered(second, 200, true, START_NS + 42_000_000);
    sequencer.close(None, START_NS + 42_000_000);
    let report = told(&messages);
    let step = &report.steps[0];
    assert_eq!(step.series.of(Series::Lag).summary().max_ns, 0);
    assert_eq!(step.series.of(Series::Blocked).summary().max_ns, 40_000_000);
}
