//! Judging a gate: pass, fail, or not enough is known.
//!
//! A gate passes only when the whole interval of what it looks at lies on the right side of its limit, and fails only
//! when the whole interval lies on the wrong side. No data never passes.
//!
//! What is not known counts on both sides. A request that has not ended may yet fail or succeed, be quick or slow: for
//! a bound from above it is counted as the worst, for a bound from below as the best. Where it is known to have waited
//! for longer than the limit, it has exceeded it.

use nuncius_schemas::gate::{Comparison, Gate, GateExpression, GateMetric, Quantity};
use serde::{Deserialize, Serialize};

use crate::Totals;
use crate::censored::Observed;
use crate::interval::{poisson_bounds, proportion_bounds, samples_needed};

mod words;

pub(crate) use words::{per_second, percent, time};

/// Confidence of each one-sided bound that a gate over the whole run rests on: it errs in at most 5 % of runs each way.
pub const CONFIDENCE: f64 = 0.95;

/// How a gate came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It holds.
    Pass,
    /// The data can carry neither.
    Undetermined,
    /// It does not hold.
    Fail,
}

/// How sure each decision must be: the confidence of the one-sided bound that it rests on.
///
/// They differ where a gate is looked at more than once. One failed look fails it, so that its error is divided over
/// the looks; all looks must pass for it to pass, so that each may err by the whole of it (Berger, Technometrics 24,
/// 1982).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Confidence {
    /// Of the bound that lets it pass.
    pub pass: f64,
    /// Of the bound that makes it fail.
    pub fail: f64,
}

impl Confidence {
    /// Of a gate that is looked at once.
    pub const ONCE: Self = Self { pass: CONFIDENCE, fail: CONFIDENCE };

    /// Of one look of a gate whose failures may err by `share` of its error in this look.
    pub fn of_share(share: f64) -> Self {
        Self { pass: CONFIDENCE, fail: 1.0 - (1.0 - CONFIDENCE) * share }
    }

    /// Of look `number` (from 1) of a gate that is looked at who knows how often, and may err by `share` of its error
    /// in all of these looks together: 1 / (i (i + 1)) of it in the i-th, which add up to one.
    pub fn of_look(number: u64, share: f64) -> Self {
        let number = number.max(1) as f64;
        Self::of_share(share / (number * (number + 1.0)))
    }
}

/// How long load was offered, in seconds; a range where it is not known exactly.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OfferedTime {
    /// At least so long.
    pub least_seconds: f64,
    /// At most so long.
    pub most_seconds: f64,
}

impl OfferedTime {
    /// Known exactly.
    pub const fn exactly(seconds: f64) -> Self {
        Self { least_seconds: seconds, most_seconds: seconds }
    }
}

