//! What a node may be asked for: its caps, which no message can raise, against the sums of its shares over all groups.

use std::collections::BTreeSet;

use nuncius_load::ProfileError;
use nuncius_load::amended::{instants_of, legs_of};
use nuncius_load::closed::users_of;
use nuncius_load::leg::Leg;
use nuncius_load::shard::{ShardError, ShardSet};
use nuncius_schemas::node::{Capacity, GroupAssignment, Prepare};
use nuncius_schemas::spec::{ExperimentSpec, Group, Stage};
use nuncius_schemas::units::{Rate, SECOND_NS};

/// What is over one of a node's caps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CapError {
    /// A group that the specification does not have.
    #[error("groups[{0}]: no such group in the specification")]
    NoGroup(u16),
    /// Shards that there cannot be.
    #[error("assignment of groups[{group}]: {source}")]
    Shards {
        /// Index of the group.
        group: u16,
        /// What is wrong with them.
        source: ShardError,
    },
    /// A load that cannot be planned.
    #[error("groups[{group}]: {source}")]
    Load {
        /// Index of the group.
        group: u16,
        /// Why not.
        source: ProfileError,
    },
    /// Over a cap.
    #[error("{field}: {wanted} is over this node's {cap} of {limit} ({flag})")]
    Over {
        /// Path of the field, of one group or of all that add up.
        field: String,
        /// This node's share.
        wanted: u64,
        /// What is capped.
        cap: &'static str,
        /// Most there may be.
        limit: u64,
        /// The option that sets it.
        flag: &'static str,
    },
}

/// What a node is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) assignment: &'a GroupAssignment,
    /// Run time at which shards of another node come to this one; none where they are its own from the start.
    pub(crate) joins_at_ns: Option<u64>,
}

/// What a group asks of this node.
struct Share {
    group: u16,
    /// Its schedule in straight pieces; none in the closed model.
    pieces: Vec<Piece>,
    in_flight: u64,
    in_flight_field: &'static str,
}

/// A stretch of a schedule along which the rate changes evenly.
struct Piece {
    from_ns: u64,
    until_ns: u64,
    from_per_second: f64,
    to_per_second: f64,
}

/// Refuses what is over the caps: rates and what may be under way are added over all groups, since they run at once.
///
/// # Errors
/// [`CapError`], with the field, this node's share and the option that sets the cap.
pub(crate) fn check(prepare: &Prepare, capacity: &Capacity) -> Result<(), CapError> {
    let asked: Vec<Asked<'_>> =
        prepare.assignments.iter().map(|assignment| Asked { assignment, joins_at_ns: None }).collect();
    check_all(&prepare.spec, &asked, capacity)
}

/// The same of all that a node has, and has taken over from others.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_all(spec: &ExperimentSpec, asked: &[Asked<'_>], capacity: &Capacity) -> Result<(), CapError> {
    let mut shares = Vec::with_capacity(asked.len());
    for asked in asked {
        let group = asked.assignment.group;
        let load = spec.groups.get(usize::from(group)).ok_or(CapError::NoGroup(group))?;
        let seconds = load.offered_ns().unwrap_or(0).div_ceil(SECOND_NS);
        if seconds > capacity.max_duration_seconds {
            return Err(CapError::Over {
                field: format!("groups[{group}].duration"),
                wanted: seconds,
                cap: "longest load in seconds",
                limit: capacity.max_duration_seconds,
                flag: "--max-duration",
            });
        }
        shares.push(share(asked, spec, load)?);
    }
    let wanted_rate = whole(peak(shares.iter().flat_map(|share| &share.pieces)));
    if wanted_rate > capacity.max_rate_per_second {
        let of = shares.iter().filter(|share| !share.pieces.is_empty()).map(|share| (share.group, "rate"));
        return Err(CapError::Over {
            field: fields(of),
            wanted: wanted_rate,
            cap: "share of the rate per second",
            limit: capacity.max_rate_per_second,
            flag: "--max-rate",
        });
    }
    let in_flight = shares.iter().fold(0u64, |sum, share| sum.saturating_add(share.in_flight));
    if in_flight > u64::from(capacity.max_in_flight) {
        let of = shares.iter().filter(|share| share.in_flight > 0).map(|share| (share.group, share.in_flight_field));
        return Err(CapError::Over {
            field: fields(of),
            wanted: in_flight,
            cap: "cap on requests in flight",
            limit: u64::from(capacity.max_in_flight),
            flag: "--max-in-flight",
        });
    }
    Ok(())
}

