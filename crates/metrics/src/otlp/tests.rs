use std::time::Duration;

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::distribution::Distribution;
use crate::family::{Families, Series, Value};
use crate::names::{emulator, process, queue};

fn sender() -> Sender {
    let resource = vec![(INSTANCE.to_owned(), "p1".to_owned()), (SERVICE.to_owned(), "nuncius-frontend".to_owned())];
    Sender { resource, start_unix_ns: 5, message_max_bytes: 256 * 1024 }
}

fn some() -> Families {
    let mut families = Families::new();
    families.count(&queue::FINISHED_JOBS, &["sleep", "dead"], 3);
    families.number(&queue::OLDEST_WAITING_SECONDS, &["sleep"], 2.5);
    families.info(&process::PROCESS_INFO, &["n1", "frontend", "0.1.0", "7"]);
    let mut wait = Distribution::new(&[0.1, 1.0]);
    wait.counts = vec![1, 0, 4];
    wait.sum = 9.5;
    families.distribution(&queue::WAIT_SECONDS, &["sleep"], wait);
    families
}

#[test]
fn what_is_told_is_heard() {
    let families = some();
    let (messages, left_out) = encode(&families, &sender(), 9, Duration::from_secs(1));
    assert_eq!((messages.len(), left_out), (1, 0));
    let heard = decode(&messages[0], &Limits::default());
    assert!(heard.refused.is_empty(), "{:?}", heard.refused);
    for family in &heard.families {
        assert_eq!((family.instance.as_str(), family.service.as_str()), ("p1", "nuncius-frontend"));
        assert_eq!(family.period, Duration::from_secs(1));
        let told = families.get(family.metric.name).unwrap();
        let told: Vec<Series> = told.series.iter().map(|s| Series { since_unix_ns: 5, ..s.clone() }).collect();
        assert_eq!(family.series, told);
    }
    assert_eq!(heard.families.len(), families.iter().count());
}

#[test]
fn a_message_is_never_longer_than_its_limit_and_says_what_it_leaves_out() {
    let mut families = Families::new();
    for number in 0..2_000 {
        families.count(&emulator::OCO_EVENTS, &["n1", &format!("event-{number}")], number);
        families.count(&queue::WAITING_JOBS, &[&format!("queue-{number}")], number);
    }
    let sender = Sender { message_max_bytes: 64 * 1024, ..sender() };
    let (messages, left_out) = encode(&families, &sender, 9, Duration::from_secs(1));
    let mut heard = 0;
    for message in &messages {
        assert!(message.len() <= 64 * 1024, "{}", message.len());
        heard += decode(message, &Limits::default()).families.iter().map(|family| family.series.len()).sum::<usize>();
    }
    assert_eq!(heard as u64 + left_out, 4_000);
    assert!(heard > 1_000);
}

#[test]
fn strangers_names_kinds_labels_and_numbers_are_left_out_and_counted() {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1 as wire;
    let (messages, _) = encode(&some(), &sender(), 9, Duration::from_secs(1));
    let changed = |change: &dyn Fn(&mut Vec<wire::Metric>)| {
        let mut request = ExportMetricsServiceRequest::decode(messages[0].clone()).unwrap();
        change(&mut request.resource_metrics[0].scope_metrics[0].metrics);
        decode(&request.encode_to_vec(), &Limits::default()).refused.into_iter().collect::<Vec<_>>()
    };
    let at = |metrics: &mut Vec<wire::Metric>, name: &str| metrics.iter().position(|m| m.name == name).unwrap();
    assert_eq!(changed(&|metrics| metrics[0].name = "up".to_owned()), [(Refused::UnknownName, 1)]);
    let as_gauge = |metrics: &mut Vec<wire::Metric>| {
        let at = at(metrics, "nuncius_queue_finished_jobs");
        metrics[at].data = Some(wire::metric::Data::Gauge(wire::Gauge::default()));
    };
    assert_eq!(changed(&as_gauge), [(Refused::UnknownName, 1)]);
    let as_differences = |metrics: &mut Vec<wire::Metric>| {
        let at = at(metrics, "nuncius_queue_finished_jobs");
        let Some(wire::metric::Data::Sum(sum)) = &mut metrics[at].data else { panic!() };
        sum.aggregation_temporality = wire::AggregationTemporality::Delta as i32;
    };
    assert_eq!(changed(&as_differences), [(Refused::WrongKind, 1)]);
    let below_zero = |metrics: &mut Vec<wire::Metric>| {
        let at = at(metrics, "nuncius_queue_finished_jobs");
        let Some(wire::metric::Data::Sum(sum)) = &mut metrics[at].data else { panic!() };
        sum.data_points[0].value = Some(wire::number_data_point::Value::AsInt(-1));
    };
    assert_eq!(changed(&below_zero), [(Refused::BadValue, 1)]);
    let with_label = |metrics: &mut Vec<wire::Metric>| {
        let at = at(metrics, "nuncius_queue_finished_jobs");
        let Some(wire::metric::Data::Sum(sum)) = &mut metrics[at].data else { panic!() };
        sum.data_points[0].attributes[0].key = "le".to_owned();
    };
    assert_eq!(changed(&with_label), [(Refused::UnknownLabel, 1)]);
    let torn = |metrics: &mut Vec<wire::Metric>| {
        let at = at(metrics, "nuncius_queue_wait_seconds");
        let Some(wire::metric::Data::Histogram(histogram)) = &mut metrics[at].data else { panic!() };
        histogram.data_points[0].count = u64::MAX;
    };
    assert_eq!(changed(&torn), [(Refused::BadValue, 1)]);
    let few = Limits { points_max: 2, ..Limits::default() };
    assert_eq!(decode(&messages[0], &few).refused.into_iter().collect::<Vec<_>>(), [(Refused::TooManyPoints, 2)]);
}

proptest! {
    #[test]
    fn arbitrary_and_damaged_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        let _ = decode(&bytes, &Limits::default());
        let (messages, _) = encode(&some(), &sender(), 9, Duration::from_secs(1));
        let mut damaged = messages[0].to_vec();
        let at = at.index(damaged.len());
        damaged[at] = value;
        for family in decode(&damaged, &Limits::default()).families {
            for series in family.series {
                prop_assert_eq!(series.labels.len(), family.metric.labels_scraped().count());
                if let Value::Distribution(distribution) = series.value {
                    prop_assert_eq!(distribution.counts.len(), distribution.bounds.len() + 1);
                }
            }
        }
    }
}
