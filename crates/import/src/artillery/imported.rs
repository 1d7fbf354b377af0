//! A file of Artillery, compiled.

use std::collections::{BTreeMap, BTreeSet};

use nuncius_schemas::flow::{ByteSize, ScriptSource};
use nuncius_schemas::gate::Gate;
use nuncius_schemas::meter::MeterKind;
use nuncius_schemas::spec::{Connections, ExperimentSpec, Group, TlsOptions};
use nuncius_schemas::tree::Node;
use nuncius_schemas::units::HumanDuration;
use serde_json::{Map, Value, json};

use super::config::Config;
use super::ensure::Ensure;
use super::flow::plain_name;
use super::load::{self, Arriving};
use super::options::Options;
use super::origin::Origin;
use super::payload::{self, Payload};
use super::plugins::{self, Plugins};
use super::scenario::{self, Common, Scenarios};
use super::script::{ENVIRONMENT, SCENARIO, SCRIPT_PATH, Script};
use super::settle::settle;
use super::sockets::SocketIoConfig;
use super::sockets::WsConfig;
use super::state::{ImportedFile, State, Sure};
use super::view::{View, shown};
use super::{prepare, processor, variables};
use crate::error::ImportError;
use crate::files::{Base, Reader};
use crate::keys::{KeyReport, Ledger, Spot, Warning};

/// Redirects that are followed for a request: as many as the client of Artillery follows.
const REDIRECTS: u32 = 10;
/// How much of a body is kept for captures, checks and hooks.
const BODY_LIMIT: ByteSize = ByteSize(16 << 20);
/// How long users are waited for after the last phase: as long as can be said. Artillery waits for all of them.
const DRAIN: HumanDuration = HumanDuration::from_secs(3_600);

/// A file of Artillery, compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The specification.
    pub specification: ExperimentSpec,
    /// The same as it can be written into a file.
    pub document: Value,
    /// What the specification names, to be packed beside it: generated, or as they were read.
    pub files: Vec<ImportedFile>,
    /// Variables of the environment that nodes have to be given (`--expose-env`).
    pub environment: BTreeSet<String>,
    /// Every key that was met.
    pub keys: Vec<KeyReport>,
    /// What whoever wrote the file should know.
    pub warnings: Vec<Warning>,
    /// Differences that no key can be blamed for.
    pub differences: Vec<String>,
    /// What must hold for the run.
    pub ensure: Vec<Ensure>,
    /// What reports in the form of Artillery need.
    pub origin: Origin,
}

const CONFIG_KEYS: [&str; 23] = [
    "target",
    "phases",
    "http",
    "ws",
    "socketio",
    "processor",
    "variables",
    "payload",
    "tls",
    "bundling",
    "plugins",
    "engines",
    "includeFiles",
    "ensure",
    "apdex",
    "environments",
    "timeout",
    "defaults",
    "mode",
    "engine",
    "statsInterval",
    "name",
    "description",
];

/// Compiles a file. `name` is that of the file, without its directory; `reader` gives the files that it names.
///
/// # Errors
/// A file cannot be read, an option is wrong, a key has no meaning here, or what comes out is no specification that
/// Nuncius takes.
pub fn import(name: &str, bytes: &[u8], options: &Options, reader: &mut Reader<'_>) -> Result<Imported, ImportError> {
    let mut compiled = compile(name, bytes, options, reader)?;
    let (specification, refused) = settle(&mut compiled.document, &mut compiled.origin)?;
    let Origin { scenarios, steps, .. } = &mut compiled.origin;
    for scenario in scenarios {
        scenario.counted_by.take_if(|name| !steps.iter().any(|step| step.step == *name));
    }
    let has_refused = !refused.is_empty();
    for mut key in refused {
        let known = compiled.keys.iter_mut().find(|known| known.path == key.path);
        key.position = known.as_ref().and_then(|known| known.position);
        match known {
            Some(known) => *known = key,
            None => compiled.keys.push(key),
        }
    }
    if has_refused && !options.leave_out_refused {
        return Err(ImportError::Refused { keys: compiled.keys, warnings: compiled.warnings });
    }
    Ok(Imported { specification, ..compiled })
}

/// As [`import`], without the specification as typed values: it is one of no groups.
fn compile(name: &str, bytes: &[u8], options: &Options, reader: &mut Reader<'_>) -> Result<Imported, ImportError> {
    let mut ledger = Ledger::default();
    let prepared = prepare::prepare(name, bytes, options, reader, &mut ledger)?;
    let mut state = State {
        options,
        reader,
        ledger,
        names: super::names::Names::default(),
        file_name: name.to_owned(),
        environment: prepared.environment,
        exposed: BTreeSet::new(),
        target: String::new(),
        dotted: BTreeSet::new(),
        named: BTreeMap::new(),
        assigned: BTreeSet::new(),
        wants_uuid: false,
        files: Vec::new(),
        script: Script::default(),
        differences: BTreeSet::new(),
    };
    whole(&mut state, &prepared.node)
}

