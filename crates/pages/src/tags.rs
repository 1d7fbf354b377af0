//! Tags of experiments, each a way to all that have it.

use std::collections::BTreeMap;

use nuncius_report::html::escape;
use nuncius_schemas::tag::{TAG_MAX_BYTES, WantedTag};

use crate::frame::{Frame, part};

/// Tags that a row of a list shows.
const IN_ROW_MAX: usize = 4;

/// Links to the runs that have the same tag; empty without any.
pub(crate) fn links(within: &Frame, tags: &BTreeMap<String, String>) -> String {
    some_links(within, tags, tags.len())
}

/// The same of the first few, and how many more there are.
pub(crate) fn first_links(within: &Frame, tags: &BTreeMap<String, String>) -> String {
    let links = some_links(within, tags, IN_ROW_MAX);
    match tags.len().saturating_sub(IN_ROW_MAX) {
        0 => links,
        more => format!("{links}<span class=\"note\">+{more}</span>"),
    }
}

fn some_links(within: &Frame, tags: &BTreeMap<String, String>, most: usize) -> String {
    let mut out = String::new();
    for (name, value) in tags.iter().take(most) {
        let wanted = WantedTag { name: name.clone(), value: Some(value.clone()) }.to_string();
        let shown = if value.is_empty() { name } else { &wanted };
        out.push_str(&format!(
            "<a class=\"tag\" href=\"{}\">{}</a> ",
            within.path(&format!("/runs?tag={}", part(&wanted))),
            escape(shown, 2 * TAG_MAX_BYTES + 1)
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_leads_to_all_that_have_it_and_is_never_read_as_html() {
        let entries = [("<b>", "a&b"), ("nightly", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let html = links(&Frame { base_path: "/load".to_owned(), ..Frame::default() }, &entries.into());
        assert_eq!(
            html,
            "<a class=\"tag\" href=\"/load/runs?tag=%3Cb%3E%3Da%26b\">&lt;b&gt;=a&amp;b</a> \
             <a class=\"tag\" href=\"/load/runs?tag=nightly%3D\">nightly</a> "
        );
        // The longest tag of the widest characters is a whole link.
        let [name, value] = ["\u{fc}".repeat(TAG_MAX_BYTES / 2), "\u{20ac}".repeat(TAG_MAX_BYTES / 3)];
        let whole = part(&format!("{name}={value}"));
        assert!(links(&Frame::default(), &BTreeMap::from([(name, value)])).contains(&whole));
    }
}
