//! Judging a gate: pass, fail, or not enough is known.
//!
//! A gate passes only when the whole interval of what it looks at lies on the right side of its limit, and fails only
//! when the whole interval lies on the wrong side. No data never passes.

use nuncius_schemas::gate::{Comparison, Gate, GateExpression, GateMetric, Quantity};

use crate::censored::Observed;
use crate::interval::{proportion_bounds, samples_needed};

/// Confidence of each one-sided bound that gates rest on.
pub const CONFIDENCE: f64 = 0.95;

/// How a gate came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Pass,
    /// The data can carry neither.
    Undetermined,
    /// It does not hold.
    Fail,
}

/// What a gate is judged by: the scope it names, over the time it names.
#[derive(Debug, Clone, Copy, Default)]
pub struct GateData<'a> {
    /// Observations of each quantity, in the order of [`Quantity::ALL`]; [`Self::with`] sets them by name.
    pub quantities: [Option<&'a Observed>; Quantity::ALL.len()],
    /// Requests planned or begun.
    pub planned: u64,
    /// Requests that ended as expected.
    pub succeeded: u64,
    /// Requests that ended otherwise.
    pub failed: u64,
    /// Requests unanswered or unsent at the stop.
    pub censored: u64,
    /// Time over which all of this was observed, in seconds.
    pub elapsed_seconds: f64,
}

const fn position(quantity: Quantity) -> usize {
    match quantity {
        Quantity::Response => 0,
        Quantity::Service => 1,
        Quantity::Blocked => 2,
        Quantity::Lag => 3,
    }
}

impl<'a> GateData<'a> {
    /// With the observations of one quantity.
    #[must_use]
    pub fn with(mut self, quantity: Quantity, observed: &'a Observed) -> Self {
        if let Some(place) = self.quantities.get_mut(position(quantity)) {
            *place = Some(observed);
        }
        self
    }

    /// The observations of a quantity; `None` when there are none.
    pub fn quantity(&self, quantity: Quantity) -> Option<&'a Observed> {
        self.quantities.get(position(quantity)).copied().flatten().filter(|observed| !observed.is_empty())
    }
}

/// How one gate was decided. Values are those of the gate's metric: nanoseconds, a share, or per second.
#[derive(Debug, Clone, PartialEq)]
pub struct GateOutcome {
    /// The decision.
    pub outcome: Outcome,
    /// What was observed.
    pub observed: Option<f64>,
    /// One-sided lower bound at [`CONFIDENCE`].
    pub lower: Option<f64>,
    /// One-sided upper bound at [`CONFIDENCE`].
    pub upper: Option<f64>,
    /// Observations it rests on.
    pub samples: u64,
    /// For people.
    pub reason: String,
}

impl GateOutcome {
    fn unknown(samples: u64, reason: String) -> Self {
        Self { outcome: Outcome::Undetermined, observed: None, lower: None, upper: None, samples, reason }
    }
}

/// Judges `gate` by `data`, which its caller has cut to the gate's scope and time.
pub fn evaluate(gate: &Gate, data: &GateData) -> GateOutcome {
    let expression = &gate.expression;
    match expression.metric {
        GateMetric::Quantile { quantity, quantile } => judge_quantile(expression, data.quantity(quantity), quantile),
        GateMetric::Max(quantity) => judge_max(expression, data.quantity(quantity)),
        GateMetric::Failures => {
            judge_share(expression, data.failed, data.succeeded.saturating_add(data.failed), "failed", "ended")
        }
        GateMetric::Censored => {
            let accounted = data.succeeded.saturating_add(data.failed).saturating_add(data.censored);
            judge_share(expression, data.censored, data.planned.max(accounted), "were censored", "were offered")
        }
        GateMetric::Rate => judge_rate(expression, data),
    }
}

/// Decides by an interval. An end that is missing proves nothing.
fn decide(expression: &GateExpression, lower: Option<f64>, upper: Option<f64>) -> Outcome {
    let holds = |value: f64| expression.comparison.holds(value, expression.limit);
    let (near, far) = if expression.comparison.is_upper_limit() { (lower, upper) } else { (upper, lower) };
    if far.is_some_and(holds) {
        Outcome::Pass
    } else if near.is_some_and(|value| !holds(value)) {
        Outcome::Fail
    } else {
        Outcome::Undetermined
    }
}

