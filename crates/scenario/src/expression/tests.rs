//! Expressions from text to value.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::evaluate::evaluate;
use super::parser::parse;
use crate::draw::{DrawKey, Draws};
use crate::error::{EXPRESSION_DEPTH_MAX, EXPRESSION_NODES_MAX, TemplateError};
use crate::names::Names;
use crate::scope::Scope;

fn variables() -> [(&'static str, Value); 7] {
    [
        ("n", json!(5)),
        ("text", json!("abc")),
        ("row", json!({"email": "a@b", "age": "30", "first name": "Ada", "tags": ["x", "y"], "none": null})),
        ("items", json!([10, {"id": 20}, null])),
        ("empty", json!(null)),
        ("large", json!(u64::MAX)),
        ("status", json!(200)),
    ]
}

fn evaluated(text: &str) -> Result<Value, TemplateError> {
    let mut names = Names::new();
    let mut values = Vec::new();
    for (name, value) in variables() {
        names.slot(name)?;
        values.push(Some(value));
    }
    let source = format!("{text}}}}}");
    let (node, end) = parse(&source, 0, &mut names)?;
    assert!(end == source.len() || text.contains('}'), "{text}");
    let scope = Scope { made_max_bytes: 1_000, ..Scope::new(&names, &values) };
    evaluate(&node, &scope, &mut Draws::new(DrawKey::new(1, 0), 0, 0, 0)).map(std::borrow::Cow::into_owned)
}

#[test]
fn operators_bind_as_in_other_languages() {
    for (text, expected) in [
        ("1 + 2 * 3", json!(7)),
        ("(1 + 2) * 3", json!(9)),
        ("10 - 2 - 3", json!(5)),
        ("24 / 2 / 3", json!(4)),
        ("7 % 4 * 2", json!(6)),
        ("-n + 1", json!(-4)),
        ("- -n", json!(5)),
        ("!n", json!(false)),
        ("!!text", json!(true)),
        ("-2 * -3", json!(6)),
        ("1 < 2 == true", json!(true)),
        ("1 + 1 == 2 && 3 > 2 || false", json!(true)),
        ("true || false && false", json!(true)),
        ("n > 3 ? 'many' : 'few'", json!("many")),
        ("n > 9 ? 1 : n > 3 ? 2 : 3", json!(2)),
        ("false ? 1 : true ? 2 : 3", json!(2)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("18446744073709551615", json!(u64::MAX)),
        ("1.5e1", json!(15)),
        ("row.age + 1", json!("301")),
        ("row.age * 2", json!(60)),
        ("number(row.age) + 1", json!(31)),
        ("'a' + 1 + null + true", json!("a1true")),
        ("1 + 2 + 'a'", json!("3a")),
        ("'tab\\t\\'q\\' \\u00e4' + \"d'q\"", json!("tab\t'q' äd'q")),
        ("status == 200 && status != 404", json!(true)),
        ("'200' == status", json!(true)),
        ("'abc' < 'abd'", json!(true)),
        ("large == 18446744073709551615", json!(true)),
        ("large > 18446744073709551614", json!(true)),
    ] {
        assert_eq!(evaluated(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn members_and_indexes_reach_into_values() {
    for (text, expected) in [
        ("row.email", json!("a@b")),
        ("row['first name']", json!("Ada")),
        ("row.tags[1]", json!("y")),
        ("items[1].id", json!(20)),
        ("items[n - 5]", json!(10)),
        ("row['e' + 'mail']", json!("a@b")),
        ("(n > 1 ? row : items).email", json!("a@b")),
        ("len(items) + len(text)", json!(6)),
        ("row.none", json!(null)),
    ] {
        assert_eq!(evaluated(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn no_more_is_evaluated_than_is_needed() {
    for (text, expected) in [
        ("true || nope", json!(true)),
        ("false && nope", json!(false)),
        ("true ? 1 : nope", json!(1)),
        ("false ? nope : 2", json!(2)),
        ("empty || 'other'", json!("other")),
        ("text || 'other'", json!("abc")),
        ("default(nope, 1)", json!(1)),
        ("default(row.nope.deeper, 1)", json!(1)),
        ("default(items[9], 1)", json!(1)),
        ("default(empty, 1)", json!(1)),
        ("default(env('HOME'), 'none')", json!("none")),
        ("default(n, 1 / 0)", json!(5)),
    ] {
        assert_eq!(evaluated(text).unwrap(), expected, "{text}");
    }
    assert_eq!(evaluated("default(1 / 0, 1)"), Err(TemplateError::DivisionByZero { operator: "/" }));
}

#[test]
fn what_is_not_there_is_named() {
    for (text, words) in [
        ("nope", "variable `nope` is not there"),
        ("row.nope", "member `nope` is not there"),
        ("empty.x", "member `x` of null is not there"),
        ("items[3]", "index 3 is not there"),
        ("items[-1]", "index -1 is not there"),
    ] {
        let error = evaluated(text).unwrap_err().to_string();
        assert!(error.starts_with(words) && error.contains("default("), "{error}");
    }
}

#[test]
fn what_an_operator_does_not_take_is_named() {
    for (text, words) in [
        ("text.x", "a text has no members, so no `x`"),
        ("items['0']", "a list has no members, so no `0`"),
        ("n[0]", "a number is no list, so it has no index"),
        ("items[0.5]", "an index is a whole number or a text, not a number"),
        ("text - 1", "`-` takes numbers, not a text"),
        ("true + 1", "`+` takes numbers, not true or false"),
        ("-text", "`-` takes numbers, not a text"),
        ("text < 1", "`<` compares two numbers or two texts, not a text and a number"),
        ("1 / 0", "`/` by zero"),
        ("1 % (n - 5)", "`%` by zero"),
        ("large + 1", "the result of + is beyond what a number can hold"),
        ("1e300 * 1e300", "the result of * is beyond what a number can hold"),
        ("random_string(2000)", "a template makes more than 1000 bytes"),
        ("random_string(600) + random_string(600)", "a template makes more than 1000 bytes"),
    ] {
        assert_eq!(evaluated(text).unwrap_err().to_string(), words, "{text}");
    }
}

#[test]
fn what_is_badly_written_is_told_with_its_column() {
    for (text, column, words) in [
        ("", 1, "`}}` where a value belongs"),
        ("1 +", 4, "`}}` where a value belongs"),
        ("ü + ", 5, "`}}` where a value belongs"),
        ("n = 1", 3, "to compare write =="),
        ("n & 1", 3, "write &&"),
        ("n | upper", 3, "upper(x)"),
        ("(1", 3, "`}}` where `)` belongs"),
        ("n 1", 3, "`1` where an operator or }} belongs"),
        ("row.1", 5, "the name of a member"),
        ("items[1", 8, "`}}` where `]` belongs"),
        ("'abc", 1, "the text has no end"),
        ("'a\\q'", 3, "an escape is one of"),
        ("'\\ud800'", 2, "four hexadecimal digits"),
        ("$n", 1, "`$` has no place"),
        ("{n}", 1, "`{` has no place"),
        ("n } }", 3, "both of them"),
        ("uid()", 1, "`uid` is not a function"),
        ("1 + len()", 5, "len() takes one argument, not 0"),
        ("random_int(1)", 1, "random_int() takes 2 arguments, not 1"),
        ("now(1, 2)", 1, "now() takes 0 to 1 arguments, not 2"),
        ("uuid(1)", 1, "uuid() takes no arguments, not 1"),
        ("len(1 2)", 7, "`2` where `,` or `)` belongs"),
        ("01", 1, "not a number that JSON can hold"),
        ("99999999999999999999", 1, "not a number that JSON can hold"),
        ("1e999", 1, "not a number that JSON can hold"),
        ("1a", 1, "is not a number"),
        ("1 ? 2", 6, "`}}` where `:` belongs"),
    ] {
        match evaluated(text) {
            Err(TemplateError::Syntax { column: found, reason }) => {
                assert!(found == column && reason.contains(words), "{text}: column {found}: {reason}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn depth_and_size_are_bounded_wherever_they_grow() {
    let many = EXPRESSION_DEPTH_MAX + 1;
    let deep = [
        format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("{}1", "!".repeat(many)),
        format!("{}1", "- ".repeat(100_000)),
        format!("{}1", "1 + ".repeat(many)),
        format!("row{}", ".a".repeat(many)),
        format!("items{}", "[0]".repeat(many)),
        format!("{}1{}", "len(".repeat(many), ")".repeat(many)),
        format!("{}1", "1 ? 2 : ".repeat(many)),
        format!("{}1", "1 ? ".repeat(100_000)),
        format!("{}1{}", "items[".repeat(100_000), "]".repeat(100_000)),
    ];
    for text in deep {
        let error = evaluated(&text).unwrap_err().to_string();
        assert!(error.contains("at most 64 deep"), "{error}");
    }
    // A bush: wide, not deep.
    let mut bush = "1".to_owned();
    while bush.len() < EXPRESSION_NODES_MAX * 4 {
        bush = format!("({bush} + {bush})");
    }
    let error = evaluated(&bush).unwrap_err().to_string();
    assert!(error.contains("at most 1024 values and operators"), "{error}");
    let wide = format!("{}1{}", "(".repeat(EXPRESSION_DEPTH_MAX - 1), ")".repeat(EXPRESSION_DEPTH_MAX - 1));
    assert_eq!(evaluated(&wide).unwrap(), json!(1));
    assert_eq!(evaluated(&format!("{}1", "1 + ".repeat(EXPRESSION_DEPTH_MAX - 1))).unwrap(), json!(64));
}

/// Expressions that are well written.
fn written() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (0u32..1_000).prop_map(|number| number.to_string()),
        "[a-z]{1,3}".prop_map(|text| format!("'{text}'")),
        Just("n".to_owned()),
        Just("row.age".to_owned()),
        Just("items[1].id".to_owned()),
        Just("nope".to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned()),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let sign =
            proptest::sample::select(vec!["+", "-", "*", "/", "%", "<", "<=", ">", ">=", "==", "!=", "&&", "||"]);
        prop_oneof![
            (inner.clone(), sign, inner.clone()).prop_map(|(left, sign, right)| format!("{left} {sign} {right}")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            inner.clone().prop_map(|of| format!("!({of})")),
            inner.clone().prop_map(|of| format!("-({of})")),
            inner.clone().prop_map(|of| format!("len({of})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("default({a}, {b})")),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_well_written_is_read_and_evaluating_it_ends(text in written()) {
        if let Err(TemplateError::Syntax { reason, .. }) = evaluated(&text) {
            prop_assert!(reason.contains("at most"), "{}", reason);
        }
    }

    #[test]
    fn whatever_is_written_nothing_panics(
        text in "(n|row|items|'|\"|\\\\|\\.|\\(|\\)|\\[|\\]|[0-9]|e|\\?|:|[!=<>&|+*/%-]|,|len|default| |ü|\\}){0,40}"
    ) {
        drop(evaluated(&text));
    }

    #[test]
    fn whole_numbers_compute_as_they_do_elsewhere(a in any::<i32>(), b in any::<i32>(), c in any::<i32>()) {
        let [x, y, z] = [i64::from(a), i64::from(b), i64::from(c)];
        prop_assert_eq!(evaluated(&format!("{a} + {b} - {c}")).unwrap(), json!(x + y - z));
        prop_assert_eq!(evaluated(&format!("({a}) * ({b})")).unwrap(), json!(x * y));
        prop_assert_eq!(evaluated(&format!("{a} < {b} == ({b} > {a})")).unwrap(), json!(true));
        if z != 0 {
            prop_assert_eq!(evaluated(&format!("{a} % {c}")).unwrap(), json!(x % z));
        }
    }
}
