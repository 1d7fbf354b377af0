//! A search: what its specification must keep to, and the experiments that are its probes.

use crate::names::TOKEN_MAX_BYTES;
use crate::search::{Load, SearchProbe, SearchPurpose, SearchSpec};
use crate::spec::check::{SpecError, refuse};
use crate::spec::{ExperimentSpec, Group};
use crate::units::HumanDuration;

/// Longest name of an experiment, in bytes.
const NAME_MAX_BYTES: usize = 256;

impl ExperimentSpec {
    /// Refuses what no load can be searched for; says which field and why. Without `search` there is none.
    ///
    /// # Errors
    /// When a field does not make sense, which the error names.
    pub fn validate_search(&self) -> Result<(), SpecError> {
        let Some(search) = &self.search else {
            return refuse("search", "missing: it says between which loads the highest is looked for");
        };
        search
            .check()
            .map_err(|error| SpecError { field: format!("search.{}", error.field), problem: error.problem })?;
        let others = [
            ("scaling", self.scaling.is_some()),
            ("sweep", self.sweep.is_some()),
            ("amendments", !self.amendments.is_empty()),
        ];
        for (field, is_given) in others {
            if is_given {
                return refuse(field, "leave it out: there is a search");
            }
        }
        let suffix = probe_id("", last_number(search)).len();
        if self.id.as_ref().is_some_and(|id| id.len() + suffix > TOKEN_MAX_BYTES) {
            let most = TOKEN_MAX_BYTES - suffix;
            return refuse("id", format!("longer than {most} bytes: each probe gets up to {suffix} more"));
        }
        if self.gates.is_empty() {
            return refuse("gates", "missing: they say what must hold at the load that is looked for");
        }
        let searched = self.searched_group(search)?;
        for (index, group) in self.groups.iter().enumerate() {
            check_group(index, group, index == searched)?;
        }
        self.validate_probes(search)
    }

    /// Number of the group whose load is searched.
    ///
    /// # Errors
    /// Where none is meant, or several could be.
    pub fn searched_group(&self, search: &SearchSpec) -> Result<usize, SpecError> {
        match (&search.group, self.groups.len()) {
            (Some(name), _) => match self.groups.iter().position(|group| group.name == *name) {
                Some(index) => Ok(index),
                None => {
                    let shown: String = name.chars().take(64).collect();
                    let known: Vec<&str> = self.groups.iter().map(|group| group.name.as_str()).collect();
                    let instead = crate::suggest::instead(name, &known);
                    refuse("search.group", format!("no group is named `{shown}`{instead}"))
                }
            },
            (None, 1) => Ok(0),
            (None, 0) => refuse("groups", "empty: a search needs a group whose load it is"),
            (None, count) => refuse("search.group", format!("missing: there are {count} groups")),
        }
    }

    /// The experiment that is a probe of the search `id`. The group of this number has the load; all offer load for as
    /// long as the probe lasts, and what begins in the time to settle does not count.
    pub fn search_probe(&self, searched: usize, id: &str, probe: &SearchProbe) -> Self {
        let duration = HumanDuration(probe.settle.0.saturating_add(probe.length.0));
        let mut metadata = self.metadata.clone();
        for (key, value) in [("search", id.to_owned()), ("load", probe.load.to_string())] {
            metadata.insert(key.to_owned(), value);
        }
        let groups = self.groups.iter().enumerate().map(|(index, group)| {
            let group = Group { duration: Some(duration), warm_up: probe.settle, ..group.clone() };
            match (index == searched, probe.load) {
                (false, _) => group,
                (true, Load::Rate(rate)) => Group { rate: Some(rate), ..group },
                (true, Load::Users(users)) => Group { users: Some(users), ..group },
            }
        });
        let named = self.name.as_ref().map(|name| format!("{name}, probe {} at {}", probe.number, probe.load));
        Self {
            id: Some(probe_id(id, probe.number)),
            name: named.filter(|name| name.len() <= NAME_MAX_BYTES).or_else(|| self.name.clone()),
            metadata,
            groups: groups.collect(),
            search: None,
            ..self.clone()
        }
    }

    /// The shortest and the longest probe, at the lowest and the highest load, and a recovery.
    fn validate_probes(&self, search: &SearchSpec) -> Result<(), SpecError> {
        let searched = self.searched_group(search)?;
        let Some((lowest, _, highest)) = search.loads() else { return Ok(()) };
        let recovery = (search.recover.at_most.0 > 0).then_some((lowest, search.recover.probe, SearchPurpose::Recover));
        let probes = [
            (lowest, search.probe, SearchPurpose::Bracket),
            (highest, search.longest(), SearchPurpose::Bracket),
            (highest, search.confirm_probe(), SearchPurpose::Confirm),
        ];
        for (load, length, purpose) in probes.into_iter().chain(recovery) {
            let settle = if purpose == SearchPurpose::Recover { HumanDuration(0) } else { search.settle };
            let probe = SearchProbe { number: last_number(search), load, length, settle, purpose };
            let id = self.id.as_deref().unwrap_or("s");
            self.search_probe(searched, id, &probe).validate().map_err(|error| {
                let what = if purpose == SearchPurpose::Recover { "a recovery" } else { "a probe" };
                SpecError { field: error.field, problem: format!("{}; in {what} of {length}", error.problem) }
            })?;
        }
        Ok(())
    }
}

fn probe_id(id: &str, number: u32) -> String {
    format!("{id}-p{number}")
}

/// The highest number that an experiment of the search can have: each probe may be followed by recoveries.
fn last_number(search: &SearchSpec) -> u32 {
    let recoveries = search.recover.at_most.0.checked_div(search.recover.probe.0).unwrap_or(0);
    let all = u64::from(search.at_most.probes).saturating_mul(recoveries.saturating_add(1));
    u32::try_from(all).unwrap_or(u32::MAX)
}

/// What follows from the search is not given by the group; what the others offer does not change.
fn check_group(index: usize, group: &Group, is_searched: bool) -> Result<(), SpecError> {
    let follows = "leave it out: it follows from `search`";
    let given = [
        ("duration", group.duration.is_some()),
        ("iterations", group.iterations.is_some()),
        ("stages", !group.stages.is_empty()),
        ("pattern", group.pattern.is_some()),
        ("arrivals", group.arrivals.recorded().is_some()),
        ("warm_up", group.warm_up.0 > 0),
        ("rate", is_searched && group.rate.is_some()),
        ("users", is_searched && group.users.is_some()),
        ("rate_per_node", is_searched && group.rate_per_node),
    ];
    if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
        return refuse(format!("groups[{index}].{name}"), follows);
    }
    if !is_searched && group.rate.is_none() && group.users.is_none() {
        return refuse(
            format!("groups[{index}].rate"),
            "missing: give rate or users, as the search is for another group",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
