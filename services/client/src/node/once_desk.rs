//! What a node does, or did last, once for an experiment, and who waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use nuncius_engine::Control;
use nuncius_schemas::node::{GivenVariables, OncePhase, RefusalCode};
use tokio::task::JoinSet;
use tracing::warn;

use super::call::Call;

/// Which of an attempt's: phase and group.
pub(super) type Key = (OncePhase, u16);
/// What came of it: what sessions are given, or why not.
pub(super) type Outcome = Result<GivenVariables, (RefusalCode, String)>;

/// How it stands.
pub(super) enum Standing {
    /// It is being done; who waits for it.
    UnderWay(Arc<Control>, Vec<Call>),
    /// It was done, or has failed.
    Ended(Outcome),
}

/// Something that was done once, or has failed.
pub(super) struct Ended {
    pub(super) experiment: String,
    pub(super) attempt: u32,
    pub(super) key: Key,
    pub(super) outcome: Outcome,
}

/// What is done once, or was done last, of one attempt of one experiment.
#[derive(Default)]
pub(super) struct OnceDesk {
    pub(super) experiment: String,
    pub(super) attempt: u32,
    pub(super) standings: BTreeMap<Key, Standing>,
    pub(super) work: JoinSet<Ended>,
}

impl OnceDesk {
    /// The experiment that something is being done for.
    pub(super) fn works_for(&self) -> Option<&str> {
        let is_under_way = self.standings.values().any(|standing| matches!(standing, Standing::UnderWay(..)));
        is_under_way.then_some(self.experiment.as_str())
    }

    /// The next that ends; cancel-safe, and never while nothing is under way.
    pub(super) async fn next(&mut self) -> Ended {
        loop {
            match self.work.join_next().await {
                Some(Ok(ended)) => return ended,
                Some(Err(error)) => warn!(%error, "what is done once ended without a result"),
                None => std::future::pending().await,
            }
        }
    }

    /// Stops what is under way of this experiment, up to this attempt: it has failed with this. Gives who waited for
    /// it.
    pub(super) fn stop(&mut self, experiment: &str, attempt: u32, failed: &(RefusalCode, String)) -> Vec<Call> {
        if self.experiment != experiment || self.attempt > attempt {
            return Vec::new();
        }
        let mut waiting = Vec::new();
        for standing in self.standings.values_mut() {
            if let Standing::UnderWay(control, calls) = standing {
                control.stop(0);
                waiting.append(calls);
                *standing = Standing::Ended(Err(failed.clone()));
            }
        }
        waiting
    }
}
