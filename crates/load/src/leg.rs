//! What a load is made of before anything is integrated: straight legs, which are stages, and waves.

use nuncius_schemas::spec::Stage;
use nuncius_schemas::units::{HumanDuration, Rate};

/// A stretch of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    /// The rate changes evenly, or not at all.
    Straight(Stage),
    /// It swings.
    Wave(Wave),
}

/// A part of a sine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wave {
    /// How long it lasts.
    pub duration: HumanDuration,
    /// The lowest rate.
    pub low: Rate,
    /// The highest rate.
    pub high: Rate,
    /// From one highest rate to the next, in nanoseconds.
    pub period_ns: u64,
    /// How far into the period it begins, in nanoseconds.
    pub phase_ns: u64,
}

impl Leg {
    /// How long it lasts, in nanoseconds.
    pub const fn duration_ns(&self) -> u64 {
        match self {
            Self::Straight(stage) => stage.duration.0,
            Self::Wave(wave) => wave.duration.0,
        }
    }

    /// No rate of it is higher.
    pub fn highest(&self) -> Rate {
        match self {
            Self::Straight(stage) => stage.rate.max(stage.to.unwrap_or_default()),
            Self::Wave(wave) => wave.high.max(wave.low),
        }
    }

    /// The same with other rates.
    #[must_use]
    pub fn with_rates(&self, changed: impl Fn(Rate) -> Rate) -> Self {
        match *self {
            Self::Straight(stage) => {
                Self::Straight(Stage { rate: changed(stage.rate), to: stage.to.map(changed), ..stage })
            }
            Self::Wave(wave) => Self::Wave(Wave { low: changed(wave.low), high: changed(wave.high), ..wave }),
        }
    }

    /// What is left of it after a part of its time, which is shorter. A ramp that is cut begins at the rate that it has
    /// reached, to the millionth of an arrival per hour.
    #[must_use]
    pub fn rest(&self, passed_ns: u64) -> Self {
        let left = HumanDuration(self.duration_ns().saturating_sub(passed_ns));
        match *self {
            Self::Straight(stage) => {
                let rate = stage.to.map_or(stage.rate, |to| between(stage.rate, to, passed_ns, stage.duration.0));
                Self::Straight(Stage { duration: left, rate, ..stage })
            }
            Self::Wave(wave) => {
                let at = u128::from(wave.phase_ns) + u128::from(passed_ns);
                let phase = at.checked_rem(u128::from(wave.period_ns)).unwrap_or(0);
                // Below the period.
                let phase_ns = u64::try_from(phase).unwrap_or(0);
                Self::Wave(Wave { duration: left, phase_ns, ..wave })
            }
        }
    }
}

/// The rate that a ramp has reached after a part of its duration, which is not 0.
fn between(from: Rate, to: Rate, passed_ns: u64, duration_ns: u64) -> Rate {
    let share = u128::from(from.0.abs_diff(to.0)) * u128::from(passed_ns) / u128::from(duration_ns.max(1));
    // No more than the difference of the two.
    let share = u64::try_from(share).unwrap_or(u64::MAX);
    Rate(if to >= from { from.0.saturating_add(share) } else { from.0.saturating_sub(share) })
}

/// Legs with other rates.
pub fn with_rates(legs: &[Leg], changed: impl Fn(Rate) -> Rate) -> Vec<Leg> {
    legs.iter().map(|leg| leg.with_rates(&changed)).collect()
}

/// What is left of legs from an instant on.
pub fn cut(legs: &[Leg], from_ns: u64) -> Vec<Leg> {
    let mut rest = Vec::new();
    let mut begin_ns = 0u64;
    for leg in legs {
        let end_ns = begin_ns.saturating_add(leg.duration_ns());
        if begin_ns >= from_ns {
            rest.push(*leg);
        } else if end_ns > from_ns {
            rest.push(leg.rest(from_ns - begin_ns));
        }
        begin_ns = end_ns;
    }
    rest
}
