//! Families to messages.

use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1 as wire;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::{PERIOD, SCOPE};
use crate::family::{Families, Family, Series, Value};
use crate::metric::{Kind, Metric};

/// Room in a message for what is not a metric: the resource, the scope.
const ENVELOPE_BYTES: usize = 4 * 1024;

/// Who tells, and how much at once.
#[derive(Debug, Clone)]
pub struct Sender {
    /// Attributes of the resource: `service.name`, `service.instance.id` and whatever else.
    pub resource: Vec<(String, String)>,
    /// Since when its counters count, nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
    /// Longest message, in bytes.
    pub message_max_bytes: usize,
}

/// Messages with all of the families, each within the limit, and how many series had to be left out because their
/// family alone exceeds it: a family is never told in two messages, so that each replaces what was told of it before.
pub fn encode(families: &Families, sender: &Sender, now_unix_ns: u64, period: Duration) -> (Vec<Bytes>, u64) {
    let room = sender.message_max_bytes.saturating_sub(ENVELOPE_BYTES);
    let (mut messages, mut left_out) = (Vec::new(), 0);
    let (mut metrics, mut bytes) = (Vec::new(), 0);
    for family in families.iter() {
        let (metric, cut) = fitting(family, sender, now_unix_ns, room);
        left_out += cut;
        let length = metric.encoded_len() + 8;
        if bytes + length > room && !metrics.is_empty() {
            messages.push(message(std::mem::take(&mut metrics), sender, period));
            bytes = 0;
        }
        bytes += length;
        metrics.push(metric);
    }
    if !metrics.is_empty() {
        messages.push(message(metrics, sender, period));
    }
    (messages, left_out)
}

/// A family with as many of its series as there is room for, and how many there is none for.
fn fitting(family: &Family, sender: &Sender, now_unix_ns: u64, room: usize) -> (wire::Metric, u64) {
    let mut shown = family.series.len();
    loop {
        let series = family.series.get(..shown).unwrap_or_default();
        let metric = metric(family.metric, series, sender, now_unix_ns);
        let length = metric.encoded_len() + 8;
        if length <= room || shown == 0 {
            return (metric, (family.series.len() - shown) as u64);
        }
        // Nearly as many as fit; always fewer.
        shown = (shown * room / length).min(shown - 1);
    }
}

fn message(metrics: Vec<wire::Metric>, sender: &Sender, period: Duration) -> Bytes {
    let resource = Resource {
        attributes: sender.resource.iter().map(|(name, value)| attribute(name, value.clone())).collect(),
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: SCOPE.to_owned(),
        attributes: vec![KeyValue {
            key: PERIOD.to_owned(),
            value: Some(AnyValue { value: Some(any_value::Value::DoubleValue(period.as_secs_f64())) }),
            ..KeyValue::default()
        }],
        ..InstrumentationScope::default()
    };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![wire::ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![wire::ScopeMetrics { scope: Some(scope), metrics, ..wire::ScopeMetrics::default() }],
            ..wire::ResourceMetrics::default()
        }],
    };
    request.encode_to_vec().into()
}

fn attribute(name: &str, value: String) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value)) });
    KeyValue { key: name.to_owned(), value, ..KeyValue::default() }
}

fn metric(metric: &Metric, series: &[Series], sender: &Sender, now_unix_ns: u64) -> wire::Metric {
    let names: Vec<&str> = metric.labels_scraped().collect();
    let attributes = |series: &Series| {
        let told = names.iter().zip(&series.labels).filter(|(_, value)| !value.is_empty());
        told.map(|(name, value)| attribute(name, value.clone())).collect()
    };
    let since = |series: &Series| if series.since_unix_ns > 0 { series.since_unix_ns } else { sender.start_unix_ns };
    let number = |series: &Series| {
        let value = match series.value {
            // What is beyond 2^63 has no whole number in OTLP.
            Value::Count(count) => i64::try_from(count).map_or_else(
                |_| wire::number_data_point::Value::AsDouble(count as f64),
                wire::number_data_point::Value::AsInt,
            ),
            Value::Number(number) => wire::number_data_point::Value::AsDouble(number),
            Value::Distribution(_) => return None,
        };
        Some(wire::NumberDataPoint {
            attributes: attributes(series),
            start_time_unix_nano: since(series),
            time_unix_nano: now_unix_ns,
            value: Some(value),
            ..wire::NumberDataPoint::default()
        })
    };
    let distribution = |series: &Series| {
        let Value::Distribution(distribution) = &series.value else { return None };
        Some(wire::HistogramDataPoint {
            attributes: attributes(series),
            start_time_unix_nano: since(series),
            time_unix_nano: now_unix_ns,
            count: distribution.count(),
            sum: Some(distribution.sum),
            bucket_counts: distribution.counts.clone(),
            explicit_bounds: distribution.bounds.to_vec(),
            ..wire::HistogramDataPoint::default()
        })
    };
    let cumulative = wire::AggregationTemporality::Cumulative as i32;
    let data = match metric.kind {
        Kind::Counter => wire::metric::Data::Sum(wire::Sum {
            data_points: series.iter().filter_map(number).collect(),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        Kind::Gauge | Kind::Info => {
            wire::metric::Data::Gauge(wire::Gauge { data_points: series.iter().filter_map(number).collect() })
        }
        Kind::Histogram => wire::metric::Data::Histogram(wire::Histogram {
            data_points: series.iter().filter_map(distribution).collect(),
            aggregation_temporality: cumulative,
        }),
    };
    wire::Metric {
        name: match metric.kind {
            Kind::Counter => metric.base_name().to_owned(),
            Kind::Gauge | Kind::Histogram | Kind::Info => metric.name.to_owned(),
        },
        description: metric.help.to_owned(),
        unit: metric.unit.ucum().to_owned(),
        data: Some(data),
        ..wire::Metric::default()
    }
}
