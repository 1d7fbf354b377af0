//! One line chart as inline SVG with the data for its read-out.

use std::fmt::Write as _;

use super::escape::escape;
use crate::format::{bytes, count, duration_f64};

pub(super) const WIDTH: f64 = 640.0;
pub(super) const HEIGHT: f64 = 270.0;
pub(super) const LEFT: f64 = 68.0;
pub(super) const RIGHT: f64 = 14.0;
pub(super) const TOP: f64 = 12.0;
pub(super) const BOTTOM: f64 = 40.0;

/// How many times the smallest length of time on an axis the largest is, at most.
const TIME_SPAN_MAX: f64 = 1e5;
/// Lengths of time below this are not told apart, in nanoseconds.
const TIME_LEAST_NS: f64 = 1e3;

/// What an axis counts and how it is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Axis {
    /// Seconds of run time, evenly.
    #[default]
    Seconds,
    /// Workers from zero, evenly, with room after the last.
    Workers,
    /// Experiments by their number, evenly.
    Experiments,
    /// Loads from zero, evenly.
    Load,
    /// log₁₀ of the odds q / (1 − q) of a quantile, labelled as percentiles.
    Odds,
    /// Numbers from zero to 1 or more, evenly.
    Count,
    /// Numbers from zero that may all be small, evenly.
    Amount,
    /// Bytes from zero, evenly.
    Bytes,
    /// Nanoseconds, logarithmically.
    Time,
}

/// A value that must be kept to, drawn across the chart.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Limit {
    pub(crate) value: f64,
    /// The gate that says so.
    pub(crate) name: String,
}

/// A line: one value for each x of its chart, `None` where there is none.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// Class of the style sheet that gives the colour.
    pub(crate) class: &'static str,
    pub(crate) values: Vec<Option<f64>>,
    /// The points of a curve that is drawn instead of the values, which are then only read out; empty: the values are.
    pub(crate) curve: Vec<(f64, f64)>,
    /// Lower and upper ends of error bars: x, low, high.
    pub(crate) bars: Vec<(f64, f64, f64)>,
    /// The values are dots of their own.
    pub(crate) dots: bool,
}

/// A chart; `x` rises.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x_title: &'static str,
    pub(crate) x_axis: Axis,
    pub(crate) y_axis: Axis,
    pub(crate) x: Vec<f64>,
    pub(crate) lines: Vec<Line>,
    /// A place on the x axis and what is there.
    pub(crate) mark: Option<(f64, String)>,
    pub(crate) limits: Vec<Limit>,
}

/// The smallest and largest, `None` of nothing.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|v| v.is_finite()).fold(None, |range, v| match range {
        None => Some((v, v)),
        Some((low, high)) => Some((low.min(v), high.max(v))),
    })
}

/// About `wanted` even divisions of `low`..=`high`, `least` or more apart: 1, 2 or 5 times a power of ten.
pub(super) fn even_ticks(low: f64, high: f64, wanted: f64, least: f64) -> Vec<f64> {
    let raw = ((high - low) / wanted).max(least);
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= raw).unwrap_or(raw);
    let first = (low / step).ceil() as i64;
    (first..first + 64).map(|i| i as f64 * step).take_while(|v| *v <= high + step * 1e-6).collect()
}

/// 1, 2 and 5 times the powers of ten around `low`..=`high`.
fn decade_steps(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    (first..=last).flat_map(|power| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(power))).collect()
}

