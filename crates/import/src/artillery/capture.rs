//! What is taken from answers and messages (`capture`), and what they are compared with (`match`).
//!
//! Where a JSONPath may find several values Artillery takes any of them: here all are taken, and one is drawn in a step
//! of its own behind the request.

use std::collections::BTreeMap;

use nuncius_schemas::flow::{Capture, CaptureFrom, Check, OnCheckFailure};
use nuncius_schemas::tree::{Content, Meaning, Scalar};
use serde_json::{Value, json};

use super::config::Config;
use super::json_path;
use super::pieces::check;
use super::pieces::set;
use super::regexp::{self, Group};
use super::state::{State, Sure};
use super::template::has_template;
use super::view::{View, shown};

const KNOWN: [&str; 13] = [
    "json", "regexp", "header", "selector", "xpath", "as", "strict", "multiple", "group", "flags", "attr", "index",
    "value",
];

/// What one request, or one message, gives.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) captures: BTreeMap<String, Capture>,
    /// Steps behind it.
    pub(crate) after: Vec<Value>,
    pub(crate) checks: Vec<Check>,
    /// Variables that are there for certain afterwards.
    pub(crate) sure: Vec<String>,
    /// A check that fails ends the user.
    pub(crate) fails: bool,
    /// What is looked at is a message, which has no headers.
    pub(crate) is_message: bool,
    /// Captures that find nothing never end the user.
    pub(crate) is_lenient: bool,
}

impl Taken {
    pub(crate) fn on_check_failure(&self) -> OnCheckFailure {
        if self.fails && !self.checks.is_empty() { OnCheckFailure::Fail } else { OnCheckFailure::Count }
    }
}

/// Reads `capture` and `match` of a request or of what is waited for.
pub(crate) fn read(state: &mut State<'_, '_>, config: &Config, params: &View<'_>, taken: &mut Taken, sure: &Sure) {
    for key in ["capture", "match"] {
        let Some(list) = params.get(key).filter(|view| !view.is_nothing()) else { continue };
        state.ledger.supported(list.spot());
        for spec in list.listed() {
            if !spec.is_map() {
                state.ledger.refused(spec.spot(), format!("{} stands where a map is wanted", spec.kind()));
                continue;
            }
            for (key, view) in spec.entries() {
                if !KNOWN.contains(&key) {
                    state.ledger.unknown(view.spot(), key, &KNOWN);
                }
            }
            if key == "match" {
                state.ledger.approximated(list.spot(), "it is a check that ends the user; Artillery has given it up");
            }
            if spec.get("value").is_some() {
                compare(state, &spec, taken, sure);
            } else {
                one(state, config, &spec, taken);
            }
        }
    }
}

/// `strict`, where it is the word itself.
fn strictness(spec: &View<'_>) -> Option<bool> {
    let view = spec.get("strict")?;
    match &view.node.content {
        Content::Scalar(Scalar { meaning: Meaning::Boolean(value), .. }) => Some(*value),
        Content::Scalar(_) | Content::List(_) | Content::Map(_) => None,
    }
}

fn one(state: &mut State<'_, '_>, config: &Config, spec: &View<'_>, taken: &mut Taken) {
    let Some(variable) = spec.get("as").and_then(|view| view.text()).filter(|name| !name.is_empty()) else {
        state.ledger.refused(spec.spot(), "it has no `as`: what is taken has no name");
        return;
    };
    let is_strict = match (strictness(spec), config.strict_capture) {
        _ if taken.is_lenient => false,
        (Some(false), _) => false,
        (Some(true), _) => true,
        (None, strict) => strict,
    };
    let Some(found) = source(state, spec, taken.is_message) else { return };
    for key in ["as", "strict", "multiple", "group", "flags", "attr", "index", found.key] {
        if let Some(view) = spec.get(key) {
            state.ledger.supported(view.spot());
        }
    }
    if variable.contains('.') {
        state.dotted.insert(variable.clone());
    }
    state.assign(&variable);
    let name = state.names.of(&variable);
    // To a text that is not found Artillery gives an empty one, to anything else nothing.
    let is_text = matches!(found.from, CaptureFrom::Regex(_) | CaptureFrom::Header(_));
    let default = (!is_strict).then(|| if is_text { Value::from("") } else { Value::Null });
    if is_strict || is_text {
        taken.sure.push(variable);
    }
    match found.pick {
        Pick::First | Pick::All => {
            let all = found.pick == Pick::All;
            taken.captures.insert(name, Capture { from: found.from, all, default });
        }
        Pick::Index(_) | Pick::Last | Pick::Any => {
            let list = state.names.own(&format!("all_{name}"));
            state.script.hide(&list);
            let chosen = match found.pick {
                Pick::Index(index) => format!("{list}[{index}]"),
                Pick::Last => format!("{list}[len({list}) - 1]"),
                _ => format!("{list}[random_int(0, len({list}) - 1)]"),
            };
            let value = match (&default, &found.pick) {
                (None, _) => chosen,
                (Some(default), Pick::Index(_)) => format!("{list} == null ? {default} : default({chosen}, {default})"),
                (Some(default), _) => format!("{list} == null ? {default} : {chosen}"),
            };
            let default = default.map(|_| Value::Null);
            taken.captures.insert(list, Capture { from: found.from, all: true, default });
            taken.after.push(set(&[(name, Value::String(format!("{{{{ {value} }}}}")))]));
        }
    }
}