/// What a node of this capacity would say to such a request, if it would refuse it.
pub fn over_caps(prepare: &Prepare, capacity: &Capacity) -> Option<String> {
    check(prepare, capacity).err().map(|error| error.to_string())
}

fn share(asked: &Asked<'_>, spec: &ExperimentSpec, group: &Group) -> Result<Share, CapError> {
    let assignment = asked.assignment;
    let shards = shards_of(assignment)?;
    if let Some(users) = group.users {
        let own = users_of(&shards, users).count() as u64;
        let group = assignment.group;
        return Ok(Share { group, pieces: Vec::new(), in_flight: own, in_flight_field: "users" });
    }
    let nodes = if group.rate_per_node { f64::from(assignment.nodes) } else { 1.0 };
    let factor = nodes * shards.share();
    let mut from_ns = 0u64;
    let mut pieces = Vec::new();
    let of_group = |source| CapError::Load { group: assignment.group, source };
    for leg in legs(spec, assignment.group, group).map_err(of_group)? {
        let until_ns = from_ns.saturating_add(leg.duration_ns());
        let own = |rate: Rate| rate.as_per_second() * factor;
        let (from_per_second, to_per_second) = match leg {
            Leg::Straight(stage) => (own(stage.rate), own(stage.to.unwrap_or(stage.rate))),
            // Somewhere in it it is as high.
            Leg::Wave(_) => (own(leg.highest()), own(leg.highest())),
        };
        let piece = Piece { from_ns, until_ns, from_per_second, to_per_second };
        pieces.push(piece.since(asked.joins_at_ns.unwrap_or(0)));
        from_ns = until_ns;
    }
    let in_flight = match asked.joins_at_ns {
        None => group.max_in_flight,
        Some(_) => in_flight_of_taken(assignment, &shards, group),
    };
    let in_flight = u64::from(in_flight);
    Ok(Share { group: assignment.group, pieces, in_flight, in_flight_field: "max_in_flight" })
}

/// What a group offers; of a file its densest second, all the time.
fn legs(spec: &ExperimentSpec, index: u16, group: &Group) -> Result<Vec<Leg>, ProfileError> {
    let Some(recorded) = group.arrivals.recorded() else { return legs_of(spec, index, group) };
    let instants = &instants_of(recorded)?.0;
    let (mut first, mut densest) = (0usize, 0usize);
    for (at, at_ns) in instants.iter().enumerate() {
        while instants.get(first).is_some_and(|first_ns| at_ns.saturating_sub(*first_ns) >= SECOND_NS) {
            first += 1;
        }
        densest = densest.max(at + 1 - first);
    }
    let densest = densest as u64;
    let duration = group.duration.unwrap_or_default();
    Ok(vec![Leg::Straight(Stage { duration, rate: Rate::per_second(densest), to: None })])
}

/// The shards of an assignment.
///
/// # Errors
/// Shards that there cannot be.
pub(crate) fn shards_of(assignment: &GroupAssignment) -> Result<ShardSet, CapError> {
    ShardSet::of_assignment(assignment).map_err(|source| CapError::Shards { group: assignment.group, source })
}

/// How many requests of shards that were taken over may be under way: as many as their node had for each of its own, so
/// that the whole group has no more than before.
pub(crate) fn in_flight_of_taken(assignment: &GroupAssignment, shards: &ShardSet, group: &Group) -> u32 {
    let share = u64::from(group.max_in_flight) * shards.len() as u64 * u64::from(assignment.nodes.max(1));
    let own = share.div_ceil(u64::from(shards.shards().max(1))).clamp(1, u64::from(group.max_in_flight.max(1)));
    u32::try_from(own).unwrap_or(u32::MAX)
}

