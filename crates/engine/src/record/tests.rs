//! How exchanges count, with a clock of the test's own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use nuncius_schemas::meter::{Meter, MeterKind, MeterUnit};
use proptest::prelude::*;

use super::*;
use crate::sink::{MeterValue, SecondReport};
use crate::testing::{OPTIONS, START_NS, http, of_any_steps, told};

const TWO_STEPS: &str = r#""rate": "1/s", "duration": "1s", "steps": [{"path": "/a"}, {"path": "/b"}]"#;

fn recorder(plan: &GroupPlan) -> (Recorder, Receiver<EngineMessage>) {
    let (sink, messages) = sync_channel(64);
    let mut recorder = Recorder::new(plan, 0, OPTIONS, sink);
    recorder.start(START_NS, START_NS);
    (recorder, messages)
}

fn closed(recorder: Recorder, messages: &Receiver<EngineMessage>) -> Box<SecondReport> {
    recorder.close(START_NS + 900_000_000, FinishReason::ScheduleEnded, 0);
    told(messages)
}

/// An arrival that was planned at the start and handed over so much later.
fn start(recorder: &mut Recorder, launched_ns: u64) -> Start {
    recorder.arrived(START_NS);
    recorder.launched(7, 0, (START_NS, START_NS + launched_ns), true, START_NS + launched_ns)
}

#[test]
fn what_an_executor_needs_itself_is_lag_of_the_step_that_it_was_needed_for() {
    let plan = of_any_steps();
    let (mut recorder, messages) = recorder(&plan);
    let mut start = start(&mut recorder, 1_000_000);
    recorder.begun(&mut start, START_NS + 3_000_000);
    // Its template takes 2 ms, the answer 10.
    let mut first = recorder.first(4, &start, START_NS + 5_000_000);
    recorder.sent(&mut first, START_NS + 6_000_000);
    recorder.succeeded(first, 200, START_NS + 16_000_000);
    // It thinks for 20 ms, and a busy thread comes to it 5 ms late.
    let mut later = recorder.later(2, &start, START_NS + 36_000_000, START_NS + 41_000_000);
    recorder.sent(&mut later, START_NS + 41_000_000);
    recorder.succeeded(later, 200, START_NS + 43_000_000);
    let mut whole = recorder.whole(&start).unwrap();
    recorder.sent(&mut whole, START_NS + 6_000_000);
    recorder.succeeded(whole, 0, START_NS + 43_000_000);
    let report = closed(recorder, &messages);
    let most = |step: usize| {
        let step = &report.steps[step];
        [
            &step.series.of(Series::Lag),
            &step.series.of(Series::Blocked),
            &step.series.of(Series::Service),
            &step.series.of(Series::Response),
        ]
        .map(|histogram| histogram.summary().max_ns / 1_000_000)
    };
    assert_eq!(most(4), [2, 1, 10, 16]);
    assert_eq!(most(2), [5, 0, 2, 7]);
    // The arrival's own lateness is told once, where arrivals are counted.
    assert_eq!(most(8), [3, 3, 37, 43]);
    assert_eq!(report.steps.iter().map(|step| step.series.of(Series::Lag).count()).sum::<u64>(), 3);
}

#[test]
fn in_the_closed_model_a_step_that_comes_late_is_lag_though_nothing_has_a_response() {
    let plan = of_any_steps();
    let (mut recorder, messages) = recorder(&plan);
    recorder.arrived(START_NS);
    let mut start = recorder.launched(7, 0, (START_NS, START_NS), false, START_NS);
    recorder.begun(&mut start, START_NS + 1_000_000);
    let first = recorder.first(0, &start, START_NS + 1_000_000);
    recorder.succeeded(first, 200, START_NS + 2_000_000);
    let later = recorder.later(1, &start, START_NS + 2_000_000, START_NS + 9_000_000);
    recorder.censored(later, START_NS + 10_000_000);
    let report = closed(recorder, &messages);
    assert_eq!(report.steps[1].series.of(Series::Lag).summary().max_ns, 7_000_000);
    assert!(
        report
            .steps
            .iter()
            .all(|step| step.series.of(Series::Response).is_empty()
                && step.series.of(Series::CensoredResponse).is_empty())
    );
    assert!(report.steps[8].series.of(Series::Lag).is_empty(), "nothing was planned");
}

