//! Which host each request goes to: smooth weighted round robin, as nginx does it. A host of weight `w` is chosen `w`
//! times in every cycle of as many requests as the weights sum up to, and never in bursts.
//!
//! The choice is a function of the request's position, so that all threads and nodes of a group keep the weights
//! together: each host gets its share of the whole load, whoever sends it.

use std::sync::Arc;

use super::load::{ClosedLoad, Load};

/// Most steps of making a cycle: requests of the cycle times hosts.
const CYCLE_STEPS_MAX: u128 = 1 << 26;

/// The hosts of one cycle, in order; empty where there is one host alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spread {
    cycle: Arc<[u16]>,
}

impl Spread {
    /// From the weights of the hosts; one whose weight is 0 gets nothing.
    ///
    /// # Errors
    /// Says what to do where the weights have a cycle that is too long.
    pub(crate) fn new(weights: &[u64]) -> Result<Self, String> {
        let used = weights.iter().filter(|weight| **weight > 0).count();
        if used < 2 {
            let only = weights.iter().position(|weight| *weight > 0).unwrap_or(0);
            let cycle = (only > 0).then(|| u16::try_from(only).unwrap_or(u16::MAX));
            return Ok(Self { cycle: cycle.into_iter().collect() });
        }
        let total: u128 = weights.iter().copied().map(u128::from).sum();
        let steps = total.saturating_mul(weights.len() as u128);
        if steps > CYCLE_STEPS_MAX {
            return Err(format!(
                "the weights of its {used} addresses repeat after {total} requests only; at most {} requests are taken: \
                 use smaller weights, or weights with a common divisor",
                CYCLE_STEPS_MAX / weights.len() as u128
            ));
        }
        let total = i64::try_from(total).unwrap_or(i64::MAX);
        let mut hosts: Vec<(i64, i64)> =
            weights.iter().map(|weight| (i64::try_from(*weight).unwrap_or(i64::MAX), 0)).collect();
        let cycle = (0..total).map(|_| next(&mut hosts, total)).collect();
        Ok(Self { cycle })
    }

    /// Index of the host of the request at `position`.
    #[inline]
    pub(crate) fn host(&self, position: u64) -> usize {
        match self.cycle.len() as u64 {
            0 => 0,
            length => self.cycle.get((position % length) as usize).copied().map_or(0, usize::from),
        }
    }

    /// Where of the cycle a thread begins that counts for itself and whose first shard is `shard` of `shards`: threads
    /// begin apart, so that they do not all prefer the same host.
    fn begin(&self, shard: u64, shards: u64) -> u64 {
        (self.cycle.len() as u64).saturating_mul(shard) / shards.max(1)
    }
}

/// One step of the round robin: weights and what has accumulated for each.
fn next(hosts: &mut [(i64, i64)], total: i64) -> u16 {
    let mut best = 0;
    let mut best_current = i64::MIN;
    for (index, (weight, current)) in (0u16..).zip(hosts.iter_mut()) {
        *current += *weight;
        if *current > best_current {
            best = index;
            best_current = *current;
        }
    }
    if let Some((_, current)) = hosts.get_mut(usize::from(best)) {
        *current -= total;
    }
    best
}

/// How the position of an iteration is found.
#[derive(Debug, Clone, Copy)]
enum Position {
    /// It is the iteration's index: every index is run, by whichever node.
    Index,
    /// As many iterations as are given, by users in turn. In every round each user moves on by one, so that none
    /// is tied to one host; the last round, which may be a part of one, does not turn.
    Rounds { users: u64, iterations: u64 },
    /// Users who go on for a time get through different numbers of iterations: each thread counts its own.
    Count(u64),
}

/// Chooses hosts for the iterations of one thread.
#[derive(Debug)]
pub(crate) struct Picker {
    spread: Spread,
    position: Position,
    ahead: u64,
}

