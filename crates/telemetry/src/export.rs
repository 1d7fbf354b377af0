//! Getting finished spans out: one bounded queue, one thread.
//!
//! The SDK's own batch processor hides how many spans it dropped, answers `Ok` at shutdown whatever became of them,
//! and, with an exporter built on the program's runtime, waits for itself when that has one worker. Here the thread
//! owns the exporter and the runtime that drives it, every lost span is counted, and every wait has an end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};

mod client;
mod drive;

pub(crate) use drive::start;

/// Spans that wait to be sent; one more is dropped and counted.
const MAX_QUEUED_SPANS: usize = 65_536;
/// Spans in one request: some hundred kilobytes, well below a receiver's usual 4 MiB.
const BATCH_SPANS: usize = 2_048;
/// How long the first span of a batch waits for others.
const LINGER: Duration = Duration::from_millis(500);

#[derive(Default)]
struct State {
    spans: Vec<SpanData>,
    /// Taken out of `spans`, not yet answered for.
    under_way: u64,
    /// Nothing more is taken in; what is there is sent until then.
    stop_by: Option<Instant>,
    finished: bool,
    failure: Option<String>,
}

/// Where spans wait for the thread.
#[derive(Default)]
pub(crate) struct SpanQueue {
    state: Mutex<State>,
    /// Tells the thread that there is something to do.
    work: Condvar,
    /// Tells whoever shuts down that the thread has ended.
    ended: Condvar,
    dropped: AtomicU64,
}

impl std::fmt::Debug for SpanQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpanQueue").field("dropped", &self.dropped).finish_non_exhaustive()
    }
}

/// What became of the spans.
pub(crate) struct Outcome {
    /// Still unsent when the time was up.
    pub(crate) unsent: u64,
    /// Lost since the start.
    pub(crate) dropped: u64,
    /// The last failure of the exporter.
    pub(crate) failure: Option<String>,
}

impl SpanQueue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a finished span, or drops and counts it. Never waits for the exporter.
    pub(crate) fn push(&self, span: SpanData) {
        let mut state = self.lock();
        if state.stop_by.is_some() || state.spans.len() >= MAX_QUEUED_SPANS {
            drop(state);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.spans.push(span);
        let queued = state.spans.len();
        drop(state);
        // The first wakes the thread from its sleep, the last of a batch from its patience.
        if queued == 1 || queued == BATCH_SPANS {
            self.work.notify_one();
        }
    }

    /// Spans lost since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
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
        let unsent = state.spans.len() as u64 + state.under_way;
        Outcome { unsent, dropped: self.dropped(), failure: state.failure.clone() }
    }

    /// Waits for a batch, or for its first span to have waited long enough, or for the end. `None` is the end.
    fn next_batch(&self) -> Option<Vec<SpanData>> {
        let state = self.lock();
        let state = self
            .work
            .wait_while(state, |state| state.spans.is_empty() && state.stop_by.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let (mut state, _) = self
            .work
            .wait_timeout_while(state, LINGER, |state| state.spans.len() < BATCH_SPANS && state.stop_by.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let too_late = state.stop_by.is_some_and(|stop_by| Instant::now() >= stop_by);
        if state.spans.is_empty() || too_late {
            return None;
        }
        let length = state.spans.len().min(BATCH_SPANS);
        let batch: Vec<SpanData> = if length == state.spans.len() {
            // The next batch will be about as long: no growing step by step under the lock.
            std::mem::replace(&mut state.spans, Vec::with_capacity(length))
        } else {
            state.spans.drain(..length).collect()
        };
        state.under_way = batch.len() as u64;
        Some(batch)
    }

    /// How long one export may take: its own timeout, or what is left until the end.
    fn patience(&self, timeout: Duration) -> Duration {
        let left = self.lock().stop_by.map(|stop_by| stop_by.saturating_duration_since(Instant::now()));
        left.map_or(timeout, |left| left.min(timeout))
    }

    fn answered(&self, result: OTelSdkResult) {
        let mut state = self.lock();
        let count = std::mem::take(&mut state.under_way);
        if let Err(error) = result {
            let before = self.dropped.fetch_add(count, Ordering::Relaxed);
            let reason = error.to_string();
            let news = state.failure.as_ref() != Some(&reason);
            state.failure = Some(reason.clone());
            drop(state);
            if news {
                tracing::warn!(%reason, spans = count, dropped_before = before, "spans could not be exported");
            }
        } else {
            state.failure = None;
        }
    }

    fn finish(&self) {
        self.lock().finished = true;
        self.ended.notify_all();
    }
}

/// The end of the SDK's pipeline: spans that `tracing` made.
#[derive(Debug)]
pub(crate) struct QueueProcessor(pub(crate) Arc<SpanQueue>);

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

/// Sends batches until the queue has ended.
fn carry<E: SpanExporter>(
    queue: &SpanQueue,
    exporter: &E,
    timeout: Duration,
    export: impl Fn(&E, Vec<SpanData>, Duration) -> OTelSdkResult,
) {
    while let Some(batch) = queue.next_batch() {
        let result = export(exporter, batch, queue.patience(timeout));
        queue.answered(result);
    }
    // Its result tells nothing that the exports have not told.
    let _ = exporter.shutdown();
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
        let queue = SpanQueue::default();
        for _ in 0..MAX_QUEUED_SPANS + 7 {
            queue.push(span());
        }
        assert_eq!(queue.dropped(), 7);
        assert_eq!(queue.stop(Duration::ZERO).unsent, MAX_QUEUED_SPANS as u64);
        queue.push(span());
        assert_eq!(queue.dropped(), 8);
    }

    #[test]
    fn a_failed_export_is_counted_and_its_reason_kept() {
        let queue = SpanQueue::default();
        queue.push(span());
        queue.push(span());
        assert_eq!(queue.next_batch().unwrap().len(), 2);
        queue.answered(Err(opentelemetry_sdk::error::OTelSdkError::InternalFailure("away".to_owned())));
        queue.finish();
        let outcome = queue.stop(Duration::from_secs(1));
        assert_eq!((outcome.unsent, outcome.dropped), (0, 2));
        assert!(outcome.failure.unwrap().contains("away"));
    }
}
