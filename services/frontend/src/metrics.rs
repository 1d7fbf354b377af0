//! What is known, as metrics: under Nuncius's names, and under the `hpa_*` names that autoscalers and dashboards of the
//! scalability tester use.

use std::time::{Duration, Instant};

use nuncius_metrics::names::queue as names;
use nuncius_metrics::{Distribution, Families};
use nuncius_schemas::job::JobStatus;
use nuncius_schemas::queue::{DURATION_BOUNDS_SECONDS, DurationCounts};

use crate::view::View;

/// Everything this frontend knows, under its name in the registry. With an `interval` the longest times carry it as a
/// label, as the original's do.
pub(crate) fn add(families: &mut Families, frontend: &str, view: &mut View, interval: Option<Duration>, now: Instant) {
    families.count(&names::FRONTEND_CLIENTS, &[frontend], view.clients.len() as u64);
    families.count(&names::FRONTEND_HELD_QUEUES, &[frontend], view.queues.len() as u64);
    families.count(&names::HPA_CLIENT_CONNECTIONS, &[frontend], view.clients_seen);
    families.count(&names::HPA_WORKER_CONNECTIONS, &[frontend], view.workers_seen);
    let queues: Vec<String> = view.queues.keys().cloned().collect();
    for name in &queues {
        queue(families, view, name, interval, now);
    }
}

/// The page of this frontend alone, which has no need of its name.
pub(crate) fn render(view: &mut View, interval: Option<Duration>, now: Instant) -> String {
    let mut families = Families::new();
    add(&mut families, "", view, interval, now);
    nuncius_metrics::expose::text(&families)
}

fn distribution(durations: &DurationCounts) -> Distribution {
    let mut distribution = Distribution::new(&DURATION_BOUNDS_SECONDS);
    for (count, counted) in distribution.counts.iter_mut().zip(&durations.counts) {
        *count = *counted;
    }
    distribution.sum = durations.sum_seconds;
    distribution
}

fn queue(families: &mut Families, view: &mut View, name: &str, interval: Option<Duration>, now: Instant) {
    let (workers, slots) = view.workers_of(name);
    let jobs = view.queues.get(name).map_or(0, |queue| queue.jobs);
    let (waiting, running) = view.waiting_and_running(name, jobs, now);
    let Some(queue) = view.queues.get_mut(name) else { return };
    let longest = queue.maxima.longest(now);
    let totals = &queue.totals;
    let own: &[&str] = &[name];
    families.count(&names::WAITING_JOBS, own, waiting);
    families.count(&names::RUNNING_JOBS, own, running);
    families.number(&names::OLDEST_WAITING_SECONDS, own, queue.oldest_waiting_seconds);
    if let Some(limit) = queue.limit {
        families.count(&names::LIMIT_JOBS, own, limit);
    }
    families.count(&names::WORKERS, own, workers);
    families.count(&names::SLOTS, own, slots);
    families.count(&names::DEAD_LETTERS, own, queue.dead_letters);
    families.count(&names::ACCEPTED_JOBS, own, queue.accepted);
    for status in JobStatus::ALL {
        let count = match status {
            JobStatus::Succeeded => totals.succeeded,
            JobStatus::Failed => totals.failed,
            JobStatus::Dead => totals.dead,
            JobStatus::Dropped => totals.dropped,
        };
        families.count(&names::FINISHED_JOBS, &[name, status.name()], count);
    }
    families.count(&names::REPEATED_JOBS, own, totals.repeated);
    families.count(&names::UNACCOUNTED_JOBS, own, queue.unaccounted);
    families.count(&names::TIMED_OUT_JOBS, own, totals.timed_out);
    families.count(&names::RETRIES, own, totals.retried);
    families.distribution(&names::WAIT_SECONDS, own, distribution(&totals.wait));
    families.distribution(&names::RUN_SECONDS, own, distribution(&totals.run));
    families.distribution(&names::TOTAL_SECONDS, own, distribution(&totals.total));

    families.count(&names::HPA_QUEUE_ALL, own, jobs);
    families.count(&names::HPA_QUEUE_WAITING, own, waiting);
    families.count(&names::HPA_QUEUE_RUNNING, own, running);
    families.count(&names::HPA_QUEUE_SUCCESS, own, totals.succeeded);
    families.count(&names::HPA_QUEUE_FAILURE, own, totals.failed + totals.dead);
    families.count(&names::HPA_QUEUE_DISCONNECT, own, totals.dropped);
    let seconds = interval.map(|interval| format!("{}s", interval.as_secs_f64())).unwrap_or_default();
    let with_interval: &[&str] = &[name, &seconds];
    families.number(&names::HPA_QUEUE_MAXRUN_SECONDS, with_interval, longest.run_seconds);
    // A queue that stands still has a wait too.
    let longest_wait = longest.wait_seconds.max(queue.oldest_waiting_seconds);
    families.number(&names::HPA_QUEUE_MAXWAIT_SECONDS, with_interval, longest_wait);
    families.number(&names::HPA_QUEUE_MAXTOTAL_SECONDS, with_interval, longest.total_seconds);
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
