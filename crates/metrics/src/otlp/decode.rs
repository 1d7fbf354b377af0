//! Messages to families. Everything in them may have been made by a stranger.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1 as wire;
use prost::Message;

use super::{INSTANCE, PERIOD, SERVICE};
use crate::distribution::Distribution;
use crate::family::{Series, Value};
use crate::metric::{Kind, Metric};
use crate::names;

/// Longest name of a process that is kept, in bytes.
const NAME_MAX_BYTES: usize = 128;
/// How often things are told where the message does not say.
const PERIOD_DEFAULT: Duration = Duration::from_secs(10);
/// The shortest and the longest time that is believed.
const PERIOD_RANGE: (f64, f64) = (0.1, 300.0);

/// What may be in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most samples of a message.
    pub points_max: usize,
    /// Longest value of a label, in bytes; the rest is cut off.
    pub label_max_bytes: usize,
    /// Most buckets of a histogram.
    pub buckets_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { points_max: 20_000, label_max_bytes: 256, buckets_max: 128 }
    }
}

/// Why something was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refused {
    /// Bytes that are no such message.
    Undecodable,
    /// No process is named.
    UnknownProcess,
    /// A name that no part of Nuncius has.
    UnknownName,
    /// Another kind than the name has, or differences instead of sums.
    WrongKind,
    /// A label that the family does not have.
    UnknownLabel,
    /// A number that cannot be: a count below 0, buckets that do not add up.
    BadValue,
    /// Beyond [`Limits::points_max`].
    TooManyPoints,
    /// Of a process beyond as many as are kept.
    TooManyProcesses,
    /// Beyond as many series as are kept.
    TooManySeries,
}

impl Refused {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Undecodable,
        Self::UnknownProcess,
        Self::UnknownName,
        Self::WrongKind,
        Self::UnknownLabel,
        Self::BadValue,
        Self::TooManyPoints,
        Self::TooManyProcesses,
        Self::TooManySeries,
    ];

    /// The name in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::UnknownProcess => "unknown_process",
            Self::UnknownName => "unknown_name",
            Self::WrongKind => "wrong_kind",
            Self::UnknownLabel => "unknown_label",
            Self::BadValue => "bad_value",
            Self::TooManyPoints => "too_many_points",
            Self::TooManyProcesses => "too_many_processes",
            Self::TooManySeries => "too_many_series",
        }
    }
}

/// All that a message says of one family of one process: it takes the place of what was said of it before.
#[derive(Debug, Clone, PartialEq)]
pub struct HeardFamily {
    /// Which process, of all that ever were.
    pub instance: String,
    /// What kind of process.
    pub service: String,
    /// How often it tells this.
    pub period: Duration,
    /// The family.
    pub metric: &'static Metric,
    /// Its samples.
    pub series: Vec<Series>,
}

/// What a message says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heard {
    /// The families.
    pub families: Vec<HeardFamily>,
    /// What was left out, by why.
    pub refused: BTreeMap<Refused, u64>,
}

impl Heard {
    fn refuse(&mut self, why: Refused, times: usize) {
        if times > 0 {
            *self.refused.entry(why).or_default() += times as u64;
        }
    }
}

/// Reads a message.
pub fn decode(bytes: &[u8], limits: &Limits) -> Heard {
    let mut heard = Heard::default();
    let Ok(request) = ExportMetricsServiceRequest::decode(bytes) else {
        heard.refuse(Refused::Undecodable, 1);
        return heard;
    };
    let mut room = limits.points_max;
    for of_resource in request.resource_metrics {
        let attributes = of_resource.resource.map(|resource| resource.attributes).unwrap_or_default();
        let named = |key| attributes.iter().find(|attribute| attribute.key == key).and_then(text);
        let instance = named(INSTANCE).filter(|instance| !instance.is_empty());
        let service = cut(named(SERVICE).unwrap_or_default(), NAME_MAX_BYTES);
        for of_scope in of_resource.scope_metrics {
            let Some(instance) = &instance else {
                heard.refuse(Refused::UnknownProcess, of_scope.metrics.len());
                continue;
            };
            let instance = cut(instance.clone(), NAME_MAX_BYTES);
            let scope_attributes = of_scope.scope.map(|scope| scope.attributes).unwrap_or_default();
            let period = period(&scope_attributes);
            for metric in of_scope.metrics {
                let Some((metric, series)) = family(metric, limits, &mut room, &mut heard) else { continue };
                let (instance, service) = (instance.clone(), service.clone());
                heard.families.push(HeardFamily { instance, service, period, metric, series });
            }
        }
    }
    heard
}

fn period(attributes: &[KeyValue]) -> Duration {
    let told = attributes.iter().find(|attribute| attribute.key == PERIOD);
    let seconds = told.and_then(|told| match told.value.as_ref()?.value.as_ref()? {
        any_value::Value::DoubleValue(seconds) => Some(*seconds),
        any_value::Value::IntValue(seconds) => Some(*seconds as f64),
        _ => None,
    });
    match seconds {
        Some(seconds) if seconds.is_finite() => Duration::from_secs_f64(seconds.clamp(PERIOD_RANGE.0, PERIOD_RANGE.1)),
        Some(_) | None => PERIOD_DEFAULT,
    }
}

