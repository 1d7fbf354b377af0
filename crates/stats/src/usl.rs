//! The universal scalability law fitted to throughput.
//!
//! X(N) = λN / (1 + α(N − 1) + βN(N − 1)) for N workers, with λ > 0, α ≥ 0 and β ≥ 0 (Gunther, "Guerrilla
//! Capacity Planning", 2007; "A General Theory of Computational Scalability Based on Rational Functions",
//! arXiv:0808.1431).
//!
//! **The fit** makes the sum of the squared residuals (X − f) / f relative to the law f the least, which suits noise
//! in proportion to throughput. Divided by X the law is N/X = a + b(N − 1) + cN(N − 1) with a = 1/λ, b = α/λ, c = β/λ,
//! and (X − f) / f = (X/N)(a + b(N − 1) + cN(N − 1)) − 1: linear in a, b and c. The constraints are a > 0, b ≥ 0,
//! c ≥ 0. So the fit is a convex problem with one solution, which [`nonnegative`] finds exactly: no starting values, no
//! local minima, no iteration that may fail to end. The divisor f in place of the unknown true throughput raises all
//! estimates of λ by the square of the relative noise (0.1 % at 3 % noise) and leaves α and β alone.
//!
//! **The intervals** are profiles of that sum S (Bates and Watts, "Nonlinear Regression Analysis and Its Applications",
//! 1988, chapter 6; Seber and Wild, "Nonlinear Regression", 1989, chapter 5): a value of a parameter belongs to its
//! interval when the least S with it held there is at most S (1 + F / (n − 3)), F being the 95 % quantile of Fisher's
//! distribution with 1 and n − 3 degrees of freedom, the square of Student's two-sided one. A held α (b = αa), β
//! (c = βa) or λ (a = 1/λ) leaves a linear problem of the same kind, so each profile is exact too; and since S is
//! convex and each held set is cut from one cone by a half-plane that turns about the origin (or moves along a), the
//! values of an interval hang together and bisection finds its ends. Where the true α or β is 0 the statistic can
//! only be smaller than Fisher's, so that parameter's interval holds too often. The interval of the other one can then
//! hold too seldom, but no less than 93.8 % of the time with many measurements: the worst angle between half-plane and
//! half-line in the geometry of Self and Liang, JASA 82, 1987. The degrees of freedom are n − 3 also when a
//! constraint binds: the wider side.
//!
//! What the law does not say, such as one slow step in all its repeats, is no noise, and no interval accounts for it.

use nuncius_schemas::scaling::{ScalingEstimate, UslFit, UslResidual};

use crate::student::two_sided_quantile;

mod least_squares;

use least_squares::nonnegative;

/// Confidence of the intervals, two-sided.
pub const USL_CONFIDENCE: f64 = 0.95;
/// Different numbers of workers that three parameters need.
pub const USL_STEPS_MIN: usize = 3;

/// A relative residual that rounding can make: no parameter is added to explain less, and no interval is narrower.
const ROUNDING: f64 = 1e-10;
/// Ends of intervals beyond this many times their scale are taken as open.
const OPEN_BEYOND: f64 = 1e9;
/// Halvings of an interval's end: to 10⁻¹² of its distance.
const HALVINGS: u32 = 40;

/// Why the law cannot be fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UslError {
    /// Too few different numbers of workers had throughput.
    #[error(
        "the scalability law has three parameters and {found} steps had throughput: \
         measure {USL_STEPS_MIN} or more different numbers of workers"
    )]
    TooFewSteps {
        /// Different numbers of workers with throughput.
        found: usize,
    },
    /// The nearest law has a throughput of one worker beyond all bounds: no step is near one worker.
    #[error("the scalability law says nothing of one worker from these steps: measure steps of fewer workers too")]
    NoScale,
    /// A parameter is beyond what a number can hold.
    #[error("the scalability law's parameters are too large or too small for a number")]
    OutOfRange,
}

/// The linear problem: columns of a, b and c, and what they are to give together.
struct Problem {
    one: Vec<f64>,
    contention: Vec<f64>,
    coherency: Vec<f64>,
    target: Vec<f64>,
    /// The part of S that no parameter can change: measurements of the same step differ.
    within: f64,
}

