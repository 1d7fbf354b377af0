//! Where the run stands, stored every few seconds beside the watch; what is behind it is purged from the streams.

use std::time::{Duration, Instant};

use nuncius_bus::BusError;
use nuncius_schemas::codec::{self, CodecError};
use serde_bytes::ByteBuf;
use tracing::warn;

use super::Watch;
use crate::checkpoint::{self, Checkpoint, Progress};
use crate::figures::{FIGURES, count};
use crate::timing::Timing;

/// What was stored of a run's books.
#[derive(Debug)]
pub(super) struct Books {
    period: Duration,
    due: Instant,
    is_storing: bool,
    /// Asked for while one was being stored.
    is_wanted: bool,
    /// How many of the moves are in what is stored: only these may be carried out.
    moves_stored: usize,
    /// Last messages of deltas and request records that are in what was stored last. They are purged with the next one:
    /// whoever reads a checkpoint while that is written still finds what follows it.
    latest: Places,
}

/// Places in the streams of deltas and of request records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Places {
    metric: u64,
    trace: u64,
}

/// What was stored.
#[derive(Debug)]
pub(super) struct Stored {
    places: Places,
    moves: usize,
}

impl Books {
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

impl Watch<'_> {
    /// Stores where the run stands, when it is time.
    pub(super) fn checkpoint_when_due(&mut self) {
        let is_due = Instant::now() >= self.books.due || self.books.is_wanted;
        if !is_due || self.books.is_storing || !self.running.lease.is_valid() {
            return;
        }
        let (bytes, stored) = match self.checkpoint() {
            Ok(made) => made,
            Err(error) => return warn!(experiment = %self.running.journal.record.id, %error, "no checkpoint"),
        };
        self.books.due = Instant::now() + self.books.period;
        (self.books.is_storing, self.books.is_wanted) = (true, false);
        let record = &self.running.journal.record;
        let (bus, id, token) = (self.running.daemon.bus.clone(), record.id.clone(), record.token);
        let purge = self.books.latest;
        self.asking.beside(async move {
            let outcome = checkpoint::store(&bus, &id, token, &bytes).await;
            if outcome.is_ok() {
                purge_behind(&bus, &id, purge).await;
            }
            super::Answer::Stored(outcome.map(|()| stored))
        });
    }

    /// What came of it.
    pub(super) fn stored(&mut self, outcome: Result<Stored, BusError>) {
        self.books.is_storing = false;
        match outcome {
            Ok(stored) => {
                FIGURES.checkpoint(&self.running.journal.record.id);
                self.books.latest = stored.places;
                self.books.moves_stored = self.books.moves_stored.max(stored.moves);
                self.take_over();
            }
            Err(error) => {
                count(&FIGURES.checkpoint_errors);
                warn!(experiment = %self.running.journal.record.id, %error, "checkpoint not stored, trying again");
                self.books.is_wanted = true;
            }
        }
    }

    fn checkpoint(&self) -> Result<(Vec<u8>, Stored), CodecError> {
        let gathered = self.gathering.as_ref().map(crate::records::Gathering::gathered).unwrap_or_default();
        let places = Places { metric: self.stream_sequence, trace: gathered.sequence };
        let progress = Progress {
            stream_sequence: self.stream_sequence,
            totals: checkpoint::pack(&self.totals)?,
            judge: ByteBuf::from(self.judge.state()?),
            seconds: ByteBuf::from(self.seconds.state()?),
            lost: self.lost.clone(),
            stood_still: self.stood_still.clone(),
            untold: self.teller.untold(),
            moves: self.moves.clone(),
            cut_short: self.cut_short.clone(),
            problems: self.pressure_problems.clone(),
            stopped_ns: self.stopped_ns,
            ended_ns: self.ended_ns,
            horizons_ns: self.names.iter().map(|name| (name.clone(), self.asking.horizon_ns(name))).collect(),
            records: gathered.received,
            records_sequence: gathered.sequence,
        };
        let mut made = Checkpoint::of_plan(&self.plan, self.attempt, self.start_unix_ns, self.horizon_ns);
        made.progress = Some(progress);
        Ok((codec::encode(&made)?, Stored { places, moves: self.moves.len() }))
    }
}

/// Takes from the streams what nobody needs any more.
async fn purge_behind(bus: &nuncius_bus::Bus, experiment: &str, places: Places) {
    let namespace = bus.namespace();
    for (stream, subject, through) in [
        (namespace.stream_metric(), namespace.metric_all(experiment), places.metric),
        (namespace.stream_trace(), namespace.trace_all(experiment), places.trace),
    ] {
        if through > 0
            && let Err(error) = bus.purge_subject_before(&stream, &subject, through + 1).await
        {
            tracing::debug!(stream, %error, "not purged");
        }
    }
}
