//! The figures of one part of a run, each with what it deviates by in each row.
//!
//! A figure is a sum over rows by another (failures by requests, requests below a value by requests), and what varies
//! from row to row is the numerator less the figure times the denominator: its sum is 0, and the variance of that sum,
//! with rows that are alike taken for what they are, is that of the figure times the denominator (the linearised ratio;
//! Cochran, "Sampling Techniques", 3rd ed., 6.3 and 5A.1; for quantiles Woodruff, JASA 47, 1952).

use nuncius_schemas::comparison::ComparedFigure;
use nuncius_schemas::units::SECOND_NS;

use super::series::PartSeries;
use crate::Totals;
use crate::censored::Observed;
use crate::encoding::DecodeError;
use crate::scaling::ENDS_VARIANCE_JOBS;

/// What is told of a quantile's confidence where only its value is wanted.
const ANY_CONFIDENCE: f64 = 0.95;

/// A part, read.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Latencies of all rows.
    latency: Observed,
    /// The same with censored ones at the time that they had waited.
    pooled: Totals,
    rows: Vec<PartRow>,
    without_histogram: u64,
}

/// What one row adds to each figure.
#[derive(Debug, Clone, Copy, Default)]
struct PartRow {
    latencies: f64,
    completed: f64,
    completed_sum_ns: f64,
    /// Latencies up to the quantile, in the order of [`QUANTILES`].
    up_to: [f64; QUANTILES.len()],
    succeeded: f64,
    failed: f64,
    offered_seconds: f64,
}

/// The figures that are quantiles.
const QUANTILES: [ComparedFigure; 3] = [ComparedFigure::P50, ComparedFigure::P95, ComparedFigure::P99];

/// One figure of a part.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// The figure.
    pub(super) value: f64,
    /// What its numerator deviates by, row by row.
    pub(super) deviations: Vec<f64>,
    /// Its denominator.
    pub(super) weight: f64,
    /// The variance that the sum of the deviations has at least: that of independent requests, or what a count cannot
    /// resolve.
    pub(super) least_variance: f64,
    /// What that variance grows with: of two runs that are alike, however long each is, its ratio to this is the same.
    pub(super) scale: f64,
}

impl Part {
    /// Reads a series twice: for the quantiles, then for what each row has up to them.
    pub(super) fn read(series: &PartSeries) -> Result<Self, DecodeError> {
        let mut latency = Observed::new();
        for row in series.rows() {
            latency.merge(&row?.latency)?;
        }
        let mut pooled = latency.completed.clone();
        pooled.merge(&latency.censored)?;
        let values = QUANTILES.map(|figure| pooled.quantile_ns(figure.quantile().unwrap_or_default()));
        let mut rows = Vec::with_capacity(series.row_count());
        for row in series.rows() {
            let row = row?;
            let completed = &row.latency.completed;
            let below = |value_ns: u64| (completed.count() - completed.count_above(value_ns)) as f64;
            rows.push(PartRow {
                latencies: row.latency.count() as f64,
                completed: completed.count() as f64,
                completed_sum_ns: completed.summary().sum_ns as f64,
                up_to: values.map(|value| value.map_or(0.0, below)),
                succeeded: row.succeeded as f64,
                failed: row.failed as f64,
                offered_seconds: row.offered_ns as f64 / SECOND_NS as f64,
            });
        }
        Ok(Self { latency, pooled, rows, without_histogram: series.seconds_without_histogram() })
    }

    /// Latencies of all rows, censored ones at the time that they had waited.
    pub(super) const fn pooled(&self) -> &Totals {
        &self.pooled
    }

    /// One figure.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub(super) fn sample(&self, figure: ComparedFigure) -> Result<Sample, String> {
        if figure.is_latency() && self.without_histogram > 0 {
            return Err(format!("the histograms of {} seconds were left out", self.without_histogram));
        }
        match figure {
            ComparedFigure::P50 | ComparedFigure::P95 | ComparedFigure::P99 => self.quantile(figure),
            ComparedFigure::Mean => self.mean(),
            ComparedFigure::Failures => {
                let sample = self.ratio(|row| row.failed, |row| row.failed + row.succeeded);
                let mut sample = sample.ok_or("no request ended")?;
                sample.least_variance = sample.weight * sample.value * (1.0 - sample.value);
                sample.scale = sample.least_variance;
                Ok(sample)
            }
            ComparedFigure::Rate => {
                let sample = self.ratio(|row| row.succeeded, |row| row.offered_seconds);
                let mut sample = sample.ok_or("no load was offered")?;
                sample.least_variance = ENDS_VARIANCE_JOBS;
                sample.scale = sample.weight * sample.value;
                Ok(sample)
            }
        }
    }

    fn quantile(&self, figure: ComparedFigure) -> Result<Sample, String> {
        let found = figure.quantile().and_then(|q| Some((q, self.latency.quantile(q, ANY_CONFIDENCE)?)));
        let (q, estimate) = found.ok_or("no latency was measured")?;
        if estimate.at_least {
            let censored = self.latency.censored.count();
            return Err(format!("{censored} requests were censored, so that it is known from below only"));
        }
        let place = QUANTILES.iter().position(|quantile| *quantile == figure).unwrap_or_default();
        let up_to = |row: &PartRow| row.up_to.get(place).copied().unwrap_or(0.0);
        let mut sample = self.ratio(up_to, |row| row.latencies).ok_or("no latency was measured")?;
        sample.value = estimate.value_ns as f64;
        sample.least_variance = sample.weight * q * (1.0 - q);
        sample.scale = sample.least_variance;
        Ok(sample)
    }

    fn mean(&self) -> Result<Sample, String> {
        let sample = self.ratio(|row| row.completed_sum_ns, |row| row.completed);
        let mut sample = sample.ok_or("no latency was measured")?;
        let deviation_ns = self.latency.completed.standard_deviation_ns().unwrap_or(0.0);
        sample.least_variance = sample.weight * deviation_ns * deviation_ns;
        sample.scale = sample.weight * sample.value * sample.value;
        Ok(sample)
    }

    /// The sum of one by the sum of the other; `None` where the other is 0.
    fn ratio(&self, over: impl Fn(&PartRow) -> f64, by: impl Fn(&PartRow) -> f64) -> Option<Sample> {
        let weight: f64 = self.rows.iter().map(&by).sum();
        if weight <= 0.0 {
            return None;
        }
        let value = self.rows.iter().map(&over).sum::<f64>() / weight;
        let deviations = self.rows.iter().map(|row| over(row) - value * by(row)).collect();
        Some(Sample { value, deviations, weight, least_variance: 0.0, scale: 0.0 })
    }
}
