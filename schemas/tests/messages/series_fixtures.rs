//! The same for what several runs say together: comparisons, searches and sweeps.

use std::collections::BTreeMap;

use nuncius_schemas::comparison::{
    ComparablePart, ComparableRow, ComparableRun, ComparedFigure, Comparison, ComparisonVerdict, DifferenceEstimate,
    FigureComparison, PartComparison, PartName,
};
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::run::Verdict;
use nuncius_schemas::search::{
    Load, SearchBound, SearchEnding, SearchFinding, SearchOutcome, SearchProbe, SearchPurpose, SearchRecord,
    SearchReport,
};
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_schemas::sweep::{
    SweepCapacity, SweepCell, SweepCurve, SweepDemand, SweepEffect, SweepEffects, SweepEstimate, SweepPoint,
    SweepReport, SweepRun,
};
use nuncius_schemas::units::HumanDuration;

pub(crate) fn experiment_search() -> ExperimentSpec {
    serde_json::from_str(
        r#"{
        "name": "capacity", "gates": ["p99(response) < 50ms"],
        "groups": [{"name": "pay", "target": "http://shop/", "arrivals": "poisson"},
                   {"name": "look", "target": "http://shop/", "rate": "5/s"}],
        "search": {"group": "pay", "rate": {"from": "50/s", "to": "5000/s", "start": "100/s"}, "precision": "2.5%",
                   "growth": 1.5, "spacing": "linear", "probe": "10s", "longest": "1m", "settle": "3s",
                   "confirm": {"probes": 5, "pass": 4, "probe": "30s"},
                   "recover": {"share": "20%", "probe": "4s", "at_most": "1m"},
                   "at_most": {"probes": 80, "time": "3h", "invalid": 3}}}"#,
    )
    .unwrap()
}

pub(crate) fn experiment_sweep() -> ExperimentSpec {
    serde_json::from_str(
        r#"{
        "name": "sizes",
        "groups": [{"name": "shop", "target": "http://shop/", "duration": "10s", "variables": {"size": 1},
                    "steps": [{"get": "/{{ size }}"}]}],
        "sweep": {"factors": {"rate": [10, "20/s"], "size": ["small", true, 2.5],
                              "both": {"fields": ["drain", "lag_limit"], "values": ["1s", "2s"]}},
                  "repeats": 2, "order": "written", "blocks": false, "seed": 9, "load": "rate", "resource": "size",
                  "at_most": 100}}"#,
    )
    .unwrap()
}

pub(crate) fn comparison() -> Comparison {
    let estimate = |value: f64| DifferenceEstimate { value, lower: Some(value / 2.0), upper: None };
    Comparison {
        confidence: 0.95,
        least_relative: 0.0625,
        same_schedule: true,
        comparisons: 6,
        verdict: ComparisonVerdict::Different,
        parts: vec![PartComparison {
            name: PartName { group: "shop".into(), step: Some("pay".into()) },
            figures: vec![
                FigureComparison {
                    figure: ComparedFigure::P99,
                    quantity: Some(Quantity::Response),
                    verdict: ComparisonVerdict::Different,
                    baseline: Some(1e6),
                    candidate: Some(1.25e6),
                    difference: Some(estimate(0.25e6)),
                    relative: Some(estimate(0.25)),
                    interval_confidence: Some(0.9875),
                    p_value: Some(0.0009765625),
                    adjusted_p_value: Some(0.005859375),
                    detectable: Some(1e5),
                    detectable_relative: Some(0.125),
                    reason: "1.000 ms → 1.250 ms: +25.0 %".into(),
                },
                FigureComparison {
                    figure: ComparedFigure::Failures,
                    quantity: None,
                    verdict: ComparisonVerdict::TooLittleData,
                    baseline: None,
                    candidate: None,
                    difference: None,
                    relative: None,
                    interval_confidence: None,
                    p_value: None,
                    adjusted_p_value: None,
                    detectable: None,
                    detectable_relative: None,
                    reason: "no request ended".into(),
                },
            ],
        }],
        only_in_baseline: vec![PartName { group: "old".into(), step: None }],
        only_in_candidate: vec![PartName { group: "new".into(), step: None }],
    }
}

