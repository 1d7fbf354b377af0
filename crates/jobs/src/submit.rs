//! The client's side: jobs in, results back, over outages of the server and of the connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::typed::CONTENT_TYPE_MESSAGE_PACK;
use nuncius_bus::{Bus, BusError, Headers, Subscription};
use nuncius_schemas::codec;
use nuncius_schemas::job::{Job, JobResult};
use nuncius_schemas::names::check_token;
use nuncius_schemas::queue::{QueueDefinition, QueueState, check_queue_name};
use nuncius_schemas::subjects::{
    HEADER_CONTENT_TYPE, HEADER_IF_CLIENT, HEADER_SCHEMA, HEADER_TRACEPARENT, client_lease,
};
use nuncius_schemas::units::HumanDuration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::queue::DUPLICATE_WINDOW;
use crate::{JobError, Queues};

/// How long a submission is repeated: well within the window in which the stream knows its id.
const SUBMIT_PATIENCE: Duration = Duration::from_secs(45);
/// Pause before it is repeated.
const SUBMIT_PAUSE: Duration = Duration::from_millis(250);
/// Pause before a presence that was lost is claimed again.
const PRESENCE_PAUSE: Duration = Duration::from_millis(500);
/// How often is looked for results that a slow subscription lost.
const LOST_CHECK: Duration = Duration::from_secs(1);
/// JetStream: a message is larger than the stream takes.
const CODE_TOO_LARGE: u64 = 10_054;
const SCHEMA: &str = "job.v1";

/// Who submits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitterOptions {
    /// Queue.
    pub queue: String,
    /// Name of the client, a token that nobody else uses at the same time.
    pub client: String,
    /// What waits is dropped when this process is gone: within 3 s of its lease's end (10 s after a crash, at once otherwise).
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
    waiting: Mutex<HashMap<String, oneshot::Sender<JobResult>>>,
}

/// An accepted job whose result is still to come.
#[derive(Debug)]
pub struct Ticket {
    /// The job.
    pub id: String,
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
            let task = tokio::spawn(be_present(Arc::clone(&inner), stop.clone(), told));
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
                () = listen(&listener, results) => {}
            }
            // Nobody will answer any more.
            listener.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
        });
        unless_open.disarm();
        Ok(Self { inner, stop, presence })
    }

    /// Publishes a job and waits until the queue has it. Repeated under the same id while nothing answers, for 45 s.
    ///
    /// # Errors
    /// [`JobError::NoQueue`], [`JobError::NoPriority`], [`JobError::Full`], [`JobError::Draining`], [`JobError::TooLarge`],
    /// [`JobError::TooManyArguments`], [`JobError::ArgumentWithNul`]: not accepted. [`JobError::Bus`]: not known.
    pub async fn submit(&self, submission: Submission) -> Result<Ticket, JobError> {
        let inner = &self.inner;
        let definition = inner.definition();
        let (id, headers, payload) = inner.message(submission, definition.as_deref())?;
        let (headers, priority) = headers;
        let subject = inner.bus.namespace().job(&inner.options.queue, priority, &inner.options.client);
        let (sender, result) = oneshot::channel();
        inner.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), sender);
        let ticket = Ticket { id, result, inner: Arc::clone(inner) };
        let until = Instant::now() + SUBMIT_PATIENCE.min(DUPLICATE_WINDOW);
        loop {
            let size = payload.len();
            match inner.bus.publish_acked(&subject, &headers, payload.clone(), Some(&ticket.id), None).await {
                Ok(_) => return Ok(ticket),
                Err(error) if error.is_transient() && Instant::now() < until => {
                    tracing::debug!(%error, job = ticket.id, "not known to be accepted; trying again");
                    tokio::time::sleep(SUBMIT_PAUSE).await;
                }
                Err(error) => return Err(inner.refusal(error, size, priority).await),
            }
        }
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

