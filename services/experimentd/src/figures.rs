//! What the daemon tells of itself as metrics: counted where it happens. There is one in a process, as there is one
//! log.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nuncius_bus::clock::unix_ns;
use nuncius_metrics::Families;
use nuncius_metrics::names::daemon as names;
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_schemas::second::ExperimentSecond;

/// Everything.
pub(crate) static FIGURES: Figures = Figures {
    admitted: AtomicU64::new(0),
    refused: AtomicU64::new(0),
    unreadable: AtomicU64::new(0),
    takeovers: AtomicU64::new(0),
    lost_nodes: AtomicU64::new(0),
    merged_deltas: AtomicU64::new(0),
    repeated_deltas: AtomicU64::new(0),
    refused_deltas: AtomicU64::new(0),
    seconds: AtomicU64::new(0),
    dropped_seconds: AtomicU64::new(0),
    checkpoint_errors: AtomicU64::new(0),
    store_errors: AtomicU64::new(0),
    state: Mutex::new(State { runs: BTreeMap::new(), finished: BTreeMap::new() }),
};

/// Counts, and how each run stands.
pub(crate) struct Figures {
    pub(crate) admitted: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) unreadable: AtomicU64,
    pub(crate) takeovers: AtomicU64,
    pub(crate) lost_nodes: AtomicU64,
    pub(crate) merged_deltas: AtomicU64,
    pub(crate) repeated_deltas: AtomicU64,
    pub(crate) refused_deltas: AtomicU64,
    pub(crate) seconds: AtomicU64,
    pub(crate) dropped_seconds: AtomicU64,
    pub(crate) checkpoint_errors: AtomicU64,
    pub(crate) store_errors: AtomicU64,
    state: Mutex<State>,
}

struct State {
    runs: BTreeMap<String, OfRun>,
    finished: BTreeMap<(RunStatus, Option<Verdict>), u64>,
}

#[derive(Default)]
struct OfRun {
    status: Option<RunStatus>,
    second_delay_ns: Option<u64>,
    checkpoint: Option<Instant>,
}

/// Counts one.
pub(crate) fn count(of: &AtomicU64) {
    of.fetch_add(1, Relaxed);
}

impl Figures {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run that is looked after here has come so far.
    pub(crate) fn status(&self, id: &str, status: RunStatus, verdict: Option<Verdict>) {
        let mut state = self.lock();
        if status.is_terminal() {
            *state.finished.entry((status, verdict)).or_default() += 1;
        }
        state.runs.entry(id.to_owned()).or_default().status = Some(status);
    }

    /// A run is not looked after here any more.
    pub(crate) fn forget(&self, id: &str) {
        self.lock().runs.remove(id);
    }

    /// A second was told.
    pub(crate) fn told(&self, second: &ExperimentSecond) {
        count(&self.seconds);
        let delay_ns = unix_ns().saturating_sub(second.at_unix_ns.saturating_add(second.length_ns));
        if let Some(run) = self.lock().runs.get_mut(&second.experiment)
            && !second.late
            && second.revision == 0
        {
            run.second_delay_ns = Some(delay_ns);
        }
    }

    /// Where a run stands was stored.
    pub(crate) fn checkpoint(&self, id: &str) {
        if let Some(run) = self.lock().runs.get_mut(id) {
            run.checkpoint = Some(Instant::now());
        }
    }

    /// As metrics of the daemon of this name, which has yet to store so many runs.
    pub(crate) fn add_metrics(&self, families: &mut Families, node: &str, owed_runs: usize) {
        for (outcome, count) in
            [("admitted", &self.admitted), ("refused", &self.refused), ("unreadable", &self.unreadable)]
        {
            families.count(&names::SUBMISSIONS, &[node, outcome], count.load(Relaxed));
        }
        for (outcome, count) in
            [("merged", &self.merged_deltas), ("repeated", &self.repeated_deltas), ("refused", &self.refused_deltas)]
        {
            families.count(&names::DELTAS, &[node, outcome], count.load(Relaxed));
        }
        for (metric, count) in [
            (&names::TAKEOVERS, &self.takeovers),
            (&names::LOST_NODES, &self.lost_nodes),
            (&names::SECONDS, &self.seconds),
            (&names::DROPPED_SECONDS, &self.dropped_seconds),
            (&names::CHECKPOINT_ERRORS, &self.checkpoint_errors),
            (&names::STORE_ERRORS, &self.store_errors),
        ] {
            families.count(metric, &[node], count.load(Relaxed));
        }
        families.count(&names::OWED_RUNS, &[node], owed_runs as u64);
        let state = self.lock();
        for ((status, verdict), count) in &state.finished {
            let verdict = verdict.map_or("", Verdict::name);
            families.count(&names::FINISHED_RUNS, &[node, status.name(), verdict], *count);
        }
        let mut by_status: BTreeMap<RunStatus, u64> = LIVING.iter().map(|status| (*status, 0)).collect();
        for (id, run) in &state.runs {
            if let Some(status) = run.status.filter(|status| !status.is_terminal()) {
                *by_status.entry(status).or_default() += 1;
            }
            if let Some(delay_ns) = run.second_delay_ns {
                families.number(&names::SECOND_DELAY_SECONDS, &[node, id], delay_ns as f64 / 1e9);
            }
            if let Some(stored) = run.checkpoint {
                families.number(&names::CHECKPOINT_AGE_SECONDS, &[node, id], stored.elapsed().as_secs_f64());
            }
        }
        for (status, count) in by_status {
            families.count(&names::RUNS, &[node, status.name()], count);
        }
    }
}

/// Where a run can be that has not ended.
const LIVING: [RunStatus; 5] =
    [RunStatus::Submitted, RunStatus::Planned, RunStatus::Preparing, RunStatus::Running, RunStatus::Draining];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_where_it_is_and_as_finished_once_it_has_ended() {
        let id = "figures-test";
        FIGURES.status(id, RunStatus::Running, None);
        let told = || {
            let mut families = Families::new();
            FIGURES.add_metrics(&mut families, "d", 0);
            families
        };
        FIGURES.checkpoint(id);
        assert!(told().get("nuncius_experimentd_checkpoint_age_seconds").is_some());
        FIGURES.status(id, RunStatus::Finished, Some(Verdict::Pass));
        FIGURES.forget(id);
        let families = told();
        assert!(families.get("nuncius_experimentd_checkpoint_age_seconds").is_none());
        let finished = families.get("nuncius_experimentd_finished_runs_total").unwrap();
        assert!(finished.series.iter().any(|series| series.labels == ["d", "finished", "pass"]));
        let runs = families.get("nuncius_experimentd_runs").unwrap();
        assert_eq!(runs.series.len(), LIVING.len());
    }
}
