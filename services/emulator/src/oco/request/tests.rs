use proptest::prelude::*;

use super::*;

fn json(body: &str) -> Result<Heard, RequestError> {
    read(body.as_bytes(), Form::Json)
}

fn progress(value: &str) -> Option<i64> {
    json(&format!(r#"{{"event":"MEASUREMENT","param":{{"progress":{value}}}}}"#)).unwrap().input.progress
}

#[test]
fn progress_is_what_the_original_takes_for_an_integer() {
    for (value, expected) in [
        ("10", 10),
        ("-3", -3),
        ("12.9", 12),
        ("-0.5", 0),
        ("true", 1),
        ("false", 0),
        ("\"12\"", 12),
        ("\" +7 \"", 7),
        ("\"-7\"", -7),
        ("\"1_0\"", 10),
        ("\"１２\"", 12),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775808", i64::MIN),
    ] {
        assert_eq!(progress(value), Some(expected), "{value}");
    }
    // Not told as another number.
    for value in [
        "1e30",
        "-1e30",
        "99999999999999999999999999",
        "18446744073709551615",
        "\"99999999999999999999\"",
        "\"-99999999999999999999\"",
    ] {
        let refused = json(&format!(r#"{{"event":"MEASUREMENT","param":{{"progress":{value}}}}}"#)).unwrap_err();
        assert_eq!(refused, RequestError::TooLarge { field: "param.progress" }, "{value}");
    }
    for value in
        ["NaN", "Infinity", "-Infinity", "1e400", "null", "\"12.5\"", "\"\"", "\"x\"", "[1]", "{\"a\":1}", "\"1 2\""]
    {
        assert_eq!(progress(value), None, "{value}");
    }
    assert_eq!(json(r#"{"event":"MEASUREMENT","param":{}}"#).unwrap().input.progress, None);
    let packed = |value: f64| {
        nuncius_schemas::codec::encode(&(Packed { event: "MEASUREMENT", param: [("progress", value)].into() })).unwrap()
    };
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(read(&packed(value), Form::MessagePack).unwrap().input.progress, None);
    }
    assert_eq!(read(&packed(9.5), Form::MessagePack).unwrap().input.progress, Some(9));
}

#[derive(serde::Serialize)]
struct Packed {
    event: &'static str,
    param: std::collections::BTreeMap<&'static str, f64>,
}

#[test]
fn an_event_is_read_with_what_the_machine_looks_at() {
    let body = r#" {"servo_uid":"s","event":"MEASUREMENT","more":[{}],"param":{"a":{"progress":1},"cmd_uid":"cmd-7"}}"#;
    let input = json(body).unwrap().input;
    let servo = Some(fnv(b"s"));
    assert_eq!(input, Input { event: Event::Measurement, progress: None, servo, command: Some(7) });
    for body in [r#"{"event":"HELLO"}"#, r#"{"event":"HELLO","param":null}"#, "\n{\"\\u0065vent\":\"HELL\\u004f\"}"] {
        assert_eq!(json(body).unwrap().input.event, Event::Hello, "{body}");
    }
    assert_eq!(json(r#"{"event":"A","event":"HELLO"}"#).unwrap().input.event, Event::Hello);
    let unknown = json(&format!(r#"{{"event":"{}"}}"#, "é".repeat(500))).unwrap();
    assert_eq!((unknown.input.event, unknown.name().chars().count()), (Event::Unknown, ECHO_CHARACTERS));
    assert_eq!(json(r#"{"event":"hello"}"#).unwrap().name(), "hello");
    let foreign = json(r#"{"event":"MEASUREMENT","param":{"cmd_uid":"x"}}"#).unwrap();
    assert_eq!(foreign.input.command, Some(0));
}

#[test]
fn what_is_no_event_is_refused_with_its_place() {
    for (body, field, kind) in [
        ("", "", "value_error.missing"),
        (" ", "", "value_error.missing"),
        ("{", "", "value_error.jsondecode"),
        ("{}x", "", "value_error.jsondecode"),
        ("event=HELLO", "", "value_error.jsondecode"),
        ("[]", "", "type_error.dict"),
        ("null", "", "type_error.dict"),
        ("1", "", "type_error.dict"),
        ("{}", "event", "value_error.missing"),
        (r#"{"event":null}"#, "event", "value_error.missing"),
        (r#"{"event":7}"#, "event", "type_error.str"),
        (r#"{"event":["HELLO"]}"#, "event", "type_error.str"),
        (r#"{"event":"HELLO","param":[]}"#, "param", "type_error.dict"),
        (r#"{"event":"HELLO","param":"x"}"#, "param", "type_error.dict"),
        (r#"{"event":"HELLO","param":1.5}"#, "param", "type_error.dict"),
    ] {
        let error = json(body).unwrap_err();
        assert_eq!((error.field(), error.kind()), (field, kind), "{body}: {error}");
    }
    let not_text = b"{\"event\":\"HELLO\",\"param\":{\"a\":\"\xff\"}}";
    assert!(matches!(read(not_text, Form::Json), Err(RequestError::Unreadable { .. })));
}

#[test]
fn deep_nesting_is_refused_and_brackets_in_texts_are_none() {
    let nested =
        |levels: usize| format!(r#"{{"event":"HELLO","param":{{"a":{}{}}}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert!(json(&nested(NESTING_MAX - 2)).is_ok());
    for levels in [NESTING_MAX - 1, 100_000] {
        assert_eq!(json(&nested(levels)), Err(RequestError::Nesting), "{levels}");
    }
    let text = format!(r#"{{"event":"HELLO","param":{{"a":"\"{}"}}}}"#, "[{".repeat(1000));
    assert!(json(&text).is_ok());
    let packed = [vec![0x82, 0xa5], b"event\xa5HELLO\xa1a".to_vec(), vec![0x91; 100_000], vec![0xc0]].concat();
    assert_eq!(read(&packed, Form::MessagePack), Err(RequestError::Nesting));
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(
        body in prop::collection::vec(any::<u8>(), 0..200),
        text in "[\\[\\]{}\":,a-e0-9.\\\\-]{0,300}",
    ) {
        for body in [body.as_slice(), text.as_bytes()] {
            let _ = read(body, Form::Json);
            let _ = read(body, Form::MessagePack);
        }
    }
}
