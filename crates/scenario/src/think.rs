//! Think times: how long a user waits between two steps.

use crate::draw::Draws;

/// Longest think time: a day.
pub const THINK_MAX_NS: u64 = 86_400_000_000_000;

/// Why a think time cannot be.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ThinkError {
    /// Too long.
    #[error("a think time is at most a day")]
    TooLong,
    /// The wrong way round.
    #[error("a think time between two others has the shorter one first")]
    Reversed,
    /// A share that is none.
    #[error("the jitter of a think time is a share from 0% to 100%, not {0}")]
    Jitter(f64),
}

/// A think time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Think {
    low_ns: u64,
    high_ns: u64,
}

impl Think {
    /// Always the same.
    ///
    /// # Errors
    /// Longer than [`THINK_MAX_NS`].
    pub const fn fixed(time_ns: u64) -> Result<Self, ThinkError> {
        Self::between(time_ns, time_ns)
    }

    /// Anything from `low_ns` to `high_ns`, both included, equally likely.
    ///
    /// # Errors
    /// Longer than [`THINK_MAX_NS`], or the wrong way round.
    pub const fn between(low_ns: u64, high_ns: u64) -> Result<Self, ThinkError> {
        if high_ns > THINK_MAX_NS {
            return Err(ThinkError::TooLong);
        }
        if low_ns > high_ns {
            return Err(ThinkError::Reversed);
        }
        Ok(Self { low_ns, high_ns })
    }

    /// `time_ns` more or less up to the share `jitter` (0 to 1) of it, equally likely.
    ///
    /// # Errors
    /// Longer than [`THINK_MAX_NS`], or a share below 0 or above 1.
    pub fn jittered(time_ns: u64, jitter: f64) -> Result<Self, ThinkError> {
        if !(0.0..=1.0).contains(&jitter) {
            return Err(ThinkError::Jitter(jitter));
        }
        if time_ns > THINK_MAX_NS {
            return Err(ThinkError::TooLong);
        }
        // At most a day, which a float holds exactly.
        let spread_ns = (time_ns as f64 * jitter) as u64;
        Self::between(time_ns.saturating_sub(spread_ns), time_ns.saturating_add(spread_ns).min(THINK_MAX_NS))
    }

    /// How long it is this time, in nanoseconds.
    pub fn draw_ns(self, draws: &mut Draws) -> u64 {
        let count = self.high_ns.saturating_sub(self.low_ns).saturating_add(1);
        // No draw where there is nothing to choose: it would cost, and nobody would see it.
        if count == 1 { self.low_ns } else { self.low_ns.saturating_add(draws.below(count)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::draw::DrawKey;

    #[test]
    fn what_cannot_be_waited_is_refused() {
        assert_eq!(Think::fixed(THINK_MAX_NS + 1), Err(ThinkError::TooLong));
        assert_eq!(Think::jittered(u64::MAX, 0.5), Err(ThinkError::TooLong));
        assert_eq!(Think::between(2, 1), Err(ThinkError::Reversed));
        assert!(Think::jittered(1, 1.5).is_err() && Think::jittered(1, f64::NAN).is_err());
    }

    #[test]
    fn a_jittered_time_has_the_time_as_its_mean() {
        let think = Think::jittered(2_000_000, 0.2).unwrap();
        let times: Vec<u64> =
            (0..10_000).map(|i| think.draw_ns(&mut Draws::new(DrawKey::new(1, 0), i, 0, 0))).collect();
        assert!(times.iter().all(|time| (1_600_000..=2_400_000).contains(time)));
        let mean = times.iter().sum::<u64>() / 10_000;
        assert!(mean.abs_diff(2_000_000) < 15_000, "{mean}");
        assert!(times.iter().any(|time| *time < 1_650_000) && times.iter().any(|time| *time > 2_350_000));
    }

    proptest! {
        #[test]
        fn a_time_lies_between_its_ends(low in 0..=THINK_MAX_NS, high in 0..=THINK_MAX_NS, iteration in any::<u64>()) {
            let (low, high) = (low.min(high), low.max(high));
            let mut draws = Draws::new(DrawKey::new(1, 0), iteration, 0, 0);
            let time = Think::between(low, high).unwrap().draw_ns(&mut draws);
            prop_assert!((low..=high).contains(&time));
            prop_assert_eq!(Think::fixed(low).unwrap().draw_ns(&mut draws), low);
        }
    }
}
