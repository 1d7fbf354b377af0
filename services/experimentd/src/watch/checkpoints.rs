//! Where the run stands, stored every few seconds beside the watch; what is behind it is purged from the streams.

use std::time::Instant;

use nuncius_bus::{Bus, BusError};
use nuncius_schemas::codec::{self, CodecError};
use serde_bytes::ByteBuf;
use tracing::warn;

use super::Watch;
use super::asking::Answer;
use super::checkpointing::{Places, Stored};
use crate::checkpoint::{self, Checkpoint, Progress};
use crate::figures::{FIGURES, count};
use crate::records::Gathering;

impl Watch<'_> {
    /// Stores where the run stands, when it is time.
    pub(super) fn checkpoint_when_due(&mut self) {
        let is_due = Instant::now() >= self.checkpointing.due || self.checkpointing.is_wanted;
        if !is_due || self.checkpointing.is_storing || !self.running.lease.is_valid() {
            return;
        }
        let (bytes, stored) = match self.checkpoint() {
            Ok(made) => made,
            Err(error) => return warn!(experiment = %self.running.journal.record.id, %error, "no checkpoint"),
        };
        self.checkpointing.due = Instant::now() + self.checkpointing.period;
        (self.checkpointing.is_storing, self.checkpointing.is_wanted) = (true, false);
        let record = &self.running.journal.record;
        let (bus, id, token) = (self.running.daemon.bus.clone(), record.id.clone(), record.token);
        let purge = self.checkpointing.latest;
        self.asking.beside(async move {
            let outcome = checkpoint::store(&bus, &id, token, &bytes).await;
            if outcome.is_ok() {
                purge_behind(&bus, &id, purge).await;
            }
            Answer::Stored(outcome.map(|()| stored))
        });
    }

    /// What came of it.
    pub(super) fn stored(&mut self, outcome: Result<Stored, BusError>) {
        self.checkpointing.is_storing = false;
        match outcome {
            Ok(stored) => {
                FIGURES.checkpoint(&self.running.journal.record.id);
                self.checkpointing.latest = stored.places;
                self.checkpointing.moves_stored = self.checkpointing.moves_stored.max(stored.moves);
                self.take_over();
            }
            Err(error) => {
                count(&FIGURES.checkpoint_errors);
                warn!(experiment = %self.running.journal.record.id, %error, "checkpoint not stored, trying again");
                self.checkpointing.is_wanted = true;
            }
        }
    }

    fn checkpoint(&self) -> Result<(Vec<u8>, Stored), CodecError> {
        let gathered = self.gathering.as_ref().map(Gathering::gathered).unwrap_or_default();
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
        let given = self.running.given_list();
        let mut made = Checkpoint::of_plan(&self.plan, self.attempt, self.start_unix_ns, self.horizon_ns, given);
        made.progress = Some(progress);
        Ok((codec::encode(&made)?, Stored { places, moves: self.moves.len() }))
    }
}

/// Takes from the streams what nobody needs any more.
async fn purge_behind(bus: &Bus, experiment: &str, places: Places) {
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
