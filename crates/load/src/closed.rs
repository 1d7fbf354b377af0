//! The closed model: a fixed set of users, each with its share of the iterations.
//!
//! User `u` belongs to shard `u mod S` of `S`, iteration `j` to user `j mod users`: both the same whatever nodes there
//! are.

use crate::shard::ShardSet;

/// The users that live in `shards`, rising.
pub fn users_of(shards: &ShardSet, users: u32) -> impl Iterator<Item = u32> + use<> {
    let shards = shards.clone();
    (0..users).filter(move |user| shards.owns(u64::from(*user)))
}

/// How many of `iterations` user `user` of `users` does; 0 for a user that does not exist.
pub const fn iterations_of_user(user: u32, users: u32, iterations: u64) -> u64 {
    if user >= users {
        return 0;
    }
    let users = users as u64;
    iterations / users + ((user as u64) < iterations % users) as u64
}

/// Set in the index of an iteration of a user who was not among those that the group was written with.
const ADDED: u64 = 1 << 63;

/// The index of iteration number `begun` of a user, of a group that was written with `users` and may have up to
/// `limit`. No two iterations of a run have the same, whoever runs them.
pub const fn index_of(user: u32, begun: u64, users: u32, limit: u32) -> u64 {
    if user < users {
        return begun.wrapping_mul(users as u64).wrapping_add(user as u64);
    }
    let added = limit.saturating_sub(users) as u64;
    begun.wrapping_mul(added).wrapping_add((user - users) as u64) | ADDED
}

/// Whose iteration has this index: see [`index_of`].
pub const fn user_of(index: u64, users: u32, limit: u32) -> u32 {
    if index & ADDED == 0 {
        return if users == 0 { 0 } else { (index % users as u64) as u32 };
    }
    let added = limit.saturating_sub(users) as u64;
    // A rest of a number of 32 bits.
    let within = if added == 0 { 0 } else { ((index & !ADDED) % added) as u32 };
    users.saturating_add(within)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::assign::assign;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_user_lives_on_exactly_one_node(users in 0u32..2_000, nodes in 1usize..=300) {
            let sets = assign(&vec![1; nodes]).unwrap().sets().unwrap();
            let mut all: Vec<u32> = sets.iter().flat_map(|shards| users_of(shards, users)).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..users).collect::<Vec<_>>());
        }

        #[test]
        fn every_iteration_is_done_once(users in 1u32..500, iterations in 0u64..100_000) {
            let total: u64 = (0..users).map(|user| iterations_of_user(user, users, iterations)).sum();
            prop_assert_eq!(total, iterations);
        }
    }

    proptest! {
        #[test]
        fn an_index_tells_whose_iteration_it_is(users in 1u32..2_000, more in 0u32..2_000, begun in 0u64..1 << 40) {
            let limit = users + more;
            for user in [0, users - 1, users.min(limit - 1), limit - 1] {
                let index = index_of(user, begun, users, limit);
                prop_assert_eq!(user_of(index, users, limit), user);
                prop_assert_ne!(index, index_of(user, begun + 1, users, limit));
            }
        }
    }

    #[test]
    fn a_user_that_does_not_exist_does_nothing() {
        assert_eq!(iterations_of_user(3, 3, 100), 0);
        assert_eq!(iterations_of_user(0, 0, 100), 0);
        assert_eq!(iterations_of_user(0, 1, u64::MAX), u64::MAX);
    }
}
