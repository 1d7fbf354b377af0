//! When each group's load is offered, and how many iterations its schedule holds second by second. Pure.
//!
//! Every group has its own time: its rates are over that, not over the run's.

use nuncius_load::amended::Basis;
use nuncius_load::profile::ARRIVAL_UNITS;
use nuncius_load::{Next, Schedule, schedule_of};
use nuncius_schemas::spec::{Arrivals, ExperimentSpec, Group};
use nuncius_schemas::units::SECOND_NS;

fn schedule(spec: &ExperimentSpec, index: u16, group: &Group, nodes: u32) -> Option<Schedule> {
    if !group.is_open() {
        return None;
    }
    schedule_of(spec, index, group, nodes).ok()
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
    let Some(mut schedule) = schedule(spec, index, group, nodes) else { return spec.offered_ns_of(group) };
    let end_ns = schedule.end_ns();
    let Some(limit) = group.iterations else { return Some(end_ns) };
    match group.arrivals {
        Arrivals::Constant if schedule.pieces() == 1 && group.clients.is_none() => {
            Some(schedule.profile().instant_ns(u128::from(limit) * ARRIVAL_UNITS).unwrap_or(end_ns))
        }
        // The seed, a file, or what was amended decides when the last of them is; where there are fewer, the stages end
        // first.
        Arrivals::Constant | Arrivals::Poisson | Arrivals::Recorded(_) => {
            let last = schedule.nth(usize::try_from(limit).ok()?.checked_sub(1)?);
            Some(last.map_or(end_ns, |arrival| arrival.planned_ns))
        }
    }
}

/// Counts the iterations that a schedule holds in each second, in rising order.
#[derive(Debug)]
pub struct SecondsOfSchedule {
    schedule: Schedule,
    /// Arrivals before the next second to be counted.
    before: u64,
    next_second: u32,
}

impl SecondsOfSchedule {
    /// Of an open group; `None` in the closed model.
    pub fn new(spec: &ExperimentSpec, index: u16, group: &Group, nodes: u32) -> Option<Self> {
        Some(Self { schedule: schedule(spec, index, group, nodes)?, before: 0, next_second: 0 })
    }

    /// The specification was amended from an instant on that no counted second has reached.
    pub fn amend(&mut self, spec: &ExperimentSpec, index: u16, group: &Group, nodes: u32) {
        // That it can be had was made sure of before.
        let basis = Basis::of(spec, index, group, nodes);
        let _ = basis.and_then(|basis| basis.amend(&mut self.schedule, &spec.amendments));
    }

    /// How many there are in `second`; of seconds that were passed over none are told any more.
    pub fn count(&mut self, second: u32) -> u64 {
        let mut count = 0;
        while self.next_second <= second {
            let end_ns = (u64::from(self.next_second) + 1).saturating_mul(SECOND_NS);
            let through = self.schedule.count_before(end_ns).unwrap_or_else(|| self.walk(end_ns));
            count = through.saturating_sub(self.before);
            self.before = through;
            self.next_second += 1;
        }
        count
    }

    /// Arrivals before an instant, one by one, as the seed has them.
    fn walk(&mut self, end_ns: u64) -> u64 {
        let mut through = self.before;
        while let Next::Arrival(_) = self.schedule.next_before(end_ns) {
            through += 1;
        }
        through
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
