//! An experiment that steps workers: what its specification must keep to, and the experiments it is measured by.

use crate::names::TOKEN_MAX_BYTES;
use crate::scaling::ScalingSpec;
use crate::spec::check::{SpecError, refuse};
use crate::spec::limits::USERS_MAX;
use crate::spec::{EngineKind, ExperimentSpec, Group, RecordsMode};

/// Longest name of an experiment, in bytes.
const NAME_MAX_BYTES: usize = 256;

impl ExperimentSpec {
    /// Refuses what `nuncius run` cannot step workers for; says which field and why. Without `scaling` there is nothing
    /// to step.
    ///
    /// # Errors
    /// When a field does not make sense, which the error names.
    pub fn validate_scaling(&self) -> Result<(), SpecError> {
        let Some(scaling) = &self.scaling else {
            return refuse("scaling", "missing: it says which numbers of workers are measured");
        };
        scaling
            .check()
            .map_err(|error| SpecError { field: format!("scaling.{}", error.field), problem: error.problem })?;
        let largest = scaling.steps.last().copied().unwrap_or_default();
        let suffix = measurement_id("", largest, scaling.repeats).len();
        if self.id.as_ref().is_some_and(|id| id.len() + suffix > TOKEN_MAX_BYTES) {
            let most = TOKEN_MAX_BYTES - suffix;
            return refuse("id", format!("longer than {most} bytes: each measurement gets {suffix} more"));
        }
        let [group] = self.groups.as_slice() else {
            let problem = format!("{} of them; workers are stepped for exactly one, of a queue", self.groups.len());
            return refuse("groups", problem);
        };
        check_group(group)?;
        if !self.gates.is_empty() {
            return refuse("gates", "`min_efficiency` judges a scaling experiment; leave them out");
        }
        if self.records != RecordsMode::None {
            return refuse("records", "would burden the measurements; leave it out");
        }
        let users = scaling.users(largest);
        if users > u64::from(USERS_MAX) {
            let problem = format!(
                "{largest} workers of {} slots with {} jobs each need {users} users, at most {USERS_MAX}; give less of one",
                scaling.workers.slots(),
                scaling.jobs_per_slot
            );
            return refuse("scaling.steps", problem);
        }
        self.measurement(scaling, self.id.as_deref().unwrap_or("scaling"), largest, scaling.repeats).validate()
    }

    /// The queue whose workers are stepped; `None` where the first group is of no queue.
    pub fn scaled_queue(&self) -> Option<&str> {
        self.groups.first()?.target.strip_prefix("queue://")
    }

    /// The experiment that measures a step of `workers` workers for the `repeat`th time, counted from 1, as part of the
    /// scaling experiment `id`.
    pub fn measurement(&self, scaling: &ScalingSpec, id: &str, workers: u32, repeat: u32) -> Self {
        let own = measurement_id(id, workers, repeat);
        let named = self.name.as_ref().map(|name| format!("{name}, {workers} workers, {repeat}/{}", scaling.repeats));
        let mut metadata = self.metadata.clone();
        for (key, value) in
            [("scaling", id.to_owned()), ("workers", workers.to_string()), ("repeat", repeat.to_string())]
        {
            metadata.insert(key.to_owned(), value);
        }
        let users = u32::try_from(scaling.users(workers)).unwrap_or(u32::MAX);
        let load = |group: &Group| Group { users: Some(users), duration: Some(scaling.offered()), ..group.clone() };
        Self {
            id: Some(own),
            name: named.filter(|name| name.len() <= NAME_MAX_BYTES).or_else(|| self.name.clone()),
            metadata,
            groups: self.groups.iter().map(load).collect(),
            gates: Vec::new(),
            records: RecordsMode::None,
            scaling: None,
            ..self.clone()
        }
    }
}

fn measurement_id(id: &str, workers: u32, repeat: u32) -> String {
    format!("{id}-w{workers}-r{repeat}")
}

fn check_group(group: &Group) -> Result<(), SpecError> {
    let field = |name: &str| format!("groups[0].{name}");
    if group.engine != EngineKind::Queue {
        return refuse(field("engine"), "workers are stepped for `engine: queue`");
    }
    if group.target.contains("${") {
        return refuse(field("target"), "name the queue itself: its workers are counted outside the nodes");
    }
    if group.steps.len() > 1 {
        return refuse(field("steps"), "more than one: jobs are counted, so an iteration is one job");
    }
    let given = [
        ("users", group.users.is_some()),
        ("rate", group.rate.is_some()),
        ("stages", !group.stages.is_empty()),
        ("pattern", group.pattern.is_some()),
        ("arrivals", group.arrivals.recorded().is_some()),
        ("rate_per_node", group.rate_per_node),
        ("duration", group.duration.is_some()),
        ("iterations", group.iterations.is_some()),
    ];
    if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
        return refuse(field(name), "leave it out: the load follows from `scaling`");
    }
    if group.think_time.0 > 0 {
        return refuse(field("think_time"), "leave it out: slots would wait for jobs");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
