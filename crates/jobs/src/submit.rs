//! The client's side: jobs in, results back, over outages of the server and of the connection. What is known already is
//! told at once: a job that has ended is not submitted again, one that is in the queue is waited for, an id of somebody
//! else's is refused.

mod client;
mod listen;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::typed::CONTENT_TYPE_MESSAGE_PACK;
use nuncius_bus::{Bus, Headers};
use nuncius_schemas::codec;
use nuncius_schemas::job::Job;
use nuncius_schemas::names::check_token;
use nuncius_schemas::queue::{QueueDefinition, check_queue_name};
use nuncius_schemas::subjects::{HEADER_CONTENT_TYPE, HEADER_IF_CLIENT, HEADER_SCHEMA};
use nuncius_schemas::units::HumanDuration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use self::client::Client;
use crate::JobError;

pub use self::client::{Acceptance, Prepared, SubmitterOptions, Ticket};

const SCHEMA: &str = "job.v1";

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

/// One job that somebody else has written, to be handed on as it is.
#[derive(Debug, Clone, Default)]
pub struct Relayed {
    /// Identifier, a token.
    pub id: String,
    /// The job in one of the forms in which jobs are published; what cannot be read is given up by its worker, with a
    /// record that says so.
    pub payload: Bytes,
    /// Headers beside those that are made of this.
    pub headers: Headers,
    /// 0 is the most urgent.
    pub priority: u8,
    /// W3C trace context that the job's spans hang under.
    pub traceparent: Option<String>,
    /// Whether it may have been submitted before: then its record is looked for first. Without it the same job is found
    /// out later, too, by the queue or by the worker that finds its record.
    pub is_repeated: bool,
}

/// Submits jobs to one queue and receives their results. Ends its tasks, and its presence, when dropped.
#[derive(Debug)]
pub struct Submitter {
    client: Arc<Client>,
    stop: CancellationToken,
    presence: Option<tokio::task::JoinHandle<()>>,
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
        let client = Arc::new(Client::new(bus, options));
        client.refresh().await?;
        let stop = CancellationToken::new();
        // Who stops waiting for this is not present either.
        let unless_open = stop.clone().drop_guard();
        let presence = if client.options.presence {
            let (told, present) = oneshot::channel();
            let task = tokio::spawn(listen::be_present(Arc::clone(&client), stop.clone(), told));
            // A job must not be there before its client is.
            let _ = present.await;
            Some(task)
        } else {
            None
        };
        let (listener, stopped) = (Arc::clone(&client), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = listen::listen(&listener, results) => {}
            }
            listener.close();
        });
        unless_open.disarm();
        Ok(Self { client, stop, presence })
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
        let mut ticket = self.client.ticket(id);
        // Listened for before it is looked for, so that it cannot come in between.
        if let Ok(Some(record)) = self.client.fetch(&ticket.id).await {
            self.client.deliver(record);
            ticket.acceptance = Acceptance::Ended;
            return Ok(ticket);
        }
        self.client.publish(&mut ticket, &prepared, traceparent.as_deref(), false).await?;
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
        let options = &self.client.options;
        if options.presence {
            headers.insert(HEADER_IF_CLIENT, "present");
        }
        let headers = headers.ready()?;
        let subject = self.client.bus.namespace().job(&options.queue, submission.priority, &options.client);
        let arguments = job.args.len();
        let prepared = Prepared { subject, headers, payload, priority: submission.priority, arguments };
        self.client.check(&prepared)?;
        Ok(prepared)
    }

    /// As [`Submitter::submit`], under a new id.
    ///
    /// # Errors
    /// As there.
    pub async fn submit_prepared(&self, prepared: &Prepared, traceparent: Option<&str>) -> Result<Ticket, JobError> {
        self.client.check(prepared)?;
        let mut ticket = self.client.ticket(format!("{:016x}{:08x}", fastrand::u64(..), fastrand::u32(..)));
        self.client.publish(&mut ticket, prepared, traceparent, true).await?;
        Ok(ticket)
    }

    /// As [`Submitter::submit`], for a job that is handed on.
    ///
    /// # Errors
    /// As there; arguments are not looked at.
    pub async fn relay(&self, job: Relayed) -> Result<Ticket, JobError> {
        let Relayed { id, payload, headers, priority, traceparent, is_repeated } = job;
        check_token("job", &id)?;
        let subject =
            self.client.bus.namespace().job(&self.client.options.queue, priority, &self.client.options.client);
        let prepared = Prepared { subject, headers, payload, priority, arguments: 0 };
        if self.client.check(&prepared).is_err() {
            // The queue may take it by now.
            self.client.refresh().await?;
            self.client.check(&prepared)?;
        }
        let mut ticket = self.client.ticket(id);
        if is_repeated && let Some(record) = self.client.fetch(&ticket.id).await? {
            self.client.deliver(record);
            ticket.acceptance = Acceptance::Ended;
            return Ok(ticket);
        }
        self.client.publish(&mut ticket, &prepared, traceparent.as_deref(), false).await?;
        Ok(ticket)
    }

    /// Reads the definition of the queue again.
    ///
    /// # Errors
    /// [`JobError::Unreadable`], [`JobError::Bus`].
    pub async fn refresh(&self) -> Result<Option<Arc<QueueDefinition>>, JobError> {
        self.client.refresh().await
    }

    /// The definition of the queue as last read.
    pub fn definition(&self) -> Option<Arc<QueueDefinition>> {
        self.client.definition()
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
