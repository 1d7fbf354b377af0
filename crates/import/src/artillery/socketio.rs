//! The engine `socketio`: a connection for each user, opened at the beginning, and events over it. Requests over HTTP
//! may stand between them.

use nuncius_socketio::Version;
use nuncius_socketio::socket_io::is_reserved;
use serde_json::{Value, json};

use super::capture::{self, Taken};
use super::flow::{Act, Flow};
use super::pieces::check;
use super::protocols::{ProtocolStep, Verb};
use super::regexp;
use super::sockets::SocketIoConfig;
use super::state::{State, Sure};
use super::template::has_template;
use super::texts::Place;
use super::view::View;

/// The step that connects, or that joins another namespace.
pub(crate) fn connect(
    state: &mut State<'_, '_>,
    flow: &mut Flow<'_>,
    config: &SocketIoConfig,
    namespace: &str,
    path: &str,
) -> Value {
    if config.transports.is_empty() {
        state.differs(
            "Socket.IO without `transports`: it goes over WebSocket from the beginning, where Artillery polls first \
             and changes over",
        );
    }
    if config.protocol.is_none() {
        state.differs(
            "Socket.IO is spoken in protocol 5 (servers of version 3 and 4), as version 2 of Artillery does; a server \
             of version 1 or 2 wants `protocol: 4` in `config.socketio`, a key of Nuncius alone",
        );
    }
    // To the library the path of the target is the namespace.
    let (origin, own) = origin_of(&state.target);
    let namespace = if namespace.is_empty() { own } else { namespace };
    let written = config.path.as_deref().unwrap_or("/socket.io").trim_end_matches('/');
    let slash = if written.starts_with('/') { "" } else { "/" };
    let place = if own.is_empty() { String::new() } else { super::texts::literal(origin, false) };
    let name = flow.namer.name("connect");
    flow.origin(&name, Act::Connect, path);
    let mut step = ProtocolStep::new(Verb::SocketIo)
        .with("connect", format!("{place}{slash}{written}/"))
        .with("query", serde_json::to_value(&config.query).unwrap_or_default())
        .with("headers", serde_json::to_value(&config.headers).unwrap_or_default())
        .with("auth", config.auth.clone())
        .with("transports", config.transports.clone())
        .with("timeout", config.timeout.unwrap_or(flow.config.timeout).to_string())
        .with("protocol", config.protocol.filter(|protocol| *protocol == 4));
    if !namespace.is_empty() {
        step = step.with("namespace", namespace);
    }
    step.named(&name)
}

/// The origin of a URL, and the path behind it; none where that is a slash alone.
fn origin_of(url: &str) -> (&str, &str) {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(begin..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| begin + at);
    let (origin, path) = url.split_at(end);
    (origin, if path == "/" { "" } else { path })
}

/// `emit`, with what is waited for.
pub(crate) fn emit(state: &mut State<'_, '_>, flow: &mut Flow<'_>, step: &View<'_>, sure: &mut Sure) -> Vec<Value> {
    let Some(view) = step.get("emit") else { return Vec::new() };
    flow.only(state, step, &["emit", "response", "acknowledge", "namespace"]);
    let Some((event, args)) = outgoing(state, &view, sure) else { return Vec::new() };
    if flow.socketio.protocol == Some(4) {
        if is_reserved(Version::Eio3, &event) {
            let text =
                format!("clients of version 1 and 2 keep `{event}` for themselves and send nothing: it is left out");
            state.ledger.warn(view.spot(), text);
            state.ledger.approximated(view.spot(), "an event of the protocol itself is left out");
            return Vec::new();
        }
    } else if is_reserved(Version::Eio4, &event) {
        let text = format!(
            "`{event}` is an event of the protocol itself: a client of version 4 refuses to emit it, and the user \
             would fail; it is left out (the connection is opened at the beginning of the flow)"
        );
        state.ledger.warn(view.spot(), text);
        state.ledger.approximated(view.spot(), "an event of the protocol itself is left out");
        return Vec::new();
    }
    let mut steps = Vec::new();
    let namespace = namespace(state, step).unwrap_or_default();
    if !namespace.is_empty() && flow.namespaces.insert(namespace.clone()) {
        let config = flow.socketio.clone();
        steps.push(connect(state, flow, &config, &namespace, &step.path));
    }
    let mut made = ProtocolStep::new(Verb::SocketIo).with("emit", event.clone()).with("args", args);
    if !namespace.is_empty() {
        made = made.with("namespace", namespace);
    }
    let mut taken = Taken { is_message: true, is_lenient: true, ..Taken::default() };
    let response = step.get("response").filter(|view| !view.is_nothing());
    let acknowledge = step.get("acknowledge").filter(|view| !view.is_nothing());
    if let Some(view) = response {
        if let Some(other) = &acknowledge {
            let text = "beside `response` it is not waited for, as with Artillery";
            state.ledger.warn(other.spot(), text);
            state.ledger.supported(other.spot());
        }
        made = made.with("wait", waited_for(state, &view, sure));
        received(state, flow, &view, false, &mut taken, sure);
        made = made.taking(&taken, flow.config.timeout);
    } else if let Some(view) = acknowledge {
        made = made.with("ack", true);
        for condition in conditions(state, &view, sure) {
            taken.checks.extend(check(condition));
            taken.fails = true;
        }
        received(state, flow, &view, true, &mut taken, sure);
        made = made.taking(&taken, flow.config.timeout);
    }
    let name = flow.namer.name(&format!("emit {event}"));
    flow.origin(&name, Act::Emit, &step.path);
    taken.sure.iter().for_each(|name| sure.add(name));
    steps.push(made.named(&name));
    steps.append(&mut taken.after);
    steps
}

