//! What became of the requests since the last reset. Pure: it reads no clock and does no I/O.
//!
//! Everything that comes from outside is bounded: names and error texts are cut, and what exceeds a limit is counted
//! under "other". A node's histogram of run times takes 4 KiB for each doubling that occurs, mostly one or two.

use std::collections::BTreeMap;
use std::time::Instant;

use nuncius_stats::Histogram;

mod counts;
mod node;
mod report;
#[cfg(test)]
mod tests;

pub use counts::{Count, Counted};
pub use report::{NodeReport, NodesReport, Overall, RunTimes, Timing};

use counts::cleaned;
use node::Node;

/// Most nodes counted apart; the rest is one, "other nodes".
pub const NODES_MAX: usize = 10_000;
/// Most error texts counted apart per node; the rest is "other errors".
pub const ERRORS_MAX: usize = 100;
/// Most devices, and most pods, counted apart per node; the rest is "other".
pub const NAMES_MAX: usize = 1_000;
/// Most names and error texts of all nodes together.
pub const TEXTS_MAX: usize = 200_000;
/// Longest name or error text kept, in characters.
pub const TEXT_CHARACTERS: usize = 200;

/// How a request ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ended {
    /// The node that ran it; `None` where none did: refused, or lost on the way.
    pub node: Option<String>,
    /// Its pod.
    pub pod: Option<String>,
    /// The device it ran on.
    pub device: Option<String>,
    /// What was wrong; `None` is a success.
    pub error: Option<String>,
    /// It was over its limit; a failure even without an error.
    pub timed_out: bool,
    /// Time in the queue, in seconds.
    pub wait_seconds: f64,
    /// Time at the worker, in seconds.
    pub run_seconds: f64,
    /// From the client's first byte to the result, in seconds.
    pub total_seconds: f64,
}

impl Ended {
    /// Whether it is counted as a success.
    pub const fn succeeded(&self) -> bool {
        self.error.is_none() && !self.timed_out
    }
}

/// A request on its way, to be given back to [`Statistics::end`] once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a request that never ends stays pending"]
pub struct Begun {
    period: u64,
}

/// Counters since the last reset; pending requests, parallelism and HTTP queries outlive it.
#[derive(Debug, Default)]
pub struct Statistics {
    parallel: u32,
    pending: u64,
    http_completed: u64,
    http_rejected: u64,
    /// How many resets there were: requests of earlier periods are not counted.
    period: u64,
    since_reset: Period,
}

/// What a reset forgets.
#[derive(Debug, Default)]
struct Period {
    /// The first request.
    first: Option<Instant>,
    successful: u64,
    failed: u64,
    timed_out: u64,
    run: Histogram,
    wait: Histogram,
    overhead: Histogram,
    nodes: BTreeMap<String, Node>,
    other_nodes: Node,
    without_node: Node,
    /// Names and texts kept.
    texts: usize,
}

impl Statistics {
    /// Nothing counted.
    pub fn new(parallel: u32) -> Self {
        Self { parallel, ..Self::default() }
    }

    /// Counts a request that is sent now. The first one since the last reset starts the time for the rate.
    pub fn begin(&mut self, now: Instant) -> Begun {
        self.since_reset.first.get_or_insert(now);
        self.pending = self.pending.saturating_add(1);
        Begun { period: self.period }
    }

    /// Counts how a request ended. One that was begun before the last reset only stops being pending.
    pub fn end(&mut self, begun: Begun, ended: &Ended) {
        self.pending = self.pending.saturating_sub(1);
        if begun.period == self.period {
            self.since_reset.count(ended);
        }
    }

    /// Starts a new period with nothing counted.
    pub fn reset(&mut self) {
        self.period = self.period.wrapping_add(1);
        self.since_reset = Period::default();
    }

    /// Notes the parallelism that is in force; nothing is reset.
    pub const fn set_parallel(&mut self, parallel: u32) {
        self.parallel = parallel;
    }

