//! Who is there: the registry, and what workers and devices say of themselves.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use nuncius_bus::BusError;
use nuncius_bus::registry::{self, NodeEvent};
use nuncius_metrics::Families;
use nuncius_metrics::names::{device, node as names};
use nuncius_schemas::codec;
use nuncius_schemas::node::NodeInfo;
use nuncius_schemas::worker::NodeSample;

use super::budget::{Budget, FoldedCounts};
use super::own::What;
use super::{MetricsSettings, MetricsState};

/// What a node says of itself is believed for this long.
const SAMPLE_LIFE: Duration = Duration::from_secs(11);
/// Most devices of a node that are shown.
const DEVICES_MAX: usize = 64;
/// Pause before the registry is looked at again after the bus refused it.
const PAUSE: Duration = Duration::from_secs(1);

/// Everybody who is there.
#[derive(Debug, Default)]
pub(crate) struct Nodes(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    nodes: BTreeMap<String, NodeInfo>,
    samples: BTreeMap<String, (NodeSample, Instant)>,
    left: BTreeMap<&'static str, u64>,
    budget: Budget,
}

impl Nodes {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names of nodes by what their processes are called in telemetry; of several in one process the first.
    pub(crate) fn by_instance(&self) -> HashMap<String, String> {
        let known = self.lock();
        let named = known.nodes.iter().rev().map(|(name, info)| (format!("{:016x}", info.epoch), name.clone()));
        named.collect()
    }

    /// Their series.
    pub(crate) fn families(&self, now: Instant, settings: &MetricsSettings, counts: &mut FoldedCounts) -> Families {
        let mut known = self.lock();
        let mut families = Families::new();
        // A role that was there once is told as 0 when nobody is left.
        let mut by_role: BTreeMap<&str, u64> = known.left.keys().map(|role| (*role, 0)).collect();
        for (name, info) in &known.nodes {
            *by_role.entry(info.role.name()).or_default() += 1;
            node_families(&mut families, name, info);
        }
        for (role, count) in by_role {
            families.count(&names::NODES, &[role], count);
            families.count(&names::NODES_LEFT, &[role], known.left.get(role).copied().unwrap_or(0));
        }
        for (name, (sample, at)) in &known.samples {
            if now.saturating_duration_since(*at) < SAMPLE_LIFE {
                sample_families(&mut families, name, sample);
            }
        }
        let (mut bounded, folded) = known.budget.bound(families, settings.family_series_max);
        folded.add_to(&mut bounded, &[], counts);
        bounded
    }
}

fn node_families(families: &mut Families, name: &str, info: &NodeInfo) {
    families.info(&names::NODE_INFO, &[name, info.role.name(), &info.host, &info.version]);
    families.number(&names::NODE_START_TIME_SECONDS, &[name], info.started_unix_ms as f64 / 1e3);
    families.count(&names::NODE_PROCESSORS, &[name], u64::from(info.processors));
    if info.memory_bytes > 0 {
        families.count(&names::NODE_MEMORY_BYTES, &[name], info.memory_bytes);
    }
    if info.round_trip_ns > 0 {
        families.number(&names::NODE_ROUND_TRIP_SECONDS, &[name], info.round_trip_ns as f64 / 1e9);
    }
    if let Some(experiment) = &info.experiment {
        families.info(&names::NODE_EXPERIMENT_INFO, &[name, experiment]);
    }
}

fn sample_families(families: &mut Families, name: &str, sample: &NodeSample) {
    if let Some(share) = sample.cpu_share {
        families.number(&names::NODE_CPU_RATIO, &[name], share);
    }
    if let Some(bytes) = sample.memory_used_bytes {
        families.count(&names::NODE_MEMORY_USED_BYTES, &[name], bytes);
    }
    if let Some(queue) = &sample.queue {
        families.count(&names::WORKER_SLOTS, &[name, queue], u64::from(sample.slots));
        families.count(&names::WORKER_BUSY_SLOTS, &[name, queue], u64::from(sample.busy));
        families.count(&names::WORKER_FINISHED_JOBS, &[name, queue], sample.finished);
    }
    for told in sample.devices.iter().take(DEVICES_MAX) {
        let own: &[&str] = &[name, &told.name, if told.emulated { "true" } else { "false" }];
        if let Some(share) = told.utilization {
            families.number(&device::UTILIZATION_RATIO, own, share);
        }
        if let Some(bytes) = told.memory_used_bytes {
            families.count(&device::MEMORY_USED_BYTES, own, bytes);
        }
        if let Some(celsius) = told.temperature_celsius {
            families.number(&device::TEMPERATURE_CELSIUS, own, celsius);
        }
        if let Some(watts) = told.power_watts {
            families.number(&device::POWER_WATTS, own, watts);
        }
    }
}

/// Follows the registry.
///
/// # Errors
/// [`BusError`] where it may not be watched.
pub(crate) async fn follow(state: MetricsState) -> Result<BoxFuture<'static, ()>, BusError> {
    let mut nodes = registry::watch_nodes(&state.bus).await?;
    Ok(Box::pin(async move {
        loop {
            match nodes.next().await {
                Ok(NodeEvent::Joined { name, value, .. } | NodeEvent::Updated { name, value, .. }) => {
                    match codec::decode::<NodeInfo>(&value) {
                        Ok(info) => {
                            state.shown.nodes.lock().nodes.insert(name, info);
                        }
                        Err(_) => state.shown.own.unreadable(What::Node),
                    }
                }
                Ok(NodeEvent::Left { name, .. }) => {
                    let mut known = state.shown.nodes.lock();
                    known.samples.remove(&name);
                    if let Some(gone) = known.nodes.remove(&name) {
                        *known.left.entry(gone.role.name()).or_default() += 1;
                    }
                }
                Ok(NodeEvent::Current) => {}
                Err(BusError::Closed) => return,
                Err(error) => {
                    tracing::debug!(%error, "nodes are not followed at present");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }))
}

/// Hears what workers and devices say.
///
/// # Errors
/// [`BusError`] where it may not be heard.
pub(crate) async fn hear(state: MetricsState) -> Result<BoxFuture<'static, ()>, BusError> {
    let mut samples = state.bus.subscribe(&state.bus.namespace().sample("*")).await?;
    Ok(Box::pin(async move {
        while let Some(message) = samples.next().await {
            let Ok(sample) = message.decode::<NodeSample>() else {
                state.shown.own.unreadable(What::Sample);
                continue;
            };
            let mut known = state.shown.nodes.lock();
            // Of strangers nothing is kept: what the registry knows bounds this.
            if known.nodes.contains_key(&sample.node) {
                known.samples.insert(sample.node.clone(), (sample, Instant::now()));
            }
        }
    }))
}
