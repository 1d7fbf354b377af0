//! Refuses amendments that make no sense.

use std::collections::BTreeMap;

use crate::amendment::{Amendment, Change, NOTE_MAX_BYTES};
use crate::interarrival::CLIENTS_MAX;
use crate::route::Weight;
use crate::spec::check::refuse;
use crate::spec::limits::{AMENDMENTS_MAX, DURATION_MAX_NS, RATE_MAX, USERS_MAX};
use crate::spec::{EngineKind, ExperimentSpec, Group, SpecError};
use crate::units::Rate;

impl Group {
    /// The scenarios with their weights, as written.
    pub fn scenario_weights(&self) -> Vec<(&str, Weight)> {
        self.scenarios.iter().map(|scenario| (scenario.name.as_str(), Weight::whole(scenario.weight))).collect()
    }

    /// The most users that amendments may give the group: `max_users`, else ten times as many as it was written with,
    /// and at least a hundred. 0 in the open model.
    pub fn users_limit(&self) -> u32 {
        let users = self.users.unwrap_or(0);
        match (users, self.max_users) {
            (0, _) => 0,
            (_, Some(limit)) => limit.max(users),
            (_, None) => users.saturating_mul(10).clamp(100, USERS_MAX).max(users),
        }
    }
}

impl ExperimentSpec {
    /// How long the load of a group is offered, as it was amended, in nanoseconds; `None` for a closed group that is
    /// bounded by iterations alone.
    pub fn offered_ns_of(&self, group: &Group) -> Option<u64> {
        let is_end = |one: &&Amendment| one.change == Change::End && one.concerns(&group.name);
        let ended_ns = self.amendments.iter().find(is_end).map(|amendment| amendment.at.0);
        group.offered_ns().into_iter().chain(ended_ns).min()
    }

    /// When the load of all groups is over, as it was amended, in nanoseconds of run time; `None` where the iterations
    /// of one decide that.
    pub fn amended_end_ns(&self) -> Option<u64> {
        let ends: Option<Vec<u64>> = self.groups.iter().map(|group| self.offered_ns_of(group)).collect();
        ends?.into_iter().max()
    }

    /// Refuses an amendment that cannot be made; `path` is its field.
    ///
    /// # Errors
    /// The field that does not make sense, and why.
    pub fn check_amendment(&self, path: &str, amendment: &Amendment) -> Result<(), SpecError> {
        if amendment.at.0 > DURATION_MAX_NS {
            return refuse(format!("{path}.at"), "later than any load may last: 30 days");
        }
        for (field, text) in [("reason", Some(&amendment.reason)), ("who", amendment.who.as_ref())] {
            if text.is_some_and(|text| text.len() > NOTE_MAX_BYTES || text.chars().any(char::is_control)) {
                let problem = format!("longer than {NOTE_MAX_BYTES} bytes, or holds control characters");
                return refuse(format!("{path}.{field}"), problem);
            }
        }
        let concerned: Vec<&Group> = self.groups.iter().filter(|group| amendment.concerns(&group.name)).collect();
        if concerned.is_empty() {
            let name = amendment.group.as_deref().unwrap_or_default();
            let known: Vec<&str> = self.groups.iter().map(|group| group.name.as_str()).collect();
            return refuse(format!("{path}.group"), format!("no group `{name}`: there are {}", known.join(", ")));
        }
        let change = format!("{path}.change");
        for group in &concerned {
            check_change(&change, group, &amendment.change)?;
        }
        match &amendment.change {
            Change::Weights(weights) => self.check_weights(&change, amendment, weights),
            Change::Rate(_) | Change::Users(_) if concerned.len() > 1 => {
                refuse(format!("{path}.group"), "say which group: several would each get as much")
            }
            Change::Rate(_) | Change::Users(_) | Change::Scale(_) | Change::Pause | Change::Resume | Change::End => {
                Ok(())
            }
        }
    }

