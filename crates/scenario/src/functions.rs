//! The functions of expressions.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use base64::Engine;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use time::OffsetDateTime;

use crate::draw::Draws;
use crate::error::{TemplateError, shown};
use crate::scope::Scope;
use crate::value::number::{self, Numeric};
use crate::value::{kind, text};

/// What stays as it is in a part of a URL: RFC 3986, section 2.3.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A function by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Base64,
    Default,
    Env,
    Int,
    Iteration,
    Json,
    Len,
    Lower,
    Now,
    Number,
    RandomInt,
    RandomString,
    String,
    Upper,
    UrlEncode,
    User,
    Uuid,
}

const FUNCTIONS: [(&str, Function); 17] = [
    ("base64", Function::Base64),
    ("default", Function::Default),
    ("env", Function::Env),
    ("int", Function::Int),
    ("iteration", Function::Iteration),
    ("json", Function::Json),
    ("len", Function::Len),
    ("lower", Function::Lower),
    ("now", Function::Now),
    ("number", Function::Number),
    ("random_int", Function::RandomInt),
    ("random_string", Function::RandomString),
    ("string", Function::String),
    ("upper", Function::Upper),
    ("urlencode", Function::UrlEncode),
    ("user", Function::User),
    ("uuid", Function::Uuid),
];

