//! Families as Prometheus scrapes them: three forms, chosen by what the scraper says it reads.
//!
//! They are written here and not by `prometheus-client`, whose encoder cannot be given the exemplars of a histogram
//! that it has not filled itself: what is told here was counted elsewhere. Where it can say the same, a test compares.

mod protobuf;
mod text;

use crate::family::Families;

/// A form of exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Prometheus' own text, version 0.0.4: everybody reads it; without exemplars.
    Text,
    /// OpenMetrics text, version 1.0.0: with exemplars and units.
    OpenMetrics,
    /// Delimited messages `io.prometheus.client.MetricFamily`: with native histograms, exemplars, and since when
    /// something has been counted.
    Protobuf,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Text, Self::OpenMetrics, Self::Protobuf];

    /// The name in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::OpenMetrics => "openmetrics",
            Self::Protobuf => "protobuf",
        }
    }

    /// What the header `Content-Type` says.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// The form that a header `Accept` likes best, text where it says nothing that is known here.
    pub fn negotiate(accept: &str) -> Self {
        let mut best = (0.0, Self::Text);
        for range in accept.split(',') {
            let Some((format, quality)) = offered(range) else { continue };
            if quality > best.0 {
                best = (quality, format);
            }
        }
        best.1
    }
}

/// What one range of an `Accept` header stands for, and how much it is liked.
fn offered(range: &str) -> Option<(Format, f64)> {
    let mut parts = range.split(';').map(str::trim);
    let kind = parts.next()?.to_ascii_lowercase();
    let (mut version, mut message, mut encoding, mut quality) = (None, None, None, 1.0);
    for part in parts {
        let (name, value) = part.split_once('=')?;
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "q" => quality = value.parse().ok().filter(|quality| (0.0..=1.0).contains(quality))?,
            "version" => version = Some(value),
            "proto" => message = Some(value),
            "encoding" => encoding = Some(value),
            _ => {}
        }
    }
    let format = match kind.as_str() {
        "application/vnd.google.protobuf" => {
            let is_ours = message == Some("io.prometheus.client.MetricFamily") && encoding == Some("delimited");
            is_ours.then_some(Format::Protobuf)
        }
        "application/openmetrics-text" => {
            matches!(version, None | Some("0.0.1" | "1.0.0")).then_some(Format::OpenMetrics)
        }
        "text/plain" => matches!(version, None | Some("0.0.4" | "1.0.0")).then_some(Format::Text),
        "text/*" | "*/*" => Some(Format::Text),
        _ => None,
    }?;
    Some((format, quality))
}

/// Writes families in a form.
pub fn render(families: &Families, format: Format) -> Vec<u8> {
    match format {
        Format::Text => text::render(families, text::Flavour::Prometheus).into_bytes(),
        Format::OpenMetrics => text::render(families, text::Flavour::OpenMetrics).into_bytes(),
        Format::Protobuf => protobuf::render(families),
    }
}

/// Prometheus' own text, for pages that have no other.
pub fn text(families: &Families) -> String {
    text::render(families, text::Flavour::Prometheus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrapers_get_the_best_that_they_read() {
        for (accept, format) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Format::Text),
            // 2.42.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            // 2.42 with native histograms.
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
                 application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::Protobuf,
            ),
            // 3.x.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Format::OpenMetrics,
            ),
            ("application/vnd.google.protobuf;proto=other;encoding=delimited,text/plain;q=0.1", Format::Text),
            ("application/openmetrics-text;version=2.0.0,text/plain;version=0.0.4;q=0.1", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=x;;=,", Format::Text),
        ] {
            assert_eq!(Format::negotiate(accept), format, "{accept}");
        }
    }
}
