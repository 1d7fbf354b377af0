//! Time between two requests of a client, as Galileo's users write it: a number of seconds, or a distribution with the
//! parameters that Python's module `random` gives it, in seconds.

use std::f64::consts::TAU;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::units::{HumanDuration, Rate, SECOND_NS};

/// Longest list of times between requests.
pub const LIST_MAX: usize = 100_000;
/// Longest time between two requests, in seconds: a day. What is drawn beyond counts as this.
pub const LONGEST_SECONDS: f64 = 86_400.0;
/// Shortest time between two requests, in nanoseconds: what is drawn below, negative times among it, counts as this. So
/// a client that never waits sends a million requests a second, and not without end.
pub const SHORTEST_NS: u64 = 1_000;
/// Most clients of a group.
pub const CLIENTS_MAX: u32 = 100_000;
/// The highest rate that clients count as having together.
const RATE_MAX: Rate = Rate::per_second(10_000_000);

/// How long a client waits before each of its requests, in seconds.
#[derive(Debug, Clone, PartialEq)]
pub enum Interarrival {
    /// Always as long.
    Constant(f64),
    /// Anything between two times alike.
    Uniform {
        /// From.
        low: f64,
        /// To.
        high: f64,
    },
    /// Between two times, most often near a third.
    Triangular {
        /// From.
        low: f64,
        /// To.
        high: f64,
        /// The most frequent.
        mode: f64,
    },
    /// Normal: mean and standard deviation.
    Normal {
        /// Mean.
        mu: f64,
        /// Standard deviation.
        sigma: f64,
    },
    /// Its logarithm is normal.
    LogNormal {
        /// Mean of the logarithm.
        mu: f64,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
    /// Exponential: a Poisson process of so many a second.
    Exponential {
        /// Rate: one over the mean.
        lambda: f64,
    },
    /// An angle, as von Mises has it, in radians taken for seconds.
    VonMises {
        /// The most frequent.
        mu: f64,
        /// Concentration.
        kappa: f64,
    },
    /// Gamma: its mean is alpha · beta.
    Gamma {
        /// Shape.
        alpha: f64,
        /// Scale.
        beta: f64,
    },
    /// Beta, between 0 and 1.
    Beta {
        /// First shape.
        alpha: f64,
        /// Second shape.
        beta: f64,
    },
    /// Pareto, from 1 on.
    Pareto {
        /// Shape.
        alpha: f64,
    },
    /// Weibull.
    Weibull {
        /// Scale.
        alpha: f64,
        /// Shape.
        beta: f64,
    },
    /// These, one after the other; a client ends with the last.
    List(Vec<f64>),
}

/// What is wrong with a time between requests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InterarrivalError(String);

/// Name, the name in Python's module, number of parameters.
const KINDS: [(&str, &str, usize); 11] = [
    ("constant", "constant", 1),
    ("uniform", "uniform", 2),
    ("triangular", "triangular", 3),
    ("normal", "normalvariate", 2),
    ("lognormal", "lognormvariate", 2),
    ("exponential", "expovariate", 1),
    ("von_mises", "vonmisesvariate", 2),
    ("gamma", "gammavariate", 2),
    ("beta", "betavariate", 2),
    ("pareto", "paretovariate", 1),
    ("weibull", "weibullvariate", 2),
];

impl Interarrival {
    /// From the name of a distribution, ours or Python's, and its parameters.
    ///
    /// # Errors
    /// No such distribution, or parameters that it cannot have.
    pub fn new(name: &str, parameters: &[f64]) -> Result<Self, InterarrivalError> {
        let python = if name == "gauss" { "normalvariate" } else { name };
        let known = KINDS.iter().find(|(own, theirs, _)| *own == name || *theirs == python);
        let Some((own, _, count)) = known else {
            let names: Vec<&str> = KINDS.iter().map(|(own, ..)| *own).collect();
            let shown: String = name.chars().take(40).collect();
            return Err(InterarrivalError(format!("no distribution `{shown}`: there are {}", names.join(", "))));
        };
        if parameters.len() != *count {
            return Err(InterarrivalError(format!("{own} has {count} parameters, not {}", parameters.len())));
        }
        let at = |index: usize| parameters.get(index).copied().unwrap_or(0.0);
        let (a, b, c) = (at(0), at(1), at(2));
        let made = match *own {
            "constant" => Self::Constant(a),
            "uniform" => Self::Uniform { low: a, high: b },
            "triangular" => Self::Triangular { low: a, high: b, mode: c },
            "normal" => Self::Normal { mu: a, sigma: b },
            "lognormal" => Self::LogNormal { mu: a, sigma: b },
            "exponential" => Self::Exponential { lambda: a },
            "von_mises" => Self::VonMises { mu: a, kappa: b },
            "gamma" => Self::Gamma { alpha: a, beta: b },
            "beta" => Self::Beta { alpha: a, beta: b },
            "pareto" => Self::Pareto { alpha: a },
            _ => Self::Weibull { alpha: a, beta: b },
        };
        made.checked()
    }

