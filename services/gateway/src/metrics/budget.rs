//! How many series a family may have: those that came first keep their place, all beyond are told together. Pure.

use std::collections::{BTreeMap, HashSet};

use nuncius_metrics::names::gateway;
use nuncius_metrics::{Families, Family, Kind, Metric, Series, Unit, Value};

/// The value of labels that are not told apart.
pub(crate) const OTHER: &str = "other";

/// How many series of each family are told together, of all reporters.
pub(crate) type FoldedCounts = BTreeMap<&'static str, u64>;

/// Tells how many they are.
pub(crate) fn add_counts(families: &mut Families, counts: &FoldedCounts) {
    for (name, count) in counts {
        families.count(&gateway::FOLDED_SERIES, &[name], *count);
    }
}

/// The places of the families of one reporter.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    kept: BTreeMap<&'static str, HashSet<Vec<String>>>,
    /// What counters of the others have come to: they only grow, whoever of them leaves.
    other: BTreeMap<&'static str, Value>,
}

/// What had no place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Folded {
    /// All of them together, by family.
    pub(crate) values: BTreeMap<&'static str, (&'static Metric, Value)>,
    /// How many they are.
    pub(crate) counts: FoldedCounts,
}

impl Folded {
    /// Takes those of another reporter.
    pub(crate) fn append(&mut self, others: Self) {
        for (name, (metric, value)) in others.values {
            let sum = self.values.entry(name).or_insert_with(|| (metric, nothing(metric)));
            sum.1 = together(metric, &sum.1, &value);
        }
        for (name, count) in others.counts {
            *self.counts.entry(name).or_default() += count;
        }
    }

    /// Adds one series for each family, whose labels are `own` and then `other`, and how many these stand for.
    pub(crate) fn add_to(self, families: &mut Families, own: &[&str], counts: &mut FoldedCounts) {
        for (name, count) in self.counts {
            *counts.entry(name).or_default() += count;
        }
        for (metric, value) in self.values.into_values() {
            let mut labels: Vec<String> = metric.labels_scraped().map(|_| OTHER.to_owned()).collect();
            for (label, own) in labels.iter_mut().zip(own) {
                (*own).clone_into(label);
            }
            families.add(metric, labels, value);
        }
    }
}

impl Budget {
    /// The series that have a place, and the others together.
    pub(crate) fn bound(&mut self, families: Families, series_max: usize) -> (Families, Folded) {
        let (mut bounded, mut folded) = (Families::new(), Folded::default());
        for family in families.into_families() {
            let name = family.metric.name;
            if family.series.len() <= series_max && !self.kept.contains_key(name) {
                let metric = family.metric;
                *bounded.family(metric) = family;
                continue;
            }
            let (kept, others) = self.split(family, series_max);
            let metric = kept.metric;
            *bounded.family(metric) = kept;
            let mut sum = nothing(metric);
            for series in &others {
                sum = together(metric, &sum, &series.value);
            }
            if metric.kind == Kind::Counter {
                let before = self.other.get(name).cloned().unwrap_or_else(|| nothing(metric));
                sum = larger(&sum, &before);
                self.other.insert(name, sum.clone());
            }
            if !others.is_empty() || metric.kind == Kind::Counter {
                folded.values.insert(name, (metric, sum));
            }
            folded.counts.insert(name, others.len() as u64);
        }
        (bounded, folded)
    }

    /// Those that had a place keep it; the places of those that are gone are given to the next.
    fn split(&mut self, family: Family, series_max: usize) -> (Family, Vec<Series>) {
        let kept = self.kept.entry(family.metric.name).or_default();
        let present: HashSet<&[String]> = family.series.iter().map(|series| series.labels.as_slice()).collect();
        kept.retain(|labels| present.contains(labels.as_slice()));
        drop(present);
        for series in &family.series {
            if kept.len() >= series_max {
                break;
            }
            if !kept.contains(&series.labels) {
                kept.insert(series.labels.clone());
            }
        }
        let (inside, others) = family.series.into_iter().partition(|series| kept.contains(&series.labels));
        (Family { metric: family.metric, series: inside }, others)
    }
}

fn nothing(metric: &Metric) -> Value {
    match metric.kind {
        Kind::Histogram => Value::Distribution(Box::default()),
        Kind::Counter | Kind::Gauge | Kind::Info => Value::Count(0),
    }
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Count(count) => *count as f64,
        Value::Number(number) => *number,
        Value::Distribution(_) => 0.0,
    }
}

