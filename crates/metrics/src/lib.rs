//! Metrics: what they are called, and how they are told.
//!
//! [`names`] has every family that any part of Nuncius reports: `docs/metrics.md` and the dashboards are made from it.
//! This crate must never know the bus or what the figures are about, and never have anybody wait for it: services read
//! their own state into [`Families`] when they are asked.
//!
//! Layout: [`metric`] is a family without samples, [`family`] and [`distribution`] what it has; [`expose`] writes
//! families for Prometheus; [`registry`] knows who in this process reports, [`process`] is what it says of itself, and
//! [`publish`] sends all of that, in the form of [`otlp`].

pub mod distribution;
pub mod expose;
pub mod family;
pub mod metric;
pub mod names;
pub mod otlp;
pub mod process;
pub mod publish;
pub mod registry;

pub use distribution::{Distribution, Exemplar, Native};
pub use family::{Families, Family, Series, Value};
pub use metric::{Kind, Metric, Source, Unit};
pub use registry::{Pace, Reporting, report};
