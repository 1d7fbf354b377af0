//! One attempt at one job: admitted, run, kept alive for the queue, and ended in exactly one way.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use nuncius_bus::work_queue::WorkItem;
use nuncius_bus::{Bus, BusError, TypedError, typed};
use nuncius_clock::{unix_ms, unix_ns};
use nuncius_jobs::{Finish, JobError, PROGRESS_INTERVAL, PROGRESS_LOST, Taken, admit};
use nuncius_schemas::job::{JobEvent, JobEventKind, JobResult, JobStatus, OUTPUT_TAIL_MAX_BYTES};
use nuncius_schemas::redact::redact_user_information;
use nuncius_schemas::worker::DeviceReply;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::bench::Bench;
use crate::execute::{Outcome, execute};
use crate::spans;
use crate::workload::{DeviceTask, Prepared, Task};

/// A job that has run this long is told of.
const TAKEN_AFTER: Duration = Duration::from_millis(250);
/// Longest work on an emulated device that has no limit of its own.
const DEVICE_PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// How long an emulated device is looked for that may have lost its server, where there are several.
const DEVICE_MOVES: Duration = Duration::from_secs(3);
/// Longest payload in a line of the log, in bytes.
const SHOWN_MAX_BYTES: usize = 500;

/// Works on a message; never fails: what cannot be ended here is delivered again.
pub(crate) async fn work(bench: &Arc<Bench>, slot: u32, item: WorkItem) {
    let subject = item.subject.clone();
    debug!(subject, payload = %shown(&item.payload), "received");
    let received_unix_ns = unix_ns();
    let place = (item.stream_sequence(), item.published_unix_ns());
    // A server that was killed may have forgotten whom it gave this to. Whoever is at it says so and ends it: the
    // server goes by the sequence alone, whichever delivery is acknowledged.
    if !bench.at_work().insert(place) {
        info!(subject, sequence = place.0, "came again while it is worked on here");
        return;
    }
    match admit(&bench.finisher, item).await {
        Ok(Some(taken)) => attempt(bench, slot, taken, received_unix_ns).await,
        Ok(None) => {}
        Err(error) => warn!(%error, subject, "not begun: it is given to a worker again"),
    }
    bench.at_work().remove(&place);
}

async fn attempt(bench: &Arc<Bench>, slot: u32, taken: Taken, received_unix_ns: u64) {
    let begun_unix_ns = unix_ns();
    let removals = bench.removals.load(Ordering::Relaxed);
    let taken = Arc::new(taken);
    let span_id = spans::span_id(&taken);
    let traceparent = span_id.and_then(|id| spans::traceparent(&taken, id));
    let (outcome, end) = match bench.workload.prepare(slot, &taken.job) {
        Ok(prepared) => run(bench, &prepared, &taken, traceparent.as_deref()).await,
        Err(error) => (Outcome::failed(error.to_string(), bench.workload.device_of(slot)), End::Own),
    };
    let is_removed = bench.removals.load(Ordering::Relaxed) != removals;
    let ran_until_unix_ns = unix_ns();
    let result = result_of(bench, &taken, outcome);
    let parts = spans::Parts { received_unix_ns, begun_unix_ns, ran_until_unix_ns };
    let ended = match end {
        // There may be another of that name by now: its books must not hear of this, nor its job of the same sequence.
        _ if is_removed => Err(JobError::NoQueue { queue: bench.queue.clone() }),
        End::Lost => {
            warn!(job = taken.id, "the queue did not answer for {PROGRESS_LOST:?}: another worker has this job by now");
            Ok(None)
        }
        End::HandedBack => {
            info!(job = taken.id, "handed back");
            tell(bench, &taken, JobEventKind::Returned, Some("the worker ends".to_owned())).await;
            bench.finisher.hand_back(&taken).await.map(|()| None)
        }
        End::Own => bench.finisher.finish(&taken, &result, traceparent.as_deref()).await.map(Some),
    };
    bench.finished.fetch_add(1, Ordering::Relaxed);
    match &ended {
        Ok(Some(Finish::Recorded(status))) => {
            debug!(job = taken.id, status = status.name(), run_seconds = result.run_seconds, error = result.error);
        }
        Ok(Some(Finish::Retried(pause))) => {
            info!(job = taken.id, attempt = taken.attempt, ?pause, error = result.error, "to be tried again");
            tell(bench, &taken, JobEventKind::Retried, result.error.clone()).await;
        }
        Ok(Some(Finish::Superseded)) => info!(job = taken.id, "another worker had finished it already"),
        Ok(Some(Finish::Repeated)) => info!(job = taken.id, "a job of this id had ended: this run was for nothing"),
        Ok(None) => {}
        Err(JobError::NoQueue { queue }) => warn!(job = taken.id, "queue {queue} was removed: nobody hears of this"),
        Err(error) => warn!(%error, job = taken.id, "not ended: it is given to a worker again"),
    }
    if let Some(span_id) = span_id {
        let finish = ended.as_ref().ok().copied().flatten();
        spans::record(bench, &taken, &result, span_id, &parts, finish);
    }
}

