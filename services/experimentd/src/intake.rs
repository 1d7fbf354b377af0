//! Admission: a submission becomes a run record, or a dead letter with the reason; then its message is acknowledged.

use std::time::Duration;

use nuncius_bus::Headers;
use nuncius_bus::lease::Lease;
use nuncius_bus::work_queue::WorkItem;
use nuncius_clock::unix_ms;
use nuncius_schemas::codec::{self, CodecError};
use nuncius_schemas::names::check_token;
use nuncius_schemas::redact::redact_message;
use nuncius_schemas::run::{RunRecord, RunStatus, SubmitReply};
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_schemas::subjects::{
    HEADER_DEAD_MESSAGE_ID, HEADER_DEAD_SEQUENCE, HEADER_DEAD_SIZE_BYTES, HEADER_MESSAGE_ID, HEADER_REASON,
    HEADER_REPLY, HEADER_TRACEPARENT,
};
use nuncius_schemas::submission::{self, Submission, wanted_id};
use nuncius_schemas::tree::Node;
use tracing::{Instrument, info, info_span, warn};

use crate::daemon::{Daemon, RecordError};
use crate::figures::{FIGURES, count};
use crate::finish;
use crate::journal::JournalError;
use crate::run::run;
use crate::running::{Running, leave};

/// How long a submission that could not be admitted, because the bus or the store failed, waits for its next try.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// Most bytes of an unreadable submission that its dead letter keeps.
const DEAD_MAX_BYTES: usize = 64 * 1024;
/// How long Galileo input waits for the first client node, whose name it needs.
const NAMES_PATIENCE: Duration = Duration::from_secs(3);
/// Pause before a lease that could not be asked for is asked for again.
const LEASE_PAUSE: Duration = Duration::from_millis(500);
/// Said of an experiment whose record was written as cancelled before a daemon had started it.
pub(crate) const CANCELLED_WAITING: &str = "cancelled while it waited";

/// Admits one submission. The message is acknowledged only when its fate is written down.
pub(crate) async fn admit(daemon: &Daemon, job: WorkItem) {
    let subject = daemon.bus.namespace().experiment_submit();
    let span = info_span!(
        "admit",
        "otel.name" = %format_args!("process {subject}"),
        "otel.kind" = "consumer",
        "messaging.system" = "nats",
        "messaging.operation.name" = "process",
        "messaging.operation.type" = "process",
        "messaging.destination.name" = subject,
        "messaging.message.id" = job.headers.get(HEADER_MESSAGE_ID),
    );
    if let Some(traceparent) = job.headers.get(HEADER_TRACEPARENT) {
        nuncius_telemetry::set_parent(&span, traceparent);
    }
    admit_in_span(daemon, job).instrument(span).await;
}

