use std::collections::BTreeMap;

use nuncius_scenario::{DrawKey, Draws, Names, Scope, Template};
use proptest::prelude::*;
use serde_json::json;

use super::condition::condition;
use super::evaluate::{Value, evaluate, is_true};
use super::javascript::javascript;
use super::*;

fn variables() -> BTreeMap<&'static str, Value> {
    BTreeMap::from([
        ("a", Value::Number(1.0)),
        ("n", Value::Number(20.0)),
        ("zero", Value::Number(0.0)),
        ("text", Value::Text("abc".to_owned())),
        ("digits", Value::Text("15".to_owned())),
        ("http.p95", Value::Number(120.5)),
    ])
}

fn symbol(name: &str) -> Value {
    variables().remove(name).unwrap_or(Value::Undefined)
}

fn worked_out(text: &str) -> Value {
    evaluate(&parse(text, &[]).unwrap_or_else(|e| panic!("{text}: {e}")), &symbol).unwrap()
}

#[test]
fn expressions_are_worked_out_as_filtrex_does() {
    for (text, expected) in [
        ("1 + 2 * 3", 7.0),
        ("(1 + 2) * 3", 9.0),
        ("2 ^ 3 ^ 2", 64.0),
        ("-2 ^ 2", 4.0),
        ("10 - 2 - 3", 5.0),
        ("7 % 4", 3.0),
        ("n > 10 and a == 1", 1.0),
        ("n > 10 or missing", 1.0),
        ("not a == 0", 1.0),
        ("not (a == 0)", 1.0),
        ("a in (1, 2, 3)", 1.0),
        ("a not in (1, 2)", 0.0),
        ("text == \"abc\"", 1.0),
        ("text ~= \"^a.c$\"", 1.0),
        ("digits > 9", 1.0),
        ("missing > 1", 0.0),
        ("missing < 1", 0.0),
        ("missing != 1", 1.0),
        ("a ? 5 : 6", 5.0),
        // From the left: (zero ? 1 : a) ? 2 : 3.
        ("zero ? 1 : a ? 2 : 3", 2.0),
        ("http.p95 < 200", 1.0),
        ("'http.p95' < 200", 1.0),
        ("max(1, n, 3)", 20.0),
        ("round(2.5)", 3.0),
        ("abs(-3) + floor(2.9)", 5.0),
        ("a and(n > 1)", 1.0),
    ] {
        assert_eq!(worked_out(text), Value::Number(expected), "{text}");
    }
    assert_eq!(worked_out("text + 1"), Value::Text("abc1".to_owned()));
    assert!(matches!(worked_out("zero / zero"), Value::Number(number) if number.is_nan()));
}

#[test]
fn what_is_no_expression_is_told_with_its_column() {
    for (text, told) in [
        ("a = 1", "column 3: `=` is no operator"),
        ("a && b", "column 3: `&` is no operator: write `and`"),
        ("a || b", "write `or`"),
        ("!a", "write `not`"),
        ("a ==", "it ends where a value belongs"),
        ("a b", "column 3: `b` where an operator belongs"),
        ("\"abc", "without its end"),
        ("(a", "where `)` belongs"),
        ("1x", "no number"),
        (".5", "has no place here"),
        ("", "it ends where a value belongs"),
        ("a ? 1", "where `:` belongs"),
    ] {
        let error = parse(text, &[]).unwrap_err();
        assert!(error.contains(told), "{text}: {error}");
    }
    for deep in ["(".repeat(5_000), "not ".repeat(1_500), format!("1{}", " + 1".repeat(1_000))] {
        assert!(parse(&deep, &[]).is_err());
    }
    assert!(evaluate(&parse("nope(1)", &[]).unwrap(), &symbol).is_err());
}

#[test]
fn given_symbols_may_have_any_characters_and_the_longest_counts() {
    let symbols = ["plugins.x./a/b.codes.200", "vusers.created", "vusers.created_by_name.A - b"];
    let parsed = parse("plugins.x./a/b.codes.200 > 1 and vusers.created_by_name.A - b < 5", &symbols).unwrap();
    let text = format!("{parsed:?}");
    assert!(text.contains("Symbol(\"plugins.x./a/b.codes.200\")"), "{text}");
    assert!(text.contains("Symbol(\"vusers.created_by_name.A - b\")"), "{text}");
}

