//! Merged seconds: how their distributions are made, and how pieces of them add up.
//!
//! Counts are added, histograms are merged bucket by bucket, and quantiles are taken again from what was merged.

use nuncius_schemas::metric::{FailureCount, SLOWEST_MAX, Series, SlowRequest, StatusCount, add_checks, add_hosts};
use nuncius_schemas::second::{
    Counts, Distribution, ExperimentSecond, GroupSecond, GroupSums, MeterSecond, StepSecond,
};

use crate::Totals;
use crate::encoding::DecodeError;

/// What totals say, as messages carry it.
pub fn distribution(totals: &Totals) -> Distribution {
    Distribution {
        count: totals.count(),
        p50_ns: totals.quantile_ns(0.5),
        p95_ns: totals.quantile_ns(0.95),
        p99_ns: totals.quantile_ns(0.99),
        max_ns: totals.max_ns(),
        histogram: totals.encode(),
    }
}

/// Adds a distribution to another. Where one of them came without its histogram, so does the sum, and each of its
/// quantiles is the larger of the two: an upper bound.
///
/// # Errors
/// When a histogram's bytes are not what they should be; then nothing is changed.
pub fn add_distribution(sum: &mut Distribution, other: &Distribution) -> Result<(), DecodeError> {
    if other.count == 0 {
        return Ok(());
    }
    if sum.count == 0 {
        sum.clone_from(other);
        return Ok(());
    }
    if sum.histogram.is_empty() || other.histogram.is_empty() {
        *sum = Distribution {
            count: sum.count.saturating_add(other.count),
            p50_ns: sum.p50_ns.max(other.p50_ns),
            p95_ns: sum.p95_ns.max(other.p95_ns),
            p99_ns: sum.p99_ns.max(other.p99_ns),
            max_ns: sum.max_ns.max(other.max_ns),
            histogram: Vec::new(),
        };
        return Ok(());
    }
    let mut totals = Totals::decode(&sum.histogram)?;
    totals.merge_delta(&other.histogram)?;
    *sum = distribution(&totals);
    Ok(())
}

/// Adds answers by status, rising.
pub fn add_statuses(sum: &mut Vec<StatusCount>, other: &[StatusCount]) {
    for StatusCount { status, count } in other {
        match sum.binary_search_by_key(status, |known| known.status) {
            Ok(at) => sum.iter_mut().skip(at).take(1).for_each(|known| known.count += count),
            Err(at) => sum.insert(at, StatusCount { status: *status, count: *count }),
        }
    }
}

/// Adds failures by kind and status; the first sample of each stays.
pub fn add_failures(sum: &mut Vec<FailureCount>, other: &[FailureCount]) {
    for failure in other {
        let same = |known: &&mut FailureCount| known.kind == failure.kind && known.status == failure.status;
        match sum.iter_mut().find(same) {
            Some(known) => {
                known.count += failure.count;
                if known.sample.is_none() {
                    known.sample.clone_from(&failure.sample);
                }
            }
            None => sum.push(failure.clone()),
        }
    }
}

/// Adds requests to the slowest, slowest first, and keeps at most `most` of them. Which ones does not depend on the
/// order in which they are added.
pub fn add_slowest(sum: &mut Vec<SlowRequest>, others: &[SlowRequest], most: usize) {
    let least_ns = if sum.len() < most { 0 } else { sum.last().map_or(0, |last| last.response_ns) };
    sum.extend(others.iter().filter(|other| other.response_ns >= least_ns).cloned());
    sum.sort_by(|a, b| {
        let slower = b.response_ns.cmp(&a.response_ns);
        slower.then_with(|| (a.done_ns, &a.node, &a.span_id).cmp(&(b.done_ns, &b.node, &b.span_id)))
    });
    sum.truncate(most);
}

