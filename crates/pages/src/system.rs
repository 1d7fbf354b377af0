//! What everything rests on.

use nuncius_report::html::{escape, table};

use crate::frame::{Frame, frame};

/// A part of the system, as a table.
#[derive(Debug, Clone, Default)]
pub struct SystemPart {
    /// What it is.
    pub title: String,
    /// Heading of each column.
    pub heading: Vec<String>,
    /// Texts, row by row.
    pub rows: Vec<Vec<String>>,
}

/// The page.
pub fn page(within: &Frame, parts: &[SystemPart]) -> String {
    let mut body = String::from("<h1 class=\"title\">System</h1>\n");
    for part in parts {
        let heading: Vec<String> = part.heading.iter().map(|cell| escape(cell, 80)).collect();
        let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
        let escaped = |row: &Vec<String>| row.iter().map(|cell| escape(cell, 200)).collect();
        let rows: Vec<Vec<String>> = part.rows.iter().map(escaped).collect();
        // A column of numbers alone is one of numbers, and all others are text.
        let is_text = |column: &usize| {
            let mut cells = part.rows.iter().filter_map(|row| row.get(*column)).filter(|cell| !cell.is_empty());
            cells.any(|cell| !cell.starts_with(|c: char| c.is_ascii_digit() || c == '–'))
        };
        let left: Vec<usize> = (1..heading.len()).filter(is_text).collect();
        let inner = match rows.is_empty() {
            true => "<p class=\"note\">None.</p>\n".to_owned(),
            false => table(&heading, &rows, &left),
        };
        body.push_str(&format!("<section>\n<h2>{}</h2>\n{inner}</section>\n", escape(&part.title, 80)));
    }
    body.push_str(&format!(
        "<p class=\"links\"><a href=\"{}\">API</a> <a href=\"{}\">metrics</a></p>\n",
        within.path("/api"),
        within.path("/metrics")
    ));
    frame(within, "System", "/system", &body)
}
