//! From the bytes of an event to what the machine looks at. Only that is read: descriptors and metrics, however long,
//! are passed over.

use std::borrow::Cow;
use std::fmt;

use nuncius_schemas::codec::NESTING_MAX;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::machine::{Event, Input};
use crate::form::Form;
use python::Integer;

mod python;

/// Longest name of an unknown event that an answer repeats, in characters.
const ECHO_CHARACTERS: usize = 64;
/// What precedes the number of a command in its `cmd_uid`.
pub(crate) const COMMAND_PREFIX: &str = "cmd-";

/// An event that was read.
#[derive(Debug, PartialEq)]
pub(crate) struct Heard {
    pub(crate) input: Input,
    /// Its name, where it is none of this protocol; cut to a length that can be shown.
    pub(crate) unknown: String,
}

impl Heard {
    /// The event's name as it came.
    pub(crate) fn name(&self) -> &str {
        if self.input.event == Event::Unknown { &self.unknown } else { self.input.event.name() }
    }
}

/// Why a body is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("not readable as {form}: {problem}")]
    Unreadable { form: &'static str, problem: String },
    #[error("nested deeper than {NESTING_MAX} levels")]
    Nesting,
    #[error("field required")]
    Missing { field: &'static str },
    #[error("value is not a valid dict")]
    NotObject { field: &'static str },
    #[error("str type expected")]
    NotText { field: &'static str },
    #[error("beyond 64 bits: write a whole number from {} to {}", i64::MIN, i64::MAX)]
    TooLarge { field: &'static str },
}

impl RequestError {
    /// Where in the body, as a path of names below `body`; empty for all of it.
    pub(crate) fn field(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } | Self::Nesting => "",
            Self::Missing { field }
            | Self::NotObject { field }
            | Self::NotText { field }
            | Self::TooLarge { field } => field,
        }
    }

    /// The kind of problem, in the words of the original's framework.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "value_error.jsondecode",
            Self::Nesting => "value_error.nesting",
            Self::Missing { .. } => "value_error.missing",
            Self::NotObject { .. } => "type_error.dict",
            Self::NotText { .. } => "type_error.str",
            Self::TooLarge { .. } => "value_error.number.not_le",
        }
    }
}

/// Reads an event, whatever its other fields are.
pub(crate) fn read(body: &[u8], form: Form) -> Result<Heard, RequestError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(RequestError::Missing { field: "" });
    }
    // Kept for as long as what is read borrows from it.
    let mended;
    let envelope = match form {
        Form::Json => match read_json(body) {
            // What Python writes and reads and JSON has not: looked for only where the body is no JSON otherwise.
            Err(error @ RequestError::Unreadable { .. }) => match python::without_constants(body) {
                Some(text) => {
                    mended = text;
                    parse(&mended).map_err(|_| error)?
                }
                None => return Err(error),
            },
            read => read?,
        },
        Form::MessagePack => read_message_pack(body)?,
    };
    let Shape::Object(envelope) = envelope else { return Err(RequestError::NotObject { field: "" }) };
    let name = match envelope.event {
        None | Some(Scalar::Null) => return Err(RequestError::Missing { field: "event" }),
        Some(Scalar::Text(name)) => name,
        Some(_) => return Err(RequestError::NotText { field: "event" }),
    };
    let param = match envelope.param {
        Shape::Object(param) => param,
        Shape::Null => Param::default(),
        Shape::Other => return Err(RequestError::NotObject { field: "param" }),
    };
    let event = Event::named(&name);
    let unknown = match event {
        Event::Unknown => name.chars().take(ECHO_CHARACTERS).collect(),
        _ => String::new(),
    };
    let servo = match &envelope.servo_uid {
        Some(Scalar::Text(uid)) => Some(fnv(uid.as_bytes())),
        _ => None,
    };
    let command = match &param.cmd_uid {
        None | Some(Scalar::Null) => None,
        Some(Scalar::Text(uid)) => Some(command_number(uid)),
        Some(_) => Some(0),
    };
    let progress = match param.progress.as_ref().map(python::integer) {
        None | Some(Integer::None) => None,
        Some(Integer::Is(progress)) => Some(progress),
        Some(Integer::TooLarge) => return Err(RequestError::TooLarge { field: "param.progress" }),
    };
    Ok(Heard { input: Input { event, progress, servo, command }, unknown })
}

