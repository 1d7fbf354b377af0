//! What all processes tell of themselves, heard on the bus as OTLP.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use nuncius_bus::BusError;
use nuncius_metrics::names::{gateway, queue};
use nuncius_metrics::otlp::{Heard, HeardFamily, Limits, Refused, decode};
use nuncius_metrics::{Families, Family, Source};
use nuncius_schemas::subjects::Signal;

use super::budget::{Budget, Folded, FoldedCounts};
use super::{MetricsSettings, MetricsState};

/// What is not told again within so many of its periods is not so any more.
const PERIODS: u32 = 3;
/// And a little more, for messages that are late.
const GRACE: Duration = Duration::from_secs(1);

/// The processes that have told something.
#[derive(Debug)]
pub(crate) struct Processes {
    known: Mutex<Known>,
    limits: Limits,
    processes_max: usize,
    family_series_max: usize,
    series_max: usize,
}

#[derive(Debug, Default)]
struct Known {
    processes: HashMap<String, Process>,
    series: usize,
    /// Counts what was heard.
    heard: u64,
}

#[derive(Debug, Default)]
struct Process {
    families: BTreeMap<&'static str, Told>,
    budget: Budget,
    /// When it was heard last, among all.
    heard: u64,
}

/// A family as it was told last.
#[derive(Debug)]
struct Told {
    family: Family,
    folded: Folded,
    at: Instant,
    life: Duration,
}

impl Processes {
    pub(crate) fn new(settings: &MetricsSettings) -> Self {
        Self {
            known: Mutex::default(),
            limits: Limits::default(),
            processes_max: settings.processes_max,
            family_series_max: settings.family_series_max,
            series_max: settings.series_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message; gives what was left out of it, by why.
    fn take(&self, message: &[u8], now: Instant) -> BTreeMap<Refused, u64> {
        let Heard { families, mut refused } = decode(message, &self.limits);
        let mut known = self.lock();
        for family in families {
            if let Err((why, times)) = known.take(family, now, self) {
                *refused.entry(why).or_default() += times;
            }
        }
        refused
    }

    /// Their series. `names` has the names of nodes by what their processes are called: what a process tells of itself
    /// as a whole, and of no node, gets its name here.
    pub(crate) fn families(
        &self,
        now: Instant,
        names: &HashMap<String, String>,
        counts: &mut FoldedCounts,
    ) -> Families {
        let mut known = self.lock();
        known.forget_silent(now);
        let mut families = Families::new();
        let mut holders: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        let mut folded_series = Folded::default();
        // Of two who tell of the same thing the one who was heard last counts: it comes last.
        let mut processes: Vec<(&String, &Process)> = known.processes.iter().collect();
        processes.sort_by_key(|(_, process)| process.heard);
        for (instance, process) in processes {
            for told in process.families.values() {
                let metric = told.family.metric;
                let name = names.get(instance).unwrap_or(instance);
                let named = told.family.series.iter().cloned().map(|mut series| {
                    if metric.source == Source::Process
                        && let Some(node) = series.labels.first_mut().filter(|node| node.is_empty())
                    {
                        node.clone_from(name);
                    }
                    series
                });
                families.family(metric).series.extend(named);
                folded_series.append(told.folded.clone());
                if told.family.metric.name == queue::WAITING_JOBS.name {
                    for series in &told.family.series {
                        let of = series.labels.first().cloned().unwrap_or_default();
                        holders.entry(of).or_default().insert(instance);
                    }
                }
            }
        }
        for (queue, holders) in &holders {
            families.count(&gateway::QUEUE_HOLDERS, &[queue], holders.len() as u64);
        }
        families.count(&gateway::PROCESSES, &[], known.processes.len() as u64);
        folded_series.add_to(&mut families, &[], counts);
        families
    }
}

impl Known {
    fn take(&mut self, told: HeardFamily, now: Instant, of: &Processes) -> Result<(), (Refused, u64)> {
        let HeardFamily { instance, period, metric, series, .. } = told;
        let times = series.len().max(1) as u64;
        if !self.processes.contains_key(&instance) && self.processes.len() >= of.processes_max {
            self.forget_silent(now);
            if self.processes.len() >= of.processes_max {
                return Err((Refused::TooManyProcesses, times));
            }
        }
        let process = self.processes.entry(instance).or_default();
        let mut families = Families::new();
        *families.family(metric) = Family { metric, series };
        families.without_repeats();
        let (bounded, folded) = process.budget.bound(families, of.family_series_max);
        let Some(family) = bounded.into_families().next() else {
            // It has none of them any more.
            if let Some(gone) = process.families.remove(metric.name) {
                self.series = self.series.saturating_sub(gone.family.series.len());
            }
            return Ok(());
        };
        let before = process.families.get(metric.name).map_or(0, |told| told.family.series.len());
        let after = self.series.saturating_sub(before) + family.series.len();
        if after > of.series_max {
            return Err((Refused::TooManySeries, times));
        }
        self.series = after;
        self.heard += 1;
        process.heard = self.heard;
        let told = Told { family, folded, at: now, life: period * PERIODS + GRACE };
        process.families.insert(metric.name, told);
        Ok(())
    }

    /// What nobody has told again is not shown any more.
    fn forget_silent(&mut self, now: Instant) {
        let mut series = 0;
        self.processes.retain(|_, process| {
            process.families.retain(|_, told| now.saturating_duration_since(told.at) <= told.life);
            series += process.families.values().map(|told| told.family.series.len()).sum::<usize>();
            !process.families.is_empty()
        });
        self.series = series;
    }
}

/// Hears everybody.
///
/// # Errors
/// [`BusError`] where it may not be heard.
pub(crate) async fn hear(state: MetricsState) -> Result<BoxFuture<'static, ()>, BusError> {
    let mut messages = state.bus.subscribe(&state.bus.namespace().otlp(Signal::Metrics)).await?;
    Ok(Box::pin(async move {
        while let Some(message) = messages.next().await {
            let refused = state.shown.processes.take(&message.payload, Instant::now());
            state.shown.own.refused(&refused);
        }
    }))
}
