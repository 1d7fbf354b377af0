//! Runs whose seconds are kept, so that the next question is short.

use std::sync::{Arc, Mutex, PoisonError};

use super::folded::Folded;

/// How many.
const KEPT_MAX: usize = 8;

/// Runs whose seconds were read.
#[derive(Debug, Default)]
pub(in crate::api) struct Cache(Mutex<Vec<(String, Arc<tokio::sync::Mutex<Folded>>)>>);

impl Cache {
    /// What was read of a run; the one that was asked for longest ago makes room.
    pub(super) fn of(&self, id: &str) -> Arc<tokio::sync::Mutex<Folded>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|(known, _)| known == id).map(|at| kept.remove(at));
        let entry = known.unwrap_or_else(|| (id.to_owned(), Arc::default()));
        let folded = Arc::clone(&entry.1);
        kept.insert(0, entry);
        kept.truncate(KEPT_MAX);
        folded
    }
}