type Message = (String, (Headers, u8), Bytes);

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

    /// What is published for a submission, checked against the queue's limits.
    fn message(&self, submission: Submission, definition: Option<&QueueDefinition>) -> Result<Message, JobError> {
        let queue = || self.options.queue.clone();
        if let Some(argument) = submission.args.iter().position(|arg| arg.contains('\0')) {
            return Err(JobError::ArgumentWithNul(argument + 1));
        }
        if let Some(definition) = definition {
            if submission.priority >= definition.priorities {
                let most = definition.priorities.saturating_sub(1);
                return Err(JobError::NoPriority { queue: queue(), priority: submission.priority, most });
            }
            let (arguments, limit) = (submission.args.len(), definition.max_arguments);
            if arguments > limit as usize {
                return Err(JobError::TooManyArguments { queue: queue(), arguments, limit });
            }
        }
        let id = match submission.id {
            Some(id) => {
                check_token("job", &id)?;
                id
            }
            None => format!("{:016x}{:08x}", fastrand::u64(..), fastrand::u32(..)),
        };
        let job = Job { args: submission.args, limit: submission.limit };
        let payload = codec::encode(&job)
            .map_err(|source| nuncius_bus::TypedError::Codec { what: format!("job {id}"), source })?;
        let mut headers =
            Headers::new().with(HEADER_CONTENT_TYPE, CONTENT_TYPE_MESSAGE_PACK).with(HEADER_SCHEMA, SCHEMA);
        if self.options.presence {
            headers.insert(HEADER_IF_CLIENT, "present");
        }
        if let Some(traceparent) = submission.traceparent {
            headers.insert(HEADER_TRACEPARENT, traceparent);
        }
        if let Some(definition) = definition
            && payload.len() > definition.max_job_bytes as usize
        {
            return Err(JobError::TooLarge { queue: queue(), bytes: payload.len(), limit: definition.max_job_bytes });
        }
        Ok((id, (headers, submission.priority), payload.into()))
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
            (BusError::Refused { text, .. }, Some(definition)) => {
                let limit = match (text.contains("bytes"), definition.max_waiting) {
                    (true, _) => format!("`max_bytes` of {}", definition.max_bytes),
                    (false, 0) => format!("`max_jobs` of {}", definition.max_jobs),
                    (false, waiting) => format!("`max_waiting` of {waiting}"),
                };
                JobError::Full { queue, limit }
            }
            (error, _) => error.into(),
        }
    }

    fn deliver(&self, result: JobResult) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&result.job);
        if let Some(waiting) = waiting {
            // Who asked may have stopped waiting.
            let _ = waiting.send(result);
        }
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
        let ids: Vec<String> = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        for id in ids {
            match self.fetch(&id).await {
                Ok(Some(result)) => self.deliver(result),
                Ok(None) => {}
                Err(error) => return tracing::debug!(%error, "results not looked for"),
            }
        }
    }
}

/// Receives results; looks for lost ones when the connection was made anew or the subscription was too slow.
async fn listen(inner: &Arc<Inner>, mut results: Subscription) {
    let mut link = inner.bus.link();
    let mut dropped = 0;
    let mut check = tokio::time::interval(LOST_CHECK);
    loop {
        tokio::select! {
            message = results.next() => {
                let Some(message) = message else { return };
                match codec::decode::<JobResult>(&message.payload) {
                    // Two workers may have had it: the stream says whose record counts.
                    Ok(result) if result.attempt > 1 => {
                        let inner = Arc::clone(inner);
                        tokio::spawn(async move {
                            let stored = inner.fetch(&result.job).await.ok().flatten();
                            inner.deliver(stored.unwrap_or(result));
                        });
                    }
                    Ok(result) => inner.deliver(result),
                    Err(error) => tracing::warn!(%error, "a result cannot be read"),
                }
            }
            changed = link.changed() => {
                if changed.is_err() {
                    return;
                }
                if link.borrow_and_update().since.is_some() {
                    inner.recover().await;
                }
            }
            _ = check.tick() => {
                let now = inner.bus.events().slow_consumer.load(std::sync::atomic::Ordering::Relaxed);
                if now != dropped {
                    dropped = now;
                    inner.recover().await;
                }
            }
        }
    }
}

/// Holds the lease that says that this client is there, until stopped.
async fn be_present(inner: Arc<Inner>, stop: CancellationToken, told: oneshot::Sender<()>) {
    let bucket = inner.bus.namespace().bucket_lease();
    let key = client_lease(&inner.options.client);
    let mut told = Some(told);
    let mut has_warned = false;
    loop {
        let acquired = tokio::select! {
            () = stop.cancelled() => return,
            acquired = nuncius_bus::lease::acquire(&inner.bus, &bucket, &key, &inner.options.queue) => acquired,
        };
        match acquired {
            Ok(Some(lease)) => {
                if let Some(told) = told.take() {
                    let _ = told.send(());
                }
                tokio::select! {
                    () = stop.cancelled() => {
                        if let Err(error) = lease.release().await {
                            tracing::debug!(%error, "presence not given back: it runs out");
                        }
                        return;
                    }
                    () = lease.lost() => {}
                }
            }
            Ok(None) if has_warned => {}
            Ok(None) => {
                has_warned = true;
                let client = &inner.options.client;
                tracing::warn!(
                    client,
                    "another client has this name: waiting until it ends (10 s, where it crashed), or choose another name"
                );
            }
            Err(error) => tracing::debug!(%error, key, "presence not claimed yet"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PRESENCE_PAUSE) => {}
        }
    }
}
