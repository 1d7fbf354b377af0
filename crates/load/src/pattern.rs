//! The legs of patterns. What is random in them is a pure function of the seed and the group, whoever computes it.

use nuncius_schemas::spec::limits::STAGES_MAX;
use nuncius_schemas::spec::pattern::{Bursts, RandomWalk, WalkBounds};
use nuncius_schemas::spec::{Pattern, Stage};
use nuncius_schemas::units::{HumanDuration, Rate};

use crate::leg::{Leg, Wave};
use crate::philox::{Purpose, draw, unit_open_below};
use crate::profile::ProfileError;
use crate::variate::normal;

/// Shortest time in a state, in nanoseconds: what is drawn below counts as this.
const DWELL_MIN_NS: f64 = 1_000.0;

/// The legs of a pattern that goes on for so long. `stream` tells groups of one experiment apart.
///
/// # Errors
/// A pattern that changes more often than stages there may be.
pub(crate) fn legs_of_pattern(
    pattern: &Pattern,
    duration_ns: u64,
    seed: u64,
    stream: u32,
) -> Result<Vec<Leg>, ProfileError> {
    let stages = match pattern {
        Pattern::Sine(sine) => {
            return Ok(vec![Leg::Wave(Wave {
                duration: HumanDuration(duration_ns),
                low: sine.min,
                high: sine.max,
                period_ns: sine.period.0,
                phase_ns: sine.phase.0,
            })]);
        }
        Pattern::RandomWalk(walk) => walk_stages(walk, duration_ns, seed, stream),
        Pattern::Bursts(bursts) => burst_stages(bursts, duration_ns, seed, stream),
    };
    Ok(stages?.into_iter().map(Leg::Straight).collect())
}

fn stage(duration_ns: u64, rate: Rate) -> Stage {
    Stage { duration: HumanDuration(duration_ns), rate, to: None }
}

fn walk_stages(walk: &RandomWalk, duration_ns: u64, seed: u64, stream: u32) -> Result<Vec<Stage>, ProfileError> {
    let (min, max) = (i128::from(walk.min.0), i128::from(walk.max.0));
    let start = walk.start.map_or(min.midpoint(max), |start| i128::from(start.0));
    let (mut left_ns, mut number, mut rate) = (duration_ns, 0u64, start);
    let mut stages = Vec::new();
    while left_ns > 0 {
        if stages.len() >= STAGES_MAX {
            return Err(ProfileError::TooManyChanges);
        }
        let length_ns = walk.interval.0.max(1).min(left_ns);
        // Within the bounds, which are those of a rate.
        stages.push(stage(length_ns, Rate(u64::try_from(rate).unwrap_or(0))));
        left_ns -= length_ns;
        let [first, second] = draw(seed, stream, number, Purpose::Walk, 0);
        let step = walk.mu + walk.sigma * normal(unit_open_below(first), unit_open_below(second));
        // A float becomes the nearest integer there is.
        let stepped = rate.saturating_add(libm::round(step * Rate::PER_SECOND as f64) as i128);
        rate = match walk.bounds {
            WalkBounds::Reflect => reflected(stepped, min, max),
            WalkBounds::Clamp => stepped.max(min).min(max.max(min)),
        };
        number += 1;
    }
    Ok(stages)
}

/// Led back into the bounds, as often as it takes.
fn reflected(value: i128, min: i128, max: i128) -> i128 {
    let width = max - min;
    if width <= 0 {
        return min;
    }
    let within = value.saturating_sub(min).rem_euclid(2 * width);
    min + if within > width { 2 * width - within } else { within }
}

