//! Gates as text, and what is said of one that cannot be read.

use std::str::FromStr;

use super::{Comparison, GateExpression, GateMetric, LatencyOf, Quantity};
use crate::units::{HumanDuration, Rate};

/// Longest piece of a text that an error repeats, in characters: a text from outside may be as long as a message.
const SHOWN_CHARACTERS: usize = 80;

/// Words that stand for a share or a rate.
const WORDS: [(&str, GateMetric); 3] =
    [("failures", GateMetric::Failures), ("censored", GateMetric::Censored), ("rate", GateMetric::Rate)];

/// What other tools write, and what it is called here.
const SYNONYMS: [(&str, &str); 22] = [
    ("failure", "failures"),
    ("failed", "failures"),
    ("error", "failures"),
    ("errors", "failures"),
    ("error_rate", "failures"),
    ("errorrate", "failures"),
    ("http_req_failed", "failures"),
    ("throughput", "rate"),
    ("rps", "rate"),
    ("qps", "rate"),
    ("http_reqs", "rate"),
    ("latency", "response"),
    ("response_time", "response"),
    ("http_req_duration", "response"),
    ("duration", "response"),
    ("waiting", "service"),
    ("delay", "lag"),
    ("median", "p50"),
    ("med", "p50"),
    ("maximum", "max"),
    ("p100", "max"),
    ("timeouts", "failures"),
];

/// Why a gate could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a gate: {problem}; write for example `p99(response) < 250ms`, `failures < 1%`, `rate > 900/s`"
)]
pub struct GateError {
    text: String,
    problem: String,
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS).collect()
}

impl FromStr for GateExpression {
    type Err = GateError;

    fn from_str(text: &str) -> Result<Self, GateError> {
        parse(text).map_err(|problem| GateError { text: shown(text), problem: problem.chars().take(200).collect() })
    }
}

fn parse(text: &str) -> Result<GateExpression, String> {
    let is_operator = |c: char| matches!(c, '<' | '>' | '=' | '!' | '≤' | '≥' | '~');
    let (metric, rest) = match text.find(is_operator) {
        Some(at) => text.split_at(at),
        // What stands before tells more than that nothing follows.
        None => return Err(metric_of(text).err().unwrap_or_else(|| "no comparison (< <= > >=)".to_owned())),
    };
    let limit = rest.trim_start_matches(is_operator);
    let operator = rest.strip_suffix(limit).unwrap_or(rest);
    let (metric, of) = metric_of(metric)?;
    let comparison = comparison_of(operator)?;
    let limit = limit_of(metric, limit.trim())?;
    Ok(GateExpression { metric, of, comparison, limit })
}

fn comparison_of(operator: &str) -> Result<Comparison, String> {
    let instead = match operator {
        "<" => return Ok(Comparison::Less),
        "<=" => return Ok(Comparison::LessOrEqual),
        ">" => return Ok(Comparison::Greater),
        ">=" => return Ok(Comparison::GreaterOrEqual),
        "=<" | "≤" | "<==" => "write `<=`",
        "=>" | "≥" | ">==" => "write `>=`",
        "<<" => "write `<`",
        ">>" => "write `>`",
        "=" | "==" | "===" | "~" | "~=" | "=~" => {
            "what is measured never equals a limit exactly: write `<`, `<=`, `>` or `>=`"
        }
        "!=" | "<>" | "!" | "!==" => "a gate has one side: write `<`, `<=`, `>` or `>=`",
        _ => "write `<`, `<=`, `>` or `>=`",
    };
    Err(format!("`{}` is no comparison: {instead}", shown(operator)))
}

/// The metric before the comparison, and whose latencies.
fn metric_of(text: &str) -> Result<(GateMetric, LatencyOf), String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("nothing stands before the comparison".to_owned());
    }
    let (name, of) = match text.rsplit_once(char::is_whitespace).filter(|(before, _)| ends_with_of(before)) {
        Some((before, of)) => (before.trim_end().trim_end_matches("of").trim_end(), Some(of)),
        None => (text, None),
    };
    let metric = named_metric(name)?;
    let Some(of) = of else { return Ok((metric, LatencyOf::default())) };
    if !metric.has_failed_answers() {
        return Err(format!("`of {}` belongs to response and service", shown(of)));
    }
    let found = LatencyOf::ALL.into_iter().find(|known| known.name() == of);
    found.map(|of| (metric, of)).ok_or_else(|| {
        let names = LatencyOf::ALL.map(LatencyOf::name);
        format!("unknown `of {}` ({}){}", shown(of), names.join(", "), suggestion(of, &names))
    })
}

fn ends_with_of(text: &str) -> bool {
    text.trim_end().strip_suffix("of").is_some_and(|before| before.ends_with(char::is_whitespace))
}

