//! What a list of experiments says of each, whether the bus knows it or a daemon has stored it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::redact::{redact_entry, redact_url};
use crate::run::{RunRecord, RunStatus, Verdict};
use crate::tag::{WantedTag, tags_of};

/// Longest reason in a list, in characters.
const REASON_CHARACTERS: usize = 500;

/// One experiment of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentHead {
    /// Identifier.
    pub id: String,
    /// What people call it; the id when it has no name.
    pub name: String,
    /// Who wanted it.
    #[serde(default)]
    pub creator: Option<String>,
    /// What it is found by: the short entries of its metadata, without secrets.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Where it is in its life.
    pub status: RunStatus,
    /// How it was judged, once it has ended.
    #[serde(default)]
    pub verdict: Option<Verdict>,
    /// Why it ended as it did.
    #[serde(default)]
    pub reason: Option<String>,
    /// Whom its first group sends to, without secrets.
    #[serde(default)]
    pub target: Option<String>,
    /// Iterations that the schedules held, once there is a report.
    #[serde(default)]
    pub scheduled: Option<u64>,
    /// Iterations that were offered, once there is a report.
    #[serde(default)]
    pub offered: Option<u64>,
    /// When it was admitted, milliseconds since the Unix epoch.
    pub submitted_unix_ms: u64,
    /// When load was first offered, milliseconds since the Unix epoch.
    #[serde(default)]
    pub started_unix_ms: Option<u64>,
    /// When it ended, milliseconds since the Unix epoch.
    #[serde(default)]
    pub ended_unix_ms: Option<u64>,
}

impl ExperimentHead {
    /// What the bus knows of an experiment.
    pub fn of(record: &RunRecord) -> Self {
        Self {
            id: record.id.clone(),
            name: record.spec.name.clone().unwrap_or_else(|| record.id.clone()),
            creator: record.spec.creator.clone(),
            tags: shown_tags(&record.spec.metadata),
            status: record.status,
            verdict: record.verdict,
            reason: record.reason.as_deref().map(shortened),
            target: record.spec.groups.first().map(|group| redact_url(&group.target)),
            scheduled: None,
            offered: None,
            submitted_unix_ms: record.submitted_unix_ms,
            started_unix_ms: record.started_unix_ms,
            ended_unix_ms: record.ended_unix_ms,
        }
    }

    /// Where it stands in a list.
    pub fn place(&self) -> HeadPlace {
        HeadPlace { submitted_unix_ms: self.submitted_unix_ms, id: self.id.clone() }
    }
}

/// The tags of some metadata, without secrets.
pub fn shown_tags(metadata: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut tags = tags_of(metadata);
    tags.iter_mut().for_each(|(name, value)| *value = redact_entry(name, value));
    tags
}

/// A reason as a list has it.
pub fn shortened(reason: &str) -> String {
    reason.chars().take(REASON_CHARACTERS).collect()
}

/// A place in the list of experiments, in which the latest submission comes first, and of several of one millisecond
/// the one whose id is least.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeadPlace {
    /// When it was admitted, milliseconds since the Unix epoch.
    pub submitted_unix_ms: u64,
    /// Identifier.
    pub id: String,
}

impl HeadPlace {
    /// Whether this place comes after another.
    pub fn is_after(&self, other: &Self) -> bool {
        (other.submitted_unix_ms, self.id.as_str()) > (self.submitted_unix_ms, other.id.as_str())
    }
}

/// Which experiments are meant: those that meet every field that is set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExperimentFilter {
    /// With this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// With one of these statuses; none for any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<RunStatus>,
    /// With one of these verdicts; none for any, or none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<Verdict>,
    /// Of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Wanted by this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creator: Option<String>,
    /// With all of these tags, at most [`crate::tag::TAGS_MAX`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<WantedTag>,
    /// Admitted at this time or later, milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_unix_ms: Option<u64>,
    /// Admitted before this time, milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_unix_ms: Option<u64>,
    /// With this text in its id, name, creator, target or reason, whatever the case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl ExperimentFilter {
    /// Whether an experiment is meant.
    pub fn takes(&self, head: &ExperimentHead) -> bool {
        let is_of =
            |wanted: &Option<String>, value: Option<&str>| wanted.as_deref().is_none_or(|wanted| value == Some(wanted));
        (self.statuses.is_empty() || self.statuses.contains(&head.status))
            && (self.verdicts.is_empty() || head.verdict.is_some_and(|verdict| self.verdicts.contains(&verdict)))
            && is_of(&self.id, Some(&head.id))
            && is_of(&self.name, Some(&head.name))
            && is_of(&self.creator, head.creator.as_deref())
            && self.tags.iter().all(|tag| tag.is_among(&head.tags))
            && self.from_unix_ms.is_none_or(|from| head.submitted_unix_ms >= from)
            && self.to_unix_ms.is_none_or(|to| head.submitted_unix_ms < to)
            && self.text.as_deref().is_none_or(|text| has_text(head, &text.to_lowercase()))
    }
}