fn judge_quantile(expression: &GateExpression, observed: Option<&Observed>, q: f64) -> GateOutcome {
    let Some((data, estimate)) = observed.and_then(|data| Some((data, data.quantile(q, CONFIDENCE)?))) else {
        return GateOutcome::unknown(0, format!("no data; {} needs observations", expression.metric));
    };
    let samples = data.count();
    let (lower, upper) = (estimate.lower_ns.map(|ns| ns as f64), estimate.upper_ns.map(|ns| ns as f64));
    let outcome = decide(expression, lower, upper);
    let sign = if estimate.at_least { "≥ " } else { "" };
    let found = format!("{} is {sign}{} in {samples} samples", expression.metric, time(estimate.value_ns as f64));
    let interval = format!(
        "95 % bounds {} and {}",
        lower.map_or_else(|| "unknown".to_owned(), time),
        upper.map_or_else(|| "unbounded".to_owned(), time)
    );
    let tail = if expression.comparison.is_upper_limit() { q } else { 1.0 - q };
    let needed = samples_needed(tail, CONFIDENCE).unwrap_or(u64::MAX);
    let reason = match outcome {
        Outcome::Undetermined if samples < needed => {
            format!("{found}; to pass at 95 % confidence it needs {needed} samples")
        }
        Outcome::Undetermined if upper.is_none() && !data.censored.is_empty() => {
            format!("{found}, {} of them censored: too many for an upper bound ({interval})", data.censored.count())
        }
        Outcome::Undetermined => format!("{found}; {interval} enclose the limit: more samples may decide"),
        _ => format!("{found}; {interval}"),
    };
    GateOutcome { outcome, observed: Some(estimate.value_ns as f64), lower, upper, samples, reason }
}

/// The largest value is a fact about the run and has no interval; only censored requests leave it open upwards.
fn judge_max(expression: &GateExpression, observed: Option<&Observed>) -> GateOutcome {
    let Some((data, max_ns)) = observed.and_then(|data| Some((data, data.max_ns()?))) else {
        return GateOutcome::unknown(0, format!("no data; {} needs observations", expression.metric));
    };
    let max = max_ns as f64;
    let censored = data.censored.count();
    let upper = (censored == 0).then_some(max);
    let outcome = decide(expression, Some(max), upper);
    let samples = data.count();
    let reason = if censored == 0 {
        format!("{} is {} in {samples} samples", expression.metric, time(max))
    } else {
        format!("{} is ≥ {} in {samples} samples, {censored} of them censored", expression.metric, time(max))
    };
    GateOutcome { outcome, observed: Some(max), lower: Some(max), upper, samples, reason }
}

fn judge_share(expression: &GateExpression, k: u64, n: u64, what: &str, of: &str) -> GateOutcome {
    if n == 0 {
        return GateOutcome::unknown(0, format!("no data; {} needs requests that {of}", expression.metric));
    }
    let k = k.min(n);
    let share = k as f64 / n as f64;
    let (lower, upper) = proportion_bounds(k, n, CONFIDENCE);
    let limit = expression.limit;
    // "None at all" and "every one" are facts about the run: no sample could ever prove them of anything else.
    let absolute = match expression.comparison {
        Comparison::LessOrEqual | Comparison::Greater => limit <= 0.0,
        Comparison::GreaterOrEqual | Comparison::Less => limit >= 1.0,
    };
    let outcome = if absolute {
        decide(expression, Some(share), Some(share))
    } else {
        decide(expression, Some(lower), Some(upper))
    };
    let found = format!("{k} of {n} that {of} {what} ({})", percent(share));
    let interval = format!("95 % bounds {} and {}", percent(lower), percent(upper));
    let needed = if expression.comparison.is_upper_limit() { 1.0 - limit } else { limit };
    let reason = match (outcome, samples_needed(needed, CONFIDENCE)) {
        (Outcome::Undetermined, Some(needed)) if n < needed => {
            format!("{found}; to pass at 95 % confidence it needs {needed} samples")
        }
        (Outcome::Undetermined, _) => format!("{found}; {interval} enclose the limit: more samples may decide"),
        _ => format!("{found}; {interval}"),
    };
    GateOutcome { outcome, observed: Some(share), lower: Some(lower), upper: Some(upper), samples: n, reason }
}

fn judge_rate(expression: &GateExpression, data: &GateData) -> GateOutcome {
    let samples = data.succeeded.saturating_add(data.failed).saturating_add(data.censored);
    // Also false for what is not a number.
    let timed = data.elapsed_seconds > 0.0;
    if samples == 0 || !timed {
        let lacks = if timed { "no requests ended" } else { "no time has passed" };
        return GateOutcome::unknown(samples, format!("no data; {lacks}"));
    }
    let rate = data.succeeded as f64 / data.elapsed_seconds;
    let outcome = decide(expression, Some(rate), Some(rate));
    let reason = format!("{} succeeded in {:.1} s: {rate:.2}/s", data.succeeded, data.elapsed_seconds);
    GateOutcome { outcome, observed: Some(rate), lower: None, upper: None, samples, reason }
}

/// Nanoseconds for people, four significant digits.
fn time(value_ns: f64) -> String {
    let (scale, unit) = match value_ns {
        ns if ns >= 1e9 => (1e9, "s"),
        ns if ns >= 1e6 => (1e6, "ms"),
        _ => (1e3, "µs"),
    };
    let value = value_ns / scale;
    let digits = if value >= 100.0 {
        1
    } else if value >= 10.0 {
        2
    } else {
        3
    };
    format!("{value:.digits$} {unit}")
}

fn percent(share: f64) -> String {
    format!("{:.3} %", share * 100.0)
}

#[cfg(test)]
mod tests;
