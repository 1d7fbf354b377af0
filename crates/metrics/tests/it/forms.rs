//! What is written is what `prometheus-client` writes, where that can say it.

use std::fmt;

use nuncius_metrics::expose::{Format, render};
use nuncius_metrics::names::{device, experiment, node, queue};
use nuncius_metrics::{Distribution, Exemplar, Families, Kind, Unit, Value};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit as ClientUnit};

#[derive(Debug)]
struct Theirs(Families);

impl Collector for Theirs {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in self.0.iter() {
            let metric = family.metric;
            let unit = (metric.unit != Unit::None).then(|| ClientUnit::Other(metric.unit.suffix().to_owned()));
            let base = metric.base_name();
            let name = match metric.unit {
                Unit::None => base,
                unit => base.strip_suffix(unit.suffix()).and_then(|name| name.strip_suffix('_')).unwrap(),
            };
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
                Kind::Info => MetricType::Info,
            };
            let mut of_family = encoder.encode_descriptor(name, metric.help, unit.as_ref(), kind)?;
            for series in &family.series {
                let pairs = metric.labels_scraped().zip(series.labels.iter().map(String::as_str));
                let labels: Vec<(&str, &str)> = pairs.filter(|(_, value)| !value.is_empty()).collect();
                let mut one = of_family.encode_family(&labels)?;
                match (&series.value, metric.kind) {
                    (_, Kind::Info) => one.encode_info(&Vec::<(&str, &str)>::new())?,
                    (Value::Count(count), Kind::Counter) => one.encode_counter::<NoLabelSet, _, f64>(count, None)?,
                    (Value::Number(number), Kind::Counter) => one.encode_counter::<NoLabelSet, _, f64>(number, None)?,
                    (Value::Count(count), _) => one.encode_gauge(count)?,
                    (Value::Number(number), _) => one.encode_gauge(number)?,
                    (Value::Distribution(distribution), _) => {
                        let bounds = distribution.bounds.iter().copied().chain([f64::INFINITY]);
                        let buckets: Vec<(f64, u64)> = bounds.zip(distribution.counts.iter().copied()).collect();
                        one.encode_histogram::<NoLabelSet>(distribution.sum, distribution.count(), &buckets, None)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn some() -> Families {
    let mut families = Families::new();
    families.count(&queue::FINISHED_JOBS, &["sleep", "dead"], 3);
    families.count(&queue::FINISHED_JOBS, &["sleep", "failed"], 0);
    families.number(&queue::OLDEST_WAITING_SECONDS, &["a \"quoted\"\\ name\nof two lines"], 2.5);
    families.number(&device::TEMPERATURE_CELSIUS, &["n1", "gpu-0", "true"], -0.25);
    families.info(&node::NODE_INFO, &["n1", "client", "host", "0.1.0"]);
    families.count(&experiment::SENT_BYTES, &["e1", "g", "s"], u64::MAX);
    families.number(&queue::HPA_QUEUE_MAXRUN_SECONDS, &["sleep", ""], 1.0);
    let mut response = Distribution::new(&[0.0001, 0.25, 1.0, 60.0]);
    response.counts = vec![0, 2, 0, 5, 1];
    response.sum = 321.125;
    families.distribution(&experiment::RESPONSE_SECONDS, &["e1", "g", "s"], response);
    families
}

/// Lines and labels without order: the library writes the sum and the count of a histogram, and the bound of a bucket,
/// first. Numbers may have a fraction of 0.
fn lines(text: &str) -> Vec<String> {
    let bound_last = |line: &str| match line.split_once("{le=\"") {
        Some((name, rest)) => match rest.split_once("\",") {
            Some((bound, rest)) => {
                let (labels, value) = rest.rsplit_once('}').unwrap();
                format!("{name}{{{labels},le=\"{bound}\"}}{value}")
            }
            None => line.to_owned(),
        },
        None => line.to_owned(),
    };
    let mut lines: Vec<String> = text.lines().map(|line| bound_last(line.strip_suffix(".0").unwrap_or(line))).collect();
    lines.sort();
    lines
}

#[test]
fn both_texts_are_what_the_official_library_writes() {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Theirs(some())));
    let mut theirs = String::new();
    text::encode(&mut theirs, &registry).unwrap();
    let ours = String::from_utf8(render(&some(), Format::OpenMetrics)).unwrap();
    assert_eq!(lines(&ours), lines(&theirs));
    let mut theirs = String::new();
    prometheus_text::encode(&mut theirs, &registry).unwrap();
    // It writes whole bounds as Go does; here they are the same in all forms.
    let theirs = theirs.replace("le=\"1\"", "le=\"1.0\"").replace("le=\"60\"", "le=\"60.0\"");
    let ours = String::from_utf8(render(&some(), Format::Text)).unwrap();
    assert_eq!(lines(&ours), lines(&theirs));
}

#[test]
fn an_exemplar_stands_at_the_bucket_of_its_observation() {
    let mut families = Families::new();
    let mut response = Distribution::new(&[0.1, 1.0]);
    response.counts = vec![3, 1, 0];
    response.sum = 0.75;
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736".to_owned();
    response.exemplars = vec![Exemplar { trace_id, value: 0.5, unix_ns: 1_700_000_000_250_000_000 }];
    families.distribution(&experiment::RESPONSE_SECONDS, &["e1", "g", "s"], response);
    let text = String::from_utf8(render(&families, Format::OpenMetrics)).unwrap();
    let line = "nuncius_experiment_response_seconds_bucket{experiment=\"e1\",group=\"g\",step=\"s\",le=\"1.0\"} 4 # \
                {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} 0.5 1700000000.250";
    assert!(text.lines().any(|found| found == line), "{text}");
    let text = String::from_utf8(render(&families, Format::Text)).unwrap();
    assert!(!text.contains("trace_id"), "{text}");
}
