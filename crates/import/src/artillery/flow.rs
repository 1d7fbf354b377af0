//! Flows: steps in their order, and the blocks that hold further ones.

use std::collections::BTreeSet;

use nuncius_schemas::flow::{Op, Step};
use nuncius_schemas::spec::limits::NAME_MAX_CHARACTERS;
use serde::Serialize;
use serde_json::Value;

use super::config::Config;
use super::pieces::value;
use super::processor::Role;
use super::sockets::SocketIoConfig;
use super::state::State;
use super::template::has_template;
use super::view::View;

/// What a scenario speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// HTTP.
    Http,
    /// WebSocket.
    Ws,
    /// Socket.IO, and HTTP beside it.
    Socketio,
}

/// Where a step of the specification comes from: by this reports find the names that Artillery has for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepOrigin {
    /// Name of its scenario in the specification.
    pub scenario: String,
    /// Name of the step in reports, the scenario before it where there are several.
    pub step: String,
    /// What it does.
    pub act: Act,
    /// Path in the file: `scenarios[0].flow[3]`.
    pub path: String,
}

/// What a step does, as Artillery counts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A request.
    Request {
        /// Method.
        method: String,
        /// URL, as it is written.
        url: String,
        /// Its `name`.
        name: Option<String>,
    },
    /// An event that is emitted.
    Emit,
    /// A message that is sent over a WebSocket, and whether one is waited for.
    Send {
        /// Whether a message is waited for.
        waits: bool,
    },
    /// A message that is waited for.
    Wait,
    /// A connection that is opened.
    Connect,
    /// A function.
    Call,
}

/// A scenario while it is compiled.
pub(crate) struct Flow<'c> {
    pub(crate) config: &'c Config,
    pub(crate) engine: Engine,
    /// Hooks of every request, with where they are named.
    pub(crate) before: Vec<String>,
    pub(crate) after: Vec<String>,
    pub(crate) namer: Namer,
    pub(crate) origins: Vec<StepOrigin>,
    /// Of Socket.IO: how it connects, and which namespaces it has joined.
    pub(crate) socketio: SocketIoConfig,
    pub(crate) namespaces: BTreeSet<String>,
    pub(crate) depth: usize,
}

/// Names of steps, unique in their scenario and short enough.
#[derive(Debug, Clone)]
pub(crate) struct Namer {
    /// Name of the scenario, and whether it stands before the names of its steps.
    pub(crate) scenario: String,
    pub(crate) is_prefixed: bool,
    taken: BTreeSet<String>,
}

impl Namer {
    pub(crate) fn new(scenario: String, is_prefixed: bool) -> Self {
        // What reports call all steps together.
        Self { scenario, is_prefixed, taken: BTreeSet::from(["iteration".to_owned()]) }
    }

    /// A name that is free, as near to the wanted one as can be.
    pub(crate) fn name(&mut self, wanted: &str) -> String {
        let prefix = if self.is_prefixed { self.scenario.chars().count() + 1 } else { 0 };
        let most = NAME_MAX_CHARACTERS.saturating_sub(prefix).max(4);
        let plain = plain_name(wanted);
        let plain = if plain.trim().is_empty() { "step" } else { plain.trim() };
        let mut name = cut(plain, most);
        let mut number = 2;
        while !self.taken.insert(name.clone()) {
            let suffix = format!(" {number}");
            name = format!("{}{suffix}", cut(plain, most.saturating_sub(suffix.chars().count())));
            number += 1;
        }
        name
    }

    /// As reports have it.
    pub(crate) fn full(&self, name: &str) -> String {
        if self.is_prefixed { format!("{}/{name}", self.scenario) } else { name.to_owned() }
    }
}

/// A text as a name: without control characters, and without what looks like a variable of the environment.
pub(crate) fn plain_name(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '{' {
            plain.truncate(plain.trim_end_matches('$').len());
        }
        plain.push(if c.is_control() { ' ' } else { c });
    }
    plain
}

/// A text of at most so many characters, without a space at its end.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let cut: String = text.chars().take(most).collect();
    cut.trim_end().to_owned()
}

impl Flow<'_> {
    pub(crate) fn origin(&mut self, name: &str, act: Act, path: &str) {
        let step = self.namer.full(name);
        let scenario = self.namer.scenario.clone();
        self.origins.push(StepOrigin { scenario, step, act, path: path.to_owned() });
    }

    /// Keys beside the one that says what a step does, which mean nothing.
    pub(crate) fn only(&self, state: &mut State<'_, '_>, step: &View<'_>, known: &[&str]) {
        for (key, view) in step.entries() {
            if !known.contains(&key) {
                state.ledger.unknown(view.spot(), key, known);
            }
        }
    }

    /// A function of the processor as a step.
    pub(crate) fn function(&mut self, state: &mut State<'_, '_>, view: &View<'_>, path: &str) -> Vec<Value> {
        let Some(name) = view.text().filter(|name| !name.is_empty()) else {
            state.ledger.refused(view.spot(), format!("{} stands where the name of a function is wanted", view.kind()));
            return Vec::new();
        };
        if has_template(&name) {
            let note = "which function is called cannot depend on variables here: call one that chooses";
            state.ledger.refused(view.spot(), note);
            return Vec::new();
        }
        state.check_hook(view, &name, Role::Step);
        state.ledger.supported(view.spot());
        let export = state.script.step(&name);
        vec![self.call(&export, &name, path)]
    }

    /// A step that calls an exported function.
    pub(crate) fn call(&mut self, export: &str, wanted: &str, path: &str) -> Value {
        let name = self.namer.name(wanted);
        self.origin(&name, Act::Call, path);
        value(&Step { name: Some(name), ..Step::of_op(Op::Call(export.to_owned())) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_steps_are_unique_and_short_enough_with_their_scenario() {
        let mut namer = Namer::new("Create and delete".to_owned(), true);
        let first = namer.name("POST /api/v1/appointments/that/have/a/long/path/of/their/own");
        let second = namer.name("POST /api/v1/appointments/that/have/a/long/path/of/their/own");
        assert_ne!(first, second);
        for name in [&first, &second] {
            assert!(namer.full(name).chars().count() <= NAME_MAX_CHARACTERS, "{name}");
        }
        assert_eq!(namer.name("iteration"), "iteration 2");
        assert_eq!(namer.name(" \n"), "step");
    }
}