/// Adds what a step did to what it is known to have done.
///
/// # Errors
/// When a histogram's bytes are not what they should be; counts may have been added then.
pub fn add_step(sum: &mut StepSecond, other: &StepSecond) -> Result<(), DecodeError> {
    sum.offered += other.offered;
    sum.sent += other.sent;
    sum.succeeded += other.succeeded;
    sum.failed += other.failed;
    sum.censored += other.censored;
    sum.skipped += other.skipped;
    sum.in_flight += other.in_flight;
    sum.retried += other.retried;
    sum.redirects += other.redirects;
    sum.bytes_sent += other.bytes_sent;
    sum.bytes_received += other.bytes_received;
    sum.without_histograms |= other.without_histograms;
    add_statuses(&mut sum.statuses, &other.statuses);
    add_failures(&mut sum.failures, &other.failures);
    add_checks(&mut sum.checks, &other.checks);
    add_hosts(&mut sum.hosts, &other.hosts);
    add_slowest(&mut sum.slowest, &other.slowest, SLOWEST_MAX);
    for series in Series::ALL {
        add_distribution(sum.series_mut(series), other.series(series))?;
    }
    Ok(())
}

/// Adds what a step did to the sums from the start on.
pub fn add_counts(sum: &mut Counts, step: &StepSecond) {
    sum.offered += step.offered;
    sum.sent += step.sent;
    sum.succeeded += step.succeeded;
    sum.failed += step.failed;
    sum.censored += step.censored;
    sum.skipped += step.skipped;
}

/// Adds what a group did to its sums from the start on; failures come most frequent first.
pub fn add_sums(sums: &mut GroupSums, group: &GroupSecond) {
    if let Some(iterations) = group.iteration() {
        add_counts(&mut sums.iterations, iterations);
    }
    for step in &group.steps {
        add_counts(&mut sums.requests, step);
        add_failures(&mut sums.failures, &step.failures);
    }
    sums.failures.sort_by_key(|failure| std::cmp::Reverse(failure.count));
}

/// Adds what a meter did; what it has added up to now is the larger of both.
fn add_meter(meters: &mut Vec<MeterSecond>, other: &MeterSecond) -> Result<(), DecodeError> {
    let Some(known) = meters.iter_mut().find(|known| known.name == other.name) else {
        meters.push(other.clone());
        return Ok(());
    };
    known.sum = known.sum.saturating_add(other.sum);
    known.sum_so_far = known.sum_so_far.max(other.sum_so_far);
    known.values_so_far = known.values_so_far.max(other.values_so_far);
    add_distribution(&mut known.values, &other.values)
}

/// Adds a piece of a second (what came late of it) to the second. Group sums are taken from the piece, which is newer.
///
/// # Errors
/// When a histogram's bytes are not what they should be; counts may have been added then.
pub fn add_piece(second: &mut ExperimentSecond, piece: &ExperimentSecond) -> Result<(), DecodeError> {
    second.first_second = second.first_second.min(piece.first_second);
    for group in &piece.groups {
        let Some(known) = second.groups.iter_mut().find(|known| known.group == group.group) else {
            second.groups.push(group.clone());
            continue;
        };
        known.so_far.clone_from(&group.so_far);
        for meter in &group.meters {
            add_meter(&mut known.meters, meter)?;
        }
        match (&mut known.iterations, &group.iterations) {
            (Some(sum), Some(other)) => add_step(sum, other)?,
            (sum @ None, Some(other)) => *sum = Some(other.clone()),
            (_, None) => {}
        }
        for step in &group.steps {
            match known.steps.iter_mut().find(|known| known.step == step.step) {
                Some(sum) => add_step(sum, step)?,
                None => known.steps.push(step.clone()),
            }
        }
    }
    for node in &piece.nodes {
        match second.nodes.iter_mut().find(|known| known.node == node.node) {
            Some(known) => {
                known.offered += node.offered;
                known.in_flight = node.in_flight;
                known.lag_p99_ns = known.lag_p99_ns.max(node.lag_p99_ns);
                known.run_delay_share = known.run_delay_share.max(node.run_delay_share);
                known.utilisation = known.utilisation.max(node.utilisation);
            }
            None => second.nodes.push(node.clone()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
