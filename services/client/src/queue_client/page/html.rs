//! The statistics as pages. Everything but fixed text goes through [`escape`]; nothing is loaded from anywhere. Links
//! are relative, so that the page works behind a proxy that puts a path in front of it.

use super::text;
use crate::queue_client::statistics::Overall;

const STYLE: &str = "body{font-family:system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
    pre{overflow-x:auto;padding:1rem;border:1px solid #8888;border-radius:4px}\
    form,nav{margin:1rem 0}a,button,input{margin-right:.75rem}:root{color-scheme:light dark}";

/// The control page.
pub(super) fn control(overall: &Overall, parallel_max: u32) -> String {
    let parallel = overall.parallel;
    let body = format!(
        "<h1>Queue client</h1>\n\
         <form action=\"parallel\" method=\"post\"><label>Requests in parallel, at most {parallel_max}: \
         <input name=\"value\" type=\"number\" min=\"0\" max=\"{parallel_max}\" value=\"{parallel}\" required></label>\
         <button>Change and reset</button></form>\n\
         <form action=\"reset\" method=\"post\"><button>Reset statistics</button></form>\n\
         <nav><a href=\"stats\">Refresh</a><a href=\"nodes\">Nodes</a><a href=\"pods\">Pods</a>\
         <a href=\"fails\">Failures</a><a href=\"reqs-per-sec\">Requests per second</a>\
         <a href=\"stats?type=json\">JSON</a></nav>\n<pre>{}</pre>\n",
        escape(&text::overall(overall))
    );
    document("Queue client", &body)
}

/// A block of text under a title.
pub(super) fn report(title: &str, block: &str) -> String {
    let title = escape(title);
    let body = format!(
        "<h1>{title}</h1>\n<nav><a href=\"stats\">Back to the statistics</a><a href=\"\">Refresh</a></nav>\n\
         <pre>{}</pre>\n",
        escape(block)
    );
    document(&title, &body)
}

/// One sentence and the way back.
pub(super) fn sentence(text: &str) -> String {
    let body = format!("<p>{}. <a href=\"stats\">Back to the statistics</a></p>\n", escape(text));
    document("Queue client", &body)
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} – Nuncius</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

/// Text as HTML text or as a quoted attribute value. Control characters other than newlines become the replacement
/// character.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push(c),
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}
