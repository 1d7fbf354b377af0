//! A search as a series of experiments: how each came out, and what came of all.

use nuncius_schemas::run::{RunRecord, RunStatus, Verdict};
use nuncius_schemas::search::{SearchEnding, SearchOutcome, SearchPurpose};
use nuncius_schemas::units::HumanDuration;
use nuncius_search::search::{self, SearchAction, SearchState};

use super::wanted::{Conclusion, Wanted};

/// The next probe; `None` when the search is over.
pub(super) fn next(state: &SearchState, record: &RunRecord) -> Result<Option<Wanted>, String> {
    let probe = match search::next(state) {
        SearchAction::Run(probe) => probe,
        SearchAction::End(_) => return Ok(None),
    };
    let searched = record.spec.searched_group(state.search()).map_err(|error| error.to_string())?;
    let spec = record.spec.search_probe(searched, &record.id, &probe);
    let what = match probe.purpose {
        SearchPurpose::Bracket => "probe",
        SearchPurpose::Halve => "probe, halving",
        SearchPurpose::Confirm => "probe, confirming",
        SearchPurpose::Recover => "recovery",
    };
    Ok(Some(Wanted { spec, told: format!("{} ({what}): {} for {}", probe.number, probe.load, probe.length) }))
}

/// Notes how a probe came out; in a word.
pub(super) fn note(state: &mut SearchState, member: &RunRecord, was_interrupted: bool) -> Result<String, String> {
    let outcome = match (member.status, member.verdict) {
        (RunStatus::Finished, Some(Verdict::Pass)) => SearchOutcome::Pass,
        (RunStatus::Finished, Some(Verdict::Fail)) => SearchOutcome::Fail,
        (RunStatus::Finished, Some(Verdict::Undetermined)) => SearchOutcome::Undetermined,
        (RunStatus::Finished, Some(Verdict::Invalid)) => SearchOutcome::Invalid,
        // Cut short by a daemon that ended: nobody's fault but ours.
        (RunStatus::Cancelled, _) if was_interrupted => SearchOutcome::Invalid,
        (_, _) => SearchOutcome::Broken,
    };
    let reason = member.reason.clone().unwrap_or_default();
    search::record(state, outcome, &reason, took(state, member)).map_err(|error| error.to_string())?;
    Ok(member.verdict.filter(|_| outcome != SearchOutcome::Broken).map_or("broken", Verdict::name).to_owned())
}

/// From the first load to the end, in which what settles and what is waited for is included.
fn took(state: &SearchState, member: &RunRecord) -> HumanDuration {
    let at_least = match search::next(state) {
        SearchAction::Run(probe) => probe.settle.0.saturating_add(probe.length.0),
        SearchAction::End(_) => 0,
    };
    let seen = member.started_unix_ms.zip(member.ended_unix_ms).map(|(started, ended)| ended.saturating_sub(started));
    HumanDuration(seen.map_or(at_least, |milliseconds| milliseconds.saturating_mul(1_000_000)))
}

/// What a search shows: it passes where it has confirmed a load that meets the gates.
pub(super) fn conclusion(state: &SearchState) -> Conclusion {
    let finding = match search::next(state) {
        SearchAction::End(finding) => finding,
        SearchAction::Run(_) => {
            let reasons = vec!["the search is not over".to_owned()];
            return Conclusion { status: RunStatus::Failed, verdict: Verdict::Undetermined, reasons };
        }
    };
    let (status, verdict) = match finding.ending {
        SearchEnding::Found | SearchEnding::AboveHighest => (RunStatus::Finished, Verdict::Pass),
        SearchEnding::BelowLowest => (RunStatus::Finished, Verdict::Fail),
        SearchEnding::GeneratorLimit => (RunStatus::Finished, Verdict::Invalid),
        SearchEnding::NotRecovered | SearchEnding::ProbesSpent | SearchEnding::TimeSpent => {
            (RunStatus::Finished, Verdict::Undetermined)
        }
        SearchEnding::Broken => (RunStatus::Failed, Verdict::Undetermined),
    };
    Conclusion { status, verdict, reasons: vec![finding.reason.clone()] }
}
