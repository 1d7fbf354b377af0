//! Machines: what the telemetry of a node says.

use crate::Metric;

/// All of them.
pub const ALL: &[&Metric] = &[];
