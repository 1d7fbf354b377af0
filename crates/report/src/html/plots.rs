//! Which charts a report has, and how many points of it they show.

use nuncius_schemas::gate::Quantity;
use nuncius_schemas::report::{Interval, Report, StepReport, Summary};

use super::chart::{Axis, Chart, Line, figure};
use crate::format::count;
use crate::text::{is_planned, shown_quantities};

/// Most points of a line over time.
pub(crate) const POINTS_MAX: usize = 2_000;
/// Points of a percentile curve.
const CURVE_POINTS: usize = 240;
/// Most percentile charts.
const CURVES_MAX: usize = 24;

/// The seconds of one point.
type Bucket<'a> = &'a [Interval];

/// How a bucket becomes one value.
type Fold = fn(Bucket<'_>) -> Option<f64>;

fn largest(bucket: Bucket<'_>, of: fn(&Interval) -> Option<u64>) -> Option<f64> {
    bucket.iter().filter_map(of).max().map(|ns| ns as f64)
}

fn mean(bucket: Bucket<'_>, of: fn(&Interval) -> u64) -> Option<f64> {
    let sum: f64 = bucket.iter().map(|interval| of(interval) as f64).sum();
    (!bucket.is_empty()).then(|| sum / bucket.len() as f64)
}

/// The section with all charts.
pub(crate) fn section(report: &Report) -> String {
    let mut out = String::new();
    let mut notes = Vec::new();
    if !report.intervals.is_empty() {
        let size = report.intervals.len().div_ceil(POINTS_MAX).max(1);
        if size > 1 {
            notes.push(format!(
                "{} seconds are drawn as points of {size} seconds each: the largest value of latencies and of what is \
                 under way, the mean of rates.",
                count(report.intervals.len() as u64)
            ));
        }
        for chart in over_time(&report.intervals, size) {
            out.push_str(&figure(&chart));
        }
    }
    let several = report.groups.iter().map(|group| group.steps.len()).sum::<usize>();
    let mut curves: Vec<Chart> = Vec::new();
    for group in &report.groups {
        for step in &group.steps {
            if curves.len() < CURVES_MAX {
                curves.extend(curve(&group.name, is_planned(group), step));
            }
        }
    }
    if several > CURVES_MAX {
        notes.push(format!("Percentile curves are drawn for the first {CURVES_MAX} of {several} steps."));
    }
    for chart in &curves {
        out.push_str(&figure(chart));
    }
    if out.is_empty() {
        return String::from("<section>\n<h2>Charts</h2>\n<p class=\"note\">Nothing was measured.</p>\n</section>\n");
    }
    let notes: String = notes.iter().map(|note| format!("<p class=\"note\">{note}</p>\n")).collect();
    format!("<section>\n<h2>Charts</h2>\n{notes}<div class=\"charts\">\n{out}</div>\n</section>\n")
}

fn over_time(intervals: &[Interval], size: usize) -> Vec<Chart> {
    let buckets: Vec<Bucket<'_>> = intervals.chunks(size.max(1)).collect();
    let x: Vec<f64> = buckets.iter().filter_map(|bucket| bucket.first()).map(|i| f64::from(i.second)).collect();
    let chart = |title: &str, y_axis: Axis, lines: &[(&str, &'static str, Fold)]| Chart {
        title: title.to_owned(),
        x_title: "second of run time",
        x_axis: Axis::Seconds,
        y_axis,
        x: x.clone(),
        lines: lines
            .iter()
            .map(|(name, class, fold)| Line {
                name: (*name).to_owned(),
                class,
                values: buckets.iter().map(|bucket| fold(bucket)).collect(),
                ..Line::default()
            })
            // A line that never has a value (the lag of a closed group) is not there.
            .filter(|line| line.values.iter().any(Option::is_some))
            .collect(),
        mark: None,
    };
    let charts = vec![
        chart(
            "Requests per second",
            Axis::Count,
            &[
                ("offered", "offered", |b| mean(b, |i| i.offered)),
                ("succeeded", "succeeded", |b| mean(b, |i| i.succeeded)),
                ("failed", "failed", |b| mean(b, |i| i.failed)),
            ],
        ),
        chart(
            "Latency",
            Axis::Time,
            &[
                ("response p50", "p50", |b| largest(b, |i| i.response_p50_ns)),
                ("response p95", "p95", |b| largest(b, |i| i.response_p95_ns)),
                ("response p99", "p99", |b| largest(b, |i| i.response_p99_ns)),
                ("service p99", "service", |b| largest(b, |i| i.service_p99_ns)),
            ],
        ),
        chart(
            "Lag and blocked: before a request was sent",
            Axis::Time,
            &[
                ("lag p99 (generator)", "lag", |b| largest(b, |i| i.lag_p99_ns)),
                ("blocked p99 (no free connection)", "blocked", |b| largest(b, |i| i.blocked_p99_ns)),
            ],
        ),
        chart("Under way", Axis::Count, &[("in flight", "flight", |b| largest(b, |i| Some(i.in_flight)))]),
    ];
    charts.into_iter().filter(|chart| !chart.lines.is_empty()).collect()
}

/// log₁₀ of the odds of a quantile in (0, 1).
fn odds(quantile: f64) -> f64 {
    (quantile / (1.0 - quantile)).log10()
}

/// The percentile curves of a step: response against service, or service alone in the closed model.
fn curve(group: &str, is_planned: bool, step: &StepReport) -> Option<Chart> {
    let drawn: Vec<(Quantity, Vec<(f64, f64)>)> = shown_quantities(is_planned)
        .iter()
        .filter(|quantity| matches!(quantity, Quantity::Response | Quantity::Service))
        .filter_map(|quantity| Some((*quantity, curve_points(step.quantities.get(quantity)?))))
        .filter(|(_, points)| points.len() > 1)
        .collect();
    let ends = drawn.iter().flat_map(|(_, points)| points).map(|(x, _)| *x);
    let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    if high <= low {
        return None;
    }
    let x: Vec<f64> = (0..CURVE_POINTS).map(|i| low + (high - low) * i as f64 / (CURVE_POINTS - 1) as f64).collect();
    let lines = drawn
        .iter()
        .map(|(quantity, points)| Line {
            name: quantity.name().to_owned(),
            class: if *quantity == Quantity::Response { "p99" } else { "service" },
            values: x.iter().map(|x| value_at(points, *x)).collect(),
            ..Line::default()
        })
        .collect();
    Some(Chart {
        title: format!("Percentiles of {group}/{}", step.name),
        x_title: "percentile",
        x_axis: Axis::Odds,
        y_axis: Axis::Time,
        x,
        lines,
        mark: None,
    })
}

/// The curve as (log odds, nanoseconds), rising, from p10 on and never up to p100, which has no odds.
fn curve_points(summary: &Summary) -> Vec<(f64, f64)> {
    let last = 1.0 - 0.5 / (summary.count.max(1) as f64);
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (quantile, value_ns) in &summary.curve {
        let x = odds(quantile.clamp(0.1, last.clamp(0.5, 1.0 - 1e-9)));
        let value = *value_ns as f64;
        match points.last_mut() {
            Some(before) if x <= before.0 => before.1 = before.1.max(value),
            _ if x.is_finite() => points.push((x, value)),
            _ => {}
        }
    }
    points
}

/// The value of the curve at `x`, between two points linearly; `None` outside.
fn value_at(points: &[(f64, f64)], x: f64) -> Option<f64> {
    let after = points.partition_point(|(at, _)| *at < x);
    match (after.checked_sub(1).and_then(|before| points.get(before)), points.get(after)) {
        (Some(before), Some(after)) => Some(before.1 + (after.1 - before.1) * (x - before.0) / (after.0 - before.0)),
        // The first point itself, and the last within rounding.
        (None, Some(first)) if (first.0 - x).abs() < 1e-9 => Some(first.1),
        (Some(last), None) if (last.0 - x).abs() < 1e-9 => Some(last.1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_several_seconds_keep_the_worst_latency_and_the_mean_rate() {
        let intervals: Vec<Interval> = (0..10u32)
            .map(|second| Interval {
                second,
                offered: u64::from(second),
                response_p99_ns: Some(u64::from(second) * 1_000),
                ..Interval::default()
            })
            .collect();
        let charts = over_time(&intervals, 5);
        assert_eq!(charts[0].x, [0.0, 5.0]);
        assert_eq!(charts[0].lines[0].values, [Some(2.0), Some(7.0)]);
        assert_eq!(charts[1].lines[0].values, [Some(4_000.0), Some(9_000.0)]);
    }

    #[test]
    fn percentile_curves_end_before_p100_and_are_not_extrapolated() {
        let mut summary = crate::fixture::summary(1_000_000, 0);
        summary.count = 1_000;
        summary.curve = vec![(0.0, 1), (0.5, 10), (0.99, 20), (1.0, 30)];
        let points = curve_points(&summary);
        assert_eq!(points.len(), 4);
        assert!((points[3].0 - odds(0.9995)).abs() < 1e-9);
        assert_eq!(value_at(&points, points[1].0), Some(10.0));
        assert_eq!(value_at(&points, 100.0), None);
    }
}