/// The two ends of the y axis and its divisions.
fn y_scale(axis: Axis, values: Option<(f64, f64)>) -> (f64, f64, Vec<f64>) {
    if axis == Axis::Amount {
        // The largest number would overflow with the room above it.
        let high = values.map_or(1.0, |(_, high)| high).min(1e300);
        let top = if high > 0.0 { high * 1.12 } else { 1.0 };
        return (0.0, top, even_ticks(0.0, top, 5.0, f64::MIN_POSITIVE));
    }
    if axis == Axis::Bytes {
        let high = values.map_or(1.0, |(_, high)| high).clamp(1.0, 1e18) * 1.12;
        // Round numbers of the largest binary unit below.
        let unit = 1024f64.powf((high.log2() / 10.0).floor());
        let ticks = even_ticks(0.0, high / unit, 5.0, 1e-3).into_iter().map(|tick| tick * unit).collect();
        return (0.0, high, ticks);
    }
    if axis != Axis::Time {
        let high = values.map_or(1.0, |(_, high)| high).max(1.0);
        let ticks = even_ticks(0.0, high * 1.12, 5.0, 1e-3);
        return (0.0, high * 1.12, ticks);
    }
    let (low, high) = values.map_or((1e6, 1e7), |(low, high)| (low.max(1.0), high.max(1.0)));
    // What is next to nothing beside the rest lies on the axis, and does not take decades of it.
    let low = low.max(high / TIME_SPAN_MAX).max(TIME_LEAST_NS.min(high));
    let steps = decade_steps(low, high * 2.0);
    let bottom = steps.iter().copied().rfind(|s| *s <= low).unwrap_or(low);
    let top = steps.iter().copied().find(|s| *s > high).unwrap_or(high * 2.0);
    let mut ticks: Vec<f64> = steps.into_iter().filter(|s| *s >= bottom && *s <= top).collect();
    if ticks.len() > 8 {
        ticks.retain(|tick| (tick.log10() - tick.log10().round()).abs() < 1e-9);
    }
    (bottom, top, ticks)
}

/// The two ends of the x axis and its divisions with their labels.
fn x_scale(axis: Axis, values: Option<(f64, f64)>) -> (f64, f64, Vec<(f64, String)>) {
    let (low, high) = values.unwrap_or((0.0, 1.0));
    let high = if high > low { high } else { low + 1.0 };
    if axis == Axis::Odds {
        let ticks = [0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999]
            .into_iter()
            .map(|q: f64| ((q / (1.0 - q)).log10(), format!("{}", (q * 1e8).round() / 1e6)))
            .filter(|(x, _)| *x >= low - 1e-9 && *x <= high + 1e-9)
            .collect();
        return (low, high, ticks);
    }
    let (low, high) = if matches!(axis, Axis::Workers | Axis::Load) { (0.0, high * 1.04) } else { (low, high) };
    let ticks = even_ticks(low, high, 8.0, 1.0).into_iter().map(|v| (v, count(v as u64))).collect();
    (low, high, ticks)
}

/// `1.00ms` as `1ms`: a division needs no trailing zeros.
fn y_label(axis: Axis, value: f64) -> String {
    if axis == Axis::Amount && value < 1_000.0 {
        let text = format!("{value:.9}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    if axis == Axis::Bytes {
        return bytes(value as u64).replace(".00", "");
    }
    if axis != Axis::Time {
        return if value.fract() == 0.0 { count(value as u64) } else { format!("{value:.1}") };
    }
    let text = duration_f64(value);
    let Some(unit_at) = text.find(|c: char| !c.is_ascii_digit() && c != '.') else { return text };
    let (number, unit) = text.split_at(unit_at);
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number}{unit}")
}

/// Every y that a line draws.
fn drawn(line: &Line) -> Vec<f64> {
    // A bar that ends at nothing reaches to the axis, and makes it no longer.
    let ends = line.bars.iter().flat_map(|(_, low, high)| [*low, *high]).filter(|end| *end > 0.0);
    if line.curve.is_empty() {
        line.values.iter().flatten().copied().chain(ends).collect()
    } else {
        line.curve.iter().map(|(_, y)| *y).chain(ends).collect()
    }
}

