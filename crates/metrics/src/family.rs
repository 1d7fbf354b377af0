//! Families with their samples.

use std::collections::BTreeMap;

use crate::distribution::Distribution;
use crate::metric::Metric;

/// What one series says now.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number: counts are exact.
    Count(u64),
    /// Any other number.
    Number(f64),
    /// A distribution.
    Distribution(Box<Distribution>),
}

/// A sample with its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Values of the labels, in the order of [`Metric::labels_scraped`]; an empty one is as good as none.
    pub labels: Vec<String>,
    /// The sample.
    pub value: Value,
    /// Since when it has been counted, nanoseconds since the Unix epoch; 0 where that is not known.
    pub since_unix_ns: u64,
}

/// All samples of a family.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// What is fixed.
    pub metric: &'static Metric,
    /// The samples. No two have the same labels.
    pub series: Vec<Series>,
}

/// Families by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Families {
    by_name: BTreeMap<&'static str, Family>,
    since_unix_ns: u64,
}

impl Families {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// From here on, what is added has been counted since then, in nanoseconds since the Unix epoch; 0 for not known.
    pub fn counted_since(&mut self, since_unix_ns: u64) {
        self.since_unix_ns = since_unix_ns;
    }

    /// Adds a whole number. Labels are those of [`Metric::labels_scraped`]: of a process's own family, its node first.
    pub fn count(&mut self, metric: &'static Metric, labels: &[&str], value: u64) {
        self.add(metric, labels.iter().map(|label| (*label).to_owned()).collect(), Value::Count(value));
    }

    /// Adds a number, as [`Self::count`].
    pub fn number(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        self.add(metric, labels.iter().map(|label| (*label).to_owned()).collect(), Value::Number(value));
    }

    /// Adds a distribution, as [`Self::count`].
    pub fn distribution(&mut self, metric: &'static Metric, labels: &[&str], value: Distribution) {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        self.add(metric, labels, Value::Distribution(Box::new(value)));
    }

    /// Adds labels that are all there is to say, as [`Self::count`].
    pub fn info(&mut self, metric: &'static Metric, labels: &[&str]) {
        self.count(metric, labels, 1);
    }

    /// Adds a sample.
    pub fn add(&mut self, metric: &'static Metric, labels: Vec<String>, value: Value) {
        debug_assert_eq!(metric.labels_scraped().count(), labels.len(), "labels of {}", metric.name);
        let series = Series { labels, value, since_unix_ns: self.since_unix_ns };
        self.family(metric).series.push(series);
    }

    /// A family, made where it is not there.
    pub fn family(&mut self, metric: &'static Metric) -> &mut Family {
        self.by_name.entry(metric.name).or_insert_with(|| Family { metric, series: Vec::new() })
    }

    /// Takes all samples of others.
    pub fn append(&mut self, others: Self) {
        for family in others.by_name.into_values() {
            self.family(family.metric).series.extend(family.series);
        }
    }

    /// In the order of their names, those without samples left out.
    pub fn iter(&self) -> impl Iterator<Item = &Family> {
        self.by_name.values().filter(|family| !family.series.is_empty())
    }

    /// In the order of their names.
    pub fn into_families(self) -> impl Iterator<Item = Family> {
        self.by_name.into_values().filter(|family| !family.series.is_empty())
    }

    /// The family of this name, as it is scraped.
    pub fn get(&self, name: &str) -> Option<&Family> {
        self.by_name.get(name)
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.by_name.values().map(|family| family.series.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Of series with the same labels only the last one stays: Prometheus takes none of a page that has one twice.
    pub fn without_repeats(&mut self) {
        for family in self.by_name.values_mut() {
            let mut seen = std::collections::HashSet::new();
            let mut kept: Vec<bool> =
                family.series.iter().rev().map(|series| seen.insert(series.labels.as_slice())).collect();
            drop(seen);
            if kept.iter().all(|kept| *kept) {
                continue;
            }
            family.series.retain(|_| kept.pop().unwrap_or(true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::queue;

    #[test]
    fn of_two_samples_with_the_same_labels_the_later_one_stays() {
        let mut families = Families::new();
        families.count(&queue::WAITING_JOBS, &["a"], 1);
        families.count(&queue::WAITING_JOBS, &["b"], 2);
        families.count(&queue::WAITING_JOBS, &["a"], 3);
        families.without_repeats();
        let family = families.get("nuncius_queue_waiting_jobs").unwrap();
        let told: Vec<(&str, &Value)> = family.series.iter().map(|s| (s.labels[0].as_str(), &s.value)).collect();
        assert_eq!(told, [("b", &Value::Count(2)), ("a", &Value::Count(3))]);
    }
}