/// Fits the law to single measurements: workers and throughput in jobs per second. Those without workers, without
/// throughput or without a finite number are left out, as the law has no place for them.
///
/// # Errors
/// When the measurements cannot carry the law.
pub fn fit(measurements: &[(u32, f64)]) -> Result<UslFit, UslError> {
    let mut usable: Vec<(u32, f64)> = measurements
        .iter()
        .copied()
        .filter(|(workers, rate)| *workers > 0 && *rate > 0.0 && rate.is_finite())
        .collect();
    usable.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let steps = usable.chunk_by(|a, b| a.0 == b.0).count();
    if steps < USL_STEPS_MIN {
        return Err(UslError::TooFewSteps { found: steps });
    }
    // In units of the highest throughput nothing overflows.
    let unit = usable.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
    let scaled: Vec<(u32, f64)> = usable.iter().map(|(workers, rate)| (*workers, rate / unit)).collect();
    let problem = Problem::new(&scaled);
    let slack = scaled.len() as f64 * ROUNDING * ROUNDING;
    let best = nonnegative(&[&problem.one, &problem.contention, &problem.coherency], &problem.target, slack);
    let [a, b, c] = best.coefficients.as_slice() else { return Err(UslError::NoScale) };
    let (a, b, c) = (*a, *b, *c);
    if a <= 0.0 {
        return Err(UslError::NoScale);
    }
    let squares = problem.within + best.squares;
    let freedom = scaled.len() as f64 - 3.0;
    let limit = limit_of_squares(squares, freedom).map(|limit| limit.max(squares + slack));
    let lambda = scale_interval(&problem, a, limit);
    let lambda = ScalingEstimate {
        value: lambda.value * unit,
        lower: lambda.lower.map(|lower| lower * unit),
        upper: lambda.upper.map(|upper| upper * unit).filter(|upper| upper.is_finite()),
    };
    let alpha = share_interval(&problem, &problem.contention, &problem.coherency, b / a, limit);
    let beta = share_interval(&problem, &problem.coherency, &problem.contention, c / a, limit);
    let mut fit =
        UslFit { lambda, alpha, beta, r_squared: 0.0, peak_workers: peak(b / a, c / a), residuals: Vec::new() };
    fit.residuals = residuals(&fit, &usable);
    fit.r_squared = r_squared(&fit.residuals, unit);
    let numbers = [fit.lambda.value, fit.alpha.value, fit.beta.value, fit.r_squared];
    let told = fit.residuals.iter().all(|r| r.fitted_jobs_per_second.is_finite() && r.relative.is_finite());
    let fine = fit.lambda.value > 0.0 && told && numbers.iter().all(|number| number.is_finite());
    if fine { Ok(fit) } else { Err(UslError::OutOfRange) }
}

impl Problem {
    /// From measurements that are ordered by workers, in units in which none is above 1.
    ///
    /// With g = (a + b(N − 1) + cN(N − 1)) / N the residuals of one step add up to n − 2gΣX + g²ΣX², which is
    /// (g√ΣX² − ΣX/√ΣX²)² and a constant: one row a step says as much as all its measurements.
    fn new(scaled: &[(u32, f64)]) -> Self {
        let mut problem = Self { one: vec![], contention: vec![], coherency: vec![], target: vec![], within: 0.0 };
        for step in scaled.chunk_by(|a, b| a.0 == b.0) {
            let Some((workers, _)) = step.first() else { continue };
            let workers = f64::from(*workers);
            let square_sum: f64 = step.iter().map(|(_, rate)| rate * rate).sum();
            let sum: f64 = step.iter().map(|(_, rate)| rate).sum();
            // Throughputs below 10⁻¹⁶² of the highest have no square: whatever the law says there, it is off by
            // all.
            let (weight, best) = if square_sum > 0.0 { (square_sum.sqrt(), sum / square_sum) } else { (0.0, 0.0) };
            problem.within += step.iter().map(|(_, rate)| (1.0 - rate * best) * (1.0 - rate * best)).sum::<f64>();
            let column = weight / workers;
            problem.one.push(column);
            problem.contention.push(column * (workers - 1.0));
            problem.coherency.push(column * workers * (workers - 1.0));
            problem.target.push(weight * best);
        }
        problem
    }
}

/// The largest sum of squares within the 95 % profile; `None` without degrees of freedom.
fn limit_of_squares(squares: f64, freedom: f64) -> Option<f64> {
    let t = two_sided_quantile(USL_CONFIDENCE, freedom);
    (freedom >= 1.0).then_some(squares * (1.0 + t * t / freedom))
}

