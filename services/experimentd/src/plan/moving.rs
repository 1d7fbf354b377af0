//! Who holds which shards, and from when on, after some have moved. Pure.

use std::collections::BTreeMap;

use nuncius_load::closed::users_of;
use nuncius_load::{ShardSet, divide};
use nuncius_schemas::node::GroupAssignment;

use super::Plan;
use crate::watch::Move;

/// Shards of a group that a node offers from an instant on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) group: u16,
    pub(crate) shards: ShardSet,
    /// Run time, in nanoseconds.
    pub(crate) from_ns: u64,
}

/// What a node holds: its share of the plan, and what it took over, said that it would or may have heard that it
/// should.
pub(crate) fn held(plan: &Plan, moves: &[Move], node: &str) -> Vec<Part> {
    // We have made them ourselves: they are sets.
    let part = |share: &GroupAssignment, from_ns| {
        let shards = ShardSet::of_assignment(share).ok()?;
        Some(Part { group: share.group, shards, from_ns })
    };
    let planned = plan.assignments.get(node).into_iter().flatten().filter_map(|share| part(share, 0));
    let moved = moves
        .iter()
        .filter(|made| !made.refused.contains(node))
        .flat_map(|made| made.shares.get(node).into_iter().flatten().filter_map(|share| part(share, made.from_ns)));
    planned.chain(moved).collect()
}

/// How many of a group's users belong to a part.
pub(crate) fn users(part: &Part, all: u32) -> u64 {
    users_of(&part.shards, all).count() as u64
}

/// Gives the shards of a lost node to others, group by group: to those who offer the group already, in proportion to
/// their weights.
pub(crate) fn spread(
    plan: &Plan,
    parts: &[Part],
    survivors: &[(String, u32)],
) -> BTreeMap<String, Vec<GroupAssignment>> {
    let mut shares: BTreeMap<String, Vec<GroupAssignment>> = BTreeMap::new();
    for part in parts {
        let offers = |node: &str| plan.assignments.get(node)?.iter().find(|share| share.group == part.group);
        let takers: Vec<(&String, &GroupAssignment, u32)> =
            survivors.iter().filter_map(|(node, weight)| Some((node, offers(node)?, *weight))).collect();
        let weights: Vec<u32> = takers.iter().map(|(_, _, weight)| *weight).collect();
        // Nobody who offers the group is left.
        let Ok(divided) = divide(&part.shards, &weights) else { continue };
        for ((node, share, _), owned) in takers.into_iter().zip(divided.owned) {
            if !owned.is_empty() {
                let share = GroupAssignment { group: part.group, shards: divided.shards, owned, nodes: share.nodes };
                shares.entry(node.clone()).or_default().push(share);
            }
        }
    }
    shares
}
