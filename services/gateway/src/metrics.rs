//! What `/metrics` shows: the whole system, heard on the bus and asked of it, as Prometheus reads it.
//!
//! Each part keeps what it has heard and writes it into families when somebody asks: [`runs`] what the daemon told of
//! experiments, [`processes`] what all processes tell of themselves, [`nodes`] who is there, [`machines`] what is
//! sampled of machines, [`nats`] how the bus fares, [`own`] what was left out here. [`page`] answers scrapers, whoever
//! and however many they are.

use std::sync::Arc;

use nuncius_bus::{Bus, BusError};
use nuncius_metrics::Families;
use nuncius_schemas::telemetry::NodeTelemetry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod budget;
mod latency;
mod listener;
mod machine;
mod machines;
mod nats;
mod nodes;
mod own;
mod page;
mod processes;
mod run;
mod runs;
mod settings;

use budget::FoldedCounts;
use listener::Listener;

pub(crate) use own::Exported;
pub(crate) use page::router;
pub use settings::MetricsSettings;

/// What the page is made from.
#[derive(Debug, Clone)]
pub(crate) struct MetricsState {
    pub(crate) bus: Bus,
    shown: Arc<Shown>,
}

/// Everything that is known.
#[derive(Debug)]
struct Shown {
    settings: Arc<MetricsSettings>,
    exported: Exported,
    own: Arc<own::Own>,
    runs: Arc<runs::Runs>,
    nodes: Arc<nodes::Nodes>,
    machines: Arc<machines::Machines>,
    processes: Arc<processes::Processes>,
    nats: Arc<nats::Nats>,
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
            own: Arc::default(),
            runs: Arc::default(),
            nodes: Arc::default(),
            machines: Arc::default(),
            processes: Arc::new(processes::Processes::new(&settings)),
            nats: Arc::default(),
            settings: Arc::new(settings),
        });
        let state = Self { bus, shown };
        for task in [
            runs::follow(state.listener(&state.shown.runs), shutdown.clone()).await?,
            nodes::follow(state.listener(&state.shown.nodes)).await?,
            nodes::hear(state.listener(&state.shown.nodes)).await?,
            machines::hear(state.listener(&state.shown.machines)).await?,
            processes::hear(state.listener(&state.shown.processes)).await?,
            nats::ask(state.listener(&state.shown.nats)),
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

    fn listener<T>(&self, part: &Arc<T>) -> Listener<T> {
        let (settings, own) = (Arc::clone(&self.shown.settings), Arc::clone(&self.shown.own));
        Listener { bus: self.bus.clone(), settings, own, part: Arc::clone(part) }
    }

    /// What each machine told last.
    pub(crate) fn machines(&self) -> Vec<NodeTelemetry> {
        self.shown.machines.told(std::time::Instant::now())
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
