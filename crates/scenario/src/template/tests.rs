//! Templates from text to text.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::draw::DrawKey;
use crate::error::MADE_MAX_BYTES;

fn draws() -> Draws {
    Draws::new(DrawKey::new(1, 0), 3, 0, 0)
}

fn filled(text: &str, variables: &[(&str, Value)]) -> Result<Value, TemplateError> {
    let mut names = Names::new();
    let template = Template::parse(text, &mut names)?;
    let mut values = vec![None; names.len()];
    for (name, value) in variables {
        if let Some(slot) = names.get(name) {
            values[usize::from(slot)] = Some(value.clone());
        }
    }
    let scope = Scope::new(&names, &values);
    let value = template.value(&scope, &mut draws())?.into_owned();
    let text = template.text(&scope, &mut draws())?;
    assert_eq!(text, crate::value::text(&value));
    let mut bytes = b"before ".to_vec();
    template.render_into(&scope, &mut draws(), &mut bytes)?;
    assert_eq!(bytes, format!("before {text}").into_bytes());
    Ok(value)
}

#[test]
fn expressions_are_filled_in_and_everything_else_is_kept() {
    let variables = [("x", json!("X")), ("n", json!(2)), ("map", json!({"a": 1})), ("none", json!(null))];
    for (text, expected) in [
        ("", json!("")),
        ("plain { } }} $", json!("plain { } }} $")),
        ("{{ x }}", json!("X")),
        ("{{x}}{{x}}", json!("XX")),
        ("a{{ x }}b{{ n }}c", json!("aXb2c")),
        ("{{ n }}", json!(2)),
        (" {{ n }}", json!(" 2")),
        ("{{ map }}", json!({"a": 1})),
        ("={{ map }}", json!("={\"a\":1}")),
        ("[{{ none }}]", json!("[]")),
        ("{{ '}}' + x }}", json!("}}X")),
        ("{{{{ x }}", json!("{{ x }}")),
        ("{{{{{{ x }}", json!("{{X")),
        ("ü{{ n * 2 }}ü", json!("ü4ü")),
    ] {
        assert_eq!(filled(text, &variables).unwrap(), expected, "{text}");
    }
}

#[test]
fn what_is_filled_in_is_not_read_as_a_template_again() {
    let value = json!("{{ secret }} {{{{");
    assert_eq!(filled("<{{ x }}>", &[("x", value), ("secret", json!("s"))]).unwrap(), json!("<{{ secret }} {{{{>"));
}

#[test]
fn a_mistake_is_told_with_its_column_and_a_missing_variable_by_its_name() {
    for (text, words) in [
        ("ab {{ x", "column 8: the expression has no end: write }}"),
        ("{{ x } }}", "column 6: the expression ends with }}, both of them"),
        ("{{ x }} {{ }}", "column 12: `}}` where a value belongs"),
        ("{{{ x }}}", "column 3: `{` has no place in an expression; for a literal {{ write {{{{"),
        ("a {{ nope }}", "variable `nope` is not there; to do without it write default(…, value)"),
    ] {
        assert_eq!(filled(text, &[("x", json!(1))]).unwrap_err().to_string(), words, "{text}");
    }
}

#[test]
fn a_condition_is_one_expression_alone() {
    let mut names = Names::new();
    for text in ["{{ x }} == 3", "true", "{{ x }}{{ x }}", ""] {
        assert_eq!(Template::parse_condition(text, &mut names), Err(TemplateError::NoCondition), "{text}");
    }
    let condition = Template::parse_condition(" {{ x > 1 }}\n", &mut names).unwrap();
    for (value, expected) in [(json!(2), true), (json!(1), false)] {
        let values = [Some(value)];
        assert_eq!(condition.is_true(&Scope::new(&names, &values), &mut draws()), Ok(expected));
    }
}

#[test]
fn length_and_parts_are_bounded_and_the_limit_is_named() {
    let mut names = Names::new();
    let long = "x".repeat(TEMPLATE_MAX_BYTES + 1);
    assert_eq!(Template::parse(&long, &mut names), Err(TemplateError::TooLong { bytes: long.len() }));
    let many = "{{ x }}".repeat(TEMPLATE_PARTS_MAX + 1);
    assert_eq!(Template::parse(&many, &mut names), Err(TemplateError::TooManyParts));
    let error = filled("{{ x }}{{ x }}", &[("x", json!("y".repeat(MADE_MAX_BYTES / 2 + 1)))]).unwrap_err();
    assert_eq!(error.to_string(), "a template makes more than 1048576 bytes");
    assert!(filled("{{ x }}{{ x }}", &[("x", json!("y".repeat(MADE_MAX_BYTES / 2)))]).is_ok());
}

#[test]
fn a_session_sees_its_own_value_before_the_one_that_all_share() {
    let mut names = Names::new();
    let template = Template::parse("{{ a }}{{ b }}", &mut names).unwrap();
    let shared = [Some(json!("A")), Some(json!("B"))];
    let own = [None, Some(json!("b"))];
    let scope = Scope { shared: &shared, ..Scope::new(&names, &own) };
    assert_eq!(template.text(&scope, &mut draws()).unwrap(), "Ab");
    assert_eq!(template.text(&Scope { shared: &shared, ..Scope::new(&names, &[]) }, &mut draws()).unwrap(), "AB");
}

#[test]
fn constants_are_known_and_random_values_repeat_with_the_same_draws() {
    let mut names = Names::new();
    assert_eq!(Template::parse("a{{{{", &mut names).unwrap().constant(), Some("a{{"));
    assert_eq!(Template::parse("", &mut names).unwrap().constant(), Some(""));
    assert_eq!(Template::parse("{{ 1 }}", &mut names).unwrap().constant(), None);
    let random = "{{ uuid() }} {{ random_int(1, 1000000) }} {{ random_string(9) }}";
    assert_eq!(filled(random, &[]).unwrap(), filled(random, &[]).unwrap());
}

proptest! {
    #[test]
    fn a_text_without_braces_is_its_own_meaning(text in "[^{]{0,60}") {
        prop_assert_eq!(filled(&text, &[]).unwrap(), Value::String(text));
    }

    #[test]
    fn any_text_can_be_written_as_a_template(text in "(\\{|\\}|a|ü| ){0,30}") {
        // A brace that is left over after the pairs begins nothing: `{{{{{` is `{{` and `{`.
        prop_assert_eq!(filled(&text.replace("{{", "{{{{"), &[]).unwrap(), Value::String(text));
    }

    #[test]
    fn texts_come_out_as_they_went_in(first in any::<String>(), second in any::<String>(), between in "[^{]{0,9}") {
        let text = format!("{between}{{{{ a }}}}{between}{{{{ b }}}}");
        let made = filled(&text, &[("a", json!(first)), ("b", json!(second))]);
        prop_assert_eq!(made.unwrap(), json!(format!("{between}{first}{between}{second}")));
    }

    #[test]
    fn whatever_is_written_nothing_panics(text in "(\\{\\{|\\}\\}|\\{|a|1|'|\\.|\\(|\\)| |ü|\\[|\\?|:|\\+){0,40}") {
        drop(filled(&text, &[("a", json!({"a": [1]}))]));
    }
}
