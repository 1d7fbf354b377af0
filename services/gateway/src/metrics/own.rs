//! What the gateway counts of its own work: what it heard and left out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nuncius_metrics::Families;
use nuncius_metrics::expose::Format;
use nuncius_metrics::names::gateway;
use nuncius_metrics::otlp::Refused;
use nuncius_schemas::subjects::Signal;

use super::Exported;

/// Adds what became of telemetry on its way out.
pub(crate) fn add_exported(families: &mut Families, exported: &Exported) {
    for signal in Signal::ALL {
        let (counts, own) = (exported.counts.of(signal), &[signal.name()]);
        families.count(&gateway::OTLP_MESSAGES, own, counts.received_messages.get());
        families.count(&gateway::EXPORTED_MESSAGES, own, counts.exported_messages.get());
        families.count(&gateway::REJECTED_ITEMS, own, counts.rejected_items.get());
        families.count(&gateway::EXPORT_ERRORS, own, counts.failed_requests.get());
        families.count(&gateway::SPOOL_MESSAGES, own, counts.waiting_messages.get());
        families.count(&gateway::SPOOL_BYTES, own, counts.memory_bytes.get());
        families.count(&gateway::SPOOL_LIMIT_BYTES, own, exported.spool_bytes);
        families.count(&gateway::SPOOL_DIRECTORY_BYTES, own, counts.directory_bytes.get());
        for (reason, count) in counts.dropped() {
            families.count(&gateway::DROPPED_MESSAGES, &[signal.name(), reason], count.get());
        }
    }
    let forgotten = exported.counts.forgotten_messages.get();
    families.count(&gateway::DROPPED_MESSAGES, &["all", "expired"], forgotten);
}

/// What a message should have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    Record,
    Second,
    Event,
    Node,
    Sample,
}

impl What {
    const ALL: [Self; 5] = [Self::Record, Self::Second, Self::Event, Self::Node, Self::Sample];

    const fn name(self) -> &'static str {
        match self {
            Self::Record => "run_record",
            Self::Second => "second",
            Self::Event => "event",
            Self::Node => "node",
            Self::Sample => "sample",
        }
    }
}

/// The counts.
#[derive(Debug, Default)]
pub(crate) struct Own {
    unreadable: [AtomicU64; What::ALL.len()],
    refused: Mutex<BTreeMap<Refused, u64>>,
    scrapes: [AtomicU64; Format::ALL.len()],
    pub(crate) refused_scrapes: AtomicU64,
    last: Mutex<Last>,
}

/// The last rendering.
#[derive(Debug, Default)]
struct Last {
    series: usize,
    took: Duration,
    bytes: BTreeMap<Format, usize>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Own {
    /// A message that cannot be read.
    pub(crate) fn unreadable(&self, what: What) {
        if let Some(count) = self.unreadable.get(what as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// What was left out of a message of metrics.
    pub(crate) fn refused(&self, refused: &BTreeMap<Refused, u64>) {
        if !refused.is_empty() {
            let mut sums = locked(&self.refused);
            for (why, times) in refused {
                *sums.entry(*why).or_default() += times;
            }
        }
    }

    /// A scrape that was answered.
    pub(crate) fn scraped(&self, format: Format) {
        if let Some(count) = self.scrapes.get(format as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// A page was made.
    pub(crate) fn rendered(&self, format: Format, series: usize, bytes: usize, took: Duration) {
        let mut last = locked(&self.last);
        (last.series, last.took) = (series, took);
        last.bytes.insert(format, bytes);
    }

    /// Adds all of it, and how many changes of seconds came too late.
    pub(crate) fn add(&self, families: &mut Families, late_seconds: u64) {
        for (what, count) in What::ALL.into_iter().zip(&self.unreadable) {
            families.count(&gateway::UNREADABLE_MESSAGES, &[what.name()], count.load(Relaxed));
        }
        {
            let refused = locked(&self.refused);
            for why in Refused::ALL {
                let times = refused.get(&why).copied().unwrap_or(0);
                families.count(&gateway::REFUSED_METRICS, &[why.name()], times);
            }
        }
        for (format, count) in Format::ALL.into_iter().zip(&self.scrapes) {
            families.count(&gateway::SCRAPES, &[format.name()], count.load(Relaxed));
        }
        families.count(&gateway::REFUSED_SCRAPES, &[], self.refused_scrapes.load(Relaxed));
        families.count(&gateway::LATE_SECONDS, &[], late_seconds);
        let last = locked(&self.last);
        families.count(&gateway::SERIES, &[], last.series as u64);
        families.number(&gateway::RENDERING_SECONDS, &[], last.took.as_secs_f64());
        for (format, bytes) in &last.bytes {
            families.count(&gateway::RENDERED_BYTES, &[format.name()], *bytes as u64);
        }
    }
}