    /// Refuses weights of scenarios that no group has, and those after which none would be taken.
    fn check_weights(
        &self,
        path: &str,
        amendment: &Amendment,
        weights: &BTreeMap<String, Weight>,
    ) -> Result<(), SpecError> {
        let path = format!("{path}.weights");
        let before = |known: &&Amendment| known.at <= amendment.at && *known != amendment;
        for group in self.groups.iter().filter(|group| amendment.concerns(&group.name)) {
            let mut all = group.scenario_weights();
            if all.is_empty() {
                return refuse(path, format!("group {} has no scenarios", group.name));
            }
            for known in self.amendments.iter().filter(before).filter(|known| known.concerns(&group.name)) {
                if let Change::Weights(weights) = &known.change {
                    all.iter_mut().for_each(|(name, weight)| *weight = weights.get(*name).copied().unwrap_or(*weight));
                }
            }
            for (name, wanted) in weights {
                let Some((_, weight)) = all.iter_mut().find(|(known, _)| known == name) else {
                    let known: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
                    let problem =
                        format!("no scenario `{name}` in group {}: there are {}", group.name, known.join(", "));
                    return refuse(path, problem);
                };
                *weight = *wanted;
            }
            if all.iter().all(|(_, weight)| *weight == Weight::ZERO) {
                return refuse(path, format!("no scenario of group {} would have a weight over 0", group.name));
            }
        }
        Ok(())
    }

    /// Refuses amendments that cannot be made, or are not in the order of their instants.
    pub(crate) fn check_amendments(&self) -> Result<(), SpecError> {
        if self.amendments.len() > AMENDMENTS_MAX {
            let problem = format!("{} entries, at most {AMENDMENTS_MAX} are taken", self.amendments.len());
            return refuse("amendments", problem);
        }
        for (index, amendment) in self.amendments.iter().enumerate() {
            let path = format!("amendments[{index}]");
            self.check_amendment(&path, amendment)?;
            let before = index.checked_sub(1).and_then(|before| self.amendments.get(before));
            if before.is_some_and(|before| before.at > amendment.at) {
                return refuse(format!("{path}.at"), "before the one above: they are written in the order of time");
            }
        }
        Ok(())
    }
}

fn check_change(path: &str, group: &Group, change: &Change) -> Result<(), SpecError> {
    let name = &group.name;
    if group.engine == EngineKind::Servo {
        return refuse(path, format!("group {name} is of servos, which pace themselves"));
    }
    match change {
        // Of the scenarios of all groups together.
        Change::Pause | Change::Resume | Change::End | Change::Weights(_) => Ok(()),
        Change::Rate(_) if !group.is_open() => {
            refuse(path, format!("group {name} has users and no rate: change its `users`, or `scale` it"))
        }
        Change::Rate(_) if group.clients.is_some() => refuse(
            path,
            format!("the clients of group {name} decide when they send: `scale` it, or change its `users`"),
        ),
        Change::Rate(_) | Change::Users(_) if group.arrivals.recorded().is_some() => {
            refuse(path, format!("a file says when the arrivals of group {name} are: `scale` how fast it is played"))
        }
        Change::Rate(rate) if *rate > RATE_MAX => refuse(path, format!("more than {RATE_MAX}")),
        Change::Rate(_) => Ok(()),
        Change::Users(count) if group.clients.is_some() => {
            if *count > CLIENTS_MAX {
                refuse(path, format!("more than {CLIENTS_MAX} clients"))
            } else {
                Ok(())
            }
        }
        Change::Users(_) if group.is_open() => {
            refuse(path, format!("group {name} has a rate and no users: change its `rate`, or `scale` it"))
        }
        Change::Users(users) => check_users(path, group, *users),
        Change::Scale(factor) if group.is_open() => {
            let scaled = Rate(factor.times(group.highest_rate().0));
            if scaled > RATE_MAX {
                refuse(path, format!("group {name} would have more than {RATE_MAX}"))
            } else {
                Ok(())
            }
        }
        Change::Scale(factor) => {
            let users = factor.times(u64::from(group.users.unwrap_or(0)));
            check_users(path, group, u32::try_from(users).unwrap_or(u32::MAX))
        }
    }
}

