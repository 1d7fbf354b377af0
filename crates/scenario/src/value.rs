//! Values of scenarios, which are JSON values: as text, as truth, compared, measured.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write;

use serde_json::Value;

use crate::error::TemplateError;
use crate::output::{Formatter, Output};

pub mod number;

use number::Numeric;

/// Adds the text form of a value: a string as it is, null as nothing, everything else as JSON.
///
/// # Errors
/// More than `limit` bytes were there afterwards; some of them may have been written.
pub(crate) fn write_text(value: &Value, out: &mut impl Output, limit: usize) -> Result<(), TemplateError> {
    match value {
        Value::Null => {}
        Value::Bool(true) => out.push("true"),
        Value::Bool(false) => out.push("false"),
        // Writing to an output does not fail.
        Value::Number(number) => _ = write!(Formatter(out), "{number}"),
        Value::String(text) => {
            if text.len() > limit.saturating_sub(out.length()) {
                return Err(TemplateError::MadeTooLong { limit });
            }
            out.push(text);
        }
        Value::Array(_) | Value::Object(_) => out.push(&value.to_string()),
    }
    if out.length() > limit { Err(TemplateError::MadeTooLong { limit }) } else { Ok(()) }
}

/// The text form of a value: a string as it is, null as nothing, everything else as JSON.
pub fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::String(text) => Cow::Borrowed(text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Cow::Owned(value.to_string()),
    }
}

/// What a condition makes of a value: null, false, 0 and the empty text are false, everything else is true, as in
/// JavaScript; so the text "false" is true.
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// Whether two values are the same JSON: numbers by what they are worth (1 and 1.0), nothing across types.
pub fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            number::compare(Numeric::of(left), Numeric::of(right)) == Ordering::Equal
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, left)| right.get(key).is_some_and(|right| is_same(left, right)))
        }
        _ => left == right,
    }
}

/// `==` of expressions: as [`is_same`], but a text that is a number equals that number, since rows of CSV, headers and
/// what a regular expression finds are texts.
pub fn is_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::String(text), Value::Number(number)) | (Value::Number(number), Value::String(text)) => {
            number::parse(text).is_some_and(|text| number::compare(text, Numeric::of(number)) == Ordering::Equal)
        }
        _ => is_same(left, right),
    }
}

/// `<` and its like: two texts by their characters, otherwise numbers and texts that are numbers; `None` for all else.
pub fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    if let (Value::String(left), Value::String(right)) = (left, right) {
        return Some(left.cmp(right));
    }
    Some(number::compare(numeric(left)?, numeric(right)?))
}

