use nuncius_schemas::search::{
    ConfirmRule, Load, RateRange, RecoverRule, SearchEnding, SearchLimits, Spacing, UsersRange,
};
use nuncius_schemas::units::Rate;
use proptest::prelude::*;

use super::*;

const MINUTE: HumanDuration = HumanDuration::from_secs(60);

fn search() -> SearchSpec {
    SearchSpec::of_rate(RateRange { from: Rate::per_second(10), to: Rate::per_second(10_000), start: None })
}

fn users(from: u32, to: u32) -> SearchSpec {
    SearchSpec { rate: None, users: Some(UsersRange { from, to, start: None }), ..search() }
}

/// The load as a number.
fn amount(load: Load) -> f64 {
    match load {
        Load::Rate(rate) => rate.as_per_second(),
        Load::Users(users) => f64::from(users),
    }
}

/// Goes on to the end with what `outcome` makes of each experiment.
fn run(state: &mut SearchState, mut outcome: impl FnMut(&SearchProbe) -> SearchOutcome) -> SearchFinding {
    loop {
        match next(state) {
            SearchAction::Run(probe) => {
                let outcome = outcome(&probe);
                let took = HumanDuration(probe.settle.0 + probe.length.0);
                record(state, outcome, &format!("{outcome:?}"), took).unwrap();
            }
            SearchAction::End(finding) => return *finding,
        }
    }
}

fn searched(search: SearchSpec, outcome: impl FnMut(&SearchProbe) -> SearchOutcome) -> (SearchFinding, SearchState) {
    let mut state = SearchState::new(search).unwrap();
    let finding = run(&mut state, outcome);
    (finding, state)
}

/// What a target says that meets the gates up to a limit, always.
fn up_to(limit: f64) -> impl FnMut(&SearchProbe) -> SearchOutcome {
    move |probe| {
        let is_well = probe.purpose == SearchPurpose::Recover || amount(probe.load) <= limit;
        if is_well { SearchOutcome::Pass } else { SearchOutcome::Fail }
    }
}

fn loads(state: &SearchState, wanted: SearchPurpose) -> Vec<f64> {
    let records = state.history().iter().filter(|record| record.probe.purpose == wanted);
    records.map(|record| amount(record.probe.load)).collect()
}

#[test]
fn the_way_is_to_bracket_to_halve_and_to_confirm_both_ends() {
    let (finding, state) = searched(search(), up_to(333.0));
    assert_eq!(loads(&state, SearchPurpose::Bracket), [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0]);
    // Round numbers, from the geometric mean of the gap on.
    assert_eq!(loads(&state, SearchPurpose::Halve), [450.0, 380.0, 349.0, 334.0, 327.0, 330.5]);
    assert_eq!(loads(&state, SearchPurpose::Confirm), [330.5, 330.5, 334.0, 334.0]);
    assert_eq!(finding.ending, SearchEnding::Found, "{}", finding.reason);
    assert_eq!(finding.found().map(amount), Some(330.5));
    let (lower, upper) = (finding.highest_passed.unwrap(), finding.lowest_not_passed.unwrap());
    assert_eq!((lower.passed, lower.of, lower.confidence), (2, 2, Some(0.75)));
    assert_eq!((amount(upper.load), upper.passed, upper.of), (334.0, 0, 2));
    assert_eq!(finding.reason, "330.5/s passes (2 of 2 probes passed), 334/s does not pass (0 of 2 probes passed)");
    let confirming = state.history().iter().find(|record| record.probe.purpose == SearchPurpose::Confirm).unwrap();
    assert_eq!(
        (confirming.probe.length, confirming.probe.settle),
        (HumanDuration::from_secs(40), HumanDuration::from_secs(2))
    );
    // A recovery at a tenth of what has passed after each failure but the last, which leaves nothing to do.
    assert_eq!(loads(&state, SearchPurpose::Recover), [32.0, 32.0, 32.0, 32.0, 32.0, 33.05]);
}

