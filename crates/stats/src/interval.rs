//! How sure one may be: bounds of quantiles and of proportions, without assuming a distribution.
//!
//! Both rest on the binomial distribution of how many of `n` independent observations fall below a quantile (or fail).
//! Observations of one run are not quite independent; the bounds are as honest as that.

/// Variance of the binomial beyond which its normal approximation is used; the ranks differ by one at most there.
const VARIANCE_EXACT_MAX: f64 = 1e6;

/// Weights below this share of the largest add nothing to a sum in double precision.
const NEGLIGIBLE: f64 = 1e-22;

/// Ranks, from 1, of the observations that bound a quantile, each with the given confidence; `None` where even the
/// smallest or the largest observation is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuantileBounds {
    /// The quantile is not below the observation of this rank.
    pub lower_rank: Option<u64>,
    /// The quantile is not above the observation of this rank.
    pub upper_rank: Option<u64>,
}

/// Bounds of quantile `q` from `n` observations, one-sided each at `confidence`; both in (0, 1), else no bounds.
///
/// The r-th smallest observation is an upper bound when P(B ≥ r) ≤ 1 − confidence for B binomial in (n, q), and a
/// lower bound when P(B ≤ r − 1) ≤ 1 − confidence (David and Nagaraja, "Order Statistics", 3rd ed., 7.1;
/// Conover, "Practical Nonparametric Statistics", 3.2). The tails are summed exactly from the mode outward; beyond a
/// variance of 10⁶ by the normal approximation with continuity and skewness corrections.
pub fn quantile_bounds(n: u64, q: f64, confidence: f64) -> QuantileBounds {
    let inside = |share: f64| share > 0.0 && share < 1.0;
    if n == 0 || !inside(q) || !inside(confidence) {
        return QuantileBounds { lower_rank: None, upper_rank: None };
    }
    if n as f64 * q * (1.0 - q) > VARIANCE_EXACT_MAX {
        normal_ranks(n, q, confidence)
    } else {
        exact_ranks(n, q, confidence)
    }
}

/// By the weights of the binomial relative to its mode, each from its neighbour by the ratio of the two.
fn exact_ranks(n: u64, q: f64, confidence: f64) -> QuantileBounds {
    let odds = q / (1.0 - q);
    let mode = (((n as f64 + 1.0) * q) as u64).min(n);
    let mut above = vec![1.0];
    let (mut weight, mut k) = (1.0, mode);
    while k < n && weight > NEGLIGIBLE {
        weight *= (n - k) as f64 / (k + 1) as f64 * odds;
        k += 1;
        above.push(weight);
    }
    let top = k;
    let mut below = Vec::new();
    (weight, k) = (1.0, mode);
    while k > 0 && weight > NEGLIGIBLE {
        weight *= k as f64 / (n - k + 1) as f64 / odds;
        k -= 1;
        below.push(weight);
    }
    let bottom = k;
    // Summed from the small end, as the tails are.
    let total: f64 = below.iter().rev().sum::<f64>() + above.iter().rev().sum::<f64>();
    let tail = (1.0 - confidence) * total;
    let count_within = |weights: &mut dyn Iterator<Item = &f64>| {
        let mut sum = 0.0;
        weights
            .take_while(|weight| {
                sum += **weight;
                sum <= tail
            })
            .count() as u64
    };
    // The outermost values whose weights together stay within the tail.
    let from_top = count_within(&mut above.iter().rev().chain(&below));
    let from_bottom = count_within(&mut below.iter().rev().chain(&above));
    // A confidence near 0 lets every observation be a bound.
    let upper = top.saturating_sub(from_top).saturating_add(1);
    let lower = bottom.saturating_add(from_bottom).min(n);
    QuantileBounds { lower_rank: (lower >= 1).then_some(lower), upper_rank: (upper <= n).then_some(upper) }
}