/// The number that a value is, or that its text is; `None` for all else.
pub fn numeric(value: &Value) -> Option<Numeric> {
    match value {
        Value::Number(number) => Some(Numeric::of(number)),
        Value::String(text) => number::parse(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What a value is, in words.
pub const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// About as many bytes as a value has as JSON, escapes left out; `None` beyond `limit`.
///
/// It does not recurse deeper than the value does, which reading JSON bounds at 128.
pub fn size_bytes(value: &Value, limit: usize) -> Option<usize> {
    let mut left = limit;
    take_size(value, &mut left).then(|| limit - left)
}

fn take_size(value: &Value, left: &mut usize) -> bool {
    let own = match value {
        Value::Null | Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.len() + 1,
        Value::Object(members) => members.keys().map(|key| key.len() + 4).sum::<usize>() + 1,
    };
    let Some(rest) = left.checked_sub(own) else { return false };
    *left = rest;
    match value {
        Value::Array(items) => items.iter().all(|item| take_size(item, left)),
        Value::Object(members) => members.values().all(|member| take_size(member, left)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_text_of_a_value_is_what_people_would_write() {
        for (value, expected) in [
            (json!(null), ""),
            (json!(true), "true"),
            (json!(1), "1"),
            (json!(1.5), "1.5"),
            (json!("a\"b"), "a\"b"),
            (json!([1, "a"]), "[1,\"a\"]"),
            (json!({"a": null}), "{\"a\":null}"),
        ] {
            assert_eq!(text(&value), expected);
            let mut out = String::from("x");
            write_text(&value, &mut out, 100).unwrap();
            assert_eq!(out, format!("x{expected}"));
        }
    }

    #[test]
    fn a_text_that_is_longer_than_the_limit_is_refused() {
        let mut out = String::from("123");
        assert_eq!(write_text(&json!("ab"), &mut out, 5), Ok(()));
        assert_eq!(write_text(&json!("c"), &mut out, 5), Err(TemplateError::MadeTooLong { limit: 5 }));
        assert_eq!(write_text(&json!(12), &mut String::from("1234"), 5), Err(TemplateError::MadeTooLong { limit: 5 }));
    }

    #[test]
    fn nothing_zero_and_empty_are_false() {
        for (value, expected) in [
            (json!(null), false),
            (json!(0), false),
            (json!(-0.0), false),
            (json!(""), false),
            (json!(false), false),
            (json!("false"), true),
            (json!(0.1), true),
            (json!([]), true),
            (json!({}), true),
        ] {
            assert_eq!(is_true(&value), expected, "{value}");
        }
    }

    #[test]
    fn numbers_are_equal_by_their_worth_and_texts_to_numbers_only_in_expressions() {
        for (left, right, same, equal) in [
            (json!(1), json!(1.0), true, true),
            (json!([1, {"a": 2}]), json!([1.0, {"a": 2.0}]), true, true),
            (json!([1]), json!([1, 2]), false, false),
            (json!({"a": 1}), json!({"b": 1}), false, false),
            (json!("200"), json!(200), false, true),
            (json!("2e2"), json!(200), false, true),
            (json!("200 "), json!(200), false, false),
            (json!(true), json!(1), false, false),
            (json!(null), json!(0), false, false),
            (json!(u64::MAX), json!(u64::MAX - 1), false, false),
        ] {
            assert_eq!((is_same(&left, &right), is_equal(&left, &right)), (same, equal), "{left} {right}");
            assert_eq!((is_same(&right, &left), is_equal(&right, &left)), (same, equal), "{right} {left}");
        }
    }

    #[test]
    fn only_what_has_an_order_is_compared() {
        assert_eq!(compare(&json!("10"), &json!("9")), Some(Ordering::Less), "texts by their characters");
        assert_eq!(compare(&json!("10"), &json!(9)), Some(Ordering::Greater));
        assert_eq!(compare(&json!(9.5), &json!(10)), Some(Ordering::Less));
        for (left, right) in [(json!("a"), json!(1)), (json!(null), json!(1)), (json!([1]), json!([2]))] {
            assert_eq!(compare(&left, &right), None);
        }
    }

    #[test]
    fn a_size_is_about_the_length_as_json_and_bounded() {
        for value in [json!(null), json!([1, 2, [3]]), json!({"a": {"b": "text"}}), json!("x".repeat(100))] {
            let size = size_bytes(&value, 10_000).unwrap();
            let length = value.to_string().len();
            assert!(size >= length / 2 && size <= length * 4 + 8, "{value} {size}");
            assert_eq!(size_bytes(&value, size), Some(size));
            assert_eq!(size_bytes(&value, size - 1), None);
        }
    }

    proptest! {
        #[test]
        fn every_value_equals_itself_and_has_the_text_that_is_written(word in any::<String>(), number in any::<f64>()) {
            let value = json!([word, number, {word.clone(): [number, null]}]);
            prop_assert!(is_same(&value, &value) && is_equal(&value, &value));
            let mut out = Vec::new();
            write_text(&value, &mut out, usize::MAX).unwrap();
            prop_assert_eq!(String::from_utf8(out).unwrap(), text(&value).into_owned());
        }
    }
}
