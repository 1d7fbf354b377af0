//! What all groups of an experiment share.

use nuncius_schemas::spec::RecordsMode;
use nuncius_schemas::units::HumanDuration;

use crate::sink::FinishReason;

/// What all groups of an experiment share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EngineOptions {
    /// Which requests leave a row.
    pub records: RecordsMode,
    /// Share of the iterations that carry a sampled trace, 0 to 1.
    pub trace_ratio: f64,
    /// How many of the slowest requests of each second and step are told.
    pub trace_slowest: usize,
    /// Seed of sampling and of identifiers.
    pub seed: u64,
    /// How long after the end of the schedule answers are waited for, in nanoseconds.
    pub drain_ns: u64,
    /// How long a group stands at its horizon until it ends, in nanoseconds; or until its schedule does.
    pub orphan_limit_ns: u64,
}

impl EngineOptions {
    /// Why a group ended that stood for that long.
    pub(crate) fn orphan_reason(&self) -> FinishReason {
        let limit = HumanDuration(self.orphan_limit_ns);
        FinishReason::Failed(format!("stopped: nobody had moved its horizon for {limit} (--orphan-limit)"))
    }
}
