//! What hooks before and after a request see and change.

use bytes::Bytes;
use nuncius_script::{Call, RequestView, ResponseView};
use serde_json::json;

use crate::support::run_call;

fn request() -> RequestView {
    RequestView {
        method: "POST".into(),
        url: "/login?a=1".into(),
        headers: vec![
            ("Content-Type".into(), "text/plain".into()),
            ("X-Many".into(), "1".into()),
            ("x-many".into(), "2".into()),
        ],
        body: Some(Bytes::from_static(b"hello")),
        step: None,
    }
}

fn before(text: &str, request: RequestView) -> nuncius_script::Finished {
    *run_call(text, Call { request: Some(request), ..Call::default() })
}

fn after(text: &str, body: &'static [u8]) -> nuncius_script::Finished {
    let headers = vec![
        ("Content-Type".to_owned(), "application/json".to_owned()),
        ("Set-Cookie".to_owned(), "a=1".to_owned()),
        ("set-cookie".to_owned(), "b=2".to_owned()),
    ];
    let response = ResponseView { status: 201, headers, body: Bytes::from_static(body), url: "http://shop/x".into() };
    *run_call(text, Call { response: Some(response), ..Call::default() })
}

#[test]
fn a_hook_changes_the_request() {
    let finished = before(
        "const r = context.request; r.method = 'put'; r.url += '&b=2'; r.headers['content-type'] = 'application/json'; \
         r.headers['X-New'] = 7; delete r.headers['X-Many']; r.body = JSON.stringify({ was: r.body });",
        request(),
    );
    finished.result.unwrap();
    let expected = RequestView {
        method: "PUT".into(),
        url: "/login?a=1&b=2".into(),
        headers: vec![("content-type".into(), "application/json".into()), ("X-New".into(), "7".into())],
        body: Some(Bytes::from_static(b"{\"was\":\"hello\"}")),
        step: None,
    };
    assert_eq!(finished.request.unwrap(), expected);
}

#[test]
fn what_a_hook_does_not_touch_stays_byte_for_byte() {
    let original = RequestView { body: Some(Bytes::from_static(b"\xff\x00binary")), ..request() };
    let finished = before("return 1;", original.clone());
    assert_eq!(finished.request.unwrap(), original);
    let finished = before("return context.request.body.length;", original.clone());
    finished.result.unwrap();
    assert_eq!(finished.request.unwrap().body, original.body);
    // Names that come more than once are a list; nothing of it is lost.
    let finished = before("return context.request.headers['X-Many'];", request());
    assert_eq!(finished.result.unwrap(), json!(["1", "2"]));
    let headers = finished.request.unwrap().headers;
    assert_eq!(headers.iter().filter(|(name, _)| name == "X-Many").count(), 2, "{headers:?}");
}

#[test]
fn a_body_can_be_taken_away() {
    let finished = before("context.request.body = null;", request());
    assert_eq!(finished.request.unwrap().body, None);
}

#[test]
fn headers_are_found_however_they_are_written() {
    let finished = before(
        "const h = context.request.headers; \
         return [h.get('content-TYPE'), h.has('x-many'), h.get('none'), [...h].length];",
        request(),
    );
    assert_eq!(finished.result.unwrap(), json!(["text/plain", true, null, 2]));
}

#[test]
fn what_no_request_can_be_is_refused() {
    for (text, why) in [
        ("context.request.json = { a: 1 };", "a request has method, url, headers, body, but no `json`"),
        ("context.request.method = 'GE T';", "a method is a word"),
        ("context.request.url = '/a\\r\\nHost: x';", "control character"),
        ("context.request.headers.a = 'x\\r\\nb: c';", "control character"),
        ("context.request.body = { a: 1 };", "a body is a text"),
        ("context.request.headers = 7;", ""),
        ("context.request.url = 'x'.repeat(10000);", "limit url_bytes"),
        ("context.request.body = 'x'.repeat(2e6);", "limit body_bytes"),
        ("for (let i = 0; i < 200; i++) context.request.headers['h' + i] = 1;", "limit headers"),
        ("'use strict'; context.request = {};", "TypeError"),
    ] {
        let finished = before(text, request());
        let error = finished.result.unwrap_err();
        assert!(error.to_string().contains(why), "{text}: {error}");
        if why.starts_with("control") {
            assert_eq!(finished.request.unwrap(), request(), "{text}: nothing of it is taken");
        }
    }
}

#[test]
fn a_hook_reads_the_response() {
    let finished = after(
        "const r = context.response; \
         return [r.status, r.ok, r.url, r.headers['content-type'], r.header('Content-Type'), \
         r.headers['set-cookie'], r.headers.get('Set-Cookie'), r.body, r.json().items[1]];",
        b"{\"items\":[1,{\"a\":\"\xc3\xa4\"}]}",
    );
    let expected = json!([
        201, true, "http://shop/x", "application/json", "application/json", ["a=1", "b=2"], "a=1, b=2",
        "{\"items\":[1,{\"a\":\"ä\"}]}", {"a": "ä"}
    ]);
    assert_eq!(finished.result.unwrap(), expected);
    assert!(finished.response.is_some());
}

#[test]
fn a_body_that_is_no_json_says_so() {
    for (body, why) in [
        (&b"<html>"[..], "SyntaxError"),
        (b"", "is empty"),
        (b"\xff", "no UTF-8"),
        (b"\"a\0b\"", "NUL"),
        (b"{\"a\":", "SyntaxError"),
    ] {
        let error = after("return context.response.json();", body).result.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    // As text it can be had all the same.
    assert_eq!(after("return context.response.body;", b"a\xff\0b").result.unwrap(), json!("a\u{FFFD}\0b"));
}

#[test]
fn json_from_a_stranger_changes_nothing_but_itself() {
    let finished = after(
        "const o = context.response.json(); return [({}).x, Object.getPrototypeOf(o) === Object.prototype];",
        b"{\"__proto__\":{\"x\":1},\"constructor\":{\"prototype\":{\"x\":2}}}",
    );
    assert_eq!(finished.result.unwrap(), json!([null, true]));
}
