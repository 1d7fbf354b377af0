//! What of a run was stored, and what is to be.

use std::time::{Duration, Instant};

use crate::timing::Timing;

/// What was stored of a run's books.
#[derive(Debug)]
pub(super) struct Checkpointing {
    pub(super) period: Duration,
    pub(super) due: Instant,
    pub(super) is_storing: bool,
    /// Asked for while one was being stored.
    pub(super) is_wanted: bool,
    /// How many of the moves are in what is stored: only these may be carried out.
    pub(super) moves_stored: usize,
    /// Last messages of deltas and request records that are in what was stored last. They are purged with the next one:
    /// whoever reads a checkpoint while that is written still finds what follows it.
    pub(super) latest: Places,
}

/// Places in the streams of deltas and of request records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) metric: u64,
    pub(super) trace: u64,
}

/// What was stored.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) places: Places,
    pub(super) moves: usize,
}

impl Checkpointing {
    pub(super) fn new(timing: &Timing) -> Self {
        Self {
            period: timing.checkpoint_period,
            due: Instant::now() + timing.checkpoint_period,
            is_storing: false,
            is_wanted: false,
            moves_stored: 0,
            latest: Places::default(),
        }
    }

    /// So many moves were found in a checkpoint.
    pub(super) fn found_stored(&mut self, moves: usize) {
        self.moves_stored = moves;
    }

    /// How many moves a daemon that takes over would know of.
    pub(super) fn moves_stored(&self) -> usize {
        self.moves_stored
    }

    /// Has the next checkpoint stored as soon as possible.
    pub(super) fn hurry(&mut self) {
        self.is_wanted = true;
    }
}
