//! Where telemetry waits until somebody carries it away: messages of OTLP, ready to be sent.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use nuncius_schemas::subjects::Signal;
use tokio::sync::Notify;

/// How much may wait in an out-box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutBoxLimits {
    /// Most messages.
    pub messages: usize,
    /// Most bytes of all messages together.
    pub bytes: usize,
}

impl Default for OutBoxLimits {
    fn default() -> Self {
        Self { messages: 4_096, bytes: 16 << 20 }
    }
}

/// A bounded queue: what comes when it is full is dropped and counted. Handing in never waits.
#[derive(Debug, Default)]
pub struct OutBox {
    limits: OutBoxLimits,
    state: Mutex<State>,
    /// Something has come.
    news: Notify,
    /// All that had come has been carried away.
    emptied: Notify,
    dropped: [AtomicU64; Signal::ALL.len()],
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(Signal, Bytes)>,
    bytes: usize,
    /// Taken, and not yet away.
    under_way: usize,
}

impl OutBox {
    /// Empty, with these limits.
    pub fn new(limits: OutBoxLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands in a message, the bytes of an `Export…ServiceRequest`; false where there was no room, which is counted.
    pub fn push(&self, signal: Signal, message: Bytes) -> bool {
        let mut state = self.lock();
        let has_room = state.waiting.len() < self.limits.messages
            && state.bytes.saturating_add(message.len()) <= self.limits.bytes;
        if has_room {
            state.bytes += message.len();
            state.waiting.push_back((signal, message));
            drop(state);
            self.news.notify_one();
        } else {
            drop(state);
            self.drop_one(signal);
        }
        has_room
    }

    fn drop_one(&self, signal: Signal) {
        self.counter(signal).fetch_add(1, Ordering::Relaxed);
    }

    /// Messages lost so far.
    pub fn dropped(&self, signal: Signal) -> u64 {
        self.counter(signal).load(Ordering::Relaxed)
    }

    fn counter(&self, signal: Signal) -> &AtomicU64 {
        let [traces, metrics, logs] = &self.dropped;
        match signal {
            Signal::Traces => traces,
            Signal::Metrics => metrics,
            Signal::Logs => logs,
        }
    }

    /// Bytes that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.lock().bytes
    }

    /// The oldest message, as soon as there is one; cancel-safe.
    pub async fn next(&self) -> Parcel<'_> {
        loop {
            let news = self.news.notified();
            if let Some(parcel) = self.take() {
                return parcel;
            }
            news.await;
        }
    }

    /// The oldest message, if there is one.
    pub fn take(&self) -> Option<Parcel<'_>> {
        let mut state = self.lock();
        let (signal, message) = state.waiting.pop_front()?;
        state.bytes = state.bytes.saturating_sub(message.len());
        state.under_way += 1;
        Some(Parcel { out_box: self, signal, message })
    }

    /// What was taken is away, or lost.
    fn carried(&self) {
        let mut state = self.lock();
        state.under_way = state.under_way.saturating_sub(1);
        let is_empty = state.under_way == 0 && state.waiting.is_empty();
        drop(state);
        if is_empty {
            self.emptied.notify_waiters();
        }
    }

    /// Waits until nothing waits and nothing is under way.
    pub async fn emptied(&self) {
        loop {
            let mut emptied = std::pin::pin!(self.emptied.notified());
            // From here on it is told, whatever happens between the look and the wait.
            emptied.as_mut().enable();
            {
                let state = self.lock();
                if state.under_way == 0 && state.waiting.is_empty() {
                    return;
                }
            }
            emptied.await;
        }
    }
}

/// A message that somebody carries: under way until it is dropped.
#[derive(Debug)]
pub struct Parcel<'a> {
    out_box: &'a OutBox,
    /// What it is about.
    pub signal: Signal,
    /// The bytes of an `Export…ServiceRequest`.
    pub message: Bytes,
}

impl Drop for Parcel<'_> {
    fn drop(&mut self) {
        self.out_box.carried();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Bytes {
        Bytes::from(vec![0; length])
    }

    #[test]
    fn what_comes_when_it_is_full_is_dropped_and_counted_by_signal() {
        let out_box = OutBox::new(OutBoxLimits { messages: 3, bytes: 100 });
        assert!(out_box.push(Signal::Traces, message(60)) && out_box.push(Signal::Logs, message(40)));
        assert!(!out_box.push(Signal::Logs, message(1)), "too many bytes");
        assert!(out_box.push(Signal::Metrics, message(0)));
        assert!(!out_box.push(Signal::Metrics, message(0)), "too many messages");
        assert_eq!(Signal::ALL.map(|signal| out_box.dropped(signal)), [0, 1, 1]);
        let oldest = out_box.take().unwrap();
        assert_eq!((oldest.signal, oldest.message.len()), (Signal::Traces, 60), "the oldest stays");
        assert!(out_box.push(Signal::Logs, message(60)), "there is room again");
        assert_eq!(out_box.waiting_bytes(), 100);
    }

    #[tokio::test]
    async fn whoever_waits_is_told_of_what_comes_and_of_the_end() {
        let out_box = OutBox::default();
        let (taken, ()) = tokio::join!(out_box.next(), async {
            assert!(out_box.push(Signal::Traces, message(1)));
        });
        assert_eq!(taken.signal, Signal::Traces);
        tokio::join!(out_box.emptied(), async { drop(taken) });
        out_box.emptied().await;
    }
}