fn read_json(body: &[u8]) -> Result<Shape<Envelope<'_>>, RequestError> {
    let unreadable = |problem: String| RequestError::Unreadable { form: "JSON", problem };
    // What is passed over is not looked at otherwise.
    let text = std::str::from_utf8(body).map_err(|error| unreadable(format!("not UTF-8: {error}")))?;
    if is_nested_too_deep(body) {
        return Err(RequestError::Nesting);
    }
    parse(text).map_err(|error| unreadable(error.to_string()))
}

fn parse(text: &str) -> Result<Shape<Envelope<'_>>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let envelope = Shape::deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(envelope)
}

fn read_message_pack(body: &[u8]) -> Result<Shape<Envelope<'_>>, RequestError> {
    let unreadable = |problem: String| RequestError::Unreadable { form: "MessagePack", problem };
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(body);
    deserializer.set_max_depth(NESTING_MAX);
    Shape::deserialize(&mut deserializer).map_err(|error| match error {
        rmp_serde::decode::Error::DepthLimitExceeded => RequestError::Nesting,
        other => unreadable(other.to_string()),
    })
}

/// Counts brackets outside of texts. What is passed over does not use up the stack, but would be taken at any depth.
fn is_nested_too_deep(body: &[u8]) -> bool {
    if body.len() <= 2 * NESTING_MAX {
        return false;
    }
    let (mut depth, mut is_text, mut is_escaped) = (0usize, false, false);
    for &byte in body {
        if is_text {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => is_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => is_text = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > NESTING_MAX {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// The number in a `cmd_uid`; 0, which no command has, where there is none.
fn command_number(uid: &str) -> u64 {
    uid.strip_prefix(COMMAND_PREFIX).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Fowler, Noll and Vo's hash, 64 bits, variant 1a: the same in every process, so that it may be stored.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A value where an object belongs.
#[derive(Default)]
enum Shape<T> {
    #[default]
    Null,
    Object(T),
    Other,
}

/// Something that is filled from the fields of an object.
trait Fields<'de>: Default {
    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error>;
}

#[derive(Default)]
struct Envelope<'a> {
    event: Option<Scalar<'a>>,
    param: Shape<Param<'a>>,
    servo_uid: Option<Scalar<'a>>,
}

#[derive(Default)]
struct Param<'a> {
    progress: Option<Scalar<'a>>,
    cmd_uid: Option<Scalar<'a>>,
}

impl<'de> Fields<'de> for Envelope<'de> {
    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        // Of two fields of one name the last counts.
        match name {
            "event" => self.event = Some(map.next_value()?),
            "param" => self.param = map.next_value()?,
            "servo_uid" => self.servo_uid = Some(map.next_value()?),
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

impl<'de> Fields<'de> for Param<'de> {
    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "progress" => self.progress = Some(map.next_value()?),
            "cmd_uid" => self.cmd_uid = Some(map.next_value()?),
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

impl<'de, T: Fields<'de>> Deserialize<'de> for Shape<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor(std::marker::PhantomData))
    }
}

struct ShapeVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Fields<'de>> Visitor<'de> for ShapeVisitor<T> {
    type Value = Shape<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape<T>, A::Error> {
        let mut fields = T::default();
        while let Some(name) = map.next_key_seed(Name)? {
            fields.field(&name, &mut map)?;
        }
        Ok(Shape::Object(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape<T>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Shape::Other)
    }

    fn visit_unit<E>(self) -> Result<Shape<T>, E> {
        Ok(Shape::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape<T>, E> {
        Ok(Shape::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape<T>, E> {
        Ok(Shape::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape<T>, E> {
        Ok(Shape::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape<T>, E> {
        Ok(Shape::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape<T>, E> {
        Ok(Shape::Other)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Shape<T>, E> {
        Ok(Shape::Other)
    }
}

/// A field's name, borrowed where it can be; what is no text is a name that no field has.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        Ok(match Scalar::deserialize(deserializer)? {
            Scalar::Text(name) => name,
            _ => Cow::Borrowed(""),
        })
    }
}

/// A value that is looked at.
enum Scalar<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    /// A whole number beyond those.
    TooLarge,
    Float(f64),
    Text(Cow<'a, str>),
    Other,
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar<'de>, E> {
        Ok(i64::try_from(value).map_or(Scalar::TooLarge, Scalar::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Float(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Scalar<'de>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

#[cfg(test)]
mod tests;
