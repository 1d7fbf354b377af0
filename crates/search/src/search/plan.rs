//! What comes next, from what is known of the loads.

use nuncius_schemas::search::{Load, SearchEnding, SearchOutcome, SearchPurpose, SearchRecord, SearchSpec, Spacing};
use nuncius_schemas::units::{HumanDuration, Rate};

use super::loads::{Standing, Tried, of_units, units};

/// Into how many steps of a round number a gap is divided at least.
const ROUND_STEPS: u64 = 8;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// A probe or a recovery.
    Probe { load: Load, length: HumanDuration, purpose: SearchPurpose },
    /// Nothing.
    End(SearchEnding),
}

/// The gap: the highest load that passed below every one that did not, and the lowest that did not.
pub(super) fn gap(tried: &[Tried]) -> (Option<&Tried>, Option<&Tried>) {
    let is_end = |known: &&Tried| matches!(known.standing, Standing::NotPassed | Standing::Untrusted);
    let upper = tried.iter().find(is_end);
    let is_below = |known: &&Tried| upper.is_none_or(|upper| units(known.load) < units(upper.load));
    let lower = tried.iter().rev().find(|known| known.standing == Standing::Passed && is_below(known));
    (lower, upper)
}

/// What comes next within the bounds of the search.
pub(super) fn plan(search: &SearchSpec, history: &[SearchRecord], tried: &[Tried]) -> Plan {
    if history.last().is_some_and(|last| last.outcome == SearchOutcome::Broken) {
        return Plan::End(SearchEnding::Broken);
    }
    let mut planned = wanted(search, history, tried);
    if let Plan::Probe { .. } = planned {
        planned = recovery(search, history, tried).unwrap_or(planned);
    }
    let Plan::Probe { length, purpose, .. } = planned else { return planned };
    let is_probe = purpose != SearchPurpose::Recover;
    let probes = history.iter().filter(|record| record.probe.purpose != SearchPurpose::Recover).count();
    if is_probe && probes >= search.at_most.probes as usize {
        return Plan::End(SearchEnding::ProbesSpent);
    }
    let settle = if is_probe { search.settle.0 } else { 0 };
    let spent = history.iter().fold(0u64, |sum, record| sum.saturating_add(record.took.0));
    if spent.saturating_add(settle).saturating_add(length.0) > search.at_most.time.0 {
        return Plan::End(SearchEnding::TimeSpent);
    }
    planned
}

/// The probe that is wanted, were the target well.
fn wanted(search: &SearchSpec, history: &[SearchRecord], tried: &[Tried]) -> Plan {
    let Some((lowest, start, highest)) = search.loads() else { return Plan::End(SearchEnding::Broken) };
    if let Some(again) = repeat(history, tried) {
        return again;
    }
    let bracket = |load| Plan::Probe { load, length: search.probe, purpose: SearchPurpose::Bracket };
    let confirm = |known: &Tried| Plan::Probe {
        load: known.load,
        length: known.confirm_length(search),
        purpose: SearchPurpose::Confirm,
    };
    match gap(tried) {
        (None, None) => bracket(start),
        (Some(lower), None) if units(lower.load) < units(highest) => {
            let grown = (units(lower.load) as f64 * search.growth) as u64;
            bracket(of_units(start, grown.clamp(units(lower.load) + 1, units(highest))))
        }
        (Some(lower), None) if lower.is_confirmed => Plan::End(SearchEnding::AboveHighest),
        (Some(lower), None) => confirm(lower),
        (None, Some(upper)) if units(upper.load) > units(lowest) => {
            let shrunk = (units(upper.load) as f64 / search.growth) as u64;
            bracket(of_units(start, shrunk.min(units(upper.load) - 1).max(units(lowest))))
        }
        (None, Some(upper)) if upper.standing == Standing::Untrusted => Plan::End(SearchEnding::GeneratorLimit),
        (None, Some(upper)) if upper.is_confirmed => Plan::End(SearchEnding::BelowLowest),
        (None, Some(upper)) => confirm(upper),
        (Some(lower), Some(upper)) => {
            // Where longer probes have said the opposite of shorter ones, these are not relied on any more.
            let is_doubted = |is_pass| tried.iter().any(|known| known.contradicts(is_pass));
            if !lower.is_confirmed && is_doubted(true) {
                return confirm(lower);
            }
            if upper.standing == Standing::NotPassed && !upper.is_confirmed && is_doubted(false) {
                return confirm(upper);
            }
            if let Some(load) = halved(search, lower.load, upper.load) {
                return Plan::Probe { load, length: search.probe, purpose: SearchPurpose::Halve };
            }
            match (lower.is_confirmed, upper.standing == Standing::Untrusted, upper.is_confirmed) {
                (false, _, _) => confirm(lower),
                (true, true, _) => Plan::End(SearchEnding::GeneratorLimit),
                (true, false, true) => Plan::End(SearchEnding::Found),
                (true, false, false) => confirm(upper),
            }
        }
    }
}

