//! Charts over time, by group and step: each series has its own, behind a choice of which the first is open.

use nuncius_schemas::gate::{Gate, GateMetric, Quantity};
use nuncius_schemas::report::{Interval, Report, SeriesColumns, SeriesReport};

use super::chart::{Axis, Chart, Limit, Line, figure};
use super::escape::escape;
use super::heat;
use crate::format::count;

/// Most series with charts.
const SERIES_MAX: usize = 16;
/// Points of all series together: each chart gets its part of them.
const POINTS_ALL: usize = 2_400;
/// Fewest and most points of a line.
const POINTS_EACH: (usize, usize) = (150, 1_200);
/// Most lines of statuses, and of kinds of failure.
const KINDS_MAX: usize = 8;
const SECOND_NS: f64 = 1e9;

/// Colours of lines that have no meaning of their own.
const CLASSES: [&str; KINDS_MAX] = ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"];

/// All series, each with its charts; and what has to be said of them.
pub(crate) fn all(report: &Report) -> (String, Vec<String>) {
    let of_old = [of_intervals(&report.intervals)];
    let series: &[SeriesReport] =
        if report.series.is_empty() && !report.intervals.is_empty() { &of_old } else { &report.series };
    let gates = report.spec.as_ref().map(|spec| spec.gates.as_slice()).unwrap_or_default();
    let drawn: Vec<&SeriesReport> = series.iter().filter(|one| rows(one) > 0).collect();
    let points = (POINTS_ALL / drawn.len().clamp(1, SERIES_MAX)).clamp(POINTS_EACH.0, POINTS_EACH.1);
    let mut out = String::new();
    let mut notes = Vec::new();
    for (index, one) in drawn.iter().take(SERIES_MAX).enumerate() {
        let size = rows(one).div_ceil(points).max(1);
        let seconds = size * one.row_seconds.max(1) as usize;
        if seconds > 1 && index == 0 {
            notes.push(format!(
                "{} seconds are drawn as points of {seconds} seconds each: the largest value of latencies and of what \
                 is under way, the mean of rates.",
                count(rows(one) as u64 * u64::from(one.row_seconds.max(1)))
            ));
        }
        let charts: String = charts(one, gates, size).iter().map(figure).collect();
        let heat = one.heat_map.as_ref().map(heat::figure).unwrap_or_default();
        out.push_str(&format!(
            "<details class=\"series\"{}>\n<summary>{}</summary>\n<div class=\"charts\">\n{charts}{heat}</div>\n</details>\n",
            if index == 0 { " open" } else { "" },
            escape(&name(one), 200)
        ));
    }
    let left_out = drawn.len().saturating_sub(SERIES_MAX) + report.series_left_out as usize;
    if left_out > 0 {
        notes.push(format!(
            "Charts over time of {left_out} further steps are not shown; the exports have every second."
        ));
    }
    (out, notes)
}

/// What a series is of.
fn name(series: &SeriesReport) -> String {
    match &series.step {
        Some(step) => format!("{} / {step}: requests", series.group),
        None => format!("{}: whole iterations", series.group),
    }
}

/// Rows that are whole: the last second of a run may be a piece, whose rates mean nothing.
fn rows(series: &SeriesReport) -> usize {
    let columns = &series.columns;
    let whole_ns = u64::from(series.row_seconds.max(1)) * 1_000_000_000;
    let is_piece = columns.length_ns.last().is_some_and(|length_ns| *length_ns < whole_ns);
    if is_piece && columns.second.len() > 1 { columns.second.len() - 1 } else { columns.second.len() }
}

/// Seconds of the first version of reports, which told groups and steps apart nowhere.
fn of_intervals(intervals: &[Interval]) -> SeriesReport {
    let each = |of: fn(&Interval) -> u64| intervals.iter().map(of).collect::<Vec<u64>>();
    let time = |of: fn(&Interval) -> Option<u64>| intervals.iter().map(of).collect::<Vec<Option<u64>>>();
    let seconds = vec![1_000_000_000; intervals.len()];
    SeriesReport {
        group: "all groups".to_owned(),
        step: None,
        row_seconds: 1,
        columns: SeriesColumns {
            second: intervals.iter().map(|interval| interval.second).collect(),
            length_ns: seconds.clone(),
            offered_ns: seconds,
            offered: each(|i| i.offered),
            succeeded: each(|i| i.succeeded),
            failed: each(|i| i.failed),
            in_flight: each(|i| i.in_flight),
            response_p50_ns: time(|i| i.response_p50_ns),
            response_p95_ns: time(|i| i.response_p95_ns),
            response_p99_ns: time(|i| i.response_p99_ns),
            service_p50_ns: time(|i| i.service_p50_ns),
            service_p99_ns: time(|i| i.service_p99_ns),
            blocked_p99_ns: time(|i| i.blocked_p99_ns),
            lag_p99_ns: time(|i| i.lag_p99_ns),
            ..SeriesColumns::default()
        },
        ..SeriesReport::default()
    }
}

