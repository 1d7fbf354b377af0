//! `config.variables`: of a list each user has one item, drawn anew; anything else is what it is.

use serde_json::Value;

use super::pieces::set;
use super::state::{State, Sure};
use super::template::has_template;
use super::view::View;

/// What the variables become.
#[derive(Debug, Default)]
pub(crate) struct Inline {
    pub(crate) constants: Vec<(String, Value)>,
    /// Steps that every user begins with.
    pub(crate) setup: Vec<Value>,
    /// Variables that are there for certain.
    pub(crate) sure: Vec<String>,
}

/// Reads the variables.
pub(crate) fn read(state: &mut State<'_, '_>, config: &View<'_>) -> Inline {
    let mut made = Inline::default();
    let Some(view) = config.get("variables").filter(|view| !view.is_nothing()) else { return made };
    if !view.is_map() {
        state.ledger.refused(view.spot(), format!("{} stands where a map of variables is wanted", view.kind()));
        return made;
    }
    let sure = Sure::default();
    let mut drawn = Vec::new();
    for (name, inner) in view.entries() {
        state.assign(name);
        let value = state.json(&inner, &sure);
        let here = state.names.of(name);
        let is_made = holds_template(&value);
        if is_made {
            let note = "it is filled in for each user; with Artillery once, before the test";
            state.ledger.approximated(inner.spot(), note);
        }
        match value.as_array().map(Vec::len) {
            Some(0) => {
                state.ledger.warn(inner.spot(), "it is an empty list: there is no item that a user could have");
                continue;
            }
            Some(count) => {
                let list = state.names.own(&format!("list_{here}"));
                state.script.hide(&list);
                drawn.push((here, Value::from(format!("{{{{ {list}[random_int(0, {})] }}}}", count - 1))));
                if is_made {
                    made.setup.push(set(&[(list, value)]));
                } else {
                    made.constants.push((list, value));
                }
            }
            None if is_made => made.setup.push(set(&[(here, value)])),
            None => made.constants.push((here, value)),
        }
        made.sure.push(name.to_owned());
    }
    drawn.chunks(nuncius_schemas::spec::limits::ENTRIES_MAX).for_each(|some| made.setup.push(set(some)));
    made
}

fn holds_template(value: &Value) -> bool {
    match value {
        Value::String(text) => has_template(text),
        Value::Array(items) => items.iter().any(holds_template),
        Value::Object(map) => map.values().any(holds_template),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
