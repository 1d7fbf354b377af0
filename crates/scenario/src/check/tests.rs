//! Checks of answers.

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::body::Body;
use crate::draw::DrawKey;
use crate::names::Names;

fn equals(value: Value) -> Test {
    Test::Equals(JsonTemplate::parse(&value, &mut Names::new()).unwrap())
}

fn matches(pattern: &str) -> Test {
    Test::Matches(pattern.to_owned())
}

fn run(check: Result<Check, CompileError>, body: &[u8]) -> Verdict {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert("x-left", HeaderValue::from_static("12"));
    let (names, body) = (Names::new(), Body::new(body));
    let answer = Answer { status: 201, headers: &headers, body: &body, service_ns: 400_000_000, jar: None };
    let scope = Scope::new(&names, &[]);
    check.unwrap().run(&answer, &scope, &mut Draws::new(DrawKey::new(1, 0), 0, 0, 0)).unwrap()
}

const BODY: &[u8] = br#"{"ok": true, "n": 5, "price": "9.50", "name": "s3cret", "none": null, "list": [1, 2]}"#;

#[test]
fn what_is_as_it_should_be_passes() {
    for check in [
        Check::status(&[200, 201]),
        Check::header("Content-Type", matches("^application/json")),
        Check::header("X-Left", Test::Above(11.5)),
        Check::header("X-Left", equals(json!("12"))),
        Check::header("X-None", Test::Exists(false)),
        Check::json("$.ok", equals(json!(true))),
        Check::json("$.n", equals(json!(5.0))),
        Check::json("$.n", Test::Above(4.0)),
        Check::json("$.price", Test::Below(9.6)),
        Check::json("$.name", matches("^s3")),
        Check::json("$.none", Test::Exists(true)),
        Check::json("$.nope", Test::Exists(false)),
        Check::json("$.list", equals(json!([1, 2]))),
        Check::body(matches("\"ok\"")),
        Check::body(Test::Exists(true)),
        Check::size(Test::Below(10_240.0)),
        Check::size(equals(json!(BODY.len()))),
        Check::time(Test::Below(500e6)),
    ] {
        let words = format!("{check:?}");
        assert_eq!(run(check, BODY), Verdict::Passed, "{words}");
    }
}

#[test]
fn what_is_not_says_why_and_shows_no_text_of_the_answer() {
    for (check, words) in [
        (Check::status(&[200, 204]), "status is 201, not 200 or 204"),
        (Check::header("Content-Type", matches("xml")), "header content-type does not match `xml`"),
        (Check::header("X-None", matches("a")), "header x-none is not there"),
        (Check::header("X-Left", Test::Exists(false)), "header x-left is there"),
        (Check::header("X-Left", Test::Below(3.0)), "header x-left is a text of 2 characters, not below 3"),
        (Check::json("$.ok", equals(json!(false))), "`$.ok` is true, not false"),
        (Check::json("$.n", equals(json!("5"))), "`$.n` is 5, not the expected text of 1 characters"),
        (Check::json("$.n", Test::Above(5.0)), "`$.n` is 5, not above 5"),
        (Check::json("$.name", Test::Above(5.0)), "`$.name` is a text of 6 characters, not above 5"),
        (
            Check::json("$.name", equals(json!("other"))),
            "`$.name` is a text of 6 characters, not the expected text of 5 characters",
        ),
        (Check::json("$.list", equals(json!([2, 1]))), "`$.list` is a list, not the expected list"),
        (Check::json("$.nope", equals(json!(1))), "`$.nope` is not there"),
        (Check::body(matches("nope")), "body does not match `nope`"),
        (Check::body(Test::Exists(false)), "body is there"),
        (Check::size(Test::Below(10.0)), "size in bytes is 85, not below 10"),
        (Check::time(Test::Below(1e6)), "time in nanoseconds is 400000000, not below 1000000"),
    ] {
        assert_eq!(run(check, BODY), Verdict::Failed(words.to_owned()));
    }
    let Verdict::Failed(words) = run(Check::json("$.a", Test::Exists(true)), b"<html>s3cret") else { panic!() };
    assert!(words.starts_with("`$.a`: the body is no JSON") && !words.contains("s3cret"), "{words}");
}

#[test]
fn what_is_expected_may_be_a_template() {
    let mut names = Names::new();
    let template = JsonTemplate::parse(&json!("{{ id }}"), &mut names).unwrap();
    let check = Check::json("$.n", Test::Equals(template)).unwrap();
    let (headers, body) = (HeaderMap::new(), Body::new(BODY));
    let answer = Answer { status: 200, headers: &headers, body: &body, service_ns: 0, jar: None };
    let run = |value: Option<Value>| {
        let values = [value];
        check.run(&answer, &Scope::new(&names, &values), &mut Draws::new(DrawKey::new(1, 0), 0, 0, 0))
    };
    assert_eq!(run(Some(json!(5))), Ok(Verdict::Passed));
    assert!(!run(Some(json!(6))).unwrap().has_passed());
    assert!(matches!(run(None), Err(TemplateError::Missing { .. })));
}

#[test]
fn a_check_that_says_nothing_is_refused() {
    for (check, words) in [
        (Check::status(&[]), "a check of status takes at least one status"),
        (Check::body(Test::Above(1.0)), "a check of body takes equals, matches or exists"),
        (Check::size(Test::Exists(true)), "a check of size takes equals, above or below"),
        (Check::time(matches("a")), "a check of time takes equals, above or below"),
        (Check::time(Test::Below(f64::NAN)), "a check compares with a finite number"),
    ] {
        assert_eq!(check.unwrap_err().to_string(), words);
    }
}

#[test]
fn only_checks_of_its_content_need_the_body() {
    assert!(Check::body(matches("a")).unwrap().needs_body());
    assert!(Check::json("$", Test::Exists(true)).unwrap().needs_body());
    assert!(!Check::size(Test::Below(1.0)).unwrap().needs_body());
    let (headers, names, body) = (HeaderMap::new(), Names::new(), Body::uncollected(2_000));
    let answer = Answer { status: 200, headers: &headers, body: &body, service_ns: 0, jar: None };
    let mut draws = Draws::new(DrawKey::new(1, 0), 0, 0, 0);
    let verdict = Check::size(Test::Above(1_999.0)).unwrap().run(&answer, &Scope::new(&names, &[]), &mut draws);
    assert_eq!(verdict, Ok(Verdict::Passed));
}

proptest! {
    #[test]
    fn whatever_is_answered_nothing_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        for check in [
            Check::json("$..*", equals(json!(1))),
            Check::body(matches("(a|b)*c")),
            Check::body(equals(json!("a"))),
            Check::size(Test::Below(100.0)),
        ] {
            run(check, &body);
        }
    }
}
