//! What tests of several files need: a group that is planned and started on the test's own clock.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use nuncius_load::ShardSet;
use nuncius_schemas::spec::{ExperimentSpec, RecordsMode};

use crate::control::Control;
use crate::options::EngineOptions;
use crate::pace::{Pace, Share};
use crate::plan::{GroupInput, GroupPlan, plan_group};
use crate::policy::TargetPolicy;
use crate::record::Recorder;
use crate::sink::{EngineMessage, SecondReport};

/// When run time begins.
pub(crate) const START_NS: u64 = 5_000_000_000;

pub(crate) const OPTIONS: EngineOptions = EngineOptions {
    records: RecordsMode::None,
    trace_ratio: 0.0,
    trace_slowest: 0,
    seed: 1,
    drain_ns: 0,
    orphan_limit_ns: 30_000_000_000,
};

/// A group with these fields.
pub(crate) fn plan(group: &str) -> GroupPlan {
    let text = format!(r#"{{"groups": [{{{group}}}]}}"#);
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
        variables: None,
    };
    plan_group(&input, &TargetPolicy::default(), &|_| None).unwrap()
}

/// An HTTP group with these fields.
pub(crate) fn http(load: &str) -> GroupPlan {
    plan(&format!(r#""target": "http://127.0.0.1:1/", {load}"#))
}

/// A group whose iterations may begin with any of its eight steps.
pub(crate) fn of_any_steps() -> GroupPlan {
    plan(r#""engine": "servo", "target": "nats://oco", "users": 1, "duration": "9s""#)
}

/// The one thread of a group.
pub(crate) fn thread(
    plan: &GroupPlan,
    control: Arc<Control>,
    in_flight_max: usize,
) -> (Pace, Recorder, Receiver<EngineMessage>) {
    let (sink, messages): (SyncSender<EngineMessage>, _) = sync_channel(256);
    let share = Share { thread: 0, shards: ShardSet::all(256), in_flight_max, users_max: usize::MAX };
    (Pace::new(plan, share, OPTIONS, control), Recorder::new(plan, 0, OPTIONS, sink), messages)
}

/// The first second that was told.
pub(crate) fn told(messages: &Receiver<EngineMessage>) -> Box<SecondReport> {
    let second = messages.try_iter().find_map(|message| match message {
        EngineMessage::Second(report) => Some(report),
        EngineMessage::Rows(_) | EngineMessage::Finished { .. } => None,
    });
    second.unwrap()
}
