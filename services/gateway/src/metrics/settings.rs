//! Settings of what is shown.

use std::time::Duration;

/// Settings of what is shown.
#[derive(Debug, Clone)]
pub struct MetricsSettings {
    /// How long the series of a run are shown after it has ended.
    pub ended_for: Duration,
    /// Most runs that are shown at a time: the latest.
    pub runs_max: usize,
    /// Most series of a family that one process, one run or the gateway itself may have; all beyond are told together,
    /// under `other`.
    pub family_series_max: usize,
    /// Most processes that are shown at a time.
    pub processes_max: usize,
    /// Most series of all processes together.
    pub series_max: usize,
    /// How long a page is shown before it is made anew.
    pub page_age: Duration,
    /// How often the servers are asked how they fare.
    pub nats_period: Duration,
    /// How to speak to the servers' system account; without it they are asked only of streams and consumers.
    pub system: Option<nuncius_bus::ConnectOptions>,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self {
            ended_for: Duration::from_secs(300),
            runs_max: 100,
            family_series_max: 1_000,
            processes_max: 1_000,
            series_max: 250_000,
            page_age: Duration::from_secs(1),
            nats_period: Duration::from_secs(5),
            system: None,
        }
    }
}
