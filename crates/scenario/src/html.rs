//! HTML of answers: read as browsers do (crate `html5ever`), in small pieces, so that it can be stopped where its tree
//! grows as no page's does. Of broken HTML the standard makes trees far larger than the text.

use html5ever::driver::{self, ParseOpts};
use html5ever::tendril::{StrTendril, TendrilSink};
use scraper::{Html, HtmlTreeSink, Node};

/// Longest HTML that selectors look at, in bytes.
pub const HTML_MAX_BYTES: usize = 1024 * 1024;
/// Most elements, texts and comments of it.
pub const HTML_NODES_MAX: usize = 200_000;
/// Deepest nesting: that of browsers.
pub const HTML_DEPTH_MAX: usize = 512;
/// Most elements, texts and comments where a selector has `:has()`, which compares each with each.
pub const HTML_NODES_OF_HAS_MAX: usize = 5_000;
/// Longest tag. Attributes are compared with each other, so that long ones take the square of their number.
pub const HTML_TAG_MAX_BYTES: usize = 128 * 1024;

/// Read at once. Between two pieces the tree is looked at; one may still multiply the nodes by a few hundred.
const PIECE_BYTES: usize = 1_024;

/// Why HTML is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HtmlError {
    /// Too long.
    #[error("the body is longer than the {HTML_MAX_BYTES} bytes of HTML that a selector looks at")]
    TooLong,
    /// Too many nodes.
    #[error("the body has more than {HTML_NODES_MAX} elements, texts and comments")]
    TooManyNodes,
    /// Too many nodes for such a selector.
    #[error("the body has more than the {HTML_NODES_OF_HAS_MAX} elements, texts and comments that :has() looks at")]
    TooManyForHas,
    /// Too deep.
    #[error("the elements of the body are nested deeper than {HTML_DEPTH_MAX}")]
    TooDeep,
    /// A tag without an end.
    #[error("the body has more than {HTML_TAG_MAX_BYTES} bytes of a tag, a comment, or of what belongs nowhere")]
    TagTooLong,
}

/// Reads a whole document. Anything is HTML; only what is too large is an error.
pub(crate) fn read(text: &str) -> Result<Html, HtmlError> {
    if text.len() > HTML_MAX_BYTES {
        return Err(HtmlError::TooLong);
    }
    let mut parser = driver::parse_document(HtmlTreeSink::new(Html::new_document()), ParseOpts::default());
    let mut rest = text;
    let mut before = (0, 0);
    let mut without_progress = 0;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES));
        parser.process(StrTendril::from_slice(piece));
        rest = after;
        let now = progress(&parser.tokenizer.sink.sink)?;
        without_progress = if now == before { without_progress + piece.len() } else { 0 };
        before = now;
        if without_progress > HTML_TAG_MAX_BYTES {
            return Err(HtmlError::TagTooLong);
        }
    }
    Ok(parser.finish())
}

/// How many nodes there are and how long the last text is: one of them grows, unless a tag or comment is under way.
fn progress(sink: &HtmlTreeSink) -> Result<(usize, usize), HtmlError> {
    let html = sink.0.borrow();
    let mut nodes = html.tree.nodes();
    let count = nodes.len();
    if count > HTML_NODES_MAX {
        return Err(HtmlError::TooManyNodes);
    }
    let Some(last) = nodes.next_back() else { return Ok((count, 0)) };
    if last.ancestors().count() > HTML_DEPTH_MAX {
        return Err(HtmlError::TooDeep);
    }
    let text = match last.value() {
        Node::Text(text) => text.len(),
        Node::Document
        | Node::Fragment
        | Node::Doctype(_)
        | Node::Comment(_)
        | Node::Element(_)
        | Node::ProcessingInstruction(_) => 0,
    };
    Ok((count, text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_grows_as_no_page_does_is_stopped() {
        let formatting: String = (0..400).map(|number| format!("<p><b id={number}></p>")).collect();
        let attributes: String = (0..60_000).map(|number| format!(" a{number}")).collect();
        for (text, expected) in [
            ("x".repeat(HTML_MAX_BYTES + 1), HtmlError::TooLong),
            ("<div>".repeat(100_000), HtmlError::TooDeep),
            (format!("{formatting}{}", "<p>x".repeat(100_000)), HtmlError::TooManyNodes),
            (format!("<a{attributes}>"), HtmlError::TagTooLong),
            ("<br>".repeat(HTML_NODES_MAX + 1_000), HtmlError::TooManyNodes),
        ] {
            assert_eq!(read(&text).map(drop), Err(expected), "{}", text.get(..20).unwrap());
        }
    }

    #[test]
    fn long_texts_and_scripts_are_no_long_tags() {
        for text in
            ["word ".repeat(200_000), format!("<script>{}</script>", "a < b; ".repeat(60_000)), "ü".repeat(500_000)]
        {
            assert!(read(&text).is_ok(), "{}", text.chars().take(20).collect::<String>());
        }
    }

    const PIECES: &[&str] = &[
        "<", ">", "/", "a", "table", "tr", "p", "b", "template", "svg", "math", "script", "style", "!--", "--", "]]",
        "&", ";", "\"", "'", "=", " ", "ü", "\0", "select", "frameset", "form", "</", "<p>", "<b>", "<i>", "</b>",
        "<a x>",
    ];

    proptest! {
        #[test]
        fn whatever_is_sent_nothing_panics(
            pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..120)
        ) {
            let text = pieces.concat();
            drop(read(&text));
        }
    }
}
