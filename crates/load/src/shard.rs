//! Shards: the unit in which a schedule is given to nodes. Arrival `i` belongs to shard `i mod S`, for the whole run;
//! `S` is fixed when the run is planned.

use std::fmt;
use std::sync::Arc;

use nuncius_schemas::node::{GroupAssignment, ShardRun};

/// Least shards of a run.
pub const SHARDS_MIN: u32 = 256;
/// Most shards of a run.
pub const SHARDS_MAX: u32 = 1 << 20;
/// Most nodes that can share a group: a node has at least four shards or so.
pub const NODES_MAX: usize = SHARDS_MAX as usize / SHARDS_PER_NODE;

/// How many shards there are for each node at least, so that equal nodes have nearly equal loads.
const SHARDS_PER_NODE: usize = 4;
const BITS: u32 = u64::BITS;

/// How many shards a group has that so many nodes share: a power of two, at least [`SHARDS_MIN`] and four times the
/// nodes, at most [`SHARDS_MAX`].
pub const fn shards_for(nodes: usize) -> u32 {
    if nodes >= NODES_MAX {
        return SHARDS_MAX;
    }
    // At most `SHARDS_MAX` by the line above.
    let wanted = (nodes * SHARDS_PER_NODE).next_power_of_two() as u32;
    if wanted < SHARDS_MIN { SHARDS_MIN } else { wanted }
}

/// What is no set of shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// A number of shards that no run has.
    #[error("shards: {0} is no power of two from {SHARDS_MIN} to {SHARDS_MAX}")]
    Count(u32),
    /// A shard that is not there.
    #[error(
        "owned: {} shards from {} on, each {} after the one before, go beyond the {shards} that there are",
        run.count,
        run.start,
        run.step
    )]
    Beyond {
        /// Where.
        run: ShardRun,
        /// How many shards there are.
        shards: u32,
    },
    /// A shard that is given twice.
    #[error("owned: shard {0} is there twice")]
    Twice(u32),
}

/// A set of the shards of one run. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ShardSet {
    /// Shards of the run, less one: a power of two less one.
    mask: u32,
    /// Bit `s % 64` of word `s / 64` is shard `s`.
    words: Arc<[u64]>,
}

impl ShardSet {
    /// All `shards` of a run; as many as a run can have where it cannot have so many.
    pub fn all(shards: u32) -> Self {
        let shards = possible(shards);
        Self::of_words(shards, vec![u64::MAX; (shards / BITS) as usize])
    }

    /// Those `members` that are among `shards`; see [`ShardSet::all`].
    pub fn of(shards: u32, members: impl IntoIterator<Item = u32>) -> Self {
        let shards = possible(shards);
        let mut words = vec![0; (shards / BITS) as usize];
        for shard in members {
            insert(&mut words, shard);
        }
        Self::of_words(shards, words)
    }

    /// From its wire form.
    ///
    /// # Errors
    /// [`ShardError`]: what the form says of shards that there cannot be.
    pub fn from_runs(shards: u32, owned: &[ShardRun]) -> Result<Self, ShardError> {
        if shards != possible(shards) {
            return Err(ShardError::Count(shards));
        }
        let mut words = vec![0; (shards / BITS) as usize];
        for run in owned {
            let last = u64::from(run.start) + u64::from(run.step) * u64::from(run.count.saturating_sub(1));
            if last >= u64::from(shards) {
                return Err(ShardError::Beyond { run: *run, shards });
            }
            for place in 0..run.count {
                let shard = run.start + run.step * place;
                if !insert(&mut words, shard) {
                    return Err(ShardError::Twice(shard));
                }
            }
        }
        Ok(Self::of_words(shards, words))
    }

    /// Those that a node was given of a group.
    ///
    /// # Errors
    /// As [`ShardSet::from_runs`].
    pub fn of_assignment(assignment: &GroupAssignment) -> Result<Self, ShardError> {
        Self::from_runs(assignment.shards, &assignment.owned)
    }

    fn of_words(shards: u32, words: Vec<u64>) -> Self {
        Self { mask: shards - 1, words: words.into() }
    }

    /// Its wire form.
    pub fn runs(&self) -> Vec<ShardRun> {
        runs_of(self.iter())
    }

    /// How many shards the run has, in this set or not.
    pub fn shards(&self) -> u32 {
        self.mask + 1
    }

    /// The part of all shards that it has, from 0 to 1.
    pub fn share(&self) -> f64 {
        self.len() as f64 / f64::from(self.shards())
    }

    /// Whether `shard` is in it; none beyond [`ShardSet::shards`] is.
    #[inline]
    pub fn contains(&self, shard: u32) -> bool {
        self.words.get((shard / BITS) as usize).is_some_and(|word| word >> (shard % BITS) & 1 == 1)
    }

    /// Whether arrival (or user) `index` belongs to it.
    #[inline]
    pub fn owns(&self, index: u64) -> bool {
        self.contains(self.shard_of(index))
    }

