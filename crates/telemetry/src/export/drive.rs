//! The thread that exports: encoding what waits, and handing it on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nuncius_schemas::subjects::Signal;
use opentelemetry::Context;
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::runtime::Runtime;

use super::{Batch, ExportQueue, Losses};
use crate::encode::{self, Encoding, SpanEncoder};
use crate::otlp::{Answer, Endpoint, Sender};
use crate::settings::{Destination, Settings};
use crate::{OutBox, TelemetryError};

/// The name of the thread, as seen in `top -H`.
pub(crate) const THREAD_NAME: &str = "nuncius-otlp";
/// First pause before a message is sent again; doubled each time.
const PAUSE: Duration = Duration::from_millis(250);
/// How often it is told that the out-box is full.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// How what is told of one kind leaves.
enum Way {
    Nowhere,
    OutBox(Arc<OutBox>),
    Receiver(Box<Sender>, Duration),
}

struct Ways {
    traces: Way,
    metrics: Way,
    logs: Way,
    /// What drives connections, where there are any.
    runtime: Option<Runtime>,
}

/// Starts the thread; opens no connection.
///
/// # Errors
/// [`TelemetryError::Exporter`] for settings that make no sender, [`TelemetryError::Thread`] when there is no thread.
pub(crate) fn start(
    settings: &Settings,
    attributes: &[(String, String)],
    out_box: &Arc<OutBox>,
) -> Result<Arc<ExportQueue>, TelemetryError> {
    let way = |signal: Signal| match settings.of(signal) {
        Destination::Nowhere => Ok(Way::Nowhere),
        Destination::OutBox => Ok(Way::OutBox(Arc::clone(out_box))),
        Destination::Endpoint(endpoint) => sender(endpoint),
    };
    let is_receiver = |way: &Way| matches!(way, Way::Receiver(..));
    let (traces, metrics, logs) = (way(Signal::Traces)?, way(Signal::Metrics)?, way(Signal::Logs)?);
    let runtime = if [&traces, &metrics, &logs].into_iter().any(is_receiver) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Some(runtime.map_err(TelemetryError::Thread)?)
    } else {
        None
    };
    let failed = |problem| TelemetryError::Exporter { endpoint: "the out-box".to_owned(), problem };
    let encoder = SpanEncoder::new(attributes).map_err(failed)?;
    let resource = encode::resource_of(attributes);
    let ways = Ways { traces, metrics, logs, runtime };
    let queue = Arc::new(ExportQueue::new(settings.limits));
    let of_thread = Arc::clone(&queue);
    std::thread::Builder::new()
        .name(THREAD_NAME.to_owned())
        .spawn(move || {
            // What is done here must not become spans in turn.
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            carry(&of_thread, &ways, &encoder, &resource);
            of_thread.finish();
        })
        .map_err(TelemetryError::Thread)?;
    Ok(queue)
}

fn sender(endpoint: &Endpoint) -> Result<Way, TelemetryError> {
    let failed =
        |problem| TelemetryError::Exporter { endpoint: nuncius_schemas::redact::redact_url(&endpoint.url), problem };
    Ok(Way::Receiver(Box::new(Sender::new(endpoint).map_err(failed)?), endpoint.timeout))
}

/// Hands batches on until the queue has ended.
fn carry(queue: &ExportQueue, ways: &Ways, encoder: &SpanEncoder, resource: &Resource) {
    let limit_bytes = queue.limits.message_bytes;
    let mut told: Option<(Instant, Losses)> = None;
    while let Some(Batch { spans, records, messages, flush }) = queue.next_batch() {
        hand_on(queue, ways, Signal::Traces, encoder.encode(spans, limit_bytes));
        hand_on(queue, ways, Signal::Logs, encode::logs(records, resource, limit_bytes));
        for (signal, message) in messages {
            one(queue, ways, signal, message, 1);
        }
        queue.done(flush);
        tell(queue, &mut told);
    }
}

fn hand_on(queue: &ExportQueue, ways: &Ways, signal: Signal, encoding: Encoding) {
    if encoding.too_long > 0 {
        queue.lose(signal, encoding.too_long);
    }
    for encoded in encoding.messages {
        one(queue, ways, signal, encoded.message, encoded.items);
    }
}

fn one(queue: &ExportQueue, ways: &Ways, signal: Signal, message: Bytes, items: u64) {
    let way = match signal {
        Signal::Traces => &ways.traces,
        Signal::Metrics => &ways.metrics,
        Signal::Logs => &ways.logs,
    };
    match (way, &ways.runtime) {
        (Way::OutBox(out_box), _) => {
            if !out_box.push(signal, message) {
                queue.lose(signal, items);
            }
        }
        (Way::Receiver(sender, timeout), Some(runtime)) => {
            let patience = queue.patience(*timeout);
            match runtime.block_on(send(sender, &message, patience)) {
                Ok(rejected) => {
                    queue.lose(signal, rejected.min(items));
                    queue.answered(signal, items, Ok(()));
                }
                Err(reason) => queue.answered(signal, items, Err(reason)),
            }
        }
        (Way::Nowhere | Way::Receiver(..), _) => {}
    }
}

/// Sends until the receiver has it, or does not want it, or `patience` is over; how much it did not want.
async fn send(sender: &Sender, message: &Bytes, patience: Duration) -> Result<u64, String> {
    let begun = Instant::now();
    let mut pause = PAUSE;
    loop {
        match sender.send(message, patience.saturating_sub(begun.elapsed())).await {
            Answer::Taken { rejected, .. } => return Ok(rejected),
            Answer::Refused { reason } => return Err(reason),
            Answer::Later { after, reason } => {
                let wanted = after.unwrap_or(pause);
                if begun.elapsed() + wanted >= patience {
                    return Err(reason);
                }
                tokio::time::sleep(wanted).await;
                pause *= 2;
            }
        }
    }
}

/// Says, now and then, that something was lost.
fn tell(queue: &ExportQueue, told: &mut Option<(Instant, Losses)>) {
    let losses = queue.losses();
    let is_news = match told {
        None => losses != Losses::default(),
        Some((at, before)) => losses != *before && at.elapsed() >= TELL_AGAIN,
    };
    if is_news {
        let Losses { spans, log_records, metric_messages } = losses;
        tracing::warn!(spans, log_records, metric_messages, "telemetry was lost: there is more than leaves");
        *told = Some((Instant::now(), losses));
    }
}
