//! What handlers work with.

use std::sync::Arc;

use nuncius_bus::{Bus, ConnectOptions};
use nuncius_jobs::Queues;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::series::cache::Cache;
use super::settings::ApiSettings;
use crate::access::Access;
use crate::figures::KeptFigures;
use crate::known::Known;
use crate::live::Hub;
use crate::metrics::MetricsState;
use crate::problem::Problem;

/// What handlers work with.
#[derive(Debug, Clone)]
pub(crate) struct ApiState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bus: Bus,
    /// As the registry has this gateway.
    name: String,
    settings: ApiSettings,
    access: Access,
    known: Arc<Known>,
    metrics: MetricsState,
    hub: Arc<Hub>,
    queues: OnceCell<Queues>,
    /// How the servers' system account is spoken to, if it is.
    system: Option<ConnectOptions>,
    system_bus: OnceCell<Bus>,
    seconds: Cache,
    figures: KeptFigures,
    shutdown: CancellationToken,
}

impl ApiState {
    /// `name` is that of this gateway in the registry.
    pub(crate) fn new(
        (bus, name): (Bus, String),
        settings: ApiSettings,
        access: Access,
        known: Arc<Known>,
        metrics: MetricsState,
        system: Option<ConnectOptions>,
        shutdown: CancellationToken,
    ) -> Self {
        let hub = Hub::new(bus.clone(), settings.live_clients_max, settings.live_frames_max, shutdown.clone());
        Self(Arc::new(Inner {
            bus,
            name,
            settings,
            access,
            known,
            metrics,
            hub,
            queues: OnceCell::new(),
            system,
            system_bus: OnceCell::new(),
            seconds: Cache::default(),
            figures: KeptFigures::default(),
            shutdown,
        }))
    }

    pub(crate) fn bus(&self) -> &Bus {
        &self.0.bus
    }

    /// As the registry has this gateway.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn settings(&self) -> &ApiSettings {
        &self.0.settings
    }

    pub(crate) fn access(&self) -> &Access {
        &self.0.access
    }

    pub(crate) fn known(&self) -> &Arc<Known> {
        &self.0.known
    }

    /// What is heard for the metrics.
    pub(crate) fn metrics(&self) -> &MetricsState {
        &self.0.metrics
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.0.hub
    }

    /// Seconds of runs that were read.
    pub(super) fn seconds(&self) -> &Cache {
        &self.0.seconds
    }

    /// Figures of reports that were read.
    pub(crate) fn figures(&self) -> &KeptFigures {
        &self.0.figures
    }

    pub(crate) fn shutdown(&self) -> &CancellationToken {
        &self.0.shutdown
    }

    pub(crate) async fn queues(&self) -> Result<&Queues, Problem> {
        Ok(self.0.queues.get_or_try_init(|| Queues::open(&self.0.bus)).await?)
    }

    /// A connection to the system account, where there are credentials for one.
    pub(super) async fn system_bus(&self) -> Result<Option<&Bus>, Problem> {
        let Some(options) = &self.0.system else { return Ok(None) };
        Ok(Some(self.0.system_bus.get_or_try_init(|| nuncius_bus::connect(options.clone())).await?))
    }
}
