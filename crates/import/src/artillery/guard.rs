//! When a request is sent at all: `ifTrue` and `probability`.

use serde_json::{Value, json};

use super::filtrex;
use super::flow::Flow;
use super::pieces::under;
use super::state::{State, Sure};
use super::template::Path;
use super::view::{View, shown};

/// When a step is taken.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// What has to be done before that can be said.
    before: Vec<Value>,
    /// A template.
    condition: Option<String>,
    /// 0 to 1.
    probability: Option<f64>,
}

impl Guard {
    /// Puts it around steps.
    pub(crate) fn around(self, mut steps: Vec<Value>) -> Vec<Value> {
        let mut made = self.before;
        match (self.condition, self.probability) {
            (None, None) => made.append(&mut steps),
            (condition, probability) if steps.len() == 1 => {
                for mut step in steps {
                    if let Some(map) = step.as_object_mut() {
                        map.extend(condition.clone().map(|condition| ("if".to_owned(), Value::String(condition))));
                        map.extend(probability.map(|share| ("probability".to_owned(), json!(share))));
                    }
                    made.push(step);
                }
            }
            (condition, probability) => {
                let mut block = under(condition.as_deref().unwrap_or("{{ true }}"), steps);
                if let (Some(share), Some(map)) = (probability, block.as_object_mut()) {
                    map.insert("probability".to_owned(), json!(share));
                }
                made.push(block);
            }
        }
        made
    }
}

/// Reads both keys; `None` where the step is never taken.
pub(crate) fn read(state: &mut State<'_, '_>, flow: &mut Flow<'_>, params: &View<'_>, sure: &Sure) -> Option<Guard> {
    let mut guard = Guard::default();
    if let Some(view) = params.get("probability") {
        let percent = state.known_number(&view)?;
        if percent <= 0.0 {
            state.ledger.warn(view.spot(), "it is never sent: it is left out");
            return None;
        }
        // Artillery draws one of 101 numbers: 100 is 100 of 101 there.
        if percent < 100.0 {
            guard.probability = Some(percent / 100.0);
        }
        state.ledger.supported(view.spot());
    }
    if let Some(view) = params.get("ifTrue").filter(|view| !view.is_nothing()) {
        if_true(state, flow, &view, sure, &mut guard);
    }
    Some(guard)
}

fn if_true(state: &mut State<'_, '_>, flow: &mut Flow<'_>, view: &View<'_>, sure: &Sure, guard: &mut Guard) {
    let Some(text) = view.text() else {
        state.ledger.warn(view.spot(), "it is no expression: Artillery sends the request always, and so it is here");
        return;
    };
    let is_name = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_$".contains(c));
    if is_name && state.script.has_processor() && state.script.defines(&text) {
        let variable = condition_variable(state);
        let export = state.script.if_function(&text, &variable);
        guard.before.push(flow.call(&export, &text, &view.path));
        guard.condition = Some(format!("{{{{ {variable} }}}}"));
        let note = "the function is called in a step of its own, which has a line in reports";
        state.ledger.approximated(view.spot(), note);
        return;
    }
    let expression = match filtrex::parse(&text, &[]) {
        Ok(expression) => expression,
        Err(problem) => {
            let text =
                format!("it is no expression ({problem}): Artillery sends the request always, and so it is here");
            state.ledger.warn(view.spot(), text);
            state.ledger.supported(view.spot());
            return;
        }
    };
    let mut members = Vec::new();
    let spot = view.spot();
    let made = filtrex::condition::condition(&expression, &mut |name| {
        // Points belong to names: a member of a variable has no such name.
        if name.contains('.') && !state.dotted.contains(name) {
            members.push(name.to_owned());
            return None;
        }
        let path = Path { root: name.to_owned(), further: Vec::new() };
        Some(state.expression(&path, &spot, sure))
    });
    for name in members {
        let text = format!("`{}` is nothing to Artillery: points belong to names there; write `x of y`", shown(&name));
        state.ledger.warn(view.spot(), text);
    }
    match made {
        Some(condition) => {
            guard.condition = Some(format!("{{{{ {condition} }}}}"));
            state.ledger.supported(view.spot());
        }
        None => {
            let variable = condition_variable(state);
            let javascript = filtrex::javascript::javascript(&expression);
            let export = state.script.if_expression(&javascript, &variable);
            guard.before.push(flow.call(&export, "ifTrue", &view.path));
            guard.condition = Some(format!("{{{{ {variable} }}}}"));
            let note = "it is worked out by the script, in a step of its own, which has a line in reports";
            state.ledger.approximated(view.spot(), note);
        }
    }
}

/// The variable that holds whether a condition holds.
fn condition_variable(state: &mut State<'_, '_>) -> String {
    let variable = state.names.own("holds");
    state.script.hide(&variable);
    variable
}
