//! Taking secrets out of a specification.

use std::convert::Infallible;

use super::{Arguments, REDACTED, is_secret_name, redact_text, redact_url};
use crate::flow::template;
use crate::spec::ExperimentSpec;
use crate::spec::texts::TextKind;
use crate::variable::is_variable;

/// Whether a value is nothing but a variable, or the name of one in a template, perhaps after a scheme: `Bearer
/// ${NAME}`, `Bearer {{ token }}`. A default is part of the text, and so is a literal.
fn is_reference(value: &str) -> bool {
    let refers = |text: &str| is_variable(text) || template::is_reference(text);
    match value.split_once(' ') {
        Some((scheme, word)) if scheme.bytes().all(|b| b.is_ascii_alphabetic()) => refers(word),
        _ => refers(value),
    }
}

/// The specification as it may be stored and shown: every text of it as [`redact_kind`] has it.
///
/// A `${NAME}` that stands alone stays as it is: it is filled in only on the node that uses it.
pub fn redact_spec(spec: &ExperimentSpec) -> ExperimentSpec {
    let mut spec = spec.clone();
    let mut arguments = Arguments::default();
    let done = spec.visit_texts::<Infallible>(&mut |text| {
        *text.value = redact_kind(text.kind, text.value, &mut arguments);
        Ok(())
    });
    match done {
        Ok(()) => spec,
    }
}

fn redact_kind(kind: TextKind<'_>, value: &str, arguments: &mut Arguments) -> String {
    match kind {
        TextKind::Name
        | TextKind::File
        | TextKind::Address
        | TextKind::Place
        | TextKind::Body
        | TextKind::Template
        | TextKind::Pattern
        | TextKind::Script => redact_text(value),
        TextKind::Url => redact_text(&redact_url(value)),
        TextKind::Note(name) | TextKind::Label(name) | TextKind::Header(name) | TextKind::Value(name) => {
            redact_entry(name, value)
        }
        TextKind::Argument(index) | TextKind::Command(index) => arguments.redact(index, value),
        // Only certificates belong here; what else was put here by mistake is nobody's business.
        TextKind::Certificate if value.contains("PRIVATE KEY") => REDACTED.to_owned(),
        TextKind::Certificate => value.to_owned(),
        TextKind::Credential if is_reference(value) => value.to_owned(),
        TextKind::Credential => REDACTED.to_owned(),
    }
}

/// The value of a header, a label or an entry of metadata, as it may be shown.
pub(crate) fn redact_entry(name: &str, value: &str) -> String {
    match (is_reference(value), is_secret_name(name)) {
        (true, _) => value.to_owned(),
        (false, true) => REDACTED.to_owned(),
        (false, false) => redact_text(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_keeps_references_and_loses_secrets() {
        let spec: ExperimentSpec = serde_json::from_str(
            r#"{"metadata":{"note":"password=hunter2"},"groups":[{"target":"http://me:hunter2@shop/","rate":1,"duration":"1s",
            "headers":{"Authorization":"Bearer ${SHOP_TOKEN}","X-Api-Key":"${A}hunter2","Referer":"http://a:hunter2@b/"},
            "steps":[{"path":"/?token=hunter2","body":"{\"secret\":\"hunter2\"}",
                      "publish":{"routing_key":"q","body":"token=hunter2"}}]}]}"#,
        )
        .unwrap();
        let redacted = serde_json::to_string(&redact_spec(&spec)).unwrap();
        assert!(!redacted.contains("hunter2"), "{redacted}");
        assert!(redacted.contains("Bearer ${SHOP_TOKEN}"), "{redacted}");
    }
}
