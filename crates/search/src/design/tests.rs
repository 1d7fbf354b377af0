use std::collections::BTreeSet;

use nuncius_schemas::sweep::Factor;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn sweep(counts: &[usize], repeats: u32) -> SweepSpec {
    let factor = |count: usize| Factor { fields: Vec::new(), values: (0..count).map(Value::from).collect() };
    let factors = counts.iter().enumerate().map(|(at, count)| (format!("f{at}"), factor(*count))).collect();
    SweepSpec { repeats, at_most: 10_000, ..SweepSpec::of_factors(factors) }
}

fn runs(rows: &[SweepRow]) -> Vec<(u64, u32)> {
    rows.iter().map(|row| (row.combination, row.repeat)).collect()
}

#[test]
fn the_written_order_is_that_of_the_combinations() {
    let written = SweepSpec { order: SweepOrder::Written, ..sweep(&[2, 2], 2) };
    let rows = design(&written, "s", 1).unwrap();
    assert_eq!(runs(&rows), [(1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (2, 2), (3, 2), (4, 2)]);
    assert_eq!((rows[5].number, rows[5].run.as_str()), (6, "s-c2-r2"));
    let in_a_row = design(&SweepSpec { blocks: false, ..written }, "s", 1).unwrap();
    assert_eq!(runs(&in_a_row), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2), (4, 1), (4, 2)]);
}

#[test]
fn the_random_order_stays_the_same_for_a_seed() {
    // The order of a sweep that is under way must not change with the program.
    let rows = design(&sweep(&[2, 3], 2), "s", 7).unwrap();
    let order: Vec<u64> = rows.iter().map(|row| row.combination).collect();
    assert_eq!(order, ORDER_OF_SEED_7);
    assert_ne!(runs(&rows), runs(&design(&sweep(&[2, 3], 2), "s", 8).unwrap()));
    let own = SweepSpec { seed: Some(7), ..sweep(&[2, 3], 2) };
    assert_eq!(runs(&rows), runs(&design(&own, "s", 8).unwrap()));
}

const ORDER_OF_SEED_7: [u64; 12] = [6, 3, 4, 2, 1, 5, 3, 2, 4, 5, 1, 6];

#[test]
fn too_many_runs_are_refused_with_the_limit() {
    let error = design(&SweepSpec { at_most: 11, ..sweep(&[2, 3], 2) }, "s", 1).unwrap_err();
    assert!(error.to_string().contains("2 × 3 × 2 repeats are 12 runs, at most 11 (`at_most`"), "{error}");
}

#[test]
fn every_combination_comes_to_every_place_as_often() {
    let mut counts = [[0u32; 5]; 5];
    for seed in 0..2_000 {
        for (place, row) in design(&sweep(&[5], 1), "s", seed).unwrap().iter().enumerate() {
            counts[place][row.combination as usize - 1] += 1;
        }
    }
    // Four standard errors of 400.
    assert!(counts.iter().flatten().all(|count| (328..=472).contains(count)), "{counts:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_combination_is_there_once_in_each_repeat(
        counts in prop::collection::vec(2usize..6, 1..4), repeats in 1u32..5, seed: u64, blocks: bool,
    ) {
        let sweep = SweepSpec { blocks, ..sweep(&counts, repeats) };
        let rows = design(&sweep, "s", seed).unwrap();
        prop_assert_eq!(rows.len() as u64, sweep.runs());
        prop_assert!(rows.iter().map(|row| row.number).eq(1..=rows.len() as u32));
        let distinct: BTreeSet<(u64, u32)> = runs(&rows).into_iter().collect();
        prop_assert_eq!(distinct.len(), rows.len());
        let is_known = |run: &(u64, u32)| (1..=sweep.combinations()).contains(&run.0) && (1..=repeats).contains(&run.1);
        prop_assert!(distinct.iter().all(is_known));
        if blocks {
            prop_assert!(rows.iter().map(|row| row.repeat).is_sorted());
        }
        let names: BTreeSet<&str> = rows.iter().map(|row| row.run.as_str()).collect();
        prop_assert_eq!(names.len(), rows.len());
    }
}