#[test]
fn where_the_first_probe_fails_the_load_shrinks() {
    let range = RateRange { start: Some(Rate::per_second(1_000)), ..search().rate.unwrap() };
    let (finding, state) = searched(SearchSpec { rate: Some(range), ..search() }, up_to(100.0));
    assert_eq!(loads(&state, SearchPurpose::Bracket), [1_000.0, 500.0, 250.0, 125.0, 62.5]);
    assert_eq!(finding.ending, SearchEnding::Found);
    // Nothing has passed yet: a tenth of the lowest that was tried.
    assert_eq!(loads(&state, SearchPurpose::Recover)[..3], [100.0, 50.0, 25.0]);
}

#[test]
fn both_ends_of_the_range_are_confirmed_before_they_are_the_finding() {
    let (above, state) = searched(search(), up_to(1e9));
    assert_eq!((above.ending, above.found().map(amount)), (SearchEnding::AboveHighest, Some(10_000.0)));
    assert_eq!(loads(&state, SearchPurpose::Confirm), [10_000.0; 2]);
    assert!(above.lowest_not_passed.is_none() && above.reason.contains("highest of the search"), "{}", above.reason);
    let (below, state) = searched(search(), up_to(1.0));
    assert_eq!((below.ending, below.found()), (SearchEnding::BelowLowest, None));
    assert_eq!(loads(&state, SearchPurpose::Confirm), [10.0; 2]);
    assert!(below.reason.contains("10/s does not pass (0 of 2 probes passed)"), "{}", below.reason);
}

#[test]
fn users_are_whole_and_neighbours_are_near_enough() {
    let (finding, state) = searched(users(1, 100), up_to(7.0));
    assert_eq!((finding.ending, finding.found()), (SearchEnding::Found, Some(Load::Users(7))));
    assert_eq!(finding.lowest_not_passed.unwrap().load, Load::Users(8));
    assert_eq!(loads(&state, SearchPurpose::Recover)[0], 1.0, "at least one user");
    assert!(finding.reason.starts_with("7 users passes"), "{}", finding.reason);
}

#[test]
fn what_cannot_be_told_is_repeated_longer_and_counts_as_not_passed_when_it_never_can() {
    let mut lengths = Vec::new();
    let (finding, state) = searched(search(), |probe| match amount(probe.load) {
        load if load <= 300.0 => SearchOutcome::Pass,
        load if load <= 400.0 => {
            lengths.push(probe.length.as_secs_f64());
            SearchOutcome::Undetermined
        }
        _ => SearchOutcome::Fail,
    });
    assert_eq!(finding.ending, SearchEnding::Found);
    assert!((290.0..=300.0).contains(&finding.found().map(amount).unwrap()), "{}", finding.reason);
    // 320/s: a probe, twice as long, four times as long; then the load counts as not passed.
    assert_eq!(lengths[..3], [20.0, 40.0, 80.0]);
    assert_eq!(loads(&state, SearchPurpose::Bracket)[5..], [320.0; 3]);
    // What confirms a load is as long as what decided it.
    let confirms = state.history().iter().filter(|record| record.probe.purpose == SearchPurpose::Confirm);
    let longest = confirms.map(|record| record.probe.length).max().unwrap();
    assert_eq!(longest, HumanDuration::from_secs(80));
}

#[test]
fn an_end_that_is_refuted_becomes_the_other_end() {
    // Confirming probes are harder: what passed at 327/s does not hold for longer.
    let (finding, _) = searched(search(), |probe| {
        let limit = if probe.purpose == SearchPurpose::Confirm { 290.0 } else { 333.0 };
        up_to(limit)(probe)
    });
    assert_eq!(finding.ending, SearchEnding::Found, "{}", finding.reason);
    assert!((280.0..=290.0).contains(&finding.found().map(amount).unwrap()), "{}", finding.reason);
    // And easier: the end above is refuted, and the one above that, to the limit.
    let (finding, _) = searched(search(), |probe| {
        let limit = if probe.purpose == SearchPurpose::Confirm { 400.0 } else { 333.0 };
        up_to(limit)(probe)
    });
    assert_eq!(finding.ending, SearchEnding::Found, "{}", finding.reason);
    assert!((380.0..=400.0).contains(&finding.found().map(amount).unwrap()), "{}", finding.reason);
}

