//! The knee: the last step that was still worth its workers.
//!
//! Walking up the steps, a step is worth its workers when each worker added since the last worthwhile step brought
//! [`WORTHWHILE`] or more of the throughput of one worker of the first step. The last worthwhile step is the knee when
//! it is not the last step, and when what each worker added from it to the last step brought is below that share
//! with the whole two-sided 95 % interval. Looking at the last worthwhile step and not at the step before keeps noise
//! between neighbours from ending the walk.

use super::throughput::{SCALING_CONFIDENCE, Throughput, workers_text};
use crate::student::{pooled, two_sided_quantile};

/// Least gain of a worker that is worth it, as a share of what one worker of the first step does.
pub(super) const WORTHWHILE: f64 = 0.5;

/// The knee of steps by rising number of workers against `baseline`, one of them; and how it was found or why there is
/// none, for people.
pub(super) fn find(rates: &[Throughput], baseline: Option<&Throughput>) -> (Option<u32>, String) {
    let Some(base) = baseline else { return (None, "no step had throughput".to_owned()) };
    let mut worth = *base;
    let mut last = *base;
    for rate in rates.iter().filter(|rate| rate.workers > base.workers) {
        if gain(&worth, rate, base) >= WORTHWHILE {
            worth = *rate;
        }
        last = *rate;
    }
    if last.workers == base.workers {
        return (None, "only one step had throughput".to_owned());
    }
    if worth.workers == last.workers {
        let reason = format!(
            "throughput grew up to {}, the last step: each worker added brought half of one of the first step or more",
            workers_text(last.workers)
        );
        return (None, reason);
    }
    let (gained, upper) = (gain(&worth, &last, base), upper_gain(&worth, &last, base));
    let found = format!(
        "from {} to {} each worker added brought {gained:.2} of one of the first step (95 %: at most {upper:.2})",
        worth.workers,
        workers_text(last.workers)
    );
    if upper < WORTHWHILE {
        (Some(worth.workers as u32), format!("{found}; less than half is not worth it"))
    } else {
        (None, format!("{found}: it may be half and worth it; more or longer measurements may decide"))
    }
}

/// What each worker added between two steps brought, as a share of one worker of `base`.
fn gain(from: &Throughput, to: &Throughput, base: &Throughput) -> f64 {
    (to.mean - from.mean) / ((to.workers - from.workers) * base.per_worker())
}

/// The upper end of the two-sided interval of [`gain`], by the contrast X_to − X_from − WORTHWHILE · (N_to −
/// N_from) · X_base / N_base: below 0 when the gain is below [`WORTHWHILE`], and linear in the three means.
fn upper_gain(from: &Throughput, to: &Throughput, base: &Throughput) -> f64 {
    let added = to.workers - from.workers;
    let weight = WORTHWHILE * added / base.workers;
    let mut terms = vec![(to.variance, to.freedom)];
    if from.workers == base.workers {
        // One mean with both parts.
        terms.push((from.variance * (1.0 + weight) * (1.0 + weight), from.freedom));
    } else {
        terms.push((from.variance, from.freedom));
        terms.push((base.variance * weight * weight, base.freedom));
    }
    let (variance, freedom) = pooled(&terms);
    let contrast = to.mean - from.mean - weight * base.mean;
    let end = contrast + two_sided_quantile(SCALING_CONFIDENCE, freedom) * variance.sqrt();
    WORTHWHILE + end / (added * base.per_worker())
}
