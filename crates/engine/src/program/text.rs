//! Texts of a program: constant, or made anew each time.

use nuncius_scenario::TemplateError;
use nuncius_scenario::draw::Draws;
use nuncius_scenario::names::Names;
use nuncius_scenario::scope::Scope;
use nuncius_scenario::template::Template;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// What cannot be sent in a path and its query as it is. A percent sign stays: what is encoded already is.
const NOT_IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What stands for something else in a parameter of a query: all but the unreserved characters of RFC 3986, 2.3.
const NOT_IN_PARAMETER: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// As long as most texts are that are made: longer ones grow.
const MADE_BYTES: usize = 64;

/// A text.
#[derive(Debug)]
pub(crate) enum Text {
    Constant(Box<str>),
    Made(Template),
}

impl Text {
    /// From what is written.
    ///
    /// # Errors
    /// A template in it cannot be read.
    pub(crate) fn parse(text: &str, names: &mut Names) -> Result<Self, TemplateError> {
        let template = Template::parse(text, names)?;
        Ok(match template.constant() {
            Some(constant) => Self::Constant(constant.into()),
            None => Self::Made(template),
        })
    }

    /// Adds it at the end of `out`.
    ///
    /// # Errors
    /// A template cannot be filled in.
    #[inline]
    pub(crate) fn write(&self, scope: &Scope<'_>, draws: &mut Draws, out: &mut String) -> Result<(), TemplateError> {
        match self {
            Self::Constant(text) => out.push_str(text),
            Self::Made(template) => template.render_into(scope, draws, out)?,
        }
        Ok(())
    }

    /// The text alone.
    ///
    /// # Errors
    /// A template cannot be filled in.
    pub(crate) fn text(&self, scope: &Scope<'_>, draws: &mut Draws) -> Result<String, TemplateError> {
        let template = match self {
            Self::Constant(text) => return Ok(text.to_string()),
            Self::Made(template) => template,
        };
        let mut out = String::with_capacity(MADE_BYTES);
        template.render_into(scope, draws, &mut out)?;
        Ok(out)
    }
}

/// Adds a path with its query, what cannot be sent percent-encoded.
pub(crate) fn push_path(out: &mut String, path: &str) {
    if path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/?&=-._~%:@!$'()*+,;[]".contains(&byte)) {
        out.push_str(path);
    } else {
        out.extend(utf8_percent_encode(path, NOT_IN_PATH));
    }
}

/// Adds the name or the value of a parameter, percent-encoded.
pub(crate) fn push_parameter(out: &mut String, text: &str) {
    out.extend(utf8_percent_encode(text, NOT_IN_PARAMETER));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_path_cannot_hold_is_encoded_and_what_it_can_stays() {
        for (path, expected) in [
            ("/a/b?c=d&e=%20", "/a/b?c=d&e=%20"),
            ("/a b", "/a%20b"),
            ("/ä\r\nX: y", "/%C3%A4%0D%0AX:%20y"),
            ("/a#b", "/a%23b"),
        ] {
            let mut out = String::new();
            push_path(&mut out, path);
            assert_eq!(out, expected);
        }
        let mut out = String::new();
        push_parameter(&mut out, "a b&c=ü/~");
        assert_eq!(out, "a%20b%26c%3D%C3%BC%2F~");
    }

    proptest! {
        #[test]
        fn a_path_holds_nothing_afterwards_that_cannot_be_sent(path in any::<String>()) {
            let mut out = String::new();
            push_path(&mut out, &path);
            prop_assert!(out.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