/// Which of several is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pick {
    First,
    All,
    Index(u64),
    Last,
    Any,
}

struct Found {
    key: &'static str,
    from: CaptureFrom,
    pick: Pick,
}

/// Where a capture looks; `None` where it is refused.
fn source(state: &mut State<'_, '_>, spec: &View<'_>, is_message: bool) -> Option<Found> {
    let text = |key: &str| spec.get(key).and_then(|view| Some((view.clone(), view.text()?)));
    let refuse = |state: &mut State<'_, '_>, view: &View<'_>, note: String| -> Option<Found> {
        state.ledger.refused(view.spot(), note);
        None
    };
    for key in ["json", "regexp", "header", "selector"] {
        if let Some((view, written)) = text(key)
            && has_template(&written)
        {
            return refuse(state, &view, "what is looked for cannot depend on variables here".to_owned());
        }
    }
    if let Some((view, path)) = text("json") {
        let path = match json_path::rewrite(&path) {
            Ok(path) => path,
            Err(problem) => return refuse(state, &view, format!("`{}` {problem}", shown(&path))),
        };
        let is_one = spec.get("multiple").and_then(|view| view.boolean()) == Some(false);
        let pick = match (path.is_singular, is_one) {
            (true, _) => Pick::First,
            (false, true) => Pick::All,
            (false, false) => Pick::Any,
        };
        return Some(Found { key: "json", from: CaptureFrom::Json(path.text), pick });
    }
    if let Some((view, _)) = text("xpath") {
        return refuse(state, &view, "XPath is not known here: take it by `selector` or `regexp`".to_owned());
    }
    if let Some((view, pattern)) = text("regexp") {
        let flags = spec.get("flags").and_then(|view| view.text()).unwrap_or_default();
        let group = match spec.get("group").and_then(|view| view.text()) {
            None => Group::Whole,
            Some(group) => match group.parse() {
                Ok(0) => Group::Whole,
                Ok(number) => Group::Number(number),
                Err(_) => Group::Named(group),
            },
        };
        return match regexp::rewrite(&pattern, &flags, &group) {
            Ok(pattern) => Some(Found { key: "regexp", from: CaptureFrom::Regex(pattern), pick: Pick::First }),
            Err(problem) => refuse(state, &view, format!("`{}` {problem}", shown(&pattern))),
        };
    }
    if let Some((view, name)) = text("header") {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if is_message || name.is_empty() || name.len() > 256 || !name.bytes().all(is_token) {
            return refuse(state, &view, "there is no such header here".to_owned());
        }
        return Some(Found { key: "header", from: CaptureFrom::Header(name), pick: Pick::First });
    }
    if let Some((view, selector)) = text("selector") {
        let Some(attribute) = spec.get("attr").and_then(|view| view.text()) else {
            return refuse(state, &view, "it has no `attr`: the text of an element cannot be taken there".to_owned());
        };
        let pick = match spec.get("index").and_then(|view| view.text()).as_deref() {
            None | Some("0") => Pick::First,
            Some("last") => Pick::Last,
            Some("random") => Pick::Any,
            Some(number) => Pick::Index(number.parse().unwrap_or(0)),
        };
        if selector.trim().is_empty() || selector.len() > nuncius_schemas::flow::rule::PATTERN_MAX_BYTES {
            return refuse(state, &view, "it is empty, or too long".to_owned());
        }
        let from = CaptureFrom::Css { selector, attribute: Some(attribute) };
        return Some(Found { key: "selector", from, pick });
    }
    refuse(state, spec, "it says not where to look: give `json`, `regexp`, `header` or `selector`".to_owned())
}

/// `match`: a check of a value.
fn compare(state: &mut State<'_, '_>, spec: &View<'_>, taken: &mut Taken, sure: &Sure) {
    let Some(value) = spec.get("value") else { return };
    let expected = state.json(&value, sure);
    let Some(found) = source(state, spec, taken.is_message) else { return };
    let written = match &found.from {
        CaptureFrom::Json(path) => json!({ "json": path, "equals": expected }),
        CaptureFrom::Header(name) => json!({ "header": name, "equals": expected }),
        CaptureFrom::Regex(pattern) => match expected.as_str().filter(|text| !has_template(text)) {
            Some(text) => {
                state.ledger.approximated(spec.spot(), "it holds where both the expression and the text are found");
                if let Some(both) = check(json!({ "body": null, "matches": regexp::literally(text) })) {
                    taken.checks.push(both);
                }
                json!({ "body": null, "matches": pattern })
            }
            None => {
                state.ledger.refused(spec.spot(), "what an expression finds cannot be compared with a variable here");
                return;
            }
        },
        CaptureFrom::Css { .. } | CaptureFrom::Cookie(_) | CaptureFrom::Status | CaptureFrom::Body => {
            state.ledger.refused(spec.spot(), "what a selector finds cannot be compared here: capture it");
            return;
        }
    };
    for key in [found.key, "value", "strict", "as", "multiple", "group", "flags"] {
        if let Some(view) = spec.get(key) {
            state.ledger.supported(view.spot());
        }
    }
    if strictness(spec) == Some(false) && !taken.is_lenient {
        state.ledger.approximated(spec.spot(), "it decides nothing there: it is counted as a check, and goes on");
    } else {
        taken.fails = true;
    }
    if let Some(check) = check(written) {
        taken.checks.push(check);
    }
}