/// The event and its arguments.
fn outgoing(state: &mut State<'_, '_>, view: &View<'_>, sure: &Sure) -> Option<(String, Vec<Value>)> {
    state.ledger.supported(view.spot());
    if view.is_list() {
        let items = view.items();
        let Some((first, rest)) = items.split_first() else {
            state.ledger.refused(view.spot(), "it is empty: the first of the list is the name of an event");
            return None;
        };
        let event = state.text(first, Place::Needed, sure);
        return Some((event, rest.iter().map(|item| state.json(item, sure)).collect()));
    }
    let (mut event, mut data) = (None, Value::Null);
    for (key, inner) in view.entries() {
        match key {
            "channel" => event = Some(state.text(&inner, Place::Needed, sure)),
            "data" => data = state.json(&inner, sure),
            "concat" => {}
            other => {
                state.ledger.unknown(inner.spot(), other, &["channel", "data"]);
                continue;
            }
        }
        state.ledger.supported(inner.spot());
    }
    match event.filter(|event| !event.is_empty()) {
        Some(event) => Some((event, vec![data])),
        None => {
            state.ledger.refused(view.spot(), "it names no event: give `channel`, or a list that begins with it");
            None
        }
    }
}

fn namespace(state: &mut State<'_, '_>, step: &View<'_>) -> Option<String> {
    let view = step.get("namespace").filter(|view| !view.is_nothing())?;
    let written = view.text()?;
    if has_template(&written) {
        let known = state.known(&view)?;
        return Some(known).filter(|name| name != "/");
    }
    state.ledger.supported(view.spot());
    Some(written).filter(|name| name != "/")
}

/// The event of `response`, and what must hold for it.
fn waited_for(state: &mut State<'_, '_>, view: &View<'_>, sure: &Sure) -> Value {
    state.ledger.supported(view.spot());
    let channel = view.get("channel").or_else(|| view.get("on"));
    let event = channel.as_ref().and_then(|channel| {
        state.ledger.supported(channel.spot());
        channel.text()
    });
    let Some(event) = event.filter(|event| !event.is_empty()) else {
        state.ledger.refused(view.spot(), "it names no event: give `on` (or `channel`)");
        return Value::Null;
    };
    if has_template(&event) {
        state.ledger.refused(view.spot(), "the name of an event that is waited for cannot depend on variables here");
    }
    let conditions = conditions(state, view, sure);
    if conditions.is_empty() {
        let note = "without `data` the first such event is taken; Artillery waits for its timeout first";
        state.ledger.approximated(view.spot(), note);
        return json!({ "event": event });
    }
    json!({ "event": event, "where": conditions })
}

/// What `data` (or `args`) asks of the list of arguments: a list is all of it, a text is within the last, and a map is
/// the last.
fn conditions(state: &mut State<'_, '_>, view: &View<'_>, sure: &Sure) -> Vec<Value> {
    let Some(data) = view.get("data").or_else(|| view.get("args")).filter(|data| !data.is_nothing()) else {
        return Vec::new();
    };
    state.ledger.supported(data.spot());
    if data.is_list() {
        return vec![json!({ "json": "$", "equals": state.json(&data, sure) })];
    }
    if data.is_map() {
        return vec![json!({ "json": "$[-1]", "equals": state.json(&data, sure) })];
    }
    let text = data.text().unwrap_or_default();
    if text.is_empty() {
        return Vec::new();
    }
    if has_template(&text) {
        state.ledger.approximated(data.spot(), "with variables in it the last argument must be equal, not contain it");
        return vec![json!({ "json": "$[-1]", "equals": state.text(&data, Place::Needed, sure) })];
    }
    vec![json!({ "json": "$[-1]", "matches": regexp::literally(&text) })]
}

/// Captures and matches of what is received. Of an acknowledgement they look at its first argument unless they say.
fn received(
    state: &mut State<'_, '_>,
    flow: &Flow<'_>,
    view: &View<'_>,
    is_acknowledgement: bool,
    taken: &mut Taken,
    sure: &Sure,
) {
    const KNOWN: [&str; 7] = ["on", "channel", "data", "args", "concat", "match", "capture"];
    for (key, inner) in view.entries() {
        match key {
            "concat" => {
                let note = "the text is looked for in the last argument, not in all of them joined";
                state.ledger.approximated(inner.spot(), note);
            }
            key if !KNOWN.contains(&key) => state.ledger.unknown(inner.spot(), key, &KNOWN),
            _ => {}
        }
    }
    state.ledger.supported(view.spot());
    let mut owned = view.node.clone();
    if is_acknowledgement {
        for key in ["capture", "match"] {
            if let Some(node) = super::merge::child_if_map(&mut owned, key)
                && node.get("json").is_none()
            {
                super::merge::set(node, "json", super::merge::text("$.0"));
            }
        }
    }
    let view = View { node: &owned, path: view.path.clone() };
    capture::read(state, flow.config, &view, taken, sure);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_target_is_a_namespace() {
        for (url, expected) in [
            ("http://a.test", ("http://a.test", "")),
            ("http://a.test:80/", ("http://a.test:80", "")),
            ("http://a.test/chat", ("http://a.test", "/chat")),
            ("a.test/x", ("a.test", "/x")),
        ] {
            assert_eq!(origin_of(url), expected, "{url}");
        }
    }
}
