//! What somebody wrote, as a tree that still knows where each piece stands and what it looked like.
//!
//! JSON, YAML and MessagePack are read to the same tree, and typed values are read from it. So in every form a scalar
//! keeps its own text where text is wanted (`1.10` stays `1.10`), a key that is written twice is refused, and an error
//! names field, line and column. What means nothing (`null`, `~`, no value at all) is nothing everywhere: where text is
//! wanted it is refused. How much is read is bounded: see the constants.

use std::fmt;

use serde::de::{self, DeserializeOwned};

use crate::suggest;

mod json;
mod message_pack;
mod read;
mod yaml;

pub(crate) use json::from_json;
pub(crate) use message_pack::from_message_pack;
pub(crate) use read::OWN_TEXT;
pub(crate) use yaml::from_yaml;

/// Deepest nesting of lists and maps.
pub const NESTING_MAX: usize = 128;
/// Most scalars, lists and maps, those that YAML aliases repeat counted each time.
pub const NODES_MAX: usize = 1 << 18;
/// Most text, keys and what YAML aliases repeat included, in bytes.
pub const TEXT_MAX_BYTES: usize = 1 << 22;

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// One piece of what was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins; absent in MessagePack.
    pub position: Option<Position>,
    /// What it is.
    pub content: Content,
}

/// What a piece is.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A single value.
    Scalar(Scalar),
    /// Values in their order.
    List(Vec<Node>),
    /// Values under keys, in their order; no key is there twice.
    Map(Vec<Entry>),
}

/// A value under a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub position: Option<Position>,
    /// The value.
    pub value: Node,
}

/// A single value: its own text, and what the form takes it for.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// As it was written, without quotes and escapes.
    pub text: String,
    /// What the form takes it for where no text is wanted.
    pub meaning: Meaning,
}

/// What a form takes a scalar for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Meaning {
    /// `null`, `~`, or no value at all.
    Nothing,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number that is not negative.
    Unsigned(u64),
    /// A negative whole number.
    Signed(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text,
    /// Bytes, of which nothing is kept.
    Bytes,
}

/// Why something cannot be read, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadError {
    /// Names and numbers that lead there, the innermost first.
    path: Vec<String>,
    /// What is wrong.
    pub problem: String,
    /// Where, if the form has places.
    pub position: Option<Position>,
}

impl ReadError {
    fn at(problem: impl Into<String>, position: Option<Position>) -> Self {
        Self { path: Vec::new(), problem: problem.into(), position }
    }

    /// The same error, of something inside of a field or an item.
    fn inside(mut self, step: String, position: Option<Position>) -> Self {
        self.path.push(step);
        self.position = self.position.or(position);
        self
    }

    /// Path of the field: `groups[0].rate`; `.` for the whole.
    pub fn field(&self) -> String {
        let path: String = self.path.iter().rev().map(String::as_str).collect();
        match path.strip_prefix('.').unwrap_or(&path) {
            "" => ".".to_owned(),
            path => path.to_owned(),
        }
    }

    /// Whether the whole form is broken, rather than one field wrong.
    pub fn is_whole(&self) -> bool {
        self.path.is_empty()
    }
}

fn key_step(key: &str) -> String {
    format!(".{}", key.chars().take(64).collect::<String>())
}

fn item_step(index: usize) -> String {
    format!("[{index}]")
}

impl Node {
    /// The value under a key of a map.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            Content::Scalar(_) | Content::List(_) => None,
        }
    }

    /// The items of a list.
    pub fn items(&self) -> Option<&[Self]> {
        match &self.content {
            Content::List(items) => Some(items),
            Content::Scalar(_) | Content::Map(_) => None,
        }
    }

    /// The text of a scalar that is not nothing.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(Scalar { meaning: Meaning::Nothing | Meaning::Bytes, .. }) => None,
            Content::Scalar(scalar) => Some(&scalar.text),
            Content::List(_) | Content::Map(_) => None,
        }
    }

    /// Whether there are bytes in it.
    pub(crate) fn has_bytes(&self) -> bool {
        match &self.content {
            Content::Scalar(scalar) => scalar.meaning == Meaning::Bytes,
            Content::List(items) => items.iter().any(Self::has_bytes),
            Content::Map(entries) => entries.iter().any(|entry| entry.value.has_bytes()),
        }
    }

    /// Whether it is a map.
    pub fn is_map(&self) -> bool {
        matches!(self.content, Content::Map(_))
    }

    /// Where the field of this path stands (`groups[0].headers.X-A`), or what is there of it.
    pub fn position_of(&self, field: &str) -> Option<Position> {
        let mut here = self;
        let mut position = self.position;
        let mut rest = field;
        while !rest.is_empty() {
            if let Some((index, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                let Some(item) = here.items().zip(index.parse::<usize>().ok()).and_then(|(items, at)| items.get(at))
                else {
                    break;
                };
                (here, position, rest) = (item, item.position, after);
                continue;
            }
            let path = rest.strip_prefix('.').unwrap_or(rest);
            let Content::Map(entries) = &here.content else { break };
            // A key may hold what separates keys: the longest one that fits is meant.
            let is_end = |after: &str| after.is_empty() || after.starts_with(['.', '[']);
            let fits = |entry: &&Entry| path.strip_prefix(entry.key.as_str()).is_some_and(is_end);
            let Some(entry) = entries.iter().filter(fits).max_by_key(|entry| entry.key.len()) else { break };
            position = entry.position.or(entry.value.position);
            (here, rest) = (&entry.value, path.get(entry.key.len()..).unwrap_or_default());
        }
        position
    }

    /// A typed value.
    ///
    /// # Errors
    /// The field that is unknown, missing or of the wrong type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ReadError> {
        T::deserialize(read::Reader(self)).map_err(|mut error: ReadError| {
            error.position = error.position.or(self.position);
            error
        })
    }
}

