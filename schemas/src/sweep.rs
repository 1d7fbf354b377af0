//! A sweep: one experiment with every combination of some factors' values, several times.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::spec::limits::VALUE_MAX_BYTES;

mod factor;
mod path;
mod report;

pub use factor::{Factor, value_text};
pub(crate) use path::FieldPath;
pub use path::PATH_MAX_BYTES;
pub use report::{
    SweepCapacity, SweepCell, SweepCurve, SweepDemand, SweepEffect, SweepEffects, SweepEstimate, SweepLevels,
    SweepPoint, SweepReport, SweepRun,
};

/// Most factors.
pub const FACTORS_MAX: usize = 8;
/// Most values of a factor.
pub const FACTOR_VALUES_MAX: usize = 64;
/// Most fields that a factor changes together.
pub const FACTOR_FIELDS_MAX: usize = 16;
/// Longest name of a factor, in characters.
pub const FACTOR_NAME_MAX_CHARACTERS: usize = 64;
/// Most repeats.
pub const SWEEP_REPEATS_MAX: u32 = 100;
/// Most runs of a sweep that asks for that many.
pub const SWEEP_RUNS_MAX: u32 = 10_000;

/// Runs the experiment with every combination of the factors' values, each as often as there are repeats (a full
/// factorial design), every run an experiment of its own.
///
/// A factor changes the fields that it names by their paths; one without paths changes what its name says: a field of
/// that path (`groups[0].rate`, `drain`), else the field of that name of the only group (`rate`, `users`), else the
/// variable of that name of every group that has it (`variables`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepSpec {
    /// What differs, by its name: 1 to 8 factors of 2 to 64 values.
    pub factors: BTreeMap<String, Factor>,
    /// How often each combination is run, 1 to 100. With 1 the spread between runs cannot be seen.
    #[serde(default = "default_repeats")]
    pub repeats: u32,
    /// In which order.
    #[serde(default)]
    pub order: SweepOrder,
    /// Whether all combinations are run once before any is run again: what changes slowly is then the same for all of
    /// them, and can be told from what the factors do. Else all runs are one set.
    #[serde(default = "default_blocks")]
    pub blocks: bool,
    /// Seed of the order; that of the experiment when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Name of the factor that is the load, for the tables of capacity and demand; when absent, the one that changes a
    /// `rate` or `users`, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<String>,
    /// Name of the factor that is the resource, whose values are numbers: of which the least is looked for that passes
    /// at each load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Runs that it may have, 1 to 10000: combinations times repeats.
    #[serde(default = "default_at_most")]
    pub at_most: u32,
}

/// In which order the runs of a sweep are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SweepOrder {
    /// At random, the same for the same seed: what changes while they are made does not look like a factor.
    #[default]
    Random,
    /// As the combinations are numbered: by the factors' names, the values of the last one changing first.
    Written,
}

fn default_repeats() -> u32 {
    3
}

fn default_blocks() -> bool {
    true
}

fn default_at_most() -> u32 {
    500
}

/// Why a sweep cannot be as wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("sweep {field}: {problem}")]
pub struct SweepError {
    /// The field.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub problem: String,
}

fn refuse<T>(field: impl Into<String>, problem: impl Into<String>) -> Result<T, SweepError> {
    Err(SweepError { field: field.into(), problem: problem.into() })
}

/// The identifier of a run of the sweep `id`: of a combination and a repeat, both counted from 1.
pub fn run_id(id: &str, combination: u64, repeat: u32) -> String {
    format!("{id}-c{combination}-r{repeat}")
}

impl SweepSpec {
    /// Of these factors, with everything else as when it is not said.
    pub fn of_factors(factors: BTreeMap<String, Factor>) -> Self {
        Self {
            factors,
            repeats: default_repeats(),
            order: SweepOrder::default(),
            blocks: default_blocks(),
            seed: None,
            load: None,
            resource: None,
            at_most: default_at_most(),
        }
    }

    /// How many combinations there are.
    pub fn combinations(&self) -> u64 {
        self.factors.values().fold(1u64, |product, factor| product.saturating_mul(factor.values.len() as u64))
    }

    /// How many runs there are.
    pub fn runs(&self) -> u64 {
        self.combinations().saturating_mul(u64::from(self.repeats))
    }