    /// The shard of arrival (or user) `index`.
    #[inline]
    pub fn shard_of(&self, index: u64) -> u32 {
        // A remainder, since the number of shards is a power of two; what is cut off is masked away.
        index as u32 & self.mask
    }

    /// Its shards, rising.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..).zip(self.words.iter()).flat_map(|(place, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                // The lowest bit goes.
                left &= left.wrapping_sub(1);
                (bit < BITS).then_some(place * BITS + bit)
            })
        })
    }

    /// How many shards it has.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }
}

/// The number of shards that a run can have, nearest from above where there is one.
fn possible(shards: u32) -> u32 {
    shards.clamp(SHARDS_MIN, SHARDS_MAX).next_power_of_two()
}

/// Whether it was not there, and there can be such a shard.
fn insert(words: &mut [u64], shard: u32) -> bool {
    let bit = 1 << (shard % BITS);
    match words.get_mut((shard / BITS) as usize) {
        Some(word) if *word & bit == 0 => {
            *word |= bit;
            true
        }
        _ => false,
    }
}

/// Rising shards as runs of even steps: one for a node among equal ones, and never more than half as many as shards
/// and one.
pub(crate) fn runs_of(rising: impl IntoIterator<Item = u32>) -> Vec<ShardRun> {
    let mut runs: Vec<ShardRun> = Vec::new();
    for shard in rising {
        match runs.last_mut() {
            Some(run) if run.count == 1 => {
                run.step = shard - run.start;
                run.count = 2;
            }
            Some(run) if shard == run.start + run.step * run.count => run.count += 1,
            _ => runs.push(ShardRun { start: shard, step: 1, count: 1 }),
        }
    }
    runs
}

impl fmt::Debug for ShardSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "of {}: ", self.shards())?;
        f.debug_list().entries(self.runs()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(start: u32, step: u32, count: u32) -> ShardRun {
        ShardRun { start, step, count }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_set_survives_its_wire_form(members in prop::collection::btree_set(0u32..1024, 0..1024)) {
            let set = ShardSet::of(1024, members.iter().copied());
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), members.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.len(), members.len());
            let runs = set.runs();
            prop_assert!(runs.len() <= members.len() / 2 + 1);
            prop_assert_eq!(ShardSet::from_runs(1024, &runs), Ok(set));
        }
    }

    #[test]
    fn shards_are_a_power_of_two_and_four_for_each_node() {
        for (nodes, shards) in [
            (0, 256),
            (1, 256),
            (64, 256),
            (65, 512),
            (300, 2_048),
            (10_000, 65_536),
            (NODES_MAX, SHARDS_MAX),
            (usize::MAX, SHARDS_MAX),
        ] {
            assert_eq!(shards_for(nodes), shards, "{nodes} nodes");
        }
    }

    #[test]
    fn an_arrival_belongs_to_the_shard_of_its_index_whatever_its_size() {
        let set = ShardSet::of(65_536, [0, 63, 64, 65_535, 65_536]);
        assert_eq!((set.shards(), set.len()), (65_536, 4));
        assert!(set.owns(65_536) && set.owns(1 << 40 | 63) && !set.owns(65) && !set.contains(65_536));
        assert!(ShardSet::all(256).owns(u64::MAX) && ShardSet::all(256).share() == 1.0);
        assert!(ShardSet::of(256, []).is_empty() && !ShardSet::of(256, []).owns(0));
    }

    #[test]
    fn a_wire_form_that_is_no_set_is_refused_and_costs_nothing() {
        for shards in [0, 1, 255, 257, 300, SHARDS_MAX * 2, u32::MAX] {
            assert_eq!(ShardSet::from_runs(shards, &[]), Err(ShardError::Count(shards)));
        }
        for beyond in [run(256, 1, 1), run(0, 1, 257), run(0, u32::MAX, u32::MAX), run(u32::MAX, 0, 0)] {
            assert_eq!(ShardSet::from_runs(256, &[beyond]), Err(ShardError::Beyond { run: beyond, shards: 256 }));
        }
        assert_eq!(ShardSet::from_runs(256, &[run(7, 0, u32::MAX)]), Err(ShardError::Twice(7)));
        assert_eq!(ShardSet::from_runs(256, &[run(0, 2, 8), run(2, 1, 1)]), Err(ShardError::Twice(2)));
        assert!(ShardSet::from_runs(256, &[run(0, 0, 0)]).unwrap().is_empty());
    }

    #[test]
    fn one_node_with_all_shards_and_one_of_many_equal_ones_are_one_run() {
        assert_eq!(ShardSet::all(65_536).runs(), [run(0, 1, 65_536)]);
        assert_eq!(ShardSet::of(65_536, (3..65_536).step_by(10_000)).runs(), [run(3, 10_000, 7)]);
    }
}