pub(crate) fn comparable_run() -> ComparableRun {
    let row = |succeeded: u64| ComparableRow {
        completed: vec![1, 0, 171, 255],
        censored: Vec::new(),
        succeeded,
        failed: 2,
        offered_ns: 2_000_000_000,
    };
    ComparableRun {
        experiment: "nightly-7".into(),
        parts: vec![ComparablePart {
            name: PartName { group: "shop".into(), step: Some("pay".into()) },
            quantity: Quantity::Response,
            row_seconds: 2,
            last_row_seconds: 1,
            seconds_without_histogram: 3,
            rows: vec![row(200), row(101)],
        }],
    }
}

pub(crate) fn search_report() -> SearchReport {
    let rate = |text: &str| Load::Rate(text.parse().unwrap());
    SearchReport {
        id: "s-1".into(),
        started_unix_ms: 1_700_000_000_000,
        search: experiment_search().search.unwrap(),
        history: vec![SearchRecord {
            probe: SearchProbe {
                number: 7,
                load: rate("904/s"),
                length: HumanDuration::from_secs(40),
                settle: HumanDuration::from_secs(2),
                purpose: SearchPurpose::Confirm,
            },
            outcome: SearchOutcome::Pass,
            reason: "p99(response) is 40.00 ms".into(),
            took: HumanDuration::from_millis(42_125),
        }],
        finding: Some(SearchFinding {
            ending: SearchEnding::Found,
            highest_passed: Some(SearchBound {
                load: rate("904/s"),
                is_confirmed: true,
                passed: 2,
                of: 2,
                confidence: Some(0.75),
            }),
            lowest_not_passed: Some(SearchBound {
                load: Load::Users(12),
                is_confirmed: false,
                passed: 0,
                of: 0,
                confidence: None,
            }),
            probes: 15,
            time: HumanDuration::from_secs(451),
            reason: "904/s passes (2 of 2 probes passed)".into(),
        }),
    }
}

pub(crate) fn sweep_report() -> SweepReport {
    let estimate = SweepEstimate { mean: 5.0, lower: Some(4.0), upper: Some(6.0), deviation: Some(0.5), runs: 3 };
    let figures = BTreeMap::from([("response_p99_ns".to_owned(), estimate)]);
    let levels = BTreeMap::from([("size".to_owned(), "small".to_owned())]);
    SweepReport {
        id: "w-1".into(),
        started_unix_ms: 1_700_000_000_000,
        sweep: experiment_sweep().sweep.unwrap(),
        confidence: 0.95,
        runs: vec![SweepRun {
            combination: 1,
            repeat: 2,
            verdict: Some(Verdict::Pass),
            figures: BTreeMap::from([("response_p99_ns".to_owned(), 5.0)]),
        }],
        cells: vec![SweepCell {
            combination: 1,
            levels: BTreeMap::from([("rate".to_owned(), "10".to_owned()), ("size".to_owned(), "small".to_owned())]),
            passed: 3,
            failed: 1,
            undetermined: 1,
            invalid: 1,
            unfinished: 1,
            figures: figures.clone(),
        }],
        effects: vec![SweepEffects {
            figure: "response_p99_ns".into(),
            mean: 5.5,
            effects: vec![SweepEffect {
                factor: "rate".into(),
                value: "10".into(),
                mean: 5.0,
                effect: -0.5,
                lower: Some(-0.75),
                upper: None,
            }],
            by_blocks: true,
        }],
        curves: vec![SweepCurve {
            levels: levels.clone(),
            points: vec![SweepPoint {
                load: 10.0,
                value: "10".into(),
                combination: 1,
                passes: Some(true),
                passed: 3,
                judged: 5,
                figures,
            }],
        }],
        capacity: vec![SweepCapacity {
            levels: levels.clone(),
            highest_passed: Some("10".into()),
            lowest_not_passed: None,
            is_inverted: true,
        }],
        demand: vec![SweepDemand {
            levels: BTreeMap::new(),
            load: "10".into(),
            least_passed: Some("small".into()),
            most_not_passed: None,
            is_inverted: false,
        }],
        problem: Some("none".into()),
    }
}
