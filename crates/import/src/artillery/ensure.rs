//! What must hold for a run (`ensure`): expressions over what Artillery measures, over all of the run. A name that
//! nothing was measured under is `undefined`, which compares with nothing: the check fails.
//!
//! They are no gates: those look at other quantities (from the planned instant, to the end of the answer), and answer
//! with intervals. Where a file has any, they alone decide: the specification has a gate that says so.

use std::collections::BTreeMap;

use serde::Serialize;

use super::filtrex::evaluate::{Value, evaluate};
use super::filtrex::{self};
use super::human;
use super::metrics::{Apdex, Metrics};
use super::state::State;
use super::view::View;

/// What must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ensure {
    /// The expression.
    pub expression: String,
    /// As reports show it.
    pub shown: String,
    /// Whether the run fails where it does not hold.
    pub strict: bool,
}

/// Whether a check holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What had to hold.
    pub ensure: Ensure,
    /// Whether it does.
    pub holds: bool,
    /// Why it cannot be worked out, where it cannot.
    pub problem: Option<String>,
}

/// The older keys, of the response time over HTTP.
const OLDER: [&str; 5] = ["min", "max", "median", "p95", "p99"];

/// Reads `config.ensure`, else `config.plugins.ensure`.
pub(crate) fn read(state: &mut State<'_, '_>, view: &View<'_>) -> Vec<Ensure> {
    const KNOWN: [&str; 8] = ["thresholds", "conditions", "min", "max", "median", "p95", "p99", "maxErrorRate"];
    let mut all = Vec::new();
    let strict = |expression: String, shown: String| Ensure { expression, shown, strict: true };
    for (key, inner) in view.entries() {
        match key {
            "thresholds" => {
                for item in inner.items() {
                    let entries = item.entries();
                    let Some((name, limit)) = entries.first() else {
                        state.ledger.refused(item.spot(), "it is no map of a metric and its limit");
                        continue;
                    };
                    let Some(limit) = state.known(limit) else { continue };
                    let expression = format!("{name} < {limit}");
                    all.push(strict(expression.clone(), expression));
                }
            }
            "conditions" => {
                for item in inner.items() {
                    let Some(expression) = item.get("expression").and_then(|view| state.known(&view)) else {
                        state.ledger.refused(item.spot(), "it has no `expression`");
                        continue;
                    };
                    let is_strict = item.get("strict").and_then(|view| view.boolean()).unwrap_or(true);
                    for (key, inner) in item.entries() {
                        match key {
                            "expression" | "strict" => state.ledger.supported(inner.spot()),
                            other => state.ledger.unknown(inner.spot(), other, &["expression", "strict"]),
                        }
                    }
                    all.push(Ensure { shown: expression.clone(), expression, strict: is_strict });
                }
            }
            "maxErrorRate" => {
                let Some(percent) = state.known_number(&inner).map(human::number_text) else { continue };
                let share = "((vusers.created - vusers.completed)/vusers.created * 100)";
                all.push(strict(format!("{share} <= {percent}"), format!("maxErrorRate < {percent}")));
            }
            key if OLDER.contains(&key) => {
                let Some(limit) = state.known_number(&inner).map(|limit| human::number_text(limit.trunc())) else {
                    continue;
                };
                all.push(strict(format!("http.response_time.{key} < {limit}"), format!("{key} < {limit}")));
            }
            other => {
                state.ledger.unknown(inner.spot(), other, &KNOWN);
                continue;
            }
        }
        state.ledger.supported(inner.spot());
    }
    for ensure in &all {
        if let Err(problem) = filtrex::parse(&ensure.expression, &[])
            && !ensure.expression.contains(['/', '{', '('])
        {
            state.ledger.warn(view.spot(), format!("`{}` is no expression, and fails: {problem}", ensure.shown));
        }
    }
    all
}

/// Works the checks out; those that hold come first.
pub fn check(all: &[Ensure], metrics: &Metrics, apdex: Option<Apdex>) -> Vec<Checked> {
    let mut figures = metrics.figures();
    figures.extend(apdex.map(|apdex| ("apdex".to_owned(), apdex.score)));
    let mut checked: Vec<Checked> = all.iter().map(|ensure| one(ensure, &figures)).collect();
    checked.sort_by_key(|check| !check.holds);
    checked
}

fn one(ensure: &Ensure, figures: &BTreeMap<String, f64>) -> Checked {
    let symbols: Vec<&str> = figures.keys().map(String::as_str).collect();
    let symbol = |name: &str| figures.get(name).map_or(Value::Undefined, |number| Value::Number(*number));
    let value = filtrex::parse(&ensure.expression, &symbols).and_then(|expression| evaluate(&expression, &symbol));
    let (holds, problem) = match value {
        Ok(value) => (value == Value::Number(1.0), None),
        Err(problem) => (false, Some(problem)),
    };
    Checked { ensure: ensure.clone(), holds, problem }
}

/// Whether all strict checks hold: else the command ends with 1.
pub fn holds(checked: &[Checked]) -> bool {
    checked.iter().all(|check| check.holds || !check.ensure.strict)
}

#[cfg(test)]
mod tests {
    use super::super::metrics::Summary;
    use super::*;

    fn metrics() -> Metrics {
        let mut metrics = Metrics::default();
        metrics.count("vusers.created", 100);
        metrics.count("vusers.created_by_name.A - b", 40);
        metrics.count("vusers.completed", 97);
        metrics.count("vusers.failed", 3);
        metrics.count("plugins.metrics-by-endpoint./api/a.codes.200", 10);
        metrics.rates.insert("http.request_rate".to_owned(), 25);
        let summary = Summary { p95: 120.5, p99: 400.0, median: 80.0, ..Summary::default() };
        metrics.summaries.insert("http.response_time".to_owned(), summary);
        metrics
    }

    fn holds_of(expression: &str) -> bool {
        let ensure = Ensure { expression: expression.to_owned(), shown: expression.to_owned(), strict: true };
        check(&[ensure], &metrics(), Apdex::of(8, 2, 0))[0].holds
    }

    #[test]
    fn expressions_are_worked_out_over_metrics_with_any_name() {
        for (expression, expected) in [
            ("http.response_time.p95 < 200", true),
            ("http.response_time.p99 < 200", false),
            ("http.response_time.p95 < 200 and http.request_rate > 20", true),
            ("vusers.failed < 5 or vusers.skipped > 0", true),
            ("((vusers.created - vusers.completed)/vusers.created * 100) <= 3", true),
            ("((vusers.created - vusers.completed)/vusers.created * 100) <= 2", false),
            ("vusers.created_by_name.A - b == 40", true),
            ("plugins.metrics-by-endpoint./api/a.codes.200 >= 10", true),
            ("vusers.skipped < 5", false),
            ("errors.ETIMEDOUT < 5", false),
            ("apdex > 0.85", true),
            ("vusers.created", false),
            ("not an expression", false),
        ] {
            assert_eq!(holds_of(expression), expected, "{expression}");
        }
    }

    #[test]
    fn only_strict_checks_decide_and_those_that_hold_come_first() {
        let ensure = |expression: &str, strict| Ensure { expression: expression.into(), shown: String::new(), strict };
        let checked =
            check(&[ensure("vusers.failed < 1", false), ensure("vusers.created > 1", true)], &metrics(), None);
        assert_eq!(checked.iter().map(|check| check.holds).collect::<Vec<_>>(), [true, false]);
        assert!(holds(&checked));
        assert!(!holds(&check(&[ensure("vusers.failed < 1", true)], &metrics(), None)));
    }
}