fn normal_ranks(n: u64, q: f64, confidence: f64) -> QuantileBounds {
    let z = normal_quantile(confidence);
    let deviation = (n as f64 * q * (1.0 - q)).sqrt();
    let centre = n as f64 * q + 0.5 + (z * z - 1.0) * (1.0 - 2.0 * q) / 6.0;
    let rank = |value: f64| (value >= 1.0 && value <= n as f64).then_some(value as u64);
    QuantileBounds {
        lower_rank: rank((centre - z * deviation).floor()),
        upper_rank: rank((centre + z * deviation).ceil()),
    }
}

/// How many observations the upper bound of quantile `q` needs: ln(1 − confidence) / ln q, rounded up; 299 for p99 at
/// 95 %. For a lower bound ask for 1 − q. `None` when either is not in (0, 1).
pub fn samples_needed(q: f64, confidence: f64) -> Option<u64> {
    if !(q > 0.0 && q < 1.0 && confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    Some((libm::log1p(-confidence) / libm::log(q)).ceil().max(1.0) as u64)
}

/// Bounds of a proportion of which `k` of `n` were seen, one-sided each at `confidence` (Clopper and Pearson,
/// Biometrika 26, 1934): beta quantiles by bisection of the regularised incomplete beta function. Where k (n − k) / n
/// exceeds 10⁵ the score interval with continuity correction (Wilson, JASA 22, 1927) stands in.
///
/// (0, 1) when `n` is 0 or `confidence` is not in (0, 1); a `k` above `n` counts as `n`.
pub fn proportion_bounds(k: u64, n: u64, confidence: f64) -> (f64, f64) {
    let k = k.min(n);
    share_bounds(k as f64, (n - k) as f64, confidence)
}

/// The same of numbers that need not be whole: those of as many independent observations as others are worth. Of `seen`
/// that were and `others` that were not, neither below 0.
pub(crate) fn share_bounds(seen: f64, others: f64, confidence: f64) -> (f64, f64) {
    let trials = seen + others;
    if !(trials > 0.0 && confidence > 0.0 && confidence < 1.0) {
        return (0.0, 1.0);
    }
    if seen * (others / trials) > 1e5 {
        return (score_lower(seen, trials, confidence), 1.0 - score_lower(others, trials, confidence));
    }
    let log_tail = libm::log1p(-confidence);
    // P(B >= k) is I_p(k, n - k + 1), and P(B <= k) is 1 - I_p(k + 1, n - k).
    let lower = if seen <= 0.0 {
        0.0
    } else if others <= 0.0 {
        libm::exp(log_tail / trials)
    } else {
        solve_beta(seen, others + 1.0, 1.0 - confidence, (0.0, seen / trials)).0
    };
    let upper = if seen <= 0.0 {
        -libm::expm1(log_tail / trials)
    } else if others <= 0.0 {
        1.0
    } else {
        solve_beta(seen + 1.0, others, confidence, (seen / trials, 1.0)).1
    };
    (lower, upper)
}

/// Bounds of the mean of a Poisson variable that was seen to be `k`, one-sided each at `confidence` (Garwood,
/// Biometrika 28, 1936): quantiles of gamma distributions, by bisection of the regularised incomplete gamma function.
/// Beyond k = 10⁵ Wilson and Hilferty's cube (PNAS 17, 1931) stands in, which is exact to a thousandth of the width
/// there.
///
/// (0, ∞) when `confidence` is not in (0, 1).
pub fn poisson_bounds(k: u64, confidence: f64) -> (f64, f64) {
    if !(confidence > 0.0 && confidence < 1.0) {
        return (0.0, f64::INFINITY);
    }
    let (seen, next) = (k as f64, k as f64 + 1.0);
    if k > 100_000 {
        let z = normal_quantile(confidence);
        let cube = |shape: f64, z: f64| shape * (1.0 - 1.0 / (9.0 * shape) + z / (3.0 * shape.sqrt())).powi(3);
        return (cube(seen, -z), cube(next, z));
    }
    // P(N >= k) is P(k, mean), and P(N <= k) is 1 - P(k + 1, mean).
    let lower = if k == 0 { 0.0 } else { solve_gamma(seen, 1.0 - confidence).0 };
    let upper = if k == 0 { -libm::log1p(-confidence) } else { solve_gamma(next, confidence).1 };
    (lower, upper)
}

/// Encloses the x at which P(shape, x), which rises with x, reaches `target`.
fn solve_gamma(shape: f64, target: f64) -> (f64, f64) {
    let (mut low, mut high) = (0.0, shape + 1.0);
    while incomplete_gamma(shape, high) < target {
        low = high;
        high *= 2.0;
    }
    while high - low > high * 1e-13 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if incomplete_gamma(shape, middle) < target {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low, high)
}

/// The regularised lower incomplete gamma function P(a, x) for a > 0: the series DLMF 8.11.4 below the mean, else the
/// continued fraction DLMF 8.9.2 (Press et al., "Numerical Recipes", 3rd ed., 6.2). Both take about √a terms.
fn incomplete_gamma(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let front = libm::exp(a * libm::log(x) - x - libm::lgamma(a));
    if x < a + 1.0 {
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for n in 1..100_000u32 {
            term *= x / (a + f64::from(n));
            sum += term;
            if term < sum * 1e-16 {
                break;
            }
        }
        return (front * sum).min(1.0);
    }
    const SMALLEST: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < SMALLEST { SMALLEST } else { value };
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1.0 / SMALLEST, 1.0 / away_from_zero(b));
    let mut fraction = d;
    for n in 1..100_000u32 {
        let n = f64::from(n);
        let numerator = n * (a - n);
        b += 2.0;
        d = 1.0 / away_from_zero(b + numerator * d);
        c = away_from_zero(b + numerator / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    (1.0 - front * fraction).max(0.0)
}

fn score_lower(seen: f64, trials: f64, confidence: f64) -> f64 {
    let z = normal_quantile(confidence);
    let corrected = seen - 0.5;
    let centre = corrected + z * z / 2.0;
    let spread = z * (corrected * (1.0 - corrected / trials) + z * z / 4.0).sqrt();
    ((centre - spread) / (trials + z * z)).clamp(0.0, 1.0)
}

/// Narrows `between` to where I_x(a, b), which rises with x, reaches `target`.
fn solve_beta(a: f64, b: f64, target: f64, between: (f64, f64)) -> (f64, f64) {
    let (mut low, mut high) = between;
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if high - low <= high * 1e-12 {
            break;
        }
        if incomplete_beta(a, b, middle) < target {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low, high)
}

/// The regularised incomplete beta function I_x(a, b) for a, b > 0: continued fraction DLMF 8.17.22, evaluated by
/// Lentz's method as modified by Thompson and Barnett (Press et al., "Numerical Recipes", 3rd ed., 6.4).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges fast on this side of the mean only.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta_below_mean(b, a, 1.0 - x);
    }
    incomplete_beta_below_mean(a, b, x)
}

