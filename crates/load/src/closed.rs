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

    #[test]
    fn a_user_that_does_not_exist_does_nothing() {
        assert_eq!(iterations_of_user(3, 3, 100), 0);
        assert_eq!(iterations_of_user(0, 0, 100), 0);
        assert_eq!(iterations_of_user(0, 1, u64::MAX), u64::MAX);
    }
}
