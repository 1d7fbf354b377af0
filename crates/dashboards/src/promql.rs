//! Queries, made from the constants of the metrics.
//!
//! Several gateways may be scraped, and each shows the whole system: whatever is added up is first taken once, by the
//! labels that the family itself has. `namespace` is Kubernetes', where Prometheus adds it.

use nuncius_metrics::Metric;

/// Label of Kubernetes that keeps systems apart; `$namespace` is a variable of every dashboard.
const NAMESPACE: &str = "namespace";

/// Some series of a family.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    metric: &'static Metric,
    matchers: Vec<String>,
}

/// The series of a family in the namespaces that are chosen.
pub(crate) fn of(metric: &'static Metric) -> Series {
    Series { metric, matchers: vec![format!("{NAMESPACE}=~\"$namespace\"")] }
}

impl Series {
    /// Those whose label matches.
    pub(crate) fn like(mut self, label: &str, pattern: &str) -> Self {
        self.matchers.push(format!("{label}=~\"{pattern}\""));
        self
    }

    /// Those whose label is this.
    pub(crate) fn is(mut self, label: &str, value: &str) -> Self {
        self.matchers.push(format!("{label}=\"{value}\""));
        self
    }

    /// Those whose label is something else.
    pub(crate) fn without(mut self, label: &str, value: &str) -> Self {
        self.matchers.push(format!("{label}!=\"{value}\""));
        self
    }

    /// As they are scraped.
    pub(crate) fn plain(&self) -> String {
        self.with("")
    }

    fn with(&self, suffix: &str) -> String {
        format!("{}{suffix}{{{}}}", self.metric.name, self.matchers.join(", "))
    }

    /// The labels that tell its series apart.
    fn labels(&self, more: &[&'static str]) -> String {
        let own = self.metric.labels_scraped();
        std::iter::once(NAMESPACE).chain(own).chain(more.iter().copied()).collect::<Vec<_>>().join(", ")
    }

    /// Each level once, however many gateways tell of it.
    pub(crate) fn once(&self) -> String {
        format!("max by ({}) ({})", self.labels(&[]), self.plain())
    }

    /// How fast each counter grows, each second.
    pub(crate) fn rate(&self) -> String {
        format!("max by ({}) (rate({}[$__rate_interval]))", self.labels(&[]), self.plain())
    }

    /// By how much each counter grew over all that is shown.
    pub(crate) fn increase_shown(&self) -> String {
        format!("max by ({}) (increase({}[$__range]))", self.labels(&[]), self.plain())
    }

    /// How fast the buckets of a histogram grow, added up by `le` and `by`.
    fn bucket_rate(&self, by: &[&str]) -> String {
        let by = std::iter::once("le").chain(by.iter().copied()).collect::<Vec<_>>().join(", ");
        let labels = self.labels(&["le"]);
        format!("sum by ({by}) (max by ({labels}) (rate({}[$__rate_interval])))", self.with("_bucket"))
    }

    /// A quantile, from classic buckets.
    pub(crate) fn quantile(&self, q: f64, by: &[&str]) -> String {
        format!("histogram_quantile({q}, {})", self.bucket_rate(by))
    }

    /// What falls into each classic bucket, for heat maps.
    pub(crate) fn heat(&self) -> String {
        self.bucket_rate(&[]).replace("rate(", "increase(")
    }

    /// A quantile, from native buckets. `max` knows none of them, so that two gateways count twice, which no quantile
    /// minds.
    pub(crate) fn native_quantile(&self, q: f64) -> String {
        format!("histogram_quantile({q}, sum(rate({}[$__rate_interval])))", self.plain())
    }

    /// Native buckets, for heat maps.
    pub(crate) fn native_heat(&self) -> String {
        format!("sum(increase({}[$__rate_interval]))", self.plain())
    }
}

/// Adds up.
pub(crate) fn sum(by: &[&str], of: &str) -> String {
    aggregate("sum", by, of)
}

/// The largest.
pub(crate) fn max(by: &[&str], of: &str) -> String {
    aggregate("max", by, of)
}

/// The smallest.
pub(crate) fn min(by: &[&str], of: &str) -> String {
    aggregate("min", by, of)
}

fn aggregate(operator: &str, by: &[&str], of: &str) -> String {
    if by.is_empty() { format!("{operator}({of})") } else { format!("{operator} by ({}) ({of})", by.join(", ")) }
}

/// One over the other, where the other is not 0.
pub(crate) fn share(of: &str, whole: &str) -> String {
    format!("{of} / ({whole} > 0)")
}

#[cfg(test)]
mod tests {
    use nuncius_metrics::names::{experiment, process, queue};

    use super::*;

    #[test]
    fn what_two_gateways_tell_is_counted_once() {
        let requests = of(&experiment::REQUESTS).is("experiment", "$experiment");
        assert_eq!(
            sum(&["outcome"], &requests.rate()),
            "sum by (outcome) (max by (namespace, experiment, group, step, outcome) \
             (rate(nuncius_experiment_requests_total{namespace=~\"$namespace\", experiment=\"$experiment\"}\
             [$__rate_interval])))"
        );
        // Of each process there is one more label.
        assert_eq!(
            of(&process::BUS_CONNECTED).once(),
            "max by (namespace, node) (nuncius_bus_connected{namespace=~\"$namespace\"})"
        );
    }

    #[test]
    fn quantiles_come_from_buckets_that_are_added_up() {
        assert_eq!(
            of(&queue::WAIT_SECONDS).quantile(0.99, &["queue"]),
            "histogram_quantile(0.99, sum by (le, queue) (max by (namespace, queue, le) \
             (rate(nuncius_queue_wait_seconds_bucket{namespace=~\"$namespace\"}[$__rate_interval]))))"
        );
    }
}
