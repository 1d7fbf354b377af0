//! One client of one queue: jobs published until the queue has them, and results handed to whoever waits for them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::{Bus, BusError, Headers, PubAck};
use nuncius_schemas::codec;
use nuncius_schemas::job::JobResult;
use nuncius_schemas::queue::{QueueDefinition, QueueState};
use nuncius_schemas::subjects::{HEADER_ID, HEADER_MESSAGE_ID, HEADER_TRACEPARENT};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::name::NEW_ID;
use crate::{JobError, Queues};

/// How long a submission is repeated that was not answered.
const SUBMIT_PATIENCE: Duration = Duration::from_secs(45);
/// Pause before it is repeated.
const SUBMIT_PAUSE: Duration = Duration::from_millis(250);
/// A result that has not come is looked for in the stream this often, and so many at a time: what is told without an
/// acknowledgement may be lost with a connection.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN_MAX: usize = 1_024;
/// JetStream: a message is larger than the stream takes.
const CODE_TOO_LARGE: u64 = 10_054;
/// JetStream: the stream is at a limit, of messages or of bytes.
const CODE_FULL: u64 = 10_077;
/// JetStream: not at this moment.
const CODE_UNAVAILABLE: u64 = 10_008;
/// Which token of a subject is the client: `<namespace>.job.<queue>.<priority>.<client>`,
/// `<namespace>.result.<queue>.<client>.<job>`.
const JOB_CLIENT_TOKEN: usize = 4;
const RECORD_CLIENT_TOKEN: usize = 3;

/// Who submits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitterOptions {
    /// Queue.
    pub queue: String,
    /// Name of the client, a token that nobody else uses at the same time.
    pub client: String,
    /// What waits is dropped when this process is gone: within 3 s of its lease's end (10 s after a crash, at once
    /// otherwise).
    pub presence: bool,
}

/// One client of one queue: what is known of the queue, and the jobs that are waited for.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) bus: Bus,
    pub(super) options: SubmitterOptions,
    definition: Mutex<Option<Arc<QueueDefinition>>>,
    waiting: Mutex<HashMap<String, Waiting>>,
    /// Number of the next ticket.
    next_ticket: AtomicU64,
}

/// A job whose result somebody waits for.
#[derive(Debug)]
struct Waiting {
    /// Tickets by their numbers: the same job may be submitted again while it is waited for.
    results: Vec<(u64, oneshot::Sender<JobResult>)>,
    /// When it began to be waited for, or was last looked for in the stream.
    since: Instant,
}

/// A job that is submitted many times, each under an id of its own: checked and encoded once.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(super) subject: String,
    pub(super) headers: Headers,
    pub(super) payload: Bytes,
    pub(super) priority: u8,
    pub(super) arguments: usize,
}

/// How a queue stood to a job that was submitted to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// It has taken the job.
    New,
    /// It had taken a job of this id of the same client before, which has not ended: that is waited for.
    Waiting,
    /// The job of this id of the same client has ended before: its record is the result, and nothing was submitted
    /// again.
    Ended,
}

/// An accepted job whose result is still to come, or is known already.
#[derive(Debug)]
pub struct Ticket {
    /// The job.
    pub id: String,
    /// Whether it is new to its queue.
    pub acceptance: Acceptance,
    number: u64,
    result: oneshot::Receiver<JobResult>,
    client: Arc<Client>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.client.forget(&self.id, self.number);
    }
}

impl Ticket {
    /// Its result, however long that takes; `None` once the connection is closed for good.
    pub async fn result(mut self) -> Option<JobResult> {
        (&mut self.result).await.ok()
    }
}

impl Client {
    pub(super) fn new(bus: &Bus, options: SubmitterOptions) -> Self {
        Self {
            bus: bus.clone(),
            options,
            definition: Mutex::default(),
            waiting: Mutex::default(),
            next_ticket: AtomicU64::new(0),
        }
    }

    /// Nobody will answer any more: whoever waits is told so.
    pub(super) fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The definition of the queue as last read.
    pub(super) fn definition(&self) -> Option<Arc<QueueDefinition>> {
        self.definition.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the definition of the queue.
    pub(super) async fn refresh(&self) -> Result<Option<Arc<QueueDefinition>>, JobError> {
        let found = Queues::open(&self.bus).await?.find(&self.options.queue).await?.map(Arc::new);
        self.definition.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&found);
        Ok(found)
    }

