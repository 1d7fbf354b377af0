//! Bytes to messages and back: MessagePack with named fields between processes; JSON and, for submissions, YAML from
//! people. Errors name the field and, where there are lines, the line.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::redact::redact_text;
use crate::tree::{self, Node, Position, ReadError};

pub use crate::tree::NESTING_MAX;

/// Largest message by design, in bytes; the server's own limit is four times this.
pub const MESSAGE_MAX_BYTES: usize = 256 * 1024;

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
    #[error("{field}: {problem}{}", in_brackets(*.position))]
    Field {
        /// Path of the field, `.` for the whole.
        field: String,
        /// What is wrong with it.
        problem: String,
        /// Where it was written, where that is known.
        position: Option<Position>,
    },
    /// It is something else altogether.
    #[error("this is {what}, not an experiment of Nuncius: {advice}")]
    Foreign {
        /// What it is: "a script of k6".
        what: &'static str,
        /// What to do with it.
        advice: String,
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

fn in_brackets(position: Option<Position>) -> String {
    position.map_or_else(String::new, |position| format!(" ({position})"))
}

/// The error of a field; what it repeats of the text is without secrets.
fn read_error(error: &ReadError) -> CodecError {
    let problem = bounded(redact_text(&error.problem));
    CodecError::Field { field: bounded(error.field()), problem, position: error.position }
}

/// The error of a text that is not of its form, or of a field of it that breaks the rules of any form.
fn form_error(form: &'static str, error: &ReadError) -> CodecError {
    match error.is_whole() {
        true => {
            let problem = bounded(format!("{}{}", redact_text(&error.problem), in_brackets(error.position)));
            CodecError::Unreadable { form, problem }
        }
        false => read_error(error),
    }
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
        let text = std::str::from_utf8(bytes).map_err(|_| not_text("JSON"))?;
        let node = tree::from_json(text).map_err(|error| form_error("JSON", &error))?;
        return node.read().map_err(|error| read_error(&error));
    }
    read_message_pack(bytes)
}

fn read_message_pack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    // A slice as a reader shrinks as it is read: what is left of it was not part of the message.
    let mut deserializer = rmp_serde::Deserializer::new(bytes);
    deserializer.set_max_depth(NESTING_MAX);
    let problem = match T::deserialize(&mut deserializer) {
        Ok(message) if deserializer.get_ref().is_empty() => return Ok(message),
        Ok(_) => format!("{} bytes left over after the message", deserializer.get_ref().len()),
        Err(error) => bounded(error),
    };
    // Read once more as what people write, which can say in which field it goes wrong.
    let unreadable = || CodecError::Unreadable { form: "MessagePack", problem: problem.clone() };
    let node = tree::from_message_pack(bytes).map_err(|_| unreadable())?;
    let message = node.read().map_err(|error| read_error(&error))?;
    // A tree does not keep bytes.
    if node.has_bytes() { Err(unreadable()) } else { Ok(message) }
}

/// What this very program has written for itself, as [`encode`] does: nobody else's, so that no error tells a field.
///
/// # Errors
/// What is not of this type.
pub fn decode_own<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let unreadable = |problem| CodecError::Unreadable { form: "MessagePack", problem };
    // The same reader as for what others write: another would be all of the code for these types once more.
    let mut deserializer = rmp_serde::Deserializer::new(bytes);
    T::deserialize(&mut deserializer).map_err(|error| unreadable(bounded(error)))
}

fn looks_like_json(bytes: &[u8]) -> bool {
    matches!(bytes.iter().find(|b| !b.is_ascii_whitespace()), Some(b'{' | b'['))
}

fn looks_like_message_pack(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(0x80..=0x8f | 0xde | 0xdf))
}

fn not_text(form: &'static str) -> CodecError {
    CodecError::Unreadable { form, problem: "not text: it has to be UTF-8".to_owned() }
}

