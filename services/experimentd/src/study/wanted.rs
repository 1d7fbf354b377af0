//! What a search and a sweep say alike: which experiment comes next, and how all of it came out.

use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_schemas::spec::ExperimentSpec;

/// One experiment of a study that is wanted.
pub(super) struct Wanted {
    pub(super) spec: ExperimentSpec,
    /// What it is, for people: `probe 3 at 200/s`.
    pub(super) told: String,
}

/// How a study came out.
pub(super) struct Conclusion {
    pub(super) status: RunStatus,
    pub(super) verdict: Verdict,
    pub(super) reasons: Vec<String>,
}