async fn admit_in_span(daemon: &Daemon, job: WorkItem) {
    let sequence = job.stream_sequence();
    let reply_to = job.headers.get(HEADER_REPLY).map(str::to_owned);
    let tree = match submission::read_tree(&job.payload) {
        Ok(tree) => tree,
        Err(error) => return bury(daemon, job, reply_to, &error.to_string()).await,
    };
    let id = match choose_id(&tree, job.headers.get(HEADER_MESSAGE_ID), sequence) {
        Ok(id) => id,
        Err(problem) => return bury(daemon, job, reply_to, &problem).await,
    };
    let (spec, problem) = match read(daemon, &tree).await {
        Ok(spec) => (spec, None),
        // Identified, but not understood: it fails under its name.
        Err(error) => (ExperimentSpec::of_groups(Vec::new()), Some(redact_message(&error.to_string()))),
    };
    let traceparent =
        nuncius_telemetry::current_traceparent().or_else(|| job.headers.get(HEADER_TRACEPARENT).map(str::to_owned));
    let record = RunRecord {
        id: id.clone(),
        stream_sequence: sequence,
        status: RunStatus::Submitted,
        verdict: None,
        // Kept with the record: a daemon that takes over must not run what could not be understood.
        reason: problem.clone(),
        spec: ExperimentSpec { id: Some(id.clone()), ..spec },
        submitted_unix_ms: unix_ms(),
        started_unix_ms: None,
        ended_unix_ms: None,
        routes: Vec::new(),
        route_changes: 0,
        nodes: Vec::new(),
        nodes_left_out: 0,
        attempt: 0,
        token: 0,
        traceparent,
        store: None,
    };
    let bytes = match codec::encode(&record) {
        Ok(bytes) => bytes,
        Err(error) => return bury(daemon, job, reply_to, &error.to_string()).await,
    };
    let (record, revision) = match daemon.runs.create(&id, bytes.into()).await {
        Ok(Some(revision)) => (record, revision),
        Ok(None) => match daemon.record(&id).await {
            // A crash between the record and the acknowledgement: the same submission again.
            Ok(Some((known, revision))) if known.stream_sequence == sequence => (known, revision),
            Ok(_) => {
                let problem = format!("id: an experiment `{id}` exists already; choose another id or leave it out");
                return bury(daemon, job, reply_to, &problem).await;
            }
            Err(RecordError::Bus(error)) => return put_back(job, &error.to_string()).await,
            Err(error @ (RecordError::Unreadable(_) | RecordError::Stranger { .. })) => {
                return bury(daemon, job, reply_to, &format!("id: `{id}` cannot be used: {error}")).await;
            }
        },
        Err(error) => return put_back(job, &error.to_string()).await,
    };
    // Acknowledged once it has its lease: when this daemon dies before, it comes again, to whoever lives.
    let is_new = record.status == RunStatus::Submitted;
    if is_new {
        count(if problem.is_none() { &FIGURES.admitted } else { &FIGURES.refused });
        take_up(daemon, record, revision, problem.clone()).await;
    }
    if let Err(error) = job.ack().await {
        warn!(experiment = %id, %error, "submission not acknowledged: it will come again and be recognised");
    }
    let answer = SubmitReply { id: Some(id.clone()), accepted: problem.is_none(), error: problem.clone() };
    answer_to(daemon, reply_to, &answer, &job.payload).await;
}

/// Starts the task that looks after an admitted run; `problem` is why it cannot run at all.
pub(crate) async fn take_up(daemon: &Daemon, record: RunRecord, revision: u64, problem: Option<String>) {
    let id = record.id.clone();
    if !daemon.remember(&id) {
        return;
    }
    let mut asked_before = false;
    let lease = loop {
        match daemon.acquire(&id).await {
            Ok(Some(lease)) => break lease,
            // After a question that got no answer it may be our own lease that stands there, until it runs out.
            Ok(None) if asked_before => {}
            Ok(None) => {
                info!(experiment = %id, "another daemon holds the run");
                return daemon.forget(&id);
            }
            Err(error) => warn!(experiment = %id, %error, "no lease yet, trying again"),
        }
        asked_before = true;
        tokio::select! {
            () = tokio::time::sleep(LEASE_PAUSE) => {}
            () = daemon.shutdown.cancelled() => return daemon.forget(&id),
        }
    };
    look_after(daemon, record, revision, problem, lease).await;
}

/// The same for a run that is remembered and whose lease is held already.
pub(crate) async fn look_after(
    daemon: &Daemon,
    record: RunRecord,
    revision: u64,
    problem: Option<String>,
    lease: Lease,
) {
    let id = record.id.clone();
    let problem = problem.or_else(|| record.reason.clone());
    let span = info_span!("experiment", "otel.name" = "run experiment", nuncius.experiment.id = %id);
    let Some(mut running) = Running::take(daemon, record, revision, lease, span).await else { return };
    let tracker = daemon.tasks.clone();
    tracker.spawn(async move {
        let (status, reason) = match (running.journal.status(RunStatus::Submitted, "submitted").await, problem) {
            (Ok(()), None) => return run(running, None).await,
            (Ok(()), Some(problem)) => (RunStatus::Failed, problem),
            (Err(JournalError::Taken(RunStatus::Cancelled)), _) => (RunStatus::Cancelled, CANCELLED_WAITING.to_owned()),
            (Err(error), _) => {
                warn!(experiment = %id, %error, "not ours after all");
                return leave(&running.daemon, &id, running.lease).await;
            }
        };
        finish::never_ran(&mut running, status, &reason).await;
        leave(&running.daemon, &id, running.lease).await;
    });
}

