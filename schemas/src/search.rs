//! A search for the highest load that meets the gates: what is asked for, and within which bounds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::flow::Percent;
use crate::spec::limits::{RATE_MAX, TIMEOUT_MAX_NS, USERS_MAX};
use crate::units::{HumanDuration, Rate, SECOND_NS};

mod finding;
mod load;
mod report;

pub use finding::{SearchBound, SearchEnding, SearchFinding, SearchOutcome, SearchProbe, SearchPurpose, SearchRecord};
pub use load::Load;
pub use report::SearchReport;

/// Most probes of a search.
pub const SEARCH_PROBES_MAX: u32 = 1_000;
/// Longest search.
pub const SEARCH_TIME_MAX: HumanDuration = HumanDuration::from_secs(7 * 86_400);
/// Most probes that confirm one load.
pub const CONFIRM_PROBES_MAX: u32 = 25;
/// Least and most by which the load grows from probe to probe.
pub const GROWTH: std::ops::RangeInclusive<f64> = 1.05..=10.0;
/// Finest and coarsest precision.
pub const PRECISION: std::ops::RangeInclusive<f64> = 0.001..=0.5;

/// Looks for the highest rate, or the most users, at which all gates hold. Each probe is an experiment of its own, with
/// this load and judged by the gates.
///
/// From its start the load grows until a probe fails (or shrinks until one passes), then the gap between the highest
/// that passed and the lowest that did not is halved until it is within the precision. Both ends are then confirmed by
/// longer probes, most of which must agree: one unlucky probe decides nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchSpec {
    /// Name of the group whose load is searched; may be left out where there is only one. The others keep theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Open model: rates between which it is looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateRange>,
    /// Closed model: users between which it is looked for, instead of `rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<UsersRange>,
    /// How far apart the highest load that passes and the lowest that does not may be, as a share; 0.1% to 50%.
    #[serde(default = "default_precision")]
    pub precision: Percent,
    /// By how much the load grows until a probe fails, or shrinks until one passes; 1.05 to 10, to a
    /// thousandth.
    #[serde(default = "default_growth")]
    pub growth: f64,
    /// How the gap is halved.
    #[serde(default)]
    pub spacing: Spacing,
    /// Length of a probe, without what settles before.
    #[serde(default = "default_probe")]
    pub probe: HumanDuration,
    /// Length of the longest probe: one that leaves its gates undetermined is repeated with twice the length, up to
    /// this; four times a probe when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest: Option<HumanDuration>,
    /// Load at the beginning of each probe that does not count.
    #[serde(default = "default_settle")]
    pub settle: HumanDuration,
    /// When a load is taken as confirmed.
    #[serde(default)]
    pub confirm: ConfirmRule,
    /// What is done after a probe that failed.
    #[serde(default)]
    pub recover: RecoverRule,
    /// What the search may take.
    #[serde(default)]
    pub at_most: SearchLimits,
}

/// Rates of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateRange {
    /// The lowest.
    pub from: Rate,
    /// The highest.
    pub to: Rate,
    /// Of the first probe; the lowest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Rate>,
}

/// Numbers of users of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UsersRange {
    /// The fewest.
    pub from: u32,
    /// The most.
    pub to: u32,
    /// Of the first probe; the fewest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<u32>,
}

/// How the gap between a load that passed and one that did not is halved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Spacing {
    /// At the geometric mean: the same ratio on both sides.
    #[default]
    Geometric,
    /// In the middle: the same difference on both sides.
    Linear,
}

/// When a load is taken as confirmed, one way or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConfirmRule {
    /// Probes that confirm a load, 1 to 25; fewer where the others could change nothing.
    pub probes: u32,
    /// How many of them must pass: more than half.
    pub pass: u32,
    /// Length of each; twice a probe when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<HumanDuration>,
}

impl Default for ConfirmRule {
    fn default() -> Self {
        Self { probes: 3, pass: 2, probe: None }
    }
}

