//! What is told of the system, as tables.

use nuncius_pages::system::SystemPart;
use nuncius_report::format::{bytes, count, duration, utc};
use serde_json::Value;

/// Fields of the system that say what something is.
const NAMES: [&str; 2] = ["name", "key"];
/// The list of what could not be asked: there is nothing to show where there is none.
const MISSING: &str = "missing";
/// Rows of a part of the system that are shown.
const PART_ROWS_MAX: usize = 200;

/// A table for each list of what is told, and one for all single values.
pub(super) fn parts_of(told: &Value) -> Vec<SystemPart> {
    let mut single = SystemPart {
        title: "At a glance".to_owned(),
        heading: vec!["what".to_owned(), "value".to_owned()],
        rows: Vec::new(),
    };
    let mut parts = Vec::new();
    collect("", told, &mut single, &mut parts);
    single.rows.truncate(PART_ROWS_MAX);
    let mut all = vec![single];
    all.extend(parts);
    all
}

fn collect(name: &str, told: &Value, single: &mut SystemPart, parts: &mut Vec<SystemPart>) {
    match told {
        Value::Object(fields) => {
            for (field, value) in fields {
                let below = if name.is_empty() { field.clone() } else { format!("{name} {field}") };
                collect(&below.replace('_', " "), value, single, parts);
            }
        }
        Value::Array(items) => {
            let mut heading: Vec<String> = Vec::new();
            for item in items.iter().filter_map(Value::as_object) {
                heading.extend(item.keys().filter(|key| !heading.contains(key)).cloned().collect::<Vec<String>>());
            }
            if items.is_empty() && name == MISSING {
                return;
            }
            // What it is comes first, then what is said of it.
            heading.sort_by_key(|key| !NAMES.contains(&key.as_str()));
            let cells = |item: &Value| match item {
                Value::Object(fields) => heading
                    .iter()
                    .map(|key| fields.get(key).map_or_else(String::new, |value| told_as(key, value)))
                    .collect(),
                other => vec![shown(other)],
            };
            let rows = items.iter().take(PART_ROWS_MAX).map(cells).collect();
            let titles = if heading.is_empty() { vec![name.to_owned()] } else { heading.clone() };
            let titles = titles.iter().map(|title| title_of(title)).collect();
            parts.push(SystemPart { title: capitalised(name), heading: titles, rows });
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            single.rows.push(vec![title_of(name), told_as(&name.replace(' ', "_"), told)]);
        }
    }
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A field without its unit, which its values have.
fn title_of(field: &str) -> String {
    let short =
        ["_unix_ms", "_ns", " unix ms", " ns"].iter().find_map(|unit| field.strip_suffix(unit)).unwrap_or(field);
    short.replace('_', " ")
}

/// A value with the unit that its field's name says.
fn told_as(field: &str, value: &Value) -> String {
    match value.as_u64() {
        Some(number) if field.ends_with("bytes") => bytes(number),
        Some(number) if field.ends_with("_unix_ms") => utc(number),
        Some(number) if field.ends_with("_ns") => duration(number),
        Some(number) => count(number),
        None => shown(value),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => {
            let names: Vec<String> =
                items.iter().map(|item| item.get("name").map_or_else(|| shown(item), shown)).collect();
            names.join(", ")
        }
        Value::Object(fields) => {
            let all: Vec<String> = fields.iter().map(|(name, value)| format!("{name} {}", shown(value))).collect();
            all.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_tables_with_names_first_and_numbers_have_the_unit_that_their_field_says() {
        let told = json!({
            "nats": { "version": "2.15.1", "storage_bytes": 2_048 },
            "daemons": [{ "host": "vm", "name": "d1", "round_trip_ns": 1_500_000, "started_unix_ms": 0 }],
            "missing": [],
        });
        let parts = parts_of(&told);
        assert_eq!(parts.len(), 2, "what is not missing is not told: {parts:?}");
        assert!(parts[0].rows.contains(&vec!["nats storage bytes".to_owned(), "2.00KiB".to_owned()]), "{parts:?}");
        assert_eq!(parts[1].heading, ["name", "host", "round trip", "started"]);
        assert_eq!(parts[1].rows, [["d1", "vm", "1.50ms", "1970-01-01 00:00:00 UTC"]]);
    }
}
