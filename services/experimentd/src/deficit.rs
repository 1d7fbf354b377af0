//! What was not offered, told apart from what a lost node may have offered without a word. Pure.

use std::collections::BTreeMap;

use nuncius_schemas::spec::ExperimentSpec;
use nuncius_schemas::units::SECOND_NS;

use crate::outcome::{Lost, Offered};
use crate::plan::Plan;
use crate::plan::moving::{Move, held, users};
use crate::totals::RunTotals;

mod held;

use held::{Holding, held_before};

/// How scheduled arrivals and offered ones differ, over all groups that follow a schedule; and how long the users of
/// the others were away.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Deficit {
    /// Arrivals that the schedules hold.
    pub(crate) scheduled: u64,
    /// Certainly not offered.
    pub(crate) not_offered: u64,
    /// Neither reported nor certainly not offered: a node was lost that may have offered them.
    pub(crate) unaccounted: u64,
    /// Offered though no schedule holds them.
    pub(crate) excess: u64,
    /// Time that users were to be there, all of them together, in seconds.
    pub(crate) user_seconds: f64,
    /// How much of it those of lost nodes were not, or nobody knows.
    pub(crate) lost_user_seconds: f64,
    /// Whether the run was to be cut short: then nobody expects the rest.
    is_cut: bool,
}

impl Deficit {
    /// The larger one of the shares that are missing: of scheduled arrivals, of the time of users. 0 where nothing is.
    pub(crate) fn share(&self) -> f64 {
        let missing = self.unaccounted + if self.is_cut { 0 } else { self.not_offered };
        let of_arrivals = if self.scheduled > 0 { missing as f64 / self.scheduled as f64 } else { 0.0 };
        let of_users = if self.user_seconds > 0.0 { self.lost_user_seconds / self.user_seconds } else { 0.0 };
        of_arrivals.max(of_users)
    }

    /// For people; `None` when nothing is missing.
    pub(crate) fn told(&self, offered: &Offered) -> Option<String> {
        let Self { scheduled, not_offered, unaccounted, user_seconds, lost_user_seconds, .. } = *self;
        let mut told = Vec::new();
        if unaccounted > 0 {
            let lost = offered.lost.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            told.push(format!(
                "{unaccounted} of {scheduled} scheduled arrivals are not accounted for (at most {unaccounted} not \
                 offered): lost with {lost}"
            ));
        }
        if not_offered > 0 && !self.is_cut {
            told.push(format!("{not_offered} of {scheduled} scheduled arrivals were not offered"));
        }
        if lost_user_seconds > 0.0 {
            told.push(format!(
                "users of lost nodes were away for {lost_user_seconds:.1} of {user_seconds:.1} seconds that all users \
                 were to be there"
            ));
        }
        (!told.is_empty()).then(|| told.join("; "))
    }
}

/// Compares what was reported with the schedules. `scheduled` has what each group's holds, if it has one.
pub(crate) fn account(spec: &ExperimentSpec, scheduled: &[Option<u64>], plan: &Plan, offered: &Offered) -> Deficit {
    let mut deficit = arrivals(spec, scheduled, plan, &offered.totals, &offered.lost, &offered.moves);
    deficit.is_cut = offered.cut_short.is_some();
    let seconds = offered.judge.offered().by_group;
    for ((number, group), seconds) in (0u16..).zip(&spec.groups).zip(seconds) {
        let Some(all) = group.users else { continue };
        deficit.user_seconds += f64::from(all) * seconds;
        let end_ns = (seconds * SECOND_NS as f64) as u64;
        for (node, lost) in &offered.lost {
            let back_ns = offered.moves.iter().find(|made| made.from == *node && made.is_whole());
            let back_ns =
                back_ns.filter(|_| group.iterations.is_none()).map_or(end_ns, |made| made.from_ns.min(end_ns));
            let away_ns = back_ns.saturating_sub(lost.told_ns);
            let of_node: u64 = held(plan, &offered.moves, node)
                .iter()
                .filter(|part| part.group == number)
                .map(|part| users(part, all))
                .sum();
            deficit.lost_user_seconds += of_node as f64 * away_ns as f64 / SECOND_NS as f64;
        }
    }
    deficit
}

/// Of groups that follow a schedule.
fn arrivals(
    spec: &ExperimentSpec,
    scheduled: &[Option<u64>],
    plan: &Plan,
    totals: &RunTotals,
    lost: &BTreeMap<String, Lost>,
    moves: &[Move],
) -> Deficit {
    let mut deficit = Deficit::default();
    for ((number, group), scheduled) in (0u16..).zip(&spec.groups).zip(scheduled) {
        let Some(scheduled) = *scheduled else { continue };
        deficit.scheduled += scheduled;
        let steps = totals.steps.iter().filter(|((of, step), _)| *of == number && totals.is_iteration(*of, *step));
        let taken: u64 = steps.map(|(_, step)| step.planned).sum();
        deficit.excess += taken.saturating_sub(scheduled);
        let missing = scheduled.saturating_sub(taken);
        let nodes = plan.nodes_per_group.get(usize::from(number)).copied().unwrap_or(1);
        let holdings: Vec<Holding> = lost
            .iter()
            .map(|(node, lost)| {
                let parts = held(plan, moves, node).into_iter().filter(|part| part.group == number).collect();
                Holding { parts, until_ns: lost.horizon_ns }
            })
            .collect();
        let most = held_before(spec, number, (group, nodes), &holdings);
        let untold = lost.keys().zip(most).map(|(node, most)| most.saturating_sub(totals.reported(node, number)));
        let unaccounted = untold.sum::<u64>().min(missing);
        deficit.unaccounted += unaccounted;
        deficit.not_offered += missing - unaccounted;
    }
    deficit
}

#[cfg(test)]
mod tests {
    use nuncius_load::assign;
    use nuncius_schemas::metric::{MetricDelta, StepDelta};
    use nuncius_schemas::node::GroupAssignment;
    use nuncius_schemas::run::RunNode;
    use nuncius_schemas::spec::Group;
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
            shortfall: None,
            records: None,
            meters: Vec::new(),
            tracks: Vec::new(),
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
        let mut totals = RunTotals::new(vec![0]);
        let mut assignments = BTreeMap::new();
        let assigned = assign(&[1, 1]).unwrap();
        for ((node, planned), owned) in [("a", first), ("b", second)].into_iter().zip(assigned.owned) {
            totals.enroll(node, Incarnation { epoch: 1, attempt: 1 });
            totals.merge(&delta(node, planned, planned)).unwrap();
            let share = GroupAssignment { group: 0, shards: assigned.shards, owned, nodes: 2 };
            assignments.insert(node.to_owned(), vec![share]);
        }
        let lost = BTreeMap::from([("b".to_owned(), Lost { reason: "gone".to_owned(), horizon_ns, told_ns: 0 })]);
        let node = |name: &str| RunNode { name: name.to_owned(), epoch: 1 };
        let plan = Plan { nodes: vec![node("a"), node("b")], assignments, nodes_per_group: vec![2] };
        arrivals(&spec, &[Some(100)], &plan, &totals, &lost, &[])
    }

    #[test]
    fn only_what_lies_beyond_a_lost_nodes_horizon_was_certainly_not_offered() {
        let expect = |not_offered, unaccounted, excess| Deficit {
            scheduled: 100,
            not_offered,
            unaccounted,
            excess,
            ..Deficit::default()
        };
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
        let mut totals = RunTotals::new(vec![0]);
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