impl Picker {
    /// Of a group of so many shards; `first_shard` is the first one of the thread's own.
    pub(crate) fn new(spread: &Spread, load: &Load, shards: u32, first_shard: u32) -> Self {
        let begin = spread.begin(u64::from(first_shard), u64::from(shards));
        let position = match load {
            Load::Open { .. } => Position::Index,
            Load::Closed(ClosedLoad { users, iterations: Some(iterations), .. }) => {
                Position::Rounds { users: u64::from(*users).max(1), iterations: *iterations }
            }
            Load::Closed(ClosedLoad { iterations: None, .. }) => Position::Count(begin),
        };
        Self { spread: spread.clone(), position, ahead: begin }
    }

    /// The host of the iteration of this index.
    #[inline]
    pub(crate) fn pick(&mut self, index: u64) -> usize {
        let position = self.position(index);
        self.spread.host(position)
    }

    /// Where the iteration of this index stands among all: who knows it can choose hosts of other targets, too.
    #[inline]
    pub(crate) fn position(&mut self, index: u64) -> u64 {
        match &mut self.position {
            Position::Index => index,
            Position::Rounds { users, iterations } => in_round(index, *users, *iterations),
            Position::Count(at) => {
                *at = at.wrapping_add(1);
                at.wrapping_sub(1)
            }
        }
    }

    /// The hosts are others from now on, at the same positions.
    pub(crate) fn follow(&mut self, spread: &Spread) {
        self.spread = spread.clone();
    }

    /// The next host for what belongs to no iteration, such as a connection opened ahead of need.
    pub(crate) fn next_ahead(&mut self) -> usize {
        self.ahead = self.ahead.wrapping_add(1);
        self.spread.host(self.ahead.wrapping_sub(1))
    }
}

fn in_round(index: u64, users: u64, iterations: u64) -> u64 {
    let (round, user) = (index / users, index % users);
    let begin = round * users;
    if begin.saturating_add(users) > iterations { index } else { begin + (user + round % users) % users }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(weights: &[u64], count: u64) -> Vec<usize> {
        let spread = Spread::new(weights).unwrap();
        (0..count).map(|position| spread.host(position)).collect()
    }

    #[test]
    fn weights_are_kept_exactly_in_every_cycle_and_without_bursts() {
        assert_eq!(picked(&[5, 1, 1], 14), [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(picked(&[1, 1], 4), [0, 1, 0, 1]);
        assert_eq!(picked(&[9], 3), [0, 0, 0]);
        let many = picked(&[3, 2, 1], 600);
        for cut in 1..=many.len() {
            for (host, weight) in [(0, 3.0), (1, 2.0), (2, 1.0)] {
                let count = many[..cut].iter().filter(|picked| **picked == host).count() as f64;
                assert!((count - cut as f64 * weight / 6.0).abs() < 1.0, "{host} has {count} of {cut}");
            }
        }
    }

    #[test]
    fn users_in_turn_cover_every_position_once_and_none_is_tied_to_one() {
        for (users, iterations) in [(2, 8), (3, 10), (4, 4), (5, 3), (1, 7)] {
            let mut positions: Vec<u64> = (0..iterations).map(|index| in_round(index, users, iterations)).collect();
            positions.sort_unstable();
            assert_eq!(positions, (0..iterations).collect::<Vec<_>>(), "{users} users, {iterations} iterations");
        }
        // Two users and two hosts: the first user's iterations are 0, 2, 4, 6.
        let hosts: Vec<u64> = [0, 2, 4, 6].map(|index| in_round(index, 2, 8) % 2).to_vec();
        assert_eq!(hosts, [0, 1, 0, 1]);
    }

    #[test]
    fn a_cycle_that_is_too_long_is_refused_with_its_limit() {
        let problem = Spread::new(&[1_000_003, 1_000_000_007]).unwrap_err();
        assert!(problem.contains("1001000010 requests") && problem.contains("33554432"), "{problem}");
    }
}