impl Piece {
    /// What is left of it from an instant on.
    fn since(self, at_ns: u64) -> Self {
        if at_ns <= self.from_ns {
            return self;
        }
        let at_ns = at_ns.min(self.until_ns);
        let part = (at_ns - self.from_ns) as f64 / (self.until_ns - self.from_ns).max(1) as f64;
        let from_per_second = self.from_per_second + part * (self.to_per_second - self.from_per_second);
        Self { from_ns: at_ns, from_per_second, ..self }
    }
}

/// The highest sum of rates at any instant. A sum of straight pieces is highest at the end of one of them.
fn peak<'a>(pieces: impl Iterator<Item = &'a Piece>) -> f64 {
    // What changes at an instant: the ends before the beginnings, with the value and the slope that go and come.
    let mut changes: Vec<(u64, bool, f64, f64)> = Vec::new();
    for piece in pieces.filter(|piece| piece.until_ns > piece.from_ns) {
        let slope = (piece.to_per_second - piece.from_per_second) / (piece.until_ns - piece.from_ns) as f64;
        let at_zero = piece.from_per_second - slope * piece.from_ns as f64;
        changes.push((piece.from_ns, true, at_zero, slope));
        changes.push((piece.until_ns, false, -at_zero, -slope));
    }
    changes.sort_by_key(|(at_ns, begins, ..)| (*at_ns, *begins));
    let (mut at_zero_sum, mut slope_sum, mut peak) = (0.0, 0.0, 0.0f64);
    for (at_ns, _, at_zero, slope) in changes {
        peak = peak.max(at_zero_sum + slope_sum * at_ns as f64);
        at_zero_sum += at_zero;
        slope_sum += slope;
        // After all changes of an instant this is the value that begins there; in between it is a part of that.
        peak = peak.max(at_zero_sum + slope_sum * at_ns as f64);
    }
    peak
}

/// The least whole number that is not below; shares of whole rates are not pushed over it by rounding.
fn whole(per_second: f64) -> u64 {
    let nearest = per_second.round();
    // A float becomes the nearest integer there is.
    if (per_second - nearest).abs() < 1e-6 { nearest as u64 } else { per_second.ceil() as u64 }
}

