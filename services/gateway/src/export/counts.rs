//! What became of telemetry in this gateway, by signal.

use std::sync::atomic::{AtomicU64, Ordering};

use nuncius_schemas::subjects::Signal;

/// A count that only grows, or a figure that goes up and down.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Of one signal.
#[derive(Debug, Default)]
pub(crate) struct SignalCounts {
    /// Messages taken from the bus, those that came again left out.
    pub(crate) received_messages: Count,
    pub(crate) received_bytes: Count,
    /// Messages that the collector has.
    pub(crate) exported_messages: Count,
    pub(crate) exported_bytes: Count,
    /// Spans, data points or log records of these that it did not want.
    pub(crate) rejected_items: Count,
    /// Requests that failed and were, or will be, made again.
    pub(crate) failed_requests: Count,
    /// Messages that the collector refused for good.
    pub(crate) dropped_refused: Count,
    /// Messages that were no OTLP as protobuf.
    pub(crate) dropped_malformed: Count,
    /// Messages as JSON, which is not taken.
    pub(crate) dropped_json: Count,
    /// Messages of a signal that is not exported.
    pub(crate) dropped_unwanted: Count,
    /// Messages that went to make room for newer ones.
    pub(crate) dropped_full: Count,
    /// What waits at present, in memory and in files.
    pub(crate) waiting_messages: Count,
    pub(crate) memory_bytes: Count,
    pub(crate) directory_bytes: Count,
}

impl SignalCounts {
    /// Messages that were not exported, by why.
    pub(crate) fn dropped(&self) -> [(&'static str, &Count); 5] {
        [
            ("full", &self.dropped_full),
            ("refused", &self.dropped_refused),
            ("malformed", &self.dropped_malformed),
            ("json", &self.dropped_json),
            ("unwanted", &self.dropped_unwanted),
        ]
    }
}

/// Of all.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    traces: SignalCounts,
    metrics: SignalCounts,
    logs: SignalCounts,
    /// Messages of all signals that the bus forgot before a gateway took them.
    pub(crate) forgotten_messages: Count,
}

impl Counts {
    pub(crate) const fn of(&self, signal: Signal) -> &SignalCounts {
        match signal {
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
            Signal::Logs => &self.logs,
        }
    }
}
