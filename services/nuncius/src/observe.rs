//! `up --observe`: the gateway, Prometheus as a child, and the viewer of traces, so that a person without containers
//! sees what the dashboards of a whole installation show.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use nuncius_bus::ConnectOptions;
use nuncius_gateway::{ExportConfig, GatewayConfig, MetricsSettings};
use nuncius_schemas::subjects::Signal;
use nuncius_telemetry::otlp::{Endpoint, Protocol};
use nuncius_viewer::{ViewerConfig, find_pages};

use crate::Usage;
use crate::args::ObserveArgs;
use crate::local::{Local, host_name};

mod prometheus;

use prometheus::{Prometheus, Settings, find_prometheus};

/// Directory in the data directory: Prometheus' configuration, rules, log and data.
const DIRECTORY: &str = "observe";
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
        let gateway = GatewayConfig {
            listen: args.gateway_listen.to_string(),
            export: ExportConfig { endpoints: vec![endpoint], ..ExportConfig::default() },
            metrics: MetricsSettings { system, ..MetricsSettings::default() },
            ..GatewayConfig::new("gateway", &host_name())
        };
        let gateway = local.gateway(gateway).await?;
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
