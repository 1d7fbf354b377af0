//! A sweep: what its specification must keep to, and the experiments that are its runs.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::names::TOKEN_MAX_BYTES;
use crate::spec::ExperimentSpec;
use crate::spec::check::{SpecError, refuse};
use crate::sweep::{Factor, FieldPath, SweepSpec, run_id, value_text};
use crate::tree::Node;

/// Longest name of an experiment, in bytes.
const NAME_MAX_BYTES: usize = 256;

/// Fields of a group that a factor's name alone may mean.
const GROUP_FIELDS: [&str; 13] = [
    "rate",
    "users",
    "arrivals",
    "duration",
    "iterations",
    "think_time",
    "timeout",
    "max_in_flight",
    "max_users",
    "max_connections",
    "connections",
    "http",
    "compression",
];

/// Fields that are the sweep's own, or no part of what is run.
const NOT_FACTORS: [&str; 7] = ["id", "name", "seed", "bundle", "scaling", "search", "sweep"];

impl ExperimentSpec {
    /// Refuses what cannot be run with every combination; says which field and why. Without `sweep` there are none.
    ///
    /// Each value of each factor is looked at beside the first ones of the others. What a combination of others makes
    /// impossible is told when it is to be run.
    ///
    /// # Errors
    /// When a field does not make sense, which the error names.
    pub fn validate_sweep(&self) -> Result<(), SpecError> {
        let Some(sweep) = &self.sweep else {
            return refuse("sweep", "missing: it says which factors there are");
        };
        sweep.check().map_err(|error| SpecError { field: format!("sweep.{}", error.field), problem: error.problem })?;
        for (field, is_given) in [("scaling", self.scaling.is_some()), ("search", self.search.is_some())] {
            if is_given {
                return refuse(field, "leave it out: there is a sweep");
            }
        }
        let suffix = run_id("", sweep.combinations(), sweep.repeats).len();
        if self.id.as_ref().is_some_and(|id| id.len() + suffix > TOKEN_MAX_BYTES) {
            let most = TOKEN_MAX_BYTES - suffix;
            return refuse("id", format!("longer than {most} bytes: each run gets up to {suffix} more"));
        }
        let mut taken: BTreeMap<FieldPath, &str> = BTreeMap::new();
        for (name, factor) in &sweep.factors {
            for path in self.factor_paths(name, factor)? {
                if let Some(other) = taken.insert(path, name) {
                    let problem = format!("it changes the same field as `{other}`");
                    return refuse(format!("sweep.factors.{name}"), problem);
                }
            }
        }
        let id = self.id.as_deref().unwrap_or("s");
        self.sweep_run(sweep, id, 1, sweep.repeats)?.validate()?;
        // From the last factor on, whose values change first.
        let mut stride = 1;
        for (name, factor) in sweep.factors.iter().rev() {
            for (at, value) in (1u64..).zip(factor.values.iter().skip(1)) {
                let run = self.sweep_run(sweep, id, 1 + at * stride, sweep.repeats)?;
                run.validate().map_err(|error| told(name, value, &error.field, &error.problem))?;
            }
            stride *= factor.values.len() as u64;
        }
        Ok(())
    }

    /// The experiment that is a run of the sweep `id`: of a combination and a repeat, both counted from 1. All runs of
    /// a repeat have one seed, those of another another one.
    ///
    /// # Errors
    /// A factor whose field cannot have the value.
    pub fn sweep_run(&self, sweep: &SweepSpec, id: &str, combination: u64, repeat: u32) -> Result<Self, SpecError> {
        let levels = sweep.levels(combination);
        let mut document = serde_json::to_value(Self { sweep: None, ..self.clone() })
            .map_err(|error| SpecError { field: "sweep".to_owned(), problem: error.to_string() })?;
        for (name, value) in &levels {
            let Some(factor) = sweep.factors.get(name) else { continue };
            for path in self.factor_paths(name, factor)? {
                let set = path.set(&mut document, value.clone());
                set.map_err(|problem| SpecError { field: format!("sweep.factors.{name}"), problem })?;
            }
        }
        let read = Node::deserialize(document)
            .map_err(|error| error.to_string())
            .and_then(|node| node.read::<Self>().map_err(|error| format!("{}: {}", error.field(), error.problem)));
        let spec = read.map_err(|problem| {
            let told: Vec<String> = levels.iter().map(|(name, value)| format!("{name} {}", shown(value))).collect();
            SpecError { field: "sweep.factors".to_owned(), problem: format!("{problem}; with {}", told.join(", ")) }
        })?;
        Ok(self.as_run(spec, sweep, id, (combination, repeat), &levels))
    }

