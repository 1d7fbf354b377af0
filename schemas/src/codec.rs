//! Bytes to messages and back: MessagePack with named fields between processes; JSON and, for submissions, YAML from
//! people. Errors name the field.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Largest message by design, in bytes; the server's own limit is four times this.
pub const MESSAGE_MAX_BYTES: usize = 256 * 1024;

/// Deepest nesting that is followed in JSON and MessagePack.
pub const NESTING_MAX: usize = 128;

/// Longest problem an error tells, in characters: some repeat what they were given.
const PROBLEM_MAX: usize = 500;

/// Bytes that are not what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Not one of the forms at all.
    #[error("not readable as {form}: {problem}")]
    Unreadable {
        /// "MessagePack", "JSON" or "YAML".
        form: &'static str,
        /// What the parser said.
        problem: String,
    },
    /// Readable, but a field is wrong.
    #[error("{field}: {problem}")]
    Field {
        /// Path of the field, `.` for the whole.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Too large.
    #[error("{bytes} bytes, at most {limit} are taken")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// Could not be written.
    #[error("cannot be written as MessagePack: {0}")]
    Encode(String),
}

fn bounded(text: impl ToString) -> String {
    text.to_string().chars().take(PROBLEM_MAX).collect()
}

/// What is wrong and where, without the piece of the text that the parser shows below it: it may hold a secret.
fn first_line(error: &impl ToString) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn field_error(path: &serde_path_to_error::Path, problem: impl ToString) -> CodecError {
    CodecError::Field { field: bounded(path), problem: bounded(problem) }
}

/// MessagePack with named fields.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CodecError> {
    rmp_serde::to_vec_named(message).map_err(|error| CodecError::Encode(error.to_string()))
}

/// A message from another process (MessagePack) or a foreign program (JSON).
///
/// Unknown fields are ignored where the type does not say otherwise, so that an older process understands a newer one.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.is_empty() {
        return Err(CodecError::Unreadable { form: "MessagePack or JSON", problem: "the payload is empty".to_owned() });
    }
    if looks_like_json(bytes) {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let message = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            if error.inner().is_data() {
                field_error(error.path(), error.inner())
            } else {
                CodecError::Unreadable { form: "JSON", problem: bounded(error.inner()) }
            }
        })?;
        deserializer.end().map_err(|error| CodecError::Unreadable { form: "JSON", problem: error.to_string() })?;
        return Ok(message);
    }
    read_message_pack(bytes)
}

fn read_message_pack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    // A slice as a reader shrinks as it is read: what is left of it was not part of the message.
    let mut deserializer = rmp_serde::Deserializer::new(bytes);
    deserializer.set_max_depth(NESTING_MAX);
    let message = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| match error.inner() {
        rmp_serde::decode::Error::Syntax(problem) => field_error(error.path(), problem),
        other => CodecError::Unreadable { form: "MessagePack", problem: bounded(other) },
    })?;
    match deserializer.get_ref().len() {
        0 => Ok(message),
        left => Err(CodecError::Unreadable {
            form: "MessagePack",
            problem: format!("{left} bytes left over after the message"),
        }),
    }
}

fn looks_like_json(bytes: &[u8]) -> bool {
    matches!(bytes.iter().find(|b| !b.is_ascii_whitespace()), Some(b'{' | b'['))
}

fn looks_like_message_pack(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(0x80..=0x8f | 0xde | 0xdf))
}

/// A submission as a tree of values: JSON, MessagePack or YAML, a map at the top.
///
/// What fails here could not be read at all; what fails later has an identity and fails as an experiment.
pub fn read_submission(bytes: &[u8]) -> Result<Value, CodecError> {
    if bytes.len() > MESSAGE_MAX_BYTES {
        return Err(CodecError::TooLarge { bytes: bytes.len(), limit: MESSAGE_MAX_BYTES });
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(CodecError::Unreadable {
            form: "JSON, MessagePack or YAML",
            problem: "the payload is empty".to_owned(),
        });
    }
    let (form, value) = if looks_like_json(bytes) {
        ("JSON", serde_json::from_slice(bytes).map_err(|error| error.to_string()))
    } else if looks_like_message_pack(bytes) {
        ("MessagePack", Ok(read_message_pack(bytes)?))
    } else {
        let text = std::str::from_utf8(bytes).map_err(|_| CodecError::Unreadable {
            form: "JSON, MessagePack or YAML",
            problem: "not text, and not a MessagePack map".to_owned(),
        })?;
        ("YAML", serde_saphyr::from_str(text).map_err(|error| first_line(&error)))
    };
    match value {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(CodecError::Unreadable { form, problem: "not a map at the top".to_owned() }),
        Err(problem) => Err(CodecError::Unreadable { form, problem: bounded(problem) }),
    }
}

/// A typed message from a tree of values; the error names the field.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, CodecError> {
    serde_path_to_error::deserialize(value).map_err(|error| field_error(error.path(), error.inner()))
}
