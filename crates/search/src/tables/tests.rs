use nuncius_schemas::sweep::{Factor, SweepCapacity, SweepDemand};
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn reported(sweep: &SweepSpec, runs: &[SweepRun]) -> SweepReport {
    report(sweep, "w", 1, runs.to_vec())
}

fn sweep(text: &str) -> SweepSpec {
    nuncius_schemas::codec::from_text(text).unwrap()
}

const TWO: &str = "factors: {rate: [100, 200], size: [small, large]}\nrepeats: 3";

/// Combinations 1 to 4 are (100, large) … by the names of the factors: `rate` is the first, `size` changes first.
fn run(combination: u64, repeat: u32, verdict: Option<Verdict>, p99_ns: f64) -> SweepRun {
    let figures = BTreeMap::from([("response_p99_ns".to_owned(), p99_ns)]);
    SweepRun { combination, repeat, verdict, figures }
}

/// Runs of a sweep whose figures are `value(combination, repeat)`.
fn all(sweep: &SweepSpec, value: impl Fn(u64, u32) -> f64) -> Vec<SweepRun> {
    let places =
        (1..=sweep.combinations()).flat_map(|combination| (1..=sweep.repeats).map(move |repeat| (combination, repeat)));
    places
        .map(|(combination, repeat)| run(combination, repeat, Some(Verdict::Pass), value(combination, repeat)))
        .collect()
}

#[test]
fn each_combination_has_the_mean_of_its_runs_with_the_interval_of_the_tables() {
    let sweep = sweep(TWO);
    let report = reported(&sweep, &all(&sweep, |combination, repeat| 10.0 * combination as f64 + f64::from(repeat)));
    assert_eq!((report.cells.len(), report.confidence), (4, 0.95));
    let cell = &report.cells[1];
    assert_eq!((cell.combination, cell.levels["rate"].as_str(), cell.levels["size"].as_str()), (2, "100", "large"));
    let p99 = cell.figures["response_p99_ns"];
    // 21, 22, 23: a deviation of 1, and 22 ± 4.3027 / √3.
    assert!((p99.mean - 22.0).abs() < 1e-12 && (p99.deviation.unwrap() - 1.0).abs() < 1e-12 && p99.runs == 3);
    assert!((p99.upper.unwrap() - 24.4841).abs() < 1e-3 && (p99.lower.unwrap() - 19.5159).abs() < 1e-3, "{p99:?}");
    assert_eq!((cell.passed, cell.passes(), report.problem), (3, Some(true), None));
}

#[test]
fn runs_that_are_invalid_or_did_not_end_are_told_and_count_for_nothing() {
    let sweep = sweep(TWO);
    let mut runs = all(&sweep, |_, _| 5.0);
    runs[0] = run(1, 1, Some(Verdict::Invalid), 1e9);
    runs[1] = run(1, 2, None, 1e9);
    runs[3] = run(2, 1, Some(Verdict::Undetermined), f64::NAN);
    runs[4] = run(2, 2, Some(Verdict::Fail), 5.0);
    // The run was made again: the last counts. One of no combination is none.
    runs.push(run(3, 1, Some(Verdict::Fail), 5.0));
    runs.push(run(99, 1, Some(Verdict::Fail), 5.0));
    let report = reported(&sweep, &runs);
    let [first, second, third, _] = report.cells.as_slice() else { panic!("four combinations") };
    assert_eq!((first.passed, first.invalid, first.unfinished, first.passes()), (1, 1, 1, Some(true)));
    assert_eq!((second.passed, second.undetermined, second.failed, second.passes()), (1, 1, 1, Some(false)));
    assert_eq!((third.passed, third.failed), (2, 1));
    let figure = first.figures["response_p99_ns"];
    assert_eq!((figure.mean, figure.runs, figure.lower, figure.deviation), (5.0, 1, None, None));
    assert_eq!(second.figures["response_p99_ns"].runs, 2);
    // Nothing is said of effects with intervals where a combination has one run.
    assert!(report.effects[0].effects.iter().all(|effect| effect.lower.is_none()) && !report.effects[0].by_blocks);
}

