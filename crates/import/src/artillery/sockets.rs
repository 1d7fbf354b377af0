//! What the file says of connections over WebSocket and Socket.IO.

use std::collections::BTreeMap;

use nuncius_schemas::units::HumanDuration;
use serde_json::Value;

use super::config::headers;
use super::state::{State, Sure};
use super::texts::Place;
use super::view::{View, shown};

/// Options of the library that have no meaning here.
const OTHER_OPTIONS: [&str; 16] = [
    "reconnection",
    "reconnectionAttempts",
    "reconnectionDelay",
    "reconnectionDelayMax",
    "randomizationFactor",
    "forceNew",
    "multiplex",
    "upgrade",
    "rememberUpgrade",
    "timestampRequests",
    "timestampParam",
    "withCredentials",
    "autoConnect",
    "rejectUnauthorized",
    "secure",
    "addTrailingSlash",
];

/// What `config.socketio` says, and `socketio` of a scenario.
#[derive(Debug, Clone, Default)]
pub(crate) struct SocketIoConfig {
    pub(crate) path: Option<String>,
    pub(crate) query: BTreeMap<String, Value>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) auth: Value,
    pub(crate) transports: Vec<String>,
    pub(crate) timeout: Option<HumanDuration>,
    /// A key of Nuncius alone: 4 for servers of version 1 and 2.
    pub(crate) protocol: Option<u8>,
}

impl SocketIoConfig {
    pub(crate) fn read(&mut self, state: &mut State<'_, '_>, view: &View<'_>) {
        const KNOWN: [&str; 7] = ["path", "query", "extraHeaders", "transports", "auth", "timeout", "protocol"];
        let sure = Sure::default();
        state.ledger.supported(view.spot());
        for (key, inner) in view.entries() {
            match key {
                "path" => self.path = Some(state.text(&inner, Place::Needed, &sure)),
                "query" if inner.is_map() => {
                    self.query = super::pieces::fields(state, &inner, &sure)
                        .into_iter()
                        .map(|(name, texts)| (name, serde_json::to_value(texts).unwrap_or_default()))
                        .collect();
                }
                "query" => {
                    let text = state.text(&inner, Place::Text, &sure);
                    let pairs = text.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty());
                    self.query = pairs
                        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                        .map(|(name, value)| (name.to_owned(), Value::from(value)))
                        .collect();
                }
                "extraHeaders" => self.headers = headers(state, &inner, &sure),
                "auth" => self.auth = state.json(&inner, &sure),
                "transports" => {
                    let written: Vec<String> = inner.listed().iter().filter_map(View::text).collect();
                    if let Some(other) = written.iter().find(|name| !["websocket", "polling"].contains(&name.as_str()))
                    {
                        state
                            .ledger
                            .refused(inner.spot(), format!("`{}`: there are websocket and polling", shown(other)));
                        continue;
                    }
                    self.transports.clear();
                    for name in written {
                        if !self.transports.contains(&name) {
                            self.transports.push(name);
                        }
                    }
                }
                "timeout" => {
                    let milliseconds = state.known_number(&inner);
                    let seconds = milliseconds.map(|milliseconds| milliseconds / 1_000.0);
                    self.timeout = seconds.and_then(super::human::nanoseconds).filter(|ns| *ns > 0).map(HumanDuration);
                }
                "protocol" => match state.known_number(&inner) {
                    Some(4.0) => self.protocol = Some(4),
                    Some(5.0) => self.protocol = Some(5),
                    Some(_) | None => {
                        let note = "it is 5 (servers of version 3 and 4) or 4 (servers of version 1 and 2)";
                        state.ledger.refused(inner.spot(), note);
                        continue;
                    }
                },
                other if OTHER_OPTIONS.contains(&other) => {
                    state
                        .ledger
                        .approximated(inner.spot(), "it is an option of another client: it has no meaning here");
                    continue;
                }
                other => {
                    state.ledger.unknown(inner.spot(), other, &KNOWN);
                    continue;
                }
            }
            state.ledger.supported(inner.spot());
        }
    }
}

/// What `config.ws` says.
#[derive(Debug, Clone, Default)]
pub(crate) struct WsConfig {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) subprotocols: Vec<String>,
    /// Those that stand in the headers come behind the others.
    pub(crate) of_header: Vec<String>,
    pub(crate) timeout: Option<HumanDuration>,
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
    pub(crate) fn option(&mut self, state: &mut State<'_, '_>, key: &str, view: &View<'_>) {
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