/// What a condition of Nuncius says, with the variables above.
fn holds(condition: &str) -> bool {
    let mut names = Names::new();
    let text = nuncius_schemas::variable::expand(&format!("{{{{ {condition} }}}}"), &mut |_| None).unwrap();
    let template = Template::parse_condition(&text, &mut names).unwrap_or_else(|e| panic!("{condition}: {e}"));
    let values: Vec<Option<serde_json::Value>> = names
        .iter()
        .map(|name| match symbol(name) {
            Value::Number(number) => Some(json!(number)),
            Value::Text(text) => Some(json!(text)),
            Value::Undefined | Value::List(_) => None,
        })
        .collect();
    let scope = Scope::new(&names, &values);
    template
        .is_true(&scope, &mut Draws::new(DrawKey::new(1, 0), 0, 0, 0))
        .unwrap_or_else(|e| panic!("{condition}: {e}"))
}

fn as_condition(text: &str) -> Option<String> {
    let sure = ["a", "n", "zero", "text", "digits"];
    condition(&parse(text, &[]).unwrap(), &mut |name| Some((name.to_owned(), sure.contains(&name))))
}

#[test]
fn conditions_say_what_the_expressions_say() {
    for text in [
        "a == 1",
        "n > 10 and a == 1",
        "n > 10 or missing",
        "not missing",
        "missing",
        "missing > 1",
        "missing == 1 or a == 1",
        "missing != 1",
        "a in (1, 2)",
        "a not in (1, 2)",
        "missing in (1, 2)",
        "text == \"abc\"",
        "text == \"it's $5 {{ x }} ${Y}\"",
        "digits > 9",
        "n % 7 == 6",
        "(n > 1) == 1",
        "a + n * 2 == 41",
        "a ? n : zero",
        "-n < 0",
    ] {
        let condition = as_condition(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(holds(&condition), is_true(&worked_out(text)), "{text}: {condition}");
    }
    // What only JavaScript can say.
    for text in ["text ~= \"b\"", "n / 3 > 1", "n ^ 2 > 1", "max(a, n) > 1", "x of y", "a in text", "missing + 1"] {
        assert_eq!(as_condition(text), None, "{text}");
    }
}

#[test]
fn javascript_is_what_filtrex_itself_makes_of_an_expression() {
    let script = javascript(&parse("a ~= \"x\" and not b in (1, \"2\") or max(c.d, -1) >= 2 ^ 3", &[]).unwrap());
    assert_eq!(
        script,
        "Number(Number(Number(RegExp(\"x\").test(v(\"a\"))) && Number(F.in(Number(!v(\"b\")), [(1), \"2\"]))) || \
         Number(F.call(\"max\", [v(\"c.d\"), (-(1))]) >= Math.pow((2), (3))))"
    );
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof!["[0-9]{1,2}", Just("a".to_owned()), Just("n".to_owned()), Just("zero".to_owned())];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let sign = prop::sample::select(vec!["+", "-", "*", "==", "!=", "<", "<=", ">", ">=", "and", "or"]);
        prop_oneof![
            (inner.clone(), sign, inner.clone()).prop_map(|(a, sign, b)| format!("({a} {sign} {b})")),
            inner.clone().prop_map(|a| format!("not {a}")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
}

proptest! {
    #[test]
    fn every_expression_of_numbers_says_the_same_as_its_condition(text in expression()) {
        if let Some(condition) = as_condition(&text) {
            prop_assert_eq!(holds(&condition), is_true(&worked_out(&text)), "{}: {}", text, condition);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(a|1|\"|'|\\(|\\)|and |not |in |of |<|=|\\?|:|,|\\.|-|ü| ){0,30}") {
        if let Ok(expression) = parse(&text, &["a.1"]) {
            let _ = evaluate(&expression, &symbol);
            drop(javascript(&expression));
            drop(condition(&expression, &mut |name| Some((name.to_owned(), false))));
        }
    }
}