#[test]
fn recoveries_go_on_until_the_target_is_well_or_the_search_ends() {
    let sick = |times: u32| {
        let mut left = times;
        searched(search(), move |probe| {
            if probe.purpose != SearchPurpose::Recover {
                return up_to(100.0)(probe);
            }
            left = left.saturating_sub(1);
            if left > 0 { SearchOutcome::Fail } else { SearchOutcome::Undetermined }
        })
    };
    let (well, state) = sick(20);
    assert_eq!(well.ending, SearchEnding::Found, "{}", well.reason);
    let first: Vec<_> = state.history().iter().map(|record| record.probe.purpose).collect();
    let recoveries = first.iter().skip_while(|purpose| **purpose != SearchPurpose::Recover);
    assert_eq!(recoveries.take_while(|purpose| **purpose == SearchPurpose::Recover).count(), 20);
    // 24 of 5 s are 2 minutes.
    let (never, state) = sick(1_000);
    assert_eq!(never.ending, SearchEnding::NotRecovered);
    assert_eq!(loads(&state, SearchPurpose::Recover).len(), 24);
    assert_eq!(never.highest_passed.map(|bound| amount(bound.load)), Some(80.0));
    assert!(never.found().is_none() && never.reason.contains("within 2m"), "{}", never.reason);
    let rule = RecoverRule { at_most: HumanDuration::default(), ..RecoverRule::default() };
    let (finding, state) = searched(SearchSpec { recover: rule, ..search() }, up_to(100.0));
    assert!(finding.ending == SearchEnding::Found && loads(&state, SearchPurpose::Recover).is_empty());
}

#[test]
fn a_generator_that_cannot_be_trusted_is_the_limit_and_is_not_taken_for_the_targets() {
    let with_generator = |limit: f64, target: f64| {
        searched(
            search(),
            move |probe| {
                if amount(probe.load) > limit { SearchOutcome::Invalid } else { up_to(target)(probe) }
            },
        )
    };
    let (finding, state) = with_generator(500.0, 1e9);
    assert_eq!(finding.ending, SearchEnding::GeneratorLimit, "{}", finding.reason);
    assert!((490.0..=500.0).contains(&finding.found().map(amount).unwrap()), "{}", finding.reason);
    assert!(finding.reason.starts_with("the limit of the generator, not of the target: "), "{}", finding.reason);
    assert!(finding.reason.contains("cannot be offered") && finding.reason.ends_with("Invalid"), "{}", finding.reason);
    // Each such load is tried twice and never again.
    let tried = |load: f64| state.history().iter().filter(|record| amount(record.probe.load) == load).count();
    assert_eq!((tried(640.0), tried(450.0)), (2, 1));
    // Below it the target has a limit of its own.
    let (finding, _) = with_generator(500.0, 333.0);
    assert_eq!((finding.ending, finding.found().map(amount)), (SearchEnding::Found, Some(330.5)));
    let (finding, _) = with_generator(1.0, 333.0);
    assert_eq!((finding.ending, finding.found()), (SearchEnding::GeneratorLimit, None));
    // With 1 the first one is enough.
    let strict = SearchSpec { at_most: SearchLimits { invalid: 1, ..SearchLimits::default() }, ..search() };
    let (_, state) = searched(strict, |_| SearchOutcome::Invalid);
    assert_eq!(state.history().len(), 1);
}

#[test]
fn one_invalid_probe_is_made_again_and_changes_nothing() {
    let (without, _) = searched(search(), up_to(333.0));
    for hit in 0..16 {
        let mut probes = 0;
        let (finding, _) = searched(search(), |probe| {
            probes += u32::from(probe.purpose != SearchPurpose::Recover);
            if probes == hit + 1 && probe.purpose != SearchPurpose::Recover {
                SearchOutcome::Invalid
            } else {
                up_to(333.0)(probe)
            }
        });
        assert_eq!((finding.ending, finding.found()), (without.ending, without.found()), "{hit}");
    }
}

