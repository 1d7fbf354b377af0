//! Many comparisons at once (Holm, Scandinavian Journal of Statistics 6, 1979).
//!
//! The smallest p-value is tested at α / m, the next at α / (m − 1), and so on up to the first that is not below its
//! level; none from there on is taken as found. Whatever the dependence of the comparisons, the probability that any of
//! those found is wrong is at most α.

/// How one comparison came out among all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Adjusted {
    /// Whether it is found.
    pub(super) is_found: bool,
    /// The level that it was tested at; of those after the first that was not found, the level of that one.
    pub(super) level: f64,
    /// The smallest α at which it would be found.
    pub(super) p_value: f64,
}

/// Holm's procedure at `alpha` over `p_values`, in their order.
pub(super) fn adjust(p_values: &[f64], alpha: f64) -> Vec<Adjusted> {
    let count = p_values.len();
    let mut order: Vec<(usize, f64)> = p_values.iter().copied().enumerate().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let nothing = Adjusted { is_found: false, level: alpha, p_value: 1.0 };
    let mut adjusted = vec![nothing; count];
    let (mut highest, mut stopped_at) = (0.0f64, None);
    for (rank, (index, p_value)) in order.into_iter().enumerate() {
        let left = (count - rank) as f64;
        highest = highest.max((p_value * left).min(1.0));
        let level = stopped_at.unwrap_or(alpha / left);
        let is_found = stopped_at.is_none() && p_value <= level;
        if !is_found {
            stopped_at = Some(level);
        }
        if let Some(place) = adjusted.get_mut(index) {
            *place = Adjusted { is_found, level, p_value: highest };
        }
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_steps_are_those_of_the_procedure() {
        let adjusted = adjust(&[0.01, 0.04, 0.03, 0.005], 0.05);
        let p_values: Vec<f64> = adjusted.iter().map(|one| one.p_value).collect();
        assert_eq!(p_values, [0.03, 0.06, 0.06, 0.02]);
        assert_eq!(adjusted.iter().map(|one| one.is_found).collect::<Vec<_>>(), [true, false, false, true]);
        let levels: Vec<f64> = adjusted.iter().map(|one| one.level).collect();
        assert_eq!(levels, [0.05 / 3.0, 0.025, 0.025, 0.0125]);
        assert!(adjust(&[], 0.05).is_empty());
    }

    proptest! {
        #[test]
        fn more_is_found_than_by_bonferroni_and_levels_agree_with_what_is_found(
            p_values in prop::collection::vec(0.0f64..1.0, 1..40), scale in 0.001f64..1.0,
        ) {
            let p_values: Vec<f64> = p_values.into_iter().map(|p| p * scale).collect();
            let adjusted = adjust(&p_values, 0.05);
            for (p, one) in p_values.iter().zip(&adjusted) {
                prop_assert!(one.is_found || *p > 0.05 / p_values.len() as f64);
                // The interval at the level leaves out nothing exactly where it is found.
                prop_assert_eq!(one.is_found, *p <= one.level);
                prop_assert!(one.p_value >= *p);
                prop_assert_eq!(one.is_found, one.p_value <= 0.05 + 1e-12);
            }
        }
    }
}