/// The chart as a `<figure>` with a legend that switches its lines.
pub(crate) fn figure(chart: &Chart) -> String {
    let (y_low, y_high, y_ticks) = y_scale(
        chart.y_axis,
        range(chart.lines.iter().flat_map(drawn).chain(chart.limits.iter().map(|limit| limit.value))),
    );
    let (x_low, x_high, x_ticks) = x_scale(chart.x_axis, range(chart.x.iter().copied()));
    let (plot_width, plot_height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
    let x_at = |x: f64| LEFT + (x - x_low) / (x_high - x_low) * plot_width;
    let y_at = |y: f64| {
        let share = if chart.y_axis == Axis::Time {
            (y.max(y_low).log10() - y_low.log10()) / (y_high.log10() - y_low.log10())
        } else {
            (y - y_low) / (y_high - y_low)
        };
        TOP + plot_height * (1.0 - share)
    };

    let mut out = format!("<figure class=\"chart\">\n<figcaption>{}</figcaption>\n", escape(&chart.title, 160));
    out.push_str("<div class=\"legend\">");
    for (index, line) in chart.lines.iter().enumerate() {
        let _ = write!(
            out,
            "<button type=\"button\" class=\"{}\" data-line=\"{index}\" aria-pressed=\"true\"><i></i>{}</button>",
            line.class,
            escape(&line.name, 80)
        );
    }
    let _ = writeln!(
        out,
        "</div>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\" data-chart=\"{}\">",
        escape(&chart.title, 160),
        escape(&read_out(chart, (x_low, x_high), y_high), usize::MAX)
    );
    out.push_str("<g class=\"grid\">");
    for tick in &y_ticks {
        let _ = write!(out, "<path d=\"M{LEFT} {y:.1}H{}\"/>", WIDTH - RIGHT, y = y_at(*tick));
    }
    out.push_str("</g>\n<g class=\"labels\">");
    for tick in &y_ticks {
        let label = y_label(chart.y_axis, *tick);
        let _ = write!(out, "<text x=\"{}\" y=\"{:.1}\" class=\"y\">{label}</text>", LEFT - 8.0, y_at(*tick) + 3.5);
    }
    for (at, label) in &x_ticks {
        let _ = write!(out, "<text x=\"{:.1}\" y=\"{}\">{label}</text>", x_at(*at), HEIGHT - BOTTOM + 16.0);
    }
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{}\" class=\"title\">{}</text></g>\n<path class=\"axis\" d=\"M{LEFT} {:.1}H{}\"/>",
        LEFT + plot_width / 2.0,
        HEIGHT - 6.0,
        chart.x_title,
        TOP + plot_height,
        WIDTH - RIGHT
    );
    out.push('\n');
    if let Some((x, text)) = chart.mark.as_ref().filter(|(x, _)| x.is_finite()) {
        let _ = writeln!(
            out,
            "<path class=\"mark\" d=\"M{x:.1} {TOP}V{:.1}\"/><text class=\"mark\" x=\"{:.1}\" y=\"{}\">{}</text>",
            TOP + plot_height,
            x_at(*x) + 5.0,
            TOP + plot_height - 8.0,
            escape(text, 80),
            x = x_at(*x),
        );
    }
    for limit in chart.limits.iter().filter(|limit| limit.value.is_finite()) {
        let y = y_at(limit.value);
        // Below the line where there is no room above it.
        let text_y = if y < TOP + 14.0 { y + 13.0 } else { y - 4.0 };
        let _ = writeln!(
            out,
            "<path class=\"limit\" d=\"M{LEFT} {y:.1}H{right}\"/><text class=\"limit\" x=\"{right}\" y=\"{text_y:.1}\">{}</text>",
            escape(&limit.name, 80),
            right = WIDTH - RIGHT,
        );
    }
    for (index, line) in chart.lines.iter().enumerate() {
        out.push_str(&line_path(chart, line, index, &x_at, &y_at));
        out.push_str(&error_bars(line, index, &x_at, &y_at));
    }
    let _ = write!(
        out,
        "<path class=\"cursor\" d=\"M0 {TOP}V{:.1}\" visibility=\"hidden\"/>\n</svg>\n</figure>\n",
        TOP + plot_height
    );
    out
}

