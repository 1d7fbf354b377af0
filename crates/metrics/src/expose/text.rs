//! The two text forms.

use std::fmt::Write;

use crate::distribution::{Distribution, Exemplar};
use crate::family::{Families, Family, Value};
use crate::metric::{Kind, Unit};

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    Prometheus,
    OpenMetrics,
}

/// Everything. Writing to a string cannot fail.
pub(super) fn render(families: &Families, flavour: Flavour) -> String {
    // About as long as a series is.
    let mut out = String::with_capacity(families.len() * 96);
    for family in families.iter() {
        head(&mut out, family, flavour);
        let names: Vec<&str> = family.metric.labels_scraped().collect();
        let mut labels = String::new();
        for series in &family.series {
            labels.clear();
            for (name, value) in names.iter().zip(&series.labels) {
                if !value.is_empty() {
                    label(&mut labels, name, value);
                }
            }
            match &series.value {
                Value::Count(count) => {
                    sample(&mut out, family.metric.name, "", &labels);
                    let _ = writeln!(out, "{count}");
                }
                Value::Number(number) => {
                    sample(&mut out, family.metric.name, "", &labels);
                    float(&mut out, *number);
                    out.push('\n');
                }
                Value::Distribution(distribution) => {
                    buckets(&mut out, family.metric.name, &labels, distribution, flavour);
                }
            }
        }
    }
    if flavour == Flavour::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn head(out: &mut String, family: &Family, flavour: Flavour) {
    let metric = family.metric;
    let name = match flavour {
        Flavour::Prometheus => metric.name,
        Flavour::OpenMetrics => metric.base_name(),
    };
    let kind = match (metric.kind, flavour) {
        (Kind::Info, Flavour::Prometheus) => Kind::Gauge.name(),
        (kind, _) => kind.name(),
    };
    let _ = write!(out, "# HELP {name} ");
    for character in metric.help.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if flavour == Flavour::OpenMetrics => out.push_str("\\\""),
            character => out.push(character),
        }
    }
    let _ = writeln!(out, "\n# TYPE {name} {kind}");
    if flavour == Flavour::OpenMetrics && metric.unit != Unit::None {
        let _ = writeln!(out, "# UNIT {name} {}", metric.unit.suffix());
    }
}

/// Adds `name="value"`, after a comma where there was something.
fn label(labels: &mut String, name: &str, value: &str) {
    if !labels.is_empty() {
        labels.push(',');
    }
    labels.push_str(name);
    labels.push_str("=\"");
    if value.contains(['\\', '"', '\n']) {
        for character in value.chars() {
            match character {
                '\\' => labels.push_str("\\\\"),
                '"' => labels.push_str("\\\""),
                '\n' => labels.push_str("\\n"),
                character => labels.push(character),
            }
        }
    } else {
        labels.push_str(value);
    }
    labels.push('"');
}

fn sample(out: &mut String, name: &str, suffix: &str, labels: &str) {
    out.push_str(name);
    out.push_str(suffix);
    if !labels.is_empty() {
        out.push('{');
        out.push_str(labels);
        out.push('}');
    }
    out.push(' ');
}

fn float(out: &mut String, number: f64) {
    let _ = match number {
        number if number.is_nan() => write!(out, "NaN"),
        f64::INFINITY => write!(out, "+Inf"),
        f64::NEG_INFINITY => write!(out, "-Inf"),
        // Shorter than with all its zeros, and both forms read it.
        number if number.abs() >= 1e17 || (number != 0.0 && number.abs() < 1e-6) => write!(out, "{number:e}"),
        number => write!(out, "{number}"),
    };
}

/// Bounds are written with a fraction in both forms, as Prometheus 3 and its protobuf reader write them: the same
/// series whatever was negotiated.
fn bound(out: &mut String, bound: f64) {
    if bound == f64::INFINITY {
        out.push_str("+Inf");
    } else {
        let _ = write!(out, "{bound:?}");
    }
}

fn buckets(out: &mut String, name: &str, labels: &str, distribution: &Distribution, flavour: Flavour) {
    let mut exemplars: Vec<Option<&Exemplar>> = vec![None; distribution.counts.len()];
    if flavour == Flavour::OpenMetrics {
        for exemplar in &distribution.exemplars {
            if let Some(place) = exemplars.get_mut(distribution.bucket_of(exemplar.value)) {
                *place = Some(exemplar);
            }
        }
    }
    for ((upper, count), exemplar) in distribution.cumulative().zip(exemplars) {
        out.push_str(name);
        out.push_str("_bucket{");
        out.push_str(labels);
        out.push_str(if labels.is_empty() { "le=\"" } else { ",le=\"" });
        bound(out, upper);
        let _ = write!(out, "\"}} {count}");
        if let Some(exemplar) = exemplar {
            out.push_str(" # {");
            let mut trace = String::new();
            label(&mut trace, "trace_id", &exemplar.trace_id);
            out.push_str(&trace);
            out.push_str("} ");
            float(out, exemplar.value);
            let (seconds, nanoseconds) = (exemplar.unix_ns / 1_000_000_000, exemplar.unix_ns % 1_000_000_000);
            let _ = write!(out, " {seconds}.{:03}", nanoseconds / 1_000_000);
        }
        out.push('\n');
    }
    sample(out, name, "_sum", labels);
    float(out, distribution.sum);
    out.push('\n');
    sample(out, name, "_count", labels);
    let _ = writeln!(out, "{}", distribution.count());
}
