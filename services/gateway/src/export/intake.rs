//! Taking telemetry from the bus, and giving it to the lanes.

use std::sync::Arc;
use std::time::Duration;

use nuncius_bus::consumer::ConsumerWanted;
use nuncius_bus::work_queue::{WorkItem, WorkQueue};
use nuncius_bus::{Bus, BusError};
use nuncius_schemas::subjects::{CONTENT_TYPE_PROTOBUF, HEADER_CONTENT_TYPE, Signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::counts::Counts;
use super::signal_of;
use super::spool::is_otlp;

/// Messages asked for at a time.
const HANDS: usize = 16;
/// How often it is looked whether the bus forgot something.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// After an error that may pass.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes messages until `shutdown`.
pub(super) async fn run(
    bus: Bus,
    wanted: ConsumerWanted,
    lanes: Vec<(Signal, mpsc::Sender<WorkItem>)>,
    counts: Arc<Counts>,
    shutdown: CancellationToken,
) {
    let mut accounted = None;
    let Some(mut queue) = opened(&bus, &wanted, &shutdown).await else { return };
    let mut looks = tokio::time::interval(LOOK_AGAIN);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let item = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            _ = looks.tick() => {
                look(&bus, &wanted, &counts, &mut accounted).await;
                continue;
            }
            item = queue.next_of(HANDS) => item,
        };
        match item {
            Ok(item) => hand_over(item, &lanes, &counts, &shutdown).await,
            Err(error) => {
                warn!("telemetry cannot be taken from the bus: {error}; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    queue.close().await;
}

/// The queue, as soon as its stream is there.
async fn opened(bus: &Bus, wanted: &ConsumerWanted, shutdown: &CancellationToken) -> Option<WorkQueue> {
    let mut told = false;
    loop {
        match bus.work_queue_with(wanted.clone()).await {
            Ok(queue) => return Some(queue),
            Err(error) => {
                if !told {
                    warn!("telemetry cannot be taken from the bus: {error}; trying again");
                }
                told = true;
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn hand_over(
    item: WorkItem,
    lanes: &[(Signal, mpsc::Sender<WorkItem>)],
    counts: &Counts,
    shutdown: &CancellationToken,
) {
    let signal = signal_of(&item.subject);
    let Some(signal) = signal else {
        // Nobody knows what it is; nobody else will either.
        let _ = item.ack().await;
        return;
    };
    let content_type = item.headers.get(HEADER_CONTENT_TYPE).map(str::to_ascii_lowercase);
    let counts = counts.of(signal);
    let lane = lanes.iter().find(|(of, _)| *of == signal).map(|(_, lane)| lane);
    let taken = match (content_type.as_deref(), lane) {
        (_, None) => Err(&counts.dropped_unwanted),
        (Some(json), _) if json.starts_with("application/json") => Err(&counts.dropped_json),
        // Foreign publishers may say nothing of it.
        (None | Some(CONTENT_TYPE_PROTOBUF | "application/protobuf"), Some(lane)) if is_otlp(&item.payload) => Ok(lane),
        _ => Err(&counts.dropped_malformed),
    };
    let lane = match taken {
        Ok(lane) => lane,
        Err(fault) => {
            fault.add(1);
            let _ = item.ack().await;
            return;
        }
    };
    tokio::select! {
        _ = lane.send(item) => {}
        () = shutdown.cancelled() => {}
    }
}

/// Counts what went from the stream before any gateway took it.
async fn look(bus: &Bus, wanted: &ConsumerWanted, counts: &Counts, accounted: &mut Option<u64>) {
    let (stream, consumer) =
        tokio::join!(bus.stream_state(&wanted.stream), bus.consumer_state(&wanted.stream, &wanted.durable));
    let looked: Result<_, BusError> = stream.and_then(|stream| Ok((stream, consumer?)));
    let Ok((stream, consumer)) = looked else { return };
    let gone = stream.first_sequence.saturating_sub(1);
    let taken = consumer.delivered_sequence;
    // What went before the first gateway ever came was nobody's loss.
    let known = accounted.unwrap_or(if taken == 0 { gone } else { taken }).max(taken);
    if gone > known {
        counts.forgotten_messages.add(gone - known);
        warn!(messages = gone - known, "the bus forgot telemetry before a gateway took it");
    }
    *accounted = Some(known.max(gone));
}