    fn forget(&self, id: &str, number: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = waiting.get_mut(id) else { return };
        found.results.retain(|(other, _)| *other != number);
        if found.results.is_empty() {
            waiting.remove(id);
        }
    }

    /// A ticket whose result is listened for.
    pub(super) fn ticket(self: &Arc<Self>, id: String) -> Ticket {
        let (sender, result) = oneshot::channel();
        let number = self.next_ticket.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Waiting { results: Vec::new(), since: Instant::now() };
        waiting.entry(id.clone()).or_insert_with(new).results.push((number, sender));
        drop(waiting);
        Ticket { id, acceptance: Acceptance::New, number, result, client: Arc::clone(self) }
    }

    /// Refuses what the queue, as it was last read, would not take.
    pub(super) fn check(&self, prepared: &Prepared) -> Result<(), JobError> {
        let Some(definition) = self.definition() else { return Ok(()) };
        let queue = || self.options.queue.clone();
        if prepared.priority >= definition.priorities {
            let most = definition.priorities.saturating_sub(1);
            return Err(JobError::NoPriority { queue: queue(), priority: prepared.priority, most });
        }
        let (arguments, limit) = (prepared.arguments, definition.max_arguments);
        if arguments > limit as usize {
            return Err(JobError::TooManyArguments { queue: queue(), arguments, limit });
        }
        let (bytes, limit) = (prepared.payload.len(), definition.max_job_bytes);
        if bytes > limit as usize {
            return Err(JobError::TooLarge { queue: queue(), bytes, limit });
        }
        Ok(())
    }