/// The rows of a series, folded to points of `size` rows.
struct Points<'a> {
    columns: &'a SeriesColumns,
    rows: usize,
    size: usize,
}

impl Points<'_> {
    /// Sums per second of the time in `over_ns`; `None` where that is none.
    fn per_second(&self, counts: &[u64], over_ns: &[u64]) -> Vec<Option<f64>> {
        let counts = counts.get(..self.rows.min(counts.len())).unwrap_or_default();
        counts
            .chunks(self.size)
            .zip(over_ns.chunks(self.size))
            .map(|(counts, lengths)| {
                let (sum, seconds) = (sum(counts), sum(lengths) / SECOND_NS);
                (seconds > 0.0).then(|| sum / seconds)
            })
            .collect()
    }

    fn largest(&self, values: &[Option<u64>]) -> Vec<Option<f64>> {
        let values = values.get(..self.rows.min(values.len())).unwrap_or_default();
        values.chunks(self.size).map(|chunk| chunk.iter().flatten().max().map(|ns| *ns as f64)).collect()
    }

    fn failed_percent(&self) -> Vec<Option<f64>> {
        let columns = self.columns;
        let failed = columns.failed.get(..self.rows.min(columns.failed.len())).unwrap_or_default();
        failed
            .chunks(self.size)
            .zip(columns.succeeded.chunks(self.size))
            .map(|(failed, succeeded)| {
                let ended = sum(failed) + sum(succeeded);
                (ended > 0.0).then(|| sum(failed) * 100.0 / ended)
            })
            .collect()
    }
}

fn sum(numbers: &[u64]) -> f64 {
    numbers.iter().map(|number| *number as f64).sum()
}

/// The charts of one series.
fn charts(series: &SeriesReport, gates: &[Gate], size: usize) -> Vec<Chart> {
    let columns = &series.columns;
    let points = Points { columns, rows: rows(series), size };
    let x: Vec<f64> = columns.second.iter().take(points.rows).step_by(size).map(|second| f64::from(*second)).collect();
    let chart = |title: String, y_axis: Axis, lines: Vec<(String, &'static str, Vec<Option<f64>>)>| Chart {
        title,
        x_title: "second of run time",
        x_axis: Axis::Seconds,
        y_axis,
        x: x.clone(),
        // A line that never has a value (the lag of a closed group) is not there.
        lines: lines
            .into_iter()
            .filter(|(_, _, values)| values.iter().any(Option::is_some))
            .map(|(name, class, values)| Line { name, class, values, ..Line::default() })
            .collect(),
        ..Chart::default()
    };
    let line = |name: &str, class: &'static str, values: Vec<Option<f64>>| (name.to_owned(), class, values);
    let what = if series.step.is_some() { "Requests" } else { "Iterations" };
    let limits = |wanted: &dyn Fn(GateMetric) -> bool, scale: f64| limits(series, gates, wanted, scale);
    let quantity_limits = |quantities: &[Quantity]| {
        limits(
            &|metric| match metric {
                GateMetric::Quantile { quantity, .. } | GateMetric::Max(quantity) => quantities.contains(&quantity),
                GateMetric::Failures | GateMetric::Censored | GateMetric::Rate => false,
            },
            1.0,
        )
    };
    let (length, offered) = (&columns.length_ns, &columns.offered_ns);
    let mut charts = vec![
        Chart {
            limits: limits(&|metric| metric == GateMetric::Rate, 1.0),
            ..chart(
                format!("{what} per second"),
                Axis::Count,
                vec![
                    line("scheduled", "scheduled", points.per_second(&columns.scheduled, offered)),
                    line("offered", "offered", points.per_second(&columns.offered, offered)),
                    line("succeeded", "succeeded", points.per_second(&columns.succeeded, length)),
                    line("failed", "failed", points.per_second(&columns.failed, length)),
                ],
            )
        },
        Chart {
            limits: quantity_limits(&[Quantity::Response, Quantity::Service]),
            ..chart(
                "Latency".to_owned(),
                Axis::Time,
                vec![
                    line("response p50", "p50", points.largest(&columns.response_p50_ns)),
                    line("response p95", "p95", points.largest(&columns.response_p95_ns)),
                    line("response p99", "p99", points.largest(&columns.response_p99_ns)),
                    line("service p50", "service50", points.largest(&columns.service_p50_ns)),
                    line("service p99", "service", points.largest(&columns.service_p99_ns)),
                ],
            )
        },
        Chart {
            limits: limits(&|metric| metric == GateMetric::Failures, 100.0),
            ..chart(
                "Failures, percent of what ended".to_owned(),
                Axis::Amount,
                vec![line("failed", "failed", points.failed_percent())],
            )
        },
    ];
    let kinds = series.failures.iter().filter(|kind| kind.counts.iter().any(|count| *count > 0));
    // The first colour is that of success.
    let kinds = kinds.zip(CLASSES.into_iter().skip(1));
    let kinds = kinds.map(|(kind, class)| {
        let status = if kind.status == 0 { String::new() } else { format!(" {}", kind.status) };
        (format!("{}{status}", kind.kind.name()), class, points.per_second(&kind.counts, length))
    });
    charts.push(chart("Failures per second, by kind".to_owned(), Axis::Amount, kinds.collect()));
    let statuses = series.statuses.iter().filter(|one| one.counts.iter().any(|count| *count > 0)).zip(CLASSES);
    let statuses = statuses.map(|(one, class)| (one.status.to_string(), class, points.per_second(&one.counts, length)));
    charts.push(chart("Answers per second, by status".to_owned(), Axis::Count, statuses.collect()));
    charts.push(Chart {
        limits: quantity_limits(&[Quantity::Lag, Quantity::Blocked]),
        ..chart(
            "Lag and blocked: before a request was sent".to_owned(),
            Axis::Time,
            vec![
                line("lag p99 (generator)", "lag", points.largest(&columns.lag_p99_ns)),
                line("blocked p99 (no free connection)", "blocked", points.largest(&columns.blocked_p99_ns)),
            ],
        )
    });
    let in_flight: Vec<Option<u64>> = columns.in_flight.iter().map(|count| Some(*count)).collect();
    charts.push(chart(
        "Under way".to_owned(),
        Axis::Count,
        vec![line("in flight", "flight", points.largest(&in_flight))],
    ));
    if columns.bytes_sent.iter().chain(&columns.bytes_received).any(|bytes| *bytes > 0) {
        charts.push(chart(
            "Bytes per second".to_owned(),
            Axis::Bytes,
            vec![
                line("received", "p95", points.per_second(&columns.bytes_received, length)),
                line("sent", "service", points.per_second(&columns.bytes_sent, length)),
            ],
        ));
    }
    charts.retain(|chart| !chart.lines.is_empty());
    charts
}

