//! Families as OTLP, and back: the bytes of an `ExportMetricsServiceRequest`, cumulative.
//!
//! A metric keeps the name that it is scraped under, without `_total`: whatever makes Prometheus' names from
//! OpenTelemetry's comes to the same ones. Whoever reads takes nothing on trust: names that [`crate::names`] does not
//! have, other kinds, labels and numbers that cannot be are left out and counted.

mod decode;
mod encode;

pub use decode::{Heard, HeardFamily, Limits, Refused, decode};
pub use encode::{Sender, encode};

/// Attribute of a resource: which process, of all that ever were.
pub const INSTANCE: &str = "service.instance.id";
/// Attribute of a resource: what kind of process.
pub const SERVICE: &str = "service.name";
/// Attribute of a scope: how often what it holds is told, in seconds.
pub const PERIOD: &str = "nuncius.period";
/// Name of the scope of everything that is told.
pub const SCOPE: &str = "nuncius";

#[cfg(test)]
mod tests;
