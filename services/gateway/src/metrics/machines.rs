//! The machines that are sampled: what each told last.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use nuncius_bus::BusError;
use nuncius_metrics::Families;
use nuncius_schemas::telemetry::NodeTelemetry;

use super::budget::{Budget, FoldedCounts};
use super::listener::Listener;
use super::machine::machine_families;
use super::own::What;
use super::settings::MetricsSettings;

/// What a machine told is believed for three of its periods, and for this long at least.
const LIFE_MIN: Duration = Duration::from_secs(11);

/// All machines that were heard lately.
#[derive(Debug, Default)]
pub(crate) struct Machines(Mutex<BTreeMap<String, Known>>);

#[derive(Debug)]
struct Known {
    told: NodeTelemetry,
    at: Instant,
    samples: u64,
    budget: Budget,
}

impl Known {
    fn is_old(&self, now: Instant) -> bool {
        let life = Duration::from_nanos(self.told.period_ns.saturating_mul(3)).max(LIFE_MIN);
        now.saturating_duration_since(self.at) > life
    }
}

impl Machines {
    /// Their series; of each family a machine has as many as a process may have.
    pub(crate) fn families(&self, now: Instant, settings: &MetricsSettings, counts: &mut FoldedCounts) -> Families {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, machine| !machine.is_old(now));
        let mut all = Families::new();
        for (node, machine) in known.iter_mut() {
            let mut families = Families::new();
            machine_families(&mut families, &machine.told, machine.samples);
            let (mut bounded, folded) = machine.budget.bound(families, settings.family_series_max);
            folded.add_to(&mut bounded, &[node], counts);
            all.append(bounded);
        }
        all
    }

    /// What each told last, by name.
    pub(crate) fn told(&self, now: Instant) -> Vec<NodeTelemetry> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().filter(|machine| !machine.is_old(now)).map(|machine| machine.told.clone()).collect()
    }

    /// Takes what a machine told; of more machines than are shown the rest is not kept.
    fn hear(&self, told: NodeTelemetry, machines_max: usize) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = Instant::now();
        match known.get_mut(&told.node) {
            Some(machine) => {
                let mut told = told;
                // What was too costly to be read again is as it was.
                if told.cgroups.is_empty() {
                    told.cgroups = std::mem::take(&mut machine.told.cgroups);
                }
                (machine.told, machine.at, machine.samples) = (told, at, machine.samples + 1);
            }
            None => {
                if known.len() >= machines_max {
                    known.retain(|_, machine| !machine.is_old(at));
                }
                if known.len() < machines_max {
                    let machine = Known { told, at, samples: 1, budget: Budget::default() };
                    known.insert(machine.told.node.clone(), machine);
                }
            }
        }
    }
}

/// Hears what machines tell.
///
/// # Errors
/// [`BusError`] where it may not be heard.
pub(crate) async fn hear(listener: Listener<Machines>) -> Result<BoxFuture<'static, ()>, BusError> {
    let prefix = listener.bus.namespace().telemetry("");
    let mut samples = listener.bus.subscribe(&listener.bus.namespace().telemetry("*")).await?;
    Ok(Box::pin(async move {
        while let Some(message) = samples.next().await {
            match message.decode::<NodeTelemetry>() {
                // Whoever speaks for another is not believed.
                Ok(told) if message.subject.strip_prefix(&prefix) == Some(told.node.as_str()) => {
                    listener.part.hear(told, listener.settings.processes_max);
                }
                Ok(_) | Err(_) => listener.own.unreadable(What::Sample),
            }
        }
    }))
}
