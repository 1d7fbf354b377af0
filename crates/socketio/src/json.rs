//! JSON of packets: read within a depth.

use serde_json::Value;
use serde_json::error::Category;

use crate::error::ProtocolError;
use crate::limits::{Limit, Limits};

/// Reads one value, and nothing behind it.
pub(crate) fn read(text: &str, what: &'static str, limits: &Limits) -> Result<Value, ProtocolError> {
    if text.is_empty() {
        return Err(ProtocolError::Empty { what });
    }
    let value: Value = serde_json::from_str(text).map_err(|error| refused(text, what, &error, limits))?;
    check_depth(&value, limits)?;
    Ok(value)
}

fn refused(text: &str, what: &'static str, error: &serde_json::Error, limits: &Limits) -> ProtocolError {
    // What is too deep is refused by the reader itself, whose words for it are not to be relied on.
    if let Err(exceeded) = limits.check(Limit::JsonDepth, depth_of_text(text)) {
        return exceeded.into();
    }
    let reason = match error.classify() {
        Category::Eof => "ends too early",
        Category::Syntax | Category::Data | Category::Io => "is broken",
    };
    ProtocolError::Json { what, reason, column: error.column() }
}

/// Refuses what is nested deeper than it may be.
pub(crate) fn check_depth(value: &Value, limits: &Limits) -> Result<(), ProtocolError> {
    if is_within(value, limits.most(Limit::JsonDepth)) { Ok(()) } else { Err(limits.exceeded(Limit::JsonDepth).into()) }
}

/// Refuses values that are nested deeper than they may be in an array or an object.
pub(crate) fn check_depth_inside<'a>(
    mut values: impl Iterator<Item = &'a Value>,
    limits: &Limits,
) -> Result<(), ProtocolError> {
    let is_good = match limits.most(Limit::JsonDepth).checked_sub(1) {
        Some(depth) => values.all(|value| is_within(value, depth)),
        None => false,
    };
    if is_good { Ok(()) } else { Err(limits.exceeded(Limit::JsonDepth).into()) }
}

/// Goes no deeper than `depth`, however deep the value is.
fn is_within(value: &Value, depth: usize) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        Value::Array(values) => depth > 0 && values.iter().all(|value| is_within(value, depth - 1)),
        Value::Object(members) => depth > 0 && members.values().all(|value| is_within(value, depth - 1)),
    }
}

/// How deep the brackets of a text are nested that may be no JSON.
fn depth_of_text(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut is_string = false;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_string = !is_string,
            b'\\' if is_string => drop(bytes.next()),
            b'[' | b'{' if !is_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !is_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::limits::JSON_DEPTH_MAX;

    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn json_may_be_as_deep_as_its_limit_and_no_deeper() {
        let limits = Limits::default();
        assert!(read(&nested(JSON_DEPTH_MAX), "the JSON", &limits).is_ok());
        let error = read(&nested(JSON_DEPTH_MAX + 1), "the JSON", &limits).unwrap_err();
        assert_eq!(error.to_string(), "more than 127 levels that JSON is nested: the limit `json_depth`");
        let flat = Limits { json_depth: 2, ..limits };
        assert!(read(r#"[{"a":"[[[["},[]]"#, "the JSON", &flat).is_ok());
        assert_eq!(read("[[[]]]", "the JSON", &flat).unwrap_err().kind(), ErrorKind::Limit);
        // A limit beyond what can be read is no more than that.
        let deep = Limits { json_depth: usize::MAX, ..limits };
        assert_eq!(read(&nested(JSON_DEPTH_MAX + 1), "the JSON", &deep).unwrap_err().kind(), ErrorKind::Limit);
    }

    #[test]
    fn json_that_cannot_be_read_is_told_by_where_and_never_repeated() {
        let told = |text: &str| read(text, "the JSON of an EVENT packet", &Limits::default()).unwrap_err().to_string();
        assert_eq!(told(r#"["secret""#), "the JSON of an EVENT packet ends too early at column 9");
        assert_eq!(told(r#"["a"]["a"]"#), "the JSON of an EVENT packet is broken at column 6");
        assert_eq!(told(r#"["\ud800"]"#), "the JSON of an EVENT packet is broken at column 9");
    }
}