fn whole(state: &mut State<'_, '_>, node: &Node) -> Result<Imported, ImportError> {
    let root = View::root(node);
    for (key, view) in root.entries() {
        match key {
            "config" | "scenarios" | "before" | "after" => state.ledger.supported(view.spot()),
            other => state.ledger.unknown(view.spot(), other, &["config", "scenarios", "before", "after"]),
        }
    }
    let empty = super::merge::map();
    let config_view = root.get("config").unwrap_or(View { node: &empty, path: "config".to_owned() });
    target(state, &config_view);
    let mut config = Config::read(state, &config_view);
    state.script.timeout_s = config.timeout_s;
    let tls = tls(state, &config_view);
    let plugins = plugins::read(state, &config_view, &mut config);
    other_keys(state, &config_view);
    if let Some(view) = config_view.get("processor").filter(|view| !view.is_nothing()) {
        let base = if state.options.config.is_some() { Base::Configuration } else { Base::TestFile };
        processor::read(state, &view, base)?;
    }
    let arriving = load::read(state, &config_view);
    let payload = payload::read(state, &config_view)?;
    let inline = variables::read(state, &config_view);
    let mut sure = Sure::default();
    payload.sure.iter().chain(&inline.sure).for_each(|name| sure.add(name));
    let mut common = Common {
        config: &config,
        ws: WsConfig::read(state, &config_view),
        socketio: socketio_config(state, &config_view),
        engine: config_view.get("engine").and_then(|engine| engine.text()),
        setup: payload.setup.iter().chain(&inline.setup).cloned().collect(),
        sure,
    };
    let mut once_sure = common.sure.clone();
    let before = root.get("before").filter(|view| !view.is_nothing());
    let before = before.map_or_else(Vec::new, |view| scenario::once(state, &view, &common, &mut once_sure));
    // What it captures is given to all.
    common.sure = once_sure.clone();
    let scenarios = match root.get("scenarios") {
        Some(list) => scenario::read(state, &list, &common)?,
        None => {
            state.ledger.fatal(Spot { path: "scenarios".to_owned(), position: None }, "there are none");
            Scenarios::default()
        }
    };
    if scenarios.steps.is_empty()
        && let Some(list) = root.get("scenarios")
    {
        state.ledger.fatal(list.spot(), "its users would send nothing");
    }
    let after = root.get("after").filter(|view| !view.is_nothing());
    let after = after.map_or_else(Vec::new, |view| scenario::once(state, &view, &common, &mut once_sure));
    let mut group = Group {
        headers: config.headers.clone(),
        timeout: config.timeout,
        connections: if config.pool.is_some() { Connections::KeepAlive } else { Connections::User },
        max_connections: config.pool,
        redirects: REDIRECTS,
        compression: true,
        body_limit: Some(BODY_LIMIT),
        tls,
        ..Group::of_target(group_target(&state.target))
    };
    let parts = Parts { before, after, scenarios, payload, inline, arriving };
    finish(state, &mut group, parts, plugins, &config)
}

/// What the group is made of.
struct Parts {
    before: Vec<Value>,
    after: Vec<Value>,
    scenarios: Scenarios,
    payload: Payload,
    inline: variables::Inline,
    arriving: Option<Arriving>,
}