fn named_metric(text: &str) -> Result<GateMetric, String> {
    if let Some((_, metric)) = WORDS.iter().find(|(word, _)| *word == text) {
        return Ok(*metric);
    }
    let Some((function, argument)) = text.split_once('(') else { return Err(unknown_word(text)) };
    let Some(argument) = argument.trim_end().strip_suffix(')') else {
        let missing = if argument.contains(')') { "something stands after the `)`" } else { "the `)` is missing" };
        return Err(format!("{missing} in `{}`", shown(text)));
    };
    let (function, argument) = (function.trim(), argument.trim());
    if WORDS.iter().any(|(word, _)| *word == function) {
        return Err(format!(
            "`{function}` takes nothing in parentheses: a group or step is named beside the expression"
        ));
    }
    let names = Quantity::ALL.map(Quantity::name);
    let quantity = Quantity::ALL.into_iter().find(|quantity| quantity.name() == argument).ok_or_else(|| {
        format!("unknown quantity `{}` ({}){}", shown(argument), names.join(", "), suggestion(argument, &names))
    })?;
    if function == "max" {
        return Ok(GateMetric::Max(quantity));
    }
    let percent: f64 = function
        .strip_prefix('p')
        .filter(|digits| is_plain_decimal(digits))
        .and_then(|digits| digits.parse().ok())
        .filter(|p| *p > 0.0 && *p < 100.0)
        .ok_or_else(|| {
            let hint = match function.to_ascii_lowercase().as_str() {
                "avg" | "mean" | "average" => ": a mean hides the slow ones, take a quantile",
                "min" | "minimum" => ": take a low quantile, such as p1",
                _ => "",
            };
            let hint = if hint.is_empty() { suggestion(function, &["max"]) } else { hint.to_owned() };
            format!("unknown function `{}` (p50 … p99.9, max){hint}", shown(function))
        })?;
    Ok(GateMetric::Quantile { quantity, quantile: percent / 100.0 })
}

/// A word that is no metric: perhaps a quantity without its function, a function without its quantity, or a typo.
fn unknown_word(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let meant = synonym(&lower);
    if let Some(quantity) = Quantity::ALL.into_iter().find(|quantity| meant == quantity.name()) {
        let quantity = quantity.name();
        return format!("`{}` needs a quantile: write p99({quantity}) or max({quantity})", shown(text));
    }
    let is_quantile = meant.strip_prefix('p').is_some_and(is_plain_decimal);
    if is_quantile || meant == "max" {
        return format!("`{}` needs a quantity: write {meant}(response)", shown(text));
    }
    let known = ["failures", "censored", "rate"];
    let hint = suggestion(text, &known);
    format!("unknown metric `{}` (pNN(quantity), max(quantity), failures, censored, rate){hint}", shown(text))
}

fn synonym(text: &str) -> &str {
    SYNONYMS.iter().find(|(other, _)| *other == text).map_or(text, |(_, ours)| ours)
}

/// `: did you mean …?` for what is nearly one of `known`, or another tool's word for it; else nothing.
fn suggestion(text: &str, known: &[&str]) -> String {
    let lower = text.to_ascii_lowercase();
    let meant = synonym(&lower);
    let near = |word: &&&str| distance(meant, word) <= word.chars().count().min(6) / 3;
    match known.iter().find(|word| **word == meant).or_else(|| known.iter().find(near)) {
        Some(word) => format!(": did you mean `{word}`?"),
        None => String::new(),
    }
}

/// How many letters must be put in, left out, exchanged or swapped with their neighbour to get from one to the other
/// (Damerau and Levenshtein's distance, optimal string alignment); long texts are far from everything.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().take(32).collect(), to.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, a) in from.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, b) in to.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let exchanged = at(&last, column) + usize::from(a != b);
            let mut best = exchanged.min(at(&last, column + 1) + 1).min(at(&next, column) + 1);
            let neighbours = (row.checked_sub(1), column.checked_sub(1));
            if let (Some(above), Some(left)) = neighbours
                && from.get(above) == Some(b)
                && to.get(left) == Some(a)
            {
                best = best.min(at(&before_last, left) + 1);
            }
            next.push(best);
        }
        before_last = std::mem::replace(&mut last, next);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

/// Digits with at most one point and at most eight digits after it: what Display writes back unchanged.
fn is_plain_decimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    !whole.is_empty() && digits(whole) && digits(fraction) && fraction.len() <= 8
}

fn limit_of(metric: GateMetric, text: &str) -> Result<f64, String> {
    if text.is_empty() {
        return Err("nothing stands after the comparison".to_owned());
    }
    match metric {
        GateMetric::Quantile { .. } | GateMetric::Max(_) => {
            text.parse::<HumanDuration>().map(|d| d.0 as f64).map_err(|e| e.to_string())
        }
        GateMetric::Failures | GateMetric::Censored => {
            let number = text.strip_suffix('%').ok_or_else(|| format!("`{}` needs a percent sign", shown(text)))?;
            let number = Some(number.trim()).filter(|number| is_plain_decimal(number));
            let share: f64 =
                number.and_then(|n| n.parse().ok()).ok_or_else(|| format!("`{}` is not a percentage", shown(text)))?;
            if (0.0..=100.0).contains(&share) {
                Ok(share / 100.0)
            } else {
                Err(format!("`{}` is not within 0..100%", shown(text)))
            }
        }
        GateMetric::Rate => text.parse::<Rate>().map(Rate::as_per_second).map_err(|e| e.to_string()),
    }
}
