//! What is told of the book: how far applications have come, how evenly, and how much is asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use nuncius_metrics::Families;
use nuncius_metrics::names::emulator as names;
use serde::Serialize;

use super::{Book, lock};
use crate::oco::machine::{Event, State};

/// Seconds over which the rate of requests is taken.
const RATE_SECONDS: usize = 10;

/// How far applications have come, as the original tells it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Summary {
    n: u64,
    average: Option<f64>,
    min: Option<u64>,
    max: Option<u64>,
}

impl Summary {
    fn of(cycles: impl Iterator<Item = u64>) -> (Self, u64) {
        let (mut n, mut sum, mut min, mut max) = (0u64, 0u64, u64::MAX, 0);
        for cycles in cycles {
            (n, sum) = (n + 1, sum.saturating_add(cycles));
            (min, max) = (min.min(cycles), max.max(cycles));
        }
        let some = |value| (n > 0).then_some(value);
        (Self { n, average: (n > 0).then(|| sum as f64 / n as f64), min: some(min), max: some(max) }, sum)
    }

    /// (max − min) / average: 0 where all have come equally far, nothing where none has come anywhere.
    fn evenness(&self) -> Option<f64> {
        let average = self.average.filter(|average| *average > 0.0)?;
        Some((self.max? - self.min?) as f64 / average)
    }
}

#[derive(Debug, Serialize)]
struct Statistics {
    n: u64,
    average: Option<f64>,
    min: Option<u64>,
    max: Option<u64>,
    evenness: Option<f64>,
    cycles: u64,
    requests: u64,
    requests_per_second: f64,
    uptime_seconds: f64,
    events: BTreeMap<&'static str, u64>,
    errors: u64,
    unreadable: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    apps: Option<BTreeMap<String, AppStatistics>>,
}

#[derive(Debug, Serialize)]
struct AppStatistics {
    state: State,
    cycles: u64,
    progress: Option<i64>,
    events: BTreeMap<&'static str, u32>,
    errors: u32,
}

/// When how much had been taken, once a second.
#[derive(Debug)]
pub(crate) struct Rate {
    begun: Instant,
    seen: Mutex<VecDeque<(Instant, u64)>>,
}

impl Rate {
    pub(crate) fn new() -> Self {
        let begun = Instant::now();
        Self { begun, seen: Mutex::new([(begun, 0)].into()) }
    }

    /// To be called once a second.
    pub(crate) fn note(&self, requests: u64) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push_back((Instant::now(), requests));
        while seen.len() > RATE_SECONDS {
            seen.pop_front();
        }
    }

    /// Requests per second of late.
    fn now(&self, requests: u64) -> f64 {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((since, had)) = seen.front() else { return 0.0 };
        requests.saturating_sub(*had) as f64 / since.elapsed().as_secs_f64().max(1e-3)
    }
}

/// `GET /`.
pub(crate) fn summary(book: &Book) -> String {
    serde_json::to_string(&summarised(book).0).unwrap_or_default()
}

/// `GET /stats`; with `apps` of each application, too.
pub(crate) fn statistics(book: &Book, rate: &Rate, apps: bool) -> String {
    let (summary, cycles) = summarised(book);
    let requests = book.counters.requests();
    let (errors, unreadable) = book.counters.errors();
    let statistics = Statistics {
        n: summary.n,
        average: summary.average,
        min: summary.min,
        max: summary.max,
        evenness: summary.evenness(),
        cycles,
        requests,
        requests_per_second: rate.now(requests),
        uptime_seconds: rate.begun.elapsed().as_secs_f64(),
        events: named(book.counters.events()),
        errors,
        unreadable,
        apps: apps.then(|| each(book)),
    };
    serde_json::to_string(&statistics).unwrap_or_default()
}

/// `GET /metrics`, in Prometheus' text format: of a page of its own, which has no need of a name.
pub(crate) fn metrics(book: &Book, rate: &Rate) -> String {
    let mut families = Families::new();
    add_metrics(&mut families, "", book, rate);
    nuncius_metrics::expose::text(&families)
}

/// What is known, as metrics of the node of this name.
pub(crate) fn add_metrics(families: &mut Families, node: &str, book: &Book, rate: &Rate) {
    let (summary, cycles) = summarised(book);
    let (errors, unreadable) = book.counters.errors();
    for (name, count) in named(book.counters.events()) {
        families.count(&names::OCO_EVENTS, &[node, name], count);
    }
    families.count(&names::OCO_ERRORS, &[node], errors);
    families.count(&names::OCO_UNREADABLE, &[node], unreadable);
    families.count(&names::OCO_APPS, &[node], summary.n);
    families.count(&names::OCO_CYCLES, &[node], cycles);
    let known = |value: Option<f64>| value.unwrap_or(f64::NAN);
    families.number(&names::OCO_APP_CYCLES_MIN, &[node], known(summary.min.map(|min| min as f64)));
    families.number(&names::OCO_APP_CYCLES_MAX, &[node], known(summary.max.map(|max| max as f64)));
    families.number(&names::OCO_APP_CYCLES_AVERAGE, &[node], known(summary.average));
    families.number(&names::OCO_EVENNESS_RATIO, &[node], known(summary.evenness()));
    families.number(&names::OCO_UPTIME_SECONDS, &[node], rate.begun.elapsed().as_secs_f64());
}

fn summarised(book: &Book) -> (Summary, u64) {
    let mut cycles = Vec::with_capacity(usize::try_from(book.counters.apps()).unwrap_or(0));
    for shard in &book.shards {
        cycles.extend(lock(shard).values().map(|app| app.machine.cycles));
    }
    Summary::of(cycles.into_iter())
}

fn each(book: &Book) -> BTreeMap<String, AppStatistics> {
    let mut apps = BTreeMap::new();
    for shard in &book.shards {
        for (key, app) in lock(shard).iter() {
            let mut counts = app.events.iter();
            let events = book.counters.events().map(|(event, _)| (event, counts.next().copied().unwrap_or(0)));
            let told = AppStatistics {
                state: app.machine.state,
                cycles: app.machine.cycles,
                progress: app.machine.last_progress,
                events: named(events),
                errors: app.errors,
            };
            apps.insert(key.to_string(), told);
        }
    }
    apps
}

/// Counts by the event's name. Unknown events are never accepted.
fn named<T>(events: impl IntoIterator<Item = (Event, T)>) -> BTreeMap<&'static str, T> {
    let known = |(event, _): &(Event, T)| *event != Event::Unknown;
    events.into_iter().filter(known).map(|(event, count)| (event.name(), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_reads_as_the_originals() {
        let text = |cycles: &[u64]| serde_json::to_string(&Summary::of(cycles.iter().copied()).0).unwrap();
        assert_eq!(text(&[]), r#"{"n":0,"average":null,"min":null,"max":null}"#);
        assert_eq!(text(&[1, 1]), r#"{"n":2,"average":1.0,"min":1,"max":1}"#);
        assert_eq!(text(&[1, 2]), r#"{"n":2,"average":1.5,"min":1,"max":2}"#);
        assert_eq!(text(&[0]), r#"{"n":1,"average":0.0,"min":0,"max":0}"#);
    }

    #[test]
    fn evenness_is_the_spread_over_the_average() {
        let evenness = |cycles: &[u64]| Summary::of(cycles.iter().copied()).0.evenness();
        assert_eq!(evenness(&[]), None);
        assert_eq!(evenness(&[0, 0]), None);
        assert_eq!(evenness(&[5, 5]), Some(0.0));
        assert_eq!(evenness(&[9, 11, 10]), Some(0.2));
    }
}
