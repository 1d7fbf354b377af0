//! Scenarios, and what is done once before and after them.

use std::collections::BTreeSet;

use nuncius_schemas::spec::limits::NAME_MAX_CHARACTERS;
use regex::Regex;
use serde::Serialize;
use serde_json::{Value, json};

use super::config::Config;
use super::flow::{Engine, Flow, Namer, StepOrigin, cut, plain_name};
use super::processor::Role;
use super::request::hooks;
use super::socketio;
use super::sockets::{SocketIoConfig, WsConfig};
use super::state::{State, Sure};
use super::view::{View, shown};
use super::ws;
use crate::error::ImportError;

/// Longest name of a scenario, in characters: there is room for the names of its steps behind it.
const SCENARIO_NAME_MAX: usize = 40;

/// Largest weight.
const WEIGHT_MAX: f64 = 1_000_000.0;

/// A scenario, and what Artillery calls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScenarioOrigin {
    /// Its name in the specification.
    pub scenario: String,
    /// What `vusers.created_by_name` calls it: its name, else its number from 0.
    pub name: String,
    /// Path in the file: `scenarios[0]`.
    pub path: String,
    /// What it speaks.
    pub engine: Engine,
    /// The step that every user of it begins with, once, by its name in reports; absent where there is none such.
    pub counted_by: Option<String>,
}

/// What is the same for all scenarios.
pub(crate) struct Common<'c> {
    pub(crate) config: &'c Config,
    pub(crate) ws: WsConfig,
    pub(crate) socketio: SocketIoConfig,
    /// `config.engine`.
    pub(crate) engine: Option<String>,
    /// Steps that every user begins with.
    pub(crate) setup: Vec<Value>,
    pub(crate) sure: Sure,
}

/// Scenarios as a specification has them, and where they come from.
#[derive(Debug, Default)]
pub(crate) struct Scenarios {
    pub(crate) values: Vec<Value>,
    pub(crate) scenarios: Vec<ScenarioOrigin>,
    pub(crate) steps: Vec<StepOrigin>,
}

/// The step that no user takes: what functions fetch counts there, since Artillery counts none of it.
const OF_FUNCTIONS: &str = "requests of functions";

const KNOWN: [&str; 10] = [
    "name",
    "weight",
    "engine",
    "flow",
    "beforeScenario",
    "afterScenario",
    "beforeRequest",
    "afterResponse",
    "onError",
    "socketio",
];

/// Reads all scenarios, or the one that is wanted.
///
/// # Errors
/// The one that is wanted is not there, or is not the only one.
pub(crate) fn read(state: &mut State<'_, '_>, list: &View<'_>, common: &Common<'_>) -> Result<Scenarios, ImportError> {
    let mut made = Scenarios::default();
    if !list.is_list() {
        state.ledger.refused(list.spot(), format!("{} stands where a list of scenarios is wanted", list.kind()));
        return Ok(made);
    }
    state.ledger.supported(list.spot());
    let all = list.items();
    let chosen: Vec<(usize, View<'_>)> = match state.options.scenario_name.clone() {
        Some(wanted) => {
            let only = one_of(&all, &wanted)?;
            for (_, other) in all.iter().enumerate().filter(|(number, _)| *number != only.0) {
                state.ledger.approximated(other.spot(), "another one is wanted (--scenario-name)");
            }
            vec![only]
        }
        None => all.into_iter().enumerate().collect(),
    };
    let mut weighed: Vec<(usize, View<'_>, u32)> = Vec::new();
    let is_alone = chosen.len() == 1;
    for (number, scenario) in chosen {
        if !scenario.is_map() {
            state.ledger.refused(scenario.spot(), format!("{} stands where a scenario is wanted", scenario.kind()));
            continue;
        }
        match weight(state, &scenario) {
            _ if is_alone => weighed.push((number, scenario, 1)),
            0 => {
                let text = "nobody takes it (its weight is 0): it is left out";
                state.ledger.warn(scenario.spot(), text);
                state.ledger.approximated(scenario.spot(), text);
            }
            weight => weighed.push((number, scenario, weight)),
        }
    }
    let mut taken = BTreeSet::new();
    let is_prefixed = weighed.len() > 1;
    for (number, scenario, weight) in weighed {
        one(state, (number, &scenario, weight), common, is_prefixed, &mut taken, &mut made);
    }
    // Some may have been left out: then the names of steps have nothing before them.
    if made.values.len() == 1 && is_prefixed {
        let prefix = made.scenarios.first().map_or_else(String::new, |origin| format!("{}/", origin.scenario));
        for name in made.scenarios.iter_mut().filter_map(|origin| origin.counted_by.as_mut()) {
            *name = name.strip_prefix(&prefix).unwrap_or(name).to_owned();
        }
        for step in &mut made.steps {
            step.step = step.step.strip_prefix(&prefix).unwrap_or(&step.step).to_owned();
        }
    }
    if state.script.may_fetch() {
        let never = json!({ "get": "/", "name": OF_FUNCTIONS, "if": "{{ false }}" });
        let steps = made.values.first_mut().and_then(|scenario| scenario.get_mut("steps"));
        if let Some(steps) = steps.and_then(Value::as_array_mut) {
            steps.push(never);
        }
    }
    Ok(made)
}

/// The only scenario of a name, or whose name an expression finds.
fn one_of<'a>(all: &[View<'a>], wanted: &str) -> Result<(usize, View<'a>), ImportError> {
    let wrong = |problem: String| ImportError::Option { option: "--scenario-name", problem };
    let pattern = Regex::new(wanted).ok();
    let name = |view: &View<'_>| view.get("name").and_then(|name| name.text()).unwrap_or_default();
    let is_meant = |(_, view): &(usize, View<'_>)| {
        let name = name(view);
        name == wanted || pattern.as_ref().is_some_and(|pattern| pattern.is_match(&name))
    };
    let mut found = all.iter().cloned().enumerate().filter(is_meant);
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => {
            let names: Vec<String> = all.iter().map(name).filter(|name| !name.is_empty()).map(|n| shown(&n)).collect();
            Err(wrong(format!("no scenario is called `{}`; there are {}", shown(wanted), names.join(", "))))
        }
        (Some((_, first)), Some((_, second))) => {
            let (first, second) = (shown(&name(&first)), shown(&name(&second)));
            Err(wrong(format!("`{}` finds several scenarios, `{first}` and `{second}` among them", shown(wanted))))
        }
    }
}