    /// Refuses what never gives a time over 0, and parameters that the distribution cannot have.
    fn checked(self) -> Result<Self, InterarrivalError> {
        let problem = match &self {
            _ if self.parameters().iter().any(|value| !value.is_finite()) => Some("a parameter is no number"),
            Self::Constant(seconds) if *seconds <= 0.0 => Some("the time has to be over 0"),
            Self::Uniform { low, high } if low > high || *high <= 0.0 => Some("write the shorter time first, over 0"),
            Self::Triangular { low, high, mode } if low > mode || mode > high || *high <= 0.0 => {
                Some("write low, high and mode with low ≤ mode ≤ high, and high over 0")
            }
            Self::Normal { mu, sigma } if *sigma < 0.0 || *mu <= 0.0 => Some("mu has to be over 0, sigma 0 or more"),
            Self::LogNormal { sigma, .. } if *sigma < 0.0 => Some("sigma has to be 0 or more"),
            Self::Exponential { lambda } if *lambda <= 0.0 => Some("lambda has to be over 0: it is one over the mean"),
            Self::VonMises { kappa, .. } if *kappa < 0.0 => Some("kappa has to be 0 or more"),
            Self::Gamma { alpha, beta } | Self::Beta { alpha, beta } | Self::Weibull { alpha, beta }
                if *alpha <= 0.0 || *beta <= 0.0 =>
            {
                Some("alpha and beta have to be over 0")
            }
            Self::Pareto { alpha } if *alpha <= 0.0 => Some("alpha has to be over 0"),
            Self::List(seconds) if seconds.is_empty() => Some("the list is empty"),
            Self::List(seconds) if seconds.len() > LIST_MAX => Some("the list has more than 100000 entries"),
            Self::List(seconds) if seconds.iter().any(|time| *time < 0.0) => Some("a time of the list is below 0"),
            Self::Constant(_)
            | Self::Uniform { .. }
            | Self::Triangular { .. }
            | Self::Normal { .. }
            | Self::LogNormal { .. }
            | Self::Exponential { .. }
            | Self::VonMises { .. }
            | Self::Gamma { .. }
            | Self::Beta { .. }
            | Self::Pareto { .. }
            | Self::Weibull { .. }
            | Self::List(_) => None,
        };
        match problem {
            Some(problem) => Err(InterarrivalError(format!("{}: {problem}", self.name()))),
            None => Ok(self),
        }
    }

    /// The mean, in seconds; of a list, of its entries. It may be infinite.
    pub fn mean_seconds(&self) -> f64 {
        match self {
            Self::Constant(seconds) => *seconds,
            Self::Uniform { low, high } => (low + high) / 2.0,
            Self::Triangular { low, high, mode } => (low + high + mode) / 3.0,
            Self::Normal { mu, .. } => *mu,
            Self::LogNormal { mu, sigma } => libm::exp(mu + sigma * sigma / 2.0),
            Self::Exponential { lambda } => 1.0 / lambda,
            Self::VonMises { mu, .. } => mu - TAU * libm::floor(mu / TAU),
            Self::Gamma { alpha, beta } => alpha * beta,
            Self::Beta { alpha, beta } => alpha / (alpha + beta),
            Self::Pareto { alpha } if *alpha > 1.0 => alpha / (alpha - 1.0),
            Self::Pareto { .. } => f64::INFINITY,
            Self::Weibull { alpha, beta } => alpha * libm::tgamma(1.0 + 1.0 / beta),
            Self::List(seconds) => seconds.iter().sum::<f64>() / seconds.len().max(1) as f64,
        }
    }

    /// The name of the distribution.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Constant(_) => "constant",
            Self::Uniform { .. } => "uniform",
            Self::Triangular { .. } => "triangular",
            Self::Normal { .. } => "normal",
            Self::LogNormal { .. } => "lognormal",
            Self::Exponential { .. } => "exponential",
            Self::VonMises { .. } => "von_mises",
            Self::Gamma { .. } => "gamma",
            Self::Beta { .. } => "beta",
            Self::Pareto { .. } => "pareto",
            Self::Weibull { .. } => "weibull",
            Self::List(_) => "list",
        }
    }

    /// Its parameters, in the order of [`Interarrival::new`]; the entries of a list.
    pub fn parameters(&self) -> Vec<f64> {
        match self {
            Self::Constant(a) | Self::Exponential { lambda: a } | Self::Pareto { alpha: a } => vec![*a],
            Self::Uniform { low: a, high: b }
            | Self::Normal { mu: a, sigma: b }
            | Self::LogNormal { mu: a, sigma: b }
            | Self::VonMises { mu: a, kappa: b }
            | Self::Gamma { alpha: a, beta: b }
            | Self::Beta { alpha: a, beta: b }
            | Self::Weibull { alpha: a, beta: b } => vec![*a, *b],
            Self::Triangular { low, high, mode } => vec![*low, *high, *mode],
            Self::List(seconds) => seconds.clone(),
        }
    }
}

impl fmt::Display for Interarrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(seconds) => write!(f, "list of {}", seconds.len()),
            other => {
                let parameters: Vec<String> = other.parameters().iter().map(f64::to_string).collect();
                write!(f, "{}({})", other.name(), parameters.join(", "))
            }
        }
    }
}