/// What is done after a probe that failed, so that the next one does not inherit its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecoverRule {
    /// Load of a recovery, as a share of the highest that passed; where none has, of the lowest that was tried.
    pub share: Percent,
    /// Length of one; another follows while the gates fail.
    pub probe: HumanDuration,
    /// Time for all of them after one probe: where the target is not well again by then, the search ends. `0s`: there
    /// are none.
    pub at_most: HumanDuration,
}

impl Default for RecoverRule {
    fn default() -> Self {
        Self {
            share: Percent::of_whole(10),
            probe: HumanDuration::from_secs(5),
            at_most: HumanDuration::from_secs(120),
        }
    }
}

/// What a search may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchLimits {
    /// Probes, 1 to 1000; recoveries are not counted.
    pub probes: u32,
    /// Time of load, recoveries and what settles included.
    pub time: HumanDuration,
    /// Probes of one load in a row that are invalid through the generator's fault, of which the last one ends the
    /// search: with 1 the first.
    pub invalid: u32,
}

impl Default for SearchLimits {
    fn default() -> Self {
        Self { probes: 60, time: HumanDuration::from_secs(2 * 3_600), invalid: 2 }
    }
}

fn default_precision() -> Percent {
    Percent::of_whole(2)
}

fn default_growth() -> f64 {
    2.0
}

fn default_probe() -> HumanDuration {
    HumanDuration::from_secs(20)
}

fn default_settle() -> HumanDuration {
    HumanDuration::from_secs(2)
}

/// Why a search cannot be as wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("search {field}: {problem}")]
pub struct SearchError {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it and what would be right.
    pub problem: String,
}

fn refuse<T>(field: &'static str, problem: impl Into<String>) -> Result<T, SearchError> {
    Err(SearchError { field, problem: problem.into() })
}

impl SearchSpec {
    /// Between these rates, with everything else as when it is not said.
    pub fn of_rate(rate: RateRange) -> Self {
        Self {
            group: None,
            rate: Some(rate),
            users: None,
            precision: default_precision(),
            growth: default_growth(),
            spacing: Spacing::default(),
            probe: default_probe(),
            longest: None,
            settle: default_settle(),
            confirm: ConfirmRule::default(),
            recover: RecoverRule::default(),
            at_most: SearchLimits::default(),
        }
    }

    /// Length of the longest probe.
    pub fn longest(&self) -> HumanDuration {
        self.longest.unwrap_or(HumanDuration(self.probe.0.saturating_mul(4)))
    }

    /// Length of a probe that confirms.
    pub fn confirm_probe(&self) -> HumanDuration {
        self.confirm.probe.unwrap_or(HumanDuration(self.probe.0.saturating_mul(2)))
    }

    /// The lowest load, that of the first probe, and the highest; `None` where none is given.
    pub fn loads(&self) -> Option<(Load, Load, Load)> {
        match (self.rate, self.users) {
            (Some(range), _) => {
                let start = range.start.unwrap_or(range.from);
                Some((Load::Rate(range.from), Load::Rate(start), Load::Rate(range.to)))
            }
            (None, Some(range)) => {
                let start = range.start.unwrap_or(range.from);
                Some((Load::Users(range.from), Load::Users(start), Load::Users(range.to)))
            }
            (None, None) => None,
        }
    }

