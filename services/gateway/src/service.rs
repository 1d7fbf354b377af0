//! A gateway from start to end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nuncius_bus::{Bus, registry};
use nuncius_schemas::node::{LABEL_OPEN, Role};
use nuncius_serve::{HttpLimits, ServeError};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::access::{Access, AccessSettings, check_listen};
use crate::api::{ApiSettings, ApiState};
use crate::error::GatewayError;
use crate::export::{self, ExportConfig};
use crate::known::Known;
use crate::metrics::{Exported, MetricsSettings, MetricsState};
use crate::{galileo, hops, http};

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
    /// The REST interface and the pages.
    pub api: ApiSettings,
    /// Who may do what there.
    pub access: AccessSettings,
}

/// Where a gateway is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Of metrics, pages and the interface.
    pub http: SocketAddr,
    /// Of Galileo's interface, where that is served.
    pub galileo: Option<SocketAddr>,
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
                write_timeout: Some(Duration::from_secs(20)),
                // Live streams last; a reader that is cut off goes on where it was.
                connection_timeout: Duration::from_secs(4 * 3600),
                connections_max: 2_048,
                ..HttpLimits::default()
            },
            export: ExportConfig::default(),
            metrics: MetricsSettings::default(),
            api: ApiSettings::default(),
            access: AccessSettings::default(),
        }
    }

    /// Refuses what cannot be meant, before anything is started.
    ///
    /// # Errors
    /// [`GatewayError::Open`], a file of tokens or a prefix that is none.
    pub fn check(&self) -> Result<(), GatewayError> {
        let base = &self.api.base_path;
        let is_path = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        let is_prefix = base.starts_with('/') && !base.ends_with('/') && !base.contains("//") && !base.contains("..");
        if !(base.is_empty() || (is_prefix && base.chars().all(is_path))) {
            return Err(GatewayError::BasePath(base.chars().take(80).collect()));
        }
        if let Some(galileo) = &self.api.galileo_listen {
            check_listen(galileo, self.access.token_file.as_deref())?;
        }
        if self.api.metrics_only {
            return Ok(());
        }
        Access::new(&self.access, &[])?;
        check_listen(&self.listen, self.access.token_file.as_deref())
    }
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
    ready: Option<oneshot::Sender<Addresses>>,
) -> Result<(), GatewayError> {
    config.check()?;
    let listener = nuncius_serve::listen("the gateway", &config.listen, "--listen").await?;
    let address = listener.local_addr().map_err(|source| ServeError::Listen {
        what: "the gateway",
        address: config.listen.clone(),
        flag: "--listen",
        source,
    })?;
    let galileo_listener = match &config.api.galileo_listen {
        Some(listen) => Some(nuncius_serve::listen("Galileo's interface", listen, "--galileo").await?),
        None => None,
    };
    let galileo_address = galileo_listener.as_ref().and_then(|listener| listener.local_addr().ok());
    let mut node = registry::this_process(&config.name, Role::Gateway, &config.host);
    if !config.api.metrics_only {
        node.labels.insert(LABEL_OPEN.to_owned(), pages_at(address, &config));
    }
    let registration = registry::join(&bus, node).await?;
    let name = registration.claim().name;
    let service_name = bus.namespace().service("gateway");
    let version = env!("CARGO_PKG_VERSION");
    let service = bus.register_service(&service_name, version, "the way out of telemetry", &[("node", &name)]).await?;
    let exporting = export::start(&config.export, &bus, &shutdown)?;
    let tasks = TaskTracker::new();
    let counts = Exported { counts: Arc::clone(&exporting.counts), spool_bytes: config.export.spool_bytes as u64 };
    let state = MetricsState::start(bus.clone(), config.metrics.clone(), counts, shutdown.clone(), &tasks).await?;
    let needs_api = !config.api.metrics_only || galileo_listener.is_some();
    let api = if needs_api { Some(api_state(&config, &name, &bus, &state, &shutdown, &tasks).await?) } else { None };
    let hops = tokio::spawn(hops::run(bus.clone(), shutdown.clone()));
    info!(gateway = %name, %address, "joined");
    if let Some(ready) = ready {
        let _ = ready.send(Addresses { http: address, galileo: galileo_address });
    }
    let turned_away = state.clone();
    let refused = move || turned_away.refused();
    if let (Some(listener), Some(api)) = (galileo_listener, api.clone()) {
        let router = galileo::router(api);
        tasks.spawn(http::serve(listener, config.limits.clone(), shutdown.clone(), router, refused.clone()));
    }
    let shown = api.filter(|_| !config.api.metrics_only);
    let router = http::router(state, shown);
    http::serve(listener, config.limits.clone(), shutdown.clone(), router, refused).await;
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

/// Where its pages are, as far as that can be known here: whoever listens everywhere is reached by its host's name.
fn pages_at(address: SocketAddr, config: &GatewayConfig) -> String {
    let base_path = &config.api.base_path;
    match address.ip().is_unspecified() {
        true => format!("http://{}:{}{base_path}/", config.host, address.port()),
        false => format!("http://{address}{base_path}/"),
    }
}

async fn api_state(
    config: &GatewayConfig,
    name: &str,
    bus: &Bus,
    metrics: &MetricsState,
    shutdown: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<ApiState, GatewayError> {
    let access = Access::new(&config.access, &config.limits.allowed_hosts)?;
    let known = Known::start(bus, shutdown, tasks).await?;
    let (settings, system) = (config.api.clone(), config.metrics.system.clone());
    let (bus, name, metrics) = (bus.clone(), name.to_owned(), metrics.clone());
    Ok(ApiState::new((bus, name), settings, access, known, metrics, system, shutdown.clone()))
}
