//! The search for the highest load that meets the gates.
//!
//! **The way**: from its start the load grows by a factor until a probe does not pass, or shrinks until one passes; the
//! gap between the two is halved until it is within the precision; then both ends are confirmed, each by probes of
//! their own that are longer, of which more than half must agree. An end that is refuted becomes the other end of the
//! gap, and it goes on from there, confirming each end before it is relied on. This is the throughput test of RFC 2544
//! (26.1) with what its successors found wanting in it: as in MLRsearch (draft-ietf-bmwg-mlrsearch) short trials narrow
//! and long ones decide, several trials of one load are counted against each other before it is a bound, and the result
//! is the highest load below all that did not pass.
//!
//! **Outcomes**: an undetermined probe is repeated with twice its length, up to the longest; if it still is, the load
//! has not been shown to pass and counts so. After a probe that failed, or was invalid, the target is given a low load
//! until its gates do not fail any more, so that the next probe does not inherit the queue. A load at which the
//! generator cannot be trusted, time after time, is where the search ends: it never goes there again, and if the target
//! passes right up to it, the finding is the generator's limit and not the target's.
//!
//! **What is claimed** of a confirmed end rests on the probes that confirmed it alone, not on the ones by which it was
//! chosen: that a probe there passes more often than not (or does not), at the confidence of the sign test. Nothing is
//! assumed of how the outcomes vary with the load, and the errors of the gates themselves, which take requests for
//! independent, are within it.

use nuncius_schemas::search::{
    SearchError, SearchFinding, SearchOutcome, SearchProbe, SearchPurpose, SearchRecord, SearchReport, SearchSpec,
};
use nuncius_schemas::units::HumanDuration;
use serde::{Deserialize, Serialize};

mod finding;
mod loads;
mod plan;

use finding::conclude;
use plan::{Plan, plan};

/// Longest reason that is kept of an experiment, in characters.
pub const REASON_MAX_CHARACTERS: usize = 400;

/// A search that is under way: what was asked for, and all that has happened.
///
/// What comes next follows from nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchState {
    search: SearchSpec,
    history: Vec<SearchRecord>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub enum SearchAction {
    /// An experiment is wanted; [`record`] is told how it came out.
    Run(SearchProbe),
    /// It is over.
    End(Box<SearchFinding>),
}

/// Nothing was wanted when something was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the search is over: no outcome is expected any more")]
pub struct SearchOver;

impl SearchState {
    /// Nothing has happened yet.
    ///
    /// # Errors
    /// A field of the search that is outside its limits.
    pub fn new(mut search: SearchSpec) -> Result<Self, SearchError> {
        search.check()?;
        // What has three digits after the point is the same when it was written and read.
        search.growth = (search.growth * 1_000.0).round() / 1_000.0;
        Ok(Self { search, history: Vec::new() })
    }

    /// What was asked for.
    pub const fn search(&self) -> &SearchSpec {
        &self.search
    }

    /// The experiments so far, in order.
    pub fn history(&self) -> &[SearchRecord] {
        &self.history
    }

    /// How long all of it took so far.
    pub fn time(&self) -> HumanDuration {
        HumanDuration(self.history.iter().fold(0, |sum, record| sum.saturating_add(record.took.0)))
    }
}

/// What comes next: the same for the same state.
pub fn next(state: &SearchState) -> SearchAction {
    let tried = loads::tried(&state.search, &state.history);
    match plan(&state.search, &state.history, &tried) {
        Plan::Probe { load, length, purpose } => {
            let number = u32::try_from(state.history.len()).unwrap_or(u32::MAX).saturating_add(1);
            SearchAction::Run(SearchProbe { number, load, length, settle: settle(&state.search, purpose), purpose })
        }
        Plan::End(ending) => SearchAction::End(Box::new(conclude(&state.search, &state.history, &tried, ending))),
    }
}

/// A recovery is there to settle, and counts from its beginning.
fn settle(search: &SearchSpec, purpose: SearchPurpose) -> HumanDuration {
    match purpose {
        SearchPurpose::Bracket | SearchPurpose::Halve | SearchPurpose::Confirm => search.settle,
        SearchPurpose::Recover => HumanDuration::default(),
    }
}

/// How the experiment came out that [`next`] wants, why, and how long it took.
///
/// # Errors
/// Where none is wanted.
pub fn record(
    state: &mut SearchState,
    outcome: SearchOutcome,
    reason: &str,
    took: HumanDuration,
) -> Result<(), SearchOver> {
    match next(state) {
        SearchAction::Run(probe) => {
            let reason = reason.chars().take(REASON_MAX_CHARACTERS).collect();
            state.history.push(SearchRecord { probe, outcome, reason, took });
            Ok(())
        }
        SearchAction::End(_) => Err(SearchOver),
    }
}

/// The search `id` as it stands, with what came of it once it is over.
pub fn report(state: &SearchState, id: &str, started_unix_ms: u64) -> SearchReport {
    let finding = match next(state) {
        SearchAction::Run(_) => None,
        SearchAction::End(finding) => Some(*finding),
    };
    SearchReport {
        id: id.to_owned(),
        started_unix_ms,
        search: state.search.clone(),
        history: state.history.clone(),
        finding,
    }
}

#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;
