//! Random times of a distribution, as pure functions of what they are drawn for.
//!
//! Formulas: Devroye, "Non-Uniform Random Variate Generation", 1986; gamma by Marsaglia and Tsang, "A simple method for
//! generating gamma variables", 2000; von Mises by Best and Fisher, "Efficient simulation of the von Mises
//! distribution", 1979. Parameters as Python's module `random` has them.

use std::f64::consts::{PI, TAU};

use nuncius_schemas::interarrival::Interarrival;

use crate::philox::{Purpose, draw, unit_open_below};

/// Most draws for one number of a method that rejects some: it accepts more than half.
const TRIES_MAX: u32 = 256;

/// Uniform numbers for one purpose: the same for the same seed, stream and position.
struct Uniforms {
    seed: u64,
    stream: u32,
    position: u64,
    drawn: u32,
    spare: Option<u64>,
}

impl Uniforms {
    /// In (0, 1].
    fn next(&mut self) -> f64 {
        let bits = self.spare.take().unwrap_or_else(|| {
            let [first, second] = draw(self.seed, self.stream, self.position, Purpose::Interarrival, self.drawn);
            self.drawn += 1;
            self.spare = Some(second);
            first
        });
        unit_open_below(bits)
    }

    fn normal(&mut self) -> f64 {
        let first = self.next();
        normal(first, self.next())
    }

    /// Of scale 1.
    fn gamma(&mut self, alpha: f64) -> f64 {
        if alpha < 1.0 {
            let power = libm::pow(self.next(), 1.0 / alpha);
            return power * self.gamma(alpha + 1.0);
        }
        let d = alpha - 1.0 / 3.0;
        let c = 1.0 / libm::sqrt(9.0 * d);
        for _ in 0..TRIES_MAX {
            let x = self.normal();
            let root = 1.0 + c * x;
            if root <= 0.0 {
                continue;
            }
            let v = root * root * root;
            if libm::log(self.next()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
                return d * v;
            }
        }
        d
    }

    fn von_mises(&mut self, mu: f64, kappa: f64) -> f64 {
        if kappa <= 1e-6 {
            return TAU * self.next();
        }
        let s = 0.5 / kappa;
        let r = s + libm::sqrt(1.0 + s * s);
        for _ in 0..TRIES_MAX {
            let z = libm::cos(PI * self.next());
            let d = z / (r + z);
            let u = self.next();
            if u < 1.0 - d * d || u <= (1.0 - d) * libm::exp(d) {
                let q = 1.0 / r;
                let f = (q + z) / (1.0 + q * z);
                let angle = libm::acos(f.clamp(-1.0, 1.0));
                let turned = if self.next() > 0.5 { mu + angle } else { mu - angle };
                return turned - TAU * libm::floor(turned / TAU);
            }
        }
        mu
    }
}

/// The time, in seconds, before request number `request` (from 0) of a client; `None` where a list has no more.
pub fn interarrival_seconds(of: &Interarrival, seed: u64, stream: u32, (client, request): (u32, u64)) -> Option<f64> {
    let position = u64::from(client) << 32 | (request & u64::from(u32::MAX));
    let mut uniforms = Uniforms { seed, stream, position, drawn: 0, spare: None };
    Some(match of {
        Interarrival::Constant(seconds) => *seconds,
        Interarrival::Uniform { low, high } => low + (high - low) * uniforms.next(),
        Interarrival::Triangular { low, high, mode } => triangular(uniforms.next(), *low, *high, *mode),
        Interarrival::Normal { mu, sigma } => mu + sigma * uniforms.normal(),
        Interarrival::LogNormal { mu, sigma } => libm::exp(mu + sigma * uniforms.normal()),
        Interarrival::Exponential { lambda } => -libm::log(uniforms.next()) / lambda,
        Interarrival::VonMises { mu, kappa } => uniforms.von_mises(*mu, *kappa),
        Interarrival::Gamma { alpha, beta } => uniforms.gamma(*alpha) * beta,
        Interarrival::Beta { alpha, beta } => {
            let first = uniforms.gamma(*alpha);
            let sum = first + uniforms.gamma(*beta);
            if sum > 0.0 { first / sum } else { 0.0 }
        }
        Interarrival::Pareto { alpha } => libm::pow(uniforms.next(), -1.0 / alpha),
        Interarrival::Weibull { alpha, beta } => alpha * libm::pow(-libm::log(uniforms.next()), 1.0 / beta),
        Interarrival::List(seconds) => *seconds.get(usize::try_from(request).ok()?)?,
    })
}

