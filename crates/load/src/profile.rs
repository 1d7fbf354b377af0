//! The rate over time, in straight legs and waves, and its exact integral.
//!
//! Rates are whole millionths of an arrival per hour and times whole nanoseconds, so the integral of a constant stage
//! is a whole number of 1 / 3.6e18 arrivals; the half in a ramp's integral makes the unit used here
//! 1 / [`ARRIVAL_UNITS`] = 1 / 7.2e18 of an arrival. Stage totals, and with them the number of arrivals, are exact; so
//! are those of whole periods of a wave, whose integral `swell` has.

use std::sync::Arc;

use nuncius_schemas::spec::Stage;
use nuncius_schemas::spec::limits::STAGES_MAX;

use crate::leg::Leg;

mod ramp;
mod swell;

use ramp::Ramp;
use swell::Swell;

/// Units of integrated rate in one arrival: 2 · 10⁶ · 3600 · 10⁹.
pub const ARRIVAL_UNITS: u128 = 7_200_000_000_000_000_000;

/// Most arrivals a profile may hold.
pub const ARRIVALS_MAX: u64 = 1_000_000_000_000_000;

/// Units of a rate (millionths of an arrival per hour) in one arrival per second.
const PER_SECOND: f64 = nuncius_schemas::units::Rate::PER_SECOND as f64;

/// Why a load makes no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Nothing to do.
    #[error("no stages: give a rate with a duration, or stages")]
    NoStages,
    /// The stages together are longer than 64 bits of nanoseconds.
    #[error("stage {stage} ends later than 2^64 nanoseconds (584 years): shorten the stages")]
    TooLong {
        /// Index of the stage that was too much.
        stage: usize,
    },
    /// A wave that is too long, too steep or too short.
    #[error("the sine of stage {stage} cannot be integrated: its rates, its period or its duration are out of bounds")]
    Wave {
        /// Index of the leg.
        stage: usize,
    },
    /// A pattern that changes all the time.
    #[error("the pattern changes more than {STAGES_MAX} times: a longer `dwell` or `interval`, or a shorter duration")]
    TooManyChanges,
    /// A file that has to be read first.
    #[error("the file of arrivals {file} was not read here")]
    NotRead {
        /// The file.
        file: String,
    },
    /// More arrivals than [`ARRIVALS_MAX`].
    #[error("the stages up to {stage} hold more than {ARRIVALS_MAX} arrivals: lower the rate or the duration")]
    TooMany {
        /// Index of the stage that was too much.
        stage: usize,
    },
}

/// A rate over time with its integral. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct RateProfile {
    segments: Arc<[Segment]>,
    duration_ns: u64,
    total_units: u128,
}

impl RateProfile {
    /// From stages, one after the other; those that last no time leave no trace but the step they make.
    ///
    /// # Errors
    /// No stages, over 2⁶⁴ ns, over [`ARRIVALS_MAX`] arrivals.
    pub fn new(stages: &[Stage]) -> Result<Self, ProfileError> {
        Self::of(stages.iter().copied().map(Leg::Straight))
    }

    /// The same from legs.
    ///
    /// # Errors
    /// As [`RateProfile::new`], and a wave that cannot be integrated.
    pub fn of(legs: impl IntoIterator<Item = Leg>) -> Result<Self, ProfileError> {
        let mut segments = Vec::new();
        let (mut legs_seen, mut end_ns, mut total_units) = (0, 0u64, 0u128);
        for (index, leg) in legs.into_iter().enumerate() {
            legs_seen += 1;
            let (start_ns, duration_ns) = (end_ns, leg.duration_ns());
            end_ns = end_ns.checked_add(duration_ns).ok_or(ProfileError::TooLong { stage: index })?;
            let (course, units) = match leg {
                Leg::Straight(stage) => {
                    let (rate_start, rate_end) = (stage.rate.0, stage.to.unwrap_or(stage.rate).0);
                    let units = (u128::from(rate_start) + u128::from(rate_end)).checked_mul(u128::from(duration_ns));
                    let units = units.ok_or(ProfileError::TooMany { stage: index })?;
                    (Course::Ramp(Ramp { duration_ns, rate_start, rate_end, units }), units)
                }
                Leg::Wave(wave) => {
                    let swell = Swell::new(&wave).ok_or(ProfileError::Wave { stage: index })?;
                    (Course::Swell(swell), swell.units_within(duration_ns))
                }
            };
            let most = u128::from(ARRIVALS_MAX) * ARRIVAL_UNITS;
            if units > most.saturating_sub(total_units) {
                return Err(ProfileError::TooMany { stage: index });
            }
            if duration_ns > 0 {
                segments.push(Segment { start_ns, duration_ns, start_units: total_units, units, course });
            }
            total_units += units;
        }
        if legs_seen == 0 {
            return Err(ProfileError::NoStages);
        }
        Ok(Self { segments: segments.into(), duration_ns: end_ns, total_units })
    }

