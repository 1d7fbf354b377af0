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
use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::spec::AmqpConsume;
use tokio::time::timeout;

use super::Shared;
use super::connection::{Link, open, trouble_of};
use super::message;
use super::publish::{BACKOFF_FIRST_NS, BACKOFF_MAX_NS, declare};
use crate::clock::monotonic_ns;
use crate::trouble::Trouble;

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
        let trouble = match start(&shared, &planned).await {
            Ok((_link, channel, consumer)) => {
                backoff_ns = BACKOFF_FIRST_NS;
                read(&shared, step, usize::from(planned.prefetch), &channel, consumer, &mut counted).await
            }
            Err(trouble) => trouble,
        };
        if let Some(dispatcher) = shared.flights.dispatcher.borrow_mut().as_mut() {
            dispatcher.lost(step, trouble);
        }
        tokio::time::sleep(Duration::from_nanos(backoff_ns)).await;
        backoff_ns = backoff_ns.saturating_mul(2).min(BACKOFF_MAX_NS);
    }
}

async fn start(shared: &Shared, planned: &AmqpConsume) -> Result<(Link, Channel, Consumer), Trouble> {
    let link = open(&shared.setup.access, shared.next_host()).await?;
    let trouble = |what: &'static str| move |error: lapin::Error| trouble_of(FailureKind::Connect, what, &error);
    let name = |text: &str| {
        ShortString::try_new(text).map_err(|_| Trouble::target(FailureKind::Protocol, "a name longer than 255 bytes"))
    };
    let queue = name(&planned.queue)?;
    let starting = timeout(shared.timeout(), async {
        let channel = link.connection.create_channel().await.map_err(trouble("open a channel"))?;
        let declared = shared.publishes.iter().flatten().any(|step| step.declare && step.routing_key == queue);
        if declared {
            // Whoever comes first makes it.
            declare(&channel, queue.clone()).await.map_err(trouble("declare the queue"))?;
        }
        let qos = channel.basic_qos(planned.prefetch, BasicQosOptions::default()).await;
        qos.map_err(trouble("limit what is on the way"))?;
        let (tag, options) = (ShortString::default(), BasicConsumeOptions::default());
        let consumer = channel.basic_consume(queue, tag, options, FieldTable::default()).await;
        Ok((channel, consumer.map_err(trouble("consume the queue"))?))
    });
    match starting.await {
        Ok(Ok((channel, consumer))) => Ok((link, channel, consumer)),
        Ok(Err(trouble)) => Err(trouble),
        Err(_) => Err(Trouble::target(FailureKind::Timeout, "consume the queue: no answer within the timeout")),
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
) -> Trouble {
    let batch_max = (prefetch / 2).clamp(1, BATCH_MAX);
    let mut unacknowledged: Vec<Identity> = Vec::new();
    let mut open = 0;
    let mut before = std::mem::take(counted);
    let trouble = loop {
        let delivery = match consumer.next().await {
            Some(Ok(delivery)) => delivery,
            Some(Err(error)) => break trouble_of(FailureKind::Closed, "consume", &error),
            None => break Trouble::target(FailureKind::Closed, "the broker has cancelled the consumer"),
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
        shared.flights.changed.notify_one();
        if let Err(error) = channel.basic_ack(tag, BasicAckOptions { multiple: true }).await {
            break trouble_of(FailureKind::Closed, "acknowledge", &error);
        }
        open = 0;
        unacknowledged.clear();
    };
    counted.extend(unacknowledged);
    if counted.len() + before.len() <= COUNTED_MAX {
        counted.extend(before);
    }
    trouble
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
    if let Some(dispatcher) = shared.flights.dispatcher.borrow_mut().as_mut() {
        let now_ns = dispatcher.run_time_ns(now_ns);
        let since = |at_ns: u64| now_ns.saturating_sub(at_ns);
        dispatcher.received(step, since(stamp.published_ns), stamp.planned_ns.map(since));
        if let Some(trace) = message::trace(&delivery.properties) {
            dispatcher.delivered(step, stamp.message, (stamp.published_ns, now_ns), trace);
        }
        dispatcher.read(step, delivery.data.len() as u64);
    }
    if stamp.publisher == shared.setup.tally.publisher {
        shared.setup.tally.received.fetch_add(1, Ordering::Relaxed);
    }
    delivery.delivery_tag
}