/// Whose word ends the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Its own.
    Own,
    /// The queue has given it to somebody else.
    Lost,
    /// The worker ends before it did.
    HandedBack,
}

/// Runs it, saying meanwhile that it is being run.
async fn run(bench: &Arc<Bench>, prepared: &Prepared, taken: &Arc<Taken>, traceparent: Option<&str>) -> (Outcome, End) {
    let cancel = CancellationToken::new();
    let running = async {
        match &prepared.task {
            Task::Device(task) => on_device(&bench.bus, prepared, task, &cancel, traceparent).await,
            _ => execute(prepared, cancel.clone()).await,
        }
    };
    tokio::pin!(running);
    // What ends at once needs nobody who looks after it.
    if let Poll::Ready(outcome) = poll_fn(|context| Poll::Ready(running.as_mut().poll(context))).await {
        return (outcome, End::Own);
    }
    let heard = Arc::new(Heard::now());
    let first = tokio::time::Instant::now() + PROGRESS_INTERVAL;
    let mut progress = tokio::time::interval_at(first, PROGRESS_INTERVAL);
    let mut end = End::Own;
    let told = tokio::time::sleep(TAKEN_AFTER);
    tokio::pin!(told);
    let mut is_told = false;
    loop {
        tokio::select! {
            biased;
            outcome = &mut running => {
                // It may have ended by itself in the moment it was cancelled: then that counts.
                let end = if outcome.cancelled { end } else { End::Own };
                return (outcome, end);
            }
            () = bench.hand_back.cancelled(), if end == End::Own => {
                end = End::HandedBack;
                cancel.cancel();
            }
            () = &mut told, if !is_told => {
                is_told = true;
                tell(bench, taken, JobEventKind::Taken, None).await;
            }
            _ = progress.tick(), if end == End::Own => {
                if heard.ago() >= PROGRESS_LOST {
                    end = End::Lost;
                    cancel.cancel();
                }
                let (taken, heard) = (Arc::clone(taken), Arc::clone(&heard));
                tokio::spawn(async move {
                    if taken.progress().await.is_ok() {
                        heard.note();
                    }
                });
            }
        }
    }
}

/// When the queue was last heard of.
struct Heard {
    start: Instant,
    last_ms: AtomicU64,
}

