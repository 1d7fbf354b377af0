//! Captures from answers.

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::body::Body;
use crate::cookies::{Jar, Origin};

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("location", "/next?id=7"),
        ("set-cookie", "sid=old; Path=/"),
        ("set-cookie", "sid=new; HttpOnly"),
        ("x-many", "1"),
        ("x-many", "2"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    headers
}

fn take(capture: &Capture, body: &[u8]) -> Result<Value, CaptureError> {
    let mut jar = Jar::new();
    jar.store(b"kept=by user", &Origin { host: "shop", path: "/", is_secure: false }, 0).unwrap();
    let (headers, body) = (headers(), Body::new(body));
    capture.take(&Answer { status: 302, headers: &headers, body: &body, service_ns: 5, jar: Some(&jar) })
}

const PAGE: &[u8] = b"<!doctype html><title>Shop</title><form class=login><input name=csrf value='t&amp;1'>
    <p>first<p>second <a class='next big' HREF=/2>go <b>on</b></a></form><a class=next href=/3>later</a>";

#[test]
fn values_are_taken_from_every_part_of_an_answer() {
    let json = br#"{"token": "abc", "items": [{"id": 1}, {"id": 2}], "n": null}"#;
    for (capture, body, expected) in [
        (Capture::json("$.token").unwrap(), &json[..], json!("abc")),
        (Capture::json("$.items[*].id").unwrap(), json, json!(1)),
        (Capture::json("$.items[*].id").unwrap().all(), json, json!([1, 2])),
        (Capture::json("$.items[1]").unwrap(), json, json!({"id": 2})),
        (Capture::json("$.n").unwrap(), json, json!(null)),
        (Capture::regex(r"id=(\d+)").unwrap(), b"x id=17 id=18", json!("17")),
        (Capture::regex(r"id=(\d+)").unwrap().all(), b"x id=17 id=18", json!(["17", "18"])),
        (Capture::regex(r"id=\d+").unwrap(), b"x id=17", json!("id=17")),
        (Capture::css("a.next", Some("href")).unwrap(), PAGE, json!("/2")),
        (Capture::css("a.next", Some("HREF")).unwrap().all(), PAGE, json!(["/2", "/3"])),
        (Capture::css("form.login > input[name=csrf]", Some("value")).unwrap(), PAGE, json!("t&1")),
        (Capture::css("form p:nth-child(3)", None).unwrap(), PAGE, json!("second go on")),
        (Capture::css("title, b", None).unwrap().all(), PAGE, json!(["Shop", "on"])),
        (Capture::header("LOCATION").unwrap(), b"", json!("/next?id=7")),
        (Capture::header("x-many").unwrap().all(), b"", json!(["1", "2"])),
        (Capture::cookie("sid"), b"", json!("new")),
        (Capture::cookie("kept"), b"", json!("by user")),
        (Capture::status(), b"", json!(302)),
        (Capture::body(), b"t\xffxt", json!("t\u{fffd}xt")),
    ] {
        assert_eq!(take(&capture, body), Ok(expected), "{capture:?}");
    }
}

#[test]
fn what_is_not_there_is_an_error_or_the_default() {
    for (capture, body, words) in [
        (Capture::json("$.nope").unwrap(), &b"{}"[..], "`$.nope` is not in the answer; to do without it give a def"),
        (Capture::json("$.nope").unwrap().all(), b"{}", "`$.nope` is not in the answer"),
        (Capture::json("$.a").unwrap(), b"<html>", "the body is no JSON"),
        (Capture::regex("a").unwrap(), b"b", "`a` is not in the answer"),
        (Capture::css("a", Some("href")).unwrap(), b"<a>", "attribute `href` of `a` is not in the answer"),
        (Capture::header("X-None").unwrap(), b"", "header x-none is not in the answer"),
        (Capture::cookie("none"), b"", "cookie `none` is not in the answer"),
    ] {
        let error = take(&capture, body).unwrap_err().to_string();
        assert!(error.starts_with(words), "{error}");
        assert_eq!(take(&capture.or(json!([])), body), Ok(json!([])));
    }
}