impl Function {
    /// The function of a name; else which there are.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, function)| *function).ok_or_else(|| {
            let known: Vec<&str> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
            format!("`{}` is not a function: there are {}", shown(name), known.join(", "))
        })
    }

    pub(crate) fn name(self) -> &'static str {
        FUNCTIONS.iter().find(|(_, function)| *function == self).map_or("", |(name, _)| name)
    }

    /// How many arguments it takes.
    pub(crate) const fn arity(self) -> RangeInclusive<usize> {
        match self {
            Self::Iteration | Self::User | Self::Uuid => 0..=0,
            Self::Now => 0..=1,
            Self::Base64
            | Self::Env
            | Self::Int
            | Self::Json
            | Self::Len
            | Self::Lower
            | Self::Number
            | Self::RandomString
            | Self::String
            | Self::Upper
            | Self::UrlEncode => 1..=1,
            Self::Default | Self::RandomInt => 2..=2,
        }
    }

    /// The result for its arguments; one that is not there is null. `default` never comes here with a missing value:
    /// only who evaluates can tell.
    pub(crate) fn call(
        self,
        first: &Value,
        second: &Value,
        scope: &Scope<'_>,
        draws: &mut Draws,
    ) -> Result<Value, TemplateError> {
        let limit = scope.made_max_bytes;
        match self {
            Self::Base64 => {
                let plain = text(first);
                // Four letters for three bytes.
                within(plain.len().saturating_mul(4) / 3, limit)?;
                Ok(base64::engine::general_purpose::STANDARD.encode(plain.as_bytes()).into())
            }
            Self::Default => Ok(if first.is_null() { second.clone() } else { first.clone() }),
            Self::Env => {
                let name = self.text_of(first)?;
                (scope.environment)(name)
                    .map(Value::String)
                    .ok_or_else(|| TemplateError::Environment { name: shown(name) })
            }
            Self::Int => self.numeric_of(first).and_then(|numeric| match numeric {
                Numeric::Whole(_) => Ok(numeric.into_value()),
                Numeric::Real(real) => number::bounded(real.trunc() as i128)
                    .map(Numeric::into_value)
                    .ok_or(TemplateError::OutOfRange { what: self.name() }),
            }),
            Self::Iteration => Ok(scope.iteration.into()),
            Self::Json => Ok(first.to_string().into()),
            Self::Len => match first {
                Value::String(text) => Ok(text.chars().count().into()),
                Value::Array(items) => Ok(items.len().into()),
                Value::Object(members) => Ok(members.len().into()),
                Value::Null | Value::Bool(_) | Value::Number(_) => Err(self.refused("a text, a list or a map", first)),
            },
            Self::Lower => Ok(text(first).to_lowercase().into()),
            Self::Now => match first {
                Value::Null => Ok(scope.now_unix_ms.into()),
                Value::String(form) if form == "iso" => iso(scope.now_unix_ms).map(Value::String),
                other => Err(self.refused("nothing or 'iso'", other)),
            },
            Self::Number => self.numeric_of(first).map(Numeric::into_value),
            Self::RandomInt => {
                let (low, high) = (self.whole_of(first)?, self.whole_of(second)?);
                if low > high {
                    let what = format!("random_int({low}, {high}) has the smaller number first");
                    return Err(TemplateError::Type { what });
                }
                Ok(draws.between(low, high).into())
            }
            Self::RandomString => {
                let length = self.whole_of(first)?;
                let length =
                    usize::try_from(length).map_err(|_| self.refused("a length from 0", &Value::from(length)))?;
                within(length, limit)?;
                Ok(draws.text(length).into())
            }
            Self::String => Ok(match text(first) {
                Cow::Borrowed(text) => text.to_owned().into(),
                Cow::Owned(text) => text.into(),
            }),
            Self::Upper => Ok(text(first).to_uppercase().into()),
            Self::UrlEncode => Ok(utf8_percent_encode(&text(first), UNRESERVED).to_string().into()),
            Self::User => Ok(scope.user.into()),
            Self::Uuid => Ok(draws.uuid().into()),
        }
    }

    fn refused(self, wanted: &str, value: &Value) -> TemplateError {
        TemplateError::Type { what: format!("{}() takes {wanted}, not {}", self.name(), kind(value)) }
    }

    fn text_of(self, value: &Value) -> Result<&str, TemplateError> {
        value.as_str().ok_or_else(|| self.refused("a text", value))
    }

    fn numeric_of(self, value: &Value) -> Result<Numeric, TemplateError> {
        match value {
            Value::Bool(truth) => Ok(Numeric::Whole((*truth).into())),
            Value::Number(number) => Ok(Numeric::of(number)),
            Value::String(text) => {
                number::parse(text.trim()).ok_or_else(|| self.refused("a number, or a text that is one", value))
            }
            Value::Null | Value::Array(_) | Value::Object(_) => {
                Err(self.refused("a number, or a text that is one", value))
            }
        }
    }

    fn whole_of(self, value: &Value) -> Result<i64, TemplateError> {
        match self.numeric_of(value)? {
            Numeric::Whole(whole) => i64::try_from(whole).map_err(|_| TemplateError::OutOfRange { what: self.name() }),
            Numeric::Real(real) if real.trunc() == real && real.abs() < 9.2e18 => Ok(real as i64),
            Numeric::Real(_) => Err(TemplateError::Type { what: format!("{}() takes whole numbers", self.name()) }),
        }
    }
}

const fn within(bytes: usize, limit: usize) -> Result<(), TemplateError> {
    if bytes > limit { Err(TemplateError::MadeTooLong { limit }) } else { Ok(()) }
}

/// An instant as RFC 3339 in UTC, with milliseconds.
fn iso(unix_ms: u64) -> Result<String, TemplateError> {
    let out_of_range = TemplateError::OutOfRange { what: "now('iso')" };
    let instant = i64::try_from(unix_ms / 1_000).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    let Some(instant) = instant else { return Err(out_of_range) };
    Ok(format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        instant.year(),
        u8::from(instant.month()),
        instant.day(),
        instant.hour(),
        instant.minute(),
        instant.second(),
        unix_ms % 1_000
    ))
}