fn burst_stages(bursts: &Bursts, duration_ns: u64, seed: u64, stream: u32) -> Result<Vec<Stage>, ProfileError> {
    let (mut left_ns, mut number, mut at) = (duration_ns, 0u64, 0usize);
    let others = bursts.states.len().saturating_sub(1);
    let mut stages = Vec::new();
    while left_ns > 0 {
        let Some(state) = bursts.states.get(at) else { break };
        if stages.len() >= STAGES_MAX {
            return Err(ProfileError::TooManyChanges);
        }
        let [first, second] = draw(seed, stream, number, Purpose::Burst, 0);
        let dwell_ns = -libm::log(unit_open_below(first)) * state.dwell.0 as f64;
        // A float becomes the nearest integer there is.
        let length_ns = (dwell_ns.max(DWELL_MIN_NS) as u64).min(left_ns);
        stages.push(stage(length_ns, state.rate));
        left_ns -= length_ns;
        // Any of the others alike; the high half of a product is below the second factor.
        let drawn = ((u128::from(second) * others as u128) >> 64) as usize;
        at = if drawn >= at { drawn + 1 } else { drawn };
        number += 1;
    }
    Ok(stages)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        serde_json::from_str(text).unwrap()
    }

    fn stages(text: &str, seconds: u64, seed: u64) -> Vec<Stage> {
        let legs = legs_of_pattern(&pattern(text), seconds * 1_000_000_000, seed, 3).unwrap();
        legs.into_iter()
            .map(|leg| match leg {
                Leg::Straight(stage) => stage,
                Leg::Wave(_) => panic!("a wave"),
            })
            .collect()
    }

    #[test]
    fn what_leads_out_of_the_bounds_is_led_back_by_as_much() {
        let reflected = [-3, 0, 4, 10, 12, 21, 25, -25].map(|value| reflected(value, 0, 10));
        assert_eq!(reflected, [3, 0, 4, 10, 8, 1, 5, 5]);
        assert_eq!(super::reflected(7, 4, 4), 4);
    }

    #[test]
    fn nobody_changed_what_a_seed_means() {
        let rates = |text: &str| -> Vec<f64> {
            stages(text, 5, 42).iter().map(|stage| (stage.rate.as_per_second() * 1e3).round() / 1e3).collect()
        };
        assert_eq!(rates(r#"{"random_walk": {"max": "100/s", "sigma": 10}}"#), GOLDEN_WALK);
        let lengths: Vec<u64> = stages(BURSTS, 60, 42).iter().map(|stage| stage.duration.0).take(5).collect();
        assert_eq!(lengths, GOLDEN_DWELLS_NS);
    }

    const BURSTS: &str =
        r#"{"bursts": {"states": [{"rate": "10/s", "dwell": "8s"}, {"rate": "200/s", "dwell": "2s"}]}}"#;
    // Worked out apart from this code.
    const GOLDEN_WALK: [f64; 5] = [50.0, 36.727, 23.939, 15.606, 1.601];
    const GOLDEN_DWELLS_NS: [u64; 5] = [4_286_407_436, 355_145_750, 8_154_556_457, 1_008_894_718, 32_493_071_685];

    #[test]
    fn a_walk_takes_steps_of_the_mean_and_the_spread_that_were_asked_for() {
        // Far from its bounds.
        let walk = r#"{"random_walk": {"max": "1000000/s", "start": "400000/s", "mu": 3, "sigma": 20}}"#;
        let rates: Vec<f64> = stages(walk, 10_000, 7).iter().map(|stage| stage.rate.as_per_second()).collect();
        let steps: Vec<f64> = rates.windows(2).map(|two| two[1] - two[0]).collect();
        let mean = steps.iter().sum::<f64>() / steps.len() as f64;
        let variance = steps.iter().map(|step| (step - mean).powi(2)).sum::<f64>() / steps.len() as f64;
        // Four standard errors.
        assert!((mean - 3.0).abs() < 4.0 * 20.0 / 100.0, "{mean}");
        assert!((variance / 400.0 - 1.0).abs() < 4.0 * (2.0f64 / 10_000.0).sqrt(), "{variance}");
    }

    #[test]
    fn states_last_as_long_on_average_as_they_are_said_to_and_each_follows_the_others_alike() {
        let three = r#"{"bursts": {"states": [{"rate": "1/s", "dwell": "2s"}, {"rate": "2/s", "dwell": "1s"},
            {"rate": "3/s", "dwell": "500ms"}]}}"#;
        let stages = stages(three, 4_000, 5);
        let of = |rate: u64| -> Vec<f64> {
            let own = stages.iter().filter(|stage| stage.rate == Rate::per_second(rate));
            own.map(|stage| stage.duration.as_secs_f64()).collect()
        };
        for (rate, dwell) in [(1, 2.0), (2, 1.0), (3, 0.5)] {
            let lengths = of(rate);
            let mean = lengths.iter().sum::<f64>() / lengths.len() as f64;
            // An exponential time deviates by its mean; four standard errors.
            assert!((mean / dwell - 1.0).abs() < 4.0 / (lengths.len() as f64).sqrt(), "{rate}: {mean}");
            // A third of all changes lead to each.
            let share = lengths.len() as f64 / stages.len() as f64;
            assert!((share - 1.0 / 3.0).abs() < 4.0 * (2.0 / 9.0 / stages.len() as f64).sqrt(), "{rate}: {share}");
        }
        assert!(stages.windows(2).all(|two| two[0].rate != two[1].rate));
    }

    #[test]
    fn a_pattern_that_changes_too_often_is_refused_with_the_limit() {
        let fast = r#"{"bursts": {"states": [{"rate": "1/s", "dwell": "1ms"}, {"rate": "2/s", "dwell": "1ms"}]}}"#;
        let refused = legs_of_pattern(&pattern(fast), 3_600_000_000_000, 1, 0).unwrap_err();
        assert!(refused.to_string().contains("10000"), "{refused}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_walk_never_leaves_its_bounds_and_fills_its_time(
            min in 0u64..50, width in 0u64..100, mu in -40.0f64..40.0, sigma in 0.0f64..500.0,
            seconds in 1u64..300, seed in any::<u64>(), is_clamped in any::<bool>(),
        ) {
            let walk = Pattern::RandomWalk(RandomWalk {
                min: Rate::per_second(min),
                max: Rate::per_second(min + width),
                start: None,
                mu,
                sigma,
                interval: HumanDuration::from_millis(700),
                bounds: if is_clamped { WalkBounds::Clamp } else { WalkBounds::Reflect },
            });
            let legs = legs_of_pattern(&walk, seconds * 1_000_000_000, seed, 0).unwrap();
            prop_assert_eq!(legs.iter().map(Leg::duration_ns).sum::<u64>(), seconds * 1_000_000_000);
            let is_within = |leg: &Leg| {
                (Rate::per_second(min)..=Rate::per_second(min + width)).contains(&leg.highest())
            };
            prop_assert!(legs.iter().all(is_within));
            prop_assert_eq!(&legs, &legs_of_pattern(&walk, seconds * 1_000_000_000, seed, 0).unwrap());
        }
    }
}
