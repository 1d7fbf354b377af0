//! A gateway from start to end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nuncius_bus::{Bus, BusError, registry};
use nuncius_schemas::node::Role;
use nuncius_serve::{HttpLimits, ServeError};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::export::{self, ExportConfig};
use crate::metrics::{Exported, MetricsSettings, MetricsState};
use crate::{hops, http};

/// How long a server may take to hear that the gateway leaves.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long the export may take to end: a request that is under way, and what is handed back.
const EXPORT_FAREWELL: Duration = Duration::from_millis(2_500);

/// Settings of a gateway.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Name to register under; a taken one gets a suffix.
    pub name: String,
    /// Host name as the host gives it.
    pub host: String,
    /// Where `/metrics` and `/healthz` are served, host and port.
    pub listen: String,
    /// What a client of the pages may ask for.
    pub limits: HttpLimits,
    /// Where telemetry goes.
    pub export: ExportConfig,
    /// What is shown.
    pub metrics: MetricsSettings,
}

impl GatewayConfig {
    /// With default settings: loopback, and no collector.
    pub fn new(name: &str, host: &str) -> Self {
        Self {
            name: name.to_owned(),
            host: host.to_owned(),
            listen: "127.0.0.1:9464".to_owned(),
            limits: HttpLimits {
                // Prometheus' own head is longer than a browser's.
                header_max_bytes: 8192,
                // Scrapers keep their connections; whoever reads slowly must not keep the others out.
                idle_timeout: Some(Duration::from_secs(60)),
                connections_max: 2_048,
                ..HttpLimits::default()
            },
            export: ExportConfig::default(),
            metrics: MetricsSettings::default(),
        }
    }
}

/// Why a gateway ended.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The bus.
    #[error("gateway: {0}")]
    Bus(#[from] BusError),
    /// The pages.
    #[error("gateway: {0}")]
    Serve(#[from] ServeError),
    /// The collector.
    #[error("gateway: nothing can be sent to the collector: {0}; see --otlp-endpoint and --otlp-header")]
    Collector(String),
    /// The directory of the spool.
    #[error("gateway: the spool's directory {} cannot be used: {problem}; see --spool-directory", directory.display())]
    Spool {
        /// Where it is.
        directory: PathBuf,
        /// Why not.
        problem: String,
    },
}

/// Runs a gateway until `shutdown`; `ready` is told where its pages are.
///
/// # Errors
/// [`GatewayError`] for an address that cannot be listened on, a collector or a directory that cannot be meant, and a
/// bus that refuses.
pub async fn run(
    config: GatewayConfig,
    bus: Bus,
    shutdown: CancellationToken,
    ready: Option<oneshot::Sender<SocketAddr>>,
) -> Result<(), GatewayError> {
    let listener = nuncius_serve::listen("the gateway", &config.listen, "--listen").await?;
    let address = listener.local_addr().map_err(|source| ServeError::Listen {
        what: "the gateway",
        address: config.listen.clone(),
        flag: "--listen",
        source,
    })?;
    let node = registry::this_process(&config.name, Role::Gateway, &config.host);
    let registration = registry::join(&bus, node).await?;
    let name = registration.claim().name;
    let service_name = bus.namespace().service("gateway");
    let version = env!("CARGO_PKG_VERSION");
    let service = bus.register_service(&service_name, version, "the way out of telemetry", &[("node", &name)]).await?;
    let exporting = export::start(&config.export, &bus, &shutdown)?;
    let tasks = TaskTracker::new();
    let counts = Exported { counts: Arc::clone(&exporting.counts), spool_bytes: config.export.spool_bytes as u64 };
    let state = MetricsState::start(bus.clone(), config.metrics.clone(), counts, shutdown.clone(), &tasks).await?;
    let hops = tokio::spawn(hops::run(bus.clone(), shutdown.clone()));
    info!(gateway = %name, %address, "joined");
    if let Some(ready) = ready {
        let _ = ready.send(address);
    }
    http::serve(listener, config.limits.clone(), shutdown.clone(), state).await;
    tasks.close();
    let _ = tokio::time::timeout(FAREWELL, tasks.wait()).await;
    // It publishes what it has, to be handed on.
    let _ = tokio::time::timeout(FAREWELL, hops).await;
    let _ = tokio::time::timeout(EXPORT_FAREWELL, exporting.ended()).await;
    let _ = tokio::time::timeout(FAREWELL, async {
        registration.release().await;
        service.stop().await;
    })
    .await;
    Ok(())
}
