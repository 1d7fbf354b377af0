//! One mapping: its queue is consumed for as long as the bridge runs, over as many connections as that takes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt};
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use nuncius_amqp::{Link, describe};
use tokio_util::sync::CancellationToken;

use crate::handle::{End, Taker, handle};
use crate::hold::Pauses;
use crate::reply::Answers;
use crate::settle::{Frame, UnderWay};
use crate::shared::Shared;

/// Pauses between connections.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How often is looked at what the job queue takes.
const LOOK: Duration = Duration::from_secs(30);
/// How long messages may take to come to their end when the bridge is told to end; the others are delivered again, to
/// whoever comes next.
const FAREWELL: Duration = Duration::from_secs(1);
/// Most messages of which the broker is told at once.
const SETTLED_AT_ONCE: usize = 64;

/// Hands messages on until `shutdown`.
pub(crate) async fn run(shared: Arc<Shared>, taker: Taker, shutdown: CancellationToken) {
    let (mapping, broker) = (shared.mapping.name.as_str(), shared.mapping.broker.shown());
    let mut pauses = Pauses::new(PAUSES.0, PAUSES.1);
    loop {
        let mut settled = 0;
        let outcome = tokio::select! {
            () = shutdown.cancelled() => return,
            outcome = connect(&shared) => outcome,
        };
        let outcome = match outcome {
            Ok(session) => {
                tracing::info!(mapping, broker, queue = %shared.mapping.from.escape_debug(), "consuming");
                shared.figures.connected.set(1);
                let outcome = session.consume((&shared, &taker), &shutdown, &mut settled).await;
                shared.figures.connected.set(0);
                outcome
            }
            Err(problem) => Err(problem),
        };
        let Err(problem) = outcome else { return };
        shared.figures.lost.add(1);
        if shared.said.is_news(&problem) {
            tracing::warn!(mapping, broker, "{problem}; trying again");
        }
        if settled > 0 {
            pauses.reset();
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = pauses.pause() => {}
        }
    }
}

/// Both connections of a mapping, consuming.
struct Session {
    link: Link,
    channel: Channel,
    consumer: Consumer,
    answers: Answers,
}

async fn connect(shared: &Shared) -> Result<Session, String> {
    let mapping = &shared.mapping;
    let name = |what: &str| format!("nuncius bridge: {} {what}", mapping.name);
    let answers = Answers::open(mapping.broker.open(&name("answers")).await?).await?;
    let link = mapping.broker.open(&name("messages")).await?;
    let failed = |what: &str, error: &lapin::Error| format!("{what}: {}", describe(error));
    let channel = link.connection.create_channel().await.map_err(|error| failed("open a channel", &error))?;
    let qos = channel.basic_qos(mapping.prefetch, BasicQosOptions::default()).await;
    qos.map_err(|error| failed("limit what is under way", &error))?;
    let queue = ShortString::try_new(mapping.from.as_str()).map_err(|error| error.to_string())?;
    let (tag, options) = (ShortString::default(), BasicConsumeOptions::default());
    let consumer = channel.basic_consume(queue, tag, options, FieldTable::default()).await;
    let consumer =
        consumer.map_err(|error| failed(&format!("consume queue `{}`", mapping.from.escape_debug()), &error))?;
    Ok(Session { link, channel, consumer, answers })
}

impl Session {
    /// Hands messages on until one of the connections ends, or `shutdown`.
    ///
    /// # Errors
    /// Why a connection ended, in words.
    async fn consume(
        mut self,
        (shared, taker): (&Shared, &Taker),
        shutdown: &CancellationToken,
        settled: &mut u64,
    ) -> Result<(), String> {
        let Self { link, channel, consumer, answers } = &mut self;
        // All in this one task: what several messages send at the same time is written at once.
        let mut messages = FuturesUnordered::new();
        let mut under_way = UnderWay::default();
        let looking = look(taker);
        tokio::pin!(looking);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = messages.next() => {
                    let ended = with_others(ended?, &mut messages)?;
                    settle(channel, shared, under_way.end(&ended), settled).await?;
                }
                delivery = consumer.next() => match delivery {
                    Some(Ok(delivery)) => {
                        under_way.begin(delivery.delivery_tag);
                        messages.push(handle(shared, taker, answers, delivery));
                    }
                    Some(Err(error)) => return Err(format!("consume: {}", describe(&error))),
                    None => return Err("the broker has cancelled the consumer: is the queue gone?".to_owned()),
                },
                () = &mut looking => {}
            }
        }
        // What is nearly done is not to be done again.
        let ending = async {
            let _ = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await;
            while let Some(ended) = messages.next().await {
                settle(channel, shared, under_way.end(&[ended?]), settled).await?;
            }
            Ok::<(), String>(())
        };
        let _ = tokio::time::timeout(FAREWELL, ending).await;
        let _ = tokio::time::timeout(FAREWELL, link.close()).await;
        Ok(())
    }
}

/// Looks now and then at what the job queue takes; never ends.
async fn look(taker: &Taker) {
    loop {
        match taker {
            Taker::Jobs(jobs) => jobs.refresh().await,
            Taker::Experiments(_) => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// One that has ended, and what has ended by now beside it.
fn with_others<F>(first: (u64, End), messages: &mut FuturesUnordered<F>) -> Result<Vec<(u64, End)>, String>
where
    F: Future<Output = Result<(u64, End), String>>,
{
    let mut ended = vec![first];
    // Whoever is not ready is polled again before anything is waited for.
    while ended.len() < SETTLED_AT_ONCE
        && let Some(Some(other)) = messages.next().now_or_never()
    {
        ended.push(other?);
    }
    Ok(ended)
}

/// Tells the broker how messages ended.
async fn settle(channel: &Channel, shared: &Shared, frames: Vec<Frame>, settled: &mut u64) -> Result<(), String> {
    for frame in frames {
        let (told, acknowledged) = match frame {
            Frame::Acknowledge { tag, messages } => {
                (channel.basic_ack(tag, BasicAckOptions { multiple: messages > 1 }).await, messages)
            }
            Frame::Reject { tag } => (channel.basic_reject(tag, BasicRejectOptions { requeue: false }).await, 0),
        };
        told.map_err(|error| format!("acknowledge: {}", describe(&error)))?;
        shared.figures.acknowledged.add(acknowledged);
        *settled += acknowledged.max(1);
    }
    Ok(())
}
