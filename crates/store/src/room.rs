//! How many request records may still come of each run before somebody looks whether there are too many: what is in
//! the database is not counted for each batch.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Runs that are known at a time; of those that are not, somebody looks.
const RUNS_MAX: usize = 1_024;

/// What is known of one run.
#[derive(Debug)]
struct Known {
    /// Of which file: one that is made anew has nothing.
    generation: u64,
    rows: u64,
}

/// The runs that records came of.
#[derive(Debug, Default)]
pub(crate) struct Room(Mutex<BTreeMap<String, Known>>);

impl Room {
    /// Whether there is room for so many more, which have come.
    pub(crate) fn takes(&self, experiment: &str, generation: u64, rows: u64) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get_mut(experiment).filter(|known| known.generation == generation) {
            Some(known) => {
                known.rows = known.rows.saturating_sub(rows);
                known.rows > 0
            }
            None => false,
        }
    }

    /// There is room for so many.
    pub(crate) fn set(&self, experiment: &str, generation: u64, rows: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= RUNS_MAX && !known.contains_key(experiment) {
            known.clear();
        }
        known.insert(experiment.to_owned(), Known { generation, rows });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_looks_where_nothing_is_known_or_no_room_is_left() {
        let room = Room::default();
        assert!(!room.takes("e1", 0, 1));
        room.set("e1", 0, 3);
        assert!(room.takes("e1", 0, 2));
        assert!(!room.takes("e2", 0, 1));
        assert!(!room.takes("e1", 0, 1), "the last of it");
        room.set("e1", 0, 3);
        assert!(!room.takes("e1", 1, 1), "of a file that was made anew");
        for run in 0..2_000 {
            room.set(&format!("r{run}"), 0, 3);
        }
        assert!(!room.takes("e1", 0, 1) && room.takes("r1999", 0, 1));
    }
}
