use serde::Deserialize;

use super::*;

/// A map of what people write: texts, numbers, lists and maps.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    number: u16,
    #[serde(default)]
    share: f64,
    #[serde(default)]
    flag: bool,
    #[serde(default)]
    list: Vec<String>,
    #[serde(default)]
    map: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    inner: Vec<Inner>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inner {
    name: String,
}

fn yaml(text: &str) -> Result<Written, ReadError> {
    from_yaml(text)?.read()
}

fn json(text: &str) -> Result<Written, ReadError> {
    from_json(text)?.read()
}

#[test]
fn where_text_is_wanted_a_scalar_keeps_its_own() {
    let own = "list: [1.10, 2024, 0.5, yes, no, 1e3, 0x10, 007, +5, true, .5, 12:30, 1_000, 2024-01-02, .inf, 1.0e-3]";
    let expected: Vec<&str> = own.strip_prefix("list: [").unwrap().trim_end_matches(']').split(", ").collect();
    assert_eq!(yaml(own).unwrap().list, expected);
    let quoted = yaml("map: {a: '1.10', b: \"~\", c: '', d: 1.10, e: \"a\\nb\"}").unwrap().map;
    assert_eq!(quoted.values().collect::<Vec<_>>(), ["1.10", "~", "", "1.10", "a\nb"]);
    assert_eq!(
        json(r#"{"list": [1.10, 2024, 1e3, true, "x", 18446744073709551616]}"#).unwrap().list,
        ["1.10", "2024", "1e3", "true", "x", "18446744073709551616"]
    );
    let pack = rmp_serde::to_vec_named(&serde_json::json!({"list": [1.5, 7, true, "x"]})).unwrap();
    assert_eq!(from_message_pack(&pack).unwrap().read::<Written>().unwrap().list, ["1.5", "7", "true", "x"]);
}

#[test]
fn what_means_nothing_is_no_text() {
    for text in ["list: [~]", "list: [null]", "map: {a: }", "map:\n  a:\n"] {
        let error = yaml(text).unwrap_err().to_string();
        assert!(error.contains("nothing is written") && error.contains("quotes"), "{text}: {error}");
    }
    assert!(json(r#"{"list": [null]}"#).unwrap_err().to_string().contains("nothing is written"));
    assert_eq!(yaml("text: ~").unwrap().text, None);
    assert_eq!(yaml("text: '~'").unwrap().text.as_deref(), Some("~"));
}

#[test]
fn numbers_and_flags_are_what_yaml_1_2_says() {
    let written = yaml("number: 0x10\nshare: 1e-1\nflag: True").unwrap();
    assert_eq!((written.number, written.share, written.flag), (16, 0.1, true));
    assert_eq!(yaml("number: 0o17").unwrap().number, 15);
    for (text, told) in [
        ("flag: yes", "flag: the text `yes` stands where true or false is wanted (line 1, column 7)"),
        (
            "number: '5'",
            "number: the text `5` stands where a whole number from 0 to 65535 is wanted (line 1, column 9)",
        ),
        (
            "number: 70000",
            "number: the number 70000 stands where a whole number from 0 to 65535 is wanted (line 1, column 9)",
        ),
        (
            "number: 1.5",
            "number: the number 1.5 stands where a whole number from 0 to 65535 is wanted (line 1, column 9)",
        ),
        ("map: []", "map: a list stands where a map is wanted (line 1, column 6)"),
        ("list: {}", "list: a map stands where a list is wanted (line 1, column 7)"),
        ("text: [a]", "text: a list stands where a text is wanted (line 1, column 7)"),
    ] {
        assert_eq!(yaml(text).unwrap_err().to_string(), told, "{text}");
    }
}

#[test]
fn a_key_that_is_written_twice_is_refused_in_every_form_with_both_places() {
    let error = yaml("map:\n  a: 1\n  b: 2\n  a: 3\n").unwrap_err().to_string();
    assert_eq!(error, "map.a: written twice, first at line 2, column 3 (line 4, column 3)");
    let error = json("{\"map\": {\"a\": \"1\",\n \"a\": \"1\"}}").unwrap_err().to_string();
    assert_eq!(error, "map.a: written twice, first at line 1, column 10 (line 2, column 2)");
    assert!(json(r#"{"number": 1, "number": 2}"#).is_err());
    // Two keys that look different and are the same.
    assert!(json(r#"{"map": {"a": "1", "\u0061": "2"}}"#).is_err());
    let twice = [0x82, 0xa1, b'a', 1, 0xa1, b'a', 2];
    assert!(from_message_pack(&twice).unwrap_err().to_string().contains("written twice"));
}

#[test]
fn an_error_names_field_line_and_column_in_yaml_and_in_json() {
    for (written, told) in [
        (
            yaml("inner:\n  - name: a\n  - nmae: b\n"),
            "inner[1].nmae: unknown field `nmae`; did you mean `name`? (line 3, column 5)",
        ),
        (
            json("{\"inner\": [\n  {\"name\": \"ü\"}, {\"nmae\": 1}]}"),
            "inner[1].nmae: unknown field `nmae`; did you mean `name`? (line 2, column 19)",
        ),
        (yaml("inner: [{}]"), "inner[0]: missing field `name` (line 1, column 9)"),
        (yaml("a: b: c"), ".: mapping values are not allowed in this context (line 1, column 5)"),
        (json("{\"a\": ,\n}"), ".: expected value (line 1, column 7)"),
        (yaml("text: a\n---\ntext: b\n"), ".: a second document begins: give one a file (line 2, column 1)"),
        (yaml("text: !secret a"), "text: a tag that is not known here (line 1, column 15)"),
    ] {
        assert_eq!(written.unwrap_err().to_string(), told);
    }
}

#[test]
fn anchors_aliases_and_merge_keys_work() {
    let written = yaml("map: &m {a: x, b: y}\nlist: [&t one, *t]\n").unwrap();
    assert_eq!(written.list, ["one", "one"]);
    let tree = from_yaml("base: &b {a: 1, b: 2}\nover: {<<: *b, b: 3}\nboth: {<<: [*b, {c: 4, a: 5}]}").unwrap();
    let texts = |key: &str| -> Vec<(String, String)> {
        let Some(Node { content: Content::Map(entries), .. }) = tree.get(key) else { panic!("{tree:?}") };
        entries.iter().map(|entry| (entry.key.clone(), entry.value.text().unwrap().to_owned())).collect()
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    assert_eq!(texts("over"), pairs(&[("b", "3"), ("a", "1")]));
    assert_eq!(texts("both"), pairs(&[("a", "1"), ("b", "2"), ("c", "4")]));
    assert!(from_yaml("a: &a [*a]").is_err(), "what repeats itself is refused");
}

#[test]
fn the_place_of_a_field_is_found_or_that_of_what_holds_it() {
    let tree = from_yaml("services:\n  a.b: [x]\ngroups:\n  - name: g\n    headers:\n      X-A: 1\n").unwrap();
    let at = |field: &str| tree.position_of(field).map(|at| (at.line, at.column));
    assert_eq!(at("groups[0].headers.X-A"), Some((6, 7)));
    assert_eq!(at("groups[0].rate"), Some((4, 5)));
    assert_eq!(at("services.a.b[0]"), Some((2, 9)));
    assert_eq!(at("gates[3]"), Some((1, 1)));
}
