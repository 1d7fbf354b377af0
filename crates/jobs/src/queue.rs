//! Queues: their streams and consumers, made from a definition and changed with it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::consumer::ConsumerWanted;
use nuncius_bus::kv::Kv;
use nuncius_bus::streams::{Discard, Retention, StreamWanted};
use nuncius_bus::{Bus, BusError, ServerClock};
use nuncius_schemas::codec;
use nuncius_schemas::queue::{QueueDefinition, QueueSettings, QueueState, QueueTotals, check_queue_name};
use nuncius_schemas::subjects::{job_consumer, queue_totals};

use crate::{ACK_WAIT, JobError};

/// Dead letters are few: their ids are remembered longer, since a record is written before its copy.
const DEAD_DUPLICATE_WINDOW: Duration = Duration::from_secs(3600);
/// Terminal records outlive the longest wait by this much.
const RESULT_MARGIN: Duration = Duration::from_secs(2 * 3600);
/// Most bytes of a message while nothing is taken: no message has so few.
const DRAINING_MAX_BYTES: u32 = 1;
/// Most bytes of dead letters.
const DEAD_MAX_BYTES: u64 = 64 << 20;
/// Fewest jobs that all workers of a queue together may have.
const ACK_PENDING_LEAST: u64 = 100_000;
/// How often a change that meets another's is tried.
const CHANGE_ATTEMPTS: u32 = 10;

/// All queues of a namespace.
#[derive(Debug, Clone)]
pub struct Queues {
    pub(crate) bus: Bus,
    kv: Kv,
    clock: ServerClock,
}

impl Queues {
    /// Opens the bucket of queues, which `ensure_streams` makes.
    pub async fn open(bus: &Bus) -> Result<Self, JobError> {
        let bucket = bus.namespace().bucket_queue();
        Self::open_with_clock(bus, ServerClock::new(bus, &format!("KV_{bucket}"))).await
    }

    /// The same with a clock that is there already.
    pub async fn open_with_clock(bus: &Bus, clock: ServerClock) -> Result<Self, JobError> {
        let kv = bus.kv(&bus.namespace().bucket_queue()).await?;
        Ok(Self { bus: bus.clone(), kv, clock })
    }

    /// The server's clock: by it alone is told how long a job has waited.
    pub fn clock(&self) -> &ServerClock {
        &self.clock
    }

    /// The connection it works over.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// The bucket itself.
    pub fn bucket(&self) -> &Kv {
        &self.kv
    }

    /// Makes the queue, or changes it to what is wanted: streams and consumers first, the definition last. Jobs stay.
    ///
    /// # Errors
    /// [`JobError::Queue`] by field; [`JobError::Bus`].
    pub async fn put(&self, definition: &QueueDefinition) -> Result<(), JobError> {
        definition.check()?;
        self.apply(definition, 0).await?;
        self.kv.put(&definition.name, encoded(definition)?).await?;
        Ok(())
    }

