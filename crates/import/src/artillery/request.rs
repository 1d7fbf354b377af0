//! Requests.

use std::collections::BTreeMap;

use nuncius_schemas::flow::{Auth, BasicAuth, HttpStep, HttpVerb, Op, Step};
use nuncius_schemas::spec::{Expect, Method};
use serde_json::{Map, Value};

use super::capture::Taken;
use super::config::headers;
use super::flow::{Act, Flow};
use super::pieces::{encoded, fields, value};
use super::processor::Role;
use super::script::HookedRequest;
use super::state::{State, Sure};
use super::template::has_template;
use super::texts::Place;
use super::view::{View, shown};
use super::{body, capture, expect, guard};

/// The keys of a request.
const KNOWN: [&str; 21] = [
    "url",
    "uri",
    "name",
    "headers",
    "qs",
    "json",
    "body",
    "form",
    "formData",
    "cookie",
    "auth",
    "gzip",
    "followRedirect",
    "capture",
    "match",
    "expect",
    "ifTrue",
    "probability",
    "beforeRequest",
    "afterResponse",
    "setContentLengthHeader",
];

/// What may begin a step of a flow over HTTP.
pub(crate) const STEPS: [&str; 11] =
    ["get", "post", "put", "patch", "delete", "head", "options", "loop", "parallel", "think", "log"];

/// A request, and what has to be known of it while its keys are gone through.
struct Request {
    http: HttpStep,
    taken: Taken,
    name: Option<String>,
    before: Vec<String>,
    after: Vec<String>,
    cookies: BTreeMap<String, String>,
    /// What a hook sees, as it is written.
    raw: Map<String, Value>,
}

/// A step that sends a request: its first key is the method.
pub(crate) fn step(
    state: &mut State<'_, '_>,
    flow: &mut Flow<'_>,
    step: &View<'_>,
    key: &str,
    sure: &mut Sure,
) -> Vec<Value> {
    let Some(params) = step.get(key) else { return Vec::new() };
    flow.only(state, step, &[key]);
    let known = HttpVerb::ALL.into_iter().find(|verb| *verb != HttpVerb::Request && verb.name() == key);
    let looks_like_request = params.get("url").is_some() || params.get("uri").is_some();
    let (verb, method) = match known {
        Some(verb) => (verb, None),
        None if looks_like_request => match Method::custom(&key.to_ascii_uppercase()) {
            Ok(method) => (HttpVerb::Request, Some(Method::registered(method.name()).unwrap_or(method))),
            Err(problem) => {
                state.ledger.refused(params.spot(), problem);
                return Vec::new();
            }
        },
        None => {
            let other = match key {
                "emit" => Some("it belongs to scenarios with `engine: socketio`"),
                "send" | "connect" | "wait" => Some("it belongs to scenarios with `engine: ws`"),
                _ => None,
            };
            match other {
                Some(note) => state.ledger.refused(params.spot(), note),
                None => {
                    state.ledger.unknown(params.spot(), key, &STEPS);
                    state.ledger.refused(params.spot(), format!("`{}` is no step", shown(key)));
                }
            }
            return Vec::new();
        }
    };
    if !params.is_map() {
        state.ledger.refused(params.spot(), format!("{} stands where a map with `url` is wanted", params.kind()));
        return Vec::new();
    }
    state.ledger.supported(params.spot());
    let mut made = Request {
        http: HttpStep { method, ..HttpStep::default() },
        taken: Taken::default(),
        name: None,
        before: flow.before.clone(),
        after: flow.after.clone(),
        cookies: flow.config.cookie.clone(),
        raw: Map::new(),
    };
    // With `probability` or `ifTrue` it may not be taken: what it captures is not there for certain.
    let is_certain = params.get("probability").is_none() && params.get("ifTrue").is_none();
    let Some(written_url) = made.read(state, flow, &params, sure) else { return Vec::new() };
    let method = made.http.method.as_ref().map_or_else(|| key.to_ascii_uppercase(), |m| m.name().to_owned());
    made.finish(state, flow, &method, sure);
    let Some(guard) = guard::read(state, flow, &params, sure) else { return Vec::new() };
    for name in &made.taken.sure {
        if is_certain {
            sure.add(name);
        }
    }
    let wanted = made.name.clone().unwrap_or_else(|| format!("{method} {}", path_of(&written_url)));
    let name = flow.namer.name(&wanted);
    flow.origin(&name, Act::Request { method, url: written_url, name: made.name.clone() }, &params.path);
    let request = Step { name: Some(name), ..Step::of_op(Op::Http(verb, Box::new(made.http))) };
    let mut steps = vec![value(&request)];
    steps.extend(made.taken.after);
    guard.around(steps)
}