/// A normal number of mean 0 and deviation 1 from two uniform ones in (0, 1]: Box and Muller, one of the two.
pub(crate) fn normal(first: f64, second: f64) -> f64 {
    libm::sqrt(-2.0 * libm::log(first)) * libm::cos(TAU * second)
}

fn triangular(uniform: f64, low: f64, high: f64, mode: f64) -> f64 {
    if high <= low {
        return low;
    }
    let at_mode = (mode - low) / (high - low);
    if uniform <= at_mode {
        low + libm::sqrt(uniform * (high - low) * (mode - low))
    } else {
        high - libm::sqrt((1.0 - uniform) * (high - low) * (high - mode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(of: &Interarrival, count: u32) -> Vec<f64> {
        let of_client =
            |client: u32| (0..100u64).map(move |request| interarrival_seconds(of, 42, 3, (client, request)).unwrap());
        (0..count / 100).flat_map(of_client).collect()
    }

    /// 200,000 times of each kind: mean and share below the mean of the distribution, by formula.
    #[test]
    fn every_kind_has_the_mean_and_the_spread_of_its_formula() {
        let cases = [
            (("uniform", vec![1.0, 3.0]), 2.0, 1.0 / 3.0),
            (("triangular", vec![0.0, 6.0, 3.0]), 3.0, 1.5),
            (("normalvariate", vec![5.0, 0.5]), 5.0, 0.25),
            (("lognormvariate", vec![0.0, 0.5]), libm::exp(0.125), (libm::exp(0.25) - 1.0) * libm::exp(0.25)),
            (("expovariate", vec![4.0]), 0.25, 0.0625),
            (("gammavariate", vec![2.5, 2.0]), 5.0, 10.0),
            (("gammavariate", vec![0.5, 2.0]), 1.0, 2.0),
            (("betavariate", vec![2.0, 3.0]), 0.4, 0.04),
            (("paretovariate", vec![5.0]), 1.25, 5.0 / 48.0),
            (("weibullvariate", vec![2.0, 1.5]), 2.0 * libm::tgamma(5.0 / 3.0), 1.502_761_139_7),
        ];
        for ((name, parameters), mean, variance) in cases {
            let kind = Interarrival::new(name, &parameters).unwrap();
            let drawn = times(&kind, 200_000);
            let found = drawn.iter().sum::<f64>() / drawn.len() as f64;
            let spread = drawn.iter().map(|time| (time - found).powi(2)).sum::<f64>() / drawn.len() as f64;
            // Five standard errors of the mean.
            let error = 5.0 * (variance / drawn.len() as f64).sqrt();
            assert!((found - mean).abs() < error, "{name}: mean {found}, not {mean} ± {error}");
            assert!((spread / variance - 1.0).abs() < 0.05, "{name}: variance {spread}, not {variance}");
            assert!((kind.mean_seconds() - mean).abs() < 1e-9, "{name}");
        }
        let angles = times(&Interarrival::new("vonmisesvariate", &[1.0, 4.0]).unwrap(), 100_000);
        let (sine, cosine) = angles.iter().fold((0.0, 0.0), |(s, c), angle| (s + angle.sin(), c + angle.cos()));
        assert!(
            (libm::atan2(sine, cosine) - 1.0).abs() < 0.01 && angles.iter().all(|angle| (0.0..TAU).contains(angle))
        );
    }

    #[test]
    fn draws_are_of_the_seed_the_group_the_client_and_the_request_alone() {
        let kind = Interarrival::Exponential { lambda: 1.0 };
        let first = interarrival_seconds(&kind, 1, 0, (0, 0)).unwrap();
        assert_eq!(interarrival_seconds(&kind, 1, 0, (0, 0)), Some(first));
        for other in [(2, 0, (0, 0)), (1, 1, (0, 0)), (1, 0, (1, 0)), (1, 0, (0, 1))] {
            assert_ne!(interarrival_seconds(&kind, other.0, other.1, other.2), Some(first), "{other:?}");
        }
        let list = Interarrival::List(vec![0.1, 0.3]);
        let read = |request| interarrival_seconds(&list, 1, 0, (7, request));
        assert_eq!((read(0), read(1), read(2)), (Some(0.1), Some(0.3), None));
    }
}
