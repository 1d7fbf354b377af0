//! The client's side: jobs in, results back, over outages of the server and of the connection. What is known already is
//! told at once: a job that has ended is not submitted again, one that is in the queue is waited for, an id of somebody
//! else's is refused.

mod listen;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::typed::CONTENT_TYPE_MESSAGE_PACK;
use nuncius_bus::{Bus, BusError, Headers, PubAck};
use nuncius_schemas::codec;
use nuncius_schemas::job::{Job, JobResult};
use nuncius_schemas::names::check_token;
use nuncius_schemas::queue::{QueueDefinition, QueueState, check_queue_name};
use nuncius_schemas::subjects::{
    HEADER_CONTENT_TYPE, HEADER_ID, HEADER_IF_CLIENT, HEADER_MESSAGE_ID, HEADER_SCHEMA, HEADER_TRACEPARENT,
};
use nuncius_schemas::units::HumanDuration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::name::NEW_ID;
use crate::{JobError, Queues};

/// How long a submission is repeated that was not answered.
const SUBMIT_PATIENCE: Duration = Duration::from_secs(45);
/// A result that has not come is looked for in the stream this often, and so many at a time: what is told without an
/// acknowledgement may be lost with a connection.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN_MAX: usize = 1_024;
/// Pause before it is repeated.
const SUBMIT_PAUSE: Duration = Duration::from_millis(250);
/// JetStream: a message is larger than the stream takes.
const CODE_TOO_LARGE: u64 = 10_054;
/// JetStream: the stream is at a limit, of messages or of bytes.
const CODE_FULL: u64 = 10_077;
/// JetStream: not at this moment.
const CODE_UNAVAILABLE: u64 = 10_008;
const SCHEMA: &str = "job.v1";
/// Which token of a subject is the client: `<namespace>.job.<queue>.<priority>.<client>`,
/// `<namespace>.result.<queue>.<client>.<job>`.
const JOB_CLIENT_TOKEN: usize = 4;
const RESULT_CLIENT_TOKEN: usize = 3;

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

/// One job to submit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Submission {
    /// Identifier, a token; a random one when absent.
    pub id: Option<String>,
    /// Arguments for the workload.
    pub args: Vec<String>,
    /// Longest run.
    pub limit: Option<HumanDuration>,
    /// 0 is the most urgent.
    pub priority: u8,
    /// W3C trace context that the job's spans hang under.
    pub traceparent: Option<String>,
}

/// Submits jobs to one queue and receives their results. Ends its tasks, and its presence, when dropped.
#[derive(Debug)]
pub struct Submitter {
    inner: Arc<Inner>,
    stop: CancellationToken,
    presence: Option<tokio::task::JoinHandle<()>>,
}

#[derive(Debug)]
struct Inner {
    bus: Bus,
    options: SubmitterOptions,
    definition: Mutex<Option<Arc<QueueDefinition>>>,
    waiting: Mutex<HashMap<String, Waiting>>,
}

/// A job whose result somebody waits for.
#[derive(Debug)]
struct Waiting {
    result: oneshot::Sender<JobResult>,
    /// When it began to be waited for, or was last looked for in the stream.
    since: Instant,
}

/// A job that is submitted many times, each under an id of its own: checked and encoded once.
#[derive(Debug, Clone)]
pub struct Prepared {
    subject: String,
    headers: Headers,
    payload: Bytes,
    priority: u8,
    arguments: usize,
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
    result: oneshot::Receiver<JobResult>,
    inner: Arc<Inner>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.inner.forget(&self.id);
    }
}

impl Ticket {
    /// Its result, however long that takes; `None` once the connection is closed for good.
    pub async fn result(mut self) -> Option<JobResult> {
        (&mut self.result).await.ok()
    }
}