fn has_text(head: &ExperimentHead, lowered: &str) -> bool {
    let ExperimentHead { id, name, creator, target, reason, .. } = head;
    [Some(id), Some(name), creator.as_ref(), target.as_ref(), reason.as_ref()]
        .into_iter()
        .flatten()
        .any(|text| text.to_lowercase().contains(lowered))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(id: &str, at: u64) -> ExperimentHead {
        ExperimentHead {
            id: id.to_owned(),
            name: "Shop".to_owned(),
            creator: Some("me".to_owned()),
            tags: BTreeMap::from([("branch".to_owned(), "main".to_owned())]),
            status: RunStatus::Finished,
            verdict: Some(Verdict::Fail),
            reason: Some("a gate did not hold".to_owned()),
            target: Some("http://shop/".to_owned()),
            scheduled: None,
            offered: None,
            submitted_unix_ms: at,
            started_unix_ms: None,
            ended_unix_ms: None,
        }
    }

    fn tags(wanted: &[&str]) -> Vec<WantedTag> {
        wanted.iter().map(|tag| tag.parse().unwrap()).collect()
    }

    #[test]
    fn a_tag_shows_no_secret() {
        let metadata = [("token", "hunter2"), ("url", "http://me:hunter2@shop/"), ("suite", "nightly")];
        let shown = shown_tags(&metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(shown["suite"], "nightly");
        assert!(!format!("{shown:?}").contains("hunter2"), "{shown:?}");
    }

    #[test]
    fn the_latest_comes_first_and_of_one_millisecond_the_least_id() {
        let place = |id: &str, at| head(id, at).place();
        assert!(place("a", 1).is_after(&place("a", 2)));
        assert!(!place("a", 2).is_after(&place("b", 1)));
        assert!(place("b", 2).is_after(&place("a", 2)));
        assert!(!place("a", 2).is_after(&place("a", 2)));
    }

    #[test]
    fn an_experiment_is_meant_when_it_meets_every_field() {
        let any = ExperimentFilter::default();
        let head = head("e1", 1_000);
        assert!(any.takes(&head));
        for met in [
            ExperimentFilter { statuses: vec![RunStatus::Running, RunStatus::Finished], ..any.clone() },
            ExperimentFilter { verdicts: vec![Verdict::Fail], ..any.clone() },
            ExperimentFilter { name: Some("Shop".to_owned()), text: Some("GATE".to_owned()), ..any.clone() },
            ExperimentFilter { tags: tags(&["branch", "branch=main"]), ..any.clone() },
            ExperimentFilter { from_unix_ms: Some(1_000), to_unix_ms: Some(1_001), ..any.clone() },
        ] {
            assert!(met.takes(&head), "{met:?}");
        }
        for unmet in [
            ExperimentFilter { statuses: vec![RunStatus::Running], ..any.clone() },
            ExperimentFilter { verdicts: vec![Verdict::Pass], ..any.clone() },
            ExperimentFilter { name: Some("shop".to_owned()), ..any.clone() },
            ExperimentFilter { creator: Some("you".to_owned()), ..any.clone() },
            ExperimentFilter { tags: tags(&["branch=main", "nightly"]), ..any.clone() },
            ExperimentFilter { to_unix_ms: Some(1_000), ..any.clone() },
            ExperimentFilter { text: Some("elsewhere".to_owned()), ..any },
        ] {
            assert!(!unmet.takes(&head), "{unmet:?}");
        }
    }
}
