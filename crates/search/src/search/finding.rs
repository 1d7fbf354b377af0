//! What came of a search, with how sure it is.

use nuncius_schemas::search::{
    SearchBound, SearchEnding, SearchFinding, SearchOutcome, SearchPurpose, SearchRecord, SearchSpec,
};
use nuncius_schemas::units::HumanDuration;

use super::loads::{Standing, Tried};
use super::plan::gap;

/// What came of a search that ends so.
pub(super) fn conclude(
    search: &SearchSpec,
    history: &[SearchRecord],
    tried: &[Tried],
    ending: SearchEnding,
) -> SearchFinding {
    let (lower, upper) = gap(tried);
    let probes = history.iter().filter(|record| record.probe.purpose != SearchPurpose::Recover).count();
    SearchFinding {
        ending,
        highest_passed: lower.map(bound),
        lowest_not_passed: upper.map(bound),
        probes: u32::try_from(probes).unwrap_or(u32::MAX),
        time: HumanDuration(history.iter().fold(0, |sum, record| sum.saturating_add(record.took.0))),
        reason: reason(search, history, (lower, upper), ending),
    }
}

fn bound(known: &Tried) -> SearchBound {
    let agree = match known.standing {
        Standing::Passed => known.passed,
        Standing::NotPassed | Standing::Untrusted | Standing::Open(_) | Standing::Doubtful => {
            known.confirming - known.passed
        }
    };
    SearchBound {
        load: known.load,
        is_confirmed: known.is_confirmed,
        passed: known.passed,
        of: known.confirming,
        confidence: (known.confirming > 0).then(|| 1.0 - tosses_at_least(known.confirming, agree)),
    }
}

/// The probability of `wanted` heads or more in `tosses` of a fair coin.
fn tosses_at_least(tosses: u32, wanted: u32) -> f64 {
    let mut weight = 1.0;
    let mut sum = 0.0;
    for heads in 0..=tosses {
        if heads >= wanted {
            sum += weight;
        }
        weight *= f64::from(tosses - heads) / f64::from(heads + 1);
    }
    sum / libm::exp2(f64::from(tosses))
}

/// A load and how it stands, for people.
fn told(known: &Tried) -> String {
    let says = match known.standing {
        Standing::Passed => "passes",
        Standing::NotPassed => "does not pass",
        Standing::Untrusted => "cannot be offered by the generator that it could be trusted",
        Standing::Open(_) | Standing::Doubtful => "is undecided",
    };
    if known.confirming == 0 {
        return format!("{} {says} (not confirmed)", known.load);
    }
    format!("{} {says} ({} of {} probes passed)", known.load, known.passed, known.confirming)
}

fn ends((lower, upper): (Option<&Tried>, Option<&Tried>)) -> String {
    let ends: Vec<String> = lower.into_iter().chain(upper).map(told).collect();
    if ends.is_empty() { "no probe has decided anything".to_owned() } else { ends.join(", ") }
}

fn reason(
    search: &SearchSpec,
    history: &[SearchRecord],
    gap: (Option<&Tried>, Option<&Tried>),
    ending: SearchEnding,
) -> String {
    let last = || history.last().map_or_else(String::new, |record| record.reason.clone());
    match ending {
        SearchEnding::Found => ends(gap),
        SearchEnding::AboveHighest => format!("{}: it is the highest of the search", ends(gap)),
        SearchEnding::BelowLowest => format!("{}: it is the lowest of the search", ends(gap)),
        SearchEnding::GeneratorLimit => {
            let is_invalid = |record: &&SearchRecord| record.outcome == SearchOutcome::Invalid;
            let why = history.iter().rev().find(is_invalid).map_or("", |record| record.reason.as_str());
            format!("the limit of the generator, not of the target: {}: {why}", ends(gap))
        }
        SearchEnding::NotRecovered => format!(
            "the target was not well again within {} (`recover.at_most`) at a low load: {}; {}",
            search.recover.at_most,
            last(),
            ends(gap)
        ),
        SearchEnding::ProbesSpent => {
            format!("all {} probes (`at_most.probes`) are made: {}", search.at_most.probes, ends(gap))
        }
        SearchEnding::TimeSpent => {
            format!("no time for another probe within {} (`at_most.time`): {}", search.at_most.time, ends(gap))
        }
        SearchEnding::Broken => format!("an experiment did not run to its end: {}; {}", last(), ends(gap)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_is_that_of_the_sign_test() {
        for (tosses, wanted, probability) in
            [(2, 2, 0.25), (3, 2, 0.5), (3, 3, 0.125), (5, 4, 6.0 / 32.0), (0, 0, 1.0), (4, 0, 1.0), (25, 25, 2e-8)]
        {
            let found = tosses_at_least(tosses, wanted);
            assert!((found - probability).abs() < 1e-7, "{tosses} {wanted}: {found}");
        }
    }
}
