//! The longest times of an interval. A scrape reads them and changes nothing: what is told is the longest of the
//! interval under way and the one before it, so that every value is there for at least one interval.

use std::time::{Duration, Instant};

use nuncius_schemas::job::JobResult;

/// The longest times, in seconds, and who had the longest run.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Longest {
    pub(crate) wait_seconds: f64,
    pub(crate) run_seconds: f64,
    pub(crate) total_seconds: f64,
    /// Node and pod of the longest run.
    pub(crate) runner: Option<(String, String)>,
}

impl Longest {
    fn note(&mut self, result: &JobResult) {
        self.wait_seconds = self.wait_seconds.max(result.wait_seconds);
        self.total_seconds = self.total_seconds.max(result.wait_seconds + result.run_seconds);
        if result.run_seconds > self.run_seconds || self.runner.is_none() {
            self.run_seconds = self.run_seconds.max(result.run_seconds);
            let name = |name: &Option<String>| name.clone().unwrap_or_default();
            self.runner = Some((name(&result.node), name(&result.pod)));
        }
    }

    fn merged(&self, other: &Self) -> Self {
        let longer = if other.run_seconds > self.run_seconds || self.runner.is_none() { other } else { self };
        Self {
            wait_seconds: self.wait_seconds.max(other.wait_seconds),
            run_seconds: longer.run_seconds,
            total_seconds: self.total_seconds.max(other.total_seconds),
            runner: longer.runner.clone(),
        }
    }
}

/// Two intervals of longest times.
#[derive(Debug)]
pub(crate) struct Maxima {
    interval: Duration,
    since: Instant,
    present: Longest,
    before: Longest,
}

impl Maxima {
    pub(crate) fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, since: now, present: Longest::default(), before: Longest::default() }
    }

    /// Counts a job that has run.
    pub(crate) fn note(&mut self, result: &JobResult, now: Instant) {
        self.turn(now);
        if result.worker.is_some() {
            self.present.note(result);
        }
    }

    /// The longest of the last one to two intervals.
    pub(crate) fn longest(&mut self, now: Instant) -> Longest {
        self.turn(now);
        self.present.merged(&self.before)
    }

    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        if passed < self.interval {
            return;
        }
        self.before = std::mem::take(&mut self.present);
        if passed >= self.interval * 2 {
            self.before = Longest::default();
        }
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nuncius_schemas::job::JobStatus;

    fn ran(run_seconds: f64, node: &str) -> JobResult {
        JobResult {
            attempt: 1,
            wait_seconds: 1.0,
            run_seconds,
            worker: Some("w".into()),
            node: Some(node.into()),
            pod: Some("p".into()),
            exit_code: Some(0),
            ..JobResult::not_run("j", "q", "c", 0, JobStatus::Succeeded)
        }
    }

    #[test]
    fn reading_changes_nothing_and_every_value_is_told_for_an_interval() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut maxima = Maxima::new(Duration::from_secs(10), start);
        maxima.note(&ran(3.0, "a"), at(1));
        maxima.note(&ran(2.0, "b"), at(2));
        for second in [3, 3, 9, 11, 19] {
            let longest = maxima.longest(at(second));
            assert_eq!((longest.run_seconds, longest.total_seconds), (3.0, 4.0), "{second}");
            assert_eq!(longest.runner, Some(("a".into(), "p".into())));
        }
        maxima.note(&ran(1.0, "c"), at(20));
        assert_eq!(maxima.longest(at(22)).run_seconds, 1.0);
        assert_eq!(maxima.longest(at(60)).run_seconds, 0.0);
    }
}
