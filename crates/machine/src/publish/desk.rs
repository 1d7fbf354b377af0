//! What a sampler was told: how often, whether at all, for whom. Pure: instants are given.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nuncius_schemas::names::check_token;
use nuncius_schemas::telemetry::{TelemetryControl, TelemetryHold, check_period};
use nuncius_schemas::units::HumanDuration;

/// Most experiments that are sampled for at once.
const HOLDS_MAX: usize = 64;
/// Longest that one lasts without being asked for again.
const HOLD_MAX: Duration = Duration::from_secs(3_600);

struct Hold {
    period: Option<HumanDuration>,
    until: Instant,
}

/// How a sampler stands.
pub(super) struct Desk {
    period: HumanDuration,
    is_paused: bool,
    holds: BTreeMap<String, Hold>,
}

impl Desk {
    pub(super) fn new(period: HumanDuration) -> Self {
        Self { period, is_paused: false, holds: BTreeMap::new() }
    }

    /// Does what it is told.
    ///
    /// # Errors
    /// Why it is not done.
    pub(super) fn take(&mut self, control: TelemetryControl, now: Instant) -> Result<(), String> {
        match control {
            TelemetryControl::Describe {} => {}
            TelemetryControl::Pause {} => self.is_paused = true,
            TelemetryControl::Resume {} => self.is_paused = false,
            TelemetryControl::Period { period } => {
                check_period(period).map_err(|error| error.to_string())?;
                self.period = period;
            }
            TelemetryControl::Hold { experiment, period, lasts } => {
                check_token("experiment", &experiment).map_err(|error| error.to_string())?;
                period.map_or(Ok(()), check_period).map_err(|error| error.to_string())?;
                if !self.holds.contains_key(&experiment) && self.holds.len() >= HOLDS_MAX {
                    return Err(format!("{HOLDS_MAX} experiments are sampled for already, the limit"));
                }
                let until = now + lasts.to_std().min(HOLD_MAX);
                self.holds.insert(experiment, Hold { period, until });
            }
            TelemetryControl::Release { experiment } => {
                self.holds.remove(&experiment);
            }
        }
        Ok(())
    }

    /// Forgets what has run out.
    pub(super) fn forget(&mut self, now: Instant) {
        self.holds.retain(|_, hold| hold.until > now);
    }

    /// When something runs out.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.holds.values().map(|hold| hold.until).min()
    }

    /// Time between two samples; none while nothing is sampled.
    pub(super) fn sampled_every(&self) -> Option<HumanDuration> {
        let own = (!self.is_paused).then_some(self.period);
        let held = self.holds.values().map(|hold| hold.period.unwrap_or(self.period));
        own.into_iter().chain(held).min()
    }

    pub(super) fn is_paused(&self) -> bool {
        self.is_paused
    }

    pub(super) fn period(&self) -> HumanDuration {
        self.period
    }

    pub(super) fn holds(&self, now: Instant) -> Vec<TelemetryHold> {
        let remaining = |until: Instant| {
            let left = until.saturating_duration_since(now);
            HumanDuration::from_millis(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
        };
        self.holds
            .iter()
            .map(|(experiment, hold)| TelemetryHold {
                experiment: experiment.clone(),
                period: hold.period,
                remaining: remaining(hold.until),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(experiment: &str, period_ms: Option<u64>, seconds: u64) -> TelemetryControl {
        TelemetryControl::Hold {
            experiment: experiment.to_owned(),
            period: period_ms.map(HumanDuration::from_millis),
            lasts: HumanDuration::from_secs(seconds),
        }
    }

    #[test]
    fn a_pause_ends_samples_but_for_experiments_that_hold_them() {
        let now = Instant::now();
        let mut desk = Desk::new(HumanDuration::from_secs(1));
        assert_eq!(desk.sampled_every(), Some(HumanDuration::from_secs(1)));
        desk.take(TelemetryControl::Pause {}, now).unwrap();
        assert_eq!(desk.sampled_every(), None);
        desk.take(hold("a", None, 10), now).unwrap();
        assert_eq!(desk.sampled_every(), Some(HumanDuration::from_secs(1)));
        // The quickest counts.
        desk.take(hold("b", Some(200), 20), now).unwrap();
        assert_eq!(desk.sampled_every(), Some(HumanDuration::from_millis(200)));
        desk.take(TelemetryControl::Release { experiment: "b".to_owned() }, now).unwrap();
        assert_eq!(desk.sampled_every(), Some(HumanDuration::from_secs(1)));
        // One that nobody asks for again runs out.
        assert_eq!(desk.next_end(), Some(now + Duration::from_secs(10)));
        desk.forget(now + Duration::from_secs(9));
        assert_eq!(desk.holds(now).len(), 1);
        desk.forget(now + Duration::from_secs(10));
        assert_eq!(desk.sampled_every(), None);
        desk.take(TelemetryControl::Resume {}, now).unwrap();
        desk.take(TelemetryControl::Period { period: HumanDuration::from_secs(5) }, now).unwrap();
        assert_eq!(desk.sampled_every(), Some(HumanDuration::from_secs(5)));
    }

    #[test]
    fn what_nobody_can_do_is_refused_and_changes_nothing() {
        let now = Instant::now();
        let mut desk = Desk::new(HumanDuration::from_secs(1));
        for period in [HumanDuration(0), HumanDuration::from_millis(99), HumanDuration::from_secs(3_601)] {
            let error = desk.take(TelemetryControl::Period { period }, now).unwrap_err();
            assert!(error.contains("100ms to 1h"), "{error}");
        }
        assert!(desk.take(hold("a.b", None, 1), now).unwrap_err().contains("experiment `a.b`"));
        assert!(desk.take(hold("a", Some(1), 1), now).is_err());
        for number in 0..HOLDS_MAX {
            desk.take(hold(&number.to_string(), None, u64::MAX), now).unwrap();
        }
        assert!(desk.take(hold("more", None, 1), now).unwrap_err().contains("the limit"));
        desk.take(hold("0", None, 1), now).unwrap();
        assert_eq!(desk.period(), HumanDuration::from_secs(1));
        desk.forget(now + HOLD_MAX);
        assert!(desk.holds(now).is_empty(), "none lasts longer than an hour");
    }
}