    /// Counts a query of the control page.
    pub const fn count_query(&mut self, completed: bool) {
        let counter = if completed { &mut self.http_completed } else { &mut self.http_rejected };
        *counter = counter.saturating_add(1);
    }

    /// Requests in parallel.
    pub const fn parallel(&self) -> u32 {
        self.parallel
    }

    /// Requests on their way, whenever begun.
    pub const fn pending(&self) -> u64 {
        self.pending
    }

    /// Failures since the last reset.
    pub const fn failed(&self) -> u64 {
        self.since_reset.failed
    }

    /// Successes since the last reset.
    pub const fn successful(&self) -> u64 {
        self.since_reset.successful
    }

    /// From the first request since the last reset to `now`, in seconds; 0 before any.
    pub fn elapsed_seconds(&self, now: Instant) -> f64 {
        self.since_reset.first.map_or(0.0, |first| now.saturating_duration_since(first).as_secs_f64())
    }

    /// Successes per second of [`elapsed_seconds`](Self::elapsed_seconds); 0 while no time has passed.
    pub fn successful_per_second(&self, now: Instant) -> f64 {
        let elapsed_seconds = self.elapsed_seconds(now);
        if elapsed_seconds > 0.0 { self.successful() as f64 / elapsed_seconds } else { 0.0 }
    }

    /// All requests together.
    pub fn overall(&self, now: Instant) -> Overall {
        let period = &self.since_reset;
        Overall {
            parallel: self.parallel,
            pending: self.pending,
            failed: period.failed,
            timed_out: period.timed_out,
            successful: period.successful,
            elapsed_seconds: self.elapsed_seconds(now),
            successful_per_second: self.successful_per_second(now),
            run: Timing::of(&period.run),
            wait: Timing::of(&period.wait),
            overhead: Timing::of(&period.overhead),
            http_completed: self.http_completed,
            http_rejected: self.http_rejected,
        }
    }

    /// Each node by itself.
    pub fn nodes(&self) -> NodesReport {
        let period = &self.since_reset;
        let unless_empty = |node: &Node| (!node.is_empty()).then(|| node.report(""));
        NodesReport {
            successful: period.successful,
            failed: period.failed,
            nodes: period.nodes.iter().map(|(name, node)| node.report(name)).collect(),
            other_nodes: unless_empty(&period.other_nodes),
            without_node: unless_empty(&period.without_node),
        }
    }
}

impl Period {
    fn count(&mut self, ended: &Ended) {
        if ended.succeeded() {
            self.successful = self.successful.saturating_add(1);
            self.run.record_ns(nanoseconds(ended.run_seconds));
            self.wait.record_ns(nanoseconds(ended.wait_seconds));
            // The wait is measured by another clock: the difference may fall below nothing.
            self.overhead.record_ns(nanoseconds(ended.total_seconds - ended.wait_seconds - ended.run_seconds));
        } else {
            self.failed = self.failed.saturating_add(1);
            self.timed_out = self.timed_out.saturating_add(u64::from(ended.timed_out));
        }
        let Self { nodes, other_nodes, without_node, texts, .. } = self;
        let node = match ended.node.as_deref().filter(|name| !name.is_empty()).map(cleaned) {
            None => without_node,
            Some(name) => {
                let is_known = nodes.contains_key(&name);
                if is_known || (nodes.len() < NODES_MAX && *texts < TEXTS_MAX) {
                    *texts += usize::from(!is_known);
                    nodes.entry(name).or_default()
                } else {
                    other_nodes
                }
            }
        };
        node.count(ended, nanoseconds(ended.run_seconds), texts);
    }
}

/// Seconds as whole nanoseconds; what is no time (negative, not a number) is 0.
fn nanoseconds(seconds: f64) -> u64 {
    // The cast saturates.
    (seconds * 1e9).round() as u64
}