/// The interval of α, or of β, whose column is `held`: the profile over λ and the `other` of the two.
fn share_interval(problem: &Problem, held: &[f64], other: &[f64], value: f64, limit: Option<f64>) -> ScalingEstimate {
    let Some(limit) = limit else { return ScalingEstimate { value, lower: None, upper: None } };
    let inside = |share: f64| {
        let together: Vec<f64> = problem.one.iter().zip(held).map(|(one, held)| one + share * held).collect();
        problem.within + nonnegative(&[&together, other], &problem.target, 0.0).squares <= limit
    };
    let lower = if inside(0.0) { 0.0 } else { last_inside(&inside, value, 0.0) };
    ScalingEstimate { value, lower: Some(lower), upper: upper_end(&inside, value) }
}

/// The interval of λ in units of the highest throughput, from that of a = 1/λ.
fn scale_interval(problem: &Problem, a: f64, limit: Option<f64>) -> ScalingEstimate {
    let value = 1.0 / a;
    let Some(limit) = limit else { return ScalingEstimate { value, lower: None, upper: None } };
    let inside = |a: f64| {
        let rest: Vec<f64> = problem.target.iter().zip(&problem.one).map(|(target, one)| target - a * one).collect();
        problem.within + nonnegative(&[&problem.contention, &problem.coherency], &rest, 0.0).squares <= limit
    };
    let least = if inside(0.0) { None } else { Some(last_inside(&inside, a, 0.0)) };
    let most = upper_end(&inside, a);
    ScalingEstimate { value, lower: most.map(|a| 1.0 / a), upper: least.map(|a| 1.0 / a) }
}

/// The upper end of an interval that holds `value`; `None` when it has none.
fn upper_end(inside: &dyn Fn(f64) -> bool, value: f64) -> Option<f64> {
    let mut step = value.max(ROUNDING);
    let beyond = (value + 1.0) * OPEN_BEYOND;
    let mut within = value;
    loop {
        let next = value + step;
        if !inside(next) {
            return Some(last_inside(inside, within, next));
        }
        let bounded = next < beyond;
        if !bounded {
            return None;
        }
        within = next;
        step *= 2.0;
    }
}

/// The last value towards `outside` that is inside, by bisection from `within`, which is.
fn last_inside(inside: &dyn Fn(f64) -> bool, within: f64, outside: f64) -> f64 {
    let (mut within, mut outside) = (within, outside);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(within, outside);
        if inside(middle) {
            within = middle;
        } else {
            outside = middle;
        }
    }
    within
}

/// Workers at which the law is highest: N* = √((1 − α) / β), where its derivative is 0 (Gunther 2007), but no
/// fewer than one worker. `None` when it never falls.
fn peak(alpha: f64, beta: f64) -> Option<f64> {
    let peak = ((1.0 - alpha).max(0.0) / beta).sqrt().max(1.0);
    (beta > 0.0 && peak.is_finite()).then_some(peak)
}

fn residuals(fit: &UslFit, usable: &[(u32, f64)]) -> Vec<UslResidual> {
    usable
        .iter()
        .map(|(workers, rate)| {
            let fitted = fit.jobs_per_second(f64::from(*workers));
            UslResidual {
                workers: *workers,
                jobs_per_second: *rate,
                fitted_jobs_per_second: fitted,
                relative: (rate - fitted) / fitted,
            }
        })
        .collect()
}

/// 1 − Σ(X − f)² / Σ(X − X̄)². Of throughputs that are all the same, 1 when the law is as constant and 0
/// when not.
fn r_squared(residuals: &[UslResidual], unit: f64) -> f64 {
    let mean = residuals.iter().map(|r| r.jobs_per_second / unit).sum::<f64>() / residuals.len() as f64;
    let square = |difference: f64| difference * difference;
    let total: f64 = residuals.iter().map(|r| square(r.jobs_per_second / unit - mean)).sum();
    let left: f64 = residuals.iter().map(|r| square((r.jobs_per_second - r.fitted_jobs_per_second) / unit)).sum();
    let rounding = residuals.len() as f64 * ROUNDING * ROUNDING;
    if total > rounding {
        1.0 - left / total
    } else if left > rounding {
        0.0
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests;
