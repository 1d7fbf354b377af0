//! The JavaScript of a group.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::form::text_or_map;
use super::rule::{self, SpecError, refuse};
use crate::spec::text::{TextKind, Visit, one};

/// Longest inline script, in bytes: what leaves room for the rest of a message.
pub const SCRIPT_MAX_BYTES: usize = 128 * 1024;

/// The JavaScript whose functions are hooks, and are called by steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptSource {
    /// A file of the bundle.
    File(String),
    /// The text itself.
    Source(String),
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// A file of the bundle; the same as its name alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// The text itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

impl ScriptSource {
    fn of_text(text: &str) -> Result<Self, String> {
        match text.contains('\n') {
            true => Err("names a file; the text of a script is written {source: …}".to_owned()),
            false => Ok(Self::File(text.to_owned())),
        }
    }

    fn of_written(written: Written) -> Result<Self, String> {
        match (written.file, written.source) {
            (Some(file), None) => Ok(Self::File(file)),
            (None, Some(source)) => Ok(Self::Source(source)),
            (Some(_), Some(_)) | (None, None) => Err("give either `file` or `source`".to_owned()),
        }
    }

    pub(crate) fn check(&self, path: &str) -> Result<(), SpecError> {
        match self {
            Self::File(name) => rule::check_file_name(path, name),
            Self::Source(source) if source.trim().is_empty() => refuse(format!("{path}.source"), "empty"),
            Self::Source(source) if source.len() > SCRIPT_MAX_BYTES => {
                let problem = format!("longer than {SCRIPT_MAX_BYTES} bytes: put it into a file of the bundle");
                refuse(format!("{path}.source"), problem)
            }
            Self::Source(_) => Ok(()),
        }
    }

    pub(crate) fn visit_texts<E>(&mut self, path: &str, visit: &mut Visit<'_, E>) -> Result<(), E> {
        match self {
            Self::File(name) => one(path.to_owned(), TextKind::File, name, visit),
            Self::Source(source) => one(format!("{path}.source"), TextKind::Script, source, visit),
        }
    }
}

impl Serialize for ScriptSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::File(name) => serializer.serialize_str(name),
            Self::Source(source) => Written { file: None, source: Some(source.clone()) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ScriptSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_map(deserializer, "the name of a file, or {source: …}", Self::of_text, Self::of_written)
    }
}

impl JsonSchema for ScriptSource {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ScriptSource".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The JavaScript whose functions are hooks, and are called by steps.",
            "anyOf": [{ "type": "string" }, Written::json_schema(generator)]
        })
    }
}
