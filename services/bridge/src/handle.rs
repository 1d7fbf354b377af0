//! One message, from its delivery to its end: accepted or refused by what takes it, answered where that is wanted, and
//! then, and only then, acknowledged or rejected.

use lapin::message::Delivery;
use lapin::types::ShortString;
use nuncius_schemas::run::SubmitReply;

use crate::config::WithoutId;
use crate::experiments;
use crate::figures::Reason;
use crate::jobs;
use crate::message::job_id;
use crate::reply::{Answer, Answers};
use crate::shared::{Incoming, Outcome, Refusal, Shared};

/// What the messages of a mapping become.
#[derive(Debug)]
pub(crate) enum Taker {
    Jobs(jobs::Jobs),
    Experiments(nuncius_bus::Bus),
}

/// How a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Somebody else answers for it.
    Acknowledge,
    /// The broker puts it where its queue has dead letters go.
    Reject,
}

/// Brings a message to its end. Dropped before that, it is as if it had never come.
///
/// # Errors
/// A connection has ended, in words: the broker delivers the message again.
pub(crate) async fn handle(
    shared: &Shared,
    taker: &Taker,
    answers: &Answers,
    delivery: Delivery,
) -> Result<(u64, End), String> {
    let figures = &shared.figures;
    let _in_flight = figures.in_flight.hold();
    figures.received.add(1);
    figures.redelivered.add(u64::from(delivery.redelivered));
    let tag = delivery.delivery_tag;
    let properties = &delivery.properties;
    let text = |text: &Option<ShortString>| text.clone().filter(|text| !text.as_str().is_empty());
    let message_id = text(properties.message_id());
    let correlation_id = text(properties.correlation_id()).or_else(|| message_id.clone());
    // A name from a file was looked at when that was read.
    let named = || shared.mapping.results.as_deref().and_then(|queue| ShortString::try_new(queue).ok());
    let reply_to = text(properties.reply_to()).or_else(named);
    let incoming = match &message_id {
        Some(message_id) => Ok(Incoming { id: job_id(message_id.as_str()), has_id: true, delivery }),
        None => {
            figures.without_id.add(1);
            match shared.mapping.without_id {
                WithoutId::Accept => {
                    let id = format!("{:016x}{:08x}", fastrand::u64(..), fastrand::u32(..));
                    Ok(Incoming { id, has_id: false, delivery })
                }
                WithoutId::Refuse => {
                    let problem = "the message has no message-id".to_owned();
                    Err(Refusal { reason: Reason::WithoutId, problem })
                }
            }
        }
    };
    let wants_answer = reply_to.is_some();
    let taken = match incoming {
        Ok(incoming) => match taker {
            Taker::Jobs(jobs) => jobs.take(shared, incoming, wants_answer).await?,
            Taker::Experiments(bus) => experiments::take(shared, bus, &incoming, wants_answer).await?,
        },
        Err(refusal) => Err(refusal),
    };
    let (outcome, end) = match taken {
        Ok(outcome) => (outcome, End::Acknowledge),
        Err(refusal) => {
            figures.refuse(refusal.reason);
            let id = message_id.as_ref().map(|id| id.as_str().escape_debug().to_string());
            tracing::warn!(mapping = shared.mapping.name, message_id = id, "message refused: {}", refusal.problem);
            let id = message_id.as_ref().map(|id| job_id(id.as_str())).unwrap_or_default();
            (Some(refused(id, refusal.problem)?), End::Reject)
        }
    };
    if let (Some(outcome), Some(to)) = (outcome, reply_to) {
        let Outcome { id, kind, document } = outcome;
        let answer = Answer { to, correlation_id, id, kind, body: document };
        answers.publish(&answer, figures, &shared.said).await?;
    }
    Ok((tag, end))
}

/// What whoever asked is told of a message that was refused.
fn refused(id: String, problem: String) -> Result<Outcome, String> {
    let reply = SubmitReply { id: None, accepted: false, error: Some(problem) };
    let document = serde_json::to_vec(&reply).map_err(|error| error.to_string())?;
    Ok(Outcome { id, kind: "submit-reply.v1", document })
}
