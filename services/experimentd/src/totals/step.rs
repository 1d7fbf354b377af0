//! What one step did, over all nodes: counts and distributions.

use std::collections::BTreeMap;

use nuncius_schemas::gate::Quantity;
use nuncius_schemas::metric::{
    CheckCount, FailureCount, FailureKind, HostCount, SLOWEST_MAX, Series, SlowRequest, StatusCount, StepDelta,
    add_checks, add_hosts,
};
use nuncius_stats::second::add_slowest;
use nuncius_stats::{Observed, Totals};
use serde::{Deserialize, Serialize};

/// Counts and distributions of one step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StepTotals {
    /// Taken from the schedule, or begun.
    pub planned: u64,
    /// Written to a connection.
    pub sent: u64,
    /// Ended as expected.
    pub succeeded: u64,
    /// Ended otherwise.
    pub failed: u64,
    /// Unanswered or unsent at the stop.
    pub censored: u64,
    /// Passed by, or given up before anything was sent, by the rules of the test itself.
    #[serde(default)]
    pub skipped: u64,
    /// Sent again because the server had closed the connection without seeing the request.
    pub retried: u64,
    /// Answers that led elsewhere and were followed.
    #[serde(default)]
    pub redirects: u64,
    /// Waited for a node's cap on the rate.
    pub held_back: u64,
    /// Pauses of users whose iteration ended without an answer.
    pub backed_off: u64,
    /// Bytes written to connections.
    pub bytes_sent: u64,
    /// Bytes read from connections.
    pub bytes_received: u64,
    /// Answers by status, successes included.
    pub statuses: BTreeMap<u16, u64>,
    /// Failures by kind and status.
    pub failures: BTreeMap<(FailureKind, u16), (u64, Option<String>)>,
    /// Checks by name.
    #[serde(default)]
    pub checks: Vec<CheckCount>,
    /// Hosts by address.
    #[serde(default)]
    pub hosts: Vec<HostCount>,
    /// Done − planned of what succeeded or waited its timeout, with what is only known from below.
    pub response: Observed,
    /// Done − sent of what succeeded or waited its timeout, with what is only known from below.
    pub service: Observed,
    /// Sent − taken.
    pub blocked: Observed,
    /// Taken − planned.
    pub lag: Observed,
    /// Done − planned, of answers that failed.
    pub failed_response: Observed,
    /// Done − sent, of answers that failed.
    pub failed_service: Observed,
    /// The slowest requests, slowest first; at most [`SLOWEST_MAX`].
    #[serde(default)]
    pub slowest: Vec<SlowRequest>,
}

impl StepTotals {
    /// The observations of a quantity.
    pub fn quantity(&self, quantity: Quantity) -> &Observed {
        match quantity {
            Quantity::Response => &self.response,
            Quantity::Service => &self.service,
            Quantity::Blocked => &self.blocked,
            Quantity::Lag => &self.lag,
        }
    }

    /// One of its distributions.
    pub fn series(&self, series: Series) -> &Totals {
        match series {
            Series::Lag => &self.lag.completed,
            Series::Blocked => &self.blocked.completed,
            Series::Service => &self.service.completed,
            Series::Response => &self.response.completed,
            Series::FailedService => &self.failed_service.completed,
            Series::FailedResponse => &self.failed_response.completed,
            Series::CensoredService => &self.service.censored,
            Series::CensoredResponse => &self.response.censored,
        }
    }

    /// One of its distributions, to be added to.
    pub fn series_mut(&mut self, series: Series) -> &mut Totals {
        match series {
            Series::Lag => &mut self.lag.completed,
            Series::Blocked => &mut self.blocked.completed,
            Series::Service => &mut self.service.completed,
            Series::Response => &mut self.response.completed,
            Series::FailedService => &mut self.failed_service.completed,
            Series::FailedResponse => &mut self.failed_response.completed,
            Series::CensoredService => &mut self.service.censored,
            Series::CensoredResponse => &mut self.response.censored,
        }
    }

    /// Adds what a delta says.
    ///
    /// # Errors
    /// What was wrong with a histogram; some may have been added then.
    pub(crate) fn add(&mut self, node: &str, delta: &StepDelta) -> Result<(), String> {
        for series in Series::ALL {
            self.series_mut(series).merge_delta(delta.series(series)).map_err(|error| error.to_string())?;
        }
        self.planned += delta.planned;
        self.sent += delta.sent;
        self.succeeded += delta.succeeded;
        self.failed += delta.failed;
        self.censored += delta.censored;
        self.skipped += delta.skipped;
        self.retried += delta.retried;
        self.redirects += delta.redirects;
        add_checks(&mut self.checks, &delta.checks);
        add_hosts(&mut self.hosts, &delta.hosts);
        self.held_back += delta.held_back;
        self.backed_off += delta.backed_off;
        self.bytes_sent += delta.bytes_sent;
        self.bytes_received += delta.bytes_received;
        for StatusCount { status, count } in &delta.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for FailureCount { kind, status, count, sample } in &delta.failures {
            let entry = self.failures.entry((*kind, *status)).or_default();
            entry.0 += count;
            if entry.1.is_none() {
                entry.1.clone_from(sample);
            }
        }
        let named = |slow: &SlowRequest| SlowRequest { node: node.to_owned(), ..slow.clone() };
        let named: Vec<SlowRequest> = delta.slowest.iter().take(SLOWEST_MAX).map(named).collect();
        add_slowest(&mut self.slowest, &named, SLOWEST_MAX);
        Ok(())
    }

    /// Adds another's counts and distributions.
    pub fn merge(&mut self, other: &Self) {
        self.planned += other.planned;
        self.sent += other.sent;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.censored += other.censored;
        self.skipped += other.skipped;
        self.retried += other.retried;
        self.redirects += other.redirects;
        add_checks(&mut self.checks, &other.checks);
        add_hosts(&mut self.hosts, &other.hosts);
        self.held_back += other.held_back;
        self.backed_off += other.backed_off;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for (key, (count, sample)) in &other.failures {
            let entry = self.failures.entry(*key).or_default();
            entry.0 += count;
            if entry.1.is_none() {
                entry.1.clone_from(sample);
            }
        }
        add_slowest(&mut self.slowest, &other.slowest, SLOWEST_MAX);
        for series in Series::ALL {
            add(self.series_mut(series), other.series(series));
        }
    }
}

/// Adds what was decoded before: fails only where 64-bit counters would overflow, which no run lives to see.
pub(crate) fn add(target: &mut Totals, source: &Totals) {
    if let Err(error) = target.merge(source) {
        tracing::error!(%error, "histograms could not be added");
    }
}
