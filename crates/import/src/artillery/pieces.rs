//! What steps are made of.

use std::collections::BTreeMap;

use nuncius_schemas::flow::{Check, Op, Step, Texts};
use serde_json::{Value, json};

use super::state::{State, Sure};
use super::texts::Place;
use super::view::View;

/// A step as JSON.
pub(crate) fn value(step: &Step) -> Value {
    serde_json::to_value(step).unwrap_or(Value::Null)
}

/// A step that sets variables.
pub(crate) fn set(values: &[(String, Value)]) -> Value {
    value(&Step::of_op(Op::Set(values.iter().cloned().collect())))
}

/// Steps under a condition, as JSON.
pub(crate) fn under(condition: &str, then: Vec<Value>) -> Value {
    json!({ "if": { "condition": condition, "then": then } })
}

/// A check, as it is written.
pub(crate) fn check(written: Value) -> Option<Check> {
    serde_json::from_value(written).ok()
}

/// A URL whose characters can be sent: what cannot is percent-encoded, outside of templates.
pub(crate) fn encoded(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let begin = rest.find("{{").unwrap_or(rest.len());
        for byte in rest.get(..begin).unwrap_or_default().bytes() {
            match byte.is_ascii_graphic() {
                true => made.push(char::from(byte)),
                false => made.push_str(&format!("%{byte:02X}")),
            }
        }
        rest = rest.get(begin..).unwrap_or_default();
        if rest.is_empty() {
            return made;
        }
        let end = rest.find("}}").map_or(rest.len(), |end| end + 2);
        made.push_str(rest.get(..end).unwrap_or_default());
        rest = rest.get(end..).unwrap_or_default();
    }
}

/// Texts by name, several under one where there is a list.
pub(crate) fn fields(state: &mut State<'_, '_>, view: &View<'_>, sure: &Sure) -> BTreeMap<String, Texts> {
    let mut made = BTreeMap::new();
    if !view.is_map() {
        state.ledger.refused(view.spot(), format!("{} stands where a map is wanted", view.kind()));
        return made;
    }
    for (name, value) in view.entries() {
        if name.is_empty() {
            continue;
        }
        let texts = if value.is_list() {
            Texts::Many(value.items().iter().map(|item| state.text(item, Place::Text, sure)).collect())
        } else if value.is_map() {
            state.ledger.warn(value.spot(), "a map is nothing here: it is sent as an empty text");
            Texts::One(String::new())
        } else {
            Texts::One(state.text(&value, Place::Text, sure))
        };
        made.insert(name.to_owned(), texts);
    }
    made
}
