//! What may stand after the `?` of a path.

use nuncius_schemas::tag::TAGS_MAX;
use serde_json::{Value, json};

/// One parameter of a query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) kind: Kind,
    is_required: bool,
}

/// What its value is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// A number from 1 up to this, unless the settings say otherwise.
    Most(u64),
    /// A number with a fraction, of 0 or more.
    Number,
    /// One of these.
    Choice(&'static [&'static str]),
    /// Some of these, with commas between them.
    Choices(&'static [&'static str]),
    /// A tag, `NAME` or `NAME=VALUE`; may be given several times.
    Tags,
    /// A time: RFC 3339, or milliseconds since the Unix epoch.
    Time,
    /// `true` or `false`.
    Flag,
}

impl Parameter {
    pub(crate) const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, about, kind, is_required: false }
    }

    /// Without it nothing can be said.
    pub(crate) const fn required(self) -> Self {
        Self { is_required: true, ..self }
    }

    /// Whether it may be given several times.
    pub(crate) const fn may_repeat(&self) -> bool {
        matches!(self.kind, Kind::Tags)
    }

    /// As OpenAPI describes it.
    pub(crate) fn described(&self) -> Value {
        let schema = match self.kind {
            Kind::Text => json!({ "type": "string" }),
            Kind::Most(most) => json!({ "type": "integer", "minimum": 1, "maximum": most }),
            Kind::Number => json!({ "type": "number", "minimum": 0 }),
            Kind::Choice(choices) => json!({ "type": "string", "enum": choices }),
            Kind::Choices(choices) => json!({ "type": "array", "items": { "type": "string", "enum": choices } }),
            Kind::Tags => json!({ "type": "array", "items": { "type": "string" }, "maxItems": TAGS_MAX }),
            Kind::Time => json!({ "oneOf": [
                { "type": "string", "format": "date-time" },
                { "type": "integer", "minimum": 0, "description": "milliseconds since the Unix epoch" },
            ] }),
            Kind::Flag => json!({ "type": "boolean" }),
        };
        let mut described = json!({ "name": self.name, "in": "query", "description": self.about, "required": self.is_required, "schema": schema });
        if let (Kind::Choices(_) | Kind::Tags, Some(object)) = (self.kind, described.as_object_mut()) {
            object.insert("style".to_owned(), json!("form"));
            object.insert("explode".to_owned(), json!(self.may_repeat()));
        }
        described
    }
}
