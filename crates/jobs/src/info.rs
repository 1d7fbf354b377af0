//! How a queue is, said of one moment: what was accepted is what has ended, what was repeated and what is in it.

use nuncius_bus::streams::StreamState;
use nuncius_bus::tail::Start;
use nuncius_schemas::queue::{QueueDefinition, QueueTotals};
use nuncius_schemas::subjects::{job_consumer, queue_lease};

use crate::books::{EVERYTHING, Line};
use crate::{JobError, Queues};

/// Records that are read beyond the written totals; where there are more, nobody has kept the books for long.
const BEHIND_MAX_RECORDS: u64 = 200_000;
/// How often is looked for a moment in which nothing was recorded.
const LOOKS: u32 = 3;

/// A queue as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueInfo {
    /// As it is wanted.
    pub definition: QueueDefinition,
    /// What became of the jobs that have ended.
    pub totals: QueueTotals,
    /// Jobs ever stored.
    pub accepted: u64,
    /// Jobs in it: those that have not ended.
    pub jobs: u64,
    /// Jobs that neither ended nor are there: 0, unless records were lost, or are too many to be read (see
    /// `behind_records`).
    pub unaccounted: u64,
    /// Records that are not in the totals, because no frontend keeps the books and they are too many to be read here.
    pub behind_records: u64,
    /// Jobs never delivered, by priority.
    pub waiting: Vec<u64>,
    /// Most jobs that may wait; where that has no limit, most jobs in the queue.
    pub limit: u64,
    /// Dead letters kept.
    pub dead_letters: u64,
    /// The frontend that keeps its books.
    pub holder: Option<String>,
}

/// Where the streams of jobs and of records stood, at one moment as far as that can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Sequence of the last record: the totals of this moment reach up to it.
    pub record_sequence: u64,
    /// Records that may have been written while the jobs were counted.
    uncertain_records: u64,
    /// Jobs ever stored.
    pub accepted: u64,
    /// Jobs in the stream, also those whose records are written and that are about to go.
    pub stored_jobs: u64,
    /// Most jobs that the stream takes, as it is set.
    pub limit_jobs: Option<u64>,
}

impl Moment {
    /// Jobs that have not ended, under the totals of this moment, and those that are not accounted for.
    pub fn jobs(&self, totals: &QueueTotals) -> (u64, u64) {
        let open = self.accepted.saturating_sub(totals.settled());
        // Whatever has no record is in the stream. More than those there are were lost.
        if open <= self.stored_jobs + self.uncertain_records {
            (open, 0)
        } else {
            (self.stored_jobs, open - self.stored_jobs)
        }
    }
}

impl Queues {
    /// Where the streams of a queue stand now.
    ///
    /// # Errors
    /// [`JobError::Bus`], where the streams are not there or the bus does not answer.
    pub async fn moment(&self, queue: &str) -> Result<Moment, JobError> {
        let names = self.bus.namespace();
        let (jobs, records) = (names.stream_job(queue), names.stream_result(queue));
        let mut before = self.bus.last_sequence(&records).await?;
        let mut look = 1;
        loop {
            let state: StreamState = self.bus.stream_state(&jobs).await?;
            let after = self.bus.last_sequence(&records).await?;
            if after == before || look >= LOOKS {
                return Ok(Moment {
                    record_sequence: before,
                    uncertain_records: after.saturating_sub(before),
                    accepted: state.last_sequence,
                    stored_jobs: state.messages,
                    limit_jobs: state.max_messages,
                });
            }
            before = after;
            look += 1;
        }
    }

    /// How the queue is.
    ///
    /// # Errors
    /// [`JobError::NoQueue`]; [`JobError::Bus`].
    pub async fn info(&self, name: &str) -> Result<QueueInfo, JobError> {
        let definition = self.get(name).await?;
        let names = self.bus.namespace();
        let moment = self.moment(name).await?;
        let (totals, behind_records) = self.totals_at(name, moment.record_sequence).await?;
        let (jobs, unaccounted) = moment.jobs(&totals);
        let stream = names.stream_job(name);
        let mut waiting = Vec::new();
        for priority in 0..definition.priorities {
            waiting.push(self.bus.consumer_state(&stream, &job_consumer(priority)).await?.waiting);
        }
        Ok(QueueInfo {
            totals,
            accepted: moment.accepted,
            jobs,
            unaccounted,
            behind_records,
            waiting: at_most(waiting, jobs),
            limit: match definition.max_waiting {
                0 => definition.max_jobs,
                most => most,
            },
            dead_letters: self.bus.stream_state(&names.stream_dead_letter(name)).await?.messages,
            holder: nuncius_bus::lease::holder(&self.bus, &names.bucket_lease(), &queue_lease(name)).await?,
            definition,
        })
    }

    /// The totals up to a record, and how many records up to it are not in them: those that were written down last, and
    /// what came since.
    async fn totals_at(&self, queue: &str, record_sequence: u64) -> Result<(QueueTotals, u64), JobError> {
        let names = self.bus.namespace();
        let mut totals = self.totals(queue).await?.map(|(totals, _)| totals).unwrap_or_default();
        queue.clone_into(&mut totals.queue);
        let behind = record_sequence.saturating_sub(totals.sequence);
        if behind == 0 || behind > BEHIND_MAX_RECORDS {
            return Ok((totals, behind));
        }
        let start = Start::FromSequence(totals.sequence + 1);
        let mut tail = self.bus.tail(&names.stream_result(queue), EVERYTHING, start).await?;
        // No more than are there now: the last ones may have made room since.
        let mut left = tail.pending();
        while left > 0 && totals.sequence < record_sequence {
            let stored = tail.next().await?;
            if stored.sequence > record_sequence {
                break;
            }
            left -= 1;
            totals.sequence = stored.sequence;
            Line::read(names, queue, &stored).fold_into(&mut totals);
        }
        tail.close().await;
        Ok((totals, 0))
    }
}

/// Each priority's, as far as together they are no more than all.
fn at_most(waiting: Vec<u64>, jobs: u64) -> Vec<u64> {
    let mut left = jobs;
    let mut cut = |count: u64| {
        let count = count.min(left);
        left -= count;
        count
    };
    waiting.into_iter().map(&mut cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_accepted_is_what_ended_what_was_repeated_and_what_is_there() {
        let totals = QueueTotals { succeeded: 30, failed: 8, repeated: 2, ..QueueTotals::default() };
        let moment = |accepted, stored_jobs, uncertain_records| {
            Moment { record_sequence: 40, uncertain_records, accepted, stored_jobs, limit_jobs: None }.jobs(&totals)
        };
        assert_eq!(moment(45, 5, 0), (5, 0));
        // One of those in the stream has its record and is about to go.
        assert_eq!(moment(45, 6, 0), (5, 0));
        // Two ended while the jobs were counted.
        assert_eq!(moment(45, 3, 2), (5, 0));
        // Records were lost.
        assert_eq!(moment(45, 3, 0), (3, 2));
        assert_eq!(moment(39, 0, 0), (0, 0));
    }

    #[test]
    fn no_more_wait_than_there_are() {
        assert_eq!(at_most(vec![2, 3], 10), [2, 3]);
        assert_eq!(at_most(vec![2, 3], 4), [2, 2]);
        assert_eq!(at_most(vec![2, 3], 0), [0, 0]);
    }
}
