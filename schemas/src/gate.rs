//! Gates: what must hold for a run to pass, as people write it: `p99(response) < 250ms`, `failures < 1%`.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::{HumanDuration, Rate};

/// One of the four measured quantities of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Done − planned: the headline.
    Response,
    /// Done − sent.
    Service,
    /// Sent − taken from the schedule: no free connection.
    Blocked,
    /// Taken from the schedule − planned: the generator's own fault.
    Lag,
}

impl Quantity {
    /// All four, in the order in which reports show them.
    pub const ALL: [Self; 4] = [Self::Response, Self::Service, Self::Blocked, Self::Lag];

    /// The name people write.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Service => "service",
            Self::Blocked => "blocked",
            Self::Lag => "lag",
        }
    }
}

/// What a gate looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GateMetric {
    /// A quantile in (0, 1) of a quantity; compared with nanoseconds.
    Quantile {
        /// Which quantity.
        quantity: Quantity,
        /// In (0, 1): 0.99 for p99.
        quantile: f64,
    },
    /// The largest value of a quantity; compared with nanoseconds.
    Max(Quantity),
    /// Failed requests as a share of those that ended.
    Failures,
    /// Censored requests as a share of those offered.
    Censored,
    /// Succeeded requests per second.
    Rate,
}

/// How the metric is compared with the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// Whether `value` keeps to `limit`.
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::LessOrEqual => value <= limit,
            Self::Greater => value > limit,
            Self::GreaterOrEqual => value >= limit,
        }
    }

    /// Whether small values pass.
    pub const fn is_upper_limit(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual)
    }

    const fn symbol(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// A metric, a comparison and a limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateExpression {
    /// What is looked at.
    pub metric: GateMetric,
    /// How it is compared.
    pub comparison: Comparison,
    /// Nanoseconds for quantiles and maxima, a share in 0..=1 for failures and censored, per second for the rate.
    pub limit: f64,
}

/// A gate with its scope.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// What must hold.
    pub expression: GateExpression,
    /// Only this group, all groups when absent.
    pub group: Option<String>,
    /// Only this step of the group.
    pub step: Option<String>,
    /// Must hold in every window of this length (whole seconds), instead of over the run.
    pub over: Option<HumanDuration>,
    /// End the run as soon as the gate has failed.
    pub abort: bool,
}

/// Why a gate could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a gate: {problem}; write for example `p99(response) < 250ms`, `failures < 1%`, `rate > 900/s`"
)]
pub struct GateError {
    text: String,
    problem: String,
}

impl FromStr for GateExpression {
    type Err = GateError;

    fn from_str(text: &str) -> Result<Self, GateError> {
        // A text from outside may be as long as a message: the error repeats no more than its beginning.
        let bad = |problem: &str| GateError {
            text: text.chars().take(80).collect(),
            problem: problem.chars().take(200).collect(),
        };
        let at = text.find(['<', '>']).ok_or_else(|| bad("no comparison (< <= > >=)"))?;
        let (metric, rest) = text.split_at(at);
        let (comparison, limit) = match rest.as_bytes() {
            [b'<', b'=', ..] => (Comparison::LessOrEqual, rest.get(2..)),
            [b'<', ..] => (Comparison::Less, rest.get(1..)),
            [b'>', b'=', ..] => (Comparison::GreaterOrEqual, rest.get(2..)),
            _ => (Comparison::Greater, rest.get(1..)),
        };
        if metric.trim_end().ends_with('=') {
            return Err(bad("a comparison is written <= or >="));
        }
        let metric = parse_metric(metric.trim()).map_err(|problem| bad(&problem))?;
        let limit = parse_limit(metric, limit.unwrap_or_default().trim()).map_err(|problem| bad(&problem))?;
        Ok(Self { metric, comparison, limit })
    }
}

