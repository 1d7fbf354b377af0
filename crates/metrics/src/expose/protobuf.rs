//! The form of delimited messages, `io.prometheus.client` (client_model's metrics.proto): the part of it that is told.

use prost::Message;

use crate::distribution::{Distribution, Native};
use crate::family::{Families, Series, Value};
use crate::metric::Kind;

const COUNTER: i32 = 0;
const GAUGE: i32 = 1;
const HISTOGRAM: i32 = 4;

#[derive(Clone, PartialEq, Message)]
pub(super) struct LabelPair {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExemplarMessage {
    #[prost(message, repeated, tag = "1")]
    pub(super) label: Vec<LabelPair>,
    #[prost(double, tag = "2")]
    pub(super) value: f64,
    #[prost(message, optional, tag = "3")]
    pub(super) timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Gauge {
    #[prost(double, tag = "1")]
    pub(super) value: f64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Counter {
    #[prost(double, tag = "1")]
    pub(super) value: f64,
    #[prost(message, optional, tag = "3")]
    pub(super) start_timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Bucket {
    #[prost(uint64, tag = "1")]
    pub(super) cumulative_count: u64,
    #[prost(double, tag = "2")]
    pub(super) upper_bound: f64,
    #[prost(message, optional, tag = "3")]
    pub(super) exemplar: Option<ExemplarMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BucketSpan {
    #[prost(sint32, tag = "1")]
    pub(super) offset: i32,
    #[prost(uint32, tag = "2")]
    pub(super) length: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Histogram {
    #[prost(uint64, tag = "1")]
    pub(super) sample_count: u64,
    #[prost(double, tag = "2")]
    pub(super) sample_sum: f64,
    #[prost(message, repeated, tag = "3")]
    pub(super) bucket: Vec<Bucket>,
    #[prost(sint32, tag = "5")]
    pub(super) schema: i32,
    #[prost(double, tag = "6")]
    pub(super) zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    pub(super) zero_count: u64,
    #[prost(message, repeated, tag = "12")]
    pub(super) positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "13")]
    pub(super) positive_delta: Vec<i64>,
    #[prost(message, optional, tag = "15")]
    pub(super) start_timestamp: Option<Timestamp>,
    #[prost(message, repeated, tag = "16")]
    pub(super) exemplars: Vec<ExemplarMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetricMessage {
    #[prost(message, repeated, tag = "1")]
    pub(super) label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    pub(super) gauge: Option<Gauge>,
    #[prost(message, optional, tag = "3")]
    pub(super) counter: Option<Counter>,
    #[prost(message, optional, tag = "7")]
    pub(super) histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetricFamily {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) help: String,
    #[prost(int32, tag = "3")]
    pub(super) kind: i32,
    #[prost(message, repeated, tag = "4")]
    pub(super) metric: Vec<MetricMessage>,
    #[prost(string, tag = "5")]
    pub(super) unit: String,
}

/// Everything, each family after its length.
pub(super) fn render(families: &Families) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(families.len() * 128);
    for family in families.iter() {
        let metric = family.metric;
        let names: Vec<&str> = metric.labels_scraped().collect();
        let message = MetricFamily {
            name: metric.name.to_owned(),
            help: metric.help.to_owned(),
            kind: match metric.kind {
                Kind::Counter => COUNTER,
                Kind::Gauge | Kind::Info => GAUGE,
                Kind::Histogram => HISTOGRAM,
            },
            metric: family.series.iter().map(|series| sample(metric.kind, &names, series)).collect(),
            unit: metric.unit.suffix().to_owned(),
        };
        bytes.extend_from_slice(&message.encode_length_delimited_to_vec());
    }
    bytes
}

fn sample(kind: Kind, names: &[&str], series: &Series) -> MetricMessage {
    let told = names.iter().zip(&series.labels).filter(|(_, value)| !value.is_empty());
    let label = told.map(|(name, value)| LabelPair { name: (*name).to_owned(), value: value.clone() }).collect();
    let start_timestamp = || timestamp(series.since_unix_ns);
    let number = |value: f64| match kind {
        Kind::Counter => (None, Some(Counter { value, start_timestamp: start_timestamp() })),
        Kind::Gauge | Kind::Info | Kind::Histogram => (Some(Gauge { value }), None),
    };
    let ((gauge, counter), histogram) = match &series.value {
        Value::Count(count) => (number(*count as f64), None),
        Value::Number(value) => (number(*value), None),
        Value::Distribution(distribution) => ((None, None), Some(histogram(distribution, start_timestamp()))),
    };
    MetricMessage { label, gauge, counter, histogram }
}

fn timestamp(unix_ns: u64) -> Option<Timestamp> {
    let seconds = i64::try_from(unix_ns / 1_000_000_000).ok().filter(|seconds| *seconds > 0)?;
    Some(Timestamp { seconds, nanos: (unix_ns % 1_000_000_000) as i32 })
}

fn histogram(distribution: &Distribution, start_timestamp: Option<Timestamp>) -> Histogram {
    let exemplars: Vec<ExemplarMessage> = distribution
        .exemplars
        .iter()
        .map(|exemplar| ExemplarMessage {
            label: vec![LabelPair { name: "trace_id".to_owned(), value: exemplar.trace_id.clone() }],
            value: exemplar.value,
            timestamp: timestamp(exemplar.unix_ns),
        })
        .collect();
    let mut bucket: Vec<Bucket> = distribution
        .cumulative()
        .map(|(upper_bound, cumulative_count)| Bucket { cumulative_count, upper_bound, exemplar: None })
        .collect();
    for exemplar in &exemplars {
        if let Some(bucket) = bucket.get_mut(distribution.bucket_of(exemplar.value)) {
            bucket.exemplar = Some(exemplar.clone());
        }
    }
    let mut message = Histogram {
        sample_count: distribution.count(),
        sample_sum: distribution.sum,
        bucket,
        start_timestamp,
        ..Histogram::default()
    };
    if let Some(native) = &distribution.native {
        message.schema = native.schema;
        message.zero_threshold = native.zero_threshold;
        message.zero_count = native.zero_count;
        (message.positive_span, message.positive_delta) = spans(native);
        message.exemplars = exemplars;
    }
    message
}

/// Buckets in runs without gaps, and how much each count differs from the one before.
fn spans(native: &Native) -> (Vec<BucketSpan>, Vec<i64>) {
    /// So many empty buckets cost no more than another run.
    const GAP_MAX: i32 = 2;
    let mut spans: Vec<BucketSpan> = Vec::new();
    let mut deltas = Vec::with_capacity(native.buckets.len());
    let (mut next, mut before) = (0i32, 0i64);
    for (index, count) in &native.buckets {
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        let gap = index.saturating_sub(next);
        match spans.last_mut() {
            Some(span) if gap <= GAP_MAX => {
                for _ in 0..gap {
                    deltas.push(-before);
                    before = 0;
                }
                span.length += gap.unsigned_abs() + 1;
            }
            Some(_) | None => spans.push(BucketSpan { offset: gap, length: 1 }),
        }
        deltas.push(count.saturating_sub(before));
        (next, before) = (index.saturating_add(1), count);
    }
    if spans.is_empty() {
        // By this it is known to be a native one, though nothing was observed.
        spans.push(BucketSpan { offset: 0, length: 0 });
    }
    (spans, deltas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_buckets_and_differences_say_which_counts_there_are() {
        let buckets = vec![(-3, 5), (-2, 2), (1, 4), (9, 1)];
        let (spans, deltas) = spans(&Native { schema: 5, buckets: buckets.clone(), ..Native::default() });
        let spans: Vec<(i32, u32)> = spans.iter().map(|span| (span.offset, span.length)).collect();
        assert_eq!(spans, [(-3, 5), (7, 1)]);
        assert_eq!(deltas, [5, -3, -2, 0, 4, -3]);
        // Read as Prometheus reads it.
        let (mut index, mut count, mut deltas, mut read) = (0, 0, deltas.into_iter(), Vec::new());
        for (offset, length) in spans {
            index += offset;
            for _ in 0..length {
                count += deltas.next().unwrap();
                read.push((index, count as u64));
                index += 1;
            }
        }
        read.retain(|(_, count)| *count > 0);
        assert_eq!(read, buckets);
    }
}
