//! The throughput of a step, and how sure it is.

/// Confidence of the intervals, two-sided.
pub const SCALING_CONFIDENCE: f64 = 0.95;

/// The mean throughput of a step in jobs per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Throughput {
    pub(super) workers: f64,
    pub(super) mean: f64,
    /// Of the mean.
    pub(super) variance: f64,
    /// Degrees of freedom of the variance; infinite when it is not from the measurements' spread.
    pub(super) freedom: f64,
}

impl Throughput {
    pub(super) fn per_worker(&self) -> f64 {
        self.mean / self.workers
    }

    pub(super) fn relative_variance(&self) -> f64 {
        self.variance / (self.mean * self.mean)
    }
}

pub(super) fn workers_text(workers: f64) -> String {
    if workers == 1.0 { "1 worker".to_owned() } else { format!("{workers} workers") }
}