#[test]
fn a_start_that_nobody_came_to_is_censored_where_arrivals_are_counted_and_late_to_the_end() {
    for (plan, expected) in [
        (http(r#""rate": "1/s", "duration": "1s""#), vec![(1, 1, 1)]),
        (http(TWO_STEPS), vec![(1, 1, 1), (0, 0, 0), (1, 1, 0)]),
        (of_any_steps(), [vec![(0, 0, 0); 8], vec![(1, 1, 1)]].concat()),
    ] {
        let (mut recorder, messages) = recorder(&plan);
        let start = start(&mut recorder, 0);
        recorder.never_begun(start, START_NS + 500_000_000);
        let report = closed(recorder, &messages);
        let counts: Vec<_> = report
            .steps
            .iter()
            .map(|step| (step.planned, step.censored, step.series.of(Series::Lag).count()))
            .collect();
        assert_eq!(counts, expected);
        assert!(report.steps.iter().all(|step| step.in_flight == 0));
    }
}

#[test]
fn the_failure_of_a_step_is_measured_and_named_at_the_whole_too_but_its_status_is_counted_once() {
    let plan = http(TWO_STEPS);
    let (mut recorder, messages) = recorder(&plan);
    let mut start = start(&mut recorder, 0);
    recorder.begun(&mut start, START_NS);
    let (mut exchange, mut whole) = (recorder.enter(&start), recorder.whole(&start).unwrap());
    for exchange in [&mut exchange, &mut whole] {
        recorder.sent(exchange, START_NS + 1_000_000);
        recorder.failed(*exchange, FailureKind::Capture, 200, START_NS + 4_000_000, || "no token".to_owned());
    }
    let report = closed(recorder, &messages);
    for step in [0, 2] {
        let step = &report.steps[step];
        assert_eq!((step.planned, step.failed, step.failures[0].kind), (1, 1, FailureKind::Capture));
        assert_eq!(
            (step.series.of(Series::FailedService).count(), step.series.of(Series::FailedResponse).summary().max_ns),
            (1, 4_000_000)
        );
        assert!(step.series.of(Series::Service).is_empty() && step.series.of(Series::Response).is_empty());
    }
    assert_eq!((report.steps[0].statuses.len(), report.steps[2].statuses.len()), (1, 0));
}

#[test]
fn meters_add_up_by_their_kind_and_begin_anew_with_each_report() {
    let mut plan = http(TWO_STEPS);
    let meter = |name: &str, kind, unit| Arc::new(Meter { name: name.to_owned(), kind, unit });
    plan.meters = vec![
        meter("events", MeterKind::Counter, MeterUnit::Number),
        meter("sizes", MeterKind::Histogram, MeterUnit::Bytes),
    ];
    let (mut recorder, messages) = recorder(&plan);
    for value in [3, 4] {
        recorder.meter(0, value);
        recorder.meter(1, value);
        recorder.meter(2, value);
    }
    recorder.tick(START_NS + 1_000_000_000);
    let first = told(&messages);
    assert!(matches!(first.meters[0].value, MeterValue::Counter(7)));
    let MeterValue::Histogram(sizes) = &first.meters[1].value else { panic!("a histogram") };
    assert_eq!((sizes.count(), sizes.summary().max_ns), (2, 4_000));
    assert_eq!(first.meters.len(), 2);
    let second = closed(recorder, &messages);
    assert!(matches!(second.meters[0].value, MeterValue::Counter(0)));
}

#[test]
fn checks_and_redirects_are_told_beside_the_outcome() {
    let plan = http(TWO_STEPS);
    let (mut recorder, messages) = recorder(&plan);
    recorder.check(1, "has a price", true);
    recorder.check(1, "has a price", false);
    recorder.redirected(1);
    recorder.skip(0);
    let report = closed(recorder, &messages);
    let step = &report.steps[1];
    assert_eq!((step.checks[0].passed, step.checks[0].failed, step.redirects), (1, 1, 1));
    assert_eq!((step.planned, step.failed), (0, 0));
    assert_eq!((report.steps[0].planned, report.steps[0].skipped), (1, 1));
}

/// How an exchange may end.
#[derive(Debug, Clone, Copy)]
enum End {
    Succeeded,
    Failed,
    Unmade,
    Censored,
    Skipped,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Succeeded), Just(End::Failed), Just(End::Unmade), Just(End::Censored), Just(End::Skipped)]
}

proptest! {
    #[test]
    fn whatever_is_planned_ends_in_one_way_however_many_are_open_at_once(
        iterations in prop::collection::vec((prop::collection::vec((0u16..8, end()), 0..6), end()), 0..20),
        at_once in any::<bool>(),
    ) {
        let plan = of_any_steps();
        let (mut recorder, messages) = recorder(&plan);
        let now_ns = START_NS + 1_000;
        for (steps, end) in &iterations {
            let mut start = start(&mut recorder, 0);
            recorder.begun(&mut start, START_NS);
            let mut open = Vec::new();
            for (step, end) in steps {
                open.push((recorder.later(*step, &start, START_NS, now_ns), *end));
                if !at_once {
                    open.drain(..).for_each(|(exchange, end)| finish(&mut recorder, exchange, end, now_ns));
                }
            }
            open.into_iter().for_each(|(exchange, end)| finish(&mut recorder, exchange, end, now_ns));
            let whole = recorder.whole(&start).unwrap();
            finish(&mut recorder, whole, *end, now_ns);
        }
        let report = closed(recorder, &messages);
        for step in &report.steps {
            prop_assert_eq!(step.planned, step.succeeded + step.failed + step.censored + step.skipped);
            prop_assert_eq!(step.in_flight, 0);
        }
        prop_assert_eq!(report.steps[8].planned, iterations.len() as u64);
        let steps: usize = iterations.iter().map(|(steps, _)| steps.len()).sum();
        prop_assert_eq!(report.steps[..8].iter().map(|step| step.planned).sum::<u64>(), steps as u64);
    }
}

fn finish(recorder: &mut Recorder, exchange: Exchange, end: End, now_ns: u64) {
    match end {
        End::Succeeded => recorder.succeeded(exchange, 200, now_ns),
        End::Failed => recorder.failed(exchange, FailureKind::Status, 500, now_ns, String::new),
        End::Unmade => recorder.ended(exchange, Failure::Unmade(GeneratorFault::Ports), now_ns),
        End::Censored => recorder.censored(exchange, now_ns),
        End::Skipped => recorder.skipped(exchange),
    }
}