/// Limits of the gates that look at this series, in the unit of the chart.
fn limits(series: &SeriesReport, gates: &[Gate], wanted: &dyn Fn(GateMetric) -> bool, scale: f64) -> Vec<Limit> {
    gates
        .iter()
        .filter(|gate| wanted(gate.expression.metric))
        .filter(|gate| gate.group.as_ref().is_none_or(|group| *group == series.group))
        .filter(|gate| gate.step.is_none() || gate.step == series.step)
        .map(|gate| Limit { value: gate.expression.limit * scale, name: gate.to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series() -> SeriesReport {
        let mut series = crate::fixture::series("browse", "get", true);
        series.columns.response_p99_ns = (0..60).map(|second| Some(second * 1_000)).collect();
        series.columns.offered = (0..60).collect();
        series
    }

    #[test]
    fn points_of_several_seconds_keep_the_worst_latency_and_the_mean_rate_and_pieces_are_not_drawn() {
        let charts = charts(&series(), &[], 10);
        assert_eq!(charts[0].x, [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        let offered = charts[0].lines.iter().find(|line| line.name == "offered").unwrap();
        assert_eq!(offered.values[1], Some(14.5));
        // The last second was half a second long.
        let p99 = charts[1].lines.iter().find(|line| line.name == "response p99").unwrap();
        assert_eq!(p99.values.last(), Some(&Some(58_000.0)));
    }

    #[test]
    fn a_limit_is_drawn_where_its_gate_looks_and_nowhere_else() {
        let gate = |text: &str| serde_json::from_value(text.into()).unwrap();
        let gates: Vec<Gate> = ["p99(response) < 250ms", "failures < 1%", "rate > 900/s", "p99(lag) < 5ms"]
            .into_iter()
            .map(gate)
            .collect();
        let found: Vec<(String, f64)> = charts(&series(), &gates, 1)
            .into_iter()
            .flat_map(|chart| chart.limits.into_iter().map(move |limit| (chart.title.clone(), limit.value)))
            .collect();
        let expected = [
            ("Requests per second", 900.0),
            ("Latency", 250e6),
            ("Failures, percent of what ended", 1.0),
            ("Lag and blocked: before a request was sent", 5e6),
        ];
        assert_eq!(found, expected.map(|(title, value)| (title.to_owned(), value)));
        let of_another = Gate { group: Some("other".to_owned()), ..gates[0].clone() };
        assert!(charts(&series(), &[of_another], 1).iter().all(|chart| chart.limits.is_empty()));
    }

    #[test]
    fn a_report_of_the_first_version_still_has_its_charts() {
        let mut report = crate::fixture::checkout();
        report.series.clear();
        let (html, _) = all(&report);
        assert!(html.contains("all groups: whole iterations") && html.contains("Iterations per second"), "{html}");
    }
}