/// The text of an attribute, whatever simple thing it is.
fn text(attribute: &KeyValue) -> Option<String> {
    match attribute.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        any_value::Value::BoolValue(is_set) => Some(is_set.to_string()),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        any_value::Value::DoubleValue(number) => Some(number.to_string()),
        _ => None,
    }
}

fn cut(mut text: String, max_bytes: usize) -> String {
    if text.len() > max_bytes {
        let end = (0..=max_bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

fn family(
    metric: wire::Metric,
    limits: &Limits,
    room: &mut usize,
    heard: &mut Heard,
) -> Option<(&'static Metric, Vec<Series>)> {
    let Some(data) = metric.data else {
        heard.refuse(Refused::WrongKind, 1);
        return None;
    };
    let is_counter = matches!(data, wire::metric::Data::Sum(_));
    let with_total = is_counter.then(|| names::find(&format!("{}_total", metric.name))).flatten();
    let Some(known) = with_total.or_else(|| names::find(&metric.name)) else {
        heard.refuse(Refused::UnknownName, 1);
        return None;
    };
    let is_cumulative = |temporality: i32| temporality == wire::AggregationTemporality::Cumulative as i32;
    let mut reader = Reader { known, names: known.labels_scraped().collect(), limits, room, heard };
    let series = match (known.kind, data) {
        (Kind::Counter, wire::metric::Data::Sum(sum))
            if sum.is_monotonic && is_cumulative(sum.aggregation_temporality) =>
        {
            reader.all(sum.data_points, Reader::number)
        }
        (Kind::Gauge | Kind::Info, wire::metric::Data::Gauge(gauge)) => reader.all(gauge.data_points, Reader::number),
        (Kind::Histogram, wire::metric::Data::Histogram(histogram))
            if is_cumulative(histogram.aggregation_temporality) =>
        {
            reader.all(histogram.data_points, Reader::distribution)
        }
        _ => {
            heard.refuse(Refused::WrongKind, 1);
            return None;
        }
    };
    Some((known, series))
}

/// Reads the points of one metric.
struct Reader<'a> {
    known: &'static Metric,
    names: Vec<&'static str>,
    limits: &'a Limits,
    room: &'a mut usize,
    heard: &'a mut Heard,
}

impl Reader<'_> {
    fn all<P>(&mut self, mut points: Vec<P>, read: fn(&Self, P) -> Result<Series, Refused>) -> Vec<Series> {
        let beyond = points.len().saturating_sub(*self.room);
        self.heard.refuse(Refused::TooManyPoints, beyond);
        points.truncate(*self.room);
        *self.room -= points.len();
        let mut series = Vec::with_capacity(points.len());
        for point in points {
            match read(self, point) {
                Ok(one) => series.push(one),
                Err(why) => self.heard.refuse(why, 1),
            }
        }
        series
    }

    fn labels(&self, attributes: &[KeyValue]) -> Result<Vec<String>, Refused> {
        let mut labels = vec![String::new(); self.names.len()];
        for attribute in attributes {
            let at = self.names.iter().position(|name| *name == attribute.key).ok_or(Refused::UnknownLabel)?;
            if let Some(label) = labels.get_mut(at) {
                *label = cut(text(attribute).ok_or(Refused::UnknownLabel)?, self.limits.label_max_bytes);
            }
        }
        Ok(labels)
    }

    fn number(&self, point: wire::NumberDataPoint) -> Result<Series, Refused> {
        let is_count = self.known.kind == Kind::Counter;
        let value = match point.value {
            Some(wire::number_data_point::Value::AsInt(number)) => match u64::try_from(number) {
                Ok(count) => Value::Count(count),
                Err(_) if is_count => return Err(Refused::BadValue),
                Err(_) => Value::Number(number as f64),
            },
            Some(wire::number_data_point::Value::AsDouble(number)) => {
                if is_count && !(number >= 0.0 && number.is_finite()) {
                    return Err(Refused::BadValue);
                }
                Value::Number(number)
            }
            None => return Err(Refused::BadValue),
        };
        Ok(Series { labels: self.labels(&point.attributes)?, value, since_unix_ns: point.start_time_unix_nano })
    }

    fn distribution(&self, point: wire::HistogramDataPoint) -> Result<Series, Refused> {
        let (bounds, counts) = (point.explicit_bounds, point.bucket_counts);
        let is_rising = bounds.iter().all(|bound| bound.is_finite()) && bounds.is_sorted_by(|a, b| a < b);
        let total = counts.iter().try_fold(0u64, |sum, count| sum.checked_add(*count));
        let adds_up = counts.len() == bounds.len() + 1 && total == Some(point.count);
        let sum = point.sum.unwrap_or_default();
        if !is_rising || !adds_up || !sum.is_finite() || counts.len() > self.limits.buckets_max {
            return Err(Refused::BadValue);
        }
        let distribution = Distribution { bounds: Cow::Owned(bounds), counts, sum, ..Distribution::default() };
        Ok(Series {
            labels: self.labels(&point.attributes)?,
            value: Value::Distribution(Box::new(distribution)),
            since_unix_ns: point.start_time_unix_nano,
        })
    }
}
