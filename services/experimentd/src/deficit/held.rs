//! How many arrivals of a schedule the shards of lost nodes hold: what they may have offered at most. Pure.
//!
//! Constant spacing and files are counted without walking the schedule, however long it is; any other schedule is
//! walked once, for all lost nodes together, as counting its arrivals at all takes.

use nuncius_load::{Schedule, ShardSet, schedule_of};
use nuncius_schemas::spec::{ExperimentSpec, Group};

use crate::plan::moving::Part;

/// What a lost node held of one group. No shard is in two of its parts.
#[derive(Debug, Clone)]
pub(super) struct Holding {
    /// The parts, all of that group.
    pub(super) parts: Vec<Part>,
    /// Run time before which it may have offered them, in nanoseconds.
    pub(super) until_ns: u64,
}

/// How many arrivals of a group that runs on so many nodes each of them holds.
pub(super) fn held_before(
    spec: &ExperimentSpec,
    number: u16,
    (group, nodes): (&Group, u32),
    holdings: &[Holding],
) -> Vec<u64> {
    let nothing = || vec![0; holdings.len()];
    if holdings.iter().all(|holding| holding.parts.is_empty()) {
        return nothing();
    }
    let Ok(schedule) = schedule_of(spec, number, group, nodes) else { return nothing() };
    if schedule.count_before(0).is_some() {
        return holdings.iter().map(|holding| held_of_counted(&schedule, holding)).collect();
    }
    held_of_walked(schedule, holdings)
}

fn held_of_counted(schedule: &Schedule, holding: &Holding) -> u64 {
    let before = |at_ns: u64| schedule.count_before(at_ns).unwrap_or(0);
    let end = before(holding.until_ns);
    holding.parts.iter().map(|part| owned(&part.shards, before(part.from_ns)..end)).sum()
}

/// How many of these indices belong to the shards.
fn owned(shards: &ShardSet, indices: std::ops::Range<u64>) -> u64 {
    let all = u64::from(shards.shards());
    let count = indices.end.saturating_sub(indices.start);
    let whole_rounds = count / all;
    let rest = (indices.end.saturating_sub(count % all)..indices.end).filter(|index| shards.owns(*index)).count();
    if count == 0 { 0 } else { whole_rounds * shards.len() as u64 + rest as u64 }
}

