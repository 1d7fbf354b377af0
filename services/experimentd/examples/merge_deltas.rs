//! What merging a delta costs the daemon: the deltas of 64 nodes over 60 seconds, one step with four histograms of
//! some hundred buckets each. `merge` starts from decoded deltas, `read` from their MessagePack bytes, `dense` is the
//! least there could be: the same counters as dense arrays, each added once to an array of totals. One line for each
//! round, in µs per delta.
//!
//! `cargo run --release -p nuncius-experimentd --example merge_deltas [rounds]`

#![expect(clippy::print_stdout, reason = "a program that prints its result")]

use std::time::{Duration, Instant};

use nuncius_experimentd::totals::{OPEN_SECONDS, RunTotals};
use nuncius_schemas::codec;
use nuncius_schemas::metric::{Health, MetricDelta, StepDelta};
use nuncius_stats::{Histogram, Incarnation, Totals};

type Failure = Box<dyn std::error::Error>;

const NODES: usize = 64;
const SECONDS: u32 = 60;
const REQUESTS: u64 = 1_000;
const QUANTITIES: usize = 4;

fn main() -> Result<(), Failure> {
    let rounds: usize = std::env::args_os()
        .nth(1)
        .and_then(|text| text.into_string().ok())
        .map(|text| text.parse())
        .transpose()?
        .unwrap_or(3);
    let mut random = fastrand::Rng::with_seed(7);
    let seconds: Vec<Vec<MetricDelta>> =
        (0..SECONDS).map(|second| (0..NODES).map(|node| delta(node, second, &mut random)).collect()).collect();
    let count = NODES as f64 * f64::from(SECONDS);
    let buckets: usize = seconds.iter().flatten().flat_map(histograms).map(occupied).sum();
    println!(
        "deltas={count:.0} buckets_per_histogram={:.0} bytes_per_delta={}",
        buckets as f64 / count / QUANTITIES as f64,
        codec::encode(seconds.first().and_then(|second| second.first()).ok_or("no delta")?)?.len()
    );
    for round in 1..=rounds {
        let (merged, totals) = merge(&seconds, false)?;
        let (read, _) = merge(&seconds, true)?;
        let (dense, sums) = dense(&seconds);
        check(&totals, &sums)?;
        let us = |time: Duration| time.as_secs_f64() * 1e6 / count;
        println!("round={round} merge_us={:.3} read_us={:.3} dense_us={:.3}", us(merged), us(read), us(dense));
    }
    Ok(())
}

/// Merges everything as the daemon does, from deltas or from their bytes; seconds are closed outside the time taken.
fn merge(seconds: &[Vec<MetricDelta>], from_bytes: bool) -> Result<(Duration, RunTotals), Failure> {
    let mut totals = RunTotals::new(vec![0]);
    (0..NODES).for_each(|node| totals.enroll(&name(node), Incarnation { epoch: 1, attempt: 1 }));
    let mut time = Duration::ZERO;
    for (second, deltas) in (0u32..).zip(seconds) {
        let bytes: Vec<Vec<u8>> = deltas.iter().map(codec::encode).collect::<Result<_, _>>()?;
        let begun = Instant::now();
        let mut merged = 0;
        if from_bytes {
            for bytes in &bytes {
                merged += usize::from(totals.merge(&codec::decode(bytes)?)?);
            }
        } else {
            for delta in deltas {
                merged += usize::from(totals.merge(delta)?);
            }
        }
        time += begun.elapsed();
        if merged != deltas.len() {
            return Err("a delta was taken for a known one".into());
        }
        drop(totals.close_before(second.saturating_sub(OPEN_SECONDS)));
    }
    Ok((time, totals))
}

/// The baseline: array additions alone, of arrays just written.
fn dense(seconds: &[Vec<MetricDelta>]) -> (Duration, [Vec<u64>; QUANTITIES]) {
    let mut sums: [Vec<u64>; QUANTITIES] = Default::default();
    let mut time = Duration::ZERO;
    for delta in seconds.iter().flatten() {
        let arrays: Vec<Vec<u64>> = histograms(delta).map(array).collect();
        for (sum, array) in sums.iter_mut().zip(&arrays) {
            sum.resize(sum.len().max(array.len()), 0);
        }
        let begun = Instant::now();
        for (sum, array) in sums.iter_mut().zip(&arrays) {
            for (sum, count) in sum.iter_mut().zip(array) {
                *sum += count;
            }
        }
        time += begun.elapsed();
    }
    (time, sums)
}

/// Both ways must have counted the same.
fn check(totals: &RunTotals, sums: &[Vec<u64>; QUANTITIES]) -> Result<(), Failure> {
    let step = totals.steps.get(&(0, 0)).ok_or("no step")?;
    let observed = [&step.lag, &step.blocked, &step.service, &step.response];
    for (observed, sum) in observed.into_iter().zip(sums) {
        let dense = (0u32..).zip(sum).filter(|(_, count)| **count > 0).map(|(bucket, count)| (bucket, *count));
        if !observed.completed.buckets().eq(dense) {
            return Err("the merged histograms are not the sums of the deltas".into());
        }
    }
    Ok(())
}

fn name(node: usize) -> String {
    format!("client-{node}")
}

fn histograms(delta: &MetricDelta) -> impl Iterator<Item = &[u8]> {
    delta.steps.iter().flat_map(|step| [&step.lag[..], &step.blocked[..], &step.service[..], &step.response[..]])
}

fn occupied(bytes: &[u8]) -> usize {
    Totals::decode(bytes).map_or(0, |totals| totals.buckets().count())
}

fn array(bytes: &[u8]) -> Vec<u64> {
    let mut array = Vec::new();
    for (bucket, count) in Totals::decode(bytes).iter().flat_map(Totals::buckets) {
        array.resize(bucket as usize, 0);
        array.push(count);
    }
    array
}

/// One node's second: a skewed service of a few milliseconds, lag and waiting of some hundred microseconds.
fn delta(node: usize, second: u32, random: &mut fastrand::Rng) -> MetricDelta {
    let mut recorded: [Histogram; QUANTITIES] = Default::default();
    for _ in 0..REQUESTS {
        // Powers of a uniform are skewed enough: most are short, few are long.
        let mut skewed = |scale_ns: f64, power: i32| (random.f64().powi(power) * scale_ns) as u64;
        let (lag_ns, blocked_ns) = (skewed(600_000.0, 2), skewed(900_000.0, 3));
        let service_ns = 1_500_000 + skewed(8_000_000.0, 4);
        for (histogram, value_ns) in
            recorded.iter_mut().zip([lag_ns, blocked_ns, service_ns, lag_ns + blocked_ns + service_ns])
        {
            histogram.record_ns(value_ns);
        }
    }
    let [lag, blocked, service, response] = recorded.map(|histogram| histogram.encode_delta());
    let step = StepDelta {
        planned: REQUESTS,
        sent: REQUESTS,
        succeeded: REQUESTS,
        in_flight: 3,
        lag,
        blocked,
        service,
        response,
        ..StepDelta::default()
    };
    MetricDelta {
        experiment: "bench".to_owned(),
        node: name(node),
        epoch: 1,
        attempt: 1,
        sequence: u64::from(second) + 1,
        part: 0,
        parts: 1,
        first_second: second,
        last_second: second,
        last: second + 1 == SECONDS,
        stopped: None,
        shortfall: None,
        records: None,
        meters: Vec::new(),
        tracks: Vec::new(),
        steps: vec![step],
        health: Some(Health { interval_ns: 1_000_000_000, cpu_ns: 200_000_000, ..Health::default() }),
    }
}