    /// How long it lasts, in nanoseconds.
    pub const fn duration_ns(&self) -> u64 {
        self.duration_ns
    }

    /// The integral over all of it, in units of 1 / [`ARRIVAL_UNITS`] arrival.
    pub const fn total_units(&self) -> u128 {
        self.total_units
    }

    /// How many arrivals constant spacing has: one at each whole value of the integral, the first at 0, that is reached
    /// before the end.
    pub fn total_arrivals(&self) -> u64 {
        u64::try_from(self.total_units.div_ceil(ARRIVAL_UNITS)).unwrap_or(ARRIVALS_MAX)
    }

    /// The rate at `at_ns`, in arrivals per second; that after the step where there is one, and 0 from the end on.
    pub fn rate_at(&self, at_ns: u64) -> f64 {
        self.segment_at(at_ns).map_or(0.0, |segment| {
            let offset_ns = at_ns - segment.start_ns;
            match &segment.course {
                Course::Ramp(ramp) => {
                    let share = offset_ns as f64 / segment.duration_ns as f64;
                    let (start, end) = (ramp.rate_start as f64, ramp.rate_end as f64);
                    (start + (end - start) * share) / PER_SECOND
                }
                Course::Swell(swell) => swell.rate_at(offset_ns) / PER_SECOND,
            }
        })
    }

    /// The integral from the start to `at_ns`, in units, rounded up.
    pub fn units_at(&self, at_ns: u64) -> u128 {
        self.segment_at(at_ns)
            .map_or(self.total_units, |segment| segment.start_units + segment.units_within(at_ns - segment.start_ns))
    }

    /// The arrivals expected in `from_ns .. to_ns`; 0 when that is empty.
    pub fn expected_arrivals(&self, from_ns: u64, to_ns: u64) -> f64 {
        self.units_at(to_ns).saturating_sub(self.units_at(from_ns)) as f64 / ARRIVAL_UNITS as f64
    }

    /// The last nanosecond at which the integral is not above `units`; `None` when the end comes before that is passed.
    ///
    /// Exact, and so monotone, also in ramps: floating point only proposes.
    pub fn instant_ns(&self, units: u128) -> Option<u64> {
        self.instant_ns_from(&mut 0, units)
    }

    /// As [`Self::instant_ns`], for units that do not fall from call to call: `cursor` (0 at first) remembers the
    /// stage.
    #[inline]
    pub(crate) fn instant_ns_from(&self, cursor: &mut usize, units: u128) -> Option<u64> {
        loop {
            let segment = self.segments.get(*cursor)?;
            // A stage of rate 0 ends where it starts and is passed over.
            if units < segment.start_units + segment.units {
                return Some(segment.start_ns + segment.offset_ns(units.saturating_sub(segment.start_units)));
            }
            *cursor += 1;
        }
    }

    fn segment_at(&self, at_ns: u64) -> Option<&Segment> {
        let after = self.segments.partition_point(|segment| segment.start_ns <= at_ns);
        self.segments.get(after.checked_sub(1)?).filter(|segment| at_ns - segment.start_ns < segment.duration_ns)
    }
}

/// One leg that lasts some time, and where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    start_ns: u64,
    duration_ns: u64,
    start_units: u128,
    units: u128,
    course: Course,
}

/// How the rate changes in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Ramp(Ramp),
    Swell(Swell),
}

impl Segment {
    /// The integral over the first `offset_ns` (at most the duration), rounded up.
    fn units_within(&self, offset_ns: u64) -> u128 {
        match &self.course {
            Course::Ramp(ramp) => ramp.units_within(offset_ns),
            Course::Swell(swell) => swell.units_within(offset_ns),
        }
    }

