//! Random choices of a servo: each a function of (seed, group, servo, operation, purpose) alone, so that a run can be
//! repeated.

use nuncius_load::philox::philox4x32;
use nuncius_schemas::servo::{DurationDistribution, LONGEST_NS};

/// What a draw is for. The values are part of what a seed means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// When a servo says hello.
    Start = 0,
    /// How long an operation takes.
    Length = 1,
    /// Its faults, one after the other.
    SkipProgress = 2,
    DoubleWhatsNext = 3,
    ProgressBackwards = 4,
    DropConnection = 5,
    Crash = 6,
    /// What a measurement says.
    Throughput = 7,
    ErrorRate = 8,
    /// Settings a servo begins with.
    Cpu = 9,
    Memory = 10,
    Replicas = 11,
}

/// Apart from the counters of the schedule's own draws.
const TAG: u32 = 8 << 28;

/// Of which servo, and which of its operations.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    pub(super) seed: u64,
    pub(super) group: u32,
    pub(super) servo: u32,
    pub(super) operation: u32,
}

/// A number in (0, 1].
pub(super) fn unit(source: Source, purpose: Purpose) -> f64 {
    let key = [source.seed as u32, (source.seed >> 32) as u32];
    let [high, low, _, _] = philox4x32(key, [source.servo, source.operation, source.group, TAG | purpose as u32]);
    let bits = u64::from(high) << 32 | u64::from(low);
    ((bits >> 11) + 1) as f64 / (1u64 << 53) as f64
}

/// Whether something of this probability happens: never at 0, always at 1.
pub(super) fn happens(source: Source, purpose: Purpose, probability: f64) -> bool {
    unit(source, purpose) <= probability
}

/// A whole number of `0..count`.
pub(super) fn below(source: Source, purpose: Purpose, count: u32) -> u32 {
    (((1.0 - unit(source, purpose)) * f64::from(count)) as u32).min(count.saturating_sub(1))
}

/// A duration in nanoseconds.
pub(super) fn duration_ns(source: Source, purpose: Purpose, distribution: &DurationDistribution) -> u64 {
    let unit = unit(source, purpose);
    let drawn = match distribution {
        DurationDistribution::Constant(duration) => return duration.0,
        DurationDistribution::Uniform { least, most } => {
            least.0 as f64 + most.0.saturating_sub(least.0) as f64 * (1.0 - unit)
        }
        DurationDistribution::Exponential(mean) => -(mean.0 as f64) * libm::log(unit),
    };
    drawn.clamp(0.0, LONGEST_NS as f64) as u64
}