    /// Refuses what cannot be, by field.
    ///
    /// # Errors
    /// When a field is outside its limits, which the error names.
    pub fn check(&self) -> Result<(), SearchError> {
        self.check_loads()?;
        let precision = self.precision.as_share();
        if !PRECISION.contains(&precision) {
            return refuse("precision", format!("{}; give 0.1% to 50%", self.precision));
        }
        // Also false for what is not a number.
        if !GROWTH.contains(&self.growth) {
            let problem = format!("{}; give {} to {}", self.growth, GROWTH.start(), GROWTH.end());
            return refuse("growth", problem);
        }
        check_length("probe", self.probe)?;
        if self.settle.0 > TIMEOUT_MAX_NS {
            return refuse("settle", "longer than 1h");
        }
        check_length("longest", self.longest())?;
        if self.longest() < self.probe {
            return refuse("longest", format!("{} is shorter than a probe, {}", self.longest(), self.probe));
        }
        let ConfirmRule { probes, pass, probe: _ } = self.confirm;
        if !(1..=CONFIRM_PROBES_MAX).contains(&probes) {
            return refuse("confirm.probes", format!("{probes}; give 1 to {CONFIRM_PROBES_MAX}"));
        }
        if pass > probes || pass.saturating_mul(2) <= probes {
            let least = probes / 2 + 1;
            return refuse("confirm.pass", format!("{pass} of {probes} probes; give {least} to {probes}"));
        }
        check_length("confirm.probe", self.confirm_probe())?;
        if self.confirm_probe() < self.probe {
            let problem = format!("{} is shorter than a probe, {}", self.confirm_probe(), self.probe);
            return refuse("confirm.probe", problem);
        }
        self.check_recovery()?;
        self.check_limits()
    }

    fn check_loads(&self) -> Result<(), SearchError> {
        match (self.rate, self.users) {
            (None, None) => refuse("rate", "missing: give rates or users between which the highest is looked for"),
            (Some(_), Some(_)) => refuse("users", "give either rate or users"),
            (Some(RateRange { from, to, start }), None) => {
                if from.0 == 0 {
                    return refuse("rate.from", "0 offers nothing; give more");
                }
                if to > RATE_MAX {
                    return refuse("rate.to", format!("more than {RATE_MAX}"));
                }
                if to <= from {
                    return refuse("rate.to", format!("{to} is not above {from}, the lowest rate"));
                }
                match start {
                    Some(start) if !(from..=to).contains(&start) => {
                        refuse("rate.start", format!("{start}; give {from} to {to}"))
                    }
                    Some(_) | None => Ok(()),
                }
            }
            (None, Some(UsersRange { from, to, start })) => {
                if from == 0 {
                    return refuse("users.from", "0 users do nothing; give more");
                }
                if to > USERS_MAX {
                    return refuse("users.to", format!("more than {USERS_MAX}"));
                }
                if to <= from {
                    return refuse("users.to", format!("{to} is not above {from}, the fewest users"));
                }
                match start {
                    Some(start) if !(from..=to).contains(&start) => {
                        refuse("users.start", format!("{start}; give {from} to {to}"))
                    }
                    Some(_) | None => Ok(()),
                }
            }
        }
    }

