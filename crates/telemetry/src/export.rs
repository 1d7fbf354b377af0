//! Getting finished spans and log records out: one bounded queue, one thread.
//!
//! The SDK's own batch processor hides how many spans it dropped, answers `Ok` at shutdown whatever became of them,
//! and, with an exporter built on the program's runtime, waits for itself when that has one worker. Here the thread
//! owns what sends and the runtime that drives it, everything lost is counted, and every wait has an end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nuncius_schemas::subjects::Signal;
use opentelemetry::Context;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::Notify;

use crate::settings::Limits;

mod drive;

pub(crate) use drive::start;

/// Spans taken at a time.
const BATCH_SPANS: usize = 2_048;
/// How long the first of a batch waits for others.
const LINGER: Duration = Duration::from_millis(500);
/// Messages of others, ready to be sent, that wait to be sent from here.
const MAX_QUEUED_MESSAGES: usize = 256;

/// What was lost in this process since its start: beyond the limits of its queues, refused, or not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    /// Spans.
    pub spans: u64,
    /// Log records.
    pub log_records: u64,
    /// Messages of metrics, each with what the process knew at a time.
    pub metric_messages: u64,
}

/// What waits for the thread.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) spans: Vec<SpanData>,
    pub(super) records: Vec<(&'static str, LogRecord)>,
    pub(super) messages: Vec<(Signal, Bytes)>,
    /// The flush that is done with this batch: it holds all that there was.
    pub(super) flush: Option<u64>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.spans.is_empty() && self.records.is_empty() && self.messages.is_empty()
    }

    fn len(&self) -> u64 {
        (self.spans.len() + self.records.len() + self.messages.len()) as u64
    }
}

#[derive(Default)]
struct State {
    waiting: Batch,
    /// Taken out of `waiting`, not yet answered for.
    under_way: u64,
    /// Flushes that were asked for, and those that are done.
    flush_asked: u64,
    flush_done: u64,
    /// Nothing more is taken in; what is there is sent until then.
    stop_by: Option<Instant>,
    finished: bool,
    /// Of each signal whose last message failed, why.
    failures: BTreeMap<Signal, String>,
    failure: Option<String>,
}

impl State {
    fn is_wanted_now(&self) -> bool {
        self.stop_by.is_some() || self.flush_asked > self.flush_done || self.waiting.spans.len() >= BATCH_SPANS
    }
}

/// Where spans and log records wait for the thread.
#[derive(Default)]
pub(crate) struct ExportQueue {
    limits: Limits,
    state: Mutex<State>,
    /// Tells the thread that there is something to do.
    work: Condvar,
    /// Tells whoever shuts down that the thread has ended.
    ended: Condvar,
    /// Tells whoever flushes that something is done.
    flushed: Notify,
    lost_spans: AtomicU64,
    lost_records: AtomicU64,
    lost_messages: AtomicU64,
}

impl std::fmt::Debug for ExportQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExportQueue").field("losses", &self.losses()).finish_non_exhaustive()
    }
}

/// What became of what was queued.
pub(crate) struct Outcome {
    /// Still unsent when the time was up.
    pub(crate) unsent: u64,
    pub(crate) losses: Losses,
    /// The last failure of a receiver.
    pub(crate) failure: Option<String>,
}

