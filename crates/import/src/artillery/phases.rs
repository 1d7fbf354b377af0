//! Phases: how many users Artillery creates in each, to the user, and the stages of a schedule that has as many.
//!
//! The formulas are those of its scheduler (`phases` of its core, and package `arrivals`), with one worker: it divides
//! the load among as many as the machine has processors but one, and the counts of several differ by their rounding.
//!
//! - A constant rate ticks every ⌊10⁶ / rate⌋ microseconds, and ends with the tick that is the last to fit into the
//!   duration: at rates that do not divide a million these are a little more than rate × duration. The same holds for a
//!   number of arrivals, whose rate is that number by the duration.
//! - A ramp has a rate of its own in each second: on the line from the first to the last, rounded to a whole number,
//!   halves up. A ramp of a second has the mean of both.
//! - Poisson arrivals are a matter of chance there and here.
//!
//! Users are created at the end of each tick there, and at its beginning here.

use nuncius_schemas::spec::Stage;
use nuncius_schemas::spec::limits::STAGES_MAX;
use nuncius_schemas::units::{HumanDuration, Rate, SECOND_NS};
use serde::Serialize;

/// Units of a rate (millionths of an arrival per hour) in one arrival per nanosecond.
const UNITS: u128 = Rate::PER_SECOND as u128 * SECOND_NS as u128;

/// Most stages that a ramp becomes: seconds of the same rate are one. A longer and steeper one goes up in larger steps,
/// with the same number of users.
pub const RAMP_STAGES_MAX: usize = 1_000;

/// Longest phase, in seconds.
pub const PHASE_MAX_S: f64 = 2_592_000.0;

/// Highest rate of a phase, in arrivals per second: Artillery ticks in microseconds.
pub const RATE_MAX_PER_S: f64 = 1_000_000.0;

/// What a phase creates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Load {
    /// Nobody, for so many seconds.
    Pause {
        /// How long, in seconds.
        duration_s: f64,
    },
    /// Evenly spaced users.
    Rate {
        /// How long, in seconds.
        duration_s: f64,
        /// Users per second.
        rate_per_s: f64,
    },
    /// So many users, evenly spaced.
    Count {
        /// How long, in seconds.
        duration_s: f64,
        /// How many.
        users: f64,
    },
    /// A rate that changes from second to second.
    Ramp {
        /// How long, in seconds; each second that was begun is gone through.
        duration_s: f64,
        /// Users in the first second.
        from_per_s: f64,
        /// Users in the last second.
        to_per_s: f64,
    },
}

/// A phase, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phase {
    /// What people call it.
    pub name: Option<String>,
    /// When it begins, in nanoseconds of run time.
    pub start_ns: u64,
    /// How long it lasts, in nanoseconds.
    pub duration_ns: u64,
    /// How many users are created in it. Of Poisson arrivals it is the mean.
    pub users: u64,
    /// Most users at once while it lasts, those of phases before included: who comes beyond is skipped.
    pub max_vusers: Option<u64>,
}

/// A stretch of constant rate: how long, and how many users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    duration_ns: u64,
    users: u64,
}

impl Stretch {
    /// Whether so many users in a second are the same rate.
    fn is_as_dense_as(self, users: u64) -> bool {
        u128::from(self.users) * u128::from(SECOND_NS) == u128::from(users) * u128::from(self.duration_ns)
    }
}

impl Load {
    /// Its stretches.
    ///
    /// # Errors
    /// What cannot be, in words that follow its path.
    fn stretches(self) -> Result<Vec<Stretch>, String> {
        let evenly = |duration_s: f64, users| -> Result<Vec<Stretch>, String> {
            Ok(vec![Stretch { duration_ns: duration_ns(duration_s)?, users }])
        };
        match self {
            Self::Pause { duration_s } => evenly(duration_s, 0),
            Self::Rate { duration_s, rate_per_s: 0.0 } => evenly(duration_s, 0),
            Self::Rate { duration_s, rate_per_s } => {
                check_rate(rate_per_s)?;
                evenly(duration_s, ticks(1_000.0 / rate_per_s, duration_s))
            }
            Self::Count { users: 0.0, .. } => Ok(Vec::new()),
            Self::Count { duration_s, users } => {
                check_rate(users / duration_s)?;
                evenly(duration_s, ticks(duration_s * 1_000.0 / users, duration_s))
            }
            Self::Ramp { duration_s, from_per_s, to_per_s } => {
                check_rate(from_per_s)?;
                check_rate(to_per_s)?;
                duration_ns(duration_s)?;
                Ok(ramp(duration_s, from_per_s, to_per_s))
            }
        }
    }
}

