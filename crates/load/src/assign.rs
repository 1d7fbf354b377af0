//! Giving shards to nodes in proportion to what they can do.

use nuncius_schemas::node::ShardRun;

use crate::shard::{NODES_MAX, ShardError, ShardSet, runs_of, shards_for};

/// Why shards could not be given to nodes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssignError {
    /// More nodes than shards can be made for.
    #[error("{nodes} nodes: at most {NODES_MAX} nodes can share a group, choose fewer by label")]
    TooManyNodes {
        /// How many there were.
        nodes: usize,
    },
    /// Nobody to give shards to.
    #[error("no node has capacity for the group: start a node or raise the caps of one")]
    NoCapacity,
}

/// Who has which shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// How many shards there are.
    pub shards: u32,
    /// Those of each node, in the order of the weights.
    pub owned: Vec<Vec<ShardRun>>,
}

impl Assigned {
    /// The same as sets: of many nodes they take a lot of memory.
    ///
    /// # Errors
    /// None of what [`assign`] and [`divide`] give.
    pub fn sets(&self) -> Result<Vec<ShardSet>, ShardError> {
        self.owned.iter().map(|runs| ShardSet::from_runs(self.shards, runs)).collect()
    }
}

/// Splits all shards over nodes in proportion to their capacity `weights`. How many there are follows from the nodes:
/// [`shards_for`].
///
/// Sizes are those of the largest remainder, within one of proportional; shards of a node are spread evenly over the
/// cycle, and with equal weights shard `s` goes to node `s mod n`.
///
/// # Errors
/// [`AssignError`].
pub fn assign(weights: &[u32]) -> Result<Assigned, AssignError> {
    divide(&ShardSet::all(shards_for(weights.len())), weights)
}

/// Splits the shards of a set as [`assign`] splits all: those of a node that is lost, over the others.
///
/// # Errors
/// [`AssignError`].
pub fn divide(set: &ShardSet, weights: &[u32]) -> Result<Assigned, AssignError> {
    if weights.len() > NODES_MAX {
        return Err(AssignError::TooManyNodes { nodes: weights.len() });
    }
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    if total == 0 {
        return Err(AssignError::NoCapacity);
    }
    let members: Vec<u32> = set.iter().collect();
    // Each place in the cycle that is wanted, by when it is due: the middle of the node's k-th equal part of the cycle.
    let mut due: Vec<(u128, usize)> = Vec::with_capacity(members.len());
    for ((node, weight), quota) in weights.iter().enumerate().zip(quotas(weights, total, members.len() as u64)) {
        due.extend((0..quota).map(|k| ((u128::from(2 * k + 1) << 64) / u128::from(*weight).max(1), node)));
    }
    // Of equal ones the first node goes first.
    due.sort_unstable();
    let mut own: Vec<Vec<u32>> = vec![Vec::new(); weights.len()];
    for (shard, (_, node)) in members.into_iter().zip(due) {
        if let Some(own) = own.get_mut(node) {
            own.push(shard);
        }
    }
    Ok(Assigned { shards: set.shards(), owned: own.into_iter().map(runs_of).collect() })
}