    /// With what tells a run from the others.
    fn as_run(
        &self,
        spec: Self,
        sweep: &SweepSpec,
        id: &str,
        (combination, repeat): (u64, u32),
        levels: &BTreeMap<String, Value>,
    ) -> Self {
        let mut metadata = spec.metadata.clone();
        let numbers =
            [("sweep", id.to_owned()), ("combination", combination.to_string()), ("repeat", repeat.to_string())];
        metadata.extend(numbers.map(|(key, value)| (key.to_owned(), value)));
        metadata.extend(levels.iter().map(|(name, value)| (format!("factor.{name}"), value_text(value))));
        let values: Vec<String> = levels.iter().map(|(name, value)| format!("{name} {}", shown(value))).collect();
        let named = self.name.as_ref().map(|name| {
            let repeats = sweep.repeats;
            format!("{name}, {}, {repeat}/{repeats}", values.join(", "))
        });
        Self {
            id: Some(run_id(id, combination, repeat)),
            name: named.filter(|name| name.len() <= NAME_MAX_BYTES).or_else(|| self.name.clone()),
            seed: self.seed.wrapping_add(u64::from(repeat.saturating_sub(1))),
            metadata,
            ..spec
        }
    }

    /// The fields that a factor changes.
    fn factor_paths(&self, name: &str, factor: &Factor) -> Result<Vec<FieldPath>, SpecError> {
        let field = || format!("sweep.factors.{name}");
        let read = |text: &str| FieldPath::read(text).or_else(|problem| refuse(field(), problem));
        let paths = if !factor.fields.is_empty() {
            factor.fields.iter().map(|text| read(text)).collect::<Result<Vec<FieldPath>, SpecError>>()?
        } else if name.contains(['.', '[']) {
            vec![read(name)?]
        } else {
            self.named_paths(name).or_else(|problem| refuse(field(), problem))?
        };
        match paths.iter().find(|path| NOT_FACTORS.contains(&path.root())) {
            Some(path) => refuse(field(), format!("`{}` is no factor: it is not what is run", path.root())),
            None => Ok(paths),
        }
    }

    /// The fields that a name without a path means.
    fn named_paths(&self, name: &str) -> Result<Vec<FieldPath>, String> {
        if GROUP_FIELDS.contains(&name) {
            return match self.groups.len() {
                1 => Ok(vec![FieldPath::in_group(0, &[name])]),
                count => Err(format!("there are {count} groups: give `fields`, as in groups[0].{name}")),
            };
        }
        let has_it = self.groups.iter().enumerate().filter(|(_, group)| group.variables.contains_key(name));
        let paths: Vec<FieldPath> = has_it.map(|(index, _)| FieldPath::in_group(index, &["variables", name])).collect();
        if paths.is_empty() {
            let known = GROUP_FIELDS.join(", ");
            return Err(format!(
                "no group has a variable of that name, and it is no field that a name alone may mean ({known}): give \
                 `fields`"
            ));
        }
        Ok(paths)
    }
}

fn shown(value: &Value) -> String {
    value_text(value).chars().take(64).collect()
}

fn told(name: &str, value: &Value, field: &str, problem: &str) -> SpecError {
    SpecError { field: format!("sweep.factors.{name}"), problem: format!("with {}: {field}: {problem}", shown(value)) }
}

#[cfg(test)]
mod tests;
