//! Gathers what the engine threads report and hands it on once a second, on a thread of its own, so that neither the
//! engines nor the bus can delay it.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nuncius_bus::clock::monotonic_ns;
use nuncius_engine::sink::{EngineMessage, FinishReason, Row};
use nuncius_schemas::metric::Shortfall;
use nuncius_schemas::units::SECOND_NS;
use tokio::sync::mpsc;

use crate::accumulate::Accumulated;
use crate::health::HealthMeter;
use crate::heartbeat::Heartbeat;
use crate::roster::Roster;

/// How long after a second's end the threads' reports of it are waited for.
const GRACE_NS: u64 = 150_000_000;

/// What the collector hands to the reporter.
pub(crate) enum Collected {
    /// A second, or several folded into one.
    Second(Box<Accumulated>),
    /// Request records.
    Rows(Vec<Row>),
    /// Every engine thread has ended; nothing follows.
    End(Ending),
}

/// How a node's part of a run ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ending {
    /// What kept it from offering all of its schedule, if anything did.
    pub(crate) stopped: Option<(Shortfall, String)>,
}

/// What the collector needs to know.
pub(crate) struct CollectorInput {
    pub(crate) messages: Receiver<EngineMessage>,
    /// Engine threads that will say `Finished`; more may come.
    pub(crate) roster: Arc<Roster>,
    pub(crate) meter: HealthMeter,
    pub(crate) heartbeat: Heartbeat,
    /// Set once the run has an instant zero (CLOCK_MONOTONIC, nanoseconds).
    pub(crate) start_at_ns: Arc<OnceLock<u64>>,
    pub(crate) slow_consumers: Box<dyn Fn() -> u64 + Send>,
}

/// Runs until every engine thread has ended; meant for a thread of its own.
pub(crate) fn collect(mut input: CollectorInput, output: &mpsc::Sender<Collected>) {
    let mut seconds: BTreeMap<u32, Accumulated> = BTreeMap::new();
    let mut ending = Ending::default();
    let mut stood_ns = 0;
    let mut next_tick_ns: Option<u64> = None;
    let mut dropped_rows = 0u64;
    let mut slow_before = (input.slow_consumers)();
    while !input.roster.is_over() {
        input.meter.watch(input.roster.take_new());
        if next_tick_ns.is_none() {
            next_tick_ns = input.start_at_ns.get().map(|start| start + SECOND_NS + GRACE_NS);
            // What was before the start is nobody's concern.
            input.heartbeat.take_late_ns();
        }
        let now = monotonic_ns();
        let wait_ns = next_tick_ns.map_or(100_000_000, |tick| tick.saturating_sub(now));
        // Looked at first: what a thread says it says before it ends.
        let is_silent = input.roster.is_silent();
        match input.messages.recv_timeout(Duration::from_nanos(wait_ns)) {
            Ok(EngineMessage::Second(report)) => {
                // Seconds that a thread folded stay folded: they are filed under their last.
                seconds.entry(report.last_second).or_default().add(&report);
            }
            Ok(EngineMessage::Rows(rows)) => {
                let count = rows.len() as u64;
                if output.try_send(Collected::Rows(rows)).is_err() {
                    dropped_rows += count;
                }
            }
            Ok(EngineMessage::Finished { group, thread, reason, stood_ns: stood }) => {
                input.roster.ended(group, thread);
                stood_ns = stood.max(stood_ns);
                note_reason(&mut ending, reason);
            }
            Err(RecvTimeoutError::Timeout) if !is_silent => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                ending
                    .stopped
                    .get_or_insert_with(|| (Shortfall::Failed, "an engine thread ended without a word".to_owned()));
                input.roster.close();
                break;
            }
        }
        let Some(tick) = next_tick_ns else { continue };
        let now = monotonic_ns();
        if now < tick {
            continue;
        }
        next_tick_ns = Some(tick + SECOND_NS);
        let mut health = input.meter.sample(input.heartbeat.take_late_ns());
        let slow_now = (input.slow_consumers)();
        health.slow_consumer = slow_now - slow_before;
        slow_before = slow_now;
        health.dropped_records = std::mem::take(&mut dropped_rows);
        let start = input.start_at_ns.get().copied().unwrap_or(now);
        let ended = u32::try_from(now.saturating_sub(start + GRACE_NS) / SECOND_NS).unwrap_or(u32::MAX);
        seconds.entry(ended.saturating_sub(1)).or_default().cover_health(ended, &health);
        send_seconds(&mut seconds, ended, output);
    }
    if stood_ns > 0 {
        ending.stopped.get_or_insert_with(|| (Shortfall::Stood, stood_for(stood_ns)));
    }
    let health = input.meter.sample(input.heartbeat.take_late_ns());
    if let Some((_, last)) = seconds.iter_mut().next_back() {
        last.add_health(&health);
    }
    // The end is worth waiting for: the reporter keeps trying until the bus is back.
    for (_, accumulated) in seconds {
        if output.blocking_send(Collected::Second(Box::new(accumulated))).is_err() {
            return;
        }
    }
    let _ = output.blocking_send(Collected::End(ending));
}

/// Hands over the seconds before `ended`; what finds no room is folded into one and stays.
fn send_seconds(seconds: &mut BTreeMap<u32, Accumulated>, ended: u32, output: &mpsc::Sender<Collected>) {
    let later = seconds.split_off(&ended);
    let mut ready = std::mem::replace(seconds, later);
    while let Some((second, accumulated)) = ready.pop_first() {
        if let Err(error) = output.try_send(Collected::Second(Box::new(accumulated))) {
            let (mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back)) = error;
            let Collected::Second(mut folded) = back else { return };
            let mut last = second;
            while let Some((second, next)) = ready.pop_first() {
                folded.fold(next);
                last = second;
            }
            seconds.insert(last, *folded);
            return;
        }
    }
}

/// Told though the thread went on: what was planned meanwhile was not offered.
fn stood_for(stood_ns: u64) -> String {
    let milliseconds = stood_ns.div_ceil(1_000_000);
    format!("stood at its horizon for {:?}: the daemon did not extend it in time", Duration::from_millis(milliseconds))
}

fn note_reason(ending: &mut Ending, reason: FinishReason) {
    match reason {
        FinishReason::ScheduleEnded | FinishReason::Stopped | FinishReason::Abandoned => {}
        FinishReason::Horizon => {
            let text = "stopped at its horizon: the daemon did not extend it".to_owned();
            ending.stopped = Some((Shortfall::Stood, text));
        }
        FinishReason::Failed(problem) => ending.stopped = Some((Shortfall::Failed, problem)),
    }
}
