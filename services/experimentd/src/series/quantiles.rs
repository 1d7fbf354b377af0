//! Quantiles that are shown.

use nuncius_schemas::second::Distribution;
use serde::{Deserialize, Serialize};

/// Those of a distribution that are shown, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Quantiles {
    pub(super) p50: Option<u64>,
    pub(super) p95: Option<u64>,
    pub(super) p99: Option<u64>,
    pub(super) max: Option<u64>,
}

impl Quantiles {
    pub(super) fn of(distribution: &Distribution) -> Self {
        Self { p50: distribution.p50_ns, p95: distribution.p95_ns, p99: distribution.p99_ns, max: distribution.max_ns }
    }

    /// Raises each to the distribution's, where that is larger.
    pub(super) fn raise(&mut self, distribution: &Distribution) {
        self.largest(Self::of(distribution));
    }

    pub(super) fn largest(&mut self, other: Self) {
        self.p50 = self.p50.max(other.p50);
        self.p95 = self.p95.max(other.p95);
        self.p99 = self.p99.max(other.p99);
        self.max = self.max.max(other.max);
    }
}