impl Heard {
    fn now() -> Self {
        Self { start: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn note(&self) {
        self.last_ms.fetch_max(self.elapsed_ms(), Ordering::Relaxed);
    }

    fn ago(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms().saturating_sub(self.last_ms.load(Ordering::Relaxed)))
    }
}

/// Has an emulated device do the work.
async fn on_device(
    bus: &Bus,
    prepared: &Prepared,
    task: &DeviceTask,
    cancel: &CancellationToken,
    traceparent: Option<&str>,
) -> Outcome {
    let subject = bus.namespace().device_run(&task.name);
    let limit = prepared.limit.unwrap_or(DEVICE_PATIENCE);
    let span = spans::request_device(bus, &task.name, traceparent);
    let headers = typed::headers_of("device-request.v1", span.traceparent().as_deref());
    let started = Instant::now();
    let answer = tokio::select! {
        answer = bus.request_moving(&subject, &headers, &task.request, DEVICE_MOVES, limit) => Some(answer),
        () = cancel.cancelled() => None,
    };
    let mut outcome = Outcome {
        run: started.elapsed(),
        limit: prepared.limit,
        device: prepared.device.clone(),
        ..Outcome::default()
    };
    match answer {
        None => {
            outcome.cancelled = true;
            outcome.error = Some("cancelled".to_owned());
        }
        Some(Ok(DeviceReply { error: None, .. })) => outcome.exit_code = Some(0),
        Some(Ok(DeviceReply { error: Some(error), .. })) => outcome.error = Some(error),
        Some(Err(TypedError::Bus(BusError::Timeout { .. }))) if prepared.limit.is_some() => {
            outcome.timed_out = true;
            outcome.error = Some(format!("over its limit of {limit:?}"));
        }
        Some(Err(TypedError::Bus(BusError::NoResponders { .. }))) => {
            outcome.error =
                Some(format!("there is no emulated device `{}`: start `nuncius emulator device`", task.name));
        }
        Some(Err(error)) => outcome.error = Some(error.to_string()),
    }
    outcome
}

fn result_of(bench: &Bench, taken: &Taken, outcome: Outcome) -> JobResult {
    let mut result = taken.result(&bench.queue);
    result.status = if outcome.is_success() { JobStatus::Succeeded } else { JobStatus::Failed };
    result.run_seconds = outcome.run.as_secs_f64();
    result.worker = Some(bench.worker.clone());
    result.node = Some(bench.node.clone());
    result.pod = Some(bench.pod.clone());
    result.device = outcome.device;
    result.exit_code = outcome.exit_code;
    result.signal = outcome.signal;
    result.timed_out = outcome.timed_out;
    result.limit_seconds = outcome.limit.map(|limit| limit.as_secs_f64());
    // What a program prints may hold the address of a service with its password.
    let redacted = |text: Option<String>| text.map(|text| last_of(redact_user_information(&text)));
    result.error = redacted(outcome.error);
    result.stdout_tail = redacted(outcome.stdout_tail);
    result.stderr_tail = redacted(outcome.stderr_tail);
    result
}

async fn tell(bench: &Bench, taken: &Taken, event: JobEventKind, reason: Option<String>) {
    let event = JobEvent {
        event,
        job: taken.id.clone(),
        client: taken.client.clone(),
        worker: bench.worker.clone(),
        node: bench.node.clone(),
        attempt: taken.attempt,
        unix_ms: unix_ms(),
        reason,
    };
    bench.finisher.tell(&event).await;
}

/// The end of a text that redaction may have made longer than what a result keeps.
fn last_of(mut text: String) -> String {
    let surplus = text.len().saturating_sub(OUTPUT_TAIL_MAX_BYTES);
    text.drain(..text.ceil_char_boundary(surplus));
    text
}

/// A payload as the log shows it: escaped and bounded.
fn shown(payload: &[u8]) -> impl std::fmt::Display {
    struct Shown<'a>(&'a [u8]);
    impl std::fmt::Display for Shown<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let part = self.0.get(..SHOWN_MAX_BYTES).unwrap_or(self.0);
            write!(f, "{}", part.escape_ascii())?;
            if part.len() < self.0.len() { write!(f, "… ({} bytes)", self.0.len()) } else { Ok(()) }
        }
    }
    Shown(payload)
}
