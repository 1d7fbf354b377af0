//! The dashboards, one file each.

use nuncius_metrics::Metric;
use nuncius_metrics::names::queue;

use crate::Board;

mod emulators;
mod experiment;
mod nodes;
mod queues;
mod scaling;
mod system;

/// All of them.
pub fn all() -> Vec<Board> {
    vec![experiment::board(), queues::board(), nodes::board(), emulators::board(), system::board(), scaling::board()]
}

const OF_THE_TESTER: &str = "the scalability tester's name of what nuncius_queue_* says, for autoscalers made for it";

/// Families that no dashboard shows, and why.
pub const NOT_SHOWN: &[(&Metric, &str)] = &[
    (&queue::HPA_QUEUE_ALL, OF_THE_TESTER),
    (&queue::HPA_QUEUE_WAITING, OF_THE_TESTER),
    (&queue::HPA_QUEUE_RUNNING, OF_THE_TESTER),
    (&queue::HPA_QUEUE_SUCCESS, OF_THE_TESTER),
    (&queue::HPA_QUEUE_FAILURE, OF_THE_TESTER),
    (&queue::HPA_QUEUE_DISCONNECT, OF_THE_TESTER),
];
