//! The engine `ws`: a connection for each user, opened at the beginning of its flow.
//!
//! What waits for a message takes the next one that comes, whatever it is; captures and matches decide about that one.

use std::collections::BTreeMap;

use nuncius_schemas::units::HumanDuration;
use serde_json::Value;

use super::capture::{self, Taken};
use super::config::headers;
use super::flow::{Act, Flow};
use super::protocols::{ProtocolStep, Verb};
use super::state::{State, Sure};
use super::texts::Place;
use super::view::{View, shown};

/// The keys of steps.
const STEPS: [&str; 7] = ["connect", "send", "wait", "think", "loop", "function", "log"];

/// What `config.ws` says.
#[derive(Debug, Clone, Default)]
pub(crate) struct WsConfig {
    headers: BTreeMap<String, String>,
    subprotocols: Vec<String>,
    /// Those that stand in the headers come behind the others.
    of_header: Vec<String>,
    timeout: Option<HumanDuration>,
}

impl WsConfig {
    pub(crate) fn read(state: &mut State<'_, '_>, config: &View<'_>) -> Self {
        let mut made = Self::default();
        let Some(ws) = config.get("ws").filter(|ws| !ws.is_nothing()) else { return made };
        state.ledger.supported(ws.spot());
        for (key, view) in ws.entries() {
            if key == "timeout" {
                let seconds = state.known_number(&view);
                made.timeout = seconds.and_then(super::human::nanoseconds).filter(|ns| *ns > 0).map(HumanDuration);
                state.ledger.supported(view.spot());
            } else {
                made.option(state, key, &view);
            }
        }
        made
    }

    /// An option of a connection, of all or of one.
    fn option(&mut self, state: &mut State<'_, '_>, key: &str, view: &View<'_>) {
        match key {
            "headers" => {
                self.headers = headers(state, view, &Sure::default());
                let named = self.headers.keys().find(|name| name.eq_ignore_ascii_case("sec-websocket-protocol"));
                let value = named.cloned().and_then(|name| self.headers.remove(&name)).unwrap_or_default();
                self.of_header = value.split(',').map(|name| name.trim().to_owned()).collect();
            }
            "subprotocols" => {
                self.subprotocols = view.listed().iter().filter_map(View::text).collect();
                state.ledger.supported(view.spot());
            }
            "proxy" => state.ledger.refused(view.spot(), "nodes go to the target itself, not by way of a proxy"),
            "rejectUnauthorized" | "handshakeTimeout" | "perMessageDeflate" | "maxPayload" | "origin"
            | "protocolVersion" | "followRedirects" | "maxRedirects" => {
                state.ledger.approximated(view.spot(), "it is an option of another client: it has no meaning here");
            }
            other => {
                let known = ["headers", "subprotocols", "proxy", "timeout", "target"];
                state.ledger.unknown(view.spot(), other, &known);
            }
        }
    }
}

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
        .with("connect", super::request::encoded(&url))
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
