//! `${NAME}` in the text of a specification.

use super::PlanError;

/// `text` with each `${NAME}` replaced by its value and each `$${NAME}` by `${NAME}`. What is no name is kept as it is.
pub(super) fn expand(
    field: &str,
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<String, PlanError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = rest.split_at(at);
        let inner = after.get(2..).unwrap_or_default();
        let name = inner.split_once('}').map(|(name, _)| name).filter(|name| is_name(name));
        let Some(name) = name else {
            out.push_str(before);
            out.push_str("${");
            rest = inner;
            continue;
        };
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("${");
            out.push_str(name);
            out.push('}');
        } else {
            out.push_str(before);
            let missing = || PlanError::Environment { field: field.to_owned(), name: name.to_owned() };
            out.push_str(&environment(name).ok_or_else(missing)?);
        }
        rest = inner.get(name.len() + 1..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok(out)
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> String {
        expand("f", text, &|name| (name == "TOKEN").then(|| "s3cret".to_owned())).unwrap()
    }

    #[test]
    fn names_are_replaced_and_everything_else_is_kept() {
        assert_eq!(expanded("Bearer ${TOKEN}!"), "Bearer s3cret!");
        assert_eq!(expanded("${TOKEN}${TOKEN}"), "s3crets3cret");
        assert_eq!(expanded("$${TOKEN} ${TOKEN}"), "${TOKEN} s3cret");
        for same in ["", "$", "${", "${}", "${1A}", "${a b}", "a}b", "${ä}", "$ {TOKEN}", "ü${"] {
            assert_eq!(expanded(same), same);
        }
        assert_eq!(expanded("${${TOKEN}"), "${s3cret");
    }

    #[test]
    fn a_missing_variable_is_named_with_its_field() {
        let error = expand("groups[0].headers.x", "${NOPE}", &|_| None).unwrap_err().to_string();
        assert_eq!(error, "groups[0].headers.x: environment variable NOPE is not set on this node");
    }
}
