//! A new experiment: written, checked, submitted.

use nuncius_report::html::{escape, table};

use crate::frame::{Frame, frame};

/// Kinds of keys, and warnings, of a file that are shown, each.
const KEYS_MAX: usize = 300;

/// What stands in the editor.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// The specification as it was written.
    pub text: String,
    /// What is wrong with it: line where it is known, field, words.
    pub problems: Vec<Problem>,
    /// What it would do, once it was checked and nothing is wrong.
    pub plan: Option<String>,
    /// What became of a file of another program; absent where there was none.
    pub imported: Option<ImportedFile>,
}

/// What became of a file of another program.
#[derive(Debug, Clone, Default)]
pub struct ImportedFile {
    /// Its keys, as kinds: how each came over, the key, how often, where first, what differs.
    pub keys: Vec<[String; 5]>,
    /// What whoever wrote the file should know.
    pub warnings: Vec<String>,
    /// Why there is nothing to be run; empty where there is.
    pub refused: String,
}

/// Something that is wrong.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Line, from 1.
    pub line: Option<usize>,
    /// Path of the field; empty where it is the whole.
    pub field: String,
    /// For people.
    pub problem: String,
}

/// Examples that a page may begin with: name, text.
pub const EXAMPLES: [(&str, &str); 4] = [
    ("smallest", include_str!("../../../schemas/examples/smallest.yaml")),
    ("staged", include_str!("../../../schemas/examples/staged.yaml")),
    ("closed", include_str!("../../../schemas/examples/closed.yaml")),
    ("search", include_str!("../../../schemas/examples/search.yaml")),
];

/// The page.
pub fn page(within: &Frame, draft: &Draft) -> String {
    let mut body = String::from("<h1 class=\"title\">New experiment</h1>\n<p class=\"links\">Begin with ");
    for (name, _) in EXAMPLES {
        body.push_str(&format!("<a href=\"{}\">{name}</a> ", within.path(&format!("/new?example={name}"))));
    }
    body.push_str("</p>\n");
    if !draft.problems.is_empty() {
        body.push_str("<section class=\"problems\" role=\"alert\">\n<h2>It cannot be run like this</h2>\n<ul>\n");
        for problem in &draft.problems {
            let line = problem.line.map_or_else(String::new, |line| format!("line {line}: "));
            let field = match problem.field.as_str() {
                "" => String::new(),
                field => format!("<code>{}</code>: ", escape(field, 200)),
            };
            body.push_str(&format!("<li>{line}{field}{}</li>\n", escape(&problem.problem, 600)));
        }
        body.push_str("</ul>\n</section>\n");
    }
    if let Some(imported) = &draft.imported {
        body.push_str(&checked(imported));
    }
    if let Some(plan) = &draft.plan {
        body.push_str(&format!(
            "<section>\n<h2>What it would do</h2>\n<pre tabindex=\"0\">{}</pre>\n</section>\n",
            escape(plan, 20_000)
        ));
    }
    body.push_str(&format!(
        "<form method=\"post\" action=\"{}\">\n<section>\n<label for=\"spec\">Specification, YAML or JSON</label>\n\
         <textarea id=\"spec\" name=\"spec\" rows=\"24\" spellcheck=\"false\" required>{}</textarea>\n\
         <div class=\"filter\">\n<button name=\"do\" value=\"check\">Check</button>\n",
        within.path("/new"),
        escape(&draft.text, 300_000)
    ));
    if within.may_change {
        body.push_str(
            "<label>Why <input name=\"reason\" maxlength=\"200\"></label>\n\
             <button name=\"do\" value=\"submit\" class=\"primary\">Submit</button>\n",
        );
    }
    body.push_str("</div>\n</section>\n</form>\n");
    body.push_str(CURVE);
    body.push_str(&import(within));
    frame(within, "New experiment", "/new", &body)
}

/// What became of each kind of key.
fn checked(imported: &ImportedFile) -> String {
    let class = if imported.refused.is_empty() { "" } else { " class=\"problems\" role=\"alert\"" };
    let mut out = format!("<section{class} id=\"imported\">\n<h2>What became of the file</h2>\n");
    if !imported.refused.is_empty() {
        out.push_str(&format!("<p>{}</p>\n", escape(&imported.refused, 2_000)));
    }
    let rows: Vec<Vec<String>> =
        imported.keys.iter().take(KEYS_MAX).map(|row| row.iter().map(|cell| escape(cell, 400)).collect()).collect();
    out.push_str(&table(&["key is", "key", "times", "first at", "what differs"], &rows, &[1, 3, 4]));
    if imported.keys.len() > KEYS_MAX {
        out.push_str(&format!("<p class=\"note\">The first {KEYS_MAX} kinds of keys are shown.</p>\n"));
    }
    for warning in imported.warnings.iter().take(KEYS_MAX) {
        out.push_str(&format!("<p class=\"note\">{}</p>\n", escape(warning, 600)));
    }
    out.push_str("</section>\n");
    out
}

/// Where a file of another program is given.
fn import(within: &Frame) -> String {
    format!(
        "<section>\n<h2>From Artillery</h2>\n<form method=\"post\" action=\"{}\">\n\
         <p class=\"note\">A test of Artillery becomes the specification above, key by key. A test that names other \
         files is imported by <code>nuncius import</code>.</p>\n\
         <div class=\"filter\"><label data-file=\"artillery\" hidden>File <input type=\"file\" \
         accept=\".yml,.yaml,.json\"></label>\n\
         <label>Target, instead of the file's <input name=\"target\" maxlength=\"400\"></label></div>\n\
         <label for=\"artillery\">Its text</label>\n\
         <textarea id=\"artillery\" name=\"text\" rows=\"8\" spellcheck=\"false\" required></textarea>\n\
         <p><button>Import</button></p>\n</form>\n</section>\n",
        within.path("/new/import")
    )
}

/// A curve that is drawn by hand, and becomes stages.
const CURVE: &str = "<section data-curve hidden>\n<h2>Draw the rate</h2>\n\
    <p class=\"note\">Drag points; a click adds one, a double click takes it away. With the keyboard: Tab to a point, \
    arrows move it, Delete takes it away.</p>\n<div class=\"filter\">\n\
    <label>Length, seconds <input name=\"length\" value=\"60\" type=\"number\" min=\"1\" max=\"86400\"></label>\n\
    <label>Highest, per second <input name=\"highest\" value=\"100\" type=\"number\" min=\"1\" max=\"1000000\">\
    </label>\n\
    <label>Between points <select name=\"shape\"><option>linear</option><option>step</option><option>spline</option>\
    </select></label>\n<button type=\"button\" data-use>Use it as stages of the first group</button>\n</div>\n\
    <svg viewBox=\"-12 -12 664 224\" role=\"application\" aria-label=\"Rate over time\" tabindex=\"-1\"></svg>\n\
    <pre data-stages tabindex=\"0\"></pre>\n</section>\n";
