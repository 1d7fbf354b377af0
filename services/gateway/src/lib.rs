//! The gateway: the HTTP face of the whole system. Telemetry of all processes goes from here to collectors, `/metrics`
//! shows the whole system, and the REST interface does over the bus what the command line does.
//!
//! Any number of gateways may run: what one has exported no other exports, and each shows all metrics and all runs. It
//! must never hold more than its limits say, never lose anything unseen, never have a process wait for it, never be
//! open to strangers unless told who may come in, and never do for another site what a browser is made to ask.
//!
//! Layout: [`service`] starts and joins everything; `export` hands telemetry on; `http` is the face, `metrics` what it
//! shows; `hops` makes spans of what servers tell of messages; `api` is the REST interface, `galileo` that of Galileo,
//! `pages` the pages; `access` says who may do what; `known` is what is there now, `live` what is told of a run while
//! it goes on; `figures` what lists know of reports;
//! `problem` and `answer` are what is answered.

mod access;
mod answer;
mod api;
mod error;
mod export;
mod figures;
mod galileo;
mod hops;
mod http;
mod known;
mod live;
mod metrics;
mod pages;
mod problem;
pub mod service;

pub use access::{AccessSettings, NewToken, Scope, new_token};
pub use api::ApiSettings;
pub use error::GatewayError;
pub use export::ExportConfig;
pub use metrics::MetricsSettings;
pub use service::{Addresses, GatewayConfig, run};
