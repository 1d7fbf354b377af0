//! What `/metrics` shows: the whole system, heard on the bus and asked of it, as Prometheus reads it.
//!
//! Each part keeps what it has heard and writes it into families when somebody asks: [`runs`] what the daemon told of
//! experiments, [`processes`] what all processes tell of themselves, [`nodes`] who is there, [`machines`] what is
//! sampled of machines, [`nats`] how the bus fares, [`own`] what was left out here. [`page`] answers scrapers, whoever
//! and however many they are.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use nuncius_bus::{Bus, BusError};
use nuncius_metrics::Families;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::export::counts::Counts;

use budget::FoldedCounts;

mod budget;
mod latency;
mod machine;
mod machines;
mod nats;
mod nodes;
mod own;
mod page;
mod processes;
mod run;
mod runs;

/// Settings of what is shown.
#[derive(Debug, Clone)]
pub struct MetricsSettings {
    /// How long the series of a run are shown after it has ended.
    pub ended_for: Duration,
    /// Most runs that are shown at a time: the latest.
    pub runs_max: usize,
    /// Most series of a family that one process, one run or the gateway itself may have; all beyond are told together,
    /// under `other`.
    pub family_series_max: usize,
    /// Most processes that are shown at a time.
    pub processes_max: usize,
    /// Most series of all processes together.
    pub series_max: usize,
    /// How long a page is shown before it is made anew.
    pub page_age: Duration,
    /// How often the servers are asked how they fare.
    pub nats_period: Duration,
    /// How to speak to the servers' system account; without it they are asked only of streams and consumers.
    pub system: Option<nuncius_bus::ConnectOptions>,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self {
            ended_for: Duration::from_secs(300),
            runs_max: 100,
            family_series_max: 1_000,
            processes_max: 1_000,
            series_max: 250_000,
            page_age: Duration::from_secs(1),
            nats_period: Duration::from_secs(5),
            system: None,
        }
    }
}

/// What the page is made from.
#[derive(Debug, Clone)]
pub(crate) struct MetricsState {
    pub(crate) bus: Bus,
    shown: Arc<Shown>,
}

/// What the gateway exports.
#[derive(Debug, Clone)]
pub(crate) struct Exported {
    /// What became of telemetry here.
    pub(crate) counts: Arc<Counts>,
    /// Most bytes of a signal that may wait.
    pub(crate) spool_bytes: u64,
}

/// Everything that is known.
#[derive(Debug)]
struct Shown {
    settings: MetricsSettings,
    exported: Exported,
    own: own::Own,
    runs: runs::Runs,
    nodes: nodes::Nodes,
    machines: machines::Machines,
    processes: processes::Processes,
    nats: nats::Nats,
    page: page::Page,
}

impl MetricsState {
    /// Begins to listen, to watch and to ask.
    ///
    /// # Errors
    /// [`BusError`] where the bus refuses it.
    pub(crate) async fn start(
        bus: Bus,
        settings: MetricsSettings,
        exported: Exported,
        shutdown: CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<Self, BusError> {
        let shown = Arc::new(Shown {
            exported,
            own: own::Own::default(),
            runs: runs::Runs::default(),
            nodes: nodes::Nodes::default(),
            machines: machines::Machines::default(),
            processes: processes::Processes::new(&settings),
            nats: nats::Nats::default(),
            page: page::Page::default(),
            settings,
        });
        let state = Self { bus, shown };
        for task in [
            runs::follow(state.clone(), shutdown.clone()).await?,
            nodes::follow(state.clone()).await?,
            nodes::hear(state.clone()).await?,
            machines::hear(state.clone()).await?,
            processes::hear(state.clone()).await?,
            nats::ask(state.clone()),
        ] {
            let shutdown = shutdown.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = task => {}
                    () = shutdown.cancelled() => {}
                }
            });
        }
        Ok(state)
    }

    /// Counts a connection that was turned away.
    pub(crate) fn refused(&self) {
        self.shown.own.refused_scrapes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    /// All families as they are now.
    fn families(&self) -> Families {
        let shown = &self.shown;
        let now = std::time::Instant::now();
        let mut folded = FoldedCounts::new();
        let mut families = shown.processes.families(now, &shown.nodes.by_instance(), &mut folded);
        families.append(shown.runs.families(now, &shown.settings, &mut folded));
        families.append(shown.nodes.families(now, &shown.settings, &mut folded));
        families.append(shown.machines.families(now, &shown.settings, &mut folded));
        budget::add_counts(&mut families, &folded);
        families.append(shown.nats.families(&shown.settings));
        shown.own.add(&mut families, shown.runs.late_seconds());
        own::add_exported(&mut families, &shown.exported);
        families.without_repeats();
        families
    }
}

/// The paths of metrics.
pub(crate) fn router(state: MetricsState) -> Router {
    page::router(state)
}
