//! The two charts of a scaling experiment.

use nuncius_schemas::scaling::{ScalingEstimate, ScalingReport, ScalingStep};

use super::{STEPS_MAX, workers_text};
use crate::html::chart::{Axis, Chart, Line, figure};

/// Points of the curve of the law.
const CURVE_POINTS: u32 = 200;
/// How far above everything else the ideal line is drawn, as a multiple: beyond it would flatten the rest.
const IDEAL_ABOVE: f64 = 1.25;

/// Both charts, or nothing when no step had throughput.
pub(super) fn charts(report: &ScalingReport) -> String {
    let steps: Vec<&ScalingStep> = report.steps.iter().take(STEPS_MAX).collect();
    if steps.iter().all(|step| step.jobs_per_second.is_none()) {
        return String::new();
    }
    format!("{}{}", figure(&throughput(report, &steps)), figure(&efficiency(report, &steps)))
}

/// Workers and throughput per worker, in jobs per second, of the step that others are compared with.
fn baseline(steps: &[&ScalingStep]) -> Option<(f64, f64)> {
    steps.iter().find_map(|step| {
        let (workers, rate) = (f64::from(step.workers), step.jobs_per_second?.value);
        (rate > 0.0 && rate.is_finite() && workers > 0.0).then(|| (workers, rate / workers))
    })
}

fn throughput(report: &ScalingReport, steps: &[&ScalingStep]) -> Chart {
    let x: Vec<f64> = workers(steps);
    let mut lines = vec![measured("measured", steps, |step| step.jobs_per_second)];
    if let Some(fit) = &report.fit {
        let curve = curve(&x, |n| fit.jobs_per_second(n));
        let values = x.iter().map(|n| Some(fit.jobs_per_second(*n))).collect();
        lines.push(Line { name: "scalability law".to_owned(), class: "fitted", values, curve, ..Line::default() });
    }
    if let Some((_, per_worker)) = baseline(steps) {
        let drawn =
            lines.iter().flat_map(|line| line.curve.iter().map(|(_, y)| *y).chain(line.bars.iter().map(|b| b.2)));
        let highest = drawn.filter(|y| y.is_finite()).fold(per_worker, f64::max);
        let last = x.iter().copied().fold(0.0, f64::max).min(highest * IDEAL_ABOVE / per_worker);
        lines.push(Line {
            name: "ideal: as each worker of the first step".to_owned(),
            class: "ideal",
            values: x.iter().map(|n| Some(n * per_worker)).collect(),
            curve: vec![(0.0, 0.0), (last, last * per_worker)],
            ..Line::default()
        });
    }
    Chart {
        title: "Throughput, jobs per second (bars: 95 %)".to_owned(),
        x_title: "workers",
        x_axis: Axis::Workers,
        y_axis: Axis::Amount,
        x,
        lines,
        mark: report.knee.map(|knee| (f64::from(knee), format!("knee: {}", workers_text(knee)))),
        limits: Vec::new(),
    }
}

fn efficiency(report: &ScalingReport, steps: &[&ScalingStep]) -> Chart {
    let x: Vec<f64> = workers(steps);
    let mut lines = vec![measured("measured", steps, |step| step.efficiency)];
    if let (Some(fit), Some((_, per_worker))) = (&report.fit, baseline(steps)) {
        let share = |n: f64| fit.jobs_per_second(n) / n / per_worker;
        lines.push(Line {
            name: "scalability law".to_owned(),
            class: "fitted",
            values: x.iter().map(|n| Some(share(*n))).collect(),
            curve: curve(&x, share),
            ..Line::default()
        });
    }
    let judged_up_to = report.judge_up_to.map_or(f64::INFINITY, f64::from);
    let last = x.iter().copied().fold(0.0, f64::max).min(judged_up_to);
    lines.push(Line {
        name: "least that was asked for".to_owned(),
        class: "least",
        values: x.iter().map(|n| (*n <= judged_up_to).then_some(report.min_efficiency)).collect(),
        curve: vec![(0.0, report.min_efficiency), (last, report.min_efficiency)],
        ..Line::default()
    });
    Chart {
        title: "Efficiency: throughput per worker against the first step (bars: 95 %)".to_owned(),
        x_title: "workers",
        x_axis: Axis::Workers,
        y_axis: Axis::Amount,
        x,
        lines,
        mark: None,
        limits: Vec::new(),
    }
}

fn workers(steps: &[&ScalingStep]) -> Vec<f64> {
    steps.iter().map(|step| f64::from(step.workers)).collect()
}

/// What was measured, as dots with error bars.
fn measured(name: &str, steps: &[&ScalingStep], of: fn(&ScalingStep) -> Option<ScalingEstimate>) -> Line {
    let bar = |step: &&ScalingStep| {
        let estimate = of(step)?;
        let (low, high) = (estimate.lower?, estimate.upper?);
        (low < high).then(|| (f64::from(step.workers), low.max(0.0), high))
    };
    Line {
        name: name.to_owned(),
        class: "measured",
        values: steps.iter().map(|step| of(step).map(|estimate| estimate.value)).collect(),
        bars: steps.iter().filter_map(bar).collect(),
        dots: true,
        ..Line::default()
    }
}

/// Points of `law` from the fewest workers to the most.
fn curve(x: &[f64], law: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    let (low, high) = x.iter().fold((f64::INFINITY, 0.0f64), |(low, high), n| (low.min(*n), high.max(*n)));
    let at = |point: u32| low + (high - low) * f64::from(point) / f64::from(CURVE_POINTS);
    (0..=CURVE_POINTS).map(at).map(|n| (n, law(n))).filter(|(_, y)| y.is_finite() && *y >= 0.0).collect()
}