    /// The last whole nanosecond of the leg at which its integral is not above `units`, which are fewer than it has.
    #[inline]
    fn offset_ns(&self, units: u128) -> u64 {
        match &self.course {
            Course::Ramp(ramp) => ramp.offset_ns(units),
            Course::Swell(swell) => swell.offset_ns(units).min(self.duration_ns.saturating_sub(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::units::{HumanDuration, Rate, SECOND_NS};
    use proptest::prelude::*;

    use super::*;

    fn stage(duration: &str, rate: &str, to: Option<&str>) -> Stage {
        Stage { duration: duration.parse().unwrap(), rate: rate.parse().unwrap(), to: to.map(|to| to.parse().unwrap()) }
    }

    fn profile(stages: &[Stage]) -> RateProfile {
        RateProfile::new(stages).unwrap()
    }

    #[test]
    fn totals_of_stages_are_exact() {
        for (stages, arrivals) in [
            (vec![stage("1h", "0.2/s", None)], 720),
            (vec![stage("20s", "1000/s", None)], 20_000),
            (vec![stage("10s", "0/s", Some("100/s"))], 500),
            (vec![stage("10s", "100/s", Some("0/s"))], 500),
            (vec![stage("3s", "1/s", Some("2/s"))], 5),
            (vec![stage("1s", "1/s", None), stage("1h", "0/s", None), stage("1s", "2/s", None)], 3),
            (vec![stage("60s", "20/m", None), stage("0s", "9/s", None), stage("10s", "1/s", Some("3/s"))], 40),
            (vec![stage("1s", "0/s", None)], 0),
            (vec![stage("1ns", "1/h", None)], 1),
        ] {
            assert_eq!(profile(&stages).total_arrivals(), arrivals, "{stages:?}");
        }
    }

    #[test]
    fn the_integral_is_inverted_through_steps_pauses_and_ramps() {
        let profile = profile(&[
            stage("2s", "0/s", None),
            stage("2s", "1/s", None),
            stage("5s", "0/s", None),
            stage("10s", "0/s", Some("10/s")),
            stage("10s", "10/s", Some("0/s")),
        ]);
        let at = |arrival: u128| profile.instant_ns(arrival * ARRIVAL_UNITS);
        assert_eq!(at(0), Some(2 * SECOND_NS));
        assert_eq!(at(1), Some(3 * SECOND_NS));
        assert_eq!(at(2), Some(9 * SECOND_NS));
        assert_eq!(at(2 + 50), Some(19 * SECOND_NS));
        // t²/2 = 32 at 8 s; mirrored in the fall.
        assert_eq!(at(2 + 32), Some(17 * SECOND_NS));
        assert_eq!(at(2 + 100 - 32), Some(21 * SECOND_NS));
        assert_eq!(at(2 + 100), None);
        assert_eq!(profile.rate_at(14 * SECOND_NS), 5.0);
        assert_eq!(profile.rate_at(2 * SECOND_NS), 1.0);
        assert_eq!(profile.rate_at(29 * SECOND_NS), 0.0);
        assert_eq!(profile.expected_arrivals(9 * SECOND_NS, 17 * SECOND_NS), 32.0);
        assert_eq!(profile.expected_arrivals(0, u64::MAX), 102.0);
        assert_eq!(profile.expected_arrivals(5, 4), 0.0);
    }

    #[test]
    fn limits_are_named_in_the_error() {
        let huge = Stage { duration: HumanDuration(u64::MAX), rate: Rate(u64::MAX), to: None };
        let long = Stage { duration: HumanDuration(u64::MAX), rate: Rate(1), to: None };
        assert_eq!(RateProfile::new(&[]), Err(ProfileError::NoStages));
        assert_eq!(RateProfile::new(&[huge]), Err(ProfileError::TooMany { stage: 0 }));
        assert!(RateProfile::new(&[huge]).unwrap_err().to_string().contains("1000000000000000"));
        assert_eq!(RateProfile::new(&[long, long]), Err(ProfileError::TooLong { stage: 1 }));
    }

    fn any_stage() -> impl Strategy<Value = Stage> {
        let number = || prop_oneof![Just(0u64), Just(1), Just(u64::MAX), any::<u64>(), 0u64..1_000_000_000_000_000];
        (number(), number(), prop::option::of(number())).prop_map(|(duration, rate, to)| Stage {
            duration: HumanDuration(duration),
            rate: Rate(rate),
            to: to.map(Rate),
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn inversion_is_exact_and_monotone_for_any_stages(
            stages in prop::collection::vec(any_stage(), 1..5),
            shares in prop::collection::vec(any::<u64>(), 1..20),
        ) {
            let Ok(profile) = RateProfile::new(&stages) else { return Ok(()) };
            let mut shares = shares;
            shares.sort_unstable();
            let mut last = 0;
            for share in shares {
                let units = (profile.total_units() >> 64) * u128::from(share)
                    + (((profile.total_units() & u128::from(u64::MAX)) * u128::from(share)) >> 64);
                let Some(instant) = profile.instant_ns(units) else {
                    prop_assert!(units >= profile.total_units());
                    continue;
                };
                prop_assert!(instant >= last && instant < profile.duration_ns());
                prop_assert!(profile.units_at(instant) <= units);
                prop_assert!(profile.units_at(instant + 1) > units);
                prop_assert!(profile.rate_at(instant).is_finite());
                last = instant;
            }
        }
    }
}
