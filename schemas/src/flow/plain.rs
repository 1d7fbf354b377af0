//! Steps that say the same for every user and every time: requests that can be rendered once, before the load.

use std::collections::BTreeMap;

use super::http::{HttpStep, HttpVerb, OnCheckFailure, Payload};
use super::step::{Op, Step};
use super::template::has_template;
use super::value::{self, Texts};
use crate::spec::method::Method;

/// Whether a text may hold templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As somebody wrote it.
    Written,
    /// It was written without one, and its variables are filled in: what these brought is a text.
    FilledIn,
}

/// The step as version 1 has it, where nothing of it depends on a user, an answer or chance; else `None`.
pub(crate) fn plain(step: &Step, reading: Reading) -> Option<Step> {
    let has_template = |text: &str| reading == Reading::Written && has_template(text);
    let plain = match &step.op {
        None => step.clone(),
        Some(Op::Http(verb, request)) => Step {
            name: step.name.clone(),
            condition: step.condition.clone(),
            ..plain_request(*verb, request, reading)?
        },
        Some(
            Op::Ws(_)
            | Op::SocketIo(_)
            | Op::Nats(_)
            | Op::Think(_)
            | Op::Set(_)
            | Op::Loop(_)
            | Op::If(_)
            | Op::Parallel(_)
            | Op::Call(_)
            | Op::Log(_),
        ) => {
            return None;
        }
    };
    let Step { name: _, condition, probability, method: _, path, headers, body, expect: _, publish, consume, job, op } =
        &plain;
    let is_http = publish.is_none() && consume.is_none() && job.is_none() && op.is_none();
    let is_certain = condition.is_none() && probability.is_none() && step.probability.is_none();
    let texts = headers.values().chain(path).chain(body);
    (is_http && is_certain && !texts.into_iter().any(|text| has_template(text))).then_some(plain)
}

fn plain_request(verb: HttpVerb, request: &HttpStep, reading: Reading) -> Option<Step> {
    let is_written = reading == Reading::Written;
    let HttpStep {
        url,
        method,
        query,
        headers,
        body: _,
        json: _,
        form: _,
        multipart: _,
        file: _,
        auth,
        timeout,
        redirects,
        expect,
        capture,
        checks,
        on_check_failure,
        before_request,
        after_response,
    } = request;
    let is_plain = auth.is_none()
        && timeout.is_none()
        && redirects.unwrap_or(0) == 0
        && capture.is_empty()
        && checks.is_empty()
        && *on_check_failure == OnCheckFailure::Count
        && before_request.is_none()
        && after_response.is_none();
    // A query alone would have no path to stand behind.
    let is_here = url.starts_with('/') || (url.is_empty() && query.is_empty());
    if !is_plain || !is_here || (is_written && query.values().any(holds_template)) {
        return None;
    }
    let mut headers = headers.clone();
    let body = match request.payload() {
        None => None,
        Some(Payload::Text(text)) => Some(text.to_owned()),
        Some(Payload::Json(value)) if !(is_written && value::has_template(value)) => {
            set_content_type(&mut headers, "application/json");
            Some(value.to_string())
        }
        Some(Payload::Form(fields)) if !(is_written && fields.values().any(holds_template)) => {
            set_content_type(&mut headers, "application/x-www-form-urlencoded");
            Some(encode(fields))
        }
        Some(Payload::Json(_) | Payload::Form(_) | Payload::Multipart(_) | Payload::File(_)) => return None,
    };
    let path = match query.is_empty() {
        true => url.clone(),
        false => format!("{url}{}{}", if url.contains('?') { '&' } else { '?' }, encode(query)),
    };
    let registered = verb.method().map(Method::registered).transpose().ok()?;
    Some(Step {
        method: registered.or_else(|| method.clone()),
        path: Some(path).filter(|path| !path.is_empty()),
        headers,
        body,
        expect: expect.clone(),
        ..Step::default()
    })
}

fn holds_template(texts: &Texts) -> bool {
    texts.as_slice().iter().any(|text| has_template(text))
}

