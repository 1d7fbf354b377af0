//! What Artillery measures, in its own names and units: counters, rates and summaries, of each period of ten seconds
//! and of all of it.

use std::collections::BTreeMap;

use serde::Serialize;

/// How long a period is, in seconds.
pub const PERIOD_S: u64 = 10;

/// Figures of a distribution; of times in milliseconds, to one decimal.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Summary {
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// How many values.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// Median, under its older name.
    pub median: f64,
    /// Quantile 0.75.
    pub p75: f64,
    /// Quantile 0.9.
    pub p90: f64,
    /// Quantile 0.95.
    pub p95: f64,
    /// Quantile 0.99.
    pub p99: f64,
    /// Quantile 0.999.
    pub p999: f64,
}

impl Summary {
    /// Its figures by the names that they have there.
    pub fn figures(&self) -> [(&'static str, f64); 11] {
        let Self { min, max, count, mean, p50, median, p75, p90, p95, p99, p999 } = *self;
        [
            ("min", min),
            ("max", max),
            ("count", count as f64),
            ("mean", mean),
            ("p50", p50),
            ("median", median),
            ("p75", p75),
            ("p90", p90),
            ("p95", p95),
            ("p99", p99),
            ("p999", p999),
        ]
    }
}

/// What was measured in a period, or in all of them.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Metrics {
    /// Numbers that are added: `vusers.created`, `http.codes.200`.
    pub counters: BTreeMap<String, u64>,
    /// Per second, rounded to a whole number: `http.request_rate`.
    pub rates: BTreeMap<String, u64>,
    /// Distributions: `http.response_time`, in milliseconds.
    pub summaries: BTreeMap<String, Summary>,
    /// When the period began, milliseconds since the Unix epoch; of all of them the last.
    pub period_unix_ms: u64,
    /// When the first value came, milliseconds since the Unix epoch.
    pub first_unix_ms: Option<u64>,
    /// When the last value came, milliseconds since the Unix epoch.
    pub last_unix_ms: Option<u64>,
}

/// All that was measured in a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ArtilleryMetrics {
    /// Over all of it.
    pub aggregate: Metrics,
    /// Period by period.
    pub periods: Vec<Metrics>,
    /// Times of requests over HTTP and of events together, as version 1 told them.
    pub latency: Option<Summary>,
    /// Times that are in no summary, because a second had too many to be told.
    pub times_left_out: u64,
}

impl Metrics {
    /// Adds to a counter; one that nothing was added to is not there.
    pub fn count(&mut self, name: &str, number: u64) {
        if number > 0 {
            *self.counters.entry(name.to_owned()).or_default() += number;
        }
    }

    /// Of a counter, how much; 0 where it is not there.
    pub fn counted(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or_default()
    }

    /// Every figure by the name that expressions have for it: `http.response_time.p95`.
    pub fn figures(&self) -> BTreeMap<String, f64> {
        let mut figures = BTreeMap::new();
        for (name, number) in self.counters.iter().chain(&self.rates) {
            figures.insert(name.clone(), *number as f64);
        }
        for (name, summary) in &self.summaries {
            for (figure, value) in summary.figures() {
                figures.insert(format!("{name}.{figure}"), value);
            }
        }
        figures
    }
}

/// How satisfied users are (Apdex): from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Apdex {
    /// The score.
    pub score: f64,
}

impl Apdex {
    /// Of so many requests that took at most the threshold, at most four times it, and longer; `None` without any.
    pub fn of(satisfied: u64, tolerated: u64, frustrated: u64) -> Option<Self> {
        let total = satisfied + tolerated + frustrated;
        (total > 0).then(|| Self { score: (satisfied as f64 + tolerated as f64 / 2.0) / total as f64 })
    }

    /// In a word.
    pub fn ranking(self) -> &'static str {
        match self.score {
            score if score >= 0.94 => "excellent",
            score if score >= 0.85 => "good",
            score if score >= 0.7 => "fair",
            score if score >= 0.49 => "poor",
            _ => "unacceptable",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_counts_who_is_satisfied_whole_and_who_tolerates_half() {
        let apdex = Apdex::of(60, 30, 10).unwrap();
        assert_eq!((apdex.score, apdex.ranking()), (0.75, "fair"));
        assert_eq!(Apdex::of(0, 0, 0), None);
    }

    #[test]
    fn figures_have_the_names_that_expressions_use() {
        let mut metrics = Metrics::default();
        metrics.count("vusers.created", 3);
        metrics.count("vusers.skipped", 0);
        metrics.summaries.insert("http.response_time".to_owned(), Summary { p95: 12.5, ..Summary::default() });
        let figures = metrics.figures();
        assert_eq!((figures.get("vusers.created"), figures.get("http.response_time.p95")), (Some(&3.0), Some(&12.5)));
        assert_eq!(figures.get("vusers.skipped"), None);
    }
}
