//! The consuming side: a queue read for the whole run, on a connection of its own, because a broker may stop reading
//! from connections that publish.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use nuncius_amqp::Link;
use nuncius_clock::monotonic_ns;
use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::spec::AmqpConsume;
use tokio::time::timeout;

use super::connection::{failure_of, open};
use super::message;
use super::publish::declare;
use super::shared::{BACKOFF_FIRST_NS, BACKOFF_MAX_NS, Shared};
use crate::failure::Failure;

/// Most messages that one acknowledgement covers.
const BATCH_MAX: usize = 64;

/// Most messages remembered over a lost connection.
const COUNTED_MAX: usize = 131_072;

/// Publisher and number of a message.
type Identity = (u64, u64);

/// Reads the queue until the thread's runtime ends.
pub(super) async fn consume(shared: Rc<Shared>, step: u16, planned: AmqpConsume) {
    let mut backoff_ns = BACKOFF_FIRST_NS;
    // Counted, and not acknowledged when the connection ended: the broker sends them again.
    let mut counted: HashSet<Identity> = HashSet::new();
    loop {
        let failure = match start(&shared, &planned).await {
            Ok((_link, channel, consumer)) => {
                backoff_ns = BACKOFF_FIRST_NS;
                read(&shared, step, usize::from(planned.prefetch), &channel, consumer, &mut counted).await
            }
            Err(failure) => failure,
        };
        shared.in_flight.record(|recorder| recorder.lost(step, failure));
        tokio::time::sleep(Duration::from_nanos(backoff_ns)).await;
        backoff_ns = backoff_ns.saturating_mul(2).min(BACKOFF_MAX_NS);
    }
}

async fn start(shared: &Shared, planned: &AmqpConsume) -> Result<(Link, Channel, Consumer), Failure> {
    let link = open(&shared.setup.access, shared.next_host()).await?;
    let failure = |what: &'static str| move |error: lapin::Error| failure_of(FailureKind::Connect, what, &error);
    let name = |text: &str| {
        ShortString::try_new(text).map_err(|_| Failure::new(FailureKind::Protocol, "a name longer than 255 bytes"))
    };
    let queue = name(&planned.queue)?;
    let starting = timeout(shared.timeout(), async {
        let channel = link.connection.create_channel().await.map_err(failure("open a channel"))?;
        let declared = shared.publishes.iter().flatten().any(|step| step.declare && step.routing_key == queue);
        if declared {
            // Whoever comes first makes it.
            declare(&channel, queue.clone()).await.map_err(failure("declare the queue"))?;
        }
        let qos = channel.basic_qos(planned.prefetch, BasicQosOptions::default()).await;
        qos.map_err(failure("limit what is on the way"))?;
        let (tag, options) = (ShortString::default(), BasicConsumeOptions::default());
        let consumer = channel.basic_consume(queue, tag, options, FieldTable::default()).await;
        Ok((channel, consumer.map_err(failure("consume the queue"))?))
    });
    match starting.await {
        Ok(Ok((channel, consumer))) => Ok((link, channel, consumer)),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(Failure::new(FailureKind::Timeout, "consume the queue: no answer within the timeout")),
    }
}

/// Reads until the consumer ends; why it did.
async fn read(
    shared: &Shared,
    step: u16,
    prefetch: usize,
    channel: &Channel,
    mut consumer: Consumer,
    counted: &mut HashSet<Identity>,
) -> Failure {
    let batch_max = (prefetch / 2).clamp(1, BATCH_MAX);
    let mut unacknowledged: Vec<Identity> = Vec::new();
    let mut open = 0;
    let mut before = std::mem::take(counted);
    let failure = loop {
        let delivery = match consumer.next().await {
            Some(Ok(delivery)) => delivery,
            Some(Err(error)) => break failure_of(FailureKind::Closed, "consume", &error),
            None => break Failure::new(FailureKind::Closed, "the broker has cancelled the consumer"),
        };
        let mut tag = receive(shared, step, &delivery, &mut before, &mut unacknowledged);
        open += 1;
        // What is here already goes into the same acknowledgement.
        while open < batch_max
            && let Some(Some(Ok(delivery))) = consumer.next().now_or_never()
        {
            tag = receive(shared, step, &delivery, &mut before, &mut unacknowledged);
            open += 1;
        }
        shared.in_flight.changed.notify_one();
        if let Err(error) = channel.basic_ack(tag, BasicAckOptions { multiple: true }).await {
            break failure_of(FailureKind::Closed, "acknowledge", &error);
        }
        open = 0;
        unacknowledged.clear();
    };
    counted.extend(unacknowledged);
    if counted.len() + before.len() <= COUNTED_MAX {
        counted.extend(before);
    }
    failure
}

/// Counts a message of this run, unless it was counted before. Returns its tag.
fn receive(
    shared: &Shared,
    step: u16,
    delivery: &Delivery,
    before: &mut HashSet<Identity>,
    unacknowledged: &mut Vec<Identity>,
) -> u64 {
    let now_ns = monotonic_ns();
    let Some(stamp) = message::read(&shared.run, &delivery.properties) else { return delivery.delivery_tag };
    let identity = (stamp.publisher, stamp.message);
    unacknowledged.push(identity);
    if delivery.redelivered && before.remove(&identity) {
        return delivery.delivery_tag;
    }
    shared.in_flight.record(|recorder| {
        let now_ns = recorder.run_time_ns(now_ns);
        let since = |at_ns: u64| now_ns.saturating_sub(at_ns);
        recorder.received(step, since(stamp.published_ns), stamp.planned_ns.map(since));
        if let Some(trace) = message::trace(&delivery.properties) {
            recorder.delivered(step, stamp.message, (stamp.published_ns, now_ns), trace);
        }
        recorder.read(step, delivery.data.len() as u64);
    });
    if stamp.publisher == shared.setup.tally.publisher {
        shared.setup.tally.received.fetch_add(1, Ordering::Relaxed);
    }
    delivery.delivery_tag
}
