//! What is committed is what is made, and what is made fits the metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use nuncius_dashboards::{Board, NOT_SHOWN, all};
use nuncius_metrics::{Kind, names};
use regex::Regex;
use serde_json::Value;

/// Metrics that others make: Prometheus of alerts.
const FOREIGN: &[&str] = &["ALERTS"];
/// Labels that Prometheus or its operator adds, and what histograms have.
const ADDED_LABELS: &[&str] = &["namespace", "le"];

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana/dashboards")
}

/// Every query in a dashboard: of panels, annotations and variables.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key == "expr" || key == "query" => found.push(text.clone()),
                    other => queries(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| queries(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn queries_of(board: &Board) -> Vec<String> {
    let mut found = Vec::new();
    queries(&board.json, &mut found);
    assert!(!found.is_empty(), "{} asks nothing", board.file);
    found
}

/// The family of a name in a query: of a histogram there are several names.
fn family(name: &str) -> Option<&'static nuncius_metrics::Metric> {
    let histogram = ["_bucket", "_sum", "_count"].into_iter().find_map(|suffix| name.strip_suffix(suffix));
    names::find(name).or_else(|| names::find(histogram?).filter(|metric| metric.kind == Kind::Histogram))
}

#[test]
fn what_is_committed_is_what_is_made() {
    let is_update = std::env::var_os("NUNCIUS_UPDATE").is_some_and(|value| value == "1");
    let mut files = BTreeSet::new();
    for board in all() {
        let path = directory().join(format!("{}.json", board.file));
        if is_update {
            std::fs::write(&path, serde_json::to_string_pretty(&board.json).unwrap() + "\n").unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let committed: Value = serde_json::from_str(&text).unwrap_or_default();
        let anew = "NUNCIUS_UPDATE=1 cargo test -p nuncius-dashboards";
        assert!(committed == board.json, "{} is not what is made; write it anew: {anew}", path.display());
        files.insert(format!("{}.json", board.file));
    }
    let found = std::fs::read_dir(directory()).unwrap();
    let found: BTreeSet<String> = found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, files, "files that are not made");
}

#[test]
fn every_metric_that_is_named_exists_with_these_labels() {
    let selector = Regex::new(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}").unwrap();
    let matcher = Regex::new(r#"(\w+)\s*(?:=~|!~|!=|=)\s*"[^"]*""#).unwrap();
    let bare = Regex::new(r"\b((?:nuncius|hpa)_[a-z0-9_]+)\b").unwrap();
    for board in all() {
        for query in queries_of(&board) {
            for name in bare.find_iter(&query).map(|found| found.as_str()) {
                assert!(family(name).is_some(), "{}: there is no metric {name}: {query}", board.file);
            }
            for found in selector.captures_iter(&query) {
                let (name, matchers) = (&found[1], &found[2]);
                if FOREIGN.contains(&name) {
                    continue;
                }
                let metric = family(name).unwrap_or_else(|| panic!("{}: there is no metric {name}", board.file));
                for label in matcher.captures_iter(matchers).map(|label| label[1].to_owned()) {
                    let is_known = metric.labels_scraped().any(|known| known == label);
                    assert!(
                        is_known || ADDED_LABELS.contains(&label.as_str()),
                        "{}: {name} has no label {label}: {query}",
                        board.file
                    );
                }
            }
        }
    }
}

#[test]
fn every_family_is_shown_or_it_is_said_why_not() {
    let name = Regex::new(r"\b((?:nuncius|hpa)_[a-z0-9_]+)\b").unwrap();
    let mut shown = BTreeSet::new();
    for query in all().iter().flat_map(queries_of) {
        shown.extend(name.find_iter(&query).filter_map(|found| family(found.as_str())).map(|metric| metric.name));
    }
    let not_shown: BTreeMap<&str, &str> = NOT_SHOWN.iter().map(|(metric, why)| (metric.name, *why)).collect();
    for metric in names::all() {
        let is_excused = not_shown.contains_key(metric.name);
        assert!(shown.contains(metric.name) || is_excused, "no dashboard shows {}", metric.name);
        assert!(!(shown.contains(metric.name) && is_excused), "{} is shown, and said not to be", metric.name);
    }
    assert!(not_shown.values().all(|why| !why.is_empty()));
}

#[test]
fn counters_are_shown_as_what_they_grow_by_and_levels_as_they_are() {
    let of_range = Regex::new(r"\b(rate|increase|changes)\(([a-z_0-9]+)\{").unwrap();
    let any = Regex::new(r"\b((?:nuncius|hpa)_[a-z0-9_]+)\{").unwrap();
    for board in all() {
        let mut panels = Vec::new();
        panels_of(&board.json["panels"], &mut panels);
        for (panel, target) in panels
            .iter()
            .flat_map(|panel| panel["targets"].as_array().into_iter().flatten().map(move |target| (panel, target)))
        {
            let expr = target["expr"].as_str().unwrap();
            let place = format!("{}: {}: {expr}", board.file, panel["title"]);
            let grown: BTreeSet<&str> =
                of_range.captures_iter(expr).map(|found| found.get(2).unwrap().as_str()).collect();
            for name in &grown {
                let kind = family(name).unwrap_or_else(|| panic!("{place}")).kind;
                assert!(matches!(kind, Kind::Counter | Kind::Histogram), "a level does not grow: {place}");
            }
            let is_so_far = ["stat"].contains(&panel["type"].as_str().unwrap());
            for name in any.captures_iter(expr).map(|found| found[1].to_owned()) {
                let kind = family(&name).unwrap().kind;
                assert!(
                    matches!(kind, Kind::Gauge | Kind::Info) || grown.contains(name.as_str()) || is_so_far,
                    "a counter is shown as it is: {place}"
                );
            }
        }
    }
}

/// Panels that show something, those in closed rows among them.
fn panels_of<'a>(panels: &'a Value, found: &mut Vec<&'a Value>) {
    for panel in panels.as_array().into_iter().flatten() {
        if panel["type"] == "row" {
            panels_of(&panel["panels"], found);
        } else {
            found.push(panel);
        }
    }
}

#[test]
fn panels_lie_beside_each_other_and_tell_what_they_show() {
    for board in all() {
        let mut panels = Vec::new();
        panels_of(&board.json["panels"], &mut panels);
        let mut taken = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for panel in panels {
            let title = panel["title"].as_str().unwrap();
            let told = panel["description"].as_str().unwrap();
            assert!(!title.is_empty() && told.ends_with('.'), "{}: {title}: {told:?}", board.file);
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{}: two panels with one id", board.file);
            let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            let (x, y) = (place("x"), place("y"));
            for cell in (x..x + place("w")).flat_map(|x| (y..y + place("h")).map(move |y| (x, y))) {
                assert!(cell.0 < 24, "{}: {title} is too wide", board.file);
                let other = taken.insert(cell, title);
                assert_eq!(other, None, "{}: {title} lies on another panel", board.file);
            }
        }
    }
}
