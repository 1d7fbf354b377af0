//! Variables in what people write: one syntax, read here and nowhere else.
//!
//! `${NAME}` is the value of a variable of the environment of the node that uses the text; `${NAME:-default}` is the
//! default where the variable is empty or not there, and a default may hold variables itself; `$$` is a dollar. A
//! dollar before anything else stands for itself. Whatever else begins with `${` is refused, so that no misspelt
//! variable is ever sent to a target as it stands.

/// Longest name of a variable, in bytes.
pub const VARIABLE_NAME_MAX_BYTES: usize = 256;
/// Deepest nesting of defaults in defaults.
pub const VARIABLE_NESTING_MAX: usize = 8;
/// Longest text that variables may make of one field, in bytes.
pub const EXPANDED_MAX_BYTES: usize = 1024 * 1024;

/// Why the variables of a text cannot be filled in. It never holds a value or a default.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// `${` without a name and its end.
    #[error(
        "`${{{shown}` is not a variable: write ${{NAME}} or ${{NAME:-default}}; for a dollar before a brace write $${{"
    )]
    Syntax {
        /// What stands where the name belongs, as far as it could be one.
        shown: String,
    },
    /// Defaults in defaults in defaults.
    #[error("defaults are nested deeper than {VARIABLE_NESTING_MAX}")]
    Nesting,
    /// Neither a value nor a default.
    #[error(
        "environment variable {name} is not given to experiments by this node: it is not set there, or not exposed; \
         start the node with --expose-env {name}, or write ${{{name}:-default}}"
    )]
    Missing {
        /// The variable.
        name: String,
    },
    /// The text would be too long.
    #[error("longer than {EXPANDED_MAX_BYTES} bytes once its variables are filled in")]
    TooLong,
}

/// `text` with its variables filled in. `environment` gives the value of a name, `None` where there is none.
///
/// # Errors
/// A variable that is misspelt, or that has neither a value nor a default.
pub fn expand(text: &str, environment: &mut dyn FnMut(&str) -> Option<String>) -> Result<String, VariableError> {
    let mut out = String::with_capacity(text.len());
    let rest = expand_into(text, false, 0, environment, &mut out)?;
    debug_assert!(rest.is_empty(), "outside of a default a text ends at its end");
    Ok(out)
}

/// Refuses a misspelt variable. Which variables there are is known only on the node.
///
/// # Errors
/// [`VariableError::Syntax`] and [`VariableError::Nesting`].
pub fn check(text: &str) -> Result<(), VariableError> {
    // An empty value has its default looked at, too.
    expand(text, &mut |_| Some(String::new())).map(drop)
}

/// Whether a text has variables, well written or not.
pub fn has_variables(text: &str) -> bool {
    text.replace("$$", "").contains("${")
}

/// Whether a text is one variable without a default and nothing else: what stands there is no secret.
pub fn is_variable(text: &str) -> bool {
    text.strip_prefix("${").and_then(|text| text.strip_suffix('}')).is_some_and(is_name)
}

/// Fills in up to the end, or in a default up to the brace that ends it; gives back what comes after.
fn expand_into<'a>(
    text: &'a str,
    in_default: bool,
    depth: usize,
    environment: &mut dyn FnMut(&str) -> Option<String>,
    out: &mut String,
) -> Result<&'a str, VariableError> {
    if depth > VARIABLE_NESTING_MAX {
        return Err(VariableError::Nesting);
    }
    let mut rest = text;
    while let Some(at) = rest.find(|c| c == '$' || (in_default && c == '}')) {
        let (before, from) = rest.split_at(at);
        push(out, before)?;
        if let Some(after) = from.strip_prefix('}') {
            return Ok(after);
        }
        if let Some(after) = from.strip_prefix("$$") {
            push(out, "$")?;
            rest = after;
        } else if let Some(after) = from.strip_prefix("${") {
            rest = variable(after, depth, environment, out)?;
        } else {
            push(out, "$")?;
            rest = from.get(1..).unwrap_or_default();
        }
    }
    if in_default {
        return Err(VariableError::Syntax { shown: String::new() });
    }
    push(out, rest)?;
    Ok("")
}

