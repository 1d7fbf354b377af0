//! The version of HTTP that a group speaks.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version of HTTP that a group speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpVersion {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: over TLS by ALPN, without TLS by prior knowledge.
    Http2,
}

impl HttpVersion {
    /// Its number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Http1 => 1,
            Self::Http2 => 2,
        }
    }
}

impl Serialize for HttpVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for HttpVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VersionVisitor;
        impl Visitor<'_> for VersionVisitor {
            type Value = HttpVersion;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("1 (HTTP/1.1) or 2 (HTTP/2)")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<HttpVersion, E> {
                match number {
                    1 => Ok(HttpVersion::Http1),
                    2 => Ok(HttpVersion::Http2),
                    _ => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
                }
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<HttpVersion, E> {
                match number {
                    1.0 | 1.1 => Ok(HttpVersion::Http1),
                    2.0 => Ok(HttpVersion::Http2),
                    _ => Err(E::invalid_value(Unexpected::Float(number), &self)),
                }
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<HttpVersion, E> {
                match text {
                    "1" | "1.1" => Ok(HttpVersion::Http1),
                    "2" => Ok(HttpVersion::Http2),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(VersionVisitor)
    }
}

impl JsonSchema for HttpVersion {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HttpVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The version of HTTP: 1, or 2 (over TLS by ALPN, without TLS by prior knowledge).",
            "enum": [1, 2]
        })
    }
}
