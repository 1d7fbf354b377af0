//! How long the stub serves a request: distributions, and seeded draws that depend on nothing but (seed, number).

use std::fmt;
use std::str::FromStr;

use nuncius_schemas::units::HumanDuration;

/// No draw is longer than a day: a heavy tail must not overflow the sums of the queue.
const LONGEST_NS: f64 = 86_400e9;

/// The distribution of service times. Written `0`, `2ms`, `constant:2ms`, `exponential:2ms`, `uniform:1ms..3ms`,
/// `lognormal:2ms,0.5`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ServiceTime {
    /// Always the same, in nanoseconds. Zero is answered at once, without any timer.
    Constant {
        /// Nanoseconds.
        service_ns: u64,
    },
    /// Exponential with this mean in nanoseconds.
    Exponential {
        /// Nanoseconds.
        mean_ns: u64,
    },
    /// Uniform between two times in nanoseconds.
    Uniform {
        /// Nanoseconds.
        least_ns: u64,
        /// Nanoseconds, not below `least_ns`.
        most_ns: u64,
    },
    /// Lognormal: its own mean (not that of the logarithm) in nanoseconds, and the standard deviation of the logarithm.
    Lognormal {
        /// Nanoseconds.
        mean_ns: u64,
        /// Standard deviation of the natural logarithm, 0 to 10.
        sigma: f64,
    },
}

impl Default for ServiceTime {
    fn default() -> Self {
        Self::Constant { service_ns: 0 }
    }
}

/// Why a text is no service time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceTimeError {
    /// The word before the colon is unknown.
    #[error(
        "`{kind}` is no distribution of service times: write 2ms, constant:2ms, exponential:2ms, uniform:1ms..3ms or lognormal:2ms,0.5"
    )]
    Kind {
        /// The word.
        kind: String,
    },
    /// A time in it is no duration.
    #[error("in the service time `{text}`: {source}")]
    Duration {
        /// The whole text.
        text: String,
        /// What was wrong with the time.
        source: nuncius_schemas::units::UnitError,
    },
    /// A time is above a day.
    #[error("the service time `{text}` is above the limit of 24h")]
    TooLong {
        /// The whole text.
        text: String,
    },
    /// `uniform` without two ascending times.
    #[error("`{text}` is no range of times: write the shorter time first, as in uniform:1ms..3ms")]
    Range {
        /// The whole text.
        text: String,
    },
    /// `lognormal` without a usable sigma.
    #[error("`{text}` needs a mean and a sigma from 0 to 10, as in lognormal:2ms,0.5")]
    Sigma {
        /// The whole text.
        text: String,
    },
}

impl FromStr for ServiceTime {
    type Err = ServiceTimeError;

    fn from_str(text: &str) -> Result<Self, ServiceTimeError> {
        let text = text.trim();
        let time = |part: &str| -> Result<u64, ServiceTimeError> {
            let duration = part
                .trim()
                .parse::<HumanDuration>()
                .map_err(|source| ServiceTimeError::Duration { text: text.to_owned(), source })?;
            if duration.as_nanos() as f64 > LONGEST_NS {
                return Err(ServiceTimeError::TooLong { text: text.to_owned() });
            }
            Ok(duration.as_nanos())
        };
        let Some((kind, rest)) = text.split_once(':') else {
            return Ok(Self::Constant { service_ns: time(text)? });
        };
        match kind.trim() {
            "constant" => Ok(Self::Constant { service_ns: time(rest)? }),
            "exponential" => Ok(Self::Exponential { mean_ns: time(rest)? }),
            "uniform" => {
                let range = || ServiceTimeError::Range { text: text.to_owned() };
                let (least, most) = rest.split_once("..").ok_or_else(range)?;
                let (least_ns, most_ns) = (time(least)?, time(most)?);
                if least_ns > most_ns {
                    return Err(range());
                }
                Ok(Self::Uniform { least_ns, most_ns })
            }
            "lognormal" => {
                let bad = || ServiceTimeError::Sigma { text: text.to_owned() };
                let (mean, sigma) = rest.split_once(',').ok_or_else(bad)?;
                let sigma: f64 = sigma.trim().parse().map_err(|_| bad())?;
                if !(0.0..=10.0).contains(&sigma) {
                    return Err(bad());
                }
                Ok(Self::Lognormal { mean_ns: time(mean)?, sigma })
            }
            _ => Err(ServiceTimeError::Kind { kind: kind.trim().to_owned() }),
        }
    }
}

impl fmt::Display for ServiceTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Constant { service_ns } => write!(f, "constant:{}", HumanDuration(service_ns)),
            Self::Exponential { mean_ns } => write!(f, "exponential:{}", HumanDuration(mean_ns)),
            Self::Uniform { least_ns, most_ns } => {
                write!(f, "uniform:{}..{}", HumanDuration(least_ns), HumanDuration(most_ns))
            }
            Self::Lognormal { mean_ns, sigma } => write!(f, "lognormal:{},{sigma}", HumanDuration(mean_ns)),
        }
    }
}

impl ServiceTime {
    /// True when every request is served in no time.
    pub fn is_zero(&self) -> bool {
        matches!(self, Self::Constant { service_ns: 0 })
    }