    /// The values of a combination by the factors' names; combinations are numbered from 1, the values of the last
    /// factor changing first. Nothing for a number that there is not.
    pub fn levels(&self, combination: u64) -> BTreeMap<String, Value> {
        let Some(mut left) = combination.checked_sub(1).filter(|_| combination <= self.combinations()) else {
            return BTreeMap::new();
        };
        let mut levels = BTreeMap::new();
        for (name, factor) in self.factors.iter().rev() {
            let count = (factor.values.len() as u64).max(1);
            if let Some(value) = usize::try_from(left % count).ok().and_then(|at| factor.values.get(at)) {
                levels.insert(name.clone(), value.clone());
            }
            left /= count;
        }
        levels
    }

    /// The factor that is the load: the one that is named, else the only one that changes a `rate` or `users`.
    pub fn load_factor(&self) -> Option<&str> {
        if let Some(name) = &self.load {
            return Some(name);
        }
        let is_load = |text: &str| FieldPath::read(text).is_ok_and(|path| ["rate", "users"].contains(&path.leaf()));
        let mut loads = self.factors.iter().filter(|(name, factor)| match factor.fields.as_slice() {
            [] => is_load(name),
            fields => fields.iter().all(|field| is_load(field)),
        });
        loads.next().filter(|_| loads.next().is_none()).map(|(name, _)| name.as_str())
    }

    /// Refuses what cannot be, by field.
    ///
    /// # Errors
    /// When a field is outside its limits, which the error names.
    pub fn check(&self) -> Result<(), SweepError> {
        if self.factors.is_empty() || self.factors.len() > FACTORS_MAX {
            return refuse("factors", format!("{} of them; give 1 to {FACTORS_MAX}", self.factors.len()));
        }
        for (name, factor) in &self.factors {
            check_factor(name, factor)?;
        }
        if !(1..=SWEEP_REPEATS_MAX).contains(&self.repeats) {
            return refuse("repeats", format!("{}; give 1 to {SWEEP_REPEATS_MAX}", self.repeats));
        }
        for (field, name) in [("load", &self.load), ("resource", &self.resource)] {
            if let Some(name) = name.as_ref().filter(|name| !self.factors.contains_key(*name)) {
                let shown: String = name.chars().take(64).collect();
                let known: Vec<&str> = self.factors.keys().map(String::as_str).collect();
                return refuse(field, format!("no factor is named `{shown}`{}", crate::suggest::instead(name, &known)));
            }
        }
        if self.resource.is_some() && self.resource.as_deref() == self.load_factor() {
            return refuse("resource", "it is the load already");
        }
        if !(1..=SWEEP_RUNS_MAX).contains(&self.at_most) {
            return refuse("at_most", format!("{}; give 1 to {SWEEP_RUNS_MAX}", self.at_most));
        }
        if self.runs() > u64::from(self.at_most) {
            let counts: Vec<String> = self.factors.values().map(|factor| factor.values.len().to_string()).collect();
            let problem = format!(
                "{} × {} repeats are {} runs, at most {} (`at_most`, up to {SWEEP_RUNS_MAX}); give fewer of one",
                counts.join(" × "),
                self.repeats,
                self.runs(),
                self.at_most
            );
            return refuse("factors", problem);
        }
        Ok(())
    }
}

fn check_factor(name: &str, factor: &Factor) -> Result<(), SweepError> {
    let shown: String = name.chars().take(FACTOR_NAME_MAX_CHARACTERS).collect();
    let field = format!("factors.{}", shown.escape_debug());
    let is_long = name.chars().count() > FACTOR_NAME_MAX_CHARACTERS;
    if name.trim().is_empty() || is_long || name.chars().any(char::is_control) {
        let problem =
            format!("name empty, longer than {FACTOR_NAME_MAX_CHARACTERS} characters, or with control characters");
        return refuse(field, problem);
    }
    if !(2..=FACTOR_VALUES_MAX).contains(&factor.values.len()) {
        let problem = format!("{} values; give 2 to {FACTOR_VALUES_MAX}", factor.values.len());
        return refuse(field, problem);
    }
    if factor.fields.len() > FACTOR_FIELDS_MAX {
        return refuse(field, format!("{} fields; give at most {FACTOR_FIELDS_MAX}", factor.fields.len()));
    }
    let mut seen = BTreeSet::new();
    for value in &factor.values {
        match value {
            Value::Bool(_) | Value::Number(_) => {}
            Value::String(text) if text.len() <= VALUE_MAX_BYTES => {}
            Value::String(_) => return refuse(field, format!("a value is longer than {VALUE_MAX_BYTES} bytes")),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return refuse(field, "a value is a text, a number, true or false");
            }
        }
        let text = value_text(value);
        if !seen.insert(text.clone()) {
            let text: String = text.chars().take(64).collect();
            return refuse(field, format!("`{text}` is there twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
