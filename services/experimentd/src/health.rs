//! Whether a node's measurement can be trusted: lag, run-queue delay and throttling in any five seconds.

use std::collections::VecDeque;

use nuncius_schemas::metric::Health;
use nuncius_stats::Totals;

use crate::totals::add;

/// Length of the window that is looked at, in seconds.
pub const WINDOW_SECONDS: u32 = 5;
/// Share of a window that the cgroup may be throttled.
pub const THROTTLED_SHARE_MAX: f64 = 0.02;
/// Lag observations a window needs before its p99 says anything.
pub const LAG_SAMPLES_MIN: u64 = 20;

#[derive(Debug)]
struct SecondHealth {
    second: u32,
    interval_ns: u64,
    run_delay_ns: u64,
    throttled_ns: u64,
    lag: Totals,
}

/// The worst of a node's windows so far.
#[derive(Debug, Default)]
pub struct NodeHealth {
    window: VecDeque<SecondHealth>,
    /// Largest share of a window that an engine thread waited for a processor.
    pub run_delay_share: f64,
    /// Largest share of a window that the cgroup was throttled.
    pub throttled_share: f64,
    /// Throttled in all, in nanoseconds.
    pub throttled_ns: u64,
    /// Largest lag p99 of a window, in nanoseconds.
    pub lag_p99_ns: u64,
    /// Largest resident memory, in bytes.
    pub resident_bytes_max: u64,
    /// Request records that found no room.
    pub dropped_records: u64,
    /// Messages that the NATS client dropped.
    pub slow_consumer: u64,
}

impl NodeHealth {
    /// Adds what a delta said of the second it ends with.
    pub fn add(&mut self, second: u32, health: Option<&Health>, lag: &Totals) {
        if let Some(health) = health {
            self.throttled_ns += health.throttled_ns;
            self.resident_bytes_max = self.resident_bytes_max.max(health.resident_bytes);
            self.dropped_records += health.dropped_records;
            self.slow_consumer += health.slow_consumer;
        }
        let at = self.window.iter().position(|s| s.second == second);
        let index = at.unwrap_or_else(|| {
            self.window.push_back(SecondHealth {
                second,
                interval_ns: 0,
                run_delay_ns: 0,
                throttled_ns: 0,
                lag: Totals::default(),
            });
            self.window.len() - 1
        });
        if let Some(entry) = self.window.get_mut(index) {
            add(&mut entry.lag, lag);
            if let Some(health) = health {
                entry.interval_ns += health.interval_ns;
                entry.run_delay_ns += health.run_delay_ns;
                entry.throttled_ns += health.throttled_ns;
            }
        }
        let newest = self.window.iter().map(|s| s.second).max().unwrap_or(second);
        self.window.retain(|s| s.second + WINDOW_SECONDS > newest);
        self.judge_window();
    }

    fn judge_window(&mut self) {
        let interval_ns: u64 = self.window.iter().map(|s| s.interval_ns).sum();
        // A run shorter than a window is judged over what there is, but never over less than a second.
        if interval_ns >= 900_000_000 {
            let full_ns = interval_ns.max(u64::from(WINDOW_SECONDS) * 1_000_000_000) as f64;
            let run_delay: u64 = self.window.iter().map(|s| s.run_delay_ns).sum();
            let throttled: u64 = self.window.iter().map(|s| s.throttled_ns).sum();
            self.run_delay_share = self.run_delay_share.max(run_delay as f64 / full_ns);
            self.throttled_share = self.throttled_share.max(throttled as f64 / full_ns);
        }
        let mut lag = Totals::default();
        for second in &self.window {
            add(&mut lag, &second.lag);
        }
        if lag.count() >= LAG_SAMPLES_MIN {
            self.lag_p99_ns = self.lag_p99_ns.max(lag.quantile_ns(0.99).unwrap_or(0));
        }
    }

    /// Why the node's measurement cannot be trusted; empty when it can.
    pub fn problems(&self, node: &str, lag_limit_ns: u64, run_delay_limit: f64) -> Vec<String> {
        use nuncius_report::text::duration;
        let mut problems = Vec::new();
        if self.lag_p99_ns > lag_limit_ns {
            problems.push(format!(
                "node {node} was starved: lag p99 {} over lag_limit {} in {WINDOW_SECONDS} s",
                duration(self.lag_p99_ns),
                duration(lag_limit_ns)
            ));
        }
        if self.run_delay_share > run_delay_limit {
            problems.push(format!(
                "node {node} was starved: an engine thread waited for a processor {:.0} % of {WINDOW_SECONDS} s, over run_delay_limit {:.0} %",
                self.run_delay_share * 100.0,
                run_delay_limit * 100.0
            ));
        }
        if self.throttled_share > THROTTLED_SHARE_MAX {
            problems.push(format!(
                "node {node} was throttled by its cgroup {:.0} % of {WINDOW_SECONDS} s (limit {:.0} %)",
                self.throttled_share * 100.0,
                THROTTLED_SHARE_MAX * 100.0
            ));
        }
        if self.slow_consumer > 0 {
            problems.push(format!("node {node} lost {} messages from NATS (slow consumer)", self.slow_consumer));
        }
        if self.dropped_records > 0 {
            problems.push(format!("node {node} dropped {} request records: its buffer was full", self.dropped_records));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(run_delay_ns: u64, throttled_ns: u64) -> Health {
        Health { interval_ns: 1_000_000_000, run_delay_ns, throttled_ns, ..Health::default() }
    }

    #[test]
    fn a_healthy_node_has_no_problems() {
        let mut health = NodeHealth::default();
        for s in 0..20 {
            health.add(s, Some(&second(50_000_000, 0)), &Totals::default());
        }
        assert!(health.problems("n", 10_000_000, 0.1).is_empty());
    }

    #[test]
    fn half_a_second_of_run_delay_in_any_five_is_starvation() {
        let mut health = NodeHealth::default();
        for s in 0..20 {
            let delay = if (7..9).contains(&s) { 300_000_000 } else { 0 };
            health.add(s, Some(&second(delay, 0)), &Totals::default());
        }
        let problems = health.problems("n1", 10_000_000, 0.1);
        assert!(problems.iter().any(|p| p.contains("n1") && p.contains("waited for a processor")), "{problems:?}");
    }

    #[test]
    fn throttling_is_seen() {
        let mut health = NodeHealth::default();
        for s in 0..5 {
            health.add(s, Some(&second(0, 400_000_000)), &Totals::default());
        }
        assert!(health.problems("n1", 10_000_000, 0.1).iter().any(|p| p.contains("throttled")));
    }
}