    /// The service time of request `number` in nanoseconds: a pure function of (`seed`, `number`).
    pub fn sample_ns(&self, seed: u64, number: u64) -> u64 {
        match *self {
            Self::Constant { service_ns } => service_ns,
            Self::Exponential { mean_ns } => bounded(-(mean_ns as f64) * libm::log(uniform(seed, number, 0))),
            Self::Uniform { least_ns, most_ns } => {
                bounded(least_ns as f64 + (most_ns.saturating_sub(least_ns)) as f64 * uniform(seed, number, 0))
            }
            Self::Lognormal { mean_ns: 0, .. } => 0,
            Self::Lognormal { mean_ns, sigma } => {
                // Box and Muller (1958), one of the pair. The mean of a lognormal is exp(mu + sigma^2 / 2).
                let radius = libm::sqrt(-2.0 * libm::log(uniform(seed, number, 0)));
                let normal = radius * libm::cos(std::f64::consts::TAU * uniform(seed, number, 1));
                let mu = libm::log(mean_ns as f64) - sigma * sigma / 2.0;
                bounded(libm::exp(mu + sigma * normal))
            }
        }
    }
}

/// Stream of draws that decides which requests fail.
pub(crate) const ERROR_STREAM: u64 = 2;

fn bounded(service_ns: f64) -> u64 {
    libm::round(service_ns.clamp(0.0, LONGEST_NS)) as u64
}

/// A number in (0, 1), both ends excluded, for draw `stream` of request `number`: the finalizer of SplitMix64 (Steele,
/// Lea, Flood 2014) over a counter.
pub(crate) fn uniform(seed: u64, number: u64, stream: u64) -> f64 {
    let mixed_seed = mix(seed.wrapping_add(stream.wrapping_mul(0xD1B5_4A32_D192_ED03)));
    let bits = mix(mixed_seed.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// Mixes the bits of a number, one to one.
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(text: &str) -> (f64, f64) {
        let distribution: ServiceTime = text.parse().unwrap();
        let count = 200_000u64;
        let samples: Vec<f64> = (0..count).map(|number| distribution.sample_ns(7, number) as f64).collect();
        let mean = samples.iter().sum::<f64>() / count as f64;
        let variance = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / count as f64;
        (mean, variance.sqrt() / mean)
    }

    #[test]
    fn every_distribution_has_the_mean_and_the_spread_it_is_named_for() {
        // Coefficients of variation: 0; 1; (b - a) / (sqrt(12) mean); sqrt(exp(sigma^2) - 1).
        for (text, mean_ns, variation) in [
            ("2ms", 2e6, 0.0),
            ("exponential:2ms", 2e6, 1.0),
            ("uniform:1ms..3ms", 2e6, 2.0 / (12f64.sqrt() * 2.0)),
            ("lognormal:2ms,0.5", 2e6, (0.25f64.exp() - 1.0).sqrt()),
        ] {
            let (mean, spread) = moments(text);
            assert!((mean / mean_ns - 1.0).abs() < 0.01, "{text}: mean {mean}");
            assert!((spread - variation).abs() < 0.02, "{text}: variation {spread}");
        }
    }

    #[test]
    fn a_draw_depends_on_seed_and_number_alone() {
        let distribution: ServiceTime = "exponential:2ms".parse().unwrap();
        let forward: Vec<u64> = (0..100).map(|number| distribution.sample_ns(1, number)).collect();
        let mut backward: Vec<u64> = (0..100).rev().map(|number| distribution.sample_ns(1, number)).collect();
        backward.reverse();
        assert_eq!(forward, backward);
        assert_ne!(forward, (0..100).map(|number| distribution.sample_ns(2, number)).collect::<Vec<_>>());
    }

    #[test]
    fn every_form_is_read_and_written_back() {
        for text in ["constant:0s", "constant:2ms", "exponential:250us", "uniform:1ms..3ms", "lognormal:2ms,0.5"] {
            assert_eq!(text.parse::<ServiceTime>().unwrap().to_string(), text);
        }
        assert!("0".parse::<ServiceTime>().unwrap().is_zero());
        assert_eq!("2ms".parse::<ServiceTime>(), "constant:2ms".parse());
    }

    #[test]
    fn what_is_no_service_time_is_refused_with_its_reason() {
        assert!(matches!("pareto:2ms".parse::<ServiceTime>(), Err(ServiceTimeError::Kind { .. })));
        assert!(matches!("constant:2".parse::<ServiceTime>(), Err(ServiceTimeError::Duration { .. })));
        assert!(matches!("".parse::<ServiceTime>(), Err(ServiceTimeError::Duration { .. })));
        assert!(matches!("uniform:3ms..1ms".parse::<ServiceTime>(), Err(ServiceTimeError::Range { .. })));
        assert!(matches!("lognormal:2ms".parse::<ServiceTime>(), Err(ServiceTimeError::Sigma { .. })));
        assert!(matches!("lognormal:2ms,NaN".parse::<ServiceTime>(), Err(ServiceTimeError::Sigma { .. })));
        assert!(matches!("exponential:25h".parse::<ServiceTime>(), Err(ServiceTimeError::TooLong { .. })));
    }
}
