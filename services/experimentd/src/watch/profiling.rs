//! Commands beside the load of a run that is being watched.

use nuncius_bus::Bus;
use nuncius_schemas::profile::ProfileReport;
use nuncius_schemas::spec::ExperimentSpec;

use super::Watch;
use crate::nodes::Nodes;
use crate::profiles::{Profiling, Start, order_at_end};
use crate::telemetry;

impl Watch<'_> {
    /// Plans them.
    pub(super) fn profiling(&self, site: (&Bus, &Nodes), experiment: &str, spec: &ExperimentSpec) -> Profiling {
        let (start_at_ns, start_unix_ns) = (self.start_at_ns, self.start_unix_ns);
        let start = Start { experiment, attempt: self.attempt, start_at_ns, start_unix_ns };
        let profiling = Profiling::plan(site, &start, &spec.profile, &spec.groups);
        profiling.follow(self.running.lease.token());
        profiling
    }

    /// Ends them, and tells what is to be told; what became of them.
    pub(super) async fn end_profiles(&mut self, profiling: Profiling) -> Vec<ProfileReport> {
        let is_cancelled = self.cut_short.as_ref().is_some_and(|cut| cut.cancelled);
        profiling.follow(self.running.lease.token());
        let shutdown = self.running.daemon.shutdown.clone();
        let (profiles, told) = profiling.end(order_at_end(is_cancelled), &shutdown).await;
        telemetry::say(&mut self.running.journal, told).await;
        profiles
    }
}