impl Request {
    /// Goes through the keys; the URL as it is written, `None` where there is none that can be used.
    fn read(&mut self, state: &mut State<'_, '_>, flow: &Flow<'_>, params: &View<'_>, sure: &Sure) -> Option<String> {
        let mut written = None;
        for (key, view) in params.entries() {
            match key {
                "url" | "uri" => written = Some(view.clone()),
                "name" => {
                    self.name = view.text().filter(|name| !name.is_empty());
                    match self.name.as_deref().is_some_and(has_template) {
                        true => state.ledger.approximated(view.spot(), "in reports it is the template, not its text"),
                        false => state.ledger.supported(view.spot()),
                    }
                }
                "headers" => self.http.headers = headers(state, &view, sure),
                "qs" => {
                    self.http.query = fields(state, &view, sure);
                    state.ledger.supported(view.spot());
                }
                "cookie" => {
                    for (name, value) in view.entries() {
                        self.cookies.insert(name.to_owned(), state.text(&value, Place::Text, sure));
                    }
                    let note = "it is sent with this request alone, and cookies that answers have set not beside it";
                    state.ledger.approximated(view.spot(), note);
                }
                "auth" => self.auth(state, &view, sure),
                "gzip" => {
                    if view.boolean() == Some(false) {
                        self.http.headers.insert("Accept-Encoding".to_owned(), "identity".to_owned());
                    }
                    state.ledger.supported(view.spot());
                }
                "followRedirect" => {
                    if view.boolean() == Some(false) {
                        self.http.redirects = Some(0);
                    }
                    state.ledger.supported(view.spot());
                }
                "setContentLengthHeader" => state.ledger.supported(view.spot()),
                "beforeRequest" => self.before.extend(hooks(state, &view, Role::BeforeRequest)),
                "afterResponse" => self.after.extend(hooks(state, &view, Role::AfterResponse)),
                "strict" => {
                    let text = "it stands beside `capture` and means nothing there: captures are strict, and one that \
                                finds nothing ends the user; write it into the capture";
                    state.ledger.meaningless(view.spot(), text);
                }
                // Read below, all together.
                "json" | "body" | "form" | "formData" | "capture" | "match" | "expect" | "ifTrue" | "probability" => {}
                other => state.ledger.unknown(view.spot(), other, &KNOWN),
            }
            if !["capture", "match", "expect", "ifTrue", "probability", "beforeRequest", "afterResponse", "formData"]
                .contains(&key)
            {
                self.raw.insert(key.to_owned(), view.value());
            }
        }
        body::read(state, params, &mut self.http, sure);
        capture::read(state, flow.config, params, &mut self.taken, sure);
        expect::read(state, flow.config, params, &mut self.taken, sure);
        let Some(view) = written else {
            state.ledger.refused(params.spot(), "it has no `url`");
            return None;
        };
        let text = view.text().unwrap_or_default();
        self.http.url = url(state, &view, sure, !self.http.query.is_empty())?;
        state.ledger.supported(view.spot());
        Some(text)
    }

    fn auth(&mut self, state: &mut State<'_, '_>, view: &View<'_>, sure: &Sure) {
        let mut basic = BasicAuth { user: String::new(), password: String::new() };
        for (key, inner) in view.entries() {
            match key {
                "user" => basic.user = state.text(&inner, Place::Text, sure),
                "pass" => basic.password = state.text(&inner, Place::Text, sure),
                other => {
                    state.ledger.unknown(inner.spot(), other, &["user", "pass"]);
                    continue;
                }
            }
            state.ledger.supported(inner.spot());
        }
        if basic.user.contains(':') && !has_template(&basic.user) && !basic.user.contains("${") {
            state.ledger.refused(view.spot(), "a colon ends the name of a user (RFC 7617)");
            return;
        }
        self.http.auth = Some(Auth::Basic(basic));
        state.ledger.supported(view.spot());
    }