    fn check_recovery(&self) -> Result<(), SearchError> {
        let RecoverRule { share, probe, at_most } = self.recover;
        if at_most.0 == 0 {
            return Ok(());
        }
        if share.as_share() <= 0.0 {
            return refuse("recover.share", "0% would not tell whether the target is well; give more, up to 100%");
        }
        check_length("recover.probe", probe)?;
        if at_most.0 > TIMEOUT_MAX_NS {
            return refuse("recover.at_most", "longer than 1h");
        }
        if at_most < probe {
            return refuse("recover.at_most", format!("{at_most} is shorter than one recovery, {probe}"));
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), SearchError> {
        let SearchLimits { probes, time, invalid } = self.at_most;
        if !(1..=SEARCH_PROBES_MAX).contains(&probes) {
            return refuse("at_most.probes", format!("{probes}; give 1 to {SEARCH_PROBES_MAX}"));
        }
        if invalid == 0 || invalid > SEARCH_PROBES_MAX {
            return refuse("at_most.invalid", format!("{invalid}; give 1 to {SEARCH_PROBES_MAX}"));
        }
        if time > SEARCH_TIME_MAX {
            return refuse("at_most.time", format!("longer than {SEARCH_TIME_MAX}"));
        }
        let first = HumanDuration(self.settle.0.saturating_add(self.probe.0));
        if time < first {
            return refuse("at_most.time", format!("{time} is shorter than one probe with what settles, {first}"));
        }
        Ok(())
    }
}

fn check_length(field: &'static str, length: HumanDuration) -> Result<(), SearchError> {
    if length.0 < SECOND_NS {
        return refuse(field, format!("{length}; give 1s or more"));
    }
    if length.0 > TIMEOUT_MAX_NS {
        return refuse(field, format!("{length}; give at most 1h"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> SearchSpec {
        crate::codec::from_text(text).unwrap()
    }

    #[test]
    fn the_smallest_search_says_between_which_rates() {
        let search = read("rate: {from: 50, to: 5000}");
        assert_eq!(search.check(), Ok(()));
        assert_eq!(search, SearchSpec::of_rate(search.rate.unwrap()));
        let rate = |rate: u64| Load::Rate(Rate::per_second(rate));
        assert_eq!(search.loads(), Some((rate(50), rate(50), rate(5_000))));
        assert_eq!((search.longest().to_string(), search.confirm_probe().to_string()), ("80s".into(), "40s".into()));
        let users = read("users: {from: 1, to: 90, start: 8}\nrecover: {at_most: 0s}\nat_most: {probes: 5}");
        assert_eq!(users.check(), Ok(()));
        assert_eq!(users.loads(), Some((Load::Users(1), Load::Users(8), Load::Users(90))));
        assert_eq!((users.at_most.probes, users.at_most.time), (5, SearchLimits::default().time));
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_field() {
        let rates = "rate: {from: 50, to: 5000}";
        for (text, field) in [
            ("probe: 20s", "rate"),
            ("rate: {from: 1, to: 2}\nusers: {from: 1, to: 2}", "users"),
            ("rate: {from: 0, to: 2}", "rate.from"),
            ("rate: {from: 2, to: 2}", "rate.to"),
            ("rate: {from: 2, to: 100000000}", "rate.to"),
            ("rate: {from: 2, to: 10, start: 11}", "rate.start"),
            ("users: {from: 0, to: 2}", "users.from"),
            ("users: {from: 3, to: 2}", "users.to"),
            ("users: {from: 3, to: 2000000}", "users.to"),
            ("users: {from: 3, to: 9, start: 2}", "users.start"),
            ("RATES\nprecision: 0%", "precision"),
            ("RATES\nprecision: 51%", "precision"),
            ("RATES\ngrowth: 1", "growth"),
            ("RATES\ngrowth: .nan", "growth"),
            ("RATES\nprobe: 900ms", "probe"),
            ("RATES\nprobe: 2h", "probe"),
            ("RATES\nsettle: 2h", "settle"),
            ("RATES\nlongest: 19s", "longest"),
            ("RATES\nprobe: 30m", "longest"),
            ("RATES\nconfirm: {probes: 0}", "confirm.probes"),
            ("RATES\nconfirm: {probes: 26}", "confirm.probes"),
            ("RATES\nconfirm: {probes: 4, pass: 2}", "confirm.pass"),
            ("RATES\nconfirm: {pass: 4}", "confirm.pass"),
            ("RATES\nconfirm: {probe: 10s}", "confirm.probe"),
            ("RATES\nrecover: {share: 0%}", "recover.share"),
            ("RATES\nrecover: {probe: 0s}", "recover.probe"),
            ("RATES\nrecover: {at_most: 1s}", "recover.at_most"),
            ("RATES\nrecover: {at_most: 2h}", "recover.at_most"),
            ("RATES\nat_most: {probes: 0}", "at_most.probes"),
            ("RATES\nat_most: {probes: 1001}", "at_most.probes"),
            ("RATES\nat_most: {invalid: 0}", "at_most.invalid"),
            ("RATES\nat_most: {time: 8d}", "at_most.time"),
            ("RATES\nat_most: {time: 21s}", "at_most.time"),
        ] {
            let text = text.replace("RATES", rates);
            let error = read(&text).check().unwrap_err();
            assert_eq!(error.field, field, "{text}: {error}");
            assert!(!error.problem.is_empty());
        }
    }
}