/// The bytes of a text in base64 (RFC 4648, 4), with or without its padding; `None` for what is none.
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
    engine.decode(text.trim().trim_end_matches('=')).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::draw::DrawKey;
    use crate::names::Names;

    fn call(function: &str, first: Value, second: Value) -> Result<Value, TemplateError> {
        let names = Names::new();
        let scope = Scope {
            iteration: 4,
            user: 9,
            now_unix_ms: 1_709_210_096_789,
            environment: &|name| (name == "SET").then(|| "yes".to_owned()),
            made_max_bytes: 100,
            ..Scope::new(&names, &[])
        };
        let mut draws = Draws::new(DrawKey::new(1, 0), 4, 0, 0);
        Function::named(function).unwrap().call(&first, &second, &scope, &mut draws)
    }

    #[test]
    fn functions_give_what_the_language_says() {
        let null = Value::Null;
        for (function, first, second, expected) in [
            ("base64", json!("user:päss"), null.clone(), json!("dXNlcjpww6Rzcw==")),
            ("default", null.clone(), json!(1), json!(1)),
            ("default", json!(0), json!(1), json!(0)),
            ("env", json!("SET"), null.clone(), json!("yes")),
            ("int", json!("-3.9"), null.clone(), json!(-3)),
            ("int", json!(true), null.clone(), json!(1)),
            ("iteration", null.clone(), null.clone(), json!(4)),
            ("json", json!({"a": "b"}), null.clone(), json!("{\"a\":\"b\"}")),
            ("json", json!("a"), null.clone(), json!("\"a\"")),
            ("len", json!("größe"), null.clone(), json!(5)),
            ("len", json!([1, 2]), null.clone(), json!(2)),
            ("len", json!({}), null.clone(), json!(0)),
            ("lower", json!("ÄB"), null.clone(), json!("äb")),
            ("now", null.clone(), null.clone(), json!(1_709_210_096_789u64)),
            ("now", json!("iso"), null.clone(), json!("2024-02-29T12:34:56.789Z")),
            ("number", json!(" 1.5 "), null.clone(), json!(1.5)),
            ("random_int", json!(3), json!(3), json!(3)),
            ("random_string", json!(0), null.clone(), json!("")),
            ("string", json!(1.5), null.clone(), json!("1.5")),
            ("upper", json!("straße"), null.clone(), json!("STRASSE")),
            ("urlencode", json!("a b&ü~"), null.clone(), json!("a%20b%26%C3%BC~")),
            ("user", null.clone(), null.clone(), json!(9)),
        ] {
            assert_eq!(call(function, first.clone(), second).unwrap(), expected, "{function}({first})");
        }
        assert_eq!(call("uuid", null.clone(), null).unwrap().as_str().unwrap().len(), 36);
    }

    #[test]
    fn what_a_function_does_not_take_is_named_and_no_value_is_shown() {
        for (function, first, second, words) in [
            ("len", json!(1), json!(null), "len() takes a text, a list or a map, not a number"),
            ("int", json!("s3cret"), json!(null), "int() takes a number, or a text that is one, not a text"),
            ("now", json!("s3cret"), json!(null), "now() takes nothing or 'iso', not a text"),
            ("env", json!(1), json!(null), "env() takes a text, not a number"),
            ("env", json!("HOME"), json!(null), "--expose-env HOME"),
            ("random_int", json!(2), json!(1), "smaller number first"),
            ("random_int", json!(1.5), json!(2), "whole numbers"),
            ("random_string", json!(101), json!(null), "more than 100 bytes"),
            ("random_string", json!(-1), json!(null), "a length from 0"),
            ("base64", json!("x".repeat(90)), json!(null), "more than 100 bytes"),
            ("int", json!(1e300), json!(null), "beyond what a number can hold"),
        ] {
            let error = call(function, first, second).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("s3cret"), "{error}");
        }
        let error = Function::named("uid").unwrap_err();
        assert!(error.contains("`uid`") && error.contains("uuid"), "{error}");
    }

    #[test]
    fn the_farthest_instant_is_told_or_refused() {
        assert_eq!(iso(0).unwrap(), "1970-01-01T00:00:00.000Z");
        assert!(iso(u64::MAX).is_err());
    }
}
