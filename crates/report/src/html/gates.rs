//! The gates, each with what was observed between its bounds, drawn against its limit.

use std::fmt::Write as _;

use nuncius_schemas::gate::{GateExpression, LatencyOf};
use nuncius_schemas::report::GateReport;
use nuncius_schemas::run::{RunStatus, Verdict};

use super::escape::escape;
use super::shown::{TEXT_CHARACTERS, tone};
use super::tables::{NAME_CHARACTERS, ROWS_MAX, left_out, table};
use crate::format::gate_value;
use crate::text::gate_evidence;

/// Size of a bar.
const WIDTH: f64 = 200.0;
const HEIGHT: f64 = 26.0;
/// How much of the bar is beyond the largest of its values.
const ROOM: f64 = 1.15;
/// What a report adds to the name of a gate that nobody wrote.
const DEFAULT: &str = " (default)";

/// The gates as a section; nothing without any. `is_judged`: else they stand so, and nothing is decided.
pub fn section(gates: &[GateReport], is_judged: bool) -> String {
    if gates.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = gates.iter().take(ROWS_MAX).map(|gate| row(gate, is_judged)).collect();
    let note = if is_judged {
        ""
    } else {
        "<p class=\"note\">As they stand by what is known: what is under way counts on both sides, and nothing is \
         decided before the end.</p>\n"
    };
    let outcome = if is_judged { "outcome" } else { "so far" };
    format!(
        "<section class=\"stack gates\">\n<h2>Gates</h2>\n{}{}{note}</section>\n",
        left_out(gates.len(), ROWS_MAX, "gates"),
        table(&[outcome, "gate", "observed", "against its limit", "evidence", "reason"], &rows, &[1, 3, 4, 5])
    )
}

fn row(gate: &GateReport, is_judged: bool) -> Vec<String> {
    let word = match (is_judged, gate.outcome) {
        (true, outcome) => outcome.name(),
        (false, Verdict::Pass) => "holds",
        (false, Verdict::Fail) => "does not hold",
        (false, Verdict::Undetermined | Verdict::Invalid) => "open",
    };
    vec![
        format!("<span class=\"badge small {}\">{word}</span>", tone(RunStatus::Finished, Some(gate.outcome))),
        format!("<code>{}</code>", escape(&gate.gate, NAME_CHARACTERS)),
        format!("<b>{}</b>", escape(&gate_value(&gate.gate, gate.observed), 40)),
        bar(gate),
        escape(&gate_evidence(gate), NAME_CHARACTERS),
        escape(&gate.reason, TEXT_CHARACTERS),
    ]
}

/// What a gate of this name holds to: its name has where and over what time, too.
fn expression(name: &str) -> Option<GateExpression> {
    let name = name.strip_suffix(DEFAULT).unwrap_or(name);
    let end = [" over any ", " in "].iter().filter_map(|word| name.find(word)).min().unwrap_or(name.len());
    // Whose latencies it is about is no part of what is compared.
    name.get(..end)?.replace(&format!(" of {}", LatencyOf::All.name()), "").parse().ok()
}