#[test]
fn main_effects_are_those_that_were_put_in_and_add_up_to_nothing() {
    let sweep = sweep(TWO);
    // 100 at each; 20 more at 200/s, 6 more for large ones, and what the repeat adds.
    let value = |combination: u64, repeat: u32| {
        let rate = if combination > 2 { 20.0 } else { 0.0 };
        let size = if combination.is_multiple_of(2) { 6.0 } else { 0.0 };
        100.0 + rate + size + 50.0 * f64::from(repeat) + 0.1 * ((combination * 7 + u64::from(repeat) * 5) % 3) as f64
    };
    let report = reported(&sweep, &all(&sweep, value));
    let effects = &report.effects[0];
    assert!(effects.by_blocks && effects.figure == "response_p99_ns");
    let found: Vec<(&str, &str, f64)> = effects
        .effects
        .iter()
        .map(|effect| (effect.factor.as_str(), effect.value.as_str(), effect.effect.round()))
        .collect();
    assert_eq!(found, [("rate", "100", -10.0), ("rate", "200", 10.0), ("size", "small", -3.0), ("size", "large", 3.0)]);
    // Repeats differ by 50 each, and that is in no interval.
    for effect in &effects.effects {
        assert!(effect.upper.unwrap() - effect.lower.unwrap() < 1.5, "{effect:?}");
        assert!((effect.mean - effects.mean - effect.effect).abs() < 1e-9);
    }
    // Without blocks it is.
    let apart = SweepSpec { blocks: false, ..sweep };
    let wide = reported(&apart, &all(&apart, value));
    let effect = &wide.effects[0].effects[0];
    assert!(!wide.effects[0].by_blocks && effect.upper.unwrap() - effect.lower.unwrap() > 50.0, "{effect:?}");
}

#[test]
fn a_figure_that_a_combination_does_not_tell_has_no_effects_and_it_is_said_why() {
    let sweep = sweep(TWO);
    let mut runs = all(&sweep, |_, _| 5.0);
    runs.truncate(9);
    let report = reported(&sweep, &runs);
    assert!(report.effects.is_empty());
    assert_eq!(report.problem.unwrap(), "no effects on `response_p99_ns`: no run of combination 4 tells it");
    assert_eq!((report.cells[3].passes(), report.cells[3].figures.len()), (None, 0));
}

/// Loads of 10 to 40 for each size; what passes is said by load for small and for large ones.
fn with_verdicts(sweep: &SweepSpec, passes: impl Fn(&str, &str) -> Option<bool>) -> SweepReport {
    let runs: Vec<SweepRun> = (1..=sweep.combinations())
        .flat_map(|combination| {
            let levels = sweep.levels(combination);
            let text = |name: &str| levels.get(name).map(value_text).unwrap_or_default();
            let verdict = passes(&text("rate"), &text("size"));
            let verdict = verdict.map(|passes| if passes { Verdict::Pass } else { Verdict::Fail });
            (1..=sweep.repeats).filter_map(move |repeat| Some(run(combination, repeat, Some(verdict?), 1.0)))
        })
        .collect();
    reported(sweep, &runs)
}

