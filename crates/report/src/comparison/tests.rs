use nuncius_schemas::gate::Quantity;

use super::*;

fn estimate(value: f64) -> Option<DifferenceEstimate> {
    Some(DifferenceEstimate { value, lower: Some(value / 2.0), upper: None })
}

fn figure(figure: ComparedFigure, verdict: ComparisonVerdict) -> FigureComparison {
    FigureComparison {
        figure,
        quantity: figure.is_latency().then_some(Quantity::Response),
        verdict,
        baseline: None,
        candidate: None,
        difference: None,
        relative: None,
        interval_confidence: None,
        p_value: None,
        adjusted_p_value: None,
        detectable: None,
        detectable_relative: None,
        reason: "baseline: 3 seconds, at least 8 are needed".to_owned(),
    }
}

fn compared() -> ComparedRuns {
    let side = |id: &str, verdict| ComparedSide {
        id: id.to_owned(),
        name: id.to_owned(),
        status: RunStatus::Finished,
        verdict: Some(verdict),
    };
    let p99 = FigureComparison {
        baseline: Some(1e6),
        candidate: Some(1.25e6),
        difference: estimate(0.25e6),
        relative: estimate(0.25),
        detectable_relative: Some(0.125),
        ..figure(ComparedFigure::P99, ComparisonVerdict::Different)
    };
    let failures = FigureComparison {
        baseline: Some(0.002),
        candidate: Some(0.001),
        difference: estimate(-0.001),
        relative: estimate(-0.5),
        detectable: Some(0.004),
        ..figure(ComparedFigure::Failures, ComparisonVerdict::NotShownToDiffer)
    };
    let rate = figure(ComparedFigure::Rate, ComparisonVerdict::TooLittleData);
    ComparedRuns {
        baseline: side("nightly-6", Verdict::Pass),
        candidate: side("nightly-7\u{1b}[2J", Verdict::Invalid),
        spec_differences: vec!["groups[0].rate: 100/s → 120/s".to_owned()],
        comparison: Comparison {
            confidence: 0.95,
            least_relative: 0.02,
            same_schedule: false,
            comparisons: 2,
            verdict: ComparisonVerdict::Different,
            parts: vec![PartComparison {
                name: PartName { group: "shop".to_owned(), step: Some("pay".to_owned()) },
                figures: vec![p99, failures, rate],
            }],
            only_in_baseline: Vec::new(),
            only_in_candidate: vec![PartName { group: "new".to_owned(), step: None }],
        },
    }
}

#[test]
fn a_comparison_says_each_figure_with_its_bounds_and_what_could_have_been_seen() {
    let text = text(&compared(), TextOptions::default());
    let expected = "\
DIFFERENT  nightly-6 → nightly-7\u{fffd}[2J
  2 comparisons share a confidence of 95%: two runs of the same truth are told to differ in any of
  them in at most 5% of cases; differences up to 2% are none
  candidate nightly-7\u{fffd}[2J is INVALID: what it shows of the target is in doubt

their specifications differ in
  groups[0].rate: 100/s → 120/s

shop / pay, response time
            baseline  candidate  difference          from … to  seen from
  p99         1.00ms     1.25ms      +25.0%   +12.5% … unknown      12.5%  different
  failures     0.20%      0.10%      −0.10%  −0.050% … unknown      0.40%  not shown to differ
  rate             -          -           -                  -          -  too little data
  rate: baseline: 3 seconds, at least 8 are needed

only in the candidate: new, whole iterations
";
    assert_eq!(text, expected, "\n{text}");
}