/// What a gate is judged by: the scope it names, over the time it names.
#[derive(Debug, Clone, Copy, Default)]
pub struct GateData<'a> {
    /// Observations of each quantity, in the order of [`Quantity::ALL`]; [`Self::with`] sets them by name. What is not
    /// known is among the censored ones, as long as it has waited for certain.
    pub quantities: [Option<&'a Observed>; Quantity::ALL.len()],
    /// Lag of the groups that the scope belongs to, to tell the generator's part; `None` where nothing says it.
    pub generator_lag: Option<&'a Totals>,
    /// Requests planned or begun.
    pub planned: u64,
    /// Requests that ended as expected.
    pub succeeded: u64,
    /// Requests that ended otherwise.
    pub failed: u64,
    /// Requests unanswered or unsent at the stop.
    pub censored: u64,
    /// Requests that are under way, or that may have been offered by somebody who could not tell of it any more.
    pub unknown: u64,
    /// How long load was offered for.
    pub offered: OfferedTime,
    /// How many groups offered these requests, each evenly spaced and over its whole schedule; `None` when chance had a
    /// part in how many there are.
    pub evenly_spaced_groups: Option<u64>,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateOutcome {
    /// The decision.
    pub outcome: Outcome,
    /// What was observed.
    pub observed: Option<f64>,
    /// One-sided lower bound.
    pub lower: Option<f64>,
    /// One-sided upper bound.
    pub upper: Option<f64>,
    /// Observations it rests on.
    pub samples: u64,
    /// The generator's lag at the gate's own quantile, in nanoseconds, where the decision might be another without any
    /// lag; `None` where it would be the same.
    pub lag_ns: Option<u64>,
    /// For people.
    pub reason: String,
}

impl GateOutcome {
    /// Nothing is known.
    pub(crate) fn unknown(samples: u64, reason: String) -> Self {
        Self { outcome: Outcome::Undetermined, observed: None, lower: None, upper: None, samples, lag_ns: None, reason }
    }
}

/// Judges `gate` by `data`, which its caller has cut to the gate's scope and time.
pub fn evaluate(gate: &Gate, data: &GateData, confidence: Confidence) -> GateOutcome {
    let expression = &gate.expression;
    match expression.metric {
        GateMetric::Quantile { quantity, quantile } => {
            let observed = data.quantity(quantity);
            let mut outcome = judge_quantile(expression, observed, quantile, confidence);
            outcome.lag_ns = lag_in(expression, data, &outcome, |lag| lag.quantile_ns(quantile));
            outcome
        }
        GateMetric::Max(quantity) => {
            let mut outcome = judge_max(expression, data.quantity(quantity));
            outcome.lag_ns = lag_in(expression, data, &outcome, Totals::max_ns);
            outcome
        }
        GateMetric::Failures => {
            let share = Share {
                seen: data.failed,
                known: data.succeeded.saturating_add(data.failed),
                unknown: data.censored.saturating_add(data.unknown),
                what: "failed",
                of: "ended",
            };
            judge_share(expression, &share, confidence)
        }
        GateMetric::Censored => {
            let share = Share {
                seen: data.censored,
                known: data.succeeded.saturating_add(data.failed).saturating_add(data.censored),
                unknown: data.unknown,
                what: "were censored",
                of: "were offered",
            };
            judge_share(expression, &share, confidence)
        }
        GateMetric::Rate => judge_rate(expression, data, confidence),
    }
}

/// The confidence of the lower and of the upper bound.
const fn sides(expression: &GateExpression, confidence: Confidence) -> (f64, f64) {
    if expression.comparison.is_upper_limit() {
        (confidence.fail, confidence.pass)
    } else {
        (confidence.pass, confidence.fail)
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

/// The lag at the gate's own quantile, where the gate might have come out otherwise without it.
///
/// Lag only makes latencies longer: an upper limit that was kept to is kept to without it, a lower one that was not is
/// not. No latency is longer by more than the longest lag, so that what is beyond the limit by more than that is beyond
/// it anyway.
fn lag_in(
    expression: &GateExpression,
    data: &GateData,
    outcome: &GateOutcome,
    at_quantile: impl Fn(&Totals) -> Option<u64>,
) -> Option<u64> {
    let lag = data.generator_lag.filter(|_| expression.metric.quantity() != Some(Quantity::Lag))?;
    let is_upper = expression.comparison.is_upper_limit();
    let decided_by_length = match outcome.outcome {
        Outcome::Fail => is_upper,
        Outcome::Pass => !is_upper,
        Outcome::Undetermined => false,
    };
    let without = outcome.lower? - lag.max_ns()? as f64;
    let is_certain = expression.comparison.holds(without, expression.limit) != is_upper;
    if decided_by_length && !is_certain { at_quantile(lag) } else { None }
}

fn judge_quantile(
    expression: &GateExpression,
    observed: Option<&Observed>,
    q: f64,
    confidence: Confidence,
) -> GateOutcome {
    let (below, above) = sides(expression, confidence);
    let bounds = |data: &Observed| Some((data.quantile(q, below)?, data.quantile(q, above)?.upper_ns));
    let Some((data, (estimate, upper_ns))) = observed.and_then(|data| Some((data, bounds(data)?))) else {
        return GateOutcome::unknown(0, format!("no data; {} needs observations", expression.metric));
    };
    let samples = data.count();
    let (lower, upper) = (estimate.lower_ns.map(|ns| ns as f64), upper_ns.map(|ns| ns as f64));
    let outcome = decide(expression, lower, upper);
    let sign = if estimate.at_least { "≥ " } else { "" };
    let found = format!("{} is {sign}{} in {samples} samples", expression.metric, time(estimate.value_ns as f64));
    let interval = words::bounds(
        &lower.map_or_else(|| "unknown".to_owned(), time),
        &upper.map_or_else(|| "unbounded".to_owned(), time),
        (below, above),
    );
    let tail = if expression.comparison.is_upper_limit() { q } else { 1.0 - q };
    let needed = samples_needed(tail, confidence.pass).unwrap_or(u64::MAX);
    let reason = match outcome {
        Outcome::Undetermined if samples < needed => words::needs(&found, needed, confidence.pass),
        Outcome::Undetermined if upper.is_none() && !data.censored.is_empty() => {
            format!("{found}, {} of them censored: too many for an upper bound ({interval})", data.censored.count())
        }
        Outcome::Undetermined => format!("{found}; {interval} enclose the limit: more samples may decide"),
        Outcome::Pass | Outcome::Fail => format!("{found}; {interval}"),
    };
    let observed = Some(estimate.value_ns as f64);
    GateOutcome { outcome, observed, lower, upper, samples, lag_ns: None, reason }
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
    GateOutcome { outcome, observed: Some(max), lower: Some(max), upper, samples, lag_ns: None, reason }
}

/// A share of requests.
struct Share {
    seen: u64,
    /// Of how many it is known.
    known: u64,
    /// Of how many it is not.
    unknown: u64,
    what: &'static str,
    of: &'static str,
}

/// What is not known belongs to the share for its upper bound and not for its lower one.
fn judge_share(expression: &GateExpression, share: &Share, confidence: Confidence) -> GateOutcome {
    let Share { seen, known, unknown, what, of } = *share;
    let n = known.saturating_add(unknown);
    if n == 0 {
        return GateOutcome::unknown(0, format!("no data; {} needs requests that {of}", expression.metric));
    }
    let seen = seen.min(known);
    let most = seen.saturating_add(unknown);
    let observed = (known > 0).then(|| seen as f64 / known as f64);
    let (below, above) = sides(expression, confidence);
    let (lower, upper) = (proportion_bounds(seen, n, below).0, proportion_bounds(most, n, above).1);
    let limit = expression.limit;
    // "None at all" and "every one" are facts about the run: no sample could ever prove them of anything else.
    let absolute = match expression.comparison {
        Comparison::LessOrEqual | Comparison::Greater => limit <= 0.0,
        Comparison::GreaterOrEqual | Comparison::Less => limit >= 1.0,
    };
    let outcome = if absolute {
        decide(expression, Some(seen as f64 / n as f64), Some(most as f64 / n as f64))
    } else {
        decide(expression, Some(lower), Some(upper))
    };
    let mut found = match observed {
        Some(share) => format!("{seen} of {known} that {of} {what} ({})", percent(share)),
        None => format!("of {unknown} requests none has ended"),
    };
    if unknown > 0 && known > 0 {
        found.push_str(&format!(", of {unknown} more it is not known"));
    }
    let interval = words::bounds(&percent(lower), &percent(upper), (below, above));
    let needed = if expression.comparison.is_upper_limit() { 1.0 - limit } else { limit };
    let reason = match (outcome, samples_needed(needed, confidence.pass)) {
        (Outcome::Undetermined, Some(needed)) if n < needed => words::needs(&found, needed, confidence.pass),
        (Outcome::Undetermined, _) if unknown > 0 => format!("{found}; {interval} enclose the limit"),
        (Outcome::Undetermined, _) => format!("{found}; {interval} enclose the limit: more samples may decide"),
        (Outcome::Pass | Outcome::Fail, _) => format!("{found}; {interval}"),
    };
    GateOutcome { outcome, observed, lower: Some(lower), upper: Some(upper), samples: n, lag_ns: None, reason }
}

/// Successes per second of the time that load was offered for.
///
/// Where chance has a part in how many requests there are (Poisson arrivals, users that wait for their answers, windows
/// that cut into what is under way), the number of successes is judged as a Poisson variable, by Garwood's exact
/// bounds. Of an evenly spaced schedule the number n of arrivals is no chance: it says that the rate times the time is
/// within n ± 1 for each group; what succeeds of them is binomial, with the bounds of Clopper and Pearson.
fn judge_rate(expression: &GateExpression, data: &GateData, confidence: Confidence) -> GateOutcome {
    let ended = data.succeeded.saturating_add(data.failed).saturating_add(data.censored);
    let samples = ended.saturating_add(data.unknown);
    let OfferedTime { least_seconds, most_seconds } = data.offered;
    // Also false for what is not a number.
    let timed = most_seconds > 0.0 && least_seconds >= 0.0;
    if samples == 0 || !timed {
        let lacks = if timed { "no requests ended" } else { "no time has passed" };
        return GateOutcome::unknown(samples, format!("no data; {lacks}"));
    }
    let (below, above) = sides(expression, confidence);
    let (succeeded, unknown) = (data.succeeded, data.unknown);
    let (fewest, most) = match data.evenly_spaced_groups {
        Some(groups) => {
            let arrivals = data.planned.max(samples);
            let (low, _) = proportion_bounds(succeeded, arrivals, below);
            let (_, high) = proportion_bounds(succeeded.saturating_add(unknown), arrivals, above);
            let (fewer, more) = (arrivals.saturating_sub(groups), arrivals.saturating_add(groups));
            (low * fewer as f64, high * more as f64)
        }
        None => (poisson_bounds(succeeded, below).0, poisson_bounds(succeeded.saturating_add(unknown), above).1),
    };
    let lower = Some(fewest / most_seconds);
    let upper = (least_seconds > 0.0).then(|| most / least_seconds);
    let rate = succeeded as f64 / most_seconds;
    let outcome = decide(expression, lower, upper);
    let mut found = format!("{succeeded} succeeded in {most_seconds:.2} s: {}", per_second(rate));
    if unknown > 0 {
        found.push_str(&format!(", {unknown} are under way or not known"));
    }
    let interval = words::bounds(
        &lower.map_or_else(String::new, per_second),
        &upper.map_or_else(|| "unbounded".to_owned(), per_second),
        (below, above),
    );
    let reason = match outcome {
        Outcome::Undetermined => format!("{found}; {interval} enclose the limit: a longer run may decide"),
        Outcome::Pass | Outcome::Fail => format!("{found}; {interval}"),
    };
    GateOutcome { outcome, observed: Some(rate), lower, upper, samples, lag_ns: None, reason }
}

#[cfg(test)]
mod error_rates;
#[cfg(test)]
mod tests;
