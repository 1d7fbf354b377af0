//! What can be told of a template without reading its expressions: whether a text has any, and what it refers to.
//!
//! The syntax itself is read by whoever runs scenarios; here a template is what stands between `{{` and `}}`.

/// What begins a template, and what ends it.
const BEGIN: &str = "{{";
const END: &str = "}}";

/// Whether a text has templates, or the `{{{{` that stands for two braces: it is more than its own text.
pub fn has_template(text: &str) -> bool {
    text.contains(BEGIN)
}

/// Whether a text is one template and nothing else, spaces around it aside.
pub fn is_template(text: &str) -> bool {
    inside(text).is_some()
}

/// Whether a text is one template that only names something: `{{ users.password }}`, `{{ tokens[0] }}`. What it says
/// is no secret, whatever it stands for.
pub fn is_reference(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "_.[] ".contains(c);
    inside(text).is_some_and(|inner| {
        inner.trim().starts_with(|c: char| c.is_alphabetic() || c == '_') && inner.chars().all(plain)
    })
}

fn inside(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    (!inner.trim().is_empty() && !inner.contains(BEGIN) && !inner.starts_with('{')).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_alone_is_told_from_one_in_a_text_and_a_name_from_a_literal() {
        for (text, has, is_one, refers) in [
            ("plain", false, false, false),
            ("{{ a }}", true, true, true),
            (" {{users.rows[0].name}} ", true, true, true),
            ("{{ 'hunter2' }}", true, true, false),
            ("{{ a + 1 }}", true, true, false),
            ("x {{ a }}", true, false, false),
            ("{{ a }}{{ b }}", true, false, false),
            ("{{{{ a }}", true, false, false),
            ("{{}}", true, false, false),
            ("{{ 1 }}", true, true, false),
            ("{a}", false, false, false),
        ] {
            assert_eq!((has_template(text), is_template(text), is_reference(text)), (has, is_one, refers), "{text}");
        }
    }
}