/// How much has been read so far.
#[derive(Debug, Default)]
struct Budget {
    nodes: usize,
    text_bytes: usize,
}

impl Budget {
    /// Counts one more piece with so much text, so deep.
    fn take(&mut self, text_bytes: usize, depth: usize, position: Option<Position>) -> Result<(), ReadError> {
        self.nodes += 1;
        self.text_bytes = self.text_bytes.saturating_add(text_bytes);
        let problem = if depth > NESTING_MAX {
            format!("nested deeper than {NESTING_MAX}")
        } else if self.nodes > NODES_MAX {
            format!("more than {NODES_MAX} values, repeated ones counted each time")
        } else if self.text_bytes > TEXT_MAX_BYTES {
            format!("more than {TEXT_MAX_BYTES} bytes of text, repeated ones counted each time")
        } else {
            return Ok(());
        };
        Err(ReadError::at(problem, position))
    }
}

/// A map from its entries; refuses a key that is there twice.
fn map_of(entries: Vec<Entry>) -> Result<Content, ReadError> {
    let mut seen: std::collections::HashMap<&str, Option<Position>> = std::collections::HashMap::new();
    for entry in &entries {
        if let Some(first) = seen.insert(entry.key.as_str(), entry.position) {
            let first = first.map_or_else(String::new, |at| format!(", first at {at}"));
            return Err(ReadError::at(format!("written twice{first}"), entry.position)
                .inside(key_step(&entry.key), entry.position));
        }
    }
    Ok(Content::Map(entries))
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field(), self.problem)?;
        self.position.map_or(Ok(()), |at| write!(f, " ({at})"))
    }
}

impl std::error::Error for ReadError {}

/// What serde expects, in words for whoever wrote the text.
fn expected_in_words(expected: &dyn de::Expected) -> String {
    let expected = expected.to_string();
    let whole = |least: &str, most: &str| format!("a whole number from {least} to {most}");
    match expected.as_str() {
        "u8" => whole("0", "255"),
        "u16" => whole("0", "65535"),
        "u32" => whole("0", "4294967295"),
        "u64" | "usize" => "a whole number, not negative".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "string" => "a text".to_owned(),
        "a sequence" | "sequence" => "a list".to_owned(),
        text if text.starts_with("struct ") || text.starts_with("internally tagged enum ") => {
            "a map of its fields".to_owned()
        }
        text if text.starts_with("enum ") || text == "variant identifier" => "one of its words".to_owned(),
        text => text.to_owned(),
    }
}

/// What serde found, in words for whoever wrote the text.
fn found_in_words(found: de::Unexpected<'_>) -> String {
    use de::Unexpected;
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Char(value) => format!("the text `{value}`"),
        Unexpected::Str(value) => format!("the text `{}`", value.chars().take(80).collect::<String>()),
        Unexpected::Bytes(_) => "bytes".to_owned(),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        Unexpected::NewtypeStruct
        | Unexpected::Enum
        | Unexpected::UnitVariant
        | Unexpected::NewtypeVariant
        | Unexpected::TupleVariant
        | Unexpected::StructVariant => "one of several forms".to_owned(),
        Unexpected::Other(what) => what.to_owned(),
    }
}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self::at(problem.to_string(), None)
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::at(format!("{} stands where {} is wanted", found_in_words(found), expected_in_words(expected)), None)
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::at(format!("{length} entries where {} is wanted", expected_in_words(expected)), None)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let shown: String = variant.chars().take(80).collect();
        Self::at(format!("`{shown}` is unknown{}", suggest::instead(variant, expected)), None)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let shown: String = field.chars().take(80).collect();
        Self::at(format!("unknown field `{shown}`{}", suggest::instead(field, expected)), None)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::at(format!("missing field `{field}`"), None)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::at(format!("`{field}` is written twice"), None)
    }
}

#[cfg(test)]
mod tests;
