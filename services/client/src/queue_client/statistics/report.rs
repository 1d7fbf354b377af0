//! The numbers as they are shown: what the JSON answers hold and the pages are made from.

use std::collections::BTreeMap;

use nuncius_stats::Histogram;
use nuncius_stats::buckets::{HIGHEST_US, RESOLUTION_NS, lowest_ns};
use serde::Serialize;

use super::counts::Counted;

/// All requests since the last reset. Times are of successes only.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overall {
    /// Requests in parallel.
    pub parallel: u32,
    /// On their way.
    pub pending: u64,
    /// Failures, those over their limit included.
    pub failed: u64,
    /// Failures that were over their limit.
    pub timed_out: u64,
    /// Successes.
    pub successful: u64,
    /// Since the first request, in seconds.
    pub elapsed_seconds: f64,
    /// Successes per second.
    pub successful_per_second: f64,
    /// Time at the worker; `None` without a success.
    pub run: Option<Timing>,
    /// Time in the queue.
    pub wait: Option<Timing>,
    /// What is left of the whole time: the way there and back.
    pub overhead: Option<Timing>,
    /// HTTP queries answered since the start.
    pub http_completed: u64,
    /// HTTP queries refused since the start.
    pub http_rejected: u64,
}

/// A distribution of times. Smallest, mean and largest are exact, percentiles to 0.1 % or 1 µs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Timing {
    /// Smallest, in seconds.
    pub min_seconds: f64,
    /// Mean, in seconds.
    pub mean_seconds: f64,
    /// Median, in seconds.
    pub p50_seconds: f64,
    /// 90th percentile, in seconds.
    pub p90_seconds: f64,
    /// 99th percentile, in seconds.
    pub p99_seconds: f64,
    /// Largest, in seconds.
    pub max_seconds: f64,
}

impl Timing {
    /// What a histogram holds; `None` when it is empty.
    pub(super) fn of(histogram: &Histogram) -> Option<Self> {
        let summary = histogram.summary();
        let quantile = |q| histogram.quantile_ns(q).map(seconds);
        Some(Self {
            min_seconds: seconds(summary.min_ns),
            mean_seconds: summary.mean_ns()? / 1e9,
            p50_seconds: quantile(0.5)?,
            p90_seconds: quantile(0.9)?,
            p99_seconds: quantile(0.99)?,
            max_seconds: seconds(summary.max_ns),
        })
    }
}

/// How many successes ran for how long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RunTimes {
    /// The longest run counted here: 1, 2 or 5 times a power of ten, in seconds. `None` is beyond an hour.
    pub to_seconds: Option<f64>,
    /// How many.
    pub count: u64,
}

impl RunTimes {
    /// The buckets of a histogram, gathered to a few.
    pub(super) fn of(histogram: &Histogram) -> Vec<Self> {
        let mut bins: BTreeMap<u64, u64> = BTreeMap::new();
        for (bucket, count) in histogram.buckets() {
            let sum = bins.entry(round_up_ns(lowest_ns(bucket))).or_default();
            *sum = sum.saturating_add(count);
        }
        let beyond = histogram.summary().overflow;
        let bins = bins.into_iter().map(|(to_ns, count)| Self { to_seconds: Some(seconds(to_ns)), count });
        bins.chain((beyond > 0).then_some(Self { to_seconds: None, count: beyond })).collect()
    }
}

/// The next of 1, 2, 5 times a power of ten, from 1 ms; nothing above the range of the histogram.
fn round_up_ns(value_ns: u64) -> u64 {
    const HIGHEST_NS: u64 = HIGHEST_US * RESOLUTION_NS;
    let mut decade_ns = 1_000_000;
    while decade_ns < HIGHEST_NS {
        for step_ns in [decade_ns, 2 * decade_ns, 5 * decade_ns] {
            if value_ns <= step_ns && step_ns < HIGHEST_NS {
                return step_ns;
            }
        }
        decade_ns *= 10;
    }
    HIGHEST_NS
}

/// One node since the last reset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeReport {
    /// Its name; empty for the sums of many and of none.
    pub name: String,
    /// Successes.
    pub successful: u64,
    /// Failures.
    pub failed: u64,
    /// Failures that were over their limit.
    pub timed_out: u64,
    /// Successes by device.
    pub devices: Counted,
    /// Successes by pod.
    pub pods: Counted,
    /// Failures by error text.
    pub errors: Counted,
    /// Time of successes at the worker.
    pub run: Option<Timing>,
    /// The same, counted.
    pub run_times: Vec<RunTimes>,
}

/// All nodes since the last reset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodesReport {
    /// Successes of all requests.
    pub successful: u64,
    /// Failures of all requests.
    pub failed: u64,
    /// By name.
    pub nodes: Vec<NodeReport>,
    /// Nodes beyond the limit, together.
    pub other_nodes: Option<NodeReport>,
    /// Requests that no node answered for: refused, or lost on the way.
    pub without_node: Option<NodeReport>,
}

fn seconds(value_ns: u64) -> f64 {
    value_ns as f64 / 1e9
}
