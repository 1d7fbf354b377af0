//! What is known, in Prometheus' text format (version 0.0.4): under Nuncius's names, and under the `hpa_*` names that
//! autoscalers and dashboards of the scalability tester use.

use std::time::{Duration, Instant};

use nuncius_schemas::job::JobStatus;
use nuncius_schemas::queue::{DURATION_BOUNDS_SECONDS, DurationCounts};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

use crate::view::View;

/// The families as they are gathered, in order of their first sample.
#[derive(Default)]
struct Families(Vec<MetricFamily>);

type Labels<'a> = &'a [(&'a str, &'a str)];

impl Families {
    fn add(&mut self, name: &str, help: &str, kind: MetricType, labels: Labels<'_>, fill: impl FnOnce(&mut Metric)) {
        let at = self.0.iter().position(|family| family.name() == name).unwrap_or_else(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            self.0.push(family);
            self.0.len() - 1
        });
        let mut metric = Metric::default();
        let pairs: Vec<LabelPair> = labels
            .iter()
            .map(|(name, value)| {
                let mut pair = LabelPair::default();
                pair.set_name((*name).to_owned());
                pair.set_value((*value).to_owned());
                pair
            })
            .collect();
        metric.set_label(pairs);
        fill(&mut metric);
        if let Some(family) = self.0.get_mut(at) {
            family.mut_metric().push(metric);
        }
    }

    fn gauge(&mut self, name: &str, help: &str, labels: Labels<'_>, value: f64) {
        self.add(name, help, MetricType::GAUGE, labels, |metric| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        });
    }

    fn counter(&mut self, name: &str, help: &str, labels: Labels<'_>, value: u64) {
        self.add(name, help, MetricType::COUNTER, labels, |metric| {
            let mut counter = Counter::default();
            counter.set_value(value as f64);
            metric.set_counter(counter);
        });
    }

    fn histogram(&mut self, name: &str, help: &str, labels: Labels<'_>, durations: &DurationCounts) {
        self.add(name, help, MetricType::HISTOGRAM, labels, |metric| {
            let mut below = 0;
            let counts = durations.counts.iter().copied().chain(std::iter::repeat(0));
            let buckets: Vec<Bucket> = DURATION_BOUNDS_SECONDS
                .iter()
                .zip(counts)
                .map(|(bound, count)| {
                    below += count;
                    let mut bucket = Bucket::default();
                    bucket.set_upper_bound(*bound);
                    bucket.set_cumulative_count(below);
                    bucket
                })
                .collect();
            let mut histogram = Histogram::default();
            histogram.set_bucket(buckets);
            histogram.set_sample_count(durations.total());
            histogram.set_sample_sum(durations.sum_seconds);
            metric.set_histogram(histogram);
        });
    }
}