/// `weight`: a whole number, 1 when absent, 0 where it is none.
fn weight(state: &mut State<'_, '_>, scenario: &View<'_>) -> u32 {
    let Some(view) = scenario.get("weight") else { return 1 };
    let Some(text) = state.known(&view) else { return 1 };
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let weight: f64 = text.get(..digits).and_then(|digits| digits.parse().ok()).unwrap_or(0.0);
    state.ledger.supported(view.spot());
    if weight > WEIGHT_MAX {
        state.ledger.approximated(view.spot(), format!("it counts as {WEIGHT_MAX}, the most there is"));
    }
    weight.min(WEIGHT_MAX) as u32
}

/// What a scenario speaks; `None` where it is refused.
fn engine(state: &mut State<'_, '_>, scenario: &View<'_>, default: Option<&str>) -> Option<Engine> {
    let view = scenario.get("engine").filter(|view| !view.is_nothing());
    let name = view.as_ref().and_then(View::text).or_else(|| default.map(str::to_owned));
    let engine = match name.as_deref() {
        None | Some("http" | "") => Engine::Http,
        Some("ws") => Engine::Ws,
        Some("socketio") => Engine::Socketio,
        Some(other) => {
            let spot = view.as_ref().map_or_else(|| scenario.spot(), View::spot);
            let note = match other {
                "playwright" => "browsers are not driven here".to_owned(),
                "websocket" => "it is called `ws`".to_owned(),
                other => format!("the engine `{}` is not known: there are http, ws and socketio", shown(other)),
            };
            state.ledger.refused(spot, note);
            return None;
        }
    };
    if let Some(view) = view {
        state.ledger.supported(view.spot());
    }
    Some(engine)
}

fn one(
    state: &mut State<'_, '_>,
    (number, view, weight): (usize, &View<'_>, u32),
    common: &Common<'_>,
    is_prefixed: bool,
    taken: &mut BTreeSet<String>,
    made: &mut Scenarios,
) {
    let Some(engine) = engine(state, view, common.engine.as_deref()) else { return };
    let written = view.get("name").and_then(|name| {
        state.ledger.supported(name.spot());
        name.text().filter(|text| !text.trim().is_empty())
    });
    let name = scenario_name(state, view, written.as_deref(), number, taken);
    let mut flow = Flow {
        config: common.config,
        engine,
        before: Vec::new(),
        after: Vec::new(),
        namer: Namer::new(name.clone(), is_prefixed),
        origins: Vec::new(),
        socketio: common.socketio.clone(),
        namespaces: BTreeSet::new(),
        depth: 0,
    };
    let mut sure = common.sure.clone();
    let steps = all_steps(state, &mut flow, view, common, &mut sure);
    if steps.is_empty() {
        state.ledger.refused(view.spot(), "its users would do nothing");
        return;
    }
    let mut all = common.setup.clone();
    all.extend(steps);
    let told = written.unwrap_or_else(|| number.to_string());
    let counted_by = counted_by(&all, &flow.origins);
    made.values.push(json!({ "name": name, "weight": weight, "steps": all }));
    made.scenarios.push(ScenarioOrigin { scenario: name, name: told, path: view.path.clone(), engine, counted_by });
    made.steps.append(&mut flow.origins);
}

/// The name in reports of the first step that is measured, where every user takes it, and once.
fn counted_by(steps: &[Value], origins: &[StepOrigin]) -> Option<String> {
    let is_any = |step: &Value, keys: &[&str]| keys.iter().any(|key| step.get(key).is_some());
    let first = steps.iter().find(|step| !is_any(step, &["set", "log", "think"]))?;
    if is_any(first, &["if", "probability", "loop", "parallel"]) {
        return None;
    }
    let name = first.get("name")?.as_str()?;
    let is_it = |step: &str| step.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('/'));
    origins.iter().find(|origin| is_it(&origin.step)).map(|origin| origin.step.clone())
}

