//! Bodies of requests: of several that are written the first of `json`, `body`, `form` and `formData` is sent.

use nuncius_schemas::flow::{HttpStep, Part};
use serde_json::Value;

use super::pieces::fields;
use super::state::{State, Sure};
use super::template::has_template;
use super::texts::Place;
use super::view::{View, shown};
use crate::files::{Base, Wanted};

/// Directory of the bundle for files that lie elsewhere than beside the test.
const ELSEWHERE: &str = "artillery/files";

/// Reads the body of a request.
pub(crate) fn read(state: &mut State<'_, '_>, params: &View<'_>, http: &mut HttpStep, sure: &Sure) {
    let get = |key: &str| params.get(key).filter(|view| !view.is_nothing());
    let mut sent: Option<&'static str> = None;
    let mut is_free = |state: &mut State<'_, '_>, view: &View<'_>, key: &'static str| match sent {
        None => {
            sent = Some(key);
            true
        }
        Some(first) => {
            state.ledger.warn(view.spot(), format!("`{first}` is sent in its place: a request has one body"));
            state.ledger.supported(view.spot());
            false
        }
    };
    // What is false to JavaScript is none.
    let json =
        get("json").filter(|view| ![Value::Bool(false), Value::from(0), Value::from("")].contains(&view.value()));
    if let Some(view) = json.filter(|view| is_free(state, view, "json")) {
        http.json = Some(state.json(&view, sure));
        state.ledger.supported(view.spot());
    }
    if let Some(view) = get("body").filter(|view| is_free(state, view, "body")) {
        if view.is_map() || view.is_list() {
            let text = "a body is a text: Artillery fails here; it is sent as JSON, which `json` says";
            state.ledger.warn(view.spot(), text);
            http.json = Some(state.json(&view, sure));
            state.ledger.approximated(view.spot(), text);
        } else {
            http.body = Some(state.text(&view, Place::Text, sure));
            state.ledger.supported(view.spot());
        }
    }
    if let Some(view) = get("form").filter(|view| is_free(state, view, "form")) {
        http.form = Some(fields(state, &view, sure));
        state.ledger.supported(view.spot());
    }
    if let Some(view) = get("formData").filter(|view| is_free(state, view, "formData")) {
        let parts: Vec<Part> =
            view.entries().into_iter().filter_map(|(name, view)| part(state, name, &view, sure)).collect();
        state.ledger.supported(view.spot());
        if !parts.is_empty() {
            http.multipart = Some(parts);
        }
    }
}

fn part(state: &mut State<'_, '_>, name: &str, view: &View<'_>, sure: &Sure) -> Option<Part> {
    const KNOWN: [&str; 3] = ["value", "fromFile", "contentType"];
    if name.is_empty() || name.contains('"') || name.chars().any(char::is_control) {
        state.ledger.refused(view.spot(), "its name is empty, or holds quotes or control characters");
        return None;
    }
    let mut part = Part { name: name.to_owned(), value: None, file: None, media_type: None, filename: None };
    if !view.is_map() {
        part.value = Some(state.text(view, Place::Text, sure));
        return Some(part);
    }
    for (key, inner) in view.entries() {
        match key {
            "value" => part.value = Some(state.text(&inner, Place::Text, sure)),
            "contentType" => part.media_type = state.known(&inner),
            "fromFile" => part.file = file(state, &inner),
            other => {
                state.ledger.unknown(inner.spot(), other, &KNOWN);
                continue;
            }
        }
        state.ledger.supported(inner.spot());
    }
    if part.file.is_some() {
        part.value = None;
    }
    if part.value.is_none() && part.file.is_none() {
        part.value = Some(String::new());
    }
    Some(part)
}

/// A file of a part, in the bundle.
fn file(state: &mut State<'_, '_>, view: &View<'_>) -> Option<String> {
    let path = view.text().unwrap_or_default();
    if has_template(&path) {
        let known = state.known(view)?;
        return add(state, view, &known);
    }
    add(state, view, &path)
}

fn add(state: &mut State<'_, '_>, view: &View<'_>, path: &str) -> Option<String> {
    let bytes = match (state.reader)(Wanted { path, base: Base::TestFile }) {
        Ok(bytes) => bytes,
        Err(problem) => {
            state.ledger.refused(view.spot(), format!("{}: {problem}", shown(path)));
            return None;
        }
    };
    let plain = path.strip_prefix("./").unwrap_or(path);
    let place = match nuncius_schemas::bundle::check_path(plain) {
        Ok(()) => plain.to_owned(),
        Err(_) => {
            let name = plain.rsplit('/').next().unwrap_or("file");
            let word: String =
                name.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' }).collect();
            format!("{ELSEWHERE}/{}-{word}", state.files.len())
        }
    };
    Some(state.add_file(place, bytes))
}