/// Fills in one variable, from after its `${`; gives back what comes after its brace.
fn variable<'a>(
    text: &'a str,
    depth: usize,
    environment: &mut dyn FnMut(&str) -> Option<String>,
    out: &mut String,
) -> Result<&'a str, VariableError> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    let syntax = || VariableError::Syntax { shown: name.chars().take(64).collect() };
    if !is_name(name) {
        return Err(syntax());
    }
    let value = environment(name);
    if let Some(after) = after.strip_prefix('}') {
        push(out, &value.ok_or_else(|| VariableError::Missing { name: name.to_owned() })?)?;
        return Ok(after);
    }
    let default = after.strip_prefix(":-").ok_or_else(syntax)?;
    let named = |error| match error {
        VariableError::Syntax { shown } if shown.is_empty() => syntax(),
        other => other,
    };
    match value.filter(|value| !value.is_empty()) {
        None => expand_into(default, true, depth + 1, environment, out).map_err(named),
        Some(value) => {
            push(out, &value)?;
            // What is not used must be well written all the same, but need not be there.
            expand_into(default, true, depth + 1, &mut |_| Some(String::new()), &mut String::new()).map_err(named)
        }
    }
}

fn push(out: &mut String, text: &str) -> Result<(), VariableError> {
    if out.len() + text.len() > EXPANDED_MAX_BYTES {
        return Err(VariableError::TooLong);
    }
    out.push_str(text);
    Ok(())
}

fn is_name(text: &str) -> bool {
    text.len() <= VARIABLE_NAME_MAX_BYTES
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, VariableError> {
        expand(text, &mut |name| match name {
            "TOKEN" => Some("s3cret".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn variables_are_filled_in_and_everything_else_is_kept() {
        for (text, expected) in [
            ("Bearer ${TOKEN}!", "Bearer s3cret!"),
            ("${TOKEN}${TOKEN}", "s3crets3cret"),
            ("$${TOKEN} ${TOKEN}", "${TOKEN} s3cret"),
            ("a$$b $ $5 $", "a$b $ $5 $"),
            ("$$$${TOKEN}", "$${TOKEN}"),
            ("${EMPTY}", ""),
            ("a}b ü", "a}b ü"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_default_stands_where_a_variable_is_missing_or_empty() {
        for (text, expected) in [
            ("${NOPE:-x}", "x"),
            ("${EMPTY:-x}", "x"),
            ("${TOKEN:-x}", "s3cret"),
            ("${NOPE:-}", ""),
            ("http://${HOST:-127.0.0.1:80}/", "http://127.0.0.1:80/"),
            ("${NOPE:-${TOKEN}}", "s3cret"),
            ("${NOPE:-${EMPTY:-${NEITHER:-deep}}}!", "deep!"),
            ("${TOKEN:-${NOPE}}", "s3cret"),
            ("${NOPE:-$$}", "$"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn whatever_else_begins_like_a_variable_is_refused_without_its_value() {
        for text in ["${", "${}", "${1A}", "${a b}", "${ä}", "${TOKEN", "${X-d}", "${X:?hunter2}", "${X:-hunter2"] {
            let error = filled(text).unwrap_err();
            assert!(matches!(error, VariableError::Syntax { .. }), "{text}: {error:?}");
            assert!(check(text).is_err() && has_variables(text), "{text}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        assert_eq!(
            filled("${NOPE:-").unwrap_err().to_string(),
            "`${NOPE` is not a variable: write ${NAME} or ${NAME:-default}; for a dollar before a brace write $${"
        );
        let deep = format!("{}x{}", "${A:-".repeat(100_000), "}".repeat(100_000));
        assert_eq!(check(&deep), Err(VariableError::Nesting));
    }

    #[test]
    fn a_missing_variable_is_named_with_what_exposes_it() {
        let error = filled("${HOME}").unwrap_err().to_string();
        assert!(error.contains("--expose-env HOME") && error.contains("${HOME:-default}"), "{error}");
        assert_eq!(check("${HOME}"), Ok(()));
    }

    #[test]
    fn a_text_cannot_grow_without_a_bound() {
        let long = "x".repeat(100_000);
        assert_eq!(expand(&"${A}".repeat(11), &mut |_| Some(long.clone())), Err(VariableError::TooLong));
    }

    #[test]
    fn only_a_variable_alone_is_one() {
        for (text, expected) in [("${A_1}", true), ("${A:-b}", false), ("x${A}", false), ("${A}${B}", false)] {
            assert_eq!(is_variable(text), expected, "{text}");
        }
        assert!(!has_variables("$${A} $x") && has_variables("$$${A}"));
    }

    proptest::proptest! {
        #[test]
        fn a_text_without_a_dollar_is_its_own_meaning_and_nothing_panics(
            plain in "[^$]{0,40}", wild in "(\\$|\\{|\\}|:-|A|ü| ){0,40}"
        ) {
            proptest::prop_assert_eq!(expand(&plain, &mut |_| None), Ok(plain));
            let escaped = wild.replace('$', "$$");
            proptest::prop_assert_eq!(expand(&escaped, &mut |_| None), Ok(wild.clone()));
            drop(expand(&wild, &mut |_| None));
        }
    }
}