/// The line as one path with gaps where it has no value; a value alone between gaps is drawn as a dot.
fn line_path(chart: &Chart, line: &Line, index: usize, x_at: &dyn Fn(f64) -> f64, y_at: &dyn Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut run: Vec<(f64, f64)> = Vec::new();
    let end_run = |run: &mut Vec<(f64, f64)>, path: &mut String| {
        for (position, (x, y)) in run.iter().enumerate() {
            let _ = write!(path, "{}{x:.1} {y:.1}", if position == 0 { 'M' } else { 'L' });
        }
        if run.len() == 1 {
            // A round line cap makes a dot of a line without length.
            path.push_str("h0.01");
        }
        run.clear();
    };
    let values: Vec<(f64, Option<f64>)> = if line.curve.is_empty() {
        chart.x.iter().copied().zip(line.values.iter().copied()).collect()
    } else {
        line.curve.iter().map(|(x, y)| (*x, Some(*y))).collect()
    };
    for (x, value) in values {
        match value.filter(|v| v.is_finite()) {
            Some(value) => run.push((x_at(x), y_at(value))),
            None => end_run(&mut run, &mut path),
        }
        if line.dots {
            end_run(&mut run, &mut path);
        }
    }
    end_run(&mut run, &mut path);
    let dots = if line.dots { " dots" } else { "" };
    format!("<path class=\"line {}{dots}\" data-line=\"{index}\" d=\"{path}\"/>\n", line.class)
}

/// The error bars of a line as one path, or nothing.
fn error_bars(line: &Line, index: usize, x_at: &dyn Fn(f64) -> f64, y_at: &dyn Fn(f64) -> f64) -> String {
    let mut path = String::new();
    for (x, low, high) in line.bars.iter().filter(|(x, low, high)| x.is_finite() && low.is_finite() && high.is_finite())
    {
        let (x, low, high) = (x_at(*x), y_at(*low), y_at(*high));
        let _ = write!(path, "M{x:.1} {low:.1}V{high:.1}M{:.1} {low:.1}h8M{:.1} {high:.1}h8", x - 4.0, x - 4.0);
    }
    if path.is_empty() {
        return path;
    }
    format!("<path class=\"bars {}\" data-line=\"{index}\" d=\"{path}\"/>\n", line.class)
}

/// Digits after the point with which a number up to `highest` is read out: four that mean something.
fn digits_of(axis: Axis, highest: f64) -> usize {
    match axis {
        Axis::Time | Axis::Bytes => 0,
        Axis::Amount => (3.0 - highest.max(1e-9).log10().floor()).clamp(1.0, 9.0) as usize,
        _ => 1,
    }
}

/// What the script needs to tell the values under the pointer, as JSON.
fn read_out(chart: &Chart, (x_low, x_high): (f64, f64), y_high: f64) -> String {
    let digits = digits_of(chart.y_axis, y_high);
    let mut out = format!(
        "{{\"left\":{LEFT},\"right\":{},\"low\":{x_low},\"high\":{x_high},\"odds\":{},\"time\":{},\"bytes\":{},\"name\":\"{}\",\"digits\":{digits},\"x\":[",
        WIDTH - RIGHT,
        chart.x_axis == Axis::Odds,
        chart.y_axis == Axis::Time,
        chart.y_axis == Axis::Bytes,
        match chart.x_axis {
            Axis::Workers => "workers",
            Axis::Experiments => "experiment",
            Axis::Load => "load",
            Axis::Seconds | Axis::Odds | Axis::Count | Axis::Amount | Axis::Bytes | Axis::Time => "second",
        },
    );
    let x_digits = match chart.x_axis {
        Axis::Odds => 4,
        Axis::Load => 1,
        Axis::Seconds | Axis::Workers | Axis::Experiments | Axis::Count | Axis::Amount | Axis::Bytes | Axis::Time => 0,
    };
    push_list(&mut out, chart.x.iter().map(|x| Some(*x)), x_digits);
    out.push_str("],\"y\":[");
    for (index, line) in chart.lines.iter().enumerate() {
        out.push_str(if index == 0 { "[" } else { ",[" });
        push_list(&mut out, line.values.iter().copied(), digits);
        out.push(']');
    }
    out.push_str("]}");
    out
}