#[test]
fn a_limit_is_an_error_whatever_the_default() {
    let many = format!("[{}]", vec!["1"; CAPTURED_VALUES_MAX + 1].join(","));
    let capture = Capture::json("$[*]").unwrap().all().or(json!(null));
    assert_eq!(take(&capture, many.as_bytes()), Err(CaptureError::TooMany));
    let long = "x".repeat(CAPTURED_MAX_BYTES + 1);
    for capture in [Capture::body(), Capture::regex("x+").unwrap()] {
        assert_eq!(take(&capture.or(json!(null)), long.as_bytes()), Err(CaptureError::TooLong));
    }
    let capture = Capture::regex("x").unwrap().all().or(json!(null));
    assert_eq!(take(&capture, long.as_bytes()), Err(CaptureError::TooManyMatches { most: 953 }));
    let capture = Capture::css(r"p:h\61 s(~ b)", None).unwrap().or(json!(null));
    assert_eq!(take(&capture, "<p></p>".repeat(6_000).as_bytes()), Err(CaptureError::Html(HtmlError::TooManyForHas)));
    assert_eq!(take(&capture, b"<p>a</p><p>b</p><b>"), Ok(json!("a")));
    let long = format!("\"{long}\"");
    assert_eq!(take(&Capture::json("$").unwrap(), long.as_bytes()), Err(CaptureError::TooLong));
    // Each value holds all that are below it.
    let deep = format!("{}\"{}\"{}", "[".repeat(100), "x".repeat(20_000), "]".repeat(100));
    assert_eq!(take(&Capture::json("$..*").unwrap().all(), deep.as_bytes()), Err(CaptureError::TooLong));
    let error = take(&Capture::css("a", None).unwrap(), "<i>".repeat(2_000).as_bytes()).unwrap_err();
    assert_eq!(error, CaptureError::Html(HtmlError::TooDeep));
}

#[test]
fn mistakes_are_told_before_anything_is_sent() {
    for (error, words) in [
        (Capture::css("a[", None).unwrap_err(), "`a[` is not a CSS selector"),
        (Capture::css(&"a ".repeat(600), None).unwrap_err(), "1200 bytes long, at most 1024"),
        (Capture::header("a b").unwrap_err(), "`a b` is not the name of a header"),
        (Capture::regex("[").unwrap_err(), "`[` is not a regular expression"),
        (Capture::json("x").unwrap_err(), "`x` is not a JSONPath"),
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn captures_are_shared_between_threads_and_say_whether_they_need_the_body() {
    fn shared<T: Send + Sync>(_: &T) {}
    for (capture, needs) in [(Capture::css("a", None).unwrap(), true), (Capture::status(), false)] {
        shared(&capture);
        assert_eq!(capture.needs_body(), needs);
    }
}

#[test]
fn a_megabyte_of_broken_html_is_read_or_refused() {
    let pieces = ["<p><b><i>", "</p></table><tr>", "<a href='", "<!--", "<script>", "<svg><title>", "&amp", "</b>x"];
    let selector = "p b:nth-child(2n+1) ~ i, a[href^='x'], :not(p) > b";
    let capture = Capture::css(selector, None).unwrap().all().or(json!(null));
    for piece in pieces {
        drop(take(&capture, piece.repeat(1_000_000 / piece.len()).as_bytes()));
    }
}

proptest! {
    #[test]
    fn whatever_is_answered_nothing_panics(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        for capture in [
            Capture::json("$..*").unwrap().all(),
            Capture::regex("(.)?").unwrap().all(),
            Capture::css("*", None).unwrap().all(),
            Capture::body(),
        ] {
            drop(take(&capture, &body));
        }
    }

    #[test]
    fn whatever_is_asked_for_nothing_panics(
        text in "(a|\\[|\\]|=|'|\"|:|not|has|nth-child|\\(|\\)|>|~|\\+|,|\\*|\\.|#|\\\\|\\||1|n|ü| ){0,30}"
    ) {
        if let Ok(capture) = Capture::css(&text, None) {
            drop(take(&capture, PAGE));
        }
        if let Ok(capture) = Capture::regex(&text) {
            drop(take(&capture, PAGE));
        }
    }
}