    /// What depends on several keys: cookies, hooks, what counts as an answer.
    fn finish(&mut self, state: &mut State<'_, '_>, flow: &Flow<'_>, method: &str, sure: &Sure) {
        let http = &mut self.http;
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            http.headers.retain(|name, _| !name.eq_ignore_ascii_case("cookie"));
            http.headers.insert("Cookie".to_owned(), pairs.join("; "));
        }
        if http.auth.is_some() && http.headers.keys().any(|name| name.eq_ignore_ascii_case("authorization")) {
            // A header that is written goes before what is made.
            http.auth = None;
        }
        http.expect = Some(any_status());
        http.capture = std::mem::take(&mut self.taken.captures);
        http.checks = std::mem::take(&mut self.taken.checks);
        http.on_check_failure = self.taken.on_check_failure();
        if self.before.is_empty() && self.after.is_empty() {
            return;
        }
        for variable in http.capture.keys().filter(|name| name.starts_with(super::names::OWN)) {
            state.script.hide(variable);
        }
        let is_multipart = http.multipart.is_some();
        let request = HookedRequest {
            method: method.to_owned(),
            params: std::mem::take(&mut self.raw),
            is_multipart,
            before: std::mem::take(&mut self.before),
            after: std::mem::take(&mut self.after),
        };
        expose(state, &Value::Object(request.params.clone()), sure);
        let (before, after) = state.script.hooks(request);
        if before.is_some() {
            // The hook makes the request: its templates are filled in after it, as Artillery does.
            *http = HttpStep {
                url: if has_template(&http.url) || http.url.contains('$') { "/".to_owned() } else { http.url.clone() },
                method: http.method.clone(),
                multipart: http.multipart.take(),
                redirects: http.redirects,
                expect: http.expect.take(),
                capture: std::mem::take(&mut http.capture),
                checks: std::mem::take(&mut http.checks),
                on_check_failure: http.on_check_failure,
                headers: http.headers.remove_entry("Accept-Encoding").into_iter().collect(),
                ..HttpStep::default()
            };
        }
        let _ = flow;
        http.before_request = before;
        http.after_response = after;
    }
}

/// Makes the environment known to the script that the texts of a request name.
fn expose(state: &mut State<'_, '_>, value: &Value, sure: &Sure) {
    match value {
        Value::String(text) => {
            for piece in super::template::parse(text) {
                let super::template::Piece::Variable(path) = piece else { continue };
                let is_environment = ["$env", "$processEnvironment"].contains(&path.root.as_str());
                if let (true, [super::template::Key::Name(name)]) = (is_environment, path.further.as_slice()) {
                    state.script.environment.insert(name.clone());
                } else {
                    drop(state.expression(&path, &crate::keys::Spot::default(), sure));
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expose(state, item, sure)),
        Value::Object(map) => map.values().for_each(|item| expose(state, item, sure)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The hooks that a key names.
pub(crate) fn hooks(state: &mut State<'_, '_>, view: &View<'_>, role: Role) -> Vec<String> {
    let mut names = Vec::new();
    for item in view.listed() {
        let Some(name) = item.text().filter(|name| !name.is_empty()) else {
            let note = format!("{} stands where the name of a function is wanted", item.kind());
            state.ledger.refused(item.spot(), note);
            continue;
        };
        if !has_template(&name) {
            state.check_hook(&item, &name, role);
        }
        names.push(name);
    }
    let note = "what it does is this machine's own time, and counts as lag";
    state.ledger.approximated(view.spot(), note);
    if state.script.has_processor() { names } else { Vec::new() }
}

/// Every status is an answer: 4xx and 5xx are no errors to Artillery.
pub(crate) fn any_status() -> Expect {
    expect::statuses(&[(100, 599)])
}

/// The URL as a specification takes it; `None` where it is refused.
fn url(state: &mut State<'_, '_>, view: &View<'_>, sure: &Sure, has_query: bool) -> Option<String> {
    let Some(text) = view.text().filter(|text| !text.is_empty()) else {
        state.ledger.refused(view.spot(), "it has no URL");
        return None;
    };
    // What `qs` says takes the place of a query that is written out.
    let text = match text.split_once('?') {
        Some((before, query)) if has_query => {
            let note = format!("its query `{}` is not sent: `qs` takes its place", shown(query));
            state.ledger.warn(view.spot(), note);
            before.to_owned()
        }
        Some(_) | None => text,
    };
    let is_known = text.starts_with('/')
        || text.starts_with("http://")
        || text.starts_with("https://")
        || has_template(&text) && text.starts_with("{{");
    if !is_known {
        let note = format!("`{}` is neither a path (`/…`) nor a whole URL (`https://…`)", shown(&text));
        state.ledger.refused(view.spot(), note);
        return None;
    }
    let text = text.split('#').next().unwrap_or_default();
    let url = state.translate(&encoded(text), &view.spot(), Place::Needed, sure);
    if url.chars().any(char::is_control) || url.len() > nuncius_schemas::spec::limits::URL_MAX_BYTES {
        state.ledger.refused(view.spot(), "it is too long, or holds control characters");
        return None;
    }
    Some(url)
}

/// The path of a URL, for the name of its step.
fn path_of(url: &str) -> &str {
    let path = url.split('?').next().unwrap_or(url);
    match path.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => path,
    }
}
