//! The books of a queue: totals folded from its terminal records, written down with the sequence they reach, and room
//! made in the stream for further records.

use std::collections::VecDeque;
use std::time::Duration;

use nuncius_bus::tail::{Start, StoredMessage, Tail};
use nuncius_bus::{Bus, BusError, Namespace};
use nuncius_schemas::codec;
use nuncius_schemas::job::{JobRepeat, JobResult, JobStatus};
use nuncius_schemas::queue::{QueueDefinition, QueueTotals};
use nuncius_schemas::subjects::queue_totals;

use crate::{JobError, Queues};

/// Records in a chunk that is forgotten at once.
const CHUNK_RECORDS: u64 = 1_024;
/// Beyond this share of `result_bytes` records older than `result_keep` make room.
const ROOM_SHARE: f64 = 0.5;
/// Beyond this share younger ones do, down to this age: results must not be refused.
const URGENT_SHARE: f64 = 0.8;
const URGENT_KEEP: Duration = Duration::from_secs(30);
/// No filter: records and repeats.
pub(crate) const EVERYTHING: &str = "";

/// Adds a terminal record to totals.
pub fn fold(totals: &mut QueueTotals, result: &JobResult) {
    match result.status {
        JobStatus::Succeeded => totals.succeeded += 1,
        JobStatus::Failed => totals.failed += 1,
        JobStatus::Dead => totals.dead += 1,
        JobStatus::Dropped => totals.dropped += 1,
    }
    totals.timed_out += u64::from(result.timed_out);
    totals.retried += u64::from(result.attempt.saturating_sub(1));
    // One that was never run, or whose runs nobody saw the end of, has no times.
    if result.worker.is_some() {
        totals.wait.add(result.wait_seconds);
        totals.run.add(result.run_seconds);
        totals.total.add(result.wait_seconds + result.run_seconds);
    }
}

/// A message of the stream of records.
#[derive(Debug)]
pub(crate) enum Line {
    /// The record of a job that ended.
    Record(Box<JobResult>),
    /// A message whose job had its record.
    Repeat(JobRepeat),
    /// What nobody of ours wrote.
    Unreadable,
}

impl Line {
    pub(crate) fn read(names: &Namespace, queue: &str, stored: &StoredMessage) -> Self {
        let is_repeat = names.repeat_all(queue).strip_suffix('*').is_some_and(|own| stored.subject.starts_with(own));
        let line = if is_repeat {
            codec::decode(&stored.payload).map(Self::Repeat)
        } else {
            codec::decode(&stored.payload).map(|result| Self::Record(Box::new(result)))
        };
        line.unwrap_or_else(|error| {
            tracing::warn!(subject = stored.subject, %error, "a record cannot be read: it is in no total");
            Self::Unreadable
        })
    }

    /// Adds it to totals.
    pub(crate) fn fold_into(&self, totals: &mut QueueTotals) {
        match self {
            Self::Record(result) => fold(totals, result),
            Self::Repeat(_) => totals.repeated += 1,
            Self::Unreadable => {}
        }
    }

    /// The job's place in its stream.
    fn job_sequence(&self) -> u64 {
        match self {
            Self::Record(result) => result.job_sequence,
            Self::Repeat(repeat) => repeat.job_sequence,
            Self::Unreadable => 0,
        }
    }
}

/// The books of one queue, kept by the holder of its lease.
#[derive(Debug)]
pub struct Books {
    bus: Bus,
    queues: Queues,
    totals: QueueTotals,
    /// Revision of the totals as written down; 0 where they never were.
    revision: u64,
    /// Sequence that the written totals reach.
    saved_sequence: u64,
    tail: Tail,
    chunks: VecDeque<Chunk>,
}

/// Records that follow each other, as far as it matters when they may be forgotten.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    last_sequence: u64,
    records: u64,
    /// Highest sequence of a job that one of them ends.
    job_sequence: u64,
    newest_unix_ns: i64,
}

impl Books {
    /// Reads the totals as last written and goes on from there. `token` is the fencing token of the lease.
    ///
    /// # Errors
    /// [`JobError::Changed`] where a later holder has written already.
    pub async fn open(queues: &Queues, queue: &str, token: u64) -> Result<Self, JobError> {
        let bus = queues.bus.clone();
        let (mut totals, revision) = queues.totals(queue).await?.unwrap_or_default();
        if totals.token > token {
            return Err(JobError::Changed(queue.to_owned()));
        }
        let names = bus.namespace();
        let stream = names.stream_result(queue);
        let last_sequence = bus.last_sequence(&stream).await?;
        if last_sequence < totals.sequence {
            tracing::warn!(queue, "its records were made anew: its totals begin again");
            totals = QueueTotals::default();
        }
        queue.clone_into(&mut totals.queue);
        totals.token = token;
        // Of what was folded before only so much is known: it ends jobs that were there by now.
        let jobs = bus.last_sequence(&names.stream_job(queue)).await?;
        let folded = Chunk {
            last_sequence: totals.sequence,
            records: CHUNK_RECORDS,
            job_sequence: jobs,
            newest_unix_ns: queues.clock().now_unix_ns().await?,
        };
        // Records and repeats.
        let tail = bus.tail(&stream, EVERYTHING, Start::FromSequence(totals.sequence + 1)).await?;
        let saved_sequence = totals.sequence;
        if tail.pending() == 0 {
            // Whatever came before is read, or has made room.
            totals.sequence = totals.sequence.max(last_sequence);
        }
        let chunks = VecDeque::from([folded]);
        Ok(Self { bus, queues: queues.clone(), totals, revision, saved_sequence, tail, chunks })
    }

