//! `docs/metrics.md` is made from the names, and the names keep their rules.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use nuncius_metrics::names::{AREAS, all};
use nuncius_metrics::{Kind, Source, Unit};

const BEGIN: &str = "<!-- The tables are made: NUNCIUS_UPDATE=1 cargo test -p nuncius-metrics -->\n";

#[test]
fn the_document_has_every_metric_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let present = std::fs::read_to_string(&path).unwrap();
    let (text, _) = present.split_once(BEGIN).unwrap();
    let expected = format!("{text}{BEGIN}{}", tables());
    if std::env::var_os("NUNCIUS_UPDATE").is_some() {
        std::fs::write(&path, expected).unwrap();
        return;
    }
    assert!(present == expected, "docs/metrics.md is old: NUNCIUS_UPDATE=1 cargo test -p nuncius-metrics");
}

fn tables() -> String {
    let mut out = String::new();
    for (area, families) in AREAS {
        if families.is_empty() {
            continue;
        }
        let _ = write!(out, "\n## {area}\n\n| name | kind | unit | labels | |\n|---|---|---|---|---|\n");
        for metric in families {
            let labels: Vec<String> = metric.labels_scraped().map(|label| format!("`{label}`")).collect();
            let unit = match metric.unit {
                Unit::None => "",
                unit => unit.suffix(),
            };
            let (name, kind, help) = (metric.name, metric.kind.name(), metric.help);
            let _ = writeln!(out, "| `{name}` | {kind} | {unit} | {} | {help} |", labels.join(" "));
        }
    }
    out
}

#[test]
fn names_say_their_unit_and_their_kind() {
    let mut seen = BTreeSet::new();
    for metric in all() {
        let name = metric.name;
        assert!(seen.insert(name), "{name} is there twice");
        assert!(name.starts_with("nuncius_") || name.starts_with("hpa_"), "{name}");
        let plain = |text: &str| text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        assert!(plain(name) && !name.contains("__"), "{name}");
        assert_eq!(metric.kind == Kind::Counter, name.ends_with("_total"), "{name}");
        assert_eq!(metric.kind == Kind::Info, name.ends_with("_info"), "{name}");
        assert!(metric.base_name().ends_with(metric.unit.suffix()), "{name} does not end in its unit");
        assert!(metric.help.ends_with('.') && metric.help.len() > 10, "{name}: {}", metric.help);
        assert!(!metric.help.contains('|') && !metric.help.contains('\n'), "{name}");
        let labels: BTreeSet<&str> = metric.labels_scraped().collect();
        assert_eq!(labels.len(), metric.labels_scraped().count(), "a label of {name} is there twice");
        assert!(
            labels.iter().all(|label| plain(label) && !["le", "quantile", "job", "instance"].contains(label)),
            "{name}"
        );
        if metric.source == Source::Process {
            assert_eq!(metric.labels_scraped().next(), Some("node"), "{name}");
        }
    }
}

/// Samples of a histogram have names of their own; another family must not take one.
#[test]
fn no_name_is_that_of_a_histograms_parts() {
    let names: BTreeSet<&str> = all().map(|metric| metric.name).collect();
    for histogram in all().filter(|metric| metric.kind == Kind::Histogram) {
        for part in ["bucket", "sum", "count"] {
            assert!(!names.contains(format!("{}_{part}", histogram.name).as_str()), "{}", histogram.name);
        }
    }
}
