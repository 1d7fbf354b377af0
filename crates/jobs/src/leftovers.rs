//! What a server that was killed left behind: jobs that their consumer has as acknowledged, and that are still in their
//! stream. Nobody is given them any more. A server writes down what was acknowledged and what was removed one after the
//! other, and may die in between.

use nuncius_bus::BusError;
use nuncius_bus::tail::StoredMessage;
use nuncius_schemas::job::{JobResult, JobStatus};
use nuncius_schemas::queue::QueueDefinition;
use nuncius_schemas::subjects::{HEADER_MESSAGE_ID, job_consumer};

use crate::form::Form;
use crate::name::Name;
use crate::record::{Settled, settle};
use crate::{JobError, Queues, dead};

const REASON: &str = "the server had it as acknowledged, and it has no record";

/// Removes such jobs; how many there were. A job is acknowledged only once it has its record, so one without would be a
/// fault of the server's: it gets the record of a job that was given up, and a dead letter, before it goes.
pub async fn clear(queues: &Queues, definition: &QueueDefinition) -> Result<u64, JobError> {
    let (bus, names) = (&queues.bus, queues.bus.namespace());
    let queue = &definition.name;
    let stream = names.stream_job(queue);
    let mut cleared = 0;
    for priority in 0..definition.priorities {
        let settled = bus.consumer_state(&stream, &job_consumer(priority)).await?.acknowledged_sequence;
        let filter = names.job_priority(queue, priority);
        let mut next = 1;
        while let Some(found) = bus.next_message(&stream, &filter, next).await? {
            if found.sequence > settled {
                break;
            }
            next = found.sequence + 1;
            match clear_one(queues, definition, &stream, &found).await {
                Ok(()) => cleared += 1,
                Err(error @ (JobError::NoQueue { .. } | JobError::Bus(BusError::Closed))) => return Err(error),
                // One stops no other.
                Err(error) => tracing::warn!(sequence = found.sequence, %error, "a job is left over; trying again"),
            }
        }
    }
    Ok(cleared)
}

async fn clear_one(
    queues: &Queues,
    definition: &QueueDefinition,
    stream: &str,
    found: &StoredMessage,
) -> Result<(), JobError> {
    let (bus, queue) = (&queues.bus, &definition.name);
    let Some(name) = Name::read(&found.subject, found.headers.get(HEADER_MESSAGE_ID), found.sequence) else {
        return Ok(());
    };
    let result = JobResult {
        job_sequence: found.sequence,
        submitted_unix_ns: found.published_unix_ns,
        error: Some(REASON.to_owned()),
        ..JobResult::not_run(&name.id, queue, &name.client, name.priority, JobStatus::Dead)
    };
    // Refused where it has one, which is the rule.
    let form = Form::of(&found.headers, &found.payload);
    if settle(bus, &result, form, None).await? == Settled::Here {
        dead::keep(bus, queue, &name, &found.headers, &found.payload, 0, REASON).await?;
    }
    bus.delete_message(stream, found.sequence).await?;
    Ok(())
}