impl ExportQueue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a finished span, or drops and counts it. Never waits for a receiver.
    pub(crate) fn push(&self, span: SpanData) {
        let mut state = self.lock();
        if state.stop_by.is_some() || state.waiting.spans.len() >= self.limits.spans {
            drop(state);
            self.lose(Signal::Traces, 1);
            return;
        }
        state.waiting.spans.push(span);
        let queued = state.waiting.spans.len();
        drop(state);
        // The first wakes the thread from its sleep, the last of a batch from its patience.
        if queued == 1 || queued == BATCH_SPANS {
            self.work.notify_one();
        }
    }

    /// The same of a log record.
    pub(crate) fn push_record(&self, target: &'static str, record: LogRecord) {
        let mut state = self.lock();
        if state.stop_by.is_some() || state.waiting.records.len() >= self.limits.records {
            drop(state);
            self.lose(Signal::Logs, 1);
            return;
        }
        state.waiting.records.push((target, record));
        let queued = state.waiting.records.len();
        drop(state);
        if queued == 1 {
            self.work.notify_one();
        }
    }

    /// The same of a message that is ready to be sent.
    pub(crate) fn push_message(&self, signal: Signal, message: Bytes) -> bool {
        let mut state = self.lock();
        let has_room = state.stop_by.is_none() && state.waiting.messages.len() < MAX_QUEUED_MESSAGES;
        if has_room {
            state.waiting.messages.push((signal, message));
        }
        drop(state);
        if has_room {
            self.work.notify_one();
        } else {
            self.lose(signal, 1);
        }
        has_room
    }

    pub(super) fn lose(&self, signal: Signal, items: u64) {
        let counter = match signal {
            Signal::Traces => &self.lost_spans,
            Signal::Logs => &self.lost_records,
            Signal::Metrics => &self.lost_messages,
        };
        counter.fetch_add(items, Ordering::Relaxed);
    }

    /// What was lost since the start.
    pub(crate) fn losses(&self) -> Losses {
        Losses {
            spans: self.lost_spans.load(Ordering::Relaxed),
            log_records: self.lost_records.load(Ordering::Relaxed),
            metric_messages: self.lost_messages.load(Ordering::Relaxed),
        }
    }

    /// Waits until what is here now has been sent, or lost.
    pub(crate) async fn flush(&self) {
        let wanted = {
            let mut state = self.lock();
            state.flush_asked += 1;
            state.flush_asked
        };
        self.work.notify_one();
        loop {
            let mut flushed = std::pin::pin!(self.flushed.notified());
            // From here on it is told, whatever happens between the look and the wait.
            flushed.as_mut().enable();
            {
                let state = self.lock();
                if state.finished || state.flush_done >= wanted {
                    return;
                }
            }
            flushed.await;
        }
    }

    /// Lets the thread send what is there and end; waits for it no longer than `deadline`.
    pub(crate) fn stop(&self, deadline: Duration) -> Outcome {
        let mut state = self.lock();
        let stop_by = Instant::now().checked_add(deadline);
        state.stop_by = stop_by.or_else(|| Instant::now().checked_add(Duration::from_secs(86_400)));
        self.work.notify_one();
        let (state, _) = self
            .ended
            .wait_timeout_while(state, deadline, |state| !state.finished)
            .unwrap_or_else(PoisonError::into_inner);
        let unsent = state.waiting.len() + state.under_way;
        Outcome { unsent, losses: self.losses(), failure: state.failure.clone() }
    }

    /// Waits for a batch, or for its first item to have waited long enough, or for somebody who wants it now. `None` is
    /// the end.
    pub(super) fn next_batch(&self) -> Option<Batch> {
        let state = self.lock();
        let state = self
            .work
            .wait_while(state, |state| state.waiting.is_empty() && !state.is_wanted_now())
            .unwrap_or_else(PoisonError::into_inner);
        let (mut state, _) = self
            .work
            .wait_timeout_while(state, LINGER, |state| !state.is_wanted_now())
            .unwrap_or_else(PoisonError::into_inner);
        let too_late = state.stop_by.is_some_and(|stop_by| Instant::now() >= stop_by);
        if too_late || (state.stop_by.is_some() && state.waiting.is_empty()) {
            return None;
        }
        let length = state.waiting.spans.len().min(BATCH_SPANS);
        let is_all = length == state.waiting.spans.len();
        let spans = if is_all {
            // The next batch will be about as long: no growing step by step under the lock.
            std::mem::replace(&mut state.waiting.spans, Vec::with_capacity(length))
        } else {
            state.waiting.spans.drain(..length).collect()
        };
        let batch = Batch {
            spans,
            records: std::mem::take(&mut state.waiting.records),
            messages: std::mem::take(&mut state.waiting.messages),
            flush: is_all.then_some(state.flush_asked),
        };
        state.under_way = batch.len();
        Some(batch)
    }

    /// How long one export may take: its own timeout, or what is left until the end.
    pub(super) fn patience(&self, timeout: Duration) -> Duration {
        let left = self.lock().stop_by.map(|stop_by| stop_by.saturating_duration_since(Instant::now()));
        left.map_or(timeout, |left| left.min(timeout))
    }

    /// Says what a receiver said to `items`; a failure loses them.
    pub(super) fn answered(&self, signal: Signal, items: u64, result: Result<(), String>) {
        let mut state = self.lock();
        if let Err(reason) = result {
            let before = self.losses();
            self.lose(signal, items);
            let is_news = state.failures.insert(signal, reason.clone()).as_ref() != Some(&reason);
            state.failure = Some(reason.clone());
            drop(state);
            if is_news {
                tracing::warn!(signal = signal.name(), %reason, items, lost_before = ?before, "could not be exported");
            }
        } else {
            state.failures.remove(&signal);
        }
    }

    /// Says that all of a batch has been answered for.
    pub(super) fn done(&self, flush: Option<u64>) {
        let mut state = self.lock();
        state.under_way = 0;
        if let Some(flush) = flush {
            state.flush_done = flush;
        }
        drop(state);
        self.flushed.notify_waiters();
    }

    fn finish(&self) {
        self.lock().finished = true;
        self.ended.notify_all();
        self.flushed.notify_waiters();
    }
}

/// The end of the SDK's pipeline: spans that `tracing` made.
#[derive(Debug)]
pub(crate) struct QueueProcessor(pub(crate) Arc<ExportQueue>);

impl SpanProcessor for QueueProcessor {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.0.push(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// Does nothing: the guard ends the queue, with its own deadline, after the last span has been pushed.
    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{SpanKind, SpanRecord};

    fn span() -> SpanData {
        SpanRecord::new(1, 2, "work", SpanKind::Client, 0, 1).into_span_data()
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let queue = ExportQueue::new(Limits { spans: 100, records: 10, ..Limits::default() });
        for _ in 0..107 {
            queue.push(span());
        }
        for _ in 0..13 {
            queue.push_record("nuncius_test", LogRecord::default());
        }
        assert_eq!(queue.losses(), Losses { spans: 7, log_records: 3, metric_messages: 0 });
        assert_eq!(queue.stop(Duration::ZERO).unsent, 110);
        queue.push(span());
        assert!(!queue.push_message(Signal::Metrics, Bytes::new()));
        assert_eq!(queue.losses(), Losses { spans: 8, log_records: 3, metric_messages: 1 });
    }

    #[test]
    fn a_failed_export_is_counted_and_its_reason_kept() {
        let queue = ExportQueue::default();
        queue.push(span());
        queue.push(span());
        let batch = queue.next_batch().unwrap();
        assert_eq!(batch.spans.len(), 2);
        queue.answered(Signal::Traces, 2, Err("away".to_owned()));
        queue.done(batch.flush);
        queue.finish();
        let outcome = queue.stop(Duration::from_secs(1));
        assert_eq!((outcome.unsent, outcome.losses.spans), (0, 2));
        assert!(outcome.failure.unwrap().contains("away"));
    }
}
