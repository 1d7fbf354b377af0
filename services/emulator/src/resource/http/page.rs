//! The page for people: how everything stands. It loads nothing and asks again every few seconds.

use std::fmt::Write;

use nuncius_schemas::resource::ResourceState;

use super::Shared;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1b1f24;\
    background:#fff}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem .6rem;\
    border-bottom:1px solid #d0d7de}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
    .failed{color:#b42318;font-weight:600}pre{background:#f6f8fa;padding:.8rem;overflow:auto}\
    @media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}pre{background:#161b22}\
    th,td{border-color:#30363d}.failed{color:#ff8a80}}";

/// Text that is safe between tags and in attributes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

fn bytes(bytes: Option<u64>) -> String {
    let Some(bytes) = bytes else { return "–".to_owned() };
    let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(scale, _)| bytes >= *scale) {
        Some((scale, unit)) => format!("{:.1} {unit}", bytes as f64 / scale as f64),
        None => format!("{bytes} B"),
    }
}

fn percent(percent: Option<f64>) -> String {
    percent.map_or_else(|| "–".to_owned(), |percent| format!("{percent:.1} %"))
}

fn row(state: &ResourceState) -> String {
    let (wanted, actual, limit) = if state.wanted_percent.is_some() {
        (percent(state.wanted_percent), percent(state.measured_percent), percent(state.limit_percent))
    } else {
        (bytes(state.wanted_bytes), bytes(state.actual_bytes), bytes(state.limit_bytes))
    };
    let (kind, phase) = (state.kind.name(), state.phase.name());
    let progress = state.progress * 100.0;
    let error = state.error.as_deref().map_or_else(String::new, escaped);
    format!(
        "<tr><th scope=\"row\">{kind}</th><td class=\"{phase}\">{phase}</td><td class=\"n\">{wanted}</td>\
         <td class=\"n\">{actual}</td><td class=\"n\">{limit}</td><td class=\"n\">{progress:.0} %</td><td>{error}</td></tr>\n"
    )
}

/// The page.
pub(super) fn render(shared: &Shared) -> String {
    let name = escaped(&shared.name);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"3\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>Resources of {name}</title>\
         <style>{STYLE}</style></head><body><h1>Resources of {name}</h1>\n<table><thead><tr><th scope=\"col\">Kind</th>\
         <th scope=\"col\">Phase</th><th scope=\"col\" class=\"n\">Wanted</th><th scope=\"col\" class=\"n\">Actual</th>\
         <th scope=\"col\" class=\"n\">Limit</th><th scope=\"col\" class=\"n\">Progress</th><th scope=\"col\">Error</th>\
         </tr></thead><tbody>\n"
    );
    for group in shared.groups.values() {
        page.push_str(&row(&group.state()));
    }
    let example = "curl -d '{\"amount\": \"512MiB\", \"for\": \"10m\"}' http://HOST:PORT/v1/memory\ncurl -X DELETE http://HOST:PORT/v1/memory";
    let _ = write!(page, "</tbody></table>\n<pre>{}</pre>\n</body></html>\n", escaped(example));
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        assert_eq!(escaped("<b a=\"x\" b='y'>&"), "&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;");
        assert_eq!(
            (bytes(Some(1536 << 20)), bytes(Some(3)), bytes(None)),
            ("1.5 GiB".into(), "3 B".into(), "–".into())
        );
    }
}
