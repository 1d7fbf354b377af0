use proptest::prelude::*;

use super::*;

fn recorded(values: &[u64]) -> Histogram {
    let mut histogram = Histogram::new();
    for value_ns in values {
        histogram.record_ns(*value_ns);
    }
    histogram
}

/// From microseconds to beyond the range, evenly in the logarithm.
fn any_value() -> impl Strategy<Value = u64> {
    (0.0f64..44.0).prop_map(|exponent| exponent.exp2() as u64)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_quantile_is_within_a_thousandth_of_the_pooled_raw_data(
        nodes in prop::collection::vec(prop::collection::vec(any_value(), 0..200), 1..8),
        q in 0.0f64..=1.0,
    ) {
        let mut totals = Totals::new();
        for values in &nodes {
            totals.merge_delta(&recorded(values).encode_delta()).unwrap();
        }
        let mut pooled: Vec<u64> = nodes.concat();
        pooled.sort_unstable();
        let found = totals.quantile_ns(q);
        prop_assert_eq!(found.is_none(), pooled.is_empty());
        if let Some(found) = found {
            let raw = pooled[quantile::rank_of(q, pooled.len() as u64).unwrap() as usize - 1];
            if raw <= 3_600_000_000_000 {
                prop_assert!(found >= raw, "{} for {}", found, raw);
                prop_assert!(found - raw <= (raw / 1_000).max(999), "{} for {}", found, raw);
            }
            prop_assert!(found <= *pooled.last().unwrap());
        }
        prop_assert_eq!(totals.summary().sum_ns, pooled.iter().map(|value| u128::from(*value)).sum::<u128>());
    }

    #[test]
    fn the_order_of_merging_changes_nothing(
        nodes in prop::collection::vec(prop::collection::vec(any_value(), 0..50), 1..8),
        order in any::<u64>(),
    ) {
        let forward = nodes.iter().fold(Totals::new(), |mut totals, values| {
            totals.merge_delta(&recorded(values).encode_delta()).unwrap();
            totals
        });
        let mut shuffled = nodes.clone();
        fastrand::Rng::with_seed(order).shuffle(&mut shuffled);
        let by_totals = shuffled.iter().fold(Totals::new(), |mut totals, values| {
            totals.merge(&Totals::from(&recorded(values))).unwrap();
            totals
        });
        prop_assert_eq!(&forward, &by_totals);
        prop_assert_eq!(&forward, &Totals::from(&recorded(&nodes.concat())));
        prop_assert_eq!(Totals::decode(&forward.encode()).unwrap(), forward);
    }
}

#[test]
fn more_observations_than_fit_are_refused_and_change_nothing() {
    let mut full = Histogram::new();
    full.record_ns_many(1_000, u64::MAX);
    let mut totals = Totals::from(&full);
    let before = totals.clone();
    assert_eq!(totals.merge_delta(&recorded(&[5]).encode_delta()), Err(DecodeError::TooMany));
    assert_eq!(totals.merge(&before.clone()), Err(DecodeError::TooMany));
    assert_eq!(totals.add(&full), Err(DecodeError::TooMany));
    assert_eq!(totals, before);
}

#[test]
fn moments_and_counts_above_follow_the_data() {
    let totals = Totals::from(&recorded(&[1_000_000, 2_000_000, 3_000_000, 4_000_000, 4_000_000_000_000]));
    assert_eq!(totals.count_above(0), 5);
    assert_eq!(totals.count_above(2_000_000), 3);
    assert_eq!(totals.count_above(3_600_000_000_000), 1);
    assert_eq!(totals.count_above(3_700_000_000_000), 1);
    assert_eq!(totals.count_above(4_000_000_000_000), 0);
    assert_eq!(totals.mean_ns(), Some(800_002_000_000.0));
    let deviation = totals.standard_deviation_ns().unwrap();
    assert!((deviation / 1_599_999_000_000.0 - 1.0).abs() < 0.001, "{deviation}");
    assert_eq!(totals.min_ns(), Some(1_000_000));
    assert_eq!(Totals::new().mean_ns(), None);
    assert_eq!(Totals::new().quantile_ns(0.5), None);
}

#[test]
fn the_curve_rises_to_the_largest_observation() {
    let values: Vec<u64> = (1..=10_000).map(|k| k * 1_000_000).collect();
    let totals = Totals::from(&recorded(&values));
    let curve = totals.curve(5);
    assert!(curve.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
    assert_eq!(curve.last(), Some(&(1.0, 10_000_000_000)));
    assert!((50..100).contains(&curve.len()), "{}", curve.len());
    for (q, value_ns) in curve {
        assert_eq!(totals.quantile_ns(q), Some(value_ns));
    }
    assert!(Totals::new().curve(5).is_empty());
}