/// Everything this frontend knows. With an `interval` the longest times carry it as a label, as the original's do.
pub(crate) fn render(view: &mut View, interval: Option<Duration>, now: Instant) -> String {
    let mut out = Families::default();
    connections(&mut out, view);
    let names: Vec<String> = view.queues.keys().cloned().collect();
    for name in &names {
        queue(&mut out, view, name, interval, now);
    }
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&out.0, &mut text) {
        tracing::warn!(%error, "metrics cannot be written");
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn connections(out: &mut Families, view: &View) {
    let clients = view.clients.len() as f64;
    out.gauge("nuncius_frontend_clients", "Clients of queues that are there.", &[], clients);
    out.gauge("nuncius_frontend_held_queues", "Queues whose books this frontend keeps.", &[], view.queues.len() as f64);
    let help = "Clients of queues that came since this frontend started.";
    out.counter("hpa_client_connections_total", help, &[], view.clients_seen);
    let help = "Workers that came since this frontend started.";
    out.counter("hpa_worker_connections_total", help, &[], view.workers_seen);
}

fn queue(out: &mut Families, view: &mut View, name: &str, interval: Option<Duration>, now: Instant) {
    let (workers, slots) = view.workers_of(name);
    let jobs = view.queues.get(name).map_or(0, |queue| queue.jobs);
    let (waiting, running) = view.waiting_and_running(name, jobs, now);
    let Some(queue) = view.queues.get_mut(name) else { return };
    let longest = queue.maxima.longest(now);
    let totals = &queue.totals;
    let own: Labels<'_> = &[("queue", name)];
    out.gauge("nuncius_queue_waiting_jobs", "Jobs that wait.", own, waiting as f64);
    out.gauge("nuncius_queue_running_jobs", "Jobs that workers run.", own, running as f64);
    let help = "How long the oldest job that was never begun has waited.";
    out.gauge("nuncius_queue_oldest_waiting_seconds", help, own, queue.oldest_waiting_seconds);
    if let Some(limit) = queue.limit {
        out.gauge("nuncius_queue_limit_jobs", "Most jobs that may wait.", own, limit as f64);
    }
    out.gauge("nuncius_queue_workers", "Workers of the queue that are there.", own, workers as f64);
    out.gauge("nuncius_queue_slots", "Jobs that its workers can run at once.", own, slots as f64);
    out.gauge("nuncius_queue_dead_letters", "Dead letters kept.", own, queue.dead_letters as f64);
    out.counter("nuncius_queue_accepted_jobs_total", "Jobs that the queue took.", own, queue.accepted);
    for status in JobStatus::ALL {
        let count = match status {
            JobStatus::Succeeded => totals.succeeded,
            JobStatus::Failed => totals.failed,
            JobStatus::Dead => totals.dead,
            JobStatus::Dropped => totals.dropped,
        };
        let labels: Labels<'_> = &[("queue", name), ("status", status.name())];
        out.counter("nuncius_queue_finished_jobs_total", "Jobs that ended, by how.", labels, count);
    }
    let help = "Messages of jobs that had ended before: acknowledged, not run.";
    out.counter("nuncius_queue_repeated_jobs_total", help, own, totals.repeated);
    let help = "Jobs that were accepted, have not ended and are not there: 0 unless records were lost.";
    out.gauge("nuncius_queue_unaccounted_jobs", help, own, queue.unaccounted as f64);
    out.counter("nuncius_queue_timed_out_jobs_total", "Jobs that were over their limit.", own, totals.timed_out);
    out.counter("nuncius_queue_retries_total", "Attempts beyond the first.", own, totals.retried);
    out.histogram("nuncius_queue_wait_seconds", "From submission to the last attempt.", own, &totals.wait);
    out.histogram("nuncius_queue_run_seconds", "How long the last attempt ran.", own, &totals.run);
    out.histogram("nuncius_queue_total_seconds", "Wait and run together.", own, &totals.total);

    let alias: Labels<'_> = &[("name", name)];
    out.gauge("hpa_queue_all", "Jobs that wait or run.", alias, jobs as f64);
    out.gauge("hpa_queue_waiting", "Jobs that wait.", alias, waiting as f64);
    out.gauge("hpa_queue_running", "Jobs that workers run.", alias, running as f64);
    out.counter("hpa_queue_success_total", "Jobs that succeeded.", alias, totals.succeeded);
    out.counter("hpa_queue_failure_total", "Jobs that failed or were given up.", alias, totals.failed + totals.dead);
    out.counter("hpa_queue_disconnect_total", "Jobs dropped, mostly for clients gone.", alias, totals.dropped);
    let seconds = interval.map(|interval| format!("{}s", interval.as_secs_f64()));
    let with_interval: Vec<(&str, &str)> =
        alias.iter().copied().chain(seconds.as_deref().map(|seconds| ("interval", seconds))).collect();
    let help = "Longest run of the last interval or the one before.";
    out.gauge("hpa_queue_maxrun_seconds", help, &with_interval, longest.run_seconds);
    // A queue that stands still has a wait too.
    let longest_wait = longest.wait_seconds.max(queue.oldest_waiting_seconds);
    let help = "Longest wait of the last interval or the one before, or of a job that still waits.";
    out.gauge("hpa_queue_maxwait_seconds", help, &with_interval, longest_wait);
    let help = "Longest wait and run of one job of the last interval or the one before.";
    out.gauge("hpa_queue_maxtotal_seconds", help, &with_interval, longest.total_seconds);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maxima::Maxima;
    use crate::view::QueueView;
    use nuncius_schemas::queue::QueueTotals;

    #[test]
    fn metrics_have_help_and_type_and_a_scrape_changes_nothing() {
        let now = Instant::now();
        let mut totals =
            QueueTotals { succeeded: 3, failed: 1, dead: 1, dropped: 2, repeated: 3, ..QueueTotals::default() };
        totals.run.add(0.02);
        totals.run.add(9_999.0);
        let queue = QueueView {
            totals,
            maxima: Maxima::new(Duration::from_secs(60), now),
            jobs: 5,
            accepted: 15,
            unaccounted: 0,
            limit: Some(100),
            dead_letters: 1,
            oldest_waiting_seconds: 2.5,
        };
        let mut view = View { queues: [("sleep".to_owned(), queue)].into(), ..View::default() };
        view.workers.insert("w".into(), ("sleep".into(), 4));
        let text = render(&mut view, Some(Duration::from_secs(60)), now);
        for line in [
            "# HELP nuncius_queue_waiting_jobs Jobs that wait.",
            "# TYPE nuncius_queue_waiting_jobs gauge",
            "nuncius_queue_waiting_jobs{queue=\"sleep\"} 5",
            "# TYPE nuncius_queue_finished_jobs_total counter",
            "nuncius_queue_finished_jobs_total{queue=\"sleep\",status=\"succeeded\"} 3",
            "nuncius_queue_repeated_jobs_total{queue=\"sleep\"} 3",
            "nuncius_queue_unaccounted_jobs{queue=\"sleep\"} 0",
            "# TYPE nuncius_queue_run_seconds histogram",
            "nuncius_queue_run_seconds_bucket{queue=\"sleep\",le=\"0.025\"} 1",
            "nuncius_queue_run_seconds_bucket{queue=\"sleep\",le=\"+Inf\"} 2",
            "nuncius_queue_run_seconds_count{queue=\"sleep\"} 2",
            "nuncius_queue_slots{queue=\"sleep\"} 4",
            "hpa_queue_all{name=\"sleep\"} 5",
            "hpa_queue_failure_total{name=\"sleep\"} 2",
            "hpa_queue_disconnect_total{name=\"sleep\"} 2",
            "hpa_queue_maxwait_seconds{name=\"sleep\",interval=\"60s\"} 2.5",
            "hpa_worker_connections_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert_eq!(render(&mut view, Some(Duration::from_secs(60)), now), text);
    }
}
