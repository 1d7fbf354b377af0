//! Values of scenarios: texts or lists of them, and the texts within JSON.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::redact::is_secret_name;
use crate::spec::text::{TextKind, Visit, one};

/// A text, or several under one name: `tag: [a, b]` is sent as `tag=a&tag=b`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum Texts {
    /// One.
    One(String),
    /// Any number, in their order.
    Many(Vec<String>),
}

impl Texts {
    /// All of them.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }

    /// Goes through them; each is the value of `name`.
    pub(super) fn visit_texts<E>(&mut self, path: &str, name: &str, visit: &mut Visit<'_, E>) -> Result<(), E> {
        match self {
            Self::One(text) => one(path.to_owned(), TextKind::Value(name), text, visit),
            Self::Many(texts) => texts
                .iter_mut()
                .enumerate()
                .try_for_each(|(index, text)| one(format!("{path}[{index}]"), TextKind::Value(name), text, visit)),
        }
    }
}

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(text) => serializer.serialize_str(text),
            Self::Many(texts) => texts.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;
        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a list of texts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts::One(text.to_owned()))
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Texts, D::Error> {
                deserializer.deserialize_any(self)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(Texts::Many(texts))
            }
        }
        // A number is the text that was written.
        deserializer.deserialize_newtype_struct(crate::tree::OWN_TEXT, TextsVisitor)
    }
}

/// Goes through the texts of a value, each under the name of the innermost key, or of the outermost that names a
/// secret: what is within `credentials` is one whatever its own key. Numbers are texts here, too: a PIN is a secret.
pub(super) fn visit_value<E>(path: &str, name: &str, value: &mut Value, visit: &mut Visit<'_, E>) -> Result<(), E> {
    match value {
        Value::String(text) => one(path.to_owned(), TextKind::Value(name), text, visit),
        Value::Number(number) => {
            let mut text = number.to_string();
            one(path.to_owned(), TextKind::Value(name), &mut text, visit)?;
            if text != number.to_string() {
                *value = Value::String(text);
            }
            Ok(())
        }
        Value::Array(items) => items
            .iter_mut()
            .enumerate()
            .try_for_each(|(index, item)| visit_value(&format!("{path}[{index}]"), name, item, visit)),
        Value::Object(map) => map.iter_mut().try_for_each(|(key, value)| {
            let name = if is_secret_name(name) { name } else { key.as_str() };
            visit_value(&format!("{path}.{key}"), name, value, visit)
        }),
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

/// Whether a value holds a template.
pub(crate) fn has_template(value: &Value) -> bool {
    match value {
        Value::String(text) => super::template::has_template(text),
        Value::Array(items) => items.iter().any(has_template),
        Value::Object(map) => map.values().any(has_template),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
