//! Loops.
//!
//! `count` is a number, a range (`1-15`: from 1, to 14) or a template; without one, and with 0 or -1, a loop has no
//! end. `over` goes through a list, `whileTrue` asks a function after each round.

use nuncius_schemas::flow::step::ROUNDS_MAX;
use serde_json::{Map, Value, json};

use crate::artillery::flow::Flow;
use crate::artillery::human;
use crate::artillery::pieces::set;
use crate::artillery::state::{State, Sure};
use crate::artillery::template::{has_template, path};
use crate::artillery::texts::Place;
use crate::artillery::view::{View, shown};

const KNOWN: [&str; 6] = ["loop", "count", "over", "whileTrue", "loopValue", "loopElement"];

/// How often a loop goes round.
enum Rounds {
    Count(u64),
    Template(String),
    Over(Value),
    /// After each round a function is asked, which sets a variable.
    While(String),
    Endless,
}

impl Flow<'_> {
    pub(super) fn repeat(&mut self, state: &mut State<'_, '_>, step: &View<'_>, sure: &mut Sure) -> Vec<Value> {
        let Some(body) = step.get("loop") else { return Vec::new() };
        self.only(state, step, &KNOWN);
        if !self.may_nest(state, &body) {
            return Vec::new();
        }
        let name = |state: &mut State<'_, '_>, key: &str, default: &str| match step.get(key) {
            Some(view) => {
                state.ledger.supported(view.spot());
                view.text().filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
            }
            None => default.to_owned(),
        };
        let counter = name(state, "loopValue", "$loopCount");
        let element = name(state, "loopElement", "$loopElement");
        let (rounds, from) = self.rounds(state, step, sure);
        let Some(rounds) = rounds else { return Vec::new() };
        let is_over = matches!(rounds, Rounds::Over(_));
        state.assign(&counter);
        state.assign(&element);
        let mut inside = sure.clone();
        inside.add(&counter);
        inside.add(&element);
        self.depth += 1;
        let mut steps = self.steps(state, &body, &mut inside);
        self.depth -= 1;
        if steps.is_empty() {
            state.ledger.warn(body.spot(), "its steps do nothing here: the loop is left out");
            return Vec::new();
        }
        self.count_rounds(state, &counter, (&element, is_over), from, &mut steps);
        let mut block = Map::new();
        let mut made = Vec::new();
        match rounds {
            Rounds::Count(count) => {
                block.insert("count".to_owned(), count.into());
            }
            Rounds::Template(template) => {
                block.insert("count".to_owned(), template.into());
                block.insert("at_most".to_owned(), ROUNDS_MAX.into());
            }
            Rounds::Over(list) => {
                block.insert("over".to_owned(), list);
                block.insert("as".to_owned(), state.names.of(&element).into());
                block.insert("at_most".to_owned(), ROUNDS_MAX.into());
            }
            Rounds::While(function) => {
                let variable = state.names.own("goes_on");
                state.script.hide(&variable);
                made.push(set(&[(variable.clone(), Value::Bool(true))]));
                let export = state.script.while_true(&function, &variable);
                steps.push(self.call(&export, &function, &step.path));
                block.insert("while".to_owned(), format!("{{{{ {variable} }}}}").into());
                block.insert("at_most".to_owned(), ROUNDS_MAX.into());
            }
            Rounds::Endless => {
                block.insert("while".to_owned(), "{{ true }}".into());
                block.insert("at_most".to_owned(), ROUNDS_MAX.into());
            }
        }
        block.insert("steps".to_owned(), steps.into());
        made.push(json!({ "loop": block }));
        made
    }

    /// How often the loop goes round, and the first value of its counter.
    fn rounds(&mut self, state: &mut State<'_, '_>, step: &View<'_>, sure: &Sure) -> (Option<Rounds>, i64) {
        let (count, from) = match step.get("count").filter(|count| !count.is_nothing()) {
            Some(view) => match count(state, &view, sure) {
                Some((rounds, from)) => (Some(rounds), from),
                None => return (None, 0),
            },
            None => (None, 0),
        };
        if let Some(view) = step.get("whileTrue") {
            let Some(name) = view.text().filter(|name| !has_template(name)) else {
                state.ledger.refused(view.spot(), "it is no name of a function of the processor");
                return (None, 0);
            };
            if state.script.has_processor() {
                state.ledger.supported(view.spot());
                return (Some(Rounds::While(name)), from);
            }
            state.ledger.warn(view.spot(), "there is no processor that it could be a function of: it means nothing");
        }
        if let Some(view) = step.get("over").filter(|over| !over.is_nothing()) {
            let rounds = over(state, &view, sure);
            if count.is_some() && rounds.is_some() {
                state.ledger.warn(view.spot(), "`over` goes before `count`: the loop goes through all of the list");
            }
            return (rounds.map(Rounds::Over), 0);
        }
        match count {
            Some(rounds) => (Some(rounds), from),
            None => {
                let text = format!("it has no end there: here it ends the user after {} rounds", ROUNDS_MAX);
                state.ledger.warn(step.spot(), text);
                (Some(Rounds::Endless), 0)
            }
        }
    }

    /// Sets the counter of the rounds, where anybody looks at it.
    fn count_rounds(
        &self,
        state: &mut State<'_, '_>,
        counter: &str,
        (element, is_over): (&str, bool),
        from: i64,
        steps: &mut Vec<Value>,
    ) {
        let is_wanted = |state: &State<'_, '_>, name: &str| {
            state.named.contains_key(name) || (state.script.has_processor() && state.script.is_used())
        };
        let mut values = Vec::new();
        if is_wanted(state, counter) {
            let number = match from {
                0 => "{{ loop.index }}".to_owned(),
                from => format!("{{{{ loop.index + {from} }}}}"),
            };
            values.push((state.names.of(counter), Value::String(number)));
        }
        // Without a list it is the first number, in every round.
        if !is_over && is_wanted(state, element) {
            values.push((state.names.of(element), from.into()));
        }
        if !values.is_empty() {
            steps.insert(0, set(&values));
        }
    }
}

