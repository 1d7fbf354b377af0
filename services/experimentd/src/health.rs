//! Whether a node's measurement can be trusted: how its generator fared in any five seconds, and whether it stood
//! still.

use std::collections::{BTreeMap, VecDeque};

use nuncius_report::text::duration;
use nuncius_schemas::fault::GeneratorFault;
use nuncius_schemas::metric::Health;
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_schemas::units::SECOND_NS;
use serde::{Deserialize, Serialize};

use nuncius_stats::{Observed, Totals};

use crate::totals::add;

/// Length of the window that is looked at, in seconds.
pub const WINDOW_SECONDS: u32 = 5;
/// Share of a window that the cgroup may be throttled.
pub const THROTTLED_SHARE_MAX: f64 = 0.02;
/// Share of a window that an engine thread may run before nobody knows what waited for it.
pub const BUSY_SHARE_MAX: f64 = 0.95;
/// Lag observations a window needs before its p99 says anything: one late request of so many is no p99.
pub const LAG_SAMPLES_MIN: u64 = 100;
/// How sure it must be that a window's lag p99 is over the limit: a run has many windows, and one of them must not make
/// it invalid by chance.
const LAG_CONFIDENCE: f64 = 0.999;
/// Wall time that a run must have covered before shares of it are judged, in nanoseconds, when it is shorter than a
/// window.
const COVERED_MIN_NS: u64 = 900_000_000;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct SecondHealth {
    second: u32,
    interval_ns: u64,
    run_delay_ns: u64,
    throttled_ns: u64,
    busy_ns: u64,
    lag: Totals,
}

/// The worst of a node's windows so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct NodeHealth {
    window: VecDeque<SecondHealth>,
    /// Second up to which windows have been judged.
    judged_through: Option<u32>,
    first_second: Option<u32>,
    /// Largest share of a window that an engine thread waited for a processor.
    pub run_delay_share: f64,
    /// Largest share of a window that the cgroup was throttled.
    pub throttled_share: f64,
    /// Largest share of a window that the busiest engine thread ran.
    pub busy_share: f64,
    /// Throttled in all, in nanoseconds.
    pub throttled_ns: u64,
    /// Largest lag p99 of a whole window that is certain, in nanoseconds: its lower bound.
    pub lag_p99_ns: u64,
    /// Longest that the node's own timer came late, in nanoseconds.
    pub heartbeat_late_ns: u64,
    /// Largest resident memory, in bytes.
    pub resident_bytes_max: u64,
    /// Request records that found no room.
    pub dropped_records: u64,
    /// Messages that the NATS client dropped.
    pub slow_consumer: u64,
    /// What its generator ran out of, and how often.
    pub faults: BTreeMap<GeneratorFault, u64>,
}

impl NodeHealth {
    /// Adds what a delta said of the second it ends with.
    pub fn add(&mut self, second: u32, health: Option<&Health>, lag: &Totals) {
        if let Some(health) = health {
            self.throttled_ns += health.throttled_ns;
            self.resident_bytes_max = self.resident_bytes_max.max(health.resident_bytes);
            self.dropped_records += health.dropped_records;
            self.slow_consumer += health.slow_consumer;
            self.heartbeat_late_ns = self.heartbeat_late_ns.max(health.heartbeat_late_ns);
            for fault in &health.faults {
                *self.faults.entry(fault.fault).or_default() += fault.count;
            }
        }
        // A second that has not been spoken of yet: the ones before it are whole.
        if self.window.back().is_some_and(|newest| newest.second < second) {
            self.judge_windows();
        }
        self.first_second = Some(self.first_second.map_or(second, |first| first.min(second)));
        let at = self.window.iter().position(|known| known.second >= second);
        let index = match at {
            Some(index) if self.window.get(index).is_some_and(|known| known.second == second) => index,
            at => {
                let index = at.unwrap_or(self.window.len());
                self.window.insert(index, SecondHealth { second, ..SecondHealth::default() });
                index
            }
        };
        if let Some(entry) = self.window.get_mut(index) {
            add(&mut entry.lag, lag);
            if let Some(health) = health {
                entry.interval_ns += health.interval_ns;
                entry.run_delay_ns += health.run_delay_ns;
                entry.throttled_ns += health.throttled_ns;
                entry.busy_ns += health.busy_ns;
            }
        }
        let newest = self.window.back().map_or(second, |known| known.second);
        self.window.retain(|known| known.second + 2 * WINDOW_SECONDS > newest);
    }

