//! The engine `ws`: a connection for each user, opened at the beginning of its flow.
//!
//! What waits for a message takes the next one that comes, whatever it is; captures and matches decide about that one.

use serde_json::Value;

use super::capture::{self, Taken};
use super::flow::{Act, Flow};
use super::protocols::{ProtocolStep, Verb};
use super::sockets::WsConfig;
use super::state::{State, Sure};
use super::texts::Place;
use super::view::{View, shown};

/// The keys of steps.
const STEPS: [&str; 7] = ["connect", "send", "wait", "think", "loop", "function", "log"];

/// The step that opens the connection: as the first step of the flow says, else to the target.
pub(crate) fn connect(
    state: &mut State<'_, '_>,
    flow: &mut Flow<'_>,
    config: &WsConfig,
    list: &View<'_>,
    sure: &Sure,
) -> Option<Value> {
    let mut own = config.clone();
    let mut target = super::texts::literal(&state.target, false);
    let written = list.items().first().and_then(|first| first.get("connect"));
    if let Some(view) = &written {
        state.ledger.supported(view.spot());
        if view.is_map() {
            for (key, inner) in view.entries() {
                match key {
                    "target" => {
                        target = state.text(&inner, Place::Needed, sure);
                        state.ledger.supported(inner.spot());
                    }
                    "function" => {
                        let note = "a function cannot change how a connection is opened here: write `target`, \
                                    `headers` and `subprotocols`";
                        state.ledger.refused(inner.spot(), note);
                    }
                    other => own.option(state, other, &inner),
                }
            }
        } else {
            target = state.text(view, Place::Needed, sure);
        }
    }
    let spot = written.as_ref().map_or_else(|| list.spot(), View::spot);
    let url = match target.split_once("://") {
        Some(("ws" | "wss", _)) => target,
        Some(("http", rest)) => format!("ws://{rest}"),
        Some(("https", rest)) => format!("wss://{rest}"),
        _ if target.starts_with("{{") || target.starts_with("${") => target,
        _ => {
            state.ledger.refused(spot, format!("`{}` is no URL of a WebSocket (ws://, wss://)", shown(&target)));
            return None;
        }
    };
    let name = flow.namer.name("connect");
    flow.origin(&name, Act::Connect, &list.path);
    let timeout = own.timeout.unwrap_or(flow.config.timeout);
    let mut subprotocols: Vec<String> = Vec::new();
    for name in own.subprotocols.into_iter().chain(own.of_header).filter(|name| !name.is_empty()) {
        if !subprotocols.contains(&name) {
            subprotocols.push(name);
        }
    }
    let headers = serde_json::to_value(&own.headers).unwrap_or_default();
    let step = ProtocolStep::new(Verb::Ws)
        .with("connect", super::pieces::encoded(&url))
        .with("headers", headers)
        .with("subprotocols", subprotocols)
        .with("timeout", timeout.to_string());
    Some(step.named(&name))
}

/// A step of a flow.
pub(crate) fn step(state: &mut State<'_, '_>, flow: &mut Flow<'_>, step: &View<'_>, sure: &mut Sure) -> Vec<Value> {
    if let Some(view) = step.get("connect") {
        flow.only(state, step, &["connect"]);
        if !view.path.ends_with("flow[0].connect") {
            let text = "a connection is opened at the beginning of the flow alone: this step does nothing, as there";
            state.ledger.warn(view.spot(), text);
            state.ledger.supported(view.spot());
        }
        return Vec::new();
    }
    let (key, view) = match (step.get("wait"), step.get("send")) {
        (Some(view), _) => ("wait", view),
        (None, Some(view)) => ("send", view),
        (None, None) => {
            for (key, view) in step.entries() {
                state.ledger.unknown(view.spot(), key, &STEPS);
                state.ledger.refused(view.spot(), format!("`{}` is no step of the engine ws", shown(key)));
            }
            return Vec::new();
        }
    };
    flow.only(state, step, &[key]);
    state.ledger.supported(view.spot());
    let waits = view.get("capture").is_some() || view.get("match").is_some();
    let mut taken = Taken { is_message: true, ..Taken::default() };
    if waits {
        for (key, inner) in view.entries() {
            if !["payload", "capture", "match"].contains(&key) {
                state.ledger.unknown(inner.spot(), key, &["payload", "capture", "match"]);
            }
        }
        capture::read(state, flow.config, &view, &mut taken, sure);
    }
    let payload = if waits { view.get("payload") } else { Some(view.clone()) };
    let mut made = ProtocolStep::new(Verb::Ws);
    let is_sent = match payload {
        Some(payload) if payload.is_map() || payload.is_list() => {
            made = made.with_any("json", state.json(&payload, sure));
            true
        }
        Some(payload) if !payload.is_nothing() => {
            made = made.with("send", state.text(&payload, Place::Text, sure));
            true
        }
        Some(_) | None => false,
    };
    if waits && let Some(payload) = view.get("payload") {
        state.ledger.supported(payload.spot());
    }
    if !is_sent && !waits {
        state.ledger.refused(view.spot(), "it neither sends anything nor waits for anything");
        return Vec::new();
    }
    if waits {
        made = made.with_any("wait", Value::Array(Vec::new())).taking(&taken, flow.config.timeout);
    }
    let name = flow.namer.name(key);
    flow.origin(&name, if is_sent { Act::Send { waits } } else { Act::Wait }, &view.path);
    taken.sure.iter().for_each(|name| sure.add(name));
    let mut steps = vec![made.named(&name)];
    steps.append(&mut taken.after);
    steps
}
