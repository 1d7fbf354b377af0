//! The loop of requests: as many in flight as the parallelism in force says, each slot with one after the other.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nuncius_bus::{Bus, BusError};
use nuncius_jobs::{JobError, Prepared, Queues, Submission, Submitter, SubmitterOptions, Ticket};
use nuncius_schemas::job::{JobResult, JobStatus};
use nuncius_schemas::units::HumanDuration;
use nuncius_telemetry::{SpanKind, SpanRecord, is_recording, record_span, traceparent};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::control::Control;
use super::http::{HttpLimits, ServeError, listen, serve};
use super::statistics::Ended;

/// Most requests in parallel.
pub const PARALLEL_MAX: u32 = 16_384;
/// Pause after a job that was not accepted: a full queue must not be hammered.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
/// How long the server may take to hear that the client goes.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often is looked at whether anybody takes the jobs.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Longest result in a line of the log, in characters.
const SHOWN_MAX: usize = 500;

/// Settings of the test client.
#[derive(Debug, Clone)]
pub struct QueueClientConfig {
    /// Queue.
    pub queue: String,
    /// Name of the client, a token that nobody else uses at the same time.
    pub client: String,
    /// Arguments of every job.
    pub args: Vec<String>,
    /// Longest run of a job.
    pub limit: Option<HumanDuration>,
    /// Priority of every job, 0 the most urgent.
    pub priority: u8,
    /// Requests in parallel at the start.
    pub parallel: u32,
    /// The most that can be asked for.
    pub parallel_max: u32,
    /// Pause of a slot after each result.
    pub delay: Duration,
    /// Share of the jobs that carry a sampled trace, 0 to 1.
    pub trace_ratio: f64,
    /// Where the control page listens, host and port.
    pub address: String,
    /// What a client of the page may ask for.
    pub limits: HttpLimits,
}