fn held_of_walked(schedule: Schedule, holdings: &[Holding]) -> Vec<u64> {
    let mut counts = vec![0; holdings.len()];
    let shards = holdings.iter().flat_map(|holding| &holding.parts).map(|part| part.shards.shards()).max().unwrap_or(1);
    // By shard: whose it was, and from when on.
    let mut holders: Vec<Vec<(usize, u64)>> = vec![Vec::new(); shards as usize];
    for (number, part) in (0..).zip(holdings).flat_map(|(number, one)| one.parts.iter().map(move |part| (number, part)))
    {
        for shard in part.shards.iter() {
            if let Some(holders) = holders.get_mut(shard as usize) {
                holders.push((number, part.from_ns));
            }
        }
    }
    let last_ns = holdings.iter().map(|holding| holding.until_ns).max().unwrap_or(0);
    for arrival in schedule.take_while(|arrival| arrival.planned_ns < last_ns) {
        let shard = arrival.index % u64::from(shards);
        let of_shard = usize::try_from(shard).ok().and_then(|shard| holders.get(shard)).into_iter().flatten();
        for (number, from_ns) in of_shard {
            let is_before = holdings.get(*number).is_some_and(|holding| arrival.planned_ns < holding.until_ns);
            if let Some(count) = counts.get_mut(*number).filter(|_| is_before && arrival.planned_ns >= *from_ns) {
                *count += 1;
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use nuncius_load::assign;
    use nuncius_schemas::spec::Instants;
    use proptest::prelude::*;

    use super::*;

    fn group(text: &str) -> Group {
        serde_json::from_str(&format!(r#"{{"target": "http://h/", {text}}}"#)).unwrap()
    }

    /// Arrival by arrival.
    fn walked(spec: &ExperimentSpec, group: &Group, holding: &Holding) -> u64 {
        let schedule = schedule_of(spec, 0, group, 4).unwrap();
        let is_held = |arrival: &nuncius_load::Arrival| {
            let parts = &holding.parts;
            parts.iter().any(|part| arrival.planned_ns >= part.from_ns && part.shards.owns(arrival.index))
        };
        schedule.take_while(|arrival| arrival.planned_ns < holding.until_ns).filter(is_held).count() as u64
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_is_counted_is_what_walking_the_schedule_finds(
            loads in prop::sample::select(vec![
                r#""rate": "100/s", "duration": "20s""#,
                r#""rate": "100/s", "duration": "20s", "iterations": 777"#,
                r#""rate": "100/s", "duration": "20s", "arrivals": "poisson""#,
                r#""stages": [{"rate": "0/s", "to": "200/s", "duration": "10s"}, {"rate": "7/s", "duration": "10s"}]"#,
                r#""stages": [{"rate": "3/s", "duration": "5s"}, {"rate": "0/s", "duration": "9s"},
                    {"rate": "300/s", "to": "1/s", "duration": "6s"}], "arrivals": "poisson""#,
                r#""pattern": {"sine": {"max": "100/s", "period": "7s"}}, "duration": "20s""#,
                r#""pattern": {"random_walk": {"max": "100/s", "sigma": 20}}, "duration": "20s",
                    "arrivals": "poisson""#,
                r#""arrivals": {"file": "a.csv"}, "duration": "20s""#,
            ]),
            amendments in prop::sample::select(vec![
                "[]",
                r#"[{"at": "3s", "change": "pause"}, {"at": "5100ms", "change": "resume"}]"#,
                r#"[{"at": "7s", "change": {"rate": "17/s"}}, {"at": "11s", "change": {"scale": 1.5}}]"#,
            ]),
            instants in prop::collection::vec(0u64..25_000_000_000, 6),
            weights in prop::collection::vec(1u32..5, 4),
        ) {
            let mut spec = ExperimentSpec::of_groups(vec![group(loads)]);
            spec.seed = 11;
            for (_, _, recorded) in spec.recorded_mut() {
                recorded.instants = Some(Instants((0..900u64).map(|at| at * at * 30_000).collect()));
            }
            let group = spec.groups[0].clone();
            spec.amendments = serde_json::from_str(amendments).unwrap();
            let sets = assign(&weights).unwrap().sets().unwrap();
            let part = |shards: &ShardSet, from_ns| Part { group: 0, shards: shards.clone(), from_ns };
            // One had its own from the start and what another lost, one its own alone, one nothing.
            let holdings = [
                Holding { parts: vec![part(&sets[0], 0), part(&sets[3], instants[0])], until_ns: instants[1] },
                Holding { parts: vec![part(&sets[1], instants[2])], until_ns: instants[3] },
                Holding { parts: Vec::new(), until_ns: instants[4] },
            ];
            let wanted: Vec<u64> = holdings.iter().map(|holding| walked(&spec, &group, holding)).collect();
            prop_assert_eq!(held_before(&spec, 0, (&group, 4), &holdings), wanted);
        }
    }

    #[test]
    fn weeks_at_a_high_rate_are_counted_at_once() {
        let group = group(r#""rate": "100000/s", "duration": "1000h""#);
        let spec = ExperimentSpec::of_groups(vec![group.clone()]);
        let sets = assign(&[1; 4]).unwrap().sets().unwrap();
        let parts = vec![Part { group: 0, shards: sets[0].clone(), from_ns: 0 }];
        let begun = Instant::now();
        let counts = held_before(&spec, 0, (&group, 4), &[Holding { parts, until_ns: u64::MAX }]);
        assert_eq!(counts, [100_000 * 3_600 * 1_000 / 4]);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
