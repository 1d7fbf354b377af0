//! When each group offers load.

use nuncius_load::profile::{ARRIVAL_UNITS, RateProfile};
use nuncius_load::schedule::Schedule;
use nuncius_schemas::spec::{Arrivals, ExperimentSpec, Group};
use nuncius_schemas::units::SECOND_NS;
use nuncius_stats::OfferedSpans;

use crate::offered::multiplied;

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
        let is_evenly_spaced = group.is_open() && group.arrivals == Arrivals::Constant;
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
        let known = group.duration.filter(|_| group.iterations.is_none());
        return OfferedSpans::until(known.map_or(u64::MAX, |duration| duration.0));
    }
    let stages = multiplied(&group.effective_stages(), if group.rate_per_node { nodes } else { 1 });
    let mut start_ns = 0u64;
    let mut found = Vec::new();
    for stage in &stages {
        let end_ns = start_ns.saturating_add(stage.duration.0);
        if stage.rate.0.max(stage.to.map_or(0, |to| to.0)) > 0 {
            found.push((start_ns, end_ns));
        }
        start_ns = end_ns;
    }
    let mut spans = OfferedSpans::new(found);
    if let Some(limit) = group.iterations
        && let Ok(profile) = RateProfile::new(&stages)
        && let Some(end_ns) = first_beyond(profile, spec, index, group, limit)
    {
        spans.end_at(end_ns);
    }
    spans
}

/// When the first arrival would be that is one too many; `None` when the schedule has none.
fn first_beyond(profile: RateProfile, spec: &ExperimentSpec, index: usize, group: &Group, limit: u64) -> Option<u64> {
    match group.arrivals {
        Arrivals::Constant => profile.instant_ns(u128::from(limit) * ARRIVAL_UNITS),
        Arrivals::Poisson => {
            let stream = u32::try_from(index).unwrap_or(u32::MAX);
            let mut schedule = Schedule::new(profile, group.arrivals, spec.seed, stream, None);
            let limit = usize::try_from(limit).ok()?;
            schedule.nth(limit).map(|arrival| arrival.planned_ns)
        }
    }
}