/// `groups[2].rate`, or the fields of all that add up.
fn fields(of: impl Iterator<Item = (u16, &'static str)>) -> String {
    /// Fields that are named; the rest is counted.
    const NAMED_MAX: usize = 4;
    // A group whose shards came at different times is named once.
    let of: BTreeSet<(u16, &str)> = of.collect();
    let all: Vec<String> = of.iter().map(|(group, field)| format!("groups[{group}].{field}")).collect();
    let named = all.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(" + ");
    match all.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} + {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use nuncius_load::assign;
    use nuncius_schemas::spec::ExperimentSpec;

    use super::*;

    /// What one of `nodes` equal nodes is asked for.
    fn prepare(groups: &[Group], nodes: usize) -> Prepare {
        let assigned = assign(&vec![1; nodes]).unwrap();
        let (shards, owned) = (assigned.shards, assigned.owned[0].clone());
        let nodes = u32::try_from(nodes).unwrap();
        Prepare {
            experiment: "e".into(),
            token: 1,
            attempt: 1,
            spec: ExperimentSpec::of_groups(groups.to_vec()),
            routes: Vec::new(),
            assignments: (0..groups.len())
                .map(|g| GroupAssignment { group: g as u16, shards, owned: owned.clone(), nodes })
                .collect(),
            run_key: 1,
            variables: Vec::new(),
        }
    }

    fn open(rate: &str) -> Group {
        let second = Some("10s".parse().unwrap());
        let rate = Some(rate.parse().unwrap());
        Group { rate, duration: second, max_in_flight: 10, ..Group::of_target("http://127.0.0.1:1/".into()) }
    }

    fn closed(users: u32) -> Group {
        let duration = Some("10s".parse().unwrap());
        Group { users: Some(users), duration, ..Group::of_target("http://127.0.0.1:1/".into()) }
    }

    fn capacity(rate: u64, in_flight: u32) -> Capacity {
        Capacity { weight: 1, max_rate_per_second: rate, max_in_flight: in_flight, max_duration_seconds: 60 }
    }

    #[test]
    fn what_groups_ask_for_at_once_is_added_before_it_is_compared_with_a_cap() {
        for (groups, nodes, capacity, refused) in [
            (vec![open("100/s"); 3], 1, capacity(300, 1_000), None),
            (vec![open("100/s"); 3], 1, capacity(299, 1_000), Some("--max-rate")),
            (vec![open("100/s"); 3], 2, capacity(150, 1_000), None),
            (vec![open("100/s"); 3], 2, capacity(149, 1_000), Some("--max-rate")),
            (vec![open("1/s"); 3], 1, capacity(100, 30), None),
            (vec![open("1/s"); 3], 1, capacity(100, 29), Some("--max-in-flight")),
            (vec![closed(8), closed(9)], 1, capacity(100, 17), None),
            (vec![closed(8), closed(9)], 1, capacity(100, 16), Some("--max-in-flight")),
            (vec![closed(8), open("1/s")], 1, capacity(100, 17), Some("--max-in-flight")),
        ] {
            let outcome = check(&prepare(&groups, nodes), &capacity);
            let told = outcome.as_ref().err().map(ToString::to_string);
            assert_eq!(told.is_some(), refused.is_some(), "{told:?}");
            let told = told.unwrap_or_default();
            assert!(told.contains(refused.unwrap_or_default()), "{told}");
        }
        let error = check(&prepare(&vec![open("100/s"); 6], 1), &capacity(100, 1_000)).unwrap_err().to_string();
        assert!(error.starts_with("groups[0].rate + groups[1].rate") && error.contains("+ 2 more: 600"), "{error}");
    }

    #[test]
    fn rates_that_do_not_meet_are_not_added() {
        let staged = |stages: &str| Group { stages: serde_json::from_str(stages).unwrap(), ..open("1/s") };
        let early = staged(r#"[{"rate": "100/s", "duration": "5s"}, {"rate": "0/s", "duration": "5s"}]"#);
        let late = staged(r#"[{"rate": "0/s", "duration": "5s"}, {"rate": "80/s", "duration": "5s"}]"#);
        let falling = staged(r#"[{"rate": "60/s", "to": "0/s", "duration": "10s"}]"#);
        for (groups, wanted) in [
            (vec![early.clone(), late.clone()], 100),
            (vec![early.clone(), early.clone(), late.clone()], 200),
            (vec![early, late.clone(), falling.clone()], 160),
            (vec![late, falling], 110),
        ] {
            assert_eq!(check(&prepare(&groups, 1), &capacity(wanted, 10_000)), Ok(()), "{wanted}");
            let error = check(&prepare(&groups, 1), &capacity(wanted - 1, 10_000)).unwrap_err().to_string();
            assert!(error.contains(&format!(": {wanted} is over")), "{error}");
        }
    }

    #[test]
    fn shards_that_there_cannot_be_are_refused_as_such() {
        let mut prepare = prepare(&[open("1/s")], 1);
        prepare.assignments[0].shards = 300;
        let error = check(&prepare, &capacity(100, 100)).unwrap_err().to_string();
        assert!(error.contains("groups[0]") && error.contains("300 is no power of two"), "{error}");
    }

    #[test]
    fn shards_that_are_taken_over_add_to_the_nodes_own_from_then_on() {
        let staged = r#"[{"rate": "100/s", "duration": "5s"}, {"rate": "40/s", "duration": "5s"}]"#;
        let group = Group { stages: serde_json::from_str(staged).unwrap(), max_in_flight: 11, ..open("1/s") };
        let groups = [group, closed(8)];
        let own = prepare(&groups, 2);
        let own_spec = own.spec.clone();
        let assigned = assign(&[1, 1]).unwrap();
        let (shards, rest) = (assigned.shards, &assigned.owned[1]);
        let taken: Vec<GroupAssignment> =
            (0..2).map(|group| GroupAssignment { group, shards, owned: rest.clone(), nodes: 2 }).collect();
        let outcome = |joins_at_ns: u64, rate: u64, in_flight: u32| {
            let own = own.assignments.iter().map(|assignment| Asked { assignment, joins_at_ns: None });
            let taken = taken.iter().map(|assignment| Asked { assignment, joins_at_ns: Some(joins_at_ns) });
            let all: Vec<Asked<'_>> = own.chain(taken).collect();
            check_all(&own_spec, &all, &capacity(rate, in_flight)).map_err(|error| error.to_string())
        };
        let second = SECOND_NS;
        assert_eq!(outcome(5 * second, 50, 30), Ok(()));
        assert_eq!(outcome(2 * second, 100, 30), Ok(()));
        for (joins_at_ns, rate, in_flight, wanted) in [
            (5 * second, 49, 30, ": 50 is over this node's share of the rate"),
            (2 * second, 99, 30, ": 100 is over this node's share of the rate"),
            (5 * second, 50, 29, ": 30 is over this node's cap on requests in flight"),
        ] {
            let told = outcome(joins_at_ns, rate, in_flight).unwrap_err();
            assert!(told.contains(wanted), "{told}");
        }
    }

    #[test]
    fn patterns_and_files_are_compared_by_the_most_that_they_offer_in_a_second() {
        let of =
            |load: &str| -> Group { serde_json::from_str(&format!(r#"{{"target": "http://h/", {load}}}"#)).unwrap() };
        let sine = of(r#""pattern": {"sine": {"max": "80/s", "period": "10s"}}, "duration": "20s""#);
        let bursts = of(r#""pattern": {"bursts": {"states": [{"rate": "5/s", "dwell": "1s"}, {"rate": "60/s",
            "dwell": "1s"}]}}, "duration": "60s""#);
        let mut file = of(r#""arrivals": {"file": "a.csv"}, "duration": "20s""#);
        let unread = check(&prepare(std::slice::from_ref(&file), 1), &capacity(1_000, 10_000)).unwrap_err();
        assert!(unread.to_string().starts_with("groups[0]: the file of arrivals a.csv"), "{unread}");
        if let nuncius_schemas::spec::Arrivals::Recorded(recorded) = &mut file.arrivals {
            // Forty within a second around 1.6 s, three at most within any other.
            let ms = (0..5u64).map(|at| at * 500).chain((0..38).map(|_| 1_600)).chain([2_500, 3_000]);
            let mut ns: Vec<u64> = ms.map(|ms| ms * 1_000_000).collect();
            ns.sort_unstable();
            recorded.instants = Some(nuncius_schemas::spec::Instants(ns.into()));
        }
        for (group, wanted) in [(sine, 80), (bursts, 60), (file, 40)] {
            let groups = std::slice::from_ref(&group);
            assert_eq!(check(&prepare(groups, 1), &capacity(wanted, 10_000)), Ok(()), "{wanted}");
            let error = check(&prepare(groups, 1), &capacity(wanted - 1, 10_000)).unwrap_err().to_string();
            assert!(error.contains(&format!(": {wanted} is over")), "{error}");
        }
    }

    #[test]
    fn users_are_compared_as_the_nodes_share_of_them() {
        assert_eq!(check(&prepare(&[closed(16)], 2), &capacity(100, 8)), Ok(()));
        let error = check(&prepare(&[closed(17)], 2), &capacity(100, 8)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "groups[0].users: 9 is over this node's cap on requests in flight of 8 (--max-in-flight)"
        );
    }
}