    /// Judges the window that ends with the newest second, once, when it is whole.
    fn judge_windows(&mut self) {
        let (Some(newest), Some(first)) = (self.window.back().map(|known| known.second), self.first_second) else {
            return;
        };
        if self.judged_through.is_some_and(|judged| judged >= newest) || newest + 1 < first + WINDOW_SECONDS {
            return;
        }
        self.judged_through = Some(newest);
        self.judge_from((newest + 1).saturating_sub(WINDOW_SECONDS));
    }

    /// Judges all from `second` on as one window.
    fn judge_from(&mut self, second: u32) {
        let mut sum = SecondHealth::default();
        for known in self.window.iter().filter(|known| known.second >= second) {
            sum.interval_ns += known.interval_ns;
            sum.run_delay_ns += known.run_delay_ns;
            sum.throttled_ns += known.throttled_ns;
            sum.busy_ns += known.busy_ns;
            add(&mut sum.lag, &known.lag);
        }
        if sum.interval_ns >= COVERED_MIN_NS {
            let full_ns = sum.interval_ns.max(u64::from(WINDOW_SECONDS) * SECOND_NS) as f64;
            self.run_delay_share = self.run_delay_share.max(sum.run_delay_ns as f64 / full_ns);
            self.throttled_share = self.throttled_share.max(sum.throttled_ns as f64 / full_ns);
            self.busy_share = self.busy_share.max(sum.busy_ns as f64 / sum.interval_ns as f64);
        }
        if sum.lag.count() >= LAG_SAMPLES_MIN {
            let p99 = Observed::complete(sum.lag).quantile(0.99, LAG_CONFIDENCE);
            self.lag_p99_ns = self.lag_p99_ns.max(p99.and_then(|p99| p99.lower_ns).unwrap_or(0));
        }
    }

    /// With the last window, or all of a run that was shorter than one, when no more can come.
    #[must_use]
    pub fn at_end(&self) -> Self {
        let mut whole = self.clone();
        whole.judge_windows();
        if whole.judged_through.is_none() {
            whole.judge_from(0);
        }
        whole
    }

    /// Why the node's measurement cannot be trusted; empty when it can.
    pub fn problems(&self, node: &str, spec: &ExperimentSpec) -> Vec<String> {
        let last = self.at_end();
        let mut problems = Vec::new();
        let mut say = |problem: String| problems.push(format!("node {node} {problem}"));
        let (lag_limit_ns, heartbeat_limit_ns) = (spec.lag_limit.0, spec.heartbeat_limit.0);
        if last.heartbeat_late_ns > heartbeat_limit_ns {
            say(format!(
                "stood still for {}, over heartbeat_limit {}: use a machine that is not shared, or raise \
                 heartbeat_limit",
                duration(last.heartbeat_late_ns),
                duration(heartbeat_limit_ns)
            ));
        }
        for (fault, count) in &last.faults {
            say(format!("could not make requests ({count} times): {}", fault.advice()));
        }
        if last.lag_p99_ns > lag_limit_ns {
            say(format!(
                "was starved: lag p99 {} over lag_limit {} in {WINDOW_SECONDS} s: use another machine, more nodes or a \
                 lower rate, or raise lag_limit",
                duration(last.lag_p99_ns),
                duration(lag_limit_ns)
            ));
        }
        if last.run_delay_share > spec.run_delay_limit {
            say(format!(
                "was starved: an engine thread waited for a processor {:.0} % of {WINDOW_SECONDS} s, over \
                 run_delay_limit {:.0} %: use another machine, more nodes or a lower rate, or raise run_delay_limit",
                last.run_delay_share * 100.0,
                spec.run_delay_limit * 100.0
            ));
        }
        if last.busy_share > BUSY_SHARE_MAX {
            say(format!(
                "was saturated: an engine thread ran {:.0} % of {WINDOW_SECONDS} s (limit {:.0} %), so that what \
                 waited for it would be told as the target's: lower the rate, or use more threads or nodes",
                last.busy_share * 100.0,
                BUSY_SHARE_MAX * 100.0
            ));
        }
        if last.throttled_share > THROTTLED_SHARE_MAX {
            say(format!(
                "was throttled by its cgroup {:.0} % of {WINDOW_SECONDS} s (limit {:.0} %): raise its processor quota, \
                 or lower the rate",
                last.throttled_share * 100.0,
                THROTTLED_SHARE_MAX * 100.0
            ));
        }
        if last.slow_consumer > 0 {
            say(format!("lost {} messages from NATS (slow consumer)", last.slow_consumer));
        }
        if last.dropped_records > 0 {
            say(format!(
                "dropped {} request records: its buffers were full (the bus was away or slow for longer than \
                 --report-queue bears)",
                last.dropped_records
            ));
        }
        problems
    }
}

#[cfg(test)]
mod tests;