/// The bar of a gate: where it holds is light, the interval is a bar, what was observed a point, the limit a line. An
/// end of the interval that is not known is open. Nothing where nothing was observed.
fn bar(gate: &GateReport) -> String {
    let Some(expression) = expression(&gate.gate) else { return "–".to_owned() };
    let limit = expression.limit;
    let values = || [Some(limit), gate.observed, gate.lower, gate.upper].into_iter().flatten();
    let is_number = values().all(|value| value.is_finite() && value >= 0.0);
    let is_known = gate.observed.is_some() || gate.lower.is_some() || gate.upper.is_some();
    if !is_known || !is_number {
        return "–".to_owned();
    }
    let most = values().fold(0.0, f64::max) * ROOM;
    let most = if most > 0.0 { most } else { 1.0 };
    let at = |value: f64| value / most * WIDTH;
    let is_upper_limit = expression.comparison.is_upper_limit();
    let (from, to) = if is_upper_limit { (0.0, at(limit)) } else { (at(limit), WIDTH) };
    let told = |value: Option<f64>| gate_value(&gate.gate, value);
    let label = format!(
        "{} observed, between {} and {}, limit {}",
        told(gate.observed),
        told(gate.lower),
        told(gate.upper),
        told(Some(limit))
    );
    let mut out = format!(
        "<svg class=\"bar {}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" \
         aria-label=\"{}\"><path class=\"holds\" d=\"M{from:.1} 3H{to:.1}V{:.1}H{from:.1}z\"/>",
        tone(RunStatus::Finished, Some(gate.outcome)),
        escape(&label, 300),
        HEIGHT - 3.0
    );
    if gate.lower.is_some() || gate.upper.is_some() {
        // An end that is not known reaches to the edge.
        let low = gate.lower.map_or(0.0, at);
        let high = gate.upper.map_or(WIDTH, at).max(low + 2.0);
        let class = if gate.lower.is_some() && gate.upper.is_some() { "between" } else { "between open" };
        let _ = write!(out, "<path class=\"{class}\" d=\"M{low:.1} 9H{high:.1}V17H{low:.1}z\"/>");
    }
    if let Some(observed) = gate.observed.map(at) {
        let _ = write!(out, "<path class=\"seen\" d=\"M{observed:.1} 6V20\"/>");
    }
    let _ = write!(out, "<path class=\"edge\" d=\"M{:.1} 1V{:.1}\"/></svg>", at(limit), HEIGHT - 1.0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(text: &str, values: [Option<f64>; 3]) -> GateReport {
        let [lower, observed, upper] = values;
        GateReport {
            gate: text.to_owned(),
            outcome: Verdict::Pass,
            observed,
            lower,
            upper,
            samples: 100,
            worst_window_second: None,
            reason: "<b>".to_owned(),
        }
    }

    #[test]
    fn a_bar_has_its_interval_and_its_limit_in_one_scale_and_words_for_who_does_not_see_it() {
        let html = bar(&gate("p99(response) < 200ms", [Some(90e6), Some(100e6), Some(110e6)]));
        // 200 ms are at 1 / 1.15 of the width, 100 ms at half of that.
        assert!(html.contains("class=\"edge\" d=\"M173.9 "), "{html}");
        assert!(html.contains("class=\"seen\" d=\"M87.0 "), "{html}");
        assert!(html.contains("class=\"between\" d=\"M78.3 9H95.7"), "{html}");
        assert!(html.contains("class=\"holds\" d=\"M0.0 3H173.9"), "{html}");
        assert!(html.contains("100ms observed, between 90.0ms and 110ms, limit 200ms"), "{html}");
        assert!(!html.contains("style="));
        let rate = bar(&gate("rate >= 50/s", [Some(40.0), Some(45.0), None]));
        assert!(rate.contains("class=\"holds\" d=\"M173.9 3H200.0"), "it holds above: {rate}");
        assert!(rate.contains("between open"), "{rate}");
        for name in [
            "failures < 1% (default)",
            "failures < 1% over any 10s in browse",
            "failures < 1% in */get",
            "p99(response) of all < 2s",
        ] {
            assert!(bar(&gate(name, [None, Some(0.0), Some(0.004)])).starts_with("<svg"), "{name}");
        }
    }

    #[test]
    fn what_is_not_known_has_no_bar_and_nothing_is_named_decided_before_the_end() {
        assert_eq!(bar(&gate("p99(response) < 200ms", [None, None, None])), "–");
        assert_eq!(bar(&gate("nonsense", [Some(1.0), None, None])), "–");
        assert_eq!(bar(&gate("rate > 1/s", [None, Some(f64::NAN), None])), "–");
        let gates = [gate("failures < 1%", [None, Some(0.0), Some(0.01)])];
        let live = section(&gates, false);
        assert!(live.contains(">holds<") && !live.contains(">pass<"), "{live}");
        assert!(live.contains("&lt;b&gt;"));
        assert!(section(&gates, true).contains(">pass<"));
        assert_eq!(section(&[], true), "");
    }
}
