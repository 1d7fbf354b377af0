//! What is deployed.

use nuncius_report::format::{bytes, count};
use nuncius_report::html::{escape, table};
use nuncius_schemas::bundle::AppRecord;

use crate::frame::{Frame, frame};

/// The page.
pub fn page(within: &Frame, apps: &[AppRecord]) -> String {
    let mut body = String::from("<h1 class=\"title\">Apps</h1>\n<section>\n");
    if apps.is_empty() {
        body.push_str(
            "<p class=\"note\">Nothing is deployed. <code>nuncius app deploy DIRECTORY</code> does it.</p>\n",
        );
    } else {
        let rows: Vec<Vec<String>> = apps.iter().map(row).collect();
        body.push_str(&table(&["app", "versions", "files", "unpacked", "digest"], &rows, &[4]));
        body.push_str("<p class=\"note\"><code>nuncius run app:NAME</code> runs one, from any machine.</p>\n");
    }
    body.push_str("</section>\n");
    frame(within, "Apps", "/apps", &body)
}

fn row(app: &AppRecord) -> Vec<String> {
    let current = app.current();
    let digest = current.map_or("–", |version| version.digest.get(..16).unwrap_or(&version.digest));
    vec![
        escape(&app.name, 128),
        count(app.versions.len() as u64),
        current.map_or_else(|| "–".to_owned(), |version| count(u64::from(version.files))),
        current.map_or_else(|| "–".to_owned(), |version| bytes(version.unpacked_bytes)),
        format!("<code>{}</code>", escape(digest, 64)),
    ]
}
