//! What the interface can do, from its own description.

use nuncius_report::html::{escape, table};
use serde_json::Value;

use crate::frame::{Frame, frame};

/// Longest schema that is shown, in characters.
const SCHEMA_CHARACTERS: usize = 20_000;

/// The page of an OpenAPI document; what is not as such a document is left out.
pub fn page(within: &Frame, document: &Value) -> String {
    let text = |value: &Value, most: usize| escape(value.as_str().unwrap_or_default(), most);
    let info = document.get("info").unwrap_or(&Value::Null);
    let field = |name: &str| info.get(name).map_or_else(String::new, |value| text(value, 400));
    let mut body = format!(
        "<h1 class=\"title\">{} {}</h1>\n<p class=\"links\">{} <a href=\"{}\">as OpenAPI</a></p>\n",
        field("title"),
        field("version"),
        field("summary"),
        within.path("/api/v1/openapi.json")
    );
    let none = serde_json::Map::new();
    let object = |value: Option<&'_ Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let paths = document.get("paths").and_then(Value::as_object).unwrap_or(&none);
    let mut sections: Vec<(String, String)> = Vec::new();
    for (path, methods) in paths {
        for (method, operation) in object(Some(methods)) {
            let tag = operation.pointer("/tags/0").and_then(Value::as_str).unwrap_or_default();
            let place = match sections.iter().position(|(known, _)| known == tag) {
                Some(place) => place,
                None => {
                    sections.push((tag.to_owned(), String::new()));
                    sections.len() - 1
                }
            };
            if let Some((_, out)) = sections.get_mut(place) {
                out.push_str(&operation_of(path, &method, &operation));
            }
        }
    }
    for (tag, operations) in sections {
        body.push_str(&format!("<section>\n<h2>{}</h2>\n{operations}</section>\n", escape(&tag, 80)));
    }
    body.push_str("<section>\n<h2>Shapes</h2>\n");
    for (name, schema) in object(document.pointer("/components/schemas")) {
        let name = escape(&name, 120);
        body.push_str(&format!(
            "<details id=\"shape-{name}\">\n<summary>{name}</summary>\n<pre tabindex=\"0\">{}</pre>\n</details>\n",
            escape(&serde_json::to_string_pretty(&schema).unwrap_or_default(), SCHEMA_CHARACTERS)
        ));
    }
    body.push_str("</section>\n");
    frame(within, "API", "/system", &body)
}

fn operation_of(path: &str, method: &str, operation: &Value) -> String {
    let text = |name: &str| operation.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut out = format!(
        "<details id=\"{}\">\n<summary><b>{}</b> <code>{}</code> {}</summary>\n<p class=\"note\">Needs scope {}.</p>\n",
        escape(text("operationId"), 120),
        escape(&method.to_uppercase(), 16),
        escape(path, 200),
        escape(text("summary"), 600),
        escape(text("x-scope"), 40)
    );
    let list = |name: &str| operation.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let cell = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows: Vec<Vec<String>> = list("parameters")
        .iter()
        .map(|parameter| {
            let kind = parameter.get("schema").map_or_else(String::new, shape);
            vec![
                format!("<code>{}</code>", escape(&cell(parameter, "name"), 120)),
                escape(&cell(parameter, "in"), 40),
                kind,
                escape(&cell(parameter, "description"), 600),
            ]
        })
        .collect();
    if !rows.is_empty() {
        out.push_str(&table(&["parameter", "in", "type", "what"], &rows, &[1, 2, 3]));
    }
    let carried = |value: &Value| {
        let content = value.get("content").and_then(Value::as_object).cloned().unwrap_or_default();
        let each = content.iter().map(|(kind, media)| {
            let of = media.get("schema").map_or_else(String::new, |schema| format!(": {}", shape(schema)));
            format!("<code>{}</code>{of}", escape(kind, 80))
        });
        each.collect::<Vec<String>>().join("<br>")
    };
    if let Some(body) = operation.get("requestBody") {
        out.push_str(&format!("<p>Takes {}</p>\n", carried(body)));
    }
    let answers = operation.get("responses").and_then(Value::as_object).cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> = answers
        .iter()
        .map(|(status, answer)| vec![escape(status, 16), escape(&cell(answer, "description"), 200), carried(answer)])
        .collect();
    out.push_str(&table(&["status", "when", "gives"], &rows, &[1, 2]));
    out.push_str("</details>\n");
    out
}

/// A schema in a few words: what it refers to, or what kind it is.
fn shape(schema: &Value) -> String {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
        let name = escape(name, 120);
        return format!("<a href=\"#shape-{name}\">{name}</a>");
    }
    if let Some(items) = schema.get("items") {
        return format!("list of {}", shape(items));
    }
    let choices = schema
        .get("enum")
        .and_then(Value::as_array)
        .map(|all| all.iter().filter_map(Value::as_str).map(|one| escape(one, 40)).collect::<Vec<String>>().join(", "));
    choices.unwrap_or_else(|| escape(schema.get("type").and_then(Value::as_str).unwrap_or("anything"), 40))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_operation_is_told_with_what_it_takes_and_gives_and_nothing_is_read_as_html() {
        let document = json!({
            "info": { "title": "N", "version": "1", "summary": "<script>" },
            "paths": { "/a/{id}": { "get": {
                "operationId": "get-a", "summary": "One <a>.", "tags": ["a"], "x-scope": "read",
                "parameters": [{ "name": "id", "in": "path", "schema": { "type": "string" }, "description": "<i>" }],
                "responses": { "200": { "description": "OK", "content": {
                    "application/json": { "schema": { "$ref": "#/components/schemas/A" } } } } },
            } } },
            "components": { "schemas": { "A": { "type": "object" } } },
        });
        let page = page(&Frame::default(), &document);
        assert!(page.contains("<b>GET</b> <code>/a/{id}</code> One &lt;a&gt;."), "{page}");
        assert!(page.contains("<a href=\"#shape-A\">A</a>") && page.contains("id=\"shape-A\""));
        assert!(!page.contains("<script>") && !page.contains("<i>"));
        assert!(super::page(&Frame::default(), &Value::Null).contains("<h1"));
    }
}