impl Serialize for Interarrival {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts: Vec<Value> = Vec::new();
        match self {
            Self::Constant(seconds) => return serializer.serialize_f64(*seconds),
            Self::List(_) => {}
            other => parts.push(other.name().into()),
        }
        parts.extend(self.parameters().into_iter().map(Value::from));
        parts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Interarrival {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let problem = |text: String| serde::de::Error::custom(text);
        let number = |value: &Value| match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse::<HumanDuration>().ok().map(|time| time.0 as f64 / SECOND_NS as f64),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let written = Value::deserialize(deserializer)?;
        let usage = || {
            problem(
                "write seconds (0.5), a time (500ms), a distribution with its parameters ([exponential, 10]) or a list \
                 of seconds ([0.1, 0.2])"
                    .to_owned(),
            )
        };
        let made = match &written {
            Value::Array(parts) => {
                let (name, parameters) = match parts.split_first() {
                    Some((Value::String(name), rest)) if name.parse::<HumanDuration>().is_err() => (Some(name), rest),
                    _ => (None, parts.as_slice()),
                };
                let parameters: Vec<f64> = parameters.iter().map(number).collect::<Option<_>>().ok_or_else(usage)?;
                match name {
                    Some(name) => Self::new(name, &parameters),
                    None => Self::List(parameters).checked(),
                }
            }
            other => Self::Constant(number(other).ok_or_else(usage)?).checked(),
        };
        made.map_err(|error| problem(error.to_string()))
    }
}

impl JsonSchema for Interarrival {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Interarrival".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut names: Vec<&str> = KINDS.iter().flat_map(|(own, theirs, _)| [*own, *theirs]).collect();
        // Some are called the same there.
        names.dedup();
        json_schema!({
            "description": "Time before each request of a client: seconds, a time, a distribution with the parameters \
                            of Python's module random, or a list of seconds.",
            "anyOf": [
                { "type": "number", "exclusiveMinimum": 0 },
                { "type": "string" },
                {
                    "type": "array",
                    "prefixItems": [{ "enum": names }],
                    "items": { "type": "number" },
                    "minItems": 2,
                    "maxItems": 4
                },
                { "type": "array", "items": { "type": ["number", "string"] }, "minItems": 1, "maxItems": LIST_MAX }
            ]
        })
    }
}

impl Clients {
    /// How many requests a second they send together in the long run: a number over 0, however small.
    pub fn mean_rate(&self) -> Rate {
        let each_ns = (self.interarrival.mean_seconds() * SECOND_NS as f64).max(SHORTEST_NS as f64);
        let per_second = f64::from(self.count) * SECOND_NS as f64 / each_ns;
        // A float becomes the nearest integer there is.
        Rate(((per_second * Rate::PER_SECOND as f64) as u64).clamp(1, RATE_MAX.0))
    }
}

/// Clients that each send one request after the other, in the open model: whatever the answers take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Clients {
    /// How many there are over all nodes.
    pub count: u32,
    /// How long each waits before each of its requests.
    pub interarrival: Interarrival,
    /// How many requests each sends at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Interarrival, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_written_as_galileos_users_write_it_and_comes_back_the_same() {
        for (text, meant) in [
            ("0.5", Interarrival::Constant(0.5)),
            (r#""500ms""#, Interarrival::Constant(0.5)),
            (r#"["expovariate", 10]"#, Interarrival::Exponential { lambda: 10.0 }),
            (r#"["gauss", 1, 0.1]"#, Interarrival::Normal { mu: 1.0, sigma: 0.1 }),
            (r#"["triangular", 0, 3, 1]"#, Interarrival::Triangular { low: 0.0, high: 3.0, mode: 1.0 }),
            (r#"["vonmisesvariate", 1, 4]"#, Interarrival::VonMises { mu: 1.0, kappa: 4.0 }),
            (r#"[0.1, "20ms"]"#, Interarrival::List(vec![0.1, 0.02])),
        ] {
            let made = read(text).unwrap();
            assert_eq!(made, meant, "{text}");
            assert_eq!(read(&serde_json::to_string(&made).unwrap()).unwrap(), made, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_in_its_own_words() {
        for (text, word) in [
            ("0", "over 0"),
            ("-1", "over 0"),
            (r#"["poisson", 1]"#, "there are constant, uniform"),
            (r#"["exponential"]"#, "has 1 parameters"),
            (r#"["exponential", 0]"#, "one over the mean"),
            (r#"["uniform", 2, 1]"#, "shorter"),
            (r#"["uniform", -2, -1]"#, "over 0"),
            (r#"["gamma", 0, 1]"#, "alpha and beta"),
            ("[0.1, -0.1]", "below 0"),
            ("[]", "empty"),
            ("{}", "write seconds"),
            (r#"[["a"]]"#, "write seconds"),
        ] {
            assert!(read(text).unwrap_err().contains(word), "{text}: {}", read(text).unwrap_err());
        }
        let long = format!("[{}]", vec!["1"; LIST_MAX + 1].join(","));
        assert!(read(&long).unwrap_err().contains("100000"));
    }
}