fn finish(
    state: &mut State<'_, '_>,
    group: &mut Group,
    mut parts: Parts,
    plugins: Plugins,
    config: &Config,
) -> Result<Imported, ImportError> {
    warn_of_unknown_names(state);
    group.feeders = std::mem::take(&mut parts.payload.feeders);
    let constants = parts.payload.constants.drain(..).chain(parts.inline.constants.drain(..));
    group.variables = constants.collect();
    if state.wants_uuid {
        let uuid = super::pieces::set(&[(state.names.of("$uuid"), Value::from("{{ uuid() }}"))]);
        every_flow(&mut parts, &uuid);
    }
    if state.script.is_used() {
        add_script(state, group, &mut parts);
    }
    let mut phases = Vec::new();
    if let Some(arriving) = parts.arriving.take() {
        group.stages = arriving.schedule.stages;
        group.arrivals = arriving.arrivals;
        group.max_in_flight = arriving.max_in_flight;
        group.max_users = arriving.max_users;
        phases = arriving.schedule.phases;
    }
    state.differs("users are created at the beginning of each interval; with Artillery at its end");
    state.differs("a redirect that is followed is one request more, and no answer of its own");
    state.differs("an empty text that is captured counts as found; with Artillery it ends the user");
    let mut value = serde_json::to_value(&*group).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        for (key, steps) in [("scenarios", &parts.scenarios.values), ("before", &parts.before), ("after", &parts.after)]
        {
            if !steps.is_empty() {
                map.insert(key.to_owned(), steps.clone().into());
            }
        }
    }
    if plugins.ensure.is_empty() {
        state.differs(
            "without `ensure` no failure fails the test, as with Artillery: look at the counts, not at the verdict",
        );
    }
    let document = document(state, value);
    let is_fatal = state.ledger.is_fatal() || state.ledger.has_refused() && !state.options.leave_out_refused;
    let (keys, warnings) = std::mem::take(&mut state.ledger).finish();
    if is_fatal {
        return Err(ImportError::Refused { keys, warnings });
    }
    Ok(Imported {
        specification: ExperimentSpec::of_groups(Vec::new()),
        document,
        files: std::mem::take(&mut state.files),
        environment: std::mem::take(&mut state.exposed),
        keys,
        warnings,
        differences: state.differences.iter().map(|text| (*text).to_owned()).collect(),
        ensure: plugins.ensure,
        origin: Origin {
            phases,
            scenarios: parts.scenarios.scenarios,
            steps: parts.scenarios.steps,
            meters: std::mem::take(&mut state.script.meters).into_origins(),
            target: std::mem::take(&mut state.target),
            by_endpoint: plugins.by_endpoint,
            hidden: plugins.hidden,
            apdex_threshold_ms: plugins.apdex_threshold_ms,
            extended_metrics: config.extended_metrics,
            expectations_decide: config.expect.is_some(),
        },
    })
}

/// The experiment around the group.
fn document(state: &State<'_, '_>, group: Value) -> Value {
    let name: String = plain_name(&state.file_name).chars().take(64).collect();
    let mut document = Map::new();
    if !name.trim().is_empty() {
        document.insert("name".to_owned(), name.trim().into());
    }
    document.insert("drain".to_owned(), DRAIN.to_string().into());
    document.insert("groups".to_owned(), json!([group]));
    // Else groups are judged by their failures: Artillery judges by `ensure` alone.
    let gate = "failures <= 100%".parse().map(|expression| Gate {
        expression,
        group: None,
        step: None,
        over: None,
        abort: false,
    });
    let gate = gate.ok().and_then(|gate| serde_json::to_value(gate).ok());
    document.extend(gate.map(|gate| ("gates".to_owned(), json!([gate]))));
    Value::Object(document)
}

/// `config.target`.
fn target(state: &mut State<'_, '_>, config: &View<'_>) {
    let Some(view) = config.get("target").filter(|view| !view.is_nothing()) else {
        let note = "there is no target: give it in the file, or by --target";
        state.ledger.fatal(Spot { path: "config.target".to_owned(), position: None }, note);
        return;
    };
    let Some(target) = state.known(&view) else {
        state.ledger.fatal(view.spot(), format!("{} stands where a URL is wanted", view.kind()));
        return;
    };
    let is_url = ["http://", "https://", "ws://", "wss://"].iter().any(|scheme| target.starts_with(scheme));
    if !is_url {
        let note = format!("`{}` is no URL that begins with http://, https://, ws:// or wss://", shown(&target));
        state.ledger.fatal(view.spot(), note);
        return;
    }
    state.ledger.supported(view.spot());
    if target.contains('?') || target.contains('#') {
        state.ledger.fatal(view.spot(), "a query belongs to the paths of requests");
        return;
    }
    if target.ends_with('/') {
        let text = "it ends with a slash: Artillery sends two before each path; here it is one";
        state.ledger.warn(view.spot(), text);
    }
    state.target = target.trim_end_matches('/').to_owned();
}

/// The target of the group: WebSockets begin as requests over HTTP.
fn group_target(target: &str) -> String {
    let target = match target.split_once("://") {
        Some(("ws", rest)) => format!("http://{rest}"),
        Some(("wss", rest)) => format!("https://{rest}"),
        Some(_) | None => target.to_owned(),
    };
    super::texts::literal(&super::pieces::encoded(&target), false)
}

fn tls(state: &mut State<'_, '_>, config: &View<'_>) -> Option<TlsOptions> {
    let view = config.get("tls").filter(|view| !view.is_nothing())?;
    let mut options = TlsOptions::default();
    state.ledger.supported(view.spot());
    for (key, inner) in view.entries() {
        match key {
            "rejectUnauthorized" => {
                options.verify = inner.boolean().unwrap_or(true);
                state.ledger.supported(inner.spot());
            }
            "servername" => {
                options.server_name = inner.text();
                state.ledger.supported(inner.spot());
            }
            "ca" | "cert" | "key" if inner.text().is_some_and(|text| text.contains("-----BEGIN")) => {
                match key {
                    "ca" => options.ca = inner.text(),
                    "cert" => options.cert = inner.text(),
                    _ => options.key = inner.text(),
                }
                state.ledger.supported(inner.spot());
            }
            "ca" | "cert" | "key" | "pfx" | "passphrase" => {
                state.ledger.refused(inner.spot(), "certificates and keys are PEM text, without a passphrase");
            }
            other => {
                let known = ["rejectUnauthorized", "servername", "ca", "cert", "key"];
                state.ledger.unknown(inner.spot(), other, &known);
            }
        }
    }
    (options != TlsOptions::default()).then_some(options)
}