#[test]
fn capacity_is_the_highest_load_that_passes_below_all_that_do_not() {
    // Written in any order and unit; as numbers they rise.
    let sweep = sweep("factors: {rate: [600/m, 40, 20/s, 30], size: [small, large, odd]}\nrepeats: 2");
    let report = with_verdicts(&sweep, |rate, size| match size {
        "small" => Some(rate != "40"),
        "large" => Some(false),
        // Above one that fails one passes; 20/s was not run.
        _ => (rate != "20/s").then_some(rate != "30"),
    });
    let of = |size: &str| report.capacity.iter().find(|capacity| capacity.levels["size"] == size).unwrap();
    let told = |capacity: &SweepCapacity| {
        (capacity.highest_passed.clone(), capacity.lowest_not_passed.clone(), capacity.is_inverted)
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(told(of("small")), (some("30"), some("40"), false));
    assert_eq!(told(of("large")), (None, some("600/m"), false));
    assert_eq!(told(of("odd")), (some("600/m"), some("30"), true));
    let curve = report.curves.iter().find(|curve| curve.levels["size"] == "odd").unwrap();
    let points: Vec<(f64, Option<bool>)> = curve.points.iter().map(|point| (point.load, point.passes)).collect();
    assert_eq!(points, [(10.0, Some(true)), (20.0, None), (30.0, Some(false)), (40.0, Some(true))]);
    assert_eq!((curve.points[0].passed, curve.points[0].judged, curve.points[1].judged), (2, 2, 0));
    assert!(report.demand.is_empty());
}

#[test]
fn demand_is_the_least_of_the_resource_that_passes_above_all_that_do_not() {
    let sweep = sweep("factors: {rate: [10, 20, 30], size: [1, 2, 4]}\nrepeats: 1\nresource: size");
    // One unit does ten a second.
    let report = with_verdicts(&sweep, |rate, size| {
        let (rate, size): (f64, f64) = (rate.parse().unwrap(), size.parse().unwrap());
        Some(rate <= 10.0 * size)
    });
    let told: Vec<(&str, Option<&str>, Option<&str>)> = report
        .demand
        .iter()
        .map(|SweepDemand { load, least_passed, most_not_passed, .. }| {
            (load.as_str(), least_passed.as_deref(), most_not_passed.as_deref())
        })
        .collect();
    assert_eq!(told, [("10", Some("1"), None), ("20", Some("2"), Some("1")), ("30", Some("4"), Some("2"))]);
    assert!(report.demand.iter().all(|demand| demand.levels.is_empty() && !demand.is_inverted));
}

#[test]
fn a_load_that_is_no_number_has_no_tables_and_it_is_said_why() {
    let sweep = sweep("factors: {rate: [10, fast], size: [1, 2]}\nrepeats: 1\nload: rate\nresource: size");
    let report = with_verdicts(&sweep, |_, _| Some(true));
    assert!(report.curves.is_empty() && report.capacity.is_empty() && report.demand.is_empty());
    let problem = report.problem.unwrap();
    assert_eq!(problem, "`fast` of `rate`, the load, is no number that could be put in order");
}

#[test]
fn values_are_numbers_in_any_unit_that_people_write() {
    for (text, number) in [("5", 5.0), ("2.5", 2.5), ("600/m", 10.0), ("1KiB", 1_024.0), ("250ms", 0.25), ("-3", -3.0)]
    {
        assert_eq!(number_of(text), Some(number), "{text}");
    }
    for text in ["", "fast", "NaN", "inf", "true"] {
        assert_eq!(number_of(text), None, "{text}");
    }
}

fn normal(random: &mut fastrand::Rng) -> f64 {
    (-2.0 * libm::log(1.0 - random.f64())).sqrt() * libm::cos(std::f64::consts::TAU * random.f64())
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say_whether_blocks_differ_or_loads_vary_more() {
    let mut random = fastrand::Rng::with_seed(4);
    for (blocks, block_deviation) in [(true, 5.0), (false, 0.0)] {
        let sweep = SweepSpec { blocks, repeats: 4, ..sweep(TWO) };
        let (trials, mut held_cell, mut held_effect) = (400, 0, 0);
        for _ in 0..trials {
            let blocks: Vec<f64> = (0..4).map(|_| block_deviation * normal(&mut random)).collect();
            let noise: Vec<f64> = (0..16).map(|_| normal(&mut random)).collect();
            let value = |combination: u64, repeat: u32| {
                // At 200/s it is slower, and varies four times as much.
                let (mean, deviation) = if combination > 2 { (30.0, 4.0) } else { (10.0, 1.0) };
                let at = (combination as usize - 1) * 4 + repeat as usize - 1;
                mean + deviation * noise[at] + blocks[repeat as usize - 1]
            };
            let report = reported(&sweep, &all(&sweep, value));
            let cell = report.cells[3].figures["response_p99_ns"];
            held_cell += u32::from(cell.lower.unwrap() <= 30.0 && 30.0 <= cell.upper.unwrap());
            let effect = &report.effects[0].effects[1];
            held_effect += u32::from(effect.lower.unwrap() <= 10.0 && 10.0 <= effect.upper.unwrap());
        }
        // Three standard errors of 95 % in 400 are 3.3 %.
        assert!(held_cell >= 366 && held_effect >= 366, "{blocks}: {held_cell} {held_effect} of {trials}");
    }
}

fn any_verdict() -> impl Strategy<Value = Option<Verdict>> {
    prop_oneof![
        Just(None),
        Just(Some(Verdict::Pass)),
        Just(Some(Verdict::Fail)),
        Just(Some(Verdict::Undetermined)),
        Just(Some(Verdict::Invalid)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_outcomes_make_the_tables_panic_or_contradict_themselves(
        counts in (2usize..5, 2usize..4), repeats in 1u32..4, blocks: bool,
        runs in prop::collection::vec((0u64..20, 0u32..5, any_verdict(), any::<f64>(), 0.0f64..9.0), 0..60),
    ) {
        let values = |count: usize| Factor { fields: Vec::new(), values: (1..=count).map(Value::from).collect() };
        let factors = [("rate".to_owned(), values(counts.0)), ("size".to_owned(), values(counts.1))].into();
        let sweep = SweepSpec { repeats, blocks, resource: Some("size".to_owned()), ..SweepSpec::of_factors(factors) };
        let runs: Vec<SweepRun> = runs.into_iter().map(|(combination, repeat, verdict, wild, tame)| {
            let figures = [("wild".to_owned(), wild), ("tame".to_owned(), tame)].into();
            SweepRun { combination, repeat, verdict, figures }
        }).collect();
        let report = reported(&sweep, &runs);
        prop_assert_eq!(report.cells.len() as u64, sweep.combinations());
        prop_assert_eq!(report.curves.iter().map(|curve| curve.points.len()).sum::<usize>(), report.cells.len());
        prop_assert_eq!((report.capacity.len(), report.demand.len()), (counts.1, counts.0));
        for effects in report.effects.iter().filter(|effects| effects.figure == "tame") {
            for name in ["rate", "size"] {
                let own = effects.effects.iter().filter(|effect| effect.factor == name);
                prop_assert!(own.map(|effect| effect.effect).sum::<f64>().abs() < 1e-9);
            }
        }
        for estimate in report.cells.iter().filter_map(|cell| cell.figures.get("tame")) {
            prop_assert!(estimate.lower.is_none_or(|lower| lower <= estimate.mean));
            prop_assert!((0.0..9.0).contains(&estimate.mean));
        }
    }
}