fn incomplete_beta_below_mean(a: f64, b: f64, x: f64) -> f64 {
    const SMALLEST: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < SMALLEST { SMALLEST } else { value };
    let log_front = a * libm::log(x) + b * libm::log1p(-x) - log_beta(a, b);
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..100_000u32 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    libm::exp(log_front) * fraction / a
}

/// ln B(a, b). Of a large argument only ln Γ(large + small) − ln Γ(large) is formed, by Stirling's series (DLMF
/// 5.11.1), because the difference of the two would lose what matters.
fn log_beta(a: f64, b: f64) -> f64 {
    let (small, large) = (a.min(b), a.max(b));
    let sum = small + large;
    let growth = if large > 1e4 {
        (large - 0.5) * libm::log1p(small / large) + small * libm::log(sum) - small + (1.0 / sum - 1.0 / large) / 12.0
    } else {
        libm::lgamma(sum) - libm::lgamma(large)
    };
    libm::lgamma(small) - growth
}

/// How probable it is that a standard normal variable lies below `value`.
pub(crate) fn normal_probability(value: f64) -> f64 {
    0.5 * libm::erfc(-value / std::f64::consts::SQRT_2)
}

/// The value below which a standard normal variable lies with probability `p` in (0, 1), by bisection.
fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..64 {
        let middle = f64::midpoint(low, high);
        if normal_probability(middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests;
