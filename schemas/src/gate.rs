//! Gates: what must hold for a run to pass, as people write it: `p99(response) < 250ms`, `failures < 1%`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{HumanDuration, Rate};

mod parse;
mod wire;

pub use parse::GateError;

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

/// Whose latencies a gate on `response` or `service` looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LatencyOf {
    /// Of what succeeded or waited its timeout: an error page that comes fast makes no target fast.
    #[default]
    Succeeded,
    /// Of these and of the answers that failed.
    All,
}

impl LatencyOf {
    /// Both, in the order of their declaration.
    pub const ALL: [Self; 2] = [Self::Succeeded, Self::All];

    /// The name people write.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::All => "all",
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
    /// Succeeded requests per second of the time that load was offered for.
    Rate,
}

impl GateMetric {
    /// The quantity that is looked at, for quantiles and maxima.
    pub const fn quantity(self) -> Option<Quantity> {
        match self {
            Self::Quantile { quantity, .. } | Self::Max(quantity) => Some(quantity),
            Self::Failures | Self::Censored | Self::Rate => None,
        }
    }

    /// Whether answers that failed have a value of their own here, so that it must be said whether they count.
    pub const fn has_failed_answers(self) -> bool {
        matches!(self.quantity(), Some(Quantity::Response | Quantity::Service))
    }
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
    /// Whose latencies; [`LatencyOf::Succeeded`] where [`GateMetric::has_failed_answers`] is false.
    pub of: LatencyOf,
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
        write!(f, "{}", self.metric)?;
        if self.of != LatencyOf::default() {
            write!(f, " of {}", self.of.name())?;
        }
        write!(f, " {} ", self.comparison.symbol())?;
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

#[cfg(test)]
mod tests;