fn push_list(out: &mut String, values: impl Iterator<Item = Option<f64>>, digits: usize) {
    for (index, value) in values.enumerate() {
        if index > 0 {
            out.push(',');
        }
        let _ = match value.filter(|v| v.is_finite()) {
            Some(value) if value.fract() == 0.0 => write!(out, "{value:.0}"),
            Some(value) => write!(out, "{value:.digits$}"),
            None => write!(out, "null"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: Vec<Option<f64>>) -> Chart {
        Chart {
            title: "t".to_owned(),
            x_title: "second",
            x_axis: Axis::Seconds,
            y_axis: Axis::Time,
            x: (0..values.len()).map(|i| i as f64).collect(),
            lines: vec![Line { name: "p99".to_owned(), class: "c1", values, ..Line::default() }],
            ..Chart::default()
        }
    }

    #[test]
    fn divisions_are_round_numbers() {
        assert_eq!(even_ticks(0.0, 60.0, 8.0, 1.0), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        let (low, high, ticks) = y_scale(Axis::Time, Some((1.3e6, 4.1e7)));
        assert_eq!((low, high), (1e6, 5e7));
        assert_eq!(ticks, [1e6, 2e6, 5e6, 1e7, 2e7, 5e7]);
        assert_eq!(y_label(Axis::Time, 2e5), "200µs");
        assert_eq!(y_label(Axis::Time, 1e6), "1ms");
    }

    #[test]
    fn next_to_nothing_takes_no_decades_of_the_axis() {
        let (low, high, _) = y_scale(Axis::Time, Some((0.0, 3e6)));
        assert_eq!((low, high), (1e3, 5e6));
        let (low, _, _) = y_scale(Axis::Time, Some((2e3, 8e9)));
        assert!(low >= 5e4, "{low}");
        assert_eq!(y_scale(Axis::Bytes, Some((0.0, 2_000_000.0))).2.get(1), Some(&(0.5 * 1_048_576.0)));
    }

    #[test]
    fn a_second_without_data_is_a_gap_and_one_alone_a_dot() {
        let svg = figure(&chart(vec![Some(1e6), Some(2e6), None, Some(1e6), None]));
        let path = svg.lines().find(|line| line.contains("class=\"line")).unwrap();
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert!(path.contains("h0.01"), "{path}");
    }

    #[test]
    fn no_value_is_too_strange_to_draw() {
        for values in [vec![], vec![None], vec![Some(0.0)], vec![Some(f64::NAN), Some(f64::INFINITY)], vec![Some(2e19)]]
        {
            let svg = figure(&chart(values));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn a_curve_bars_and_dots_are_drawn_in_place_of_a_line_through_the_values() {
        let dots = Line {
            values: vec![Some(10.0), Some(19.0)],
            bars: vec![(1.0, 9.0, 11.0), (2.0, f64::NAN, 20.0)],
            dots: true,
            ..Line::default()
        };
        let curve =
            Line { values: vec![Some(10.0), Some(1e9)], curve: vec![(1.0, 10.0), (1.5, 12.0)], ..Line::default() };
        let svg = figure(&Chart {
            x_axis: Axis::Workers,
            y_axis: Axis::Amount,
            x: vec![1.0, 2.0],
            lines: vec![dots, curve],
            mark: Some((2.0, "knee <2>".to_owned())),
            limits: vec![Limit { value: 15.0, name: "least <15>".to_owned() }],
            ..Chart::default()
        });
        assert_eq!(svg.matches("h0.01").count(), 2, "{svg}");
        assert_eq!(svg.matches("h8").count(), 2, "one bar has both its ends: {svg}");
        // What is only read out does not stretch the axis.
        assert!(svg.contains(">20</text>") && !svg.contains("1,000,000"), "{svg}");
        assert!(svg.contains("knee &lt;2&gt;") && svg.contains("1000000000"), "{svg}");
    }

    #[test]
    fn small_amounts_have_their_own_divisions() {
        let (low, high, ticks) = y_scale(Axis::Amount, Some((0.0, 0.02)));
        assert!(low == 0.0 && high > 0.02 && high < 0.025, "{high}");
        assert!(ticks.len() > 3 && ticks.len() < 8, "{ticks:?}");
        assert_eq!(y_label(Axis::Amount, 0.005), "0.005");
        assert_eq!(digits_of(Axis::Amount, 0.02), 5);
        for values in [None, Some((0.0, 0.0)), Some((0.0, f64::MAX)), Some((-5.0, -1.0))] {
            let (low, high, ticks) = y_scale(Axis::Amount, values);
            assert!(high > low && high.is_finite() && ticks.len() < 70);
        }
    }
}