/// How many of `count` each gets, by the largest remainder.
fn quotas(weights: &[u32], total: u64, count: u64) -> Vec<u64> {
    // At most 2^32 · 2^20: no overflow.
    let exact = |weight: u32| u64::from(weight) * count;
    let mut quotas: Vec<u64> = weights.iter().map(|weight| exact(*weight) / total).collect();
    let missing = count.saturating_sub(quotas.iter().sum());
    let mut by_remainder: Vec<(u64, &mut u64)> =
        weights.iter().map(|weight| exact(*weight) % total).zip(quotas.iter_mut()).collect();
    // Stable: of equal remainders the first node gets the shard.
    by_remainder.sort_by_key(|(remainder, _)| std::cmp::Reverse(*remainder));
    for (_, quota) in by_remainder.into_iter().take(usize::try_from(missing).unwrap_or(usize::MAX)) {
        *quota += 1;
    }
    quotas
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everybody's shards; each is given once.
    fn shards_of(assigned: &Assigned) -> Vec<Vec<u32>> {
        let sets = assigned.sets().unwrap();
        let all: Vec<Vec<u32>> = sets.iter().map(|set| set.iter().collect()).collect();
        let mut seen: Vec<u32> = all.iter().flatten().copied().collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), all.iter().map(Vec::len).sum::<usize>(), "a shard is given twice");
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_shard_goes_to_exactly_one_node(weights in prop::collection::vec(any::<u32>(), 1..=400)) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let assigned = assign(&weights).unwrap();
            let count = f64::from(assigned.shards);
            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            let all = shards_of(&assigned);
            for (own, weight) in all.iter().zip(&weights) {
                prop_assert!((own.len() as f64 - f64::from(*weight) * count / total).abs() <= 1.0);
            }
            prop_assert_eq!(all.iter().map(Vec::len).sum::<usize>(), assigned.shards as usize);
        }

        #[test]
        fn shards_of_a_node_are_spread_over_the_cycle(weights in prop::collection::vec(1u32..9, 2..=40)) {
            let assigned = assign(&weights).unwrap();
            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            for (own, weight) in shards_of(&assigned).iter().zip(&weights) {
                let apart = total / f64::from(*weight);
                for pair in own.windows(2) {
                    let gap = f64::from(pair[1] - pair[0]);
                    // In order of their due places: as many of each other node lie between as come due there, and one.
                    prop_assert!(gap <= apart + weights.len() as f64, "{} where {} are wanted", gap, apart);
                }
            }
        }
    }

    #[test]
    fn equal_nodes_get_interleaved_shards() {
        for nodes in (1..=65usize).chain([100, 128, 255, 256, 300]) {
            let assigned = assign(&vec![9; nodes]).unwrap();
            let count = assigned.shards as usize;
            for (node, own) in shards_of(&assigned).iter().enumerate() {
                assert!(own.iter().all(|shard| *shard as usize % nodes == node));
                assert!((count / nodes..=count.div_ceil(nodes)).contains(&own.len()));
            }
        }
    }

    #[test]
    fn ten_thousand_nodes_have_small_shares_and_a_plan_of_a_megabyte() {
        let equal = assign(&[1; 10_000]).unwrap();
        assert_eq!(equal.shards, 65_536);
        assert!(equal.owned.iter().all(|runs| runs.len() == 1));
        let unequal: Vec<u32> = (0..10_000).map(|node| 1 + node * node % 97).collect();
        let assigned = assign(&unequal).unwrap();
        assert_eq!(shards_of(&assigned).iter().map(Vec::len).sum::<usize>(), 65_536);
        let runs: usize = assigned.owned.iter().map(Vec::len).sum();
        // Three numbers of at most five bytes each, and one byte around them.
        assert!(runs * 16 < 1 << 20, "{runs} runs");
    }

    #[test]
    fn shards_of_a_lost_node_are_divided_over_the_others_and_no_other_moves() {
        let assigned = assign(&[1, 2, 3]).unwrap();
        let lost = ShardSet::from_runs(assigned.shards, &assigned.owned[2]).unwrap();
        let moved = divide(&lost, &[1, 2]).unwrap();
        assert_eq!(moved.shards, 256);
        let all = shards_of(&moved);
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [43, 85]);
        assert!(all.iter().flatten().all(|shard| lost.contains(*shard)));
    }

    #[test]
    fn impossible_assignments_are_refused_with_the_limit() {
        let many = vec![1; NODES_MAX + 1];
        assert_eq!(assign(&many), Err(AssignError::TooManyNodes { nodes: NODES_MAX + 1 }));
        assert!(assign(&many).unwrap_err().to_string().contains("262144"));
        assert_eq!(assign(&[0, 0]), Err(AssignError::NoCapacity));
        assert_eq!(assign(&[]), Err(AssignError::NoCapacity));
        assert!(assign(&[0, 1]).unwrap().owned[0].is_empty());
    }
}
