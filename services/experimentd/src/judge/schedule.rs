//! When each group offers load.

use nuncius_load::amended::Basis;
use nuncius_load::profile::ARRIVAL_UNITS;
use nuncius_load::schedule_of;
use nuncius_schemas::amendment::Amended;
use nuncius_schemas::spec::{Arrivals, ExperimentSpec, Group};
use nuncius_schemas::units::SECOND_NS;
use nuncius_stats::OfferedSpans;

/// When one group offers load that counts.
pub(super) struct GroupSchedule {
    /// Without its pauses; the end is not known of users that stop after so many iterations.
    pub(super) spans: OfferedSpans,
    /// Whether its arrivals are a matter of the schedule alone.
    pub(super) is_evenly_spaced: bool,
    /// Last second in which something was begun.
    pub(super) last_begun: Option<u32>,
}

impl GroupSchedule {
    pub(super) fn of(spec: &ExperimentSpec, index: usize, group: &Group, nodes: u32) -> Self {
        let is_evenly_spaced = group.is_open() && group.clients.is_none() && group.arrivals == Arrivals::Constant;
        let mut spans = spans(spec, index, group, nodes);
        spans.begin_at(group.warm_up.0);
        Self { spans, is_evenly_spaced, last_begun: None }
    }

    /// When load was offered at least.
    pub(super) fn shortest(&self) -> OfferedSpans {
        self.ended_after(0)
    }

    /// When load was offered at most.
    pub(super) fn longest(&self) -> OfferedSpans {
        self.ended_after(1)
    }

    /// Where the end is not known it is within the last second in which something was begun.
    fn ended_after(&self, seconds: u64) -> OfferedSpans {
        let mut spans = self.spans.clone();
        if spans.end_ns().is_none() {
            let end_ns = self.last_begun.map_or(0, |second| (u64::from(second) + seconds) * SECOND_NS);
            spans.end_at(end_ns);
        }
        spans
    }
}

fn spans(spec: &ExperimentSpec, index: usize, group: &Group, nodes: u32) -> OfferedSpans {
    if !group.is_open() {
        // They may have done their iterations before the time is over.
        let known = spec.offered_ns_of(group).filter(|_| group.iterations.is_none());
        return OfferedSpans::new(present(spec, group, known.unwrap_or(u64::MAX)));
    }
    let index = u16::try_from(index).unwrap_or(u16::MAX);
    // That it can be had was made sure of before.
    let planned = Basis::of(spec, index, group, nodes).map(|basis| basis.spans(&spec.amendments));
    let mut spans = OfferedSpans::new(planned.unwrap_or_default());
    if group.arrivals.recorded().is_some()
        && let Ok(schedule) = schedule_of(spec, index, group, nodes)
    {
        spans.end_at(schedule.end_ns());
    }
    if let Some(limit) = group.iterations
        && let Some(end_ns) = first_beyond(spec, index, group, nodes, limit)
    {
        spans.end_at(end_ns);
    }
    spans
}

/// When there are users at all.
fn present(spec: &ExperimentSpec, group: &Group, end_ns: u64) -> Vec<(u64, u64)> {
    let users = group.users.unwrap_or(0);
    let (mut amended, mut since_ns, mut found) = (Amended::default(), Some(0), Vec::new());
    for amendment in spec.amendments.iter().filter(|amendment| amendment.concerns(&group.name)) {
        amended = amended.with(&amendment.change);
        let at_ns = amendment.at.0.min(end_ns);
        if amended.users_of(users) > 0 {
            since_ns.get_or_insert(at_ns);
        } else if let Some(since_ns) = since_ns.take() {
            found.push((since_ns, at_ns));
        }
    }
    found.extend(since_ns.map(|since_ns| (since_ns, end_ns)));
    found
}

/// When the first arrival would be that is one too many; `None` when the schedule has none.
fn first_beyond(spec: &ExperimentSpec, index: u16, group: &Group, nodes: u32, limit: u64) -> Option<u64> {
    let unlimited = Group { iterations: None, ..group.clone() };
    let mut schedule = schedule_of(spec, index, &unlimited, nodes).ok()?;
    match group.arrivals {
        Arrivals::Constant if schedule.pieces() == 1 && group.clients.is_none() => {
            schedule.profile().instant_ns(u128::from(limit) * ARRIVAL_UNITS)
        }
        Arrivals::Constant | Arrivals::Poisson | Arrivals::Recorded(_) => {
            schedule.nth(usize::try_from(limit).ok()?).map(|arrival| arrival.planned_ns)
        }
    }
}
