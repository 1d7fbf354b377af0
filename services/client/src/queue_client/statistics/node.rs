//! What is counted for one node.

use nuncius_stats::Histogram;

use super::counts::Counts;
use super::report::{NodeReport, RunTimes, Timing};
use super::{ERRORS_MAX, Ended, NAMES_MAX};

/// What stands for an error where a request was over its limit and nothing else was said.
const TIMED_OUT: &str = "timed out";

#[derive(Debug, Default)]
pub(super) struct Node {
    successful: u64,
    failed: u64,
    timed_out: u64,
    devices: Counts,
    pods: Counts,
    errors: Counts,
    run: Histogram,
}

impl Node {
    pub(super) fn count(&mut self, ended: &Ended, run_ns: u64, texts: &mut usize) {
        if !ended.succeeded() {
            self.failed = self.failed.saturating_add(1);
            self.timed_out = self.timed_out.saturating_add(u64::from(ended.timed_out));
            self.errors.add(ended.error.as_deref().unwrap_or(TIMED_OUT), ERRORS_MAX, texts);
            return;
        }
        self.successful = self.successful.saturating_add(1);
        self.run.record_ns(run_ns);
        if let Some(device) = &ended.device {
            self.devices.add(device, NAMES_MAX, texts);
        }
        if let Some(pod) = &ended.pod {
            self.pods.add(pod, NAMES_MAX, texts);
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.successful == 0 && self.failed == 0
    }

    pub(super) fn report(&self, name: &str) -> NodeReport {
        NodeReport {
            name: name.to_owned(),
            successful: self.successful,
            failed: self.failed,
            timed_out: self.timed_out,
            devices: self.devices.report(),
            pods: self.pods.report(),
            errors: self.errors.report(),
            run: Timing::of(&self.run),
            run_times: RunTimes::of(&self.run),
        }
    }
}