fn parse_metric(text: &str) -> Result<GateMetric, String> {
    match text {
        "failures" => return Ok(GateMetric::Failures),
        "censored" => return Ok(GateMetric::Censored),
        "rate" => return Ok(GateMetric::Rate),
        _ => {}
    }
    let (function, argument) = text
        .strip_suffix(')')
        .and_then(|t| t.split_once('('))
        .ok_or_else(|| format!("unknown metric `{text}` (pNN(quantity), max(quantity), failures, censored, rate)"))?;
    let quantity = Quantity::ALL
        .into_iter()
        .find(|q| q.name() == argument.trim())
        .ok_or_else(|| format!("unknown quantity `{argument}` (response, service, blocked, lag)"))?;
    let function = function.trim();
    if function == "max" {
        return Ok(GateMetric::Max(quantity));
    }
    let percent: f64 = function
        .strip_prefix('p')
        .filter(|digits| is_plain_decimal(digits))
        .and_then(|digits| digits.parse().ok())
        .filter(|p| *p > 0.0 && *p < 100.0)
        .ok_or_else(|| format!("unknown function `{function}` (p50 … p99.9, max)"))?;
    Ok(GateMetric::Quantile { quantity, quantile: percent / 100.0 })
}

/// Digits with at most one point and at most eight digits after it: what Display writes back unchanged.
fn is_plain_decimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    !whole.is_empty() && digits(whole) && digits(fraction) && fraction.len() <= 8
}

fn parse_limit(metric: GateMetric, text: &str) -> Result<f64, String> {
    match metric {
        GateMetric::Quantile { .. } | GateMetric::Max(_) => {
            text.parse::<HumanDuration>().map(|d| d.0 as f64).map_err(|e| e.to_string())
        }
        GateMetric::Failures | GateMetric::Censored => {
            let number = text.strip_suffix('%').ok_or_else(|| format!("`{text}` needs a percent sign"))?;
            let number = Some(number.trim()).filter(|number| is_plain_decimal(number));
            let share: f64 =
                number.and_then(|n| n.parse().ok()).ok_or_else(|| format!("`{text}` is not a percentage"))?;
            if (0.0..=100.0).contains(&share) {
                Ok(share / 100.0)
            } else {
                Err(format!("`{text}` is not within 0..100%"))
            }
        }
        GateMetric::Rate => text.parse::<Rate>().map(Rate::as_per_second).map_err(|e| e.to_string()),
    }
}

impl fmt::Display for GateMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantile { quantity, quantile } => {
                // Ten digits hide what the division by 100 left behind: 99.9, not 99.90000000000001.
                let percent = (quantile * 100.0 * 1e10).round() / 1e10;
                write!(f, "p{percent}({})", quantity.name())
            }
            Self::Max(quantity) => write!(f, "max({})", quantity.name()),
            Self::Failures => f.write_str("failures"),
            Self::Censored => f.write_str("censored"),
            Self::Rate => f.write_str("rate"),
        }
    }
}

impl fmt::Display for GateExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.metric, self.comparison.symbol())?;
        match self.metric {
            GateMetric::Quantile { .. } | GateMetric::Max(_) => write!(f, "{}", HumanDuration(self.limit as u64)),
            GateMetric::Failures | GateMetric::Censored => write!(f, "{}%", (self.limit * 100.0 * 1e10).round() / 1e10),
            // As a rate, which says thirds exactly ("20/m") where digits cannot.
            GateMetric::Rate => write!(f, "{}", Rate((self.limit * Rate::PER_SECOND as f64).round() as u64)),
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expression)?;
        if let Some(over) = self.over {
            write!(f, " over any {over}")?;
        }
        match (&self.group, &self.step) {
            (Some(group), Some(step)) => write!(f, " in {group}/{step}"),
            (Some(group), None) => write!(f, " in {group}"),
            (None, Some(step)) => write!(f, " in */{step}"),
            (None, None) => Ok(()),
        }
    }
}