/// What people wrote, as a tree with a map at the top: JSON, MessagePack or YAML.
///
/// # Errors
/// What fails here could not be read at all; what fails later has an identity and fails as an experiment.
pub fn read_tree(bytes: &[u8]) -> Result<Node, CodecError> {
    if bytes.len() > MESSAGE_MAX_BYTES {
        return Err(CodecError::TooLarge { bytes: bytes.len(), limit: MESSAGE_MAX_BYTES });
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(CodecError::Unreadable {
            form: "JSON, MessagePack or YAML",
            problem: "the payload is empty".to_owned(),
        });
    }
    let (form, node) = if looks_like_json(bytes) {
        let text = std::str::from_utf8(bytes).map_err(|_| not_text("JSON"))?;
        ("JSON", tree::from_json(text))
    } else if looks_like_message_pack(bytes) {
        ("MessagePack", tree::from_message_pack(bytes))
    } else {
        let text = std::str::from_utf8(bytes).map_err(|_| CodecError::Unreadable {
            form: "JSON, MessagePack or YAML",
            problem: "not text, and not a MessagePack map".to_owned(),
        })?;
        // What an editor of another system may put before the text.
        ("YAML", tree::from_yaml(text.strip_prefix('\u{feff}').unwrap_or(text)))
    };
    match node {
        Ok(node) if node.is_map() => Ok(node),
        Ok(_) => Err(CodecError::Unreadable { form, problem: "not a map at the top".to_owned() }),
        Err(error) => Err(form_error(form, &error)),
    }
}

/// A typed value from a tree.
///
/// # Errors
/// The field that is unknown, missing or of the wrong type.
pub fn from_tree<T: DeserializeOwned>(node: &Node) -> Result<T, CodecError> {
    node.read().map_err(|error| read_error(&error))
}

/// A typed value from a YAML or JSON text of at most [`MESSAGE_MAX_BYTES`] with a map at the top.
///
/// # Errors
/// What is no such text; the field that is unknown, missing or of the wrong type.
pub fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, CodecError> {
    from_tree(&read_tree(text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Delta {
        node: String,
        #[serde(with = "serde_bytes")]
        counts: Vec<u8>,
        seconds: Vec<u32>,
    }

    #[test]
    fn a_wrong_field_is_named_also_beside_bytes_and_what_is_left_over_is_refused() {
        let fine = Delta { node: "n".to_owned(), counts: vec![1, 2], seconds: vec![3] };
        let bytes = encode(&fine).unwrap();
        assert_eq!(decode::<Delta>(&bytes).unwrap(), fine);
        let mut longer = bytes.clone();
        longer.push(0);
        let error = decode::<Delta>(&longer).unwrap_err().to_string();
        assert_eq!(error, "not readable as MessagePack: 1 bytes left over after the message");
        for (wrong, field) in [
            (encode(&("n", 1)).unwrap(), "[1]"),
            (encode(&Wrong { node: "n", counts: 5, seconds: [3] }).unwrap(), "counts"),
            (
                encode(&Wrong { node: "n", counts: serde_bytes::Bytes::new(b"12"), seconds: ["x"] }).unwrap(),
                "seconds[0]",
            ),
            (encode(&Wrong { node: [1], counts: serde_bytes::Bytes::new(b"12"), seconds: [3] }).unwrap(), "node"),
        ] {
            match decode::<Delta>(&wrong) {
                Err(CodecError::Field { field: named, .. }) => assert_eq!(named, field),
                other => panic!("{field}: {other:?}"),
            }
        }
        // A number is a text where one is wanted, but what holds bytes is not read a second time.
        let number = encode(&Wrong { node: 5, counts: serde_bytes::Bytes::new(b"12"), seconds: [3] }).unwrap();
        assert!(matches!(decode::<Delta>(&number), Err(CodecError::Unreadable { .. })));
    }

    #[derive(Serialize)]
    struct Wrong<A, B, C> {
        node: A,
        counts: B,
        seconds: C,
    }
}