/// The last probe again, where it left its load undetermined, or the generator could not be trusted and may yet be.
fn repeat(history: &[SearchRecord], tried: &[Tried]) -> Option<Plan> {
    let last = history.iter().rev().find(|record| record.probe.purpose != SearchPurpose::Recover)?;
    let known = tried.iter().find(|known| known.load == last.probe.load)?;
    let SearchRecord { probe, outcome, .. } = last;
    let length = match known.standing {
        Standing::Open(longer) if *outcome != SearchOutcome::Invalid => longer,
        Standing::Untrusted => return None,
        Standing::Open(_) | Standing::Doubtful | Standing::Passed | Standing::NotPassed => {
            // The same length: nothing was learnt.
            (*outcome == SearchOutcome::Invalid).then_some(probe.length)?
        }
    };
    Some(Plan::Probe { load: probe.load, length, purpose: probe.purpose })
}

/// A recovery, where the last probe may have left the target unwell.
fn recovery(search: &SearchSpec, history: &[SearchRecord], tried: &[Tried]) -> Option<Plan> {
    let rule = search.recover;
    let mut spent = 0u64;
    for record in history.iter().rev() {
        let is_recovery = record.probe.purpose == SearchPurpose::Recover;
        match record.outcome {
            SearchOutcome::Fail | SearchOutcome::Invalid if is_recovery => {
                spent = spent.saturating_add(record.probe.length.0);
            }
            SearchOutcome::Fail | SearchOutcome::Invalid => break,
            SearchOutcome::Pass | SearchOutcome::Undetermined | SearchOutcome::Broken => return None,
        }
    }
    if history.is_empty() || rule.at_most.0 == 0 {
        return None;
    }
    if spent.saturating_add(rule.probe.0) > rule.at_most.0 {
        return Some(Plan::End(SearchEnding::NotRecovered));
    }
    let (lower, _) = gap(tried);
    let known = lower.or_else(|| tried.first())?;
    let low = (units(known.load) as f64 * rule.share.as_share()) as u64;
    let load = of_units(known.load, low.max(1));
    Some(Plan::Probe { load, length: rule.probe, purpose: SearchPurpose::Recover })
}

/// The load that halves the gap; `None` where it is within the precision, or nothing lies between.
fn halved(search: &SearchSpec, lower: Load, upper: Load) -> Option<Load> {
    let (low, high) = (units(lower), units(upper));
    let width = high.saturating_sub(low);
    if width <= 1 || width as f64 <= low as f64 * search.precision.as_share() {
        return None;
    }
    let middle = match search.spacing {
        Spacing::Geometric => (low as f64 * high as f64).sqrt(),
        Spacing::Linear => f64::midpoint(low as f64, high as f64),
    };
    let step = round_step(lower, width);
    let rounded = (middle / step as f64).round() as u64 * step;
    Some(of_units(lower, rounded.clamp(low + 1, high - 1)))
}

/// The largest power of ten, in the unit that people read, of which a gap has at least [`ROUND_STEPS`].
fn round_step(kind: Load, width: u64) -> u64 {
    let finest = match kind {
        // A thousandth of an arrival per second.
        Load::Rate(_) => Rate::PER_SECOND / 1_000,
        Load::Users(_) => 1,
    };
    let steps = std::iter::successors(Some(finest), |step| step.checked_mul(10));
    steps.take_while(|step| step.saturating_mul(ROUND_STEPS) <= width).last().unwrap_or(1)
}
