//! Judging how the throughput of a queue grows with its workers.
//!
//! **Throughput of a step** is the mean of its measurements, with the interval of Student's distribution. Counting is
//! part of their spread and needs nothing extra, but a mean cannot be known better than the counts resolve: the
//! variance of a measurement is at least that of its two ends, each of which cuts one job at an even chance
//! ([`ENDS_VARIANCE_JOBS`]). One measurement shows no spread; its interval is that of a Poisson count (Garwood,
//! Biometrika 28, 1936), which is wide for jobs that take equally long and too narrow for what differs from run to run.
//!
//! **Efficiency of a step** of N workers is (X_N / N) / (X_B / N_B), where B is the first step that had throughput. The
//! interval is that of the logarithm of the ratio: its variance is the sum of the two relative variances (the delta
//! method), with Student's quantile at the degrees of freedom of Welch and Satterthwaite (Biometrika 34, 1947;
//! Biometrics Bulletin 2, 1946).
//!
//! **A step passes** when the lower end of its efficiency is not below the least one asked for, and fails when the
//! upper end is below it; both intervals are two-sided at 95 %, so either is wrong in 2.5 % of cases at most. In
//! between it is undetermined. A job that failed fails its step, whatever the throughput.

use nuncius_schemas::run::Verdict;
use nuncius_schemas::scaling::{ScalingEstimate, ScalingMeasurement, ScalingStep, UslFit};

use crate::interval::proportion_bounds;
use crate::student::{pooled, two_sided_quantile};
use crate::usl;

mod knee;
mod throughput;

pub use throughput::SCALING_CONFIDENCE;
use throughput::{Throughput, workers_text};

/// Variance of a count that comes from where its two ends fall: of the difference of two even chances, in jobs².
pub const ENDS_VARIANCE_JOBS: f64 = 1.0 / 6.0;

/// Smallest and largest rate above 0, in jobs per second, and length, in seconds, that a measurement can have.
const MEASURABLE: std::ops::RangeInclusive<f64> = 1e-9..=1e15;

/// Trials for each job, and trials at least, of the binomial distribution that stands for Poisson's: so many that its
/// bounds are those of Poisson to five digits, and no more than a proportion can be told from 0 with.
const POISSON_TRIALS: (u64, u64) = (100_000, 10_000_000_000);

/// What was measured at one step.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredStep {
    /// Workers.
    pub workers: u32,
    /// Slots of all of them together.
    pub slots: u32,
    /// Each measurement; none when the step could not be measured.
    pub measurements: Vec<ScalingMeasurement>,
}

/// What is asked of the steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScalingRules {
    /// Least efficiency.
    pub min_efficiency: f64,
    /// Steps of more workers do not count for the verdict.
    pub judge_up_to: Option<u32>,
}

/// How a scaling experiment was judged; the parts of its report that follow from the measurements.
#[derive(Debug, Clone, PartialEq)]
pub struct ScalingJudgement {
    /// By the steps that count: invalid before fail, fail before undetermined, undetermined before pass.
    pub verdict: Verdict,
    /// Why, for people.
    pub reason: String,
    /// The steps by rising number of workers.
    pub steps: Vec<ScalingStep>,
    /// The universal scalability law fitted to every measurement that can be used.
    pub fit: Option<UslFit>,
    /// Why there is no fit.
    pub fit_problem: Option<String>,
    /// Workers of the last step that was worth its workers; see the module `knee` for what that means.
    pub knee: Option<u32>,
    /// How the knee was found or why there is none.
    pub knee_reason: String,
}

/// What can be said of a step's measurements.
enum Reading {
    /// There are none.
    Nothing,
    /// They cannot be true.
    Contradiction(String),
    /// They can be used; the mean may be 0.
    Rate(Throughput),
}

