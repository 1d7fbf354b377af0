//! One measurement: an experiment of its own with just so many workers, and the jobs that its report counts after the
//! warm-up.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, bail};
use nuncius_bus::{Bus, BusError};
use nuncius_control::submit::submit;
use nuncius_jobs::Queues;
use nuncius_schemas::codec;
use nuncius_schemas::job::{JobResult, JobStatus};
use nuncius_schemas::report::{Report, SeriesReport};
use nuncius_schemas::run::{RunStatus, Verdict};
use nuncius_schemas::scaling::ScalingMeasurement;
use nuncius_schemas::submission::Submission;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::report::fetch;
use super::scene::{Interrupted, Scene, Wanted, pause};
use super::workers::Workers;
use crate::live::{Ended, cancel, follow};

/// How often the queue is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Most jobs of a measurement whose times are kept for its medians; those after them are counted all the same.
const TIMES_MAX: usize = 200_000;
/// How long whoever follows the experiment has to cancel it before it is cancelled here.
const CANCEL_DELAY: Duration = Duration::from_secs(1);

/// What every measurement of a scaling experiment needs.
pub(super) struct Place<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) wanted: &'a Wanted,
    pub(super) queues: &'a Queues,
    pub(super) interrupted: &'a CancellationToken,
}

impl Place<'_> {
    /// Measures once with `count` workers, which are there. The inner error says why the measurement cannot be trusted.
    pub(super) async fn measure(
        &self,
        workers: &mut Workers,
        count: u32,
        repeat: u32,
    ) -> Result<Result<ScalingMeasurement, String>> {
        let Self { scene, wanted, .. } = self;
        self.wait_until_empty().await?;
        let before = workers.present(count).await?;
        let times = Times::listen(scene.bus, &wanted.queue).await?;
        let spec = wanted.spec.measurement(&wanted.scaling, &wanted.id, count, repeat);
        let id = submit(scene.bus, &Submission::Spec(Box::new(spec))).await?;
        let ended = self.follow(&id).await?;
        let report = fetch(scene.global, Some(scene.bus), &id).await?;
        let first_reason = || report.reasons.first().cloned().unwrap_or_else(|| "without a reason".to_owned());
        match ended.status {
            RunStatus::Cancelled => return Err(Interrupted(format!("cancelled: {id}: {}", first_reason())).into()),
            RunStatus::Failed => bail!("{id} failed: {}", first_reason()),
            _ => {}
        }
        let times = times.stop().await;
        if let Some(problem) = workers.lost_since(&before).await? {
            return Ok(Err(problem));
        }
        Ok(measured(&report, wanted.scaling.counted_seconds(), wanted.scaling.users(count), &times))
    }

    /// Jobs of others, or left over, would be measured too.
    async fn wait_until_empty(&self) -> Result<()> {
        let (queue, patience) = (&self.wanted.queue, self.wanted.scaling.patience);
        let deadline = Instant::now() + patience.to_std();
        loop {
            let jobs = self.queues.info(queue).await?.jobs;
            if jobs == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!(
                    "queue {queue} has {jobs} jobs after {patience} (scaling.patience), and none may be there before a \
                     measurement; `nuncius queue purge {queue}` drops those that wait"
                );
            }
            pause(LOOK, self.interrupted).await?;
        }
    }

    /// Follows the experiment to its end; a signal cancels it.
    async fn follow(&self, id: &str) -> Result<Ended> {
        let bus = self.scene.bus;
        let cancelled_here = async {
            // The signal may have come before anybody followed.
            self.interrupted.cancelled().await;
            tokio::time::sleep(CANCEL_DELAY).await;
            let _ = cancel(bus, id, "interrupted").await;
            std::future::pending().await
        };
        let ended = tokio::select! {
            ended = follow(bus, id, self.scene.args.quiet, true) => ended?,
            () = cancelled_here => None,
        };
        match ended {
            Some(ended) if !self.interrupted.is_cancelled() => Ok(ended),
            Some(_) => Err(Interrupted("interrupted".to_owned()).into()),
            None => Err(Interrupted(format!("stopped at once: {id} is left to end by itself")).into()),
        }
    }
}