fn duration_ns(duration_s: f64) -> Result<u64, String> {
    let nanoseconds = super::human::nanoseconds(duration_s).filter(|ns| *ns > 0 && duration_s <= PHASE_MAX_S);
    nanoseconds.ok_or_else(|| format!("lasts {duration_s} s: give more than 0 and at most {PHASE_MAX_S}"))
}

fn check_rate(rate_per_s: f64) -> Result<(), String> {
    match (0.0..=RATE_MAX_PER_S).contains(&rate_per_s) {
        true => Ok(()),
        false => Err(format!("{rate_per_s} users a second: give 0 to {RATE_MAX_PER_S}")),
    }
}

/// How many ticks of `interval_ms`, in whole microseconds, fit into a duration.
fn ticks(interval_ms: f64, duration_s: f64) -> u64 {
    let tick_us = (interval_ms * 1_000.0).floor();
    let duration_us = duration_s * 1_000.0 * 1_000.0;
    (duration_us / tick_us).floor() as u64
}

/// Seconds of a ramp, those of the same rate together.
fn ramp(duration_s: f64, from_per_s: f64, to_per_s: f64) -> Vec<Stretch> {
    let seconds = duration_s.ceil() as u64;
    let users_in = |second: u64| -> u64 {
        let rate = if duration_s == 1.0 {
            f64::midpoint(to_per_s, from_per_s)
        } else {
            (to_per_s - from_per_s) / (duration_s - 1.0) * second as f64 + from_per_s
        };
        // Halves up, as JavaScript rounds; a line that goes on beyond its end may be below 0.
        (rate.floor() + if (rate - rate.floor()) >= 0.5 { 1.0 } else { 0.0 }).max(0.0) as u64
    };
    let mut stretches: Vec<Stretch> = Vec::new();
    for second in 0..seconds {
        let users = users_in(second);
        match stretches.last_mut() {
            Some(last) if last.is_as_dense_as(users) => {
                last.duration_ns += SECOND_NS;
                last.users += users;
            }
            _ => stretches.push(Stretch { duration_ns: SECOND_NS, users }),
        }
    }
    let at_once = stretches.len().div_ceil(RAMP_STAGES_MAX).max(1);
    let together = |some: &[Stretch]| Stretch {
        duration_ns: some.iter().map(|stretch| stretch.duration_ns).sum(),
        users: some.iter().map(|stretch| stretch.users).sum(),
    };
    stretches.chunks(at_once).map(together).collect()
}

/// A schedule of phases.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schedule {
    pub(crate) phases: Vec<Phase>,
    pub(crate) stages: Vec<Stage>,
}

/// Adds phases up, each with its name and its cap.
///
/// # Errors
/// Which phase cannot be, and why.
pub(crate) fn schedule(loads: &[(Option<String>, Load, Option<u64>)]) -> Result<Schedule, (usize, String)> {
    let (mut phases, mut stages) = (Vec::new(), Vec::<Stage>::new());
    let mut start_ns = 0u64;
    for (index, (name, load, max_vusers)) in loads.iter().enumerate() {
        let stretches = load.stretches().map_err(|problem| (index, problem))?;
        let duration_ns: u64 = stretches.iter().map(|stretch| stretch.duration_ns).sum();
        let users = stretches.iter().map(|stretch| stretch.users).sum();
        phases.push(Phase { name: name.clone(), start_ns, duration_ns, users, max_vusers: *max_vusers });
        start_ns = start_ns.saturating_add(duration_ns);
        stages.extend(stretches.into_iter().map(stage));
        if stages.len() > STAGES_MAX {
            return Err((index, format!("the phases up to here become more than {STAGES_MAX} stages")));
        }
    }
    Ok(Schedule { phases, stages })
}

/// The stage of a stretch. Its rate is rounded down to what a rate can say, so that its integral is less than the
/// number of users by a share of one that is below 10⁻³ in all of the longest schedule; the schedule creates a user
/// at each whole number that the integral comes to, the first at 0: as many as there are to be.
fn stage(stretch: Stretch) -> Stage {
    let rate = u128::from(stretch.users) * UNITS / u128::from(stretch.duration_ns.max(1));
    Stage {
        duration: HumanDuration(stretch.duration_ns),
        rate: Rate(u64::try_from(rate).unwrap_or(u64::MAX)),
        to: None,
    }
}

#[cfg(test)]
mod tests;
