//! Messages that become jobs.

use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::{Bus, BusError};
use nuncius_jobs::{Acceptance, JobError, Relayed, Submitter, SubmitterOptions};

use crate::config::Mapping;
use crate::figures::Reason;
use crate::hold::Pauses;
use crate::message::{HEADERS_MAX_BYTES, Origin, headers, priority, traceparent};
use crate::shared::{Incoming, Outcome, Refusal, Shared};

/// Pauses before a job is submitted again that a queue did not take for no fault of the job's.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// A job queue that takes messages.
#[derive(Debug)]
pub(crate) struct Jobs(Submitter);

impl Jobs {
    /// Listens for results; the queue need not be there yet.
    pub(crate) async fn open(bus: &Bus, mapping: &Mapping, queue: &str) -> Result<Self, JobError> {
        // What a bridge has handed on is wanted whether or not it lives.
        let options = SubmitterOptions { queue: queue.to_owned(), client: mapping.client.clone(), presence: false };
        Ok(Self(Submitter::open(bus, options).await?))
    }

    /// Reads what the queue takes.
    pub(crate) async fn refresh(&self) {
        if let Err(error) = self.0.refresh().await {
            tracing::debug!(%error, "the definition of the queue was not read again");
        }
    }

    /// Has the queue take a message, however long that takes, and waits for its record where that is wanted.
    ///
    /// # Errors
    /// The bus is closed, in words; within: why the message is refused.
    pub(crate) async fn take(
        &self,
        shared: &Shared,
        incoming: Incoming,
        wants_answer: bool,
    ) -> Result<Result<Option<Outcome>, Refusal>, String> {
        let Incoming { mut delivery, id, has_id } = incoming;
        let payload = Bytes::from(std::mem::take(&mut delivery.data));
        let properties = &delivery.properties;
        let (exchange, routing_key) = (delivery.exchange.as_str(), delivery.routing_key.as_str());
        let headers = match headers(properties, Origin { queue: &shared.mapping.from, exchange, routing_key }) {
            Ok(headers) => headers,
            Err(size_bytes) => {
                let problem = format!("headers of {size_bytes} bytes, over the limit of {HEADERS_MAX_BYTES}");
                return Ok(Err(Refusal { reason: Reason::TooLarge, problem }));
            }
        };
        let mut job = Relayed {
            id,
            payload,
            headers,
            priority: 0,
            traceparent: traceparent(properties),
            is_repeated: has_id && delivery.redelivered,
        };
        let mut pauses = Pauses::new(PAUSES.0, PAUSES.1);
        let mut held = None;
        let ticket = loop {
            let priorities = self.0.definition().map_or(1, |definition| definition.priorities);
            job.priority = priority(*properties.priority(), priorities);
            let error = match self.0.relay(job.clone()).await {
                Ok(ticket) => break ticket,
                Err(error) => error,
            };
            match fault(&error) {
                Fault::Message(reason) => return Ok(Err(Refusal { reason, problem: error.to_string() })),
                Fault::Bus => return Err(error.to_string()),
                Fault::Queue => {}
            }
            shared.say(&error.to_string());
            held.get_or_insert_with(|| shared.figures.held.hold());
            // Whether it was stored is not known after some of these.
            job.is_repeated = has_id;
            pauses.pause().await;
        };
        drop(held);
        match ticket.acceptance {
            Acceptance::New => shared.figures.accepted.add(1),
            Acceptance::Waiting | Acceptance::Ended => shared.figures.known.add(1),
        }
        if !wants_answer {
            return Ok(Ok(None));
        }
        let record = ticket.result().await.ok_or("the connection to NATS is closed")?;
        let document = serde_json::to_vec(&record).map_err(|error| error.to_string())?;
        Ok(Ok(Some(Outcome { id: record.job, kind: "job-result.v1", document })))
    }
}

/// Whose fault it is that a job was not taken.
enum Fault {
    /// The message's: it will never be taken.
    Message(Reason),
    /// The queue's, or the server's: later it may be.
    Queue,
    /// Nothing can be submitted any more.
    Bus,
}

fn fault(error: &JobError) -> Fault {
    match error {
        JobError::TooLarge { .. }
        | JobError::TooManyArguments { .. }
        | JobError::Bus(BusError::PayloadTooLarge { .. }) => Fault::Message(Reason::TooLarge),
        JobError::IdTaken { .. } => Fault::Message(Reason::IdTaken),
        JobError::RecordGone { .. } => Fault::Message(Reason::RecordGone),
        JobError::Bus(BusError::InvalidHeader { .. } | BusError::InvalidSubject { .. })
        | JobError::Name(_)
        | JobError::ArgumentWithNul(_) => Fault::Message(Reason::Unreadable),
        JobError::Bus(BusError::Closed) => Fault::Bus,
        JobError::NoQueue { .. }
        | JobError::NoPriority { .. }
        | JobError::Full { .. }
        | JobError::Draining { .. }
        | JobError::Queue(_)
        | JobError::Unreadable(_)
        | JobError::NotEmpty { .. }
        | JobError::PriorityInUse { .. }
        | JobError::NoDeadLetter { .. }
        | JobError::Changed(_)
        | JobError::Bus(_)
        | JobError::Typed(_) => Fault::Queue,
    }
}