fn socketio_config(state: &mut State<'_, '_>, config: &View<'_>) -> SocketIoConfig {
    let mut made = SocketIoConfig::default();
    if let Some(view) = config.get("socketio").filter(|view| !view.is_nothing()) {
        made.read(state, &view);
    }
    made
}

/// Keys of `config` that nobody else looks at.
fn other_keys(state: &mut State<'_, '_>, config: &View<'_>) {
    for (key, view) in config.entries() {
        match key {
            "environments" | "http" | "ws" | "defaults" | "engine" | "variables" => state.ledger.supported(view.spot()),
            "bundling" | "includeFiles" | "statsInterval" | "name" | "description" => {
                plugins::all_of(state, &view, "it is about another way of running the test, and has no meaning here");
            }
            "engines" => {
                for (name, inner) in view.entries() {
                    if !["http", "ws", "socketio"].contains(&name) {
                        let note =
                            format!("the engine `{}` is not known: there are http, ws and socketio", shown(name));
                        state.ledger.refused(inner.spot(), note);
                    }
                }
                state.ledger.supported(view.spot());
            }
            key if CONFIG_KEYS.contains(&key) => {
                if view.is_nothing() {
                    state.ledger.supported(view.spot());
                }
            }
            other => state.ledger.unknown(view.spot(), other, &CONFIG_KEYS),
        }
    }
}

/// Names that templates have and nothing in the file sets: a processor may set them, nobody else.
fn warn_of_unknown_names(state: &mut State<'_, '_>) {
    if state.script.has_processor() {
        return;
    }
    let unknown: Vec<(String, Spot)> = state
        .named
        .iter()
        .filter(|(name, _)| !state.assigned.contains(*name))
        .map(|(name, spot)| (name.clone(), spot.clone()))
        .collect();
    for (name, spot) in unknown {
        let text = format!("nothing sets `{}`: in its place stands `undefined`, as with Artillery", shown(&name));
        state.ledger.warn(spot, text);
    }
}

/// Puts a step at the beginning of each flow.
fn every_flow(parts: &mut Parts, step: &Value) {
    let flows = parts.scenarios.values.iter_mut().filter_map(|scenario| scenario.get_mut("steps")?.as_array_mut());
    for flow in flows.chain([&mut parts.before, &mut parts.after]) {
        if !flow.is_empty() {
            flow.insert(0, step.clone());
        }
    }
}

/// Adds the script with all that it needs.
fn add_script(state: &mut State<'_, '_>, group: &mut Group, parts: &mut Parts) {
    let names = parts.scenarios.scenarios.iter().map(|origin| super::texts::literal(&origin.name, false));
    for (scenario, name) in parts.scenarios.values.iter_mut().zip(names) {
        if let Some(steps) = scenario.get_mut("steps").and_then(Value::as_array_mut) {
            steps.insert(0, super::pieces::set(&[(SCENARIO.to_owned(), Value::from(name))]));
        }
    }
    let environment = std::mem::take(&mut state.script.environment);
    if !environment.is_empty() {
        // One that is not set is nothing to a processor, and no error.
        let values: Map<String, Value> =
            environment.iter().map(|name| (name.clone(), Value::from(format!("${{{name}:-}}")))).collect();
        group.variables.insert(ENVIRONMENT.to_owned(), Value::Object(values));
        state.exposed.extend(environment);
    }
    for name in group.feeders.iter().map(|feeder| feeder.name.clone()).collect::<Vec<_>>() {
        state.script.hide(&name);
    }
    let constants = BTreeMap::from([
        ("target", state.target.clone()),
        ("$environment", state.options.environment.clone().unwrap_or_else(|| "undefined".to_owned())),
        ("$testId", state.options.test_id.clone()),
        ("$scenarioFile", state.file_name.clone()),
        ("$dirname", ".".to_owned()),
    ]);
    group.meters = state.script.meters.declared();
    if group.meters.values().any(|meter| meter.kind == MeterKind::Histogram) {
        state.differs("histograms of the processor keep whole numbers");
    }
    let script = state.script.render(&state.names, &constants);
    let path = state.add_file(SCRIPT_PATH.to_owned(), script.into_bytes());
    group.script = Some(ScriptSource::File(path));
}

#[cfg(test)]
mod tests;