    /// Publishes until that is answered. Only the first time an id that was made for this job is a new one.
    pub(super) async fn publish(
        &self,
        ticket: &mut Ticket,
        prepared: &Prepared,
        traceparent: Option<&str>,
        has_new_id: bool,
    ) -> Result<(), JobError> {
        let mut headers = prepared.headers.clone().with(HEADER_MESSAGE_ID, ticket.id.as_str());
        if let Some(traceparent) = traceparent {
            headers.insert(HEADER_TRACEPARENT, traceparent);
        }
        if has_new_id {
            headers.insert(HEADER_ID, NEW_ID);
        }
        let until = Instant::now() + SUBMIT_PATIENCE;
        let mut is_first = true;
        loop {
            // The id is a header already: repeating is decided here, not there.
            let answer =
                self.bus.publish_acked(&prepared.subject, &headers, prepared.payload.clone(), None, None).await;
            let error = match answer {
                Ok(ack) if ack.duplicate && (is_first || !has_new_id) => {
                    let known = self.known(&ticket.id, &ack).await?;
                    // What waits may be what was published here and not answered.
                    if is_first || known != Acceptance::Waiting {
                        ticket.acceptance = known;
                    }
                    return Ok(());
                }
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let is_transient =
                error.is_transient() || matches!(error, BusError::Refused { code: CODE_UNAVAILABLE, .. });
            if !is_transient || Instant::now() >= until {
                return Err(self.refusal(error, prepared.payload.len(), prepared.priority).await);
            }
            tracing::debug!(%error, job = ticket.id, "not known to be accepted; trying again");
            headers.remove(HEADER_ID);
            is_first = false;
            tokio::time::sleep(SUBMIT_PAUSE).await;
        }
    }

    /// How a job stands whose id the queue has seen lately.
    async fn known(&self, id: &str, ack: &PubAck) -> Result<Acceptance, JobError> {
        let (names, queue) = (self.bus.namespace(), &self.options.queue);
        if let Some(record) = self.fetch(id).await? {
            self.deliver(record);
            return Ok(Acceptance::Ended);
        }
        let taken = |subject: &str, at: usize| {
            let client = subject.split('.').nth(at).unwrap_or_default().to_owned();
            JobError::IdTaken { queue: queue.clone(), job: id.to_owned(), client }
        };
        let stored = self.bus.next_message(&names.stream_job(queue), &names.job_all(queue), ack.sequence).await?;
        if let Some(stored) = stored.filter(|stored| stored.sequence == ack.sequence) {
            let is_own = stored.subject.rsplit('.').next() == Some(self.options.client.as_str());
            return if is_own { Ok(Acceptance::Waiting) } else { Err(taken(&stored.subject, JOB_CLIENT_TOKEN)) };
        }
        // It has ended meanwhile, or it was somebody else's.
        if let Some(record) = self.fetch(id).await? {
            self.deliver(record);
            return Ok(Acceptance::Ended);
        }
        let of_any_client = names.record(queue, "*", id);
        match self.bus.next_message(&names.stream_result(queue), &of_any_client, 1).await? {
            Some(record) => Err(taken(&record.subject, RECORD_CLIENT_TOKEN)),
            None => Err(JobError::RecordGone { queue: queue.clone(), job: id.to_owned() }),
        }
    }

    /// Why the queue did not take a job, in its own terms.
    async fn refusal(&self, error: BusError, bytes: usize, priority: u8) -> JobError {
        let queue = self.options.queue.clone();
        let definition = self.refresh().await.ok().flatten();
        match (error, definition) {
            (BusError::NoStream { .. }, Some(definition)) if priority >= definition.priorities => {
                JobError::NoPriority { queue, priority, most: definition.priorities.saturating_sub(1) }
            }
            (BusError::NoStream { .. }, _) => JobError::NoQueue { queue },
            (BusError::Refused { code: CODE_TOO_LARGE, .. }, Some(definition)) => {
                if definition.state == QueueState::Draining {
                    JobError::Draining { queue }
                } else {
                    JobError::TooLarge { queue, bytes, limit: definition.max_job_bytes }
                }
            }
            (BusError::Refused { code: CODE_FULL, .. }, Some(definition)) => self.full(&definition).await,
            (error, _) => error.into(),
        }
    }

    /// Which limit a full queue has met: the server has one code for all of them, so its counts are looked at.
    async fn full(&self, definition: &QueueDefinition) -> JobError {
        let queue = self.options.queue.clone();
        let jobs = match definition.max_waiting {
            0 => format!("`max_jobs` of {}", definition.max_jobs),
            waiting => format!("`max_waiting` of {waiting}"),
        };
        let bytes = format!("`max_bytes` of {}", definition.max_bytes);
        let limit = match self.bus.stream_state(&self.bus.namespace().stream_job(&queue)).await {
            Ok(state) if state.max_messages.is_some_and(|most| state.messages >= most) => jobs,
            // Less than one more job of the largest size would fit.
            Ok(state) if state.bytes + u64::from(definition.max_job_bytes) >= definition.max_bytes => bytes,
            // There is room again by now.
            Ok(_) | Err(_) => format!("{jobs} or {bytes}"),
        };
        JobError::Full { queue, limit }
    }

    /// Hands a result to who waits for it; whether somebody did.
    pub(super) fn deliver(&self, result: JobResult) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&result.job);
        let Some(Waiting { results, .. }) = waiting else { return false };
        for (_, sender) in results {
            // Who asked may have stopped waiting.
            let _ = sender.send(result.clone());
        }
        true
    }

    /// The record as the stream has it.
    pub(super) async fn fetch(&self, id: &str) -> Result<Option<JobResult>, BusError> {
        let names = self.bus.namespace();
        let subject = names.record(&self.options.queue, &self.options.client, id);
        let found = self.bus.last_direct(&names.stream_result(&self.options.queue), &subject).await?;
        Ok(found.and_then(|found| codec::decode(&found.payload).ok()))
    }

    /// Looks in the stream for everything that is waited for.
    pub(super) async fn recover(&self) {
        // The subscription must be there again first: what comes between would be missed.
        if self.bus.flush().await.is_err() {
            return;
        }
        let ids = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        self.look_for(ids).await;
    }

    /// Looks for what has been waited for longest: a message may be lost on its way, a record is not.
    pub(super) async fn look_again(&self) {
        let ids = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let mut long: Vec<(Instant, String)> = waiting
                .iter()
                .filter(|(_, waiting)| now.duration_since(waiting.since) >= LOOK_AGAIN)
                .map(|(id, waiting)| (waiting.since, id.clone()))
                .collect();
            long.sort_unstable();
            long.truncate(LOOK_AGAIN_MAX);
            for (_, id) in &long {
                if let Some(waiting) = waiting.get_mut(id) {
                    waiting.since = now;
                }
            }
            long.into_iter().map(|(_, id)| id).collect()
        };
        self.look_for(ids).await;
    }

    async fn look_for(&self, ids: Vec<String>) {
        for id in ids {
            match self.fetch(&id).await {
                Ok(Some(result)) => {
                    self.deliver(result);
                }
                Ok(None) => {}
                Err(error) => return tracing::debug!(%error, "results not looked for"),
            }
        }
    }
}