fn check_users(path: &str, group: &Group, users: u32) -> Result<(), SpecError> {
    let limit = group.users_limit();
    if group.iterations.is_some() {
        return refuse(path, format!("the iterations of group {} are shared over the users it has", group.name));
    }
    if users > limit {
        let problem = format!("{users} users, at most {limit}: set `max_users` of group {} to raise that", group.name);
        return refuse(path, problem);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::spec::ExperimentSpec;

    fn problem(groups: &str, amendments: &str) -> String {
        let text = format!(r#"{{"groups": [{groups}], "amendments": [{amendments}]}}"#);
        let spec: ExperimentSpec = serde_json::from_str(&text).unwrap();
        spec.validate().unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_changed_is_refused_with_its_field_and_its_limit() {
        const OPEN: &str = r#"{"name": "a", "target": "http://h/", "rate": "10/s", "duration": "9s"}"#;
        const CLOSED: &str = r#"{"name": "b", "target": "http://h/", "users": 5, "duration": "9s"}"#;
        const COUNTED: &str = r#"{"name": "c", "target": "http://h/", "users": 5, "iterations": 9}"#;
        const CLIENTS: &str =
            r#"{"name": "d", "target": "http://h/", "clients": {"count": 2, "interarrival": 1}, "duration": "9s"}"#;
        const RECORDED: &str =
            r#"{"name": "e", "target": "http://h/", "arrivals": {"file": "a.csv"}, "duration": "9s"}"#;
        const SINE: &str = r#"{"name": "f", "target": "http://h/", "duration": "9s",
            "pattern": {"sine": {"max": "4000000/s", "period": "3s"}}}"#;
        let both = format!("{OPEN},{CLOSED}");
        for (groups, amendments, words) in [
            (OPEN, r#"{"at": "1s", "group": "x", "change": "pause"}"#, "amendments[0].group: no group `x`"),
            (OPEN, r#"{"at": "1s", "change": {"users": 3}}"#, "has a rate and no users"),
            (OPEN, r#"{"at": "1s", "change": {"rate": "99999999/s"}}"#, "more than 10000000/s"),
            (OPEN, r#"{"at": "1s", "change": {"scale": 1000000}}, {"at": "0s", "change": "pause"}"#, "above"),
            (OPEN, r#"{"at": "40d", "change": "pause"}"#, "amendments[0].at"),
            (CLOSED, r#"{"at": "1s", "change": {"rate": "3/s"}}"#, "has users and no rate"),
            (CLOSED, r#"{"at": "1s", "change": {"users": 101}}"#, "at most 100"),
            (COUNTED, r#"{"at": "1s", "change": {"scale": 2}}"#, "iterations"),
            (CLIENTS, r#"{"at": "1s", "change": {"rate": "3/s"}}"#, "decide when they send"),
            (CLIENTS, r#"{"at": "1s", "change": {"users": 100001}}"#, "more than 100000 clients"),
            (RECORDED, r#"{"at": "1s", "change": {"rate": "3/s"}}"#, "how fast it is played"),
            (RECORDED, r#"{"at": "1s", "change": {"users": 3}}"#, "how fast it is played"),
            (SINE, r#"{"at": "1s", "change": {"scale": 3}}"#, "more than 10000000/s"),
            (both.as_str(), r#"{"at": "1s", "change": {"rate": "3/s"}}"#, "group b has users"),
        ] {
            let problem = problem(groups, amendments);
            assert!(problem.contains(words), "{amendments}: {problem}");
        }
        let many = vec![r#"{"at": "1s", "change": "pause"}"#; 257].join(",");
        assert!(problem(OPEN, &many).contains("at most 256"));
    }
}