impl Submitter {
    /// Listens for results and, where that is wanted, is present. The queue need not be there yet.
    ///
    /// # Errors
    /// [`JobError::Name`], [`JobError::Queue`] for names that make no subject; [`JobError::Bus`].
    pub async fn open(bus: &Bus, options: SubmitterOptions) -> Result<Self, JobError> {
        check_queue_name(&options.queue)?;
        check_token("client", &options.client)?;
        let results = bus.subscribe(&bus.namespace().result_client(&options.queue, &options.client)).await?;
        let inner = Arc::new(Inner {
            bus: bus.clone(),
            options,
            definition: Mutex::new(None),
            waiting: Mutex::new(HashMap::new()),
        });
        inner.refresh().await?;
        let stop = CancellationToken::new();
        // Who stops waiting for this is not present either.
        let unless_open = stop.clone().drop_guard();
        let presence = if inner.options.presence {
            let (told, present) = oneshot::channel();
            let task = tokio::spawn(listen::be_present(Arc::clone(&inner), stop.clone(), told));
            // A job must not be there before its client is.
            let _ = present.await;
            Some(task)
        } else {
            None
        };
        let (listener, stopped) = (Arc::clone(&inner), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = listen::listen(&listener, results) => {}
            }
            // Nobody will answer any more.
            listener.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
        });
        unless_open.disarm();
        Ok(Self { inner, stop, presence })
    }

    /// Publishes a job and waits until the queue has it. Repeated under the same id while nothing answers, for 45 s.
    ///
    /// A job with an id of its own that has ended is not published again: its record is the result.
    ///
    /// # Errors
    /// [`JobError::NoQueue`], [`JobError::NoPriority`], [`JobError::Full`], [`JobError::Draining`],
    /// [`JobError::TooLarge`],
    /// [`JobError::TooManyArguments`], [`JobError::ArgumentWithNul`], [`JobError::IdTaken`], [`JobError::RecordGone`]:
    /// not accepted. [`JobError::Bus`]: not known.
    pub async fn submit(&self, mut submission: Submission) -> Result<Ticket, JobError> {
        let (id, traceparent) = (submission.id.take(), submission.traceparent.take());
        let prepared = self.prepare(&submission)?;
        let Some(id) = id else { return self.submit_prepared(&prepared, traceparent.as_deref()).await };
        check_token("job", &id)?;
        let mut ticket = self.inner.ticket(id);
        // Listened for before it is looked for, so that it cannot come in between.
        if let Ok(Some(record)) = self.inner.fetch(&ticket.id).await {
            self.inner.deliver(record);
            ticket.acceptance = Acceptance::Ended;
            return Ok(ticket);
        }
        self.inner.publish(&mut ticket, &prepared, traceparent.as_deref(), false).await?;
        Ok(ticket)
    }

    /// Checks and encodes a job that is to be submitted many times; its id and trace context are those of each
    /// submission.
    ///
    /// # Errors
    /// As [`Submitter::submit`], as far as the queue is known.
    pub fn prepare(&self, submission: &Submission) -> Result<Prepared, JobError> {
        if let Some(argument) = submission.args.iter().position(|arg| arg.contains('\0')) {
            return Err(JobError::ArgumentWithNul(argument + 1));
        }
        let job = Job { args: submission.args.clone(), limit: submission.limit };
        let payload = codec::encode(&job)
            .map_err(|source| nuncius_bus::TypedError::Codec { what: "job".to_owned(), source })?
            .into();
        let mut headers =
            Headers::new().with(HEADER_CONTENT_TYPE, CONTENT_TYPE_MESSAGE_PACK).with(HEADER_SCHEMA, SCHEMA);
        let options = &self.inner.options;
        if options.presence {
            headers.insert(HEADER_IF_CLIENT, "present");
        }
        let headers = headers.ready()?;
        let subject = self.inner.bus.namespace().job(&options.queue, submission.priority, &options.client);
        let arguments = job.args.len();
        let prepared = Prepared { subject, headers, payload, priority: submission.priority, arguments };
        self.inner.check(&prepared)?;
        Ok(prepared)
    }

    /// As [`Submitter::submit`], under a new id.
    ///
    /// # Errors
    /// As there.
    pub async fn submit_prepared(&self, prepared: &Prepared, traceparent: Option<&str>) -> Result<Ticket, JobError> {
        self.inner.check(prepared)?;
        let mut ticket = self.inner.ticket(format!("{:016x}{:08x}", fastrand::u64(..), fastrand::u32(..)));
        self.inner.publish(&mut ticket, prepared, traceparent, true).await?;
        Ok(ticket)
    }

    /// The definition of the queue as last read.
    pub fn definition(&self) -> Option<Arc<QueueDefinition>> {
        self.inner.definition()
    }

    /// Gives the presence back, so that what waits is dropped soon, and listens no longer.
    pub async fn close(mut self) {
        self.stop.cancel();
        if let Some(presence) = self.presence.take() {
            let _ = tokio::time::timeout(Duration::from_secs(2), presence).await;
        }
    }
}

impl Drop for Submitter {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Inner {
    fn definition(&self) -> Option<Arc<QueueDefinition>> {
        self.definition.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn refresh(&self) -> Result<Option<Arc<QueueDefinition>>, JobError> {
        let found = Queues::open(&self.bus).await?.find(&self.options.queue).await?.map(Arc::new);
        self.definition.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&found);
        Ok(found)
    }

    fn forget(&self, id: &str) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// A ticket whose result is listened for.
    fn ticket(self: &Arc<Self>, id: String) -> Ticket {
        let (sender, result) = oneshot::channel();
        let waiting = Waiting { result: sender, since: Instant::now() };
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), waiting);
        Ticket { id, acceptance: Acceptance::New, result, inner: Arc::clone(self) }
    }

    /// Refuses what the queue, as it was last read, would not take.
    fn check(&self, prepared: &Prepared) -> Result<(), JobError> {
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
    async fn publish(
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
        let of_any_client = names.result(queue, "*", id);
        match self.bus.next_message(&names.stream_result(queue), &of_any_client, 1).await? {
            Some(record) => Err(taken(&record.subject, RESULT_CLIENT_TOKEN)),
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
    fn deliver(&self, result: JobResult) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&result.job);
        if let Some(waiting) = waiting {
            // Who asked may have stopped waiting.
            let _ = waiting.result.send(result);
            return true;
        }
        false
    }

    /// The record as the stream has it.
    async fn fetch(&self, id: &str) -> Result<Option<JobResult>, BusError> {
        let names = self.bus.namespace();
        let subject = names.result(&self.options.queue, &self.options.client, id);
        let found = self.bus.last_direct(&names.stream_result(&self.options.queue), &subject).await?;
        Ok(found.and_then(|found| codec::decode(&found.payload).ok()))
    }

    /// Looks in the stream for everything that is waited for.
    async fn recover(&self) {
        // The subscription must be there again first: what comes between would be missed.
        if self.bus.flush().await.is_err() {
            return;
        }
        let ids = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        self.look_for(ids).await;
    }

    /// Looks for what has been waited for longest: a message may be lost on its way, a record is not.
    async fn look_again(&self) {
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