/// The id: the specification's, else the message id, else the place in the stream.
fn choose_id(tree: &Node, message_id: Option<&str>, sequence: u64) -> Result<String, String> {
    if let Some(id) = wanted_id(tree) {
        return Ok(id);
    }
    match message_id {
        Some(id) => check_token("experiment", id).map(|()| id.to_owned()).map_err(|e| format!("Nats-Msg-Id: {e}")),
        None => Ok(format!("e{sequence}")),
    }
}

async fn read(daemon: &Daemon, tree: &Node) -> Result<ExperimentSpec, CodecError> {
    let spec = match submission::from_tree(tree)? {
        Submission::Spec(spec) => *spec,
        Submission::Galileo(input) => {
            // Its worker names are regular expressions: they mean the nodes that are here now.
            let mut changes = daemon.nodes.watch();
            let deadline = tokio::time::Instant::now() + NAMES_PATIENCE;
            loop {
                let names: Vec<String> = daemon
                    .nodes
                    .present()
                    .into_iter()
                    .filter(|node| node.role == nuncius_schemas::node::Role::Client)
                    .map(|node| node.name)
                    .collect();
                match input.translate(&names) {
                    Ok(spec) => break spec,
                    Err(error) => {
                        if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
                            return Err(error.into());
                        }
                    }
                }
            }
        }
    };
    spec.validate_submitted()?;
    Ok(spec)
}

/// What cannot become a run of its own goes to the dead letters with the reason, then its message is acknowledged.
async fn bury(daemon: &Daemon, job: WorkItem, reply_to: Option<String>, problem: &str) {
    warn!(sequence = job.stream_sequence(), problem, "submission refused");
    count(&FIGURES.unreadable);
    let mut headers = Headers::new().with(HEADER_REASON, one_line(problem));
    if let Some(id) = job.headers.get(HEADER_MESSAGE_ID) {
        headers.insert(HEADER_DEAD_MESSAGE_ID, id);
    }
    headers.insert(HEADER_DEAD_SEQUENCE, job.stream_sequence().to_string());
    headers.insert(HEADER_DEAD_SIZE_BYTES, job.payload.len().to_string());
    let kept = job.payload.slice(..job.payload.len().min(DEAD_MAX_BYTES));
    let letter = format!("dead-{}", job.stream_sequence());
    let subject = daemon.bus.namespace().experiment_dead();
    if let Err(error) = daemon.bus.publish_acked(&subject, &headers, kept, Some(&letter), None).await {
        return put_back(job, &error.to_string()).await;
    }
    if let Err(error) = job.ack().await {
        warn!(%error, "dead letter written, submission not acknowledged");
    }
    // It got no id: one that it asked for belongs to another experiment, which nobody shall take for it.
    answer_to(
        daemon,
        reply_to,
        &SubmitReply { id: None, accepted: false, error: Some(problem.to_owned()) },
        &job.payload,
    )
    .await;
}

async fn put_back(job: WorkItem, problem: &str) {
    warn!(problem, "submission not admitted yet, trying again");
    if let Err(error) = job.nak(RETRY_DELAY).await {
        warn!(%error, "submission not handed back: it comes again by itself");
    }
}

async fn answer_to(daemon: &Daemon, reply_to: Option<String>, answer: &SubmitReply, question: &[u8]) {
    let Some(subject) = reply_to else { return };
    if let Err(error) = daemon.bus.publish_answer(&subject, "submit-reply.v1", answer, question).await {
        warn!(%error, subject, "submission not answered");
    }
}

/// Header values have no line ends.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(1_024).collect()
}
