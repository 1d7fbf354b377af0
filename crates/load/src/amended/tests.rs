use proptest::prelude::*;

use super::*;
use crate::arrival::{Arrival, Next};
use crate::assign::assign;

fn spec(load: &str, amendments: &str) -> ExperimentSpec {
    let text = format!(
        r#"{{"seed": 7, "groups": [{{"name": "a", "target": "http://h/", {load}}}], "amendments": [{amendments}]}}"#
    );
    let mut spec: ExperimentSpec = serde_json::from_str(&text).unwrap();
    spec.validate().unwrap();
    for (_, _, recorded) in spec.recorded_mut() {
        // Some at once, some far apart.
        recorded.instants = Some(Instants((0..900u64).map(|at| at / 3 * at * 90_000).collect()));
    }
    spec
}

fn schedule(spec: &ExperimentSpec) -> Schedule {
    schedule_of(spec, 0, &spec.groups[0], 3).unwrap()
}

fn instants_ms(spec: &ExperimentSpec) -> Vec<u64> {
    schedule(spec).map(|arrival| arrival.planned_ns / 1_000_000).collect()
}

#[test]
fn a_change_of_the_rate_goes_on_from_the_last_arrival() {
    // 2/s to 1.25 s, of which a quarter of an arrival is over; then 4/s.
    let changed = spec(r#""rate": "2/s", "duration": "3s""#, r#"{"at": "1250ms", "change": {"rate": "4/s"}}"#);
    assert_eq!(instants_ms(&changed), [0, 500, 1_000, 1_375, 1_625, 1_875, 2_125, 2_375, 2_625, 2_875]);
}

#[test]
fn what_would_have_come_in_a_pause_does_not_come_later() {
    let paused = spec(
        r#""rate": "2/s", "duration": "4s""#,
        r#"{"at": "1250ms", "change": "pause"}, {"at": "2500ms", "change": "resume"}"#,
    );
    assert_eq!(instants_ms(&paused), [0, 500, 1_000, 2_750, 3_250, 3_750]);
    assert_eq!(schedule(&paused).total(), 6);
}

#[test]
fn a_scale_is_of_what_was_written_and_replaces_a_rate() {
    let scaled = spec(
        r#""stages": [{"rate": "0/s", "to": "10/s", "duration": "10s"}, {"rate": "10/s", "duration": "10s"}]"#,
        r#"{"at": "5s", "change": {"scale": 2}}, {"at": "12s", "change": {"rate": "1/s"}},
           {"at": "15s", "change": {"scale": 0.5}}"#,
    );
    let schedule = schedule(&scaled);
    let count = |from: u64, to: u64| {
        schedule.count_before(to * SECOND_NS).unwrap() - schedule.count_before(from * SECOND_NS).unwrap()
    };
    // A ramp of 5/s² to 5 s: 12.5 arrivals; then 10/s to 20/s in 5 s: 75; 2 s of 20/s; 3 s of 1/s; 5 s of 5/s.
    assert_eq!((count(0, 5), count(5, 10), count(10, 12), count(12, 15), count(15, 20)), (13, 75, 40, 3, 25));
    assert_eq!(schedule.total(), 156);
}

#[test]
fn the_end_of_the_load_stays_where_it_is() {
    let late = spec(r#""rate": "2/s", "duration": "3s""#, r#"{"at": "3s", "change": {"rate": "100/s"}}"#);
    assert_eq!(schedule(&late).total(), 6);
    let more = spec(r#""rate": "2/s", "duration": "3s""#, r#"{"at": "2s", "change": {"rate": "100/s"}}"#);
    assert_eq!((schedule(&more).total(), schedule(&more).end_ns()), (104, 3 * SECOND_NS));
    let limited =
        spec(r#""rate": "2/s", "duration": "3s", "iterations": 10"#, r#"{"at": "2s", "change": {"rate": "100/s"}}"#);
    assert_eq!(schedule(&limited).total(), 10);
}

#[test]
fn an_end_is_the_end_of_the_load_whatever_follows() {
    let ended = r#"{"at": "1250ms", "change": "end"}, {"at": "2s", "change": {"scale": 9}}"#;
    for load in
        [r#""rate": "2/s", "duration": "3s""#, r#""clients": {"count": 1, "interarrival": 0.5}, "duration": "3s""#]
    {
        let spec = spec(load, ended);
        let planned = instants_ms(&spec);
        assert!(planned.ends_with(&[500, 1_000]), "{planned:?}");
        assert_eq!(schedule(&spec).end_ns(), 1_250_000_000);
        assert_eq!(spec.offered_ns_of(&spec.groups[0]), Some(1_250_000_000));
    }
}

const SINE: &str = r#""pattern": {"sine": {"min": "10/s", "max": "200/s", "period": "5s"}}, "duration": "20s""#;
const WALK: &str = r#""pattern": {"random_walk": {"max": "200/s", "sigma": 20}}, "duration": "20s""#;
const BURSTS: &str = r#""pattern": {"bursts": {"states": [{"rate": "10/s", "dwell": "2s"},
    {"rate": "300/s", "dwell": "500ms"}]}}, "duration": "20s", "arrivals": "poisson""#;
const FILE: &str = r#""arrivals": {"file": "a.csv"}, "duration": "20s""#;

#[test]
fn whole_periods_of_a_sine_have_the_mean_of_its_two_rates() {
    let whole = schedule(&spec(SINE, ""));
    // 105/s for 20 s; from 1.25 s to 3.75 s of each period it is below that.
    assert_eq!(whole.total(), 2_100);
    let before = |at_ms: u64| whole.count_before(at_ms * 1_000_000).unwrap();
    let half = |from_ms: u64| before(from_ms + 2_500) - before(from_ms);
    // Half a period from the middle on has 105 · 2.5 s and 95 · 5 s / π more, or fewer.
    assert!(half(0).abs_diff(262 + 151) <= 1 && half(2_500).abs_diff(262 - 151) <= 1, "{} {}", half(0), half(2_500));
}

#[test]
fn bursts_have_the_mean_of_their_rates_by_the_time_that_is_spent_in_them() {
    let long = spec(&BURSTS.replace("20s", "5000s"), "");
    let whole = schedule(&long);
    let pieces = Basis::of(&long, 0, &long.groups[0], 3).unwrap().pieces(&[]);
    let of_leg = |leg: &Leg| leg.highest().as_per_second() * leg.duration_ns() as f64 / 1e9;
    let planned: f64 = pieces[0].legs.iter().map(of_leg).sum();
    let total = whole.total() as f64;
    // Given the states it is a Poisson number.
    assert!((total - planned).abs() < 4.0 * planned.sqrt(), "{total}, {planned} expected");
    // (10 · 2 + 300 · 0.5) / 2.5 = 68/s in the long run, over two thousand rounds: each has 170 ± 151.
    assert!((total / 5_000.0 - 68.0).abs() < 4.0 * 151.0 / 2_000f64.sqrt() / 2.5, "{total}");
    // More is together than chance alone would have: the variance of counts is far above their mean.
    let mut seconds = vec![0f64; 5_000];
    whole.for_each(|arrival| seconds[(arrival.planned_ns / SECOND_NS) as usize] += 1.0);
    let variance = seconds.iter().map(|count| (count - 68.0).powi(2)).sum::<f64>() / 5_000.0;
    assert!(variance > 10.0 * 68.0, "{variance}");
}

#[test]
fn nothing_is_planned_in_the_pauses_between_bursts() {
    let spec = spec(
        r#""pattern": {"bursts": {"states": [{"rate": "0/s", "dwell": "1s"}, {"rate": "300/s", "dwell": "1s"}]}},
           "duration": "60s""#,
        r#"{"at": "30s", "change": "pause"}, {"at": "40s", "change": "resume"}"#,
    );
    let spans = Basis::of(&spec, 0, &spec.groups[0], 1).unwrap().spans(&spec.amendments);
    let is_apart = |(from_ns, to_ns): &(u64, u64)| *to_ns <= 30 * SECOND_NS || *from_ns >= 40 * SECOND_NS;
    assert!(spans.len() > 5 && spans.iter().all(is_apart), "{spans:?}");
    let is_within = |at_ns: u64| spans.iter().any(|(from_ns, to_ns)| (*from_ns..*to_ns).contains(&at_ns));
    assert!(schedule(&spec).all(|arrival| is_within(arrival.planned_ns)));
}

#[test]
fn a_file_that_nobody_has_read_makes_no_schedule() {
    let mut unread = spec(FILE, "");
    unread.recorded_mut().for_each(|(_, _, recorded)| recorded.instants = None);
    assert!(unread.wants_instants());
    let refused = schedule_of(&unread, 0, &unread.groups[0], 1).unwrap_err();
    assert_eq!(refused.to_string(), "the file of arrivals a.csv was not read here");
}

#[test]
fn groups_of_one_experiment_walk_on_their_own() {
    let spec = spec(WALK, "");
    let of = |index: u16, seed: u64| -> Vec<u64> {
        let spec = ExperimentSpec { seed, ..spec.clone() };
        schedule_of(&spec, index, &spec.groups[0], 1).unwrap().map(|arrival| arrival.planned_ns).collect()
    };
    assert_eq!(of(0, 7), of(0, 7));
    assert_ne!(of(0, 7), of(1, 7));
    assert_ne!(of(0, 7), of(0, 8));
}

fn change() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(r#""pause""#.to_owned()),
        Just(r#""resume""#.to_owned()),
        Just(r#""end""#.to_owned()),
        (0u32..4_000).prop_map(|factor| format!(r#"{{"scale": {}}}"#, f64::from(factor) / 2_000.0)),
        (0u32..4_000).prop_map(|factor| format!(r#"{{"scale": {}}}"#, f64::from(factor) / 1_000.0)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// However late a node hears of amendments, before their instants, and however many nodes there are: every arrival
    /// is on one node, at the instant that the record of the run gives.
    #[test]
    fn nodes_that_hear_of_amendments_while_they_walk_offer_what_the_record_says(
        load in prop::sample::select(vec![
            r#""rate": "100/s", "duration": "20s""#,
            r#""rate": "100/s", "duration": "20s", "arrivals": "poisson""#,
            r#""rate": "100/s", "duration": "20s", "iterations": 777, "arrivals": "poisson""#,
            r#""stages": [{"rate": "0/s", "to": "200/s", "duration": "7s"}, {"rate": "9/s", "duration": "9s"},
               {"rate": "300/s", "to": "1/s", "duration": "4s"}]"#,
            r#""clients": {"count": 40, "interarrival": ["gammavariate", 2, 0.3]}, "duration": "20s""#,
            SINE,
            r#""pattern": {"sine": {"max": "200/s", "period": "7s", "phase": "5s"}}, "duration": "20s",
               "arrivals": "poisson", "rate_per_node": true"#,
            WALK,
            r#""pattern": {"random_walk": {"min": "5/s", "max": "90/s", "start": "5/s", "sigma": 30, "mu": 5,
               "interval": "300ms", "bounds": "clamp"}}, "duration": "20s", "arrivals": "poisson""#,
            BURSTS,
            r#""pattern": {"bursts": {"states": [{"rate": "0/s", "dwell": "1s"}, {"rate": "300/s", "dwell": "200ms"},
               {"rate": "20/s", "dwell": "2s"}]}}, "duration": "20s""#,
            FILE,
            r#""arrivals": {"file": "a.csv"}, "duration": "20s", "iterations": 333"#,
        ]),
        changes in prop::collection::vec((0u64..22_000, change()), 0..5),
        nodes in prop::sample::select(vec![1usize, 3, 17]),
        late_ns in 0u64..3_000_000_000,
    ) {
        let mut changes = changes;
        changes.sort_by_key(|(at_ms, _)| *at_ms);
        let amendments: Vec<String> =
            changes.iter().map(|(at_ms, change)| format!(r#"{{"at": "{at_ms}ms", "change": {change}}}"#)).collect();
        let amended = spec(load, &amendments.join(","));
        let whole: Vec<Arrival> = schedule(&amended).collect();
        prop_assert_eq!(schedule(&amended).total(), whole.len() as u64);
        prop_assert!(whole.windows(2).all(|two| two[0].planned_ns <= two[1].planned_ns));
        if let Some(count) = schedule(&amended).count_before(9_876_543_210) {
            let walked = whole.iter().filter(|arrival| arrival.planned_ns < 9_876_543_210).count();
            prop_assert_eq!(count, walked as u64);
        }
        let mut all: Vec<Arrival> = Vec::new();
        for shards in assign(&vec![1; nodes]).unwrap().sets().unwrap() {
            let mut unamended = amended.clone();
            unamended.amendments.clear();
            let mut walked = schedule(&unamended);
            let basis = Basis::of(&amended, 0, &amended.groups[0], 3).unwrap();
            let all_amendments = &amended.amendments;
            let mut told = 0;
            let mut limit_ns = 0u64;
            loop {
                // It hears of what is from its horizon on, some time before that.
                while all_amendments.get(told).is_some_and(|next| next.at.0 <= limit_ns + late_ns) {
                    told += 1;
                    basis.amend(&mut walked, &all_amendments[..told]).unwrap();
                }
                let horizon_ns = all_amendments.get(told).map_or(u64::MAX, |next| next.at.0);
                limit_ns = (limit_ns + 700_000_000).min(horizon_ns);
                match walked.next_before(limit_ns) {
                    Next::Arrival(arrival) => {
                        limit_ns = limit_ns.saturating_sub(700_000_000).max(arrival.planned_ns);
                        all.extend(shards.owns(arrival.index).then_some(arrival));
                    }
                    Next::NotBefore(at_ns) => prop_assert!(at_ns >= limit_ns),
                    Next::End => break,
                }
            }
        }
        all.sort_by_key(|arrival| arrival.index);
        prop_assert_eq!(all, whole);
    }
}
