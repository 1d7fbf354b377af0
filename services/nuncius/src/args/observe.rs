//! What `nuncius up --observe` starts, and where.

use std::net::SocketAddr;

use clap::Args;
use nuncius_schemas::units::HumanDuration;

#[derive(Debug, Args)]
pub(crate) struct ObserveArgs {
    /// Start what else one looks at it all with: Prometheus, and a viewer of traces.
    #[arg(long)]
    pub(crate) observe: bool,
    /// Where the gateway serves its pages, the REST interface and /metrics (default: 127.0.0.1:9464, or a free port
    /// where that is taken).
    #[arg(long = "gateway", value_name = "ADDRESS")]
    pub(crate) gateway_listen: Option<SocketAddr>,
    /// Do not start the gateway.
    #[arg(long, conflicts_with_all = ["observe", "gateway_listen"])]
    pub(crate) no_gateway: bool,
    /// Where Prometheus serves its pages.
    #[arg(long = "prometheus", value_name = "ADDRESS", default_value = "127.0.0.1:9090", requires = "observe")]
    pub(crate) prometheus_listen: SocketAddr,
    /// How often Prometheus asks the gateway.
    #[arg(long = "scrape", value_name = "DURATION", default_value = "5s", requires = "observe")]
    pub(crate) scrape_interval: HumanDuration,
    /// Where Jaeger's pages show the latest traces.
    #[arg(long = "traces", value_name = "ADDRESS", default_value = "127.0.0.1:16686", requires = "observe")]
    pub(crate) traces_listen: SocketAddr,
}