/// `count`; `None` where it is refused.
fn count(state: &mut State<'_, '_>, view: &View<'_>, sure: &Sure) -> Option<(Rounds, i64)> {
    let Some(text) = view.text() else {
        state.ledger.refused(view.spot(), format!("{} stands where a number of rounds is wanted", view.kind()));
        return None;
    };
    if has_template(&text) {
        let template = state.text(view, Place::Needed, sure);
        if !nuncius_schemas::flow::template::is_template(&template) {
            let note = "a number of rounds is one variable and nothing beside it; a range is written out";
            state.ledger.refused(view.spot(), note);
            return None;
        }
        state.ledger.supported(view.spot());
        return Some((Rounds::Template(template), 0));
    }
    let (from, to) = match human::number(&text) {
        // A number that is nothing to it is as if it were not there.
        Some(0.0) if view.is_number() => (0.0, -1.0),
        Some(number) => (0.0, number),
        None => {
            let range = text.split_once('-').and_then(|(from, to)| Some((human::number(from)?, human::number(to)?)));
            range.unwrap_or((0.0, 0.0))
        }
    };
    if to == -1.0 {
        state.ledger.approximated(view.spot(), format!("it has no end there: here at most {} rounds", ROUNDS_MAX));
        return Some((Rounds::Endless, from as i64));
    }
    let rounds = (to - from).ceil();
    if rounds < 1.0 {
        state.ledger.warn(view.spot(), format!("`{}` is no round at all: the loop is left out", shown(&text)));
        state.ledger.supported(view.spot());
        return None;
    }
    if rounds > f64::from(ROUNDS_MAX) {
        state.ledger.refused(view.spot(), format!("more than {} rounds", ROUNDS_MAX));
        return None;
    }
    state.ledger.supported(view.spot());
    Some((Rounds::Count(rounds as u64), from as i64))
}

/// `over`: a list, or the name of a variable that is one; `None` where it is refused, or empty.
fn over(state: &mut State<'_, '_>, view: &View<'_>, sure: &Sure) -> Option<Value> {
    if view.is_list() {
        let list = state.json(view, sure);
        state.ledger.supported(view.spot());
        if list.as_array().is_some_and(Vec::is_empty) {
            state.ledger.warn(view.spot(), "it is empty: the loop is left out");
            return None;
        }
        return Some(list);
    }
    let text = view.text().unwrap_or_default();
    let name = text.trim_matches(|c: char| c == '{' || c == '}' || c.is_whitespace());
    let Some(path) = path(name) else {
        state.ledger.refused(view.spot(), format!("{} stands where a list or a variable is wanted", view.kind()));
        return None;
    };
    if has_template(&text) {
        let text = "it is the name of a variable, without braces: Artillery goes round no time here";
        state.ledger.warn(view.spot(), text);
    }
    let (expression, is_sure) = state.expression(&path, &view.spot(), sure);
    if is_sure {
        state.ledger.supported(view.spot());
    } else {
        let note = "where there is no such list the user ends here; with Artillery the loop is passed over";
        state.ledger.approximated(view.spot(), note);
    }
    Some(Value::String(format!("{{{{ {expression} }}}}")))
}
