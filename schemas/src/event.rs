//! Events of an experiment: its life cycle, replayable from the event stream.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run::{RunStatus, Verdict};

/// Longest name of a mark, in characters.
pub const MARK_NAME_MAX: usize = 64;
/// Longest value of a mark, in characters.
pub const MARK_VALUE_MAX: usize = 1_024;
/// Most marks that one daemon takes of a run.
pub const MARKS_MAX: usize = 1_000;

/// One message on an experiment's event subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentEvent {
    /// Experiment.
    pub experiment: String,
    /// When, milliseconds since the Unix epoch, on the daemon's clock.
    pub at_unix_ms: u64,
    /// What kind.
    pub kind: EventKind,
    /// For people.
    pub message: String,
    /// The status the experiment has from now on.
    #[serde(default)]
    pub status: Option<RunStatus>,
    /// The verdict, with the last status.
    #[serde(default)]
    pub verdict: Option<Verdict>,
    /// Details.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
}

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The status changed.
    Status,
    /// A gate was decided.
    Gate,
    /// A node joined, was lost or spoke of itself.
    Node,
    /// Somebody asked for something.
    Control,
    /// Something that makes the result less certain.
    Warning,
    /// An experiment of a search or a sweep begins, or has ended.
    Experiment,
    /// From outside, for the analyst.
    User,
}

impl EventKind {
    /// The name in listings and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Gate => "gate",
            Self::Node => "node",
            Self::Control => "control",
            Self::Warning => "warning",
            Self::Experiment => "experiment",
            Self::User => "user",
        }
    }
}

/// What cannot be a mark, by field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct MarkError {
    /// `name` or `value`.
    pub field: &'static str,
    /// What is wrong with it and what would be right.
    pub problem: String,
}

/// Refuses a mark that no view has room for, or that would break its lines.
///
/// # Errors
/// A name that is empty; a name or a value that is too long or has control characters.
pub fn check_mark(name: &str, value: Option<&str>) -> Result<(), MarkError> {
    let check = |field, text: &str, most: usize| {
        let characters = text.chars().count();
        if characters > most {
            return Err(MarkError { field, problem: format!("{characters} characters; give at most {most}") });
        }
        match text.chars().any(char::is_control) {
            true => Err(MarkError { field, problem: "has control characters; give one line of text".to_owned() }),
            false => Ok(()),
        }
    };
    if name.trim().is_empty() {
        return Err(MarkError { field: "name", problem: format!("is empty; give 1 to {MARK_NAME_MAX} characters") });
    }
    check("name", name, MARK_NAME_MAX)?;
    check("value", value.unwrap_or_default(), MARK_VALUE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_a_short_line_and_is_refused_by_its_field() {
        assert_eq!(check_mark("x", None), Ok(()));
        assert_eq!(check_mark(&"ü".repeat(64), Some(&"<b>".repeat(341))), Ok(()));
        for (name, value, field) in [
            ("", None, "name"),
            ("  ", None, "name"),
            ("a\nb", None, "name"),
            (&"x".repeat(65), None, "name"),
            ("x", Some("a\u{1b}[31m".to_owned()), "value"),
            ("x", Some("v".repeat(1_025)), "value"),
        ] {
            assert_eq!(check_mark(name, value.as_deref()).unwrap_err().field, field, "{name} {value:?}");
        }
    }
}
