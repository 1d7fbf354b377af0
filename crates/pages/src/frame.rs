//! What is around every page: its head, the way to the others, and who looks at it.

use nuncius_report::html::escape;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::assets::MODULES;

/// The pages that the way leads to: path, name.
const WAYS: [(&str, &str); 9] = [
    ("/", "Now"),
    ("/runs", "Runs"),
    ("/new", "New"),
    ("/nodes", "Nodes"),
    ("/queues", "Queues"),
    ("/routes", "Routes"),
    ("/apps", "Apps"),
    ("/events", "Events"),
    ("/system", "System"),
];

/// What is written otherwise in a part of a path or a query: all but what RFC 3986 calls unreserved.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as a part of a path or of a query.
pub(crate) fn part(text: &str) -> String {
    utf8_percent_encode(text, PART).to_string()
}

/// Where and for whom a page is.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// What comes before every path: empty, or `/prefix`.
    pub base_path: String,
    /// Whether whoever looks may change something.
    pub may_change: bool,
    /// Whether whoever looks may delete something, or change routes, too.
    pub may_administer: bool,
    /// Name of whoever is signed in; absent where nobody needs to.
    pub user: Option<String>,
    /// What is missing at present, for people: no connection to NATS, no daemon.
    pub missing: Option<String>,
}

impl Frame {
    /// A path of this gateway, as links write it.
    pub fn path(&self, path: &str) -> String {
        format!("{}{}", escape(&self.base_path, 200), escape(path, 400))
    }
}

/// A whole page. `title` is text, `body` is HTML; `at` is the path of the page that the way leads to.
pub fn frame(frame: &Frame, title: &str, at: &str, body: &str) -> String {
    let mut out = String::with_capacity(body.len() + 4 * 1024);
    out.push_str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    out.push_str("<meta name=\"color-scheme\" content=\"light dark\">\n");
    out.push_str(&format!("<title>{} – Nuncius</title>\n", escape(title, 240)));
    for style in ["report.css", "pages.css", "uplot.min.css"] {
        out.push_str(&format!("<link rel=\"stylesheet\" href=\"{}\">\n", frame.path(&format!("/assets/{style}"))));
    }
    out.push_str(&format!("<link rel=\"icon\" href=\"{}\">\n", frame.path("/assets/icon.svg")));
    for module in MODULES {
        out.push_str(&format!("<link rel=\"modulepreload\" href=\"{}\">\n", frame.path(&format!("/assets/{module}"))));
    }
    out.push_str(&format!("</head>\n<body data-base=\"{}\">\n", escape(&frame.base_path, 200)));
    out.push_str("<a class=\"skip\" href=\"#content\">To the content</a>\n<nav aria-label=\"Pages\">\n");
    out.push_str(&format!("<a class=\"brand\" href=\"{}\">Nuncius</a>\n<ul>\n", frame.path("/")));
    for (path, name) in WAYS {
        let current = if path == at { " aria-current=\"page\"" } else { "" };
        out.push_str(&format!("<li><a href=\"{}\"{current}>{name}</a></li>\n", frame.path(path)));
    }
    out.push_str("</ul>\n");
    if let Some(user) = &frame.user {
        let action = frame.path("/sign-out");
        out.push_str(&format!(
            "<form method=\"post\" action=\"{action}\" class=\"user\"><span>{}</span> ",
            escape(user, 64)
        ));
        out.push_str("<button>Sign out</button></form>\n");
    }
    out.push_str("</nav>\n<main id=\"content\">\n");
    let missing = frame.missing.as_deref().unwrap_or_default();
    let hidden = if missing.is_empty() { " hidden" } else { "" };
    out.push_str(&format!(
        "<p class=\"missing\" id=\"missing\" role=\"status\"{hidden}>{}</p>\n",
        escape(missing, 400)
    ));
    out.push_str(body);
    out.push_str("</main>\n<div id=\"tip\" hidden></div>\n");
    for script in ["report.js", "uplot.min.js"] {
        out.push_str(&format!("<script defer src=\"{}\"></script>\n", frame.path(&format!("/assets/{script}"))));
    }
    out.push_str(&format!("<script type=\"module\" src=\"{}\"></script>\n", frame.path("/assets/pages.js")));
    out.push_str("</body>\n</html>\n");
    out
}

/// A page that says why there is none.
pub fn problem(within: &Frame, status: u16, title: &str, detail: &str) -> String {
    let body = format!(
        "<section>\n<h1>{}</h1>\n<p class=\"reason\">{}</p>\n<p class=\"note\">{status}</p>\n</section>\n",
        escape(title, 200),
        escape(detail, 2_000)
    );
    frame(within, title, "", &body)
}

/// The page that asks for a token.
pub fn sign_in(within: &Frame, problem: Option<&str>) -> String {
    let told = problem.map_or_else(String::new, |problem| {
        format!("<p class=\"missing\" role=\"alert\">{}</p>\n", escape(problem, 400))
    });
    let action = within.path("/sign-in");
    let body = format!(
        "<section class=\"narrow\">\n<h1>Sign in</h1>\n{told}<form method=\"post\" action=\"{action}\" \
         class=\"filter\">\n<label class=\"wide\">Token <input type=\"password\" name=\"token\" \
         autocomplete=\"current-password\" required autofocus></label>\n<button>Sign in</button>\n</form>\n\
         <p class=\"note\">Tokens are in the gateway's <code>--token-file</code>.</p>\n</section>\n"
    );
    frame(within, "Sign in", "", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_of_a_page_behind_a_prefix_has_the_prefix() {
        let within = Frame { base_path: "/load".to_owned(), user: Some("<b>".to_owned()), ..Frame::default() };
        let page = frame(&within, "a & b", "/runs", "<p>x</p>");
        let links = page.split("href=\"").skip(1).chain(page.split("src=\"").skip(1));
        for link in links.chain(page.split("action=\"").skip(1)) {
            assert!(link.starts_with("/load/") || link.starts_with('#'), "{link}");
        }
        assert!(page.contains("<title>a &amp; b – Nuncius</title>"));
        assert!(page.contains("href=\"/load/runs\" aria-current=\"page\""));
        assert!(page.contains("&lt;b&gt;") && !page.contains("<b>"));
    }

    #[test]
    fn a_page_refers_to_nothing_outside_and_has_no_script_of_its_own() {
        let page = frame(&Frame::default(), "t", "/", "");
        assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("style=\""));
        assert!(!page.contains("<script>") && !page.contains("<style>"));
    }
}
