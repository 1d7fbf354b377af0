//! CSS selectors (crate `scraper`, on Servo's `selectors`).

use std::borrow::Cow;

use scraper::selector::ToCss;
use scraper::{ElementRef, Html, Selector};

use crate::compile_error::{CompileError, SELECTOR_MAX_BYTES};
use crate::error::shown;
use crate::html::{HTML_NODES_OF_HAS_MAX, HtmlError};

/// A selector and what is taken of what it selects.
#[derive(Debug, Clone)]
pub(super) struct Css {
    selector: Selector,
    /// The text where there is none.
    attribute: Option<Box<str>>,
    is_relative: bool,
}

impl Css {
    pub(super) fn compile(selector: &str, attribute: Option<&str>) -> Result<Self, CompileError> {
        let wrong = |reason: String| CompileError::Selector { selector: shown(selector), reason };
        if selector.len() > SELECTOR_MAX_BYTES {
            return Err(wrong(format!("{} bytes long, at most {SELECTOR_MAX_BYTES}", selector.len())));
        }
        let parsed = Selector::parse(selector).map_err(|_| {
            wrong(
                "write tags, #ids, .classes, [attributes] and :nth-child() or its like, as in form.a > input"
                    .to_owned(),
            )
        })?;
        // Names of attributes in HTML are in small letters, however they were written.
        let attribute = attribute.map(|name| name.to_ascii_lowercase().into());
        // As the parser understood it: the text may hide it behind escapes.
        let is_relative = parsed.to_css_string().contains(":has(");
        Ok(Self { selector: parsed, attribute, is_relative })
    }

    /// What is taken of each element that has it. Elements are in the order in which they were opened.
    pub(super) fn texts<'h>(&self, html: &'h Html) -> Result<impl Iterator<Item = Cow<'h, str>>, HtmlError> {
        if self.is_relative && html.tree.nodes().len() > HTML_NODES_OF_HAS_MAX {
            return Err(HtmlError::TooManyForHas);
        }
        Ok(html.select(&self.selector).filter_map(|element| self.text(element)))
    }

    fn text<'h>(&self, element: ElementRef<'h>) -> Option<Cow<'h, str>> {
        match &self.attribute {
            Some(attribute) => element.attr(attribute).map(Cow::Borrowed),
            None => Some(Cow::Owned(element.text().collect::<String>().trim().to_owned())),
        }
    }
}
