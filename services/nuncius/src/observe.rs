//! The gateway of `up`; with `--observe` Prometheus as a child, and the viewer of traces, so that a person without
//! containers sees what the dashboards of a whole installation show.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use nuncius_bus::ConnectOptions;
use nuncius_gateway::{ExportConfig, GatewayConfig, MetricsSettings};
use nuncius_schemas::subjects::Signal;
use nuncius_telemetry::otlp::{Endpoint, Protocol};
use nuncius_viewer::{ViewerConfig, find_pages};

use crate::args::ObserveArgs;
use crate::exit::Usage;
use crate::host::host_name;
use crate::local::Local;

mod prometheus;

use prometheus::{Prometheus, Settings, find_prometheus};

/// Directory in the data directory: Prometheus' configuration, rules, log and data.
const DIRECTORY: &str = "observe";
/// Where the gateway is, unless that is taken.
const USUAL_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9464);
/// More often is of no use: what is shown changes once a second.
const SCRAPE_INTERVAL_MIN: Duration = Duration::from_millis(500);

/// What is needed, found before anything is started.
#[derive(Debug)]
pub(crate) struct Needed {
    prometheus: PathBuf,
    pages: PathBuf,
}

/// Looks for what `args` ask for; none where they ask for nothing.
///
/// # Errors
/// Something is not installed; the text says how to get it.
pub(crate) fn needed(args: &ObserveArgs) -> Result<Option<Needed>> {
    if !args.observe {
        return Ok(None);
    }
    if args.scrape_interval.to_std() < SCRAPE_INTERVAL_MIN {
        let problem = format!("--scrape {}: at least {SCRAPE_INTERVAL_MIN:?}", args.scrape_interval);
        return Err(Usage(problem).into());
    }
    let prometheus = find_prometheus()?;
    let pages = find_pages()?;
    Ok(Some(Needed { prometheus, pages }))
}

/// Starts a gateway for this machine; returns where it is.
///
/// # Errors
/// The address that was named is taken, or is reached from other machines.
pub(crate) async fn start_gateway(
    local: &Local,
    args: &ObserveArgs,
    export: ExportConfig,
    system: Option<ConnectOptions>,
) -> Result<SocketAddr> {
    let listen = args.gateway_listen.unwrap_or_else(|| {
        let is_free = std::net::TcpListener::bind(USUAL_ADDRESS).is_ok();
        if is_free { USUAL_ADDRESS } else { SocketAddr::from(([127, 0, 0, 1], 0)) }
    });
    let config = GatewayConfig {
        listen: listen.to_string(),
        export,
        metrics: MetricsSettings { system, ..MetricsSettings::default() },
        ..GatewayConfig::new("gateway", &host_name())
    };
    config.check().map_err(|error| Usage(format!("--gateway {listen}: {error}")))?;
    local.gateway(config).await
}

/// What was started.
#[derive(Debug)]
pub(crate) struct Observing {
    prometheus: Prometheus,
    traces: SocketAddr,
    gateway: SocketAddr,
}

impl Observing {
    /// Starts the viewer, the gateway that hands spans to it, and Prometheus that asks the gateway.
    /// `system` is how the system account of the bus is spoken to, if it is.
    pub(crate) async fn start(
        local: &Local,
        args: &ObserveArgs,
        needed: Needed,
        data: &Path,
        system: Option<ConnectOptions>,
    ) -> Result<Self> {
        let viewer = ViewerConfig { listen: args.traces_listen.to_string(), ..ViewerConfig::new(needed.pages) };
        let traces = local.viewer(viewer).await?;
        // Traces are all that the viewer takes.
        let endpoint = Endpoint::of_base(&format!("http://{traces}"), Signal::Traces, Protocol::default());
        let export = ExportConfig { endpoints: vec![endpoint], ..ExportConfig::default() };
        let gateway = start_gateway(local, args, export, system).await?;
        let settings = Settings {
            binary: needed.prometheus,
            directory: data.join(DIRECTORY),
            listen: args.prometheus_listen,
            gateway,
            scrape_interval: args.scrape_interval.to_std(),
        };
        let prometheus = Prometheus::start(settings).await?;
        Ok(Self { prometheus, traces, gateway })
    }

    /// Where the gateway is.
    pub(crate) fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// Where to look, one line each.
    pub(crate) fn told(&self) -> Vec<String> {
        vec![
            format!("metrics http://{}/metrics", self.gateway),
            format!("graphs  http://{}/ (Prometheus)", self.prometheus.address()),
            format!("traces  http://{}/ (Jaeger's pages)", self.traces),
        ]
    }

    /// Ends the child and waits for it.
    pub(crate) async fn stop(self) {
        self.prometheus.stop().await;
    }
}
