//! How much load a group offers, and for how long, as far as its specification says that by itself.

use super::{Arrivals, ExperimentSpec, Group, Pattern, RecordedArrivals, Stage};
use crate::interarrival::Clients;
use crate::units::{HumanDuration, Rate, SECOND_NS};

impl Group {
    /// Whether the group follows a schedule.
    pub fn is_open(&self) -> bool {
        self.users.is_none()
    }

    /// The rate over time where it is written as such: `stages`, or the one stage that `rate` and `duration` mean; of
    /// clients, what they send on average. None of a pattern or of recorded arrivals: crate `load` has those of all.
    ///
    /// With `rate` and `iterations` but no duration, the stage is as long as the iterations need.
    pub fn effective_stages(&self) -> Vec<Stage> {
        if !self.stages.is_empty() {
            return self.stages.clone();
        }
        let Some(rate) = self.rate.or_else(|| self.clients.as_ref().map(Clients::mean_rate)) else { return Vec::new() };
        let duration = self.duration.or_else(|| {
            let iterations = u128::from(self.iterations?);
            let arrivals_ns = iterations * u128::from(Rate::PER_SECOND) * u128::from(SECOND_NS);
            let needed = arrivals_ns.div_ceil(u128::from(rate.0.max(1)));
            Some(HumanDuration(u64::try_from(needed).unwrap_or(u64::MAX)))
        });
        duration.map(|duration| Stage { duration, rate, to: None }).into_iter().collect()
    }

    /// How long load is offered at most, in nanoseconds; `None` for a closed group that is bounded by iterations alone.
    pub fn offered_ns(&self) -> Option<u64> {
        if self.is_open() && !self.has_pattern() {
            Some(self.effective_stages().iter().fold(0u64, |sum, stage| sum.saturating_add(stage.duration.0)))
        } else if self.is_open() {
            Some(self.duration.map_or(0, |duration| duration.0))
        } else {
            self.duration.map(|duration| duration.0)
        }
    }

    /// Whether neither stages nor a rate say what it offers.
    pub(crate) fn has_pattern(&self) -> bool {
        self.pattern.is_some() || self.arrivals.recorded().is_some()
    }

    /// No rate of it is higher, as it is written; 0 in the closed model, and where a file has the arrivals.
    pub fn highest_rate(&self) -> Rate {
        let stages = self.effective_stages();
        let highest = stages.iter().map(|stage| stage.rate.max(stage.to.unwrap_or_default())).max();
        highest.or_else(|| self.pattern.as_ref().map(Pattern::highest_rate)).unwrap_or_default()
    }

    /// Whether it ends with its last arrival rather than with its time: a file, and clients who send so many requests.
    pub fn ends_with_its_arrivals(&self) -> bool {
        let is_recorded = match &self.arrivals {
            Arrivals::Recorded(_) => self.is_open(),
            Arrivals::Constant | Arrivals::Poisson => false,
        };
        is_recorded || self.clients.as_ref().is_some_and(|clients| clients.requests.is_some())
    }
}

impl ExperimentSpec {
    /// The files of arrivals that it names, each with the number of its group and how long that lasts at most, in
    /// nanoseconds.
    pub fn recorded_mut(&mut self) -> impl Iterator<Item = (usize, u64, &mut RecordedArrivals)> {
        self.groups.iter_mut().enumerate().filter_map(|(index, group)| match &mut group.arrivals {
            Arrivals::Recorded(recorded) => Some((index, group.duration.map_or(0, |duration| duration.0), recorded)),
            Arrivals::Constant | Arrivals::Poisson => None,
        })
    }

    /// Whether there is a file of arrivals that nobody has read yet.
    pub fn wants_instants(&self) -> bool {
        let mut recorded = self.groups.iter().filter_map(|group| group.arrivals.recorded());
        recorded.any(|recorded| recorded.instants.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_with_iterations_lasts_as_long_as_they_need() {
        let group = |rate: &str, iterations| Group {
            rate: Some(rate.parse().unwrap()),
            iterations: Some(iterations),
            ..Group::of_target("http://stub/".to_owned())
        };
        assert_eq!(group("100/s", 100).offered_ns(), Some(SECOND_NS));
        assert_eq!(group("20/m", 10).offered_ns(), Some(30 * SECOND_NS));
        assert_eq!(group("0.000001/h", u64::MAX).offered_ns(), Some(u64::MAX));
    }

    #[test]
    fn patterns_and_recorded_arrivals_last_as_long_as_they_are_said_to() {
        let group: Group =
            crate::codec::from_text("target: http://h/\nduration: 30s\npattern: {sine: {max: 100/s, period: 10s}}")
                .unwrap();
        assert_eq!((group.offered_ns(), group.highest_rate()), (Some(30 * SECOND_NS), Rate::per_second(100)));
        let group: Group =
            crate::codec::from_text("target: http://h/\nduration: 30s\narrivals: {file: a.csv}").unwrap();
        assert_eq!((group.offered_ns(), group.highest_rate()), (Some(30 * SECOND_NS), Rate(0)));
        assert!(group.ends_with_its_arrivals());
    }
}