/// The name of a scenario here: short enough, and unique.
fn scenario_name(
    state: &mut State<'_, '_>,
    view: &View<'_>,
    written: Option<&str>,
    number: usize,
    taken: &mut BTreeSet<String>,
) -> String {
    let plain = plain_name(written.unwrap_or_default());
    let wanted = if plain.trim().is_empty() { format!("scenario {number}") } else { plain.trim().to_owned() };
    if wanted.chars().count() > SCENARIO_NAME_MAX {
        let text =
            format!("its name is cut to {SCENARIO_NAME_MAX} characters, so that those of its steps fit behind it");
        state.ledger.warn(view.spot(), text);
    }
    let mut name = cut(&wanted, SCENARIO_NAME_MAX);
    let mut more = 2;
    while !taken.insert(name.clone()) {
        name = format!("{} {more}", cut(&wanted, SCENARIO_NAME_MAX - 4));
        more += 1;
    }
    debug_assert!(name.chars().count() <= NAME_MAX_CHARACTERS);
    name
}

/// What one user does, the connection and the functions around its flow included.
fn all_steps(
    state: &mut State<'_, '_>,
    flow: &mut Flow<'_>,
    view: &View<'_>,
    common: &Common<'_>,
    sure: &mut Sure,
) -> Vec<Value> {
    let mut around: [Vec<Value>; 2] = [Vec::new(), Vec::new()];
    for (key, inner) in view.entries() {
        match key {
            "beforeRequest" | "afterResponse" => {
                let role = if key == "beforeRequest" { Role::BeforeRequest } else { Role::AfterResponse };
                if flow.engine != Engine::Http {
                    let text = "with this engine it is never called, as with Artillery: it is left out";
                    state.ledger.warn(inner.spot(), text);
                    state.ledger.approximated(inner.spot(), text);
                    continue;
                }
                let names = hooks(state, &inner, role);
                if role == Role::BeforeRequest { flow.before = names } else { flow.after = names }
            }
            "beforeScenario" | "afterScenario" => {
                if flow.engine != Engine::Http {
                    let text = "with this engine it is never called, as with Artillery: it is left out";
                    state.ledger.approximated(inner.spot(), text);
                    continue;
                }
                let steps: Vec<Value> =
                    inner.listed().iter().flat_map(|item| flow.function(state, item, &item.path)).collect();
                state.ledger.supported(inner.spot());
                if let Some(list) = around.get_mut(usize::from(key == "afterScenario")) {
                    *list = steps;
                }
            }
            "onError" => {
                state.ledger.refused(inner.spot(), "nothing is called where a user fails; failures are in the report");
            }
            "socketio" => flow.socketio.read(state, &inner),
            "name" | "weight" | "engine" | "flow" => {}
            other => state.ledger.unknown(inner.spot(), other, &KNOWN),
        }
    }
    let Some(list) = view.get("flow") else {
        state.ledger.refused(view.spot(), "it has no `flow`");
        return Vec::new();
    };
    let mut steps = Vec::new();
    match flow.engine {
        Engine::Http => {}
        Engine::Ws => steps.extend(ws::connect(state, flow, &common.ws, &list, sure)),
        Engine::Socketio => {
            let config = flow.socketio.clone();
            steps.push(socketio::connect(state, flow, &config, "", &list.path));
        }
    }
    let [before, after] = around;
    steps.extend(before);
    steps.extend(flow.steps(state, &list, sure));
    steps.extend(after);
    steps
}

/// What is done once (`before`, `after`); its steps have no lines in reports.
pub(crate) fn once(state: &mut State<'_, '_>, view: &View<'_>, common: &Common<'_>, sure: &mut Sure) -> Vec<Value> {
    let Some(engine) = engine(state, view, None) else { return Vec::new() };
    let mut flow = Flow {
        config: common.config,
        engine,
        before: Vec::new(),
        after: Vec::new(),
        namer: Namer::new("once".to_owned(), false),
        origins: Vec::new(),
        socketio: common.socketio.clone(),
        namespaces: BTreeSet::new(),
        depth: 0,
    };
    let steps = all_steps(state, &mut flow, view, common, sure);
    if steps.is_empty() {
        return steps;
    }
    let mut all = common.setup.clone();
    all.extend(steps);
    all
}
