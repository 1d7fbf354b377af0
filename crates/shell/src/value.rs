//! What expressions are worth.

use std::fmt;

/// A thing of the shell that has methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// `g`.
    Galileo,
    /// `show`.
    Show,
    /// `exp`.
    Experiment,
    /// `rtbl`.
    Routes,
    /// `telemd`.
    Telemetry,
    /// A group of clients, by its number.
    Group(usize),
    /// Requests that a group was asked for, by their number.
    Work(usize),
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True`, `False`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// `'text'`.
    Text(String),
    /// `[…]`.
    List(Vec<Value>),
    /// `(…, …)`.
    Tuple(Vec<Value>),
    /// `{…: …}`.
    Dict(Vec<(Value, Value)>),
    /// What has methods.
    Object(Object),
}

impl Value {
    /// As a number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            Self::None
            | Self::Bool(_)
            | Self::Text(_)
            | Self::List(_)
            | Self::Tuple(_)
            | Self::Dict(_)
            | Self::Object(_) => None,
        }
    }

    /// The entries of a list or a tuple.
    pub fn entries(&self) -> Option<&[Value]> {
        match self {
            Self::List(entries) | Self::Tuple(entries) => Some(entries),
            Self::None
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Dict(_)
            | Self::Object(_) => None,
        }
    }

    /// As text for a label or a header: a text as it is, a number as it is written.
    pub fn plain(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::None
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Float(_)
            | Self::List(_)
            | Self::Tuple(_)
            | Self::Dict(_)
            | Self::Object(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Value {
    /// As Python shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, open: &str, entries: &[Value], close: &str| {
            f.write_str(open)?;
            for (index, entry) in entries.iter().enumerate() {
                write!(f, "{}{entry}", if index == 0 { "" } else { ", " })?;
            }
            f.write_str(close)
        };
        match self {
            Self::None => f.write_str("None"),
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Text(text) => write!(f, "'{}'", text.escape_debug()),
            Self::List(entries) => list(f, "[", entries, "]"),
            Self::Tuple(entries) => list(f, "(", entries, if entries.len() == 1 { ",)" } else { ")" }),
            Self::Dict(entries) => {
                f.write_str("{")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
            Self::Object(Object::Galileo) => f.write_str("g"),
            Self::Object(Object::Show) => f.write_str("show"),
            Self::Object(Object::Experiment) => f.write_str("exp"),
            Self::Object(Object::Routes) => f.write_str("rtbl"),
            Self::Object(Object::Telemetry) => f.write_str("telemd"),
            Self::Object(Object::Group(number)) => write!(f, "group {number}"),
            Self::Object(Object::Work(number)) => write!(f, "requests {number}"),
        }
    }
}