    /// The totals so far.
    pub fn totals(&self) -> &QueueTotals {
        &self.totals
    }

    /// Waits for the next record, folds it and gives it; `None` for a repeat, and for what cannot be read. Cancel-safe.
    ///
    /// # Errors
    /// As [`Tail::next`].
    pub async fn next(&mut self) -> Result<Option<JobResult>, JobError> {
        let stored = self.tail.next().await?;
        self.totals.sequence = stored.sequence;
        let line = Line::read(self.bus.namespace(), &self.totals.queue, &stored);
        self.note(&stored, &line);
        line.fold_into(&mut self.totals);
        Ok(match line {
            Line::Record(result) => Some(*result),
            Line::Repeat(_) | Line::Unreadable => None,
        })
    }

    fn note(&mut self, stored: &StoredMessage, line: &Line) {
        if self.chunks.back().is_none_or(|chunk| chunk.records >= CHUNK_RECORDS) {
            self.chunks.push_back(Chunk { last_sequence: 0, records: 0, job_sequence: 0, newest_unix_ns: 0 });
        }
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.last_sequence = stored.sequence;
            chunk.records += 1;
            chunk.job_sequence = chunk.job_sequence.max(line.job_sequence());
            chunk.newest_unix_ns = stored.published_unix_ns;
        }
    }

    /// Writes the totals down, if there is anything new.
    ///
    /// # Errors
    /// [`JobError::Changed`] where another holder has written: this one's lease is over.
    pub async fn save(&mut self) -> Result<(), JobError> {
        if self.revision != 0 && self.totals.sequence == self.saved_sequence {
            return Ok(());
        }
        let key = queue_totals(&self.totals.queue);
        let bytes = codec::encode(&self.totals)
            .map_err(|source| nuncius_bus::TypedError::Codec { what: key.clone(), source })?;
        let kv = self.queues.bucket();
        let written = match self.revision {
            0 => kv.create(&key, bytes.into()).await?.ok_or(()),
            revision => match kv.update(&key, bytes.into(), revision).await {
                Ok(revision) => Ok(revision),
                Err(BusError::WrongLastSequence { .. }) => Err(()),
                Err(error) => return Err(error.into()),
            },
        };
        match written {
            Ok(revision) => self.revision = revision,
            // Perhaps the own write, whose answer was lost.
            Err(()) => match self.queues.totals(&self.totals.queue).await? {
                Some((stored, revision)) if stored.token == self.totals.token => {
                    self.revision = revision;
                    self.saved_sequence = stored.sequence;
                    return Ok(());
                }
                _ => return Err(JobError::Changed(self.totals.queue.clone())),
            },
        }
        self.saved_sequence = self.totals.sequence;
        Ok(())
    }

    /// Forgets the oldest records where the stream needs room: those that are in the written totals, and whose jobs are
    /// out of their stream, so that nobody can come to look for them. How many were forgotten.
    pub async fn make_room(&mut self, definition: &QueueDefinition) -> Result<u64, JobError> {
        let names = self.bus.namespace();
        let stream = names.stream_result(&definition.name);
        let state = self.bus.stream_state(&stream).await?;
        let share = state.bytes as f64 / definition.result_bytes as f64;
        let keep = if share > URGENT_SHARE {
            URGENT_KEEP.min(definition.result_keep.to_std())
        } else if share > ROOM_SHARE {
            definition.result_keep.to_std()
        } else {
            return Ok(0);
        };
        let jobs = self.bus.stream_state(&names.stream_job(&definition.name)).await?;
        let oldest_job = if jobs.messages == 0 { jobs.last_sequence + 1 } else { jobs.first_sequence };
        let now_unix_ns = self.queues.clock().now_unix_ns().await?;
        let young_unix_ns = now_unix_ns.saturating_sub(i64::try_from(keep.as_nanos()).unwrap_or(i64::MAX));
        let mut until = 0;
        while let Some(chunk) = self.chunks.front() {
            let free = chunk.last_sequence <= self.saved_sequence
                && chunk.job_sequence < oldest_job
                && chunk.newest_unix_ns < young_unix_ns;
            if !free {
                break;
            }
            until = chunk.last_sequence;
            self.chunks.pop_front();
        }
        if until == 0 { Ok(0) } else { Ok(self.bus.purge_before(&stream, until + 1).await?) }
    }
}