/// Why a test client ended.
#[derive(Debug, thiserror::Error)]
pub enum QueueClientError {
    /// The queue.
    #[error("client: {0}")]
    Job(#[from] JobError),
    /// The bus.
    #[error("client: {0}")]
    Bus(#[from] BusError),
    /// The page.
    #[error("client: {0}")]
    Http(#[from] ServeError),
    /// A setting.
    #[error("client: {setting}: {problem}")]
    Setting {
        /// The flag.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// Keeps jobs in flight until `shutdown`; gives the final report. `ready` is told where the page is.
///
/// A server or a queue that is away ends nothing: jobs count as failed, and go on when it is back.
pub async fn run(
    config: QueueClientConfig,
    bus: Bus,
    shutdown: CancellationToken,
    ready: Option<oneshot::Sender<std::net::SocketAddr>>,
) -> Result<String, QueueClientError> {
    if config.parallel_max > PARALLEL_MAX || config.parallel > config.parallel_max {
        let problem =
            format!("{} of at most {}; give 0 ≤ now ≤ max ≤ {PARALLEL_MAX}", config.parallel, config.parallel_max);
        return Err(QueueClientError::Setting { setting: "--req-now", problem });
    }
    let listener = listen(&config.address).await?;
    let address = listener.local_addr().map_err(|source| ServeError::Listen {
        what: "the control page",
        address: config.address.clone(),
        flag: "--caddr",
        source,
    })?;
    let options = SubmitterOptions { queue: config.queue.clone(), client: config.client.clone(), presence: true };
    let control = Arc::new(Control::new(config.parallel, config.parallel_max));
    let submitter = tokio::select! {
        submitter = Submitter::open(&bus, options) => submitter?,
        // Another process of this name may be there for as long as it likes.
        () = shutdown.cancelled() => return Ok(super::final_report(&control.statistics())),
    };
    let page = tokio::spawn(serve(listener, Arc::clone(&control), config.limits.clone(), shutdown.clone()));
    info!(queue = config.queue, client = config.client, %address, parallel = config.parallel, "sending jobs");
    if submitter.definition().is_none() {
        tracing::warn!(queue = config.queue, "there is no such queue yet: its jobs fail until there is");
    }
    if let Some(ready) = ready {
        let _ = ready.send(address);
    }
    let namespace = bus.namespace().as_str().to_owned();
    let shared =
        Arc::new(Shared { config, submitter, control: Arc::clone(&control), namespace, prepared: OnceLock::new() });
    let all = Arc::clone(&shared);
    // All in one task: what its slots send at the same time is written at once. A task for each costs half as much
    // again.
    let mut sending = JoinSet::new();
    sending.spawn(async move {
        let mut slots: FuturesUnordered<_> =
            (0..all.config.parallel_max).map(|slot| run_slot(slot, Arc::clone(&all))).collect();
        while slots.next().await.is_some() {}
    });
    sending.spawn(tell_what_is_waited_for(bus.clone(), shared.config.queue.clone()));
    shutdown.cancelled().await;
    // What is in flight is dropped here; what waits of it is dropped by the queue.
    sending.shutdown().await;
    let _ = page.await;
    if let Some(shared) = Arc::into_inner(shared) {
        let _ = tokio::time::timeout(FAREWELL, shared.submitter.close()).await;
    }
    Ok(super::final_report(&control.statistics()))
}

/// Says it when jobs can wait for ever: that their queue has no worker, or is paused.
async fn tell_what_is_waited_for(bus: Bus, queue: String) {
    let mut told = String::new();
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let Ok(queues) = Queues::open(&bus).await else { continue };
        let now = match queues.waits(&queue).await {
            Ok(waits) if waits.is_stuck() => waits.to_string(),
            // Other reasons come with the failures of jobs.
            Ok(_) | Err(_) => String::new(),
        };
        if now != told && !now.is_empty() {
            tracing::warn!("jobs wait: {now}");
        }
        told = now;
    }
}

/// What all slots share.
struct Shared {
    config: QueueClientConfig,
    submitter: Submitter,
    control: Arc<Control>,
    namespace: String,
    /// The job, checked and encoded once.
    prepared: OnceLock<Prepared>,
}

impl Shared {
    /// Submits one job; a queue that does not take it now may later.
    async fn submit(&self, traceparent: Option<&str>) -> Result<Ticket, JobError> {
        let prepared = match self.prepared.get() {
            Some(prepared) => prepared,
            None => {
                let job = Submission {
                    args: self.config.args.clone(),
                    limit: self.config.limit,
                    priority: self.config.priority,
                    ..Submission::default()
                };
                let prepared = self.submitter.prepare(&job)?;
                self.prepared.get_or_init(|| prepared)
            }
        };
        self.submitter.submit_prepared(prepared, traceparent).await
    }
}

/// One request after the other while the parallelism reaches this slot.
async fn run_slot(slot: u32, shared: Arc<Shared>) {
    let Shared { config, control, .. } = shared.as_ref();
    let mut parallel = control.parallel();
    loop {
        if parallel.wait_for(|parallel| slot < *parallel).await.is_err() {
            return;
        }
        let begun_at = Instant::now();
        let begun = control.statistics().begin(begun_at);
        let (ended, is_refused) = request(&shared, begun_at).await;
        control.statistics().end(begun, &ended);
        if is_refused {
            tokio::time::sleep(REFUSED_PAUSE).await;
        } else if !config.delay.is_zero() {
            tokio::time::sleep(config.delay).await;
        }
    }
}

/// One job from submission to result; whether it was not accepted.
async fn request(shared: &Shared, begun_at: Instant) -> (Ended, bool) {
    let Shared { config, namespace, .. } = shared;
    let trace = (is_recording() && fastrand::f64() < config.trace_ratio)
        .then(|| (fastrand::u128(1..), fastrand::u64(1..), nuncius_bus::clock::unix_ns()));
    let parent = trace.map(|(trace_id, span_id, _)| traceparent(trace_id, span_id, true));
    let outcome = match shared.submit(parent.as_deref()).await {
        Err(error) => Err((error.to_string(), true)),
        Ok(ticket) => {
            let id = ticket.id.clone();
            let result = ticket.result().await;
            debug!(job = id, result = result.as_ref().map(shown), "received");
            result.ok_or_else(|| ("the connection ended before the result came".to_owned(), false))
        }
    };
    let total_seconds = begun_at.elapsed().as_secs_f64();
    let (ended, is_refused) = match outcome {
        Ok(result) => (ended_of(result, total_seconds), false),
        Err((error, is_refused)) => {
            debug!(error, "not accepted");
            (Ended { error: Some(error), total_seconds, ..Ended::default() }, is_refused)
        }
    };
    if let Some((trace_id, span_id, start_unix_ns)) = trace {
        let destination = format!("{namespace}.job.{}", config.queue);
        record_span(SpanRecord {
            attributes: vec![
                ("messaging.system", "nats".into()),
                ("messaging.operation.name", "send".into()),
                ("messaging.operation.type", "send".into()),
                ("messaging.destination.name", destination.clone().into()),
                ("messaging.client.id", config.client.clone().into()),
                ("nuncius.queue", config.queue.clone().into()),
            ],
            error: ended.error.clone(),
            ..SpanRecord::new(
                trace_id,
                span_id,
                format!("send {destination}"),
                SpanKind::Producer,
                start_unix_ns,
                nuncius_bus::clock::unix_ns(),
            )
        });
    }
    (ended, is_refused)
}

fn ended_of(result: JobResult, total_seconds: f64) -> Ended {
    let error = match result.status {
        JobStatus::Succeeded => None,
        status => Some(result.error.unwrap_or_else(|| status.name().to_owned())),
    };
    Ended {
        node: result.node,
        pod: result.pod,
        device: result.device,
        error,
        timed_out: result.timed_out,
        wait_seconds: result.wait_seconds,
        run_seconds: result.run_seconds,
        total_seconds,
    }
}

/// A result as the log shows it: escaped and bounded.
fn shown(result: &JobResult) -> String {
    format!("{result:?}").chars().take(SHOWN_MAX).collect()
}