#[test]
fn an_experiment_that_breaks_ends_it_and_nothing_is_taken_afterwards() {
    let mut state = SearchState::new(search()).unwrap();
    record(&mut state, SearchOutcome::Pass, "", MINUTE).unwrap();
    assert_eq!(report(&state, "s", 5).finding, None);
    record(&mut state, SearchOutcome::Broken, "no node", MINUTE).unwrap();
    let SearchAction::End(finding) = next(&state) else { panic!("it is over") };
    let report = report(&state, "s", 5);
    assert_eq!((report.finding.as_ref(), report.history.len()), (Some(&*finding), 2));
    assert_eq!(
        (finding.ending, finding.probes, finding.time),
        (SearchEnding::Broken, 2, HumanDuration::from_secs(120))
    );
    assert!(
        finding.reason.starts_with("an experiment did not run to its end: no node; 10/s passes (not"),
        "{}",
        finding.reason
    );
    assert_eq!(record(&mut state, SearchOutcome::Pass, "", MINUTE), Err(SearchOver));
    assert_eq!((state.history().len(), state.time()), (2, HumanDuration::from_secs(120)));
}

#[test]
fn what_it_may_take_is_named_when_it_is_spent() {
    let limits = SearchLimits { probes: 9, ..SearchLimits::default() };
    let (finding, _) = searched(SearchSpec { at_most: limits, ..search() }, up_to(333.0));
    assert_eq!((finding.ending, finding.probes, finding.found()), (SearchEnding::ProbesSpent, 9, None));
    assert!(
        finding.reason.starts_with("all 9 probes (`at_most.probes`) are made: 320/s passes (not"),
        "{}",
        finding.reason
    );
    let limits = SearchLimits { time: HumanDuration::from_secs(230), ..SearchLimits::default() };
    let (finding, _) = searched(SearchSpec { at_most: limits, ..search() }, up_to(333.0));
    assert_eq!(finding.ending, SearchEnding::TimeSpent);
    assert!(
        finding.time <= limits.time && finding.reason.contains("within 230s (`at_most.time`)"),
        "{}",
        finding.reason
    );
}

#[test]
fn a_search_that_cannot_be_is_not_begun() {
    let error = SearchState::new(SearchSpec { growth: 1.0, ..search() }).unwrap_err();
    assert_eq!(error.field, "growth");
}

fn any_search() -> impl Strategy<Value = SearchSpec> {
    let range = (1u32..500, 2u32..2_000, prop::bool::ANY, prop::bool::ANY);
    let way = (1u64..30, 1.05f64..10.0, prop::bool::ANY, 1u32..6, prop::bool::ANY);
    (range, way).prop_map(|((from, more, is_users, starts_above), (precision, growth, linear, probes, recovers))| {
        let to = from * more;
        let start = starts_above.then_some(from + (to - from) / 3);
        let rate = |amount: u32| Rate::per_second(u64::from(amount));
        let range = RateRange { from: rate(from), to: rate(to), start: start.map(rate) };
        SearchSpec {
            rate: (!is_users).then_some(range),
            users: is_users.then_some(UsersRange { from, to, start }),
            precision: format!("{precision}%").parse().unwrap(),
            growth,
            spacing: if linear { Spacing::Linear } else { Spacing::Geometric },
            confirm: ConfirmRule { probes, pass: probes / 2 + 1, probe: None },
            recover: RecoverRule {
                at_most: HumanDuration::from_secs(if recovers { 30 } else { 0 }),
                ..RecoverRule::default()
            },
            at_most: SearchLimits { probes: 1_000, time: HumanDuration::from_secs(600_000), invalid: 2 },
            ..search()
        }
    })
}

fn any_outcome() -> impl Strategy<Value = SearchOutcome> {
    prop_oneof![
        6 => Just(SearchOutcome::Pass),
        6 => Just(SearchOutcome::Fail),
        2 => Just(SearchOutcome::Undetermined),
        2 => Just(SearchOutcome::Invalid),
        1 => Just(SearchOutcome::Broken),
    ]
}

/// The same state after it was written and read.
fn restarted(state: &SearchState) -> SearchState {
    serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap()
}