fn set_content_type(headers: &mut BTreeMap<String, String>, value: &str) {
    if !headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
        headers.insert("Content-Type".to_owned(), value.to_owned());
    }
}

fn encode(fields: &BTreeMap<String, Texts>) -> String {
    let mut encoded = form_urlencoded::Serializer::new(String::new());
    for (name, texts) in fields {
        for text in texts.as_slice() {
            encoded.append_pair(name, text);
        }
    }
    encoded.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: serde_json::Value) -> Option<serde_json::Value> {
        let step: Step = serde_json::from_value(json).unwrap();
        plain(&step, Reading::Written).map(|step| serde_json::to_value(step).unwrap())
    }

    #[test]
    fn a_request_that_is_the_same_for_all_is_one_of_version_1() {
        for (step, expected) in [
            (serde_json::json!({"get": "/a"}), serde_json::json!({"method": "GET", "path": "/a"})),
            (serde_json::json!({"get": ""}), serde_json::json!({"method": "GET"})),
            (
                serde_json::json!({"name": "n", "get": {"url": "/a?b=1", "query": {"c": ["x y", "ü"]}}}),
                serde_json::json!({"name": "n", "method": "GET", "path": "/a?b=1&c=x+y&c=%C3%BC"}),
            ),
            (
                serde_json::json!({"post": {"url": "/a", "json": {"n": 1}, "expect": {"status": 201}}}),
                serde_json::json!({"method": "POST", "path": "/a", "headers": {"Content-Type": "application/json"},
                                   "body": "{\"n\":1}", "expect": {"status": [201]}}),
            ),
            (
                serde_json::json!({"request": {"url": "/a", "method": {"custom": "PURGE"}, "redirects": 0,
                                   "headers": {"content-type": "a/b"},
                                   "form": {"a": "1 2"}}}),
                serde_json::json!({"method": {"custom": "PURGE"}, "path": "/a", "headers": {"content-type": "a/b"},
                                   "body": "a=1+2"}),
            ),
            (serde_json::json!({"path": "/a"}), serde_json::json!({"path": "/a"})),
        ] {
            assert_eq!(of(step.clone()), Some(expected), "{step}");
        }
    }

    #[test]
    fn what_depends_on_a_user_an_answer_or_chance_is_none() {
        let get = |rest: serde_json::Value| {
            let mut request = rest;
            request["url"] = "/a".into();
            serde_json::json!({"get": request})
        };
        for step in [
            serde_json::json!({"get": "/{{ id }}"}),
            serde_json::json!({"get": "http://other/a"}),
            serde_json::json!({"get": "/a", "if": "{{ x }}"}),
            serde_json::json!({"get": "/a", "probability": 0.5}),
            serde_json::json!({"path": "/a", "probability": 0.5}),
            serde_json::json!({"path": "/a", "if": "{{ x }}"}),
            serde_json::json!({"path": "/{{ id }}"}),
            serde_json::json!({"headers": {"a": "{{ b }}"}}),
            serde_json::json!({"body": "{{ b }}"}),
            serde_json::json!({"think": "1s"}),
            serde_json::json!({"set": {"a": 1}}),
            serde_json::json!({"call": "f"}),
            serde_json::json!({"log": "x"}),
            get(serde_json::json!({"query": {"a": "{{ b }}"}})),
            get(serde_json::json!({"json": [{"a": "{{ b }}"}]})),
            get(serde_json::json!({"form": {"a": ["{{ b }}"]}})),
            get(serde_json::json!({"multipart": [{"name": "a", "value": "b"}]})),
            get(serde_json::json!({"file": "a.bin"})),
            get(serde_json::json!({"auth": "none"})),
            get(serde_json::json!({"timeout": "1s"})),
            get(serde_json::json!({"redirects": 1})),
            get(serde_json::json!({"capture": {"a": "status"}})),
            get(serde_json::json!({"checks": [{"status": 200}]})),
            get(serde_json::json!({"before_request": "f"})),
            get(serde_json::json!({"after_response": "f"})),
        ] {
            assert_eq!(of(step.clone()), None, "{step}");
        }
    }
}
