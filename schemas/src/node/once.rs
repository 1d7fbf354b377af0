//! What is done once for a whole experiment, by one node: the command, and the variables that all sessions are given.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::metric::first_attempt;
use crate::route::Route;
use crate::spec::ExperimentSpec;

/// Most bytes that the variables of one group may have as JSON: they are in every command that has nodes get ready.
pub const ONCE_VARIABLES_MAX_BYTES: usize = 64 * 1024;

/// Which steps of a group are done once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OncePhase {
    /// Those of `before`: ahead of the load.
    Before,
    /// Those of `after`: when the load is over.
    After,
}

impl OncePhase {
    /// Its name, which is that of the list of steps.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// Why variables cannot be given to sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "its variables have {bytes} bytes as JSON, more than the {ONCE_VARIABLES_MAX_BYTES} that a group may give to all \
     sessions: capture less, or set to null what only `before` needs"
)]
pub struct VariablesError {
    /// How many they have.
    pub bytes: usize,
}

/// Variables that were made once and are given to all sessions of a group, at most [`ONCE_VARIABLES_MAX_BYTES`] as
/// JSON. They may be tokens: as debug text they are names alone.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct GivenVariables(Map<String, Value>);

impl GivenVariables {
    /// The variables by name.
    pub fn map(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl TryFrom<Map<String, Value>> for GivenVariables {
    type Error = VariablesError;

    fn try_from(made: Map<String, Value>) -> Result<Self, VariablesError> {
        let mut counter = Counter(0);
        // Counting cannot fail, and a map of text and values can always be written.
        let _ = serde_json::to_writer(&mut counter, &made);
        let Counter(bytes) = counter;
        if bytes > ONCE_VARIABLES_MAX_BYTES { Err(VariablesError { bytes }) } else { Ok(Self(made)) }
    }
}

impl JsonSchema for GivenVariables {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "GivenVariables".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "additionalProperties": true,
            "description": "Variables that were made once and are given to all sessions of a group.",
        })
    }
}

impl fmt::Debug for GivenVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Counts what is written.
struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What the sessions of one group are given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupVariables {
    /// Index of the group in the specification.
    pub group: u16,
    /// The variables by name.
    pub variables: GivenVariables,
}

/// Do once what a group does before or after its load, without any load around it. Answered when it is done, by
/// [`super::NodeReply::Done`]; asked again meanwhile, or afterwards, it is not done a second time: the answer is the
/// same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Once {
    /// Experiment.
    pub experiment: String,
    /// Fencing token of the daemon's lease.
    pub token: u64,
    /// Which start of the experiment this is of, from 1. One of a later start ends what is still done for one before.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// The specification, secrets still as `${NAME}`.
    #[serde(deserialize_with = "crate::spec::within::one")]
    pub spec: ExperimentSpec,
    /// Addresses of every service name the targets use.
    pub routes: Vec<Route>,
    /// Number from which trace and span ids of requests are made.
    pub run_key: u64,
    /// Index of the group in the specification.
    pub group: u16,
    /// Which of its steps.
    pub phase: OncePhase,
    /// What the sessions of the group were given; empty before the load.
    #[serde(default)]
    pub variables: GivenVariables,
    /// Longest that it may take, in nanoseconds: then it is stopped, and has failed.
    pub limit_ns: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::codec;

    fn made(bytes: usize) -> Map<String, Value> {
        // {"a":"…"} has eight bytes beside the text.
        [("a".to_owned(), Value::from("x".repeat(bytes - 8)))].into_iter().collect()
    }

    #[test]
    fn variables_over_the_limit_are_refused_with_both_numbers_wherever_they_come_from() {
        assert!(GivenVariables::try_from(made(ONCE_VARIABLES_MAX_BYTES)).is_ok());
        let error = GivenVariables::try_from(made(ONCE_VARIABLES_MAX_BYTES + 1)).unwrap_err().to_string();
        assert!(error.contains("65537 bytes") && error.contains("65536"), "{error}");
        let bytes = codec::encode(&made(ONCE_VARIABLES_MAX_BYTES + 1)).unwrap();
        assert!(codec::decode::<GivenVariables>(&bytes).is_err());
    }

    #[test]
    fn variables_are_what_they_were_after_a_journey_and_their_debug_text_has_names_alone() {
        let value = json!({"token": "s3cret", "ids": [1, 2.5, -3, null], "deep": {"s3cret": true}});
        let given = GivenVariables::try_from(value.as_object().unwrap().clone()).unwrap();
        let back: GivenVariables = codec::decode(&codec::encode(&given).unwrap()).unwrap();
        assert_eq!(back, given);
        let shown = format!("{:?}", GroupVariables { group: 1, variables: given });
        assert!(shown.contains("token") && !shown.contains("s3cret"), "{shown}");
    }
}
