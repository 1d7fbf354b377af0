use std::collections::BTreeMap;

use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_schemas::search::{
    Load, RateRange, SearchBound, SearchEnding, SearchFinding, SearchOutcome, SearchProbe, SearchPurpose, SearchRecord,
    SearchSpec,
};
use nuncius_schemas::sweep::{
    Factor, SweepCapacity, SweepCell, SweepCurve, SweepEstimate, SweepLevels, SweepPoint, SweepSpec,
};
use nuncius_schemas::units::{HumanDuration, Rate};

use super::*;
use crate::text::{TextOptions, summary};

fn search() -> SearchReport {
    let rate = |rate: u64| Load::Rate(Rate::per_second(rate));
    let record = |number, per_second, purpose, outcome, reason: &str| SearchRecord {
        probe: SearchProbe {
            number,
            load: rate(per_second),
            length: HumanDuration::from_secs(20),
            settle: HumanDuration::from_secs(2),
            purpose,
        },
        outcome,
        reason: reason.to_owned(),
        took: HumanDuration::from_secs(22),
    };
    let bound = |per_second, passed| SearchBound {
        load: rate(per_second),
        is_confirmed: true,
        passed,
        of: 2,
        confidence: Some(0.75),
    };
    let range = RateRange { from: Rate::per_second(100), to: Rate::per_second(2_000), start: None };
    SearchReport {
        id: "s-1".to_owned(),
        started_unix_ms: 1_700_000_000_000,
        search: SearchSpec::of_rate(range),
        history: vec![
            record(1, 100, SearchPurpose::Bracket, SearchOutcome::Pass, "every gate held"),
            record(2, 200, SearchPurpose::Halve, SearchOutcome::Fail, "p99 <b>72 ms</b>\u{1b}[2J"),
            record(3, 10, SearchPurpose::Recover, SearchOutcome::Invalid, "too late"),
        ],
        finding: Some(SearchFinding {
            ending: SearchEnding::Found,
            highest_passed: Some(bound(100, 2)),
            lowest_not_passed: Some(bound(102, 0)),
            probes: 2,
            time: HumanDuration::from_secs(66),
            reason: "100/s passes".to_owned(),
        }),
    }
}

fn sweep() -> SweepReport {
    let estimate = |mean: f64| SweepEstimate {
        mean,
        lower: Some(mean * 0.9),
        upper: Some(mean * 1.1),
        deviation: Some(mean * 0.05),
        runs: 3,
    };
    let figures = |mean: f64| BTreeMap::from([("response_p99_ns".to_owned(), estimate(mean))]);
    let levels = |rate: &str| SweepLevels::from([("rate".to_owned(), rate.to_owned())]);
    let cell = |combination, rate: &str, passed, mean| SweepCell {
        combination,
        levels: levels(rate),
        passed,
        failed: 3 - passed,
        undetermined: 0,
        invalid: 0,
        unfinished: 1,
        figures: figures(mean),
    };
    let point = |load: f64, combination, mean| SweepPoint {
        load,
        value: format!("{load}/s"),
        combination,
        passes: Some(true),
        passed: 3,
        judged: 3,
        figures: figures(mean),
    };
    let factor = Factor { fields: Vec::new(), values: vec!["100/s".into(), "200/s".into()] };
    SweepReport {
        id: "w-1".to_owned(),
        started_unix_ms: 1_700_000_000_000,
        sweep: SweepSpec::of_factors(BTreeMap::from([("rate".to_owned(), factor)])),
        runs: Vec::new(),
        confidence: 0.95,
        cells: vec![cell(1, "100/s", 3, 1e6), cell(2, "200/s", 1, 2.5e6)],
        effects: Vec::new(),
        curves: vec![SweepCurve {
            levels: SweepLevels::new(),
            points: vec![point(100.0, 1, 1e6), point(200.0, 2, 2.5e6)],
        }],
        capacity: vec![SweepCapacity {
            levels: SweepLevels::new(),
            highest_passed: Some("100/s".to_owned()),
            lowest_not_passed: Some("200/s".to_owned()),
            is_inverted: false,
        }],
        demand: Vec::new(),
        problem: Some("`much<` of `rate` is no number".to_owned()),
    }
}

#[test]
fn a_search_is_told_with_both_ends_and_every_probe() {
    let text = search_lines(&search(), Paint(false), 100);
    let expected = "  search for the highest load that meets the gates, from 100/s to 2000/s, to within 2%; probes of
  20s
  highest load that passes: 100/s (confirmed: 2 of 2 probes passed, confidence 75.0%)
  lowest load that does not: 102/s (confirmed: 0 of 2 probes passed, confidence 75.0%)
  2 probes, 66.0s of load

      load  length  for      outcome  why
  1  100/s     20s  bracket  pass     every gate held
  2  200/s     20s  halve    fail     p99 <b>72 ms</b>\u{fffd}[2J
  3   10/s     20s  recover  invalid  too late
";
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn a_sweep_is_told_by_combination_and_by_its_capacity() {
    let text = sweep_lines(&sweep(), Paint(false), 100);
    let expected = "  sweep over rate (2): 2 combinations, 3 repeats; 0 of 6 runs are over
  `much<` of `rate` is no number

combinations (mean over runs ± 95 %)
  rate   gates                                response p99
  100/s  pass (3 of 3), 1 unfinished        1.00ms ± 100µs
  200/s  not passed (1 of 3), 1 unfinished  2.50ms ± 250µs

capacity: the highest load that passes
  with        highest that passes  lowest that does not
  everything                100/s                 200/s
";
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn the_page_of_a_study_has_its_charts_and_no_markup_of_strangers() {
    let mut report = crate::fixture::checkout();
    (report.groups, report.series, report.intervals) = Default::default();
    (report.status, report.verdict) = (RunStatus::Finished, Some(Verdict::Pass));
    (report.search, report.sweep) = (Some(Box::new(search())), Some(Box::new(sweep())));
    let page = crate::html::page(&report, None);
    assert!(page.contains("<h2>Search</h2>") && page.contains("Load of each experiment"), "{page}");
    assert!(page.contains("<h2>Sweep</h2>") && page.contains("response p99 by load"), "{page}");
    assert!(!page.contains("Nothing was measured"), "its experiments have measured: {page}");
    assert!(!page.contains("<b>72 ms") && !page.contains("much<"), "escaped throughout");
    assert!(page.contains("badge small fail\">fail"), "{page}");
    let text = summary(&report, TextOptions::default(), None);
    assert!(text.contains("search for the highest load") && text.contains("sweep over rate"), "{text}");
}