/// Whether a finding is true of a target with this limit.
fn check(search: &SearchSpec, finding: &SearchFinding, limit: f64) -> Result<(), TestCaseError> {
    let (lowest, _, highest) = search.loads().unwrap();
    if limit < amount(lowest) {
        prop_assert_eq!(finding.ending, SearchEnding::BelowLowest);
    } else if limit >= amount(highest) {
        prop_assert_eq!(finding.ending, SearchEnding::AboveHighest);
    } else {
        prop_assert_eq!(finding.ending, SearchEnding::Found);
        let (lower, upper) = (amount(finding.found().unwrap()), amount(finding.lowest_not_passed.unwrap().load));
        prop_assert!(lower <= limit && limit < upper, "{} {} {}", lower, limit, upper);
        let near = upper <= lower * (1.0 + search.precision.as_share()) * (1.0 + 1e-9);
        prop_assert!(near || (search.users.is_some() && upper - lower <= 1.0), "{} {}", lower, upper);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_limit_of_a_target_without_noise_is_within_the_interval(search in any_search(), share in 0.0f64..1.2) {
        let (lowest, _, highest) = search.loads().unwrap();
        let limit = amount(lowest) * 0.9 + share * (amount(highest) - amount(lowest));
        let (finding, state) = searched(search.clone(), up_to(limit));
        check(&search, &finding, limit)?;
        // Growth, halvings and confirmations: no more than there need be.
        let probes = finding.probes as f64;
        let ratio = amount(highest) / amount(lowest);
        let growths = libm::log(ratio) / libm::log(search.growth) + 2.0;
        let gap = f64::max(search.growth - 1.0, 1.0) / search.precision.as_share();
        let halvings = 2.0 * libm::log2(gap + 2.0) + 6.0;
        let confirms = 2.0 * f64::from(search.confirm.pass);
        prop_assert!(probes <= growths + halvings + confirms, "{}: {:?}", probes, state.history());
    }

    #[test]
    fn one_unlucky_probe_decides_nothing(search in any_search(), share in 0.05f64..0.95, unlucky in 0usize..40) {
        let search = SearchSpec { confirm: ConfirmRule { probes: 3, pass: 2, probe: None }, ..search };
        let (lowest, _, highest) = search.loads().unwrap();
        let limit = amount(lowest) + share * (amount(highest) - amount(lowest));
        let mut made = 0;
        let (finding, _) = searched(search.clone(), |probe| {
            made += 1;
            let outcome = up_to(limit)(probe);
            match outcome {
                SearchOutcome::Pass if made == unlucky && probe.purpose != SearchPurpose::Recover => {
                    SearchOutcome::Fail
                }
                SearchOutcome::Fail if made == unlucky => SearchOutcome::Pass,
                other => other,
            }
        });
        check(&search, &finding, limit)?;
    }

    #[test]
    fn a_search_goes_on_after_a_restart_as_it_would_have_without(
        search in any_search(), outcomes in prop::collection::vec(any_outcome(), 1..80),
    ) {
        let mut state = SearchState::new(search).unwrap();
        let mut other = state.clone();
        for outcome in outcomes {
            let (action, again) = (next(&state), next(&other));
            prop_assert_eq!(&action, &again);
            let SearchAction::Run(probe) = action else { break };
            let took = HumanDuration(probe.settle.0 + probe.length.0 + 12_345_678);
            record(&mut state, outcome, "why", took).unwrap();
            record(&mut other, outcome, "why", took).unwrap();
            other = restarted(&other);
            prop_assert_eq!(&state, &other);
        }
    }

    #[test]
    fn whatever_happens_it_ends_within_its_bounds(
        search in any_search(), outcomes in prop::collection::vec(any_outcome(), 1..30), probes in 1u32..60,
    ) {
        let at_most = SearchLimits { probes, ..search.at_most };
        let search = SearchSpec { at_most, ..search };
        let (lowest, _, highest) = search.loads().unwrap();
        let mut outcomes = outcomes.into_iter().cycle();
        let (finding, state) = searched(search.clone(), |_| outcomes.next().unwrap());
        prop_assert!(finding.probes <= probes && finding.time <= search.at_most.time);
        prop_assert!(!finding.reason.is_empty());
        for record in state.history().iter().filter(|record| record.probe.purpose != SearchPurpose::Recover) {
            prop_assert!((lowest..=highest).contains(&record.probe.load), "{:?}", record);
            prop_assert!(record.probe.length <= search.longest().max(search.confirm_probe()));
        }
        let numbers: Vec<u32> = state.history().iter().map(|record| record.probe.number).collect();
        prop_assert!(numbers.iter().copied().eq(1..=numbers.len() as u32));
        if let (Some(lower), Some(upper)) = (finding.highest_passed, finding.lowest_not_passed) {
            prop_assert!(lower.load < upper.load);
        }
    }
}
