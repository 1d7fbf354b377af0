//! A few figures of the reports of runs that have ended, kept: lists of runs ask for them again and again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use nuncius_pages::runs::Figures;
use nuncius_schemas::head::ExperimentHead;

/// Runs whose figures are kept.
const KEPT_MAX: usize = 2_000;

/// Figures by experiment, with when it ended: what runs again under an id is another run.
#[derive(Debug, Default)]
pub(crate) struct KeptFigures(Mutex<BTreeMap<String, (Option<u64>, Figures)>>);

impl KeptFigures {
    /// Those of a run.
    pub(crate) fn find(&self, head: &ExperimentHead) -> Option<Figures> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&head.id).filter(|(ended, _)| *ended == head.ended_unix_ms).map(|(_, figures)| *figures)
    }

    /// Keeps those of a run; of too many one goes.
    pub(crate) fn keep(&self, head: &ExperimentHead, figures: Figures) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.pop_first();
        }
        kept.insert(head.id.clone(), (head.ended_unix_ms, figures));
    }
}
