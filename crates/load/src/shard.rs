//! Shards: the unit in which a schedule is given to nodes. Arrival `i` belongs to shard `i mod 256`, for the whole run.

use std::fmt;

/// How many shards a run has.
pub const SHARDS: u16 = 256;

/// The shard of arrival (or user) `index`.
#[inline]
pub const fn shard_of(index: u64) -> u16 {
    (index % SHARDS as u64) as u16
}

/// A set of shards.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ShardSet([u64; 4]);

impl ShardSet {
    /// No shard.
    pub const EMPTY: Self = Self([0; 4]);
    /// Every shard.
    pub const ALL: Self = Self([u64::MAX; 4]);

    /// From its wire form: bit `s % 64` of word `s / 64` is shard `s`.
    pub const fn from_words(words: [u64; 4]) -> Self {
        Self(words)
    }

    /// Its wire form.
    pub const fn words(self) -> [u64; 4] {
        self.0
    }

    /// Whether `shard` is in it; no shard from 256 on is.
    #[inline]
    pub fn contains(&self, shard: u16) -> bool {
        self.0.get(usize::from(shard / 64)).is_some_and(|word| word >> (shard % 64) & 1 == 1)
    }

    /// Whether arrival (or user) `index` belongs to it.
    #[inline]
    pub fn owns(&self, index: u64) -> bool {
        self.contains(shard_of(index))
    }

    /// Adds `shard`; false when it was there, or is no shard (256 and above).
    pub fn insert(&mut self, shard: u16) -> bool {
        let bit = 1 << (shard % 64);
        match self.0.get_mut(usize::from(shard / 64)) {
            Some(word) if *word & bit == 0 => {
                *word |= bit;
                true
            }
            _ => false,
        }
    }

    /// Its shards, rising.
    pub fn iter(&self) -> impl Iterator<Item = u16> + use<> {
        let set = *self;
        (0..SHARDS).filter(move |shard| set.contains(*shard))
    }

    /// How many shards it has.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }
}

impl FromIterator<u16> for ShardSet {
    fn from_iter<I: IntoIterator<Item = u16>>(shards: I) -> Self {
        let mut set = Self::EMPTY;
        for shard in shards {
            set.insert(shard);
        }
        set
    }
}

impl fmt::Debug for ShardSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Why shards could not be given to nodes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssignError {
    /// More nodes than shards.
    #[error("{nodes} nodes for {SHARDS} shards: at most {SHARDS} nodes can share a group, choose fewer by label")]
    TooManyNodes {
        /// How many there were.
        nodes: usize,
    },
    /// Nobody to give shards to.
    #[error("no node has capacity for the group: start a node or raise the caps of one")]
    NoCapacity,
}

/// Splits all shards over nodes in proportion to their capacity `weights`.
///
/// Sizes are those of the largest remainder, within one of proportional; shards of a node are spread evenly over the
/// cycle, and with equal weights shard `s` goes to node `s mod n`.
pub fn assign(weights: &[u32]) -> Result<Vec<ShardSet>, AssignError> {
    if weights.len() > usize::from(SHARDS) {
        return Err(AssignError::TooManyNodes { nodes: weights.len() });
    }
    let total: i64 = weights.iter().map(|weight| i64::from(*weight)).sum();
    if total == 0 {
        return Err(AssignError::NoCapacity);
    }
    struct Node {
        weight: i64,
        quota: i64,
        given: i64,
        shards: ShardSet,
    }
    let shares = weights.iter().map(|weight| i64::from(*weight));
    let mut nodes: Vec<Node> = shares
        .map(|weight| Node { weight, quota: weight * i64::from(SHARDS) / total, given: 0, shards: ShardSet::EMPTY })
        .collect();
    let missing = i64::from(SHARDS) - nodes.iter().map(|node| node.quota).sum::<i64>();
    let mut by_remainder: Vec<&mut Node> = nodes.iter_mut().collect();
    // Stable: of equal remainders the first node gets the shard.
    by_remainder.sort_by_key(|node| std::cmp::Reverse(node.weight * i64::from(SHARDS) % total));
    for node in by_remainder.into_iter().take(usize::try_from(missing).unwrap_or(0)) {
        node.quota += 1;
    }
    for shard in 0..SHARDS {
        let due = |node: &Node| node.weight * (i64::from(shard) + 1) - node.given * total;
        // The node furthest behind its share; `Reverse` because `min_by_key` returns the first of equals.
        let next =
            nodes.iter_mut().filter(|node| node.given < node.quota).min_by_key(|node| std::cmp::Reverse(due(node)));
        if let Some(node) = next {
            node.given += 1;
            node.shards.insert(shard);
        }
    }
    Ok(nodes.into_iter().map(|node| node.shards).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_shard_goes_to_exactly_one_node(weights in prop::collection::vec(any::<u32>(), 1..=256)) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let sets = assign(&weights).unwrap();
            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            let mut seen = ShardSet::EMPTY;
            for (set, weight) in sets.iter().zip(&weights) {
                prop_assert!((set.len() as f64 - f64::from(*weight) * 256.0 / total).abs() <= 1.0);
                for shard in set.iter() {
                    prop_assert!(seen.insert(shard), "shard {} twice", shard);
                }
            }
            prop_assert_eq!(seen, ShardSet::ALL);
        }
    }

    #[test]
    fn equal_nodes_get_interleaved_shards() {
        for nodes in (1..=64u16).chain([100, 128, 255, 256]) {
            for (node, set) in assign(&vec![9; usize::from(nodes)]).unwrap().iter().enumerate() {
                assert!(set.iter().all(|shard| usize::from(shard % nodes) == node));
                assert!((256 / usize::from(nodes)..=256usize.div_ceil(usize::from(nodes))).contains(&set.len()));
            }
        }
    }

    #[test]
    fn impossible_assignments_are_refused_with_the_limit() {
        assert_eq!(assign(&[1; 257]), Err(AssignError::TooManyNodes { nodes: 257 }));
        assert!(assign(&[1; 257]).unwrap_err().to_string().contains("256"));
        assert_eq!(assign(&[0, 0]), Err(AssignError::NoCapacity));
        assert_eq!(assign(&[]), Err(AssignError::NoCapacity));
        assert!(assign(&[0, 1]).unwrap()[0].is_empty());
    }

    #[test]
    fn a_set_survives_its_wire_form_and_ignores_what_is_no_shard() {
        let mut set: ShardSet = [0, 63, 64, 255].into_iter().collect();
        assert!(!set.insert(256) && !set.insert(63) && !set.contains(256) && !set.contains(1));
        assert_eq!(ShardSet::from_words(set.words()), set);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 255]);
        assert_eq!(set.len(), 4);
        assert!(set.owns(256) && !set.owns(257));
    }
}
