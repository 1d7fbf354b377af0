//! What was not offered, told apart from what a lost node may have offered without a word. Pure.

use std::collections::BTreeMap;

use nuncius_load::profile::RateProfile;
use nuncius_load::schedule::Schedule;
use nuncius_load::shard::ShardSet;
use nuncius_schemas::node::GroupAssignment;
use nuncius_schemas::spec::{ExperimentSpec, Group};

use crate::offered::multiplied;
use crate::totals::RunTotals;
use crate::watch::Lost;

/// How scheduled arrivals and offered ones differ, over all groups that follow a schedule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Deficit {
    /// Arrivals that the schedules hold.
    pub(crate) scheduled: u64,
    /// Certainly not offered.
    pub(crate) not_offered: u64,
    /// Neither reported nor certainly not offered: a node was lost that may have offered them.
    pub(crate) unaccounted: u64,
    /// Offered though no schedule holds them.
    pub(crate) excess: u64,
}

/// Compares what was reported with the schedules. `scheduled` has what each group's holds, if it has one.
pub(crate) fn account(
    spec: &ExperimentSpec,
    scheduled: &[Option<u64>],
    assignments: &BTreeMap<String, Vec<GroupAssignment>>,
    totals: &RunTotals,
    lost: &BTreeMap<String, Lost>,
) -> Deficit {
    let mut deficit = Deficit::default();
    for ((number, group), scheduled) in (0u16..).zip(&spec.groups).zip(scheduled) {
        let Some(scheduled) = *scheduled else { continue };
        deficit.scheduled += scheduled;
        let steps = totals.steps.iter().filter(|((of, step), _)| *of == number && totals.is_iteration(*of, *step));
        let taken: u64 = steps.map(|(_, step)| step.planned).sum();
        deficit.excess += taken.saturating_sub(scheduled);
        let missing = scheduled.saturating_sub(taken);
        let unaccounted: u64 = lost
            .iter()
            .filter_map(|(node, lost)| {
                let share = assignments.get(node)?.iter().find(|assignment| assignment.group == number)?;
                let held = held_before(spec, number, group, share, lost.horizon_ns);
                Some(held.saturating_sub(totals.reported(node, number)))
            })
            .sum();
        let unaccounted = unaccounted.min(missing);
        deficit.unaccounted += unaccounted;
        deficit.not_offered += missing - unaccounted;
    }
    deficit
}

/// Arrivals of a group that a node's shards hold before an instant: what it may have offered at most.
fn held_before(spec: &ExperimentSpec, number: u16, group: &Group, share: &GroupAssignment, until_ns: u64) -> u64 {
    let stages = multiplied(&group.effective_stages(), if group.rate_per_node { share.nodes } else { 1 });
    let Ok(profile) = RateProfile::new(&stages) else { return 0 };
    let schedule = Schedule::new(profile, group.arrivals, spec.seed, u32::from(number), group.iterations);
    // We have made them ourselves.
    let Ok(shards) = ShardSet::of_assignment(share) else { return 0 };
    schedule.take_while(|arrival| arrival.planned_ns < until_ns).filter(|arrival| shards.owns(arrival.index)).count()
        as u64
}

#[cfg(test)]
mod tests {
    use nuncius_load::assign;
    use nuncius_schemas::metric::{MetricDelta, StepDelta};
    use nuncius_schemas::units::SECOND_NS;
    use nuncius_stats::Incarnation;

    use super::*;

    fn delta(node: &str, planned: u64, succeeded: u64) -> MetricDelta {
        MetricDelta {
            experiment: "e".to_owned(),
            node: node.to_owned(),
            epoch: 1,
            attempt: 1,
            sequence: 1,
            part: 0,
            parts: 1,
            first_second: 0,
            last_second: 3,
            last: false,
            stopped: None,
            records: None,
            steps: vec![StepDelta {
                planned,
                sent: planned,
                succeeded,
                in_flight: planned - succeeded,
                ..StepDelta::default()
            }],
            health: None,
        }
    }

    /// Two nodes at 10/s for 10 s; the second is lost.
    fn account_of(first: u64, second: u64, horizon_ns: u64) -> Deficit {
        let group: Group =
            serde_json::from_str(r#"{"target": "http://h/", "rate": "10/s", "duration": "10s"}"#).unwrap();
        let spec = ExperimentSpec::of_groups(vec![group]);
        let mut totals = RunTotals::new(vec![1]);
        let mut assignments = BTreeMap::new();
        let assigned = assign(&[1, 1]).unwrap();
        for ((node, planned), owned) in [("a", first), ("b", second)].into_iter().zip(assigned.owned) {
            totals.enroll(node, Incarnation { epoch: 1, attempt: 1 });
            totals.merge(&delta(node, planned, planned)).unwrap();
            let share = GroupAssignment { group: 0, shards: assigned.shards, owned, nodes: 2 };
            assignments.insert(node.to_owned(), vec![share]);
        }
        let lost = BTreeMap::from([("b".to_owned(), Lost { reason: "gone".to_owned(), horizon_ns })]);
        account(&spec, &[Some(100)], &assignments, &totals, &lost)
    }

    #[test]
    fn only_what_lies_beyond_a_lost_nodes_horizon_was_certainly_not_offered() {
        let expect = |not_offered, unaccounted, excess| Deficit { scheduled: 100, not_offered, unaccounted, excess };
        // 50 are the lost node's, 35 of them before second 7, and it told of 20.
        assert_eq!(account_of(50, 20, 7 * SECOND_NS), expect(15, 15, 0));
        assert_eq!(account_of(50, 20, 60 * SECOND_NS), expect(0, 30, 0));
        assert_eq!(account_of(50, 20, 0), expect(30, 0, 0));
        // What the other one did not offer is certain.
        assert_eq!(account_of(45, 20, 60 * SECOND_NS), expect(5, 30, 0));
        assert_eq!(account_of(50, 51, 60 * SECOND_NS), expect(0, 0, 1));
    }

    #[test]
    fn what_a_lost_node_had_under_way_is_censored_and_its_age_unknown() {
        let mut totals = RunTotals::new(vec![1]);
        for (node, planned, succeeded) in [("a", 30, 30), ("b", 30, 23)] {
            totals.enroll(node, Incarnation { epoch: 1, attempt: 1 });
            totals.merge(&delta(node, planned, succeeded)).unwrap();
        }
        for _ in 0..2 {
            // Told twice it is the same loss.
            totals.lose("b");
            let step = &totals.steps[&(0, 0)];
            assert_eq!((step.planned, step.succeeded, step.censored), (60, 53, 7));
            assert_eq!((step.response.censored.count(), step.service.censored.count()), (7, 7));
            assert_eq!(step.response.censored.max_ns(), Some(0));
        }
        totals.lose("nobody");
        assert_eq!(totals.iterations().censored, 7);
    }
}
