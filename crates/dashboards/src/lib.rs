//! Grafana's dashboards, made from the constants of `nuncius-metrics`: a metric that is renamed is renamed here, or
//! this does not compile.
//!
//! What is made lies in `deploy/grafana/dashboards`; a test holds one against the other, and
//! `NUNCIUS_UPDATE=1 cargo test -p nuncius-dashboards` writes it anew. No part of the `nuncius` command: it must never
//! ask Grafana or Prometheus anything.
//!
//! PromQL is that of Prometheus 2.42, native histograms apart, which have a row of their own.

mod board;
mod boards;
mod panel;
mod promql;

pub use board::Board;
pub use boards::{NOT_SHOWN, all};
