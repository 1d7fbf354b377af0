use nuncius_load::RateProfile;
use proptest::prelude::*;

use super::*;

fn users(load: Load) -> u64 {
    schedule(&[(None, load, None)]).unwrap().phases[0].users
}

fn rate(duration_s: f64, rate_per_s: f64) -> Load {
    Load::Rate { duration_s, rate_per_s }
}

fn ramped(duration_s: f64, from_per_s: f64, to_per_s: f64) -> Load {
    Load::Ramp { duration_s, from_per_s, to_per_s }
}

#[test]
fn as_many_users_are_created_as_artillery_created_when_it_was_run() {
    // Counted with the scheduler of version 2.0.21 and one worker, in real time.
    for (load, counted) in [
        (ramped(6.0, 1.0, 5.0), 18),
        (ramped(5.0, 10.0, 50.0), 150),
        (ramped(4.0, 0.0, 3.0), 6),
        (ramped(1.0, 2.0, 5.0), 4),
        (ramped(4.0, 5.0, 0.0), 10),
        (ramped(2.5, 4.0, 10.0), 24),
        (ramped(2.0, 5.0, 8.0), 13),
        (ramped(7.0, 1.0, 2.0), 11),
        (rate(3.0, 300.0), 900),
        (rate(3.0, 700.0), 2_100),
        (rate(2.0, 7.0), 14),
        (rate(3.0, 0.5), 1),
        (rate(2.5, 3.0), 7),
        (Load::Count { duration_s: 3.0, users: 7.0 }, 7),
        (Load::Count { duration_s: 1.0, users: 3_000.0 }, 3_003),
    ] {
        assert_eq!(users(load), counted, "{load:?}");
    }
}

#[test]
fn ticks_of_whole_microseconds_make_a_few_users_more_at_high_rates() {
    for (load, expected) in [
        (rate(60.0, 300.0), 18_001),
        (rate(60.0, 700.0), 42_016),
        (rate(60.0, 50.0), 3_000),
        (rate(3_600.0, 3.0), 10_800),
        (rate(1.0, 1_000_000.0), 1_000_000),
    ] {
        assert_eq!(users(load), expected, "{load:?}");
    }
}

#[test]
fn pauses_and_rates_of_0_create_nobody_and_a_count_of_0_is_no_phase() {
    let phases = [
        (Some("a".to_owned()), rate(3.0, 1.0), None),
        (None, Load::Pause { duration_s: 5.0 }, None),
        (None, rate(2.0, 0.0), None),
        (None, Load::Count { duration_s: 9.0, users: 0.0 }, None),
        (Some("b".to_owned()), rate(1.0, 4.0), Some(2)),
    ];
    let schedule = schedule(&phases).unwrap();
    let told: Vec<(u64, u64, u64)> =
        schedule.phases.iter().map(|p| (p.start_ns / SECOND_NS, p.duration_ns / SECOND_NS, p.users)).collect();
    assert_eq!(told, [(0, 3, 3), (3, 5, 0), (8, 2, 0), (10, 0, 0), (10, 1, 4)]);
    assert_eq!(schedule.stages.len(), 4);
    assert_eq!(schedule.phases[4].max_vusers, Some(2));
}

#[test]
fn what_cannot_be_is_told_with_the_phase_and_the_limit() {
    for (load, told) in [
        (rate(0.0, 1.0), "lasts 0 s"),
        (rate(-1.0, 1.0), "lasts -1 s"),
        (rate(f64::NAN, 1.0), "lasts NaN s"),
        (rate(1e9, 1.0), "at most 2592000"),
        (rate(1.0, 2e6), "give 0 to 1000000"),
        (rate(1.0, -2.0), "-2 users a second"),
        (ramped(3.0, 1.0, f64::NAN), "NaN users a second"),
        (Load::Count { duration_s: 0.0, users: 3.0 }, "inf users a second"),
    ] {
        let (index, problem) = schedule(&[(None, rate(1.0, 1.0), None), (None, load, None)]).unwrap_err();
        assert_eq!(index, 1);
        assert!(problem.contains(told), "{load:?}: {problem}");
    }
}

#[test]
fn a_long_and_steep_ramp_keeps_its_users_in_larger_steps() {
    let schedule = schedule(&[(None, ramped(7_200.0, 0.0, 10_000.0), None)]).unwrap();
    assert!(schedule.stages.len() <= RAMP_STAGES_MAX);
    let exact: u64 = (0..7_200u64).map(|s| (10_000.0 / 7_199.0 * s as f64 + 0.5).floor() as u64).sum();
    assert_eq!(schedule.phases[0].users, exact);
    assert_eq!(RateProfile::new(&schedule.stages).unwrap().total_arrivals(), exact);
}

fn load() -> impl Strategy<Value = Load> {
    let duration = prop_oneof![(1u32..4_000).prop_map(f64::from), (1u32..40_000).prop_map(|ms| f64::from(ms) / 1e3)];
    let rate = prop_oneof![(0u32..3_000).prop_map(f64::from), (0.0..50.0f64)];
    (duration, rate.clone(), rate, 0..4).prop_map(|(duration_s, a, b, kind)| match kind {
        0 => Load::Pause { duration_s },
        1 => Load::Rate { duration_s, rate_per_s: a },
        2 => Load::Count { duration_s, users: a.floor() },
        _ => Load::Ramp { duration_s, from_per_s: a, to_per_s: b },
    })
}

proptest! {
    #[test]
    fn the_schedule_creates_exactly_as_many_users_as_the_phases_say_and_in_their_phases(
        loads in prop::collection::vec(load(), 1..12)
    ) {
        let phases: Vec<_> = loads.iter().map(|load| (None, *load, None)).collect();
        // A number of users in a short time may be a rate that is refused.
        let Ok(schedule) = schedule(&phases) else { return Ok(()) };
        let total: u64 = schedule.phases.iter().map(|phase| phase.users).sum();
        let Ok(profile) = RateProfile::new(&schedule.stages) else { return Ok(()) };
        prop_assert_eq!(profile.total_arrivals(), total);
        let mut before = 0u64;
        for phase in &schedule.phases {
            let end = phase.start_ns + phase.duration_ns;
            for number in [before, before + phase.users.saturating_sub(1)].into_iter().filter(|_| phase.users > 0) {
                let at = profile.instant_ns(u128::from(number) * nuncius_load::profile::ARRIVAL_UNITS).unwrap();
                prop_assert!((phase.start_ns..end).contains(&at), "user {} at {} of {:?}", number, at, phase);
            }
            before += phase.users;
        }
    }

    #[test]
    fn a_ramp_is_the_sum_of_its_seconds(duration in 2u32..600, from in 0u32..500, to in 0u32..500) {
        let (duration, from, to) = (f64::from(duration), f64::from(from), f64::from(to));
        // As the scheduler has it: rounded down, and one more where what is left is a half.
        let second = |i: f64| {
            let raw = (to - from) / (duration - 1.0) * i + from;
            let left = raw - raw.trunc();
            raw.floor() as u64 + u64::from((left + 0.5).floor() >= 1.0)
        };
        let expected: u64 = (0..duration as u32).map(|i| second(f64::from(i))).sum();
        prop_assert_eq!(users(ramped(duration, from, to)), expected);
    }
}
