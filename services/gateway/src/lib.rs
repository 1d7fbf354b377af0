//! The gateway: what leaves the bus. Telemetry of all processes goes from here to collectors, and `/metrics` shows the
//! whole system.
//!
//! Any number of gateways may run: what one has exported no other exports, and each shows all metrics. It must never
//! hold more than its limits say, never lose anything unseen, and never have a process wait for it: a collector that is
//! away costs what the bus forgets meanwhile, and nothing else.
//!
//! Layout: [`service`] starts and joins everything; `export` hands telemetry on; `http` is the face, `metrics` what it
//! shows; `hops` makes spans of what servers tell of messages.

mod export;
mod hops;
mod http;
mod metrics;
pub mod service;

pub use export::ExportConfig;
pub use metrics::MetricsSettings;
pub use service::{GatewayConfig, GatewayError, run};
