//! What is known of each load that was tried.

use nuncius_schemas::search::{Load, SearchOutcome, SearchPurpose, SearchRecord, SearchSpec};
use nuncius_schemas::units::{HumanDuration, Rate};

/// A load as a whole number: millionths of an arrival per hour, or users.
pub(super) const fn units(load: Load) -> u64 {
    match load {
        Load::Rate(rate) => rate.0,
        Load::Users(users) => users as u64,
    }
}

/// The load of so many units, of the kind of another.
pub(super) fn of_units(kind: Load, units: u64) -> Load {
    match kind {
        Load::Rate(_) => Load::Rate(Rate(units)),
        Load::Users(_) => Load::Users(u32::try_from(units).unwrap_or(u32::MAX)),
    }
}

/// How a load stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Undetermined so far: to be repeated with this length.
    Open(HumanDuration),
    /// The generator could not be trusted, and may yet be.
    Doubtful,
    /// It passes.
    Passed,
    /// It does not, or has not been shown to.
    NotPassed,
    /// The generator cannot be trusted there.
    Untrusted,
}

/// A load and its probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) load: Load,
    pub(super) standing: Standing,
    /// Enough confirming probes agree.
    pub(super) is_confirmed: bool,
    /// Confirming probes that passed, and all of them.
    pub(super) passed: u32,
    pub(super) confirming: u32,
    /// What the first probe said that decided anything.
    pub(super) first: Option<Decision>,
}

/// What a probe says of its load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) is_pass: bool,
    pub(super) length: HumanDuration,
}

/// All loads that were probed, rising.
pub(super) fn tried(search: &SearchSpec, history: &[SearchRecord]) -> Vec<Tried> {
    let mut tried: Vec<Tried> = Vec::new();
    let mut invalid: Vec<(Load, u32)> = Vec::new();
    for record in history.iter().filter(|record| record.probe.purpose != SearchPurpose::Recover) {
        let load = record.probe.load;
        let place = tried.binary_search_by_key(&units(load), |known| units(known.load));
        let place = place.unwrap_or_else(|place| {
            tried.insert(place, Tried::new(load));
            place
        });
        let Some(known) = tried.get_mut(place) else { continue };
        let in_a_row = count_invalid(&mut invalid, record);
        if record.outcome == SearchOutcome::Invalid {
            known.note_invalid(in_a_row >= search.at_most.invalid);
        } else {
            known.note(search, record);
        }
    }
    tried
}

/// How many probes of the record's load in a row were invalid, it included.
fn count_invalid(invalid: &mut Vec<(Load, u32)>, record: &SearchRecord) -> u32 {
    if record.outcome != SearchOutcome::Invalid {
        invalid.retain(|(load, _)| *load != record.probe.load);
        return 0;
    }
    if let Some((_, count)) = invalid.iter_mut().find(|(load, _)| *load == record.probe.load) {
        *count += 1;
        return *count;
    }
    invalid.push((record.probe.load, 1));
    1
}

impl Tried {
    const fn new(load: Load) -> Self {
        Self { load, standing: Standing::Doubtful, is_confirmed: false, passed: 0, confirming: 0, first: None }
    }

    /// Whether the confirming probes say the opposite of the first one, which said `is_pass`.
    pub(super) fn contradicts(&self, is_pass: bool) -> bool {
        let now_passes = self.standing == Standing::Passed;
        self.is_confirmed && now_passes != is_pass && self.first.is_some_and(|first| first.is_pass == is_pass)
    }

    /// What was decided stands, unless the generator cannot be trusted there at all.
    fn note_invalid(&mut self, is_last: bool) {
        if is_last {
            self.standing = Standing::Untrusted;
        }
    }

    fn note(&mut self, search: &SearchSpec, record: &SearchRecord) {
        let length = record.probe.length;
        if record.probe.purpose == SearchPurpose::Confirm {
            self.confirming += 1;
            self.passed += u32::from(record.outcome == SearchOutcome::Pass);
            if self.passed >= search.confirm.pass {
                (self.standing, self.is_confirmed) = (Standing::Passed, true);
            } else if self.confirming - self.passed > search.confirm.probes.saturating_sub(search.confirm.pass) {
                (self.standing, self.is_confirmed) = (Standing::NotPassed, true);
            }
            return;
        }
        if self.first.is_some() {
            return;
        }
        self.standing = match record.outcome {
            SearchOutcome::Pass => Standing::Passed,
            SearchOutcome::Fail => Standing::NotPassed,
            SearchOutcome::Undetermined if length < search.longest() => {
                let longer = HumanDuration(length.0.saturating_mul(2)).min(search.longest());
                self.standing = Standing::Open(longer);
                return;
            }
            // However long it is, it cannot be told: it has not been shown to pass.
            SearchOutcome::Undetermined => Standing::NotPassed,
            SearchOutcome::Invalid | SearchOutcome::Broken => return,
        };
        self.first = Some(Decision { is_pass: self.standing == Standing::Passed, length });
    }

    /// Length of a probe that confirms it.
    pub(super) fn confirm_length(&self, search: &SearchSpec) -> HumanDuration {
        search.confirm_probe().max(self.first.map_or(HumanDuration(0), |first| first.length))
    }
}