    /// Makes the queue, or changes the one there is, with these settings; whether it was made.
    ///
    /// # Errors
    /// As [`Queues::put`]; [`JobError::Changed`] where others keep changing it.
    pub async fn ensure(&self, name: &str, settings: &QueueSettings) -> Result<bool, JobError> {
        check_queue_name(name)?;
        for _ in 0..CHANGE_ATTEMPTS {
            let Some(entry) = self.kv.get(name).await? else {
                let definition = settings.applied_to(&QueueDefinition::new(name));
                definition.check()?;
                self.apply(&definition, 0).await?;
                if self.kv.create(name, encoded(&definition)?).await?.is_some() {
                    return Ok(true);
                }
                continue;
            };
            let present = codec::decode::<QueueDefinition>(&entry.value).unwrap_or_else(|_| QueueDefinition::new(name));
            let definition = settings.applied_to(&present);
            definition.check()?;
            for priority in definition.priorities..present.priorities {
                self.check_unused(name, priority).await?;
            }
            if definition != present {
                match self.kv.update(name, encoded(&definition)?, entry.revision).await {
                    Ok(_) => {}
                    Err(BusError::WrongLastSequence { .. }) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            let slots = self.slots_in_force(&present).await.unwrap_or(0);
            self.apply(&definition, slots).await?;
            return Ok(false);
        }
        Err(JobError::Changed(name.to_owned()))
    }

    /// Refuses to take a priority away from under its jobs.
    async fn check_unused(&self, queue: &str, priority: u8) -> Result<(), JobError> {
        let stream = self.bus.namespace().stream_job(queue);
        let (waiting, in_work) = self.bus.consumer_backlog(&stream, &job_consumer(priority)).await?;
        match waiting + in_work {
            0 => Ok(()),
            jobs => Err(JobError::PriorityInUse { queue: queue.to_owned(), priority, jobs }),
        }
    }

    /// Streams and consumers as the definition wants them; `slots` jobs may run beside those that wait.
    pub async fn apply(&self, definition: &QueueDefinition, slots: u64) -> Result<(), JobError> {
        for wanted in wanted_streams(&self.bus, definition, slots) {
            self.bus.ensure_stream(&wanted).await?;
        }
        for priority in 0..definition.priorities {
            let wanted = wanted_consumer(&self.bus, definition, priority);
            self.bus.ensure_consumer(&wanted).await?;
            if definition.state == QueueState::Paused {
                self.bus.pause_consumer(&wanted.stream, &wanted.durable).await?;
            } else {
                self.bus.resume_consumer(&wanted.stream, &wanted.durable).await?;
            }
        }
        Ok(())
    }

    /// The limit of the stream follows the workers' slots, because what runs stays in it.
    pub async fn set_slots(&self, definition: &QueueDefinition, slots: u64) -> Result<(), JobError> {
        let [jobs, ..] = wanted_streams(&self.bus, definition, slots);
        Ok(self.bus.ensure_stream(&jobs).await?)
    }

    /// The definition of a queue.
    pub async fn find(&self, name: &str) -> Result<Option<QueueDefinition>, JobError> {
        check_queue_name(name)?;
        let Some(entry) = self.kv.get(name).await? else { return Ok(None) };
        Ok(Some(codec::decode(&entry.value).map_err(|error| self.kv.unreadable(&entry, &error))?))
    }

    /// The same, missing being an error.
    pub async fn get(&self, name: &str) -> Result<QueueDefinition, JobError> {
        self.find(name).await?.ok_or_else(|| JobError::NoQueue { queue: name.to_owned() })
    }

    /// All definitions, by name; one that cannot be read is logged as a warning and left out.
    pub async fn list(&self) -> Result<BTreeMap<String, QueueDefinition>, JobError> {
        let decoded = self.kv.decoded("*").await?;
        decoded.warn();
        Ok(decoded.entries.into_iter().map(|entry| (entry.key, entry.value)).collect())
    }

    /// Changes whether a queue takes and gives jobs.
    ///
    /// # Errors
    /// [`JobError::NoQueue`]; [`JobError::Changed`] where others keep changing it.
    pub async fn set_state(&self, name: &str, state: QueueState) -> Result<(), JobError> {
        check_queue_name(name)?;
        for _ in 0..CHANGE_ATTEMPTS {
            let entry = self.kv.get(name).await?.ok_or_else(|| JobError::NoQueue { queue: name.to_owned() })?;
            let mut definition: QueueDefinition =
                codec::decode(&entry.value).map_err(|error| self.kv.unreadable(&entry, &error))?;
            definition.state = state;
            match self.kv.update(name, encoded(&definition)?, entry.revision).await {
                Ok(_) => {
                    let slots = self.slots_in_force(&definition).await?;
                    return self.apply(&definition, slots).await;
                }
                Err(BusError::WrongLastSequence { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(JobError::Changed(name.to_owned()))
    }

    /// What the stream's present limit grants beyond those that wait.
    async fn slots_in_force(&self, definition: &QueueDefinition) -> Result<u64, JobError> {
        if definition.max_waiting == 0 {
            // Its limit says nothing of slots: whoever keeps the queue adds them.
            return Ok(0);
        }
        let state = self.bus.stream_state(&self.bus.namespace().stream_job(&definition.name)).await?;
        Ok(state.max_messages.unwrap_or(0).saturating_sub(definition.max_waiting))
    }

    /// The totals as last written, with their revision.
    pub async fn totals(&self, name: &str) -> Result<Option<(QueueTotals, u64)>, JobError> {
        let Some(entry) = self.kv.get(&queue_totals(name)).await? else { return Ok(None) };
        Ok(codec::decode(&entry.value).ok().map(|totals| (totals, entry.revision)))
    }

    /// Removes a queue with its jobs, records and dead letters; how many jobs were lost with it.
    ///
    /// # Errors
    /// [`JobError::NotEmpty`] unless `force`.
    pub async fn remove(&self, name: &str, force: bool) -> Result<u64, JobError> {
        check_queue_name(name)?;
        let names = self.bus.namespace().clone();
        let jobs = match self.bus.stream_state(&names.stream_job(name)).await {
            Ok(state) => state.messages,
            Err(BusError::NotFound { .. }) if self.kv.get(name).await?.is_none() => {
                return Err(JobError::NoQueue { queue: name.to_owned() });
            }
            Err(BusError::NotFound { .. }) => 0,
            Err(error) => return Err(error.into()),
        };
        if jobs > 0 && !force {
            return Err(JobError::NotEmpty { queue: name.to_owned(), jobs });
        }
        // The definition first: who watches it makes nothing anew.
        self.kv.delete(name).await?;
        for entry in self.kv.entries(&format!("{name}.>")).await? {
            self.kv.delete(&entry.key).await?;
        }
        for stream in [names.stream_job(name), names.stream_result(name), names.stream_dead_letter(name)] {
            self.bus.delete_stream(&stream).await?;
        }
        Ok(jobs)
    }
}

fn encoded(definition: &QueueDefinition) -> Result<Bytes, JobError> {
    let bytes = codec::encode(definition)
        .map_err(|source| nuncius_bus::TypedError::Codec { what: format!("queue {}", definition.name), source })?;
    Ok(bytes.into())
}

/// The consumer that all workers share for one priority.
pub(crate) fn wanted_consumer(bus: &Bus, definition: &QueueDefinition, priority: u8) -> ConsumerWanted {
    let names = bus.namespace();
    let (stream, filter) = (names.stream_job(&definition.name), names.job_priority(&definition.name, priority));
    ConsumerWanted {
        // Those whose next attempt is delayed count as in work.
        max_ack_pending: definition.max_jobs.max(definition.max_waiting).max(ACK_PENDING_LEAST),
        ..ConsumerWanted::new(&stream, &job_consumer(priority), &filter, ACK_WAIT)
    }
}

/// Streams of jobs, records and dead letters.
/// Most jobs in the stream of a queue where so many may run beside those that wait.
pub fn limit_jobs(definition: &QueueDefinition, slots: u64) -> u64 {
    match definition.max_waiting {
        0 => definition.max_jobs,
        waiting => waiting.saturating_add(slots),
    }
}

fn wanted_streams(bus: &Bus, definition: &QueueDefinition, slots: u64) -> [StreamWanted; 3] {
    let names = bus.namespace();
    let name = &definition.name;
    let limit = limit_jobs(definition, slots);
    let is_draining = definition.state == QueueState::Draining;
    let jobs = StreamWanted {
        name: names.stream_job(name),
        description: format!("jobs of queue {name}"),
        // Not one wildcard for all: a job of a priority that nobody takes must be refused.
        subjects: (0..definition.priorities).map(|priority| names.job_priority(name, priority)).collect(),
        retention: Retention::WorkQueue,
        discard: Discard::New,
        max_messages: Some(limit),
        max_bytes: Some(definition.max_bytes),
        max_message_bytes: Some(if is_draining { DRAINING_MAX_BYTES } else { definition.max_job_bytes }),
        duplicate_window: Some(definition.duplicate_window.to_std()),
        allow_direct: true,
        ..StreamWanted::default()
    };
    let results = StreamWanted {
        name: names.stream_result(name),
        description: format!("terminal records of queue {name}"),
        subjects: vec![names.record_all(name), names.repeat_all(name)],
        discard: Discard::New,
        max_age: Some(definition.max_wait.to_std() + RESULT_MARGIN),
        max_bytes: Some(definition.result_bytes),
        // Records are guarded by sequence; the server's least window.
        duplicate_window: Some(Duration::from_millis(100)),
        allow_direct: true,
        ..StreamWanted::default()
    };
    let dead = StreamWanted {
        name: names.stream_dead_letter(name),
        description: format!("jobs of queue {name} that were given up"),
        subjects: vec![names.dead_letter(name)],
        discard: Discard::Old,
        max_messages: Some(definition.dead_letters),
        max_bytes: Some(DEAD_MAX_BYTES),
        duplicate_window: Some(DEAD_DUPLICATE_WINDOW),
        allow_direct: true,
        ..StreamWanted::default()
    };
    [jobs, results, dead]
}
