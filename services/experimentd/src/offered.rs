//! When each group's load is offered, and how many iterations its schedule holds second by second. Pure.
//!
//! Every group has its own time: its rates are over that, not over the run's.

use std::iter::Peekable;

use nuncius_load::profile::{ARRIVAL_UNITS, RateProfile};
use nuncius_load::schedule::Schedule;
use nuncius_schemas::spec::{Arrivals, ExperimentSpec, Group, Stage};
use nuncius_schemas::units::{Rate, SECOND_NS};

/// Stages whose rates are for each of `nodes` nodes.
pub fn multiplied(stages: &[Stage], nodes: u32) -> Vec<Stage> {
    let times = |rate: Rate| Rate(rate.0.saturating_mul(u64::from(nodes)));
    stages.iter().map(|stage| Stage { rate: times(stage.rate), to: stage.to.map(times), ..*stage }).collect()
}

/// The rate of an open group over time; `None` in the closed model.
fn profile(group: &Group, nodes: u32) -> Option<RateProfile> {
    if !group.is_open() {
        return None;
    }
    let stages = multiplied(&group.effective_stages(), if group.rate_per_node { nodes } else { 1 });
    RateProfile::new(&stages).ok()
}

fn schedule(spec: &ExperimentSpec, index: u16, group: &Group, nodes: u32) -> Option<Schedule> {
    Some(Schedule::new(profile(group, nodes)?, group.arrivals, spec.seed, u32::from(index), group.iterations))
}

/// Iterations that the schedule of an open group holds. For Poisson arrivals this is the number the seed gives, not the
/// mean.
pub fn scheduled(spec: &ExperimentSpec, index: u16, group: &Group, nodes: u32) -> Option<u64> {
    Some(schedule(spec, index, group, nodes)?.total())
}

/// The time of run time until which a group is to be offered, in nanoseconds: the end of its stages, or, where a limit
/// of iterations comes first, the time that so many iterations are given: `iterations: 77` at 100/s are 0.77 s. `None`
/// for a closed group that is bounded by iterations alone.
pub fn offered_until_ns(spec: &ExperimentSpec, index: u16, group: &Group, nodes: u32) -> Option<u64> {
    let Some(profile) = profile(group, nodes) else { return group.offered_ns() };
    let end_ns = profile.duration_ns();
    let Some(limit) = group.iterations else { return Some(end_ns) };
    match group.arrivals {
        Arrivals::Constant => Some(profile.instant_ns(u128::from(limit) * ARRIVAL_UNITS).unwrap_or(end_ns)),
        Arrivals::Poisson => {
            // The seed decides when the last of them is; where there are fewer, the stages end first.
            let last =
                schedule(spec, index, group, nodes)?.enumerate().nth(usize::try_from(limit).ok()?.checked_sub(1)?);
            Some(last.map_or(end_ns, |(_, arrival)| arrival.planned_ns))
        }
    }
}

/// Counts the iterations that a schedule holds in each second, in rising order.
#[derive(Debug)]
pub struct SecondsOfSchedule {
    source: Source,
    /// Arrivals before the next second to be counted.
    before: u64,
    next_second: u32,
}

#[derive(Debug)]
enum Source {
    /// Constant spacing: as many as the integral of the rate has passed.
    Constant { profile: RateProfile, limit: u64 },
    /// As the seed has them.
    Poisson(Box<Peekable<Schedule>>),
}

impl SecondsOfSchedule {
    /// Of an open group; `None` in the closed model.
    pub fn new(spec: &ExperimentSpec, index: u16, group: &Group, nodes: u32) -> Option<Self> {
        let source = match group.arrivals {
            Arrivals::Constant => {
                Source::Constant { profile: profile(group, nodes)?, limit: group.iterations.unwrap_or(u64::MAX) }
            }
            Arrivals::Poisson => Source::Poisson(Box::new(schedule(spec, index, group, nodes)?.peekable())),
        };
        Some(Self { source, before: 0, next_second: 0 })
    }

    /// How many there are in `second`; of seconds that were passed over none are told any more.
    pub fn count(&mut self, second: u32) -> u64 {
        let mut count = 0;
        while self.next_second <= second {
            let end_ns = (u64::from(self.next_second) + 1).saturating_mul(SECOND_NS);
            let through = match &mut self.source {
                Source::Constant { profile, limit } => {
                    // Arrival k is where the integral reaches k: before `end_ns` are those whose k it has passed.
                    let passed = profile.units_at(end_ns).div_ceil(ARRIVAL_UNITS);
                    u64::try_from(passed).unwrap_or(u64::MAX).min(*limit)
                }
                Source::Poisson(schedule) => {
                    let mut through = self.before;
                    while schedule.next_if(|arrival| arrival.planned_ns < end_ns).is_some() {
                        through += 1;
                    }
                    through
                }
            };
            count = through - self.before;
            self.before = through;
            self.next_second += 1;
        }
        count
    }
}

/// When each group was really offered, as far as is known.
#[derive(Debug, Clone, Default)]
pub struct OfferedTimes {
    /// By group: how long it warms up.
    from_ns: Vec<u64>,
    /// By group: when it is to end; `None` where only its iterations end it.
    until_ns: Vec<Option<u64>>,
}

impl OfferedTimes {
    /// Of a specification whose groups run on so many nodes.
    pub fn new(spec: &ExperimentSpec, nodes_per_group: &[u32]) -> Self {
        let until_ns = spec
            .groups
            .iter()
            .enumerate()
            .map(|(index, group)| {
                let nodes = nodes_per_group.get(index).copied().unwrap_or(1);
                offered_until_ns(spec, u16::try_from(index).unwrap_or(u16::MAX), group, nodes)
            })
            .collect();
        Self { from_ns: spec.groups.iter().map(|group| group.warm_up.0).collect(), until_ns }
    }

    /// How much of a second a group is offered for, in nanoseconds: from the end of its warm-up until it is to end, or
    /// the run was stopped. A group that only its iterations end is while it begins some, for as long as the run was
    /// under way.
    pub fn within(&self, group: usize, second: u32, length_ns: u64, offered: u64, stopped_ns: Option<u64>) -> u64 {
        let start_ns = u64::from(second) * SECOND_NS;
        let from_ns = self.from_ns.get(group).copied().unwrap_or(0).max(start_ns);
        let warm_up_ns = from_ns - start_ns;
        let stopped_ns = stopped_ns.unwrap_or(u64::MAX);
        match self.until_ns.get(group).copied().flatten() {
            Some(until_ns) => {
                let end_ns = until_ns.min(stopped_ns).min(start_ns.saturating_add(SECOND_NS));
                end_ns.saturating_sub(from_ns)
            }
            None => {
                let most_ns = stopped_ns.saturating_sub(start_ns).min(length_ns);
                if offered > 0 { most_ns.saturating_sub(warm_up_ns) } else { 0 }
            }
        }
    }
}

#[cfg(test)]
mod tests;
