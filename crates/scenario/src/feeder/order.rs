//! Which row an iteration has.

use crate::draw;

/// What happens when each row was given once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AtEnd {
    /// The group ends there.
    Stop,
    /// Each further iteration fails.
    Fail,
    /// From the first row again.
    Again,
}

/// In which order rows are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// One after another, and from the first again.
    Sequential,
    /// Any, each as likely as any other.
    Random,
    /// One after another, none twice in the whole fleet.
    Unique(AtEnd),
}

/// What an iteration gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Row {
    /// This row, from 0.
    At(u64),
    /// None is left.
    Exhausted(AtEnd),
}

/// The row of `rows` that an iteration has: a function of these numbers alone, whichever node asks. `feeder` is the
/// number of the feeder in its group, so that two random ones do not go together.
pub fn row_of(order: Order, rows: u64, seed: u64, group: u32, feeder: u32, iteration: u64) -> Row {
    let Some(repeated) = iteration.checked_rem(rows) else {
        return Row::Exhausted(if let Order::Unique(at_end) = order { at_end } else { AtEnd::Fail });
    };
    match order {
        Order::Sequential => Row::At(repeated),
        Order::Random => Row::At(draw::row(rows, seed, group, feeder, iteration)),
        Order::Unique(_) if iteration < rows => Row::At(iteration),
        Order::Unique(AtEnd::Again) => Row::At(repeated),
        Order::Unique(at_end @ (AtEnd::Stop | AtEnd::Fail)) => Row::Exhausted(at_end),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_order_gives_what_it_says() {
        let given = |order, iterations: u64| {
            (0..iterations).map(|iteration| row_of(order, 3, 1, 0, 0, iteration)).collect::<Vec<_>>()
        };
        let [a, b, c] = [Row::At(0), Row::At(1), Row::At(2)];
        assert_eq!(given(Order::Sequential, 5), [a, b, c, a, b]);
        assert_eq!(given(Order::Unique(AtEnd::Again), 5), [a, b, c, a, b]);
        assert_eq!(given(Order::Unique(AtEnd::Stop), 4), [a, b, c, Row::Exhausted(AtEnd::Stop)]);
        assert_eq!(given(Order::Unique(AtEnd::Fail), 4), [a, b, c, Row::Exhausted(AtEnd::Fail)]);
        let random: HashSet<Row> = given(Order::Random, 100).into_iter().collect();
        assert_eq!(random, HashSet::from([a, b, c]));
        assert_eq!(row_of(Order::Random, 0, 1, 0, 0, 0), Row::Exhausted(AtEnd::Fail));
        assert_eq!(row_of(Order::Unique(AtEnd::Again), 0, 1, 0, 0, 0), Row::Exhausted(AtEnd::Again));
    }

    #[test]
    fn two_random_feeders_of_a_group_do_not_go_together() {
        let rows = |feeder| {
            (0..100).map(|iteration| row_of(Order::Random, 1_000, 1, 0, feeder, iteration)).collect::<Vec<_>>()
        };
        assert_ne!(rows(0), rows(1));
    }

    proptest! {
        #[test]
        fn a_row_is_there_and_unique_ones_are_given_once(
            rows in 1u64..1_000, seed in any::<u64>(), iteration in any::<u64>(),
        ) {
            for order in [Order::Sequential, Order::Random, Order::Unique(AtEnd::Again)] {
                let Row::At(row) = row_of(order, rows, seed, 1, 2, iteration) else { panic!() };
                prop_assert!(row < rows);
            }
            let given: HashSet<u64> = (0..rows + 10)
                .filter_map(|iteration| match row_of(Order::Unique(AtEnd::Stop), rows, seed, 1, 2, iteration) {
                    Row::At(row) => Some(row),
                    Row::Exhausted(_) => None,
                })
                .collect();
            prop_assert_eq!(given.len() as u64, rows);
        }
    }
}
