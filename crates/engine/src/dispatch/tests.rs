//! With a clock of the test's own: whose time a delay is.

use std::sync::mpsc::{Receiver, sync_channel};

use nuncius_schemas::spec::{ExperimentSpec, RecordsMode};

mod horizon;

use super::*;
use crate::plan::{GroupInput, plan_group};
use crate::policy::TargetPolicy;
use crate::sink::SecondReport;

const START_NS: u64 = 5_000_000_000;

/// A group that was started at [`START_NS`].
fn started(load: &str) -> (Dispatcher, Receiver<EngineMessage>) {
    let control = Control::new();
    control.start(START_NS, u64::MAX);
    group(load, None, control)
}

/// A group; `joins_at_ns` where its shards were another node's until then.
fn group(load: &str, joins_at_ns: Option<u64>, control: Arc<Control>) -> (Dispatcher, Receiver<EngineMessage>) {
    let text = format!(r#"{{"groups": [{{"target": "http://127.0.0.1:1/", {load}}}]}}"#);
    let spec: ExperimentSpec = nuncius_schemas::codec::decode(text.as_bytes()).unwrap();
    let input = GroupInput {
        spec: &spec,
        group: 0,
        shards: ShardSet::all(256),
        nodes: 1,
        routes: &[],
        run_key: 0,
        trace_id: 1,
        threads: 1,
        bundle: None,
    };
    let plan = plan_group(&input, &TargetPolicy::default(), &|_| None).unwrap();
    let plan = match joins_at_ns {
        Some(at_ns) => plan.joining(at_ns, 1, 1_000),
        None => plan,
    };
    let share = Share { thread: 0, shards: ShardSet::all(256), in_flight_max: 1_000 };
    let options = EngineOptions {
        records: RecordsMode::None,
        trace_ratio: 0.0,
        trace_slowest: 0,
        seed: 1,
        drain_ns: 0,
        orphan_limit_ns: 30_000_000_000,
    };
    let (sink, messages) = sync_channel(256);
    (Dispatcher::new(&plan, share, options, control, sink), messages)
}

fn last_second(messages: &Receiver<EngineMessage>) -> Box<SecondReport> {
    let second = messages.try_iter().find_map(|message| match message {
        EngineMessage::Second(report) => Some(report),
        EngineMessage::Rows(_) | EngineMessage::Finished { .. } => None,
    });
    second.unwrap()
}

#[test]
fn in_a_burst_what_the_sends_before_it_took_is_a_requests_lag_and_nobodys_service() {
    let (mut dispatcher, messages) = started(r#""rate": "1000000/s", "iterations": 500"#);
    let mut now_ns = START_NS + 1_000_000;
    dispatcher.poll(now_ns);
    while let Some(mut iteration) = dispatcher.next(now_ns) {
        dispatcher.begun(&mut iteration, now_ns);
        dispatcher.sent(&mut iteration, now_ns);
        assert!(dispatcher.answered(iteration, 200, true, now_ns + 1_000).is_none());
        // Each takes the engine so long to write.
        now_ns += 5_000;
    }
    dispatcher.close(now_ns);
    let report = last_second(&messages);
    let step = &report.steps[0];
    assert_eq!((step.planned, step.succeeded, step.lag.count()), (500, 500, 500));
    // The last is planned at 0.5 ms of run time and sent at 1 ms + 499 × 5 µs.
    let lag_ns = step.lag.summary().max_ns;
    assert!((2_900_000..3_100_000).contains(&lag_ns), "{lag_ns}");
    assert_eq!(step.blocked.summary().max_ns, 0);
    assert_eq!(step.service.summary().max_ns, 1_000);
}

#[test]
fn what_a_task_waits_to_run_is_lag_and_not_blocked() {
    let (mut dispatcher, messages) = started(r#""rate": "1000/s", "iterations": 10"#);
    let taken_ns = START_NS + 20_000_000;
    dispatcher.poll(taken_ns);
    let tasks: Vec<Iteration> = std::iter::from_fn(|| dispatcher.next(taken_ns)).collect();
    assert_eq!(tasks.len(), 10);
    for mut iteration in tasks {
        let runs_ns = taken_ns + 300_000_000;
        dispatcher.begun(&mut iteration, runs_ns);
        dispatcher.sent(&mut iteration, runs_ns + 2_000);
        let _ = dispatcher.answered(iteration, 200, true, runs_ns + 5_000);
    }
    dispatcher.close(taken_ns + 400_000_000);
    let report = last_second(&messages);
    let step = &report.steps[0];
    assert!(step.lag.quantile_ns(0.01).unwrap() >= 310_000_000, "{:?}", step.lag.quantile_ns(0.01));
    assert_eq!(step.blocked.summary().max_ns, 2_000);
    assert_eq!(step.service.summary().max_ns, 3_000);
}

#[test]
fn an_arrival_that_waits_for_room_is_taken_at_its_instant_and_blocked_until_there_is_some() {
    let (mut dispatcher, messages) = started(r#""rate": "1000/s", "iterations": 2"#);
    dispatcher.in_flight_max = 1;
    dispatcher.poll(START_NS);
    let mut first = dispatcher.next(START_NS).unwrap();
    dispatcher.begun(&mut first, START_NS);
    dispatcher.sent(&mut first, START_NS);
    dispatcher.poll(START_NS + 1_000_000);
    assert!(dispatcher.next(START_NS + 1_000_000).is_none());
    let _ = dispatcher.answered(first, 200, true, START_NS + 41_000_000);
    let mut second = dispatcher.next(START_NS + 41_000_000).unwrap();
    dispatcher.begun(&mut second, START_NS + 41_000_000);
    dispatcher.sent(&mut second, START_NS + 41_000_000);
    let _ = dispatcher.answered(second, 200, true, START_NS + 42_000_000);
    dispatcher.close(START_NS + 42_000_000);
    let report = last_second(&messages);
    let step = &report.steps[0];
    assert_eq!(step.lag.summary().max_ns, 0);
    assert_eq!(step.blocked.summary().max_ns, 40_000_000);
}