impl Serialize for Gate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("expression", &self.expression.to_string())?;
        if let Some(group) = &self.group {
            map.serialize_entry("group", group)?;
        }
        if let Some(step) = &self.step {
            map.serialize_entry("step", step)?;
        }
        if let Some(over) = &self.over {
            map.serialize_entry("over", over)?;
        }
        if self.abort {
            map.serialize_entry("abort", &true)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Gate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GateVisitor)
    }
}

struct GateVisitor;

impl<'de> Visitor<'de> for GateVisitor {
    type Value = Gate;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a gate: `p99(response) < 250ms` or a map with `expression`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Gate, E> {
        let expression = text.parse().map_err(E::custom)?;
        Ok(Gate { expression, group: None, step: None, over: None, abort: false })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Gate, A::Error> {
        const FIELDS: &[&str] = &["expression", "group", "step", "over", "abort"];
        let (mut expression, mut group, mut step, mut over, mut abort) = (None, None, None, None, false);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "expression" => {
                    let text: String = map.next_value()?;
                    expression = Some(text.parse().map_err(de::Error::custom)?);
                }
                "group" => group = map.next_value()?,
                "step" => step = map.next_value()?,
                "over" => over = map.next_value()?,
                "abort" => abort = map.next_value()?,
                other => return Err(de::Error::unknown_field(other, FIELDS)),
            }
        }
        let expression = expression.ok_or_else(|| de::Error::missing_field("expression"))?;
        Ok(Gate { expression, group, step, over, abort })
    }
}

impl JsonSchema for Gate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Gate".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let expression = json_schema!({
            "type": "string",
            "description": "metric, comparison, limit: p99(response) < 250ms, max(lag) < 10ms, failures < 1%, censored < 1%, rate > 900/s",
            "pattern": r"^(p[0-9.]+\((response|service|blocked|lag)\)|max\((response|service|blocked|lag)\)|failures|censored|rate) *(<|<=|>|>=) *.+$"
        });
        let duration = generator.subschema_for::<HumanDuration>();
        json_schema!({
            "oneOf": [
                expression,
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["expression"],
                    "properties": {
                        "expression": expression,
                        "group": { "type": "string", "description": "only this group" },
                        "step": { "type": "string", "description": "only this step" },
                        "over": duration,
                        "abort": { "type": "boolean", "description": "end the run as soon as the gate has failed" }
                    }
                }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_reads_back_as_it_was_written() {
        for text in [
            "p99(response) < 250ms",
            "p99.9(service) <= 1s",
            "max(lag) < 10ms",
            "failures < 1%",
            "censored <= 0.5%",
            "rate > 900/s",
            "rate >= 20/m",
            "rate > 1/h",
            "failures < 0.00000001%",
            "p99.99999999(response) < 1s",
        ] {
            let gate: GateExpression = text.parse().unwrap();
            assert_eq!(gate.to_string(), text);
        }
    }

    #[test]
    fn a_gate_that_means_nothing_is_refused_with_the_reason() {
        for (text, reason) in [
            ("p99(response)", "no comparison"),
            ("p99(response) =< 1s", "written <= or >="),
            ("p100(response) < 1s", "p100"),
            ("p99(speed) < 1s", "speed"),
            ("failures < 1", "percent"),
            ("p99(response) < 250", "duration"),
            ("rate > -1/s", "rate"),
            ("failures < NaN%", "percentage"),
            ("failures < 1e-9%", "percentage"),
            ("p99.9999999999999(response) < 1s", "unknown function"),
        ] {
            let error = text.parse::<GateExpression>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn scope_and_abort_survive_the_wire() {
        let gate: Gate = serde_json::from_str(
            r#"{"expression":"p99(response) < 250ms","group":"browse","over":"30s","abort":true}"#,
        )
        .unwrap();
        let bytes = rmp_serde::to_vec_named(&gate).unwrap();
        assert_eq!(rmp_serde::from_slice::<Gate>(&bytes).unwrap(), gate);
        assert!(serde_json::from_str::<Gate>(r#"{"expression":"rate > 1/s","abrt":true}"#).is_err());
    }
}
