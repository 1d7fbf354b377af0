//! How texts and verdicts are shown on every page.

use nuncius_schemas::run::{RunStatus, Verdict};

/// Longest text of a person or a target in the page, in characters.
pub(crate) const TEXT_CHARACTERS: usize = 2_000;

/// The class that colours a verdict or a status.
pub fn tone(status: RunStatus, verdict: Option<Verdict>) -> &'static str {
    match (status, verdict) {
        (RunStatus::Finished, Some(Verdict::Pass)) => "pass",
        (RunStatus::Finished, Some(Verdict::Fail)) | (RunStatus::Failed, _) => "fail",
        (RunStatus::Finished, Some(Verdict::Invalid)) => "invalid",
        (RunStatus::Finished, Some(Verdict::Undetermined) | None) | (RunStatus::Cancelled, _) => "undetermined",
        (
            RunStatus::Submitted | RunStatus::Planned | RunStatus::Preparing | RunStatus::Running | RunStatus::Draining,
            _,
        ) => "under-way",
    }
}
