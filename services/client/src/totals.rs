//! Adding up distributions where nothing can be done about it when that fails.

use nuncius_stats::{Histogram, Totals};

/// Adds a histogram of the hot path.
pub(crate) fn add(totals: &mut Totals, histogram: &Histogram) {
    // Fails only where 64-bit counters would overflow: not within one delta.
    if let Err(error) = totals.add(histogram) {
        tracing::error!(%error, "a histogram could not be added");
    }
}

/// Adds other totals.
pub(crate) fn merge(totals: &mut Totals, other: &Totals) {
    if let Err(error) = totals.merge(other) {
        tracing::error!(%error, "histograms could not be folded");
    }
}
