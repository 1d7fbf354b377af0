//! Methods of HTTP: registered ones by their name, others only by an explicit form, so that no misspelt one runs.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::suggest;

/// Longest name of a method, in bytes.
pub const METHOD_MAX_BYTES: usize = 32;

/// The registered methods (IANA, HTTP Method Registry), without those that open a tunnel or belong to a preface.
const REGISTERED: [&str; 39] = [
    "GET",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "QUERY",
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "ORDERPATCH",
    "PROPFIND",
    "PROPPATCH",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
    "CONNECT",
];

/// A method of HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    name: String,
    is_custom: bool,
}

impl Method {
    /// A registered method.
    ///
    /// # Errors
    /// What is no registered method, with what may have been meant.
    pub fn registered(name: &str) -> Result<Self, String> {
        if name == "CONNECT" {
            return Err("`CONNECT` opens a tunnel, which is no request".to_owned());
        }
        if REGISTERED.contains(&name) {
            return Ok(Self { name: name.to_owned(), is_custom: false });
        }
        let shown: String = name.chars().take(80).collect();
        let meant = match suggest::nearest(name, REGISTERED) {
            Some(known) => format!("; did you mean {known}?"),
            None => ", such as GET or POST".to_owned(),
        };
        let custom =
            if is_token(name) { format!(" One of your own is written {{custom: {name}}}") } else { String::new() };
        Err(format!("`{shown}` is not a method{meant}{custom}"))
    }

    /// A method of somebody's own.
    ///
    /// # Errors
    /// What cannot be the name of a method.
    pub fn custom(name: &str) -> Result<Self, String> {
        if !is_token(name) {
            let shown: String = name.chars().take(80).collect();
            return Err(format!("`{shown}` cannot be a method: use 1 to {METHOD_MAX_BYTES} of A-Z a-z 0-9 - . _"));
        }
        Ok(Self { name: name.to_owned(), is_custom: true })
    }

    /// Whether it is somebody's own.
    pub fn is_custom(&self) -> bool {
        self.is_custom
    }

    /// As it is sent.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What may stand in a request line, of the characters that anybody uses.
fn is_token(name: &str) -> bool {
    (1..=METHOD_MAX_BYTES).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        if !self.is_custom {
            return serializer.serialize_str(&self.name);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("custom", &self.name)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MethodVisitor;
        impl<'de> Visitor<'de> for MethodVisitor {
            type Value = Method;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a method such as GET, or {custom: NAME}")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Method, E> {
                Method::registered(name).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Method, A::Error> {
                let mut name: Option<String> = None;
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "custom" => name = Some(map.next_value()?),
                        other => return Err(de::Error::unknown_field(other, &["custom"])),
                    }
                }
                let name = name.ok_or_else(|| de::Error::missing_field("custom"))?;
                Method::custom(&name).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(MethodVisitor)
    }
}

impl JsonSchema for Method {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Method".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let registered: Vec<&str> = REGISTERED.into_iter().filter(|name| *name != "CONNECT").collect();
        json_schema!({
            "description": "A registered method of HTTP, or one of your own.",
            "oneOf": [
                { "type": "string", "enum": registered },
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["custom"],
                    "properties": { "custom": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,32}$" } }
                }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_method_is_refused_with_what_was_meant() {
        for (name, told) in [
            ("GTE", "did you mean GET?"),
            ("get", "did you mean GET?"),
            ("PSOT", "did you mean POST?"),
            ("PURGE", "{custom: PURGE}"),
            ("CONNECT", "tunnel"),
            ("", "such as GET or POST"),
            ("G T", "is not a method"),
        ] {
            let error = Method::registered(name).unwrap_err();
            assert!(error.contains(told), "{name}: {error}");
        }
        assert!(Method::custom("a b").is_err() && Method::custom("").is_err());
    }

    #[test]
    fn methods_read_back_as_they_were_written() {
        for text in [r#""GET""#, r#""PROPFIND""#, r#"{"custom":"PURGE"}"#] {
            let method: Method = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&method).unwrap(), text);
        }
        assert!(serde_json::from_str::<Method>(r#"{"costum":"PURGE"}"#).is_err());
    }
}