fn larger(a: &Value, b: &Value) -> Value {
    if number(a) >= number(b) { a.clone() } else { b.clone() }
}

/// Of counts, bytes and the like the sum; of what does not add up, as temperatures, the largest.
fn together(metric: &Metric, a: &Value, b: &Value) -> Value {
    let adds_up = match metric.unit {
        Unit::None
        | Unit::Bytes
        | Unit::BytesPerSecond
        | Unit::BitsPerSecond
        | Unit::Watts
        | Unit::Joules
        | Unit::Cores
        | Unit::Amperes => true,
        Unit::Seconds => metric.kind == Kind::Counter,
        Unit::Ratio | Unit::Celsius | Unit::Hertz | Unit::Volts | Unit::DecibelMilliwatts => false,
    };
    match (a, b) {
        (Value::Distribution(a), Value::Distribution(b)) => {
            let mut sum = a.clone();
            sum.merge(b);
            Value::Distribution(sum)
        }
        _ if metric.kind == Kind::Info => Value::Count(1),
        _ if !adds_up => larger(a, b),
        (Value::Count(a), Value::Count(b)) => Value::Count(a.saturating_add(*b)),
        _ => Value::Number(number(a) + number(b)),
    }
}

#[cfg(test)]
mod tests {
    use nuncius_metrics::names::{device, emulator};

    use super::*;

    fn events(names: impl Iterator<Item = u64>) -> Families {
        let mut families = Families::new();
        for name in names {
            families.count(&emulator::OCO_EVENTS, &["n1", &format!("event \"{name}\"\n")], name);
        }
        families
    }

    fn total(families: &Families) -> u64 {
        let family = families.get("nuncius_oco_events_total").unwrap();
        family.series.iter().map(|series| number(&series.value) as u64).sum()
    }

    #[test]
    fn of_a_hundred_thousand_hostile_values_a_thousand_are_told_and_the_rest_together() {
        let mut budget = Budget::default();
        let all: u64 = (0..100_000).sum();
        for _ in 0..2 {
            let (bounded, folded) = budget.bound(events(0..100_000), 1_000);
            assert_eq!(bounded.len(), 1_000);
            assert_eq!(folded.counts["nuncius_oco_events_total"], 99_000);
            let (_, other) = &folded.values["nuncius_oco_events_total"];
            assert_eq!(total(&bounded) + number(other) as u64, all, "nothing is lost");
        }
    }

    #[test]
    fn a_series_that_has_its_place_keeps_it_whoever_else_comes_first() {
        let mut budget = Budget::default();
        let (first, _) = budget.bound(events(100..110), 5);
        let (second, _) = budget.bound(events(0..110), 5);
        let labels = |families: &Families| -> HashSet<Vec<String>> {
            families.iter().flat_map(|family| family.series.iter().map(|series| series.labels.clone())).collect()
        };
        assert_eq!(labels(&first), labels(&second));
    }

    #[test]
    fn what_the_others_have_counted_never_falls_though_they_leave() {
        let mut budget = Budget::default();
        let other = |folded: &Folded| number(&folded.values["nuncius_oco_events_total"].1);
        let (_, folded) = budget.bound(events(0..10), 5);
        assert_eq!(other(&folded), 35.0);
        let (_, folded) = budget.bound(events(0..6), 5);
        assert_eq!(other(&folded), 35.0);
        let (_, folded) = budget.bound(events(0..20), 5);
        assert_eq!(other(&folded), 180.0);
    }

    #[test]
    fn the_place_of_a_series_that_is_gone_is_given_to_another() {
        let mut budget = Budget::default();
        budget.bound(events(0..10), 5);
        let (bounded, _) = budget.bound(events(5..10), 5);
        assert_eq!(total(&bounded), 35);
    }

    #[test]
    fn temperatures_are_not_added() {
        let mut families = Families::new();
        for number in 0..10 {
            families.number(&device::TEMPERATURE_CELSIUS, &["n", &number.to_string(), "true"], f64::from(number));
        }
        let (_, folded) = Budget::default().bound(families, 5);
        assert_eq!(number(&folded.values["nuncius_device_temperature_celsius"].1), 9.0);
    }
}