/// What the report says of these seconds, in which `users` jobs were under way; the error says why it cannot be
/// trusted.
fn measured(
    report: &Report,
    seconds: Range<u32>,
    users: u64,
    times: &[JobTimes],
) -> Result<ScalingMeasurement, String> {
    if report.verdict == Some(Verdict::Invalid) {
        return Err(report.reasons.first().cloned().unwrap_or_else(|| "it gives no reason".to_owned()));
    }
    // Its clock is read between two seconds, and not to the nanosecond.
    if report.offered_seconds + 0.01 < f64::from(seconds.end) {
        return Err(format!("load was offered for {:.2} s of {} s", report.offered_seconds, seconds.end));
    }
    // What a node could not tell of a second in time it tells with a later one: at both ends that would move jobs.
    let series = iterations(report).ok_or("the report has no seconds")?;
    if series.row_seconds != 1 {
        return Err(format!("the report tells {} seconds at a time: measure for a shorter time", series.row_seconds));
    }
    let columns = &series.columns;
    let told = |second: &u32| columns.second.iter().zip(&columns.nodes).any(|(at, nodes)| at == second && *nodes > 0);
    let ends = [seconds.start.checked_sub(1), seconds.end.checked_sub(1)];
    if let Some(missing) = ends.into_iter().flatten().find(|second| !told(second)) {
        return Err(format!("nothing was told of second {missing} alone, where the count has an end"));
    }
    let sum = |column: &[u64]| {
        let counted = columns.second.iter().zip(column).filter(|(second, _)| seconds.contains(second));
        counted.map(|(_, count)| *count).fold(0, u64::saturating_add)
    };
    let succeeded = sum(&columns.succeeded);
    let length_seconds = f64::from(seconds.end - seconds.start);
    let started_seconds = report.started_unix_ms.unwrap_or_default() as f64 / 1e3;
    let window = started_seconds + f64::from(seconds.start)..started_seconds + f64::from(seconds.end);
    let within = || times.iter().filter(|times| window.contains(&times.ended_unix_seconds));
    let median_of = |of: fn(&JobTimes) -> f64| {
        let mut values: Vec<f64> = within().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    // Slots that began together end together, and go on in step when their jobs are equally long: whole jobs would be
    // counted by as many at a time as there are slots, the same way in each repeat. Shares of jobs do without that
    // error.
    let known = within().count() as u64;
    let shares: f64 = times.iter().map(|times| times.share_within(&window)).sum();
    // Else the records of some did not come, or clocks are far apart.
    let is_known = succeeded > 0 && shares > 0.0 && known.abs_diff(succeeded) <= users;
    let jobs = if is_known { shares } else { succeeded as f64 };
    Ok(ScalingMeasurement {
        experiment: report.id.clone(),
        seconds: length_seconds,
        succeeded,
        failed: sum(&columns.failed),
        jobs_per_second: jobs / length_seconds,
        run_p50_seconds: median_of(|times| times.run_seconds),
        wait_p50_seconds: median_of(|times| times.wait_seconds),
    })
}

/// The series of the iterations of the one group that a measurement has: of the whole ones, or of its only step.
fn iterations(report: &Report) -> Option<&SeriesReport> {
    report.series.iter().find(|series| series.step.is_none()).or_else(|| report.series.first())
}

/// What the terminal record of a job that succeeded says.
#[derive(Debug, Clone, Copy, PartialEq)]
struct JobTimes {
    ended_unix_seconds: f64,
    wait_seconds: f64,
    run_seconds: f64,
}

impl JobTimes {
    /// The share of its run that was within the window, 0 to 1.
    fn share_within(&self, window: &Range<f64>) -> f64 {
        let end = self.ended_unix_seconds;
        if self.run_seconds <= 0.0 {
            return f64::from(window.contains(&end));
        }
        let inside = end.min(window.end) - (end - self.run_seconds).max(window.start);
        (inside / self.run_seconds).clamp(0.0, 1.0)
    }
}

/// Listens to the terminal records of a queue as they are written.
struct Times {
    stop: CancellationToken,
    task: JoinHandle<Vec<JobTimes>>,
}

impl Times {
    async fn listen(bus: &Bus, queue: &str) -> Result<Self, BusError> {
        let mut records = bus.subscribe(&bus.namespace().result_all(queue)).await?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut all = Vec::new();
            loop {
                let message = tokio::select! {
                    message = records.next() => message,
                    () = stopped.cancelled() => None,
                };
                let Some(message) = message else { return all };
                let record = codec::decode::<JobResult>(&message.payload);
                if let Ok(record) = record
                    && record.status == JobStatus::Succeeded
                    && all.len() < TIMES_MAX
                {
                    all.push(times_of(&record));
                }
            }
        });
        Ok(Self { stop, task })
    }

    async fn stop(self) -> Vec<JobTimes> {
        self.stop.cancel();
        self.task.await.unwrap_or_default()
    }
}

fn times_of(record: &JobResult) -> JobTimes {
    let (wait_seconds, run_seconds) = (record.wait_seconds, record.run_seconds);
    let submitted_seconds = record.submitted_unix_ns as f64 / 1e9;
    JobTimes { ended_unix_seconds: submitted_seconds + wait_seconds + run_seconds, wait_seconds, run_seconds }
}

#[cfg(test)]
mod tests;