/// Judges the steps, fits the law to them and looks for the knee.
pub fn judge(mut steps: Vec<MeasuredStep>, rules: ScalingRules) -> ScalingJudgement {
    steps.sort_by_key(|step| step.workers);
    let readings: Vec<Reading> = steps.iter().map(read).collect();
    let rates: Vec<Throughput> = readings
        .iter()
        .filter_map(|reading| if let Reading::Rate(rate) = reading { Some(*rate) } else { None })
        .collect();
    let baseline = rates.iter().find(|rate| rate.mean > 0.0).copied();
    let first = steps.first().map(|step| f64::from(step.workers));
    // Every comparison says so when it is not with the first step.
    let remark = match baseline {
        Some(base) if first.is_some_and(|first| first < base.workers) => {
            format!("; compared with {}, as no smaller step had throughput", workers_text(base.workers))
        }
        _ => String::new(),
    };
    let judged: Vec<ScalingStep> = steps
        .into_iter()
        .zip(&readings)
        .map(|(step, reading)| judge_step(step, reading, baseline.as_ref(), rules, &remark))
        .collect();
    let (verdict, reason) = overall(&judged, rules.min_efficiency);
    let single: Vec<(u32, f64)> = judged
        .iter()
        .filter(|step| step.jobs_per_second.is_some())
        .flat_map(|step| step.measurements.iter().map(|measurement| (step.workers, measurement.jobs_per_second)))
        .collect();
    let (fit, fit_problem) = match usl::fit(&single) {
        Ok(fit) => (Some(fit), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let (knee, knee_reason) = knee::find(&rates, baseline.as_ref());
    ScalingJudgement { verdict, reason, steps: judged, fit, fit_problem, knee, knee_reason }
}

fn read(step: &MeasuredStep) -> Reading {
    let count = step.measurements.len() as f64;
    if step.measurements.is_empty() {
        return Reading::Nothing;
    }
    if step.workers == 0 {
        return Reading::Contradiction("a step without workers has no throughput per worker".to_owned());
    }
    for measurement in &step.measurements {
        let (rate, seconds) = (measurement.jobs_per_second, measurement.seconds);
        let still = rate == 0.0 && measurement.succeeded == 0;
        let moving = MEASURABLE.contains(&rate) && measurement.succeeded > 0;
        if !(still || moving) || !MEASURABLE.contains(&seconds) {
            return Reading::Contradiction(format!(
                "a measurement contradicts itself: {} jobs succeeded in {seconds} s, which is no {rate}/s",
                measurement.succeeded
            ));
        }
    }
    let rates = || step.measurements.iter().map(|measurement| measurement.jobs_per_second);
    let mean = rates().sum::<f64>() / count;
    // What one job more or less makes of each rate.
    let squares: f64 = step.measurements.iter().map(per_job).map(|per_job| per_job * per_job).sum();
    let (variance, freedom) = if step.measurements.len() > 1 {
        let spread = rates().map(|rate| (rate - mean) * (rate - mean)).sum::<f64>() / (count - 1.0);
        (spread.max(squares / count * ENDS_VARIANCE_JOBS) / count, count - 1.0)
    } else {
        let jobs: u64 = step.measurements.iter().map(|measurement| measurement.succeeded).sum();
        (squares * jobs.max(1) as f64, f64::INFINITY)
    };
    Reading::Rate(Throughput { workers: f64::from(step.workers), mean, variance, freedom })
}

/// The rate of one job in a measurement, in jobs per second.
fn per_job(measurement: &ScalingMeasurement) -> f64 {
    if measurement.succeeded == 0 {
        1.0 / measurement.seconds
    } else {
        measurement.jobs_per_second / measurement.succeeded as f64
    }
}

fn mean_interval(rate: &Throughput, measurements: &[ScalingMeasurement]) -> ScalingEstimate {
    let (lower, upper) = match measurements {
        [single] => {
            let (lower, upper) = poisson_bounds(single.succeeded);
            (lower * per_job(single), upper * per_job(single))
        }
        _ => {
            let reach = two_sided_quantile(SCALING_CONFIDENCE, rate.freedom) * rate.variance.sqrt();
            (rate.mean - reach, rate.mean + reach)
        }
    };
    ScalingEstimate { value: rate.mean, lower: Some(lower.max(0.0)), upper: Some(upper) }
}

/// Bounds of the expectation of a Poisson count of `jobs`, together at [`SCALING_CONFIDENCE`]: those of a proportion
/// of trials without end, whose count is Poisson's.
fn poisson_bounds(jobs: u64) -> (f64, f64) {
    let trials = jobs.saturating_mul(POISSON_TRIALS.0).max(POISSON_TRIALS.1);
    let (lower, upper) = proportion_bounds(jobs, trials, f64::midpoint(SCALING_CONFIDENCE, 1.0));
    (lower * trials as f64, upper * trials as f64)
}

/// The efficiency of `rate` against `base`; `None` when the step itself had no throughput.
fn efficiency(rate: &Throughput, base: &Throughput) -> Option<ScalingEstimate> {
    if rate.mean <= 0.0 {
        return None;
    }
    let value = rate.per_worker() / base.per_worker();
    let terms = [(rate.relative_variance(), rate.freedom), (base.relative_variance(), base.freedom)];
    let (variance, freedom) = pooled(&terms);
    let reach = libm::exp(two_sided_quantile(SCALING_CONFIDENCE, freedom) * variance.sqrt());
    Some(ScalingEstimate { value, lower: Some(value / reach), upper: Some(value * reach) })
}

fn judge_step(
    step: MeasuredStep,
    reading: &Reading,
    baseline: Option<&Throughput>,
    rules: ScalingRules,
    remark: &str,
) -> ScalingStep {
    let mut out = ScalingStep {
        workers: step.workers,
        slots: step.slots,
        measurements: step.measurements,
        jobs_per_second: None,
        efficiency: None,
        judged: rules.judge_up_to.is_none_or(|most| step.workers <= most),
        outcome: Verdict::Undetermined,
        reason: String::new(),
    };
    let rate = match reading {
        Reading::Nothing => {
            out.reason = "nothing was measured".to_owned();
            return out;
        }
        Reading::Contradiction(problem) => {
            (out.outcome, out.reason) = (Verdict::Invalid, problem.clone());
            return out;
        }
        Reading::Rate(rate) => rate,
    };
    out.jobs_per_second = Some(mean_interval(rate, &out.measurements));
    let is_baseline = baseline.is_some_and(|base| base.workers == rate.workers);
    if is_baseline {
        out.efficiency = Some(ScalingEstimate { value: 1.0, lower: Some(1.0), upper: Some(1.0) });
    } else {
        out.efficiency = baseline.and_then(|base| efficiency(rate, base));
    }
    let total = |of: fn(&ScalingMeasurement) -> u64| out.measurements.iter().map(of).fold(0, u64::saturating_add);
    let failed = total(|measurement| measurement.failed);
    (out.outcome, out.reason) = if failed > 0 {
        let ended = total(|measurement| measurement.succeeded).saturating_add(failed);
        (Verdict::Fail, format!("{failed} of {ended} jobs failed"))
    } else if is_baseline {
        (Verdict::Pass, "the step that the others are compared with".to_owned())
    } else {
        match out.efficiency {
            None => (Verdict::Fail, "no job succeeded".to_owned()),
            Some(efficiency) => {
                let (outcome, reason) = compare(&efficiency, rules.min_efficiency);
                (outcome, format!("{reason}{}{remark}", spread_remark(&out.measurements)))
            }
        }
    };
    out
}

fn compare(efficiency: &ScalingEstimate, least: f64) -> (Verdict, String) {
    let found = format!("efficiency {}", estimate_text(efficiency));
    if efficiency.lower.is_some_and(|lower| lower >= least) {
        (Verdict::Pass, format!("{found} is at least {least}"))
    } else if efficiency.upper.is_some_and(|upper| upper < least) {
        (Verdict::Fail, format!("{found} is below {least}"))
    } else {
        (Verdict::Undetermined, format!("{found} encloses {least}: more or longer measurements may decide"))
    }
}

/// One measurement cannot show its own spread, and the reader has to know.
fn spread_remark(measurements: &[ScalingMeasurement]) -> &'static str {
    if measurements.len() == 1 { "; measured once, so the interval is of the count alone" } else { "" }
}

/// The verdict by the steps that count.
fn overall(steps: &[ScalingStep], least: f64) -> (Verdict, String) {
    let judged = || steps.iter().filter(|step| step.judged);
    for verdict in [Verdict::Invalid, Verdict::Fail, Verdict::Undetermined] {
        let mut matching = judged().filter(|step| step.outcome == verdict);
        if let Some(first) = matching.next() {
            let others: Vec<String> = matching.map(|step| step.workers.to_string()).collect();
            let also = if others.is_empty() {
                String::new()
            } else {
                format!("; also {} at {} workers", verdict.name(), others.join(", "))
            };
            return (verdict, format!("at {}: {}{also}", workers_text(f64::from(first.workers)), first.reason));
        }
    }
    // All passed: the one nearest to the limit is worth telling. The step that others are compared with tells nothing.
    let compared = judged().filter_map(|step| Some((step, step.efficiency?))).skip(1);
    let lowest = compared.min_by(|a, b| a.1.lower.unwrap_or(0.0).total_cmp(&b.1.lower.unwrap_or(0.0)));
    match lowest {
        Some((step, efficiency)) => {
            let place = workers_text(f64::from(step.workers));
            let found = estimate_text(&efficiency);
            (
                Verdict::Pass,
                format!("every judged step has an efficiency of {least} or more; the lowest is {found} at {place}"),
            )
        }
        None => (Verdict::Undetermined, "no two judged steps had throughput to compare".to_owned()),
    }
}

fn estimate_text(estimate: &ScalingEstimate) -> String {
    let end = |end: Option<f64>| end.map_or_else(|| "unknown".to_owned(), |end| format!("{end:.3}"));
    format!("{:.3} (95 % {} to {})", estimate.value, end(estimate.lower), end(estimate.upper))
}

#[cfg(test)]
mod tests;
