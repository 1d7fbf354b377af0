//! Where iterations come from: the schedule (open model) or users who have finished the one before (closed model).
//!
//! All instants are on CLOCK_MONOTONIC unless they are called run time.

use nuncius_load::ShardSet;

use super::closed::ClosedFeed;
use super::open::OpenFeed;
use crate::plan::load::Load;

#[derive(Debug)]
pub(crate) enum Feed {
    Open(OpenFeed),
    Closed(ClosedFeed),
}

impl Feed {
    /// `joins_at_ns` is when the shards come to this node, in run time; until then they were another's.
    pub(crate) fn new(load: Load, shards: ShardSet, joins_at_ns: Option<u64>) -> Self {
        match load {
            Load::Open { schedule, basis, end_ns } => {
                Self::Open(OpenFeed::new(*schedule, basis, shards, end_ns.is_some(), joins_at_ns.unwrap_or(0)))
            }
            Load::Closed(closed) => Self::Closed(ClosedFeed::new(closed, shards, joins_at_ns)),
        }
    }
}
