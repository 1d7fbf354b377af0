//! Jobs on a Nuncius queue: an iteration submits the job of each step and waits for its terminal record before the
//! next.
//!
//! A step is *sent* when its job is handed to the connection (so a thread with too many under way shows as *blocked*),
//! and answered when its record comes: *service* is record − sent, with submission, queue wait, run and the way back
//! in it; *response* record − planned. A job that failed, died or was dropped fails as `job`, one over its limit as
//! `timeout`, one that the queue did not take as `refused`. A record that has not come within the group's timeout fails
//! as `timeout` too, though its job may still run.
//!
//! One thread has a runtime and a connection of its own, so that neither the node's commands nor other groups wait
//! behind its load. A server that is away is waited for: what was submitted meanwhile is repeated under the same id,
//! and results are looked for.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nuncius_bus::{Bus, BusError, TypedError};
use nuncius_clock::monotonic_ns;
use nuncius_jobs::{JobError, Submission, Submitter, SubmitterOptions};
use nuncius_schemas::job::{JobResult, JobStatus};
use nuncius_schemas::metric::FailureKind;
use tokio::task::LocalSet;

use crate::failure::Failure;
use crate::in_flight::{ExchangeId, InFlight, Iteration};
use crate::pace::Pace;
use crate::plan::{Action, GroupPlan, QueuePlan};
use crate::record::Recorder;
use crate::sequence::Sequence;
use crate::wake::Waker;

/// How long a connection may take to be made, and to take leave.
const CONNECT: Duration = Duration::from_secs(10);
const GOODBYE: Duration = Duration::from_millis(500);

/// What the tasks of a thread share.
struct Shared {
    in_flight: InFlight,
    sequence: Sequence,
    plan: Arc<GroupPlan>,
    submissions: Vec<Submission>,
    submitter: Submitter,
}

/// Runs a thread's share to the end.
pub(crate) fn run(pace: Pace, recorder: Recorder, plan: Arc<GroupPlan>, bus: &Bus, waker: Arc<Waker>) {
    let fail = |pace: Pace, recorder, reason| pace.close_failed(recorder, reason, monotonic_ns());
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return pace.close_broken(recorder, "start a runtime", &error, monotonic_ns()),
    };
    let Action::Queue(queue) = &plan.action else {
        return fail(pace, recorder, "the group has no queue".to_owned());
    };
    let local = LocalSet::new();
    let opened = local.block_on(&runtime, async { tokio::time::timeout(CONNECT, open(&plan, queue, bus)).await });
    let (bus, submitter) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return fail(pace, recorder, error.to_string()),
        Err(_) => return fail(pace, recorder, format!("no connection to NATS within {CONNECT:?}")),
    };
    let shared = Rc::new(Shared {
        in_flight: InFlight::new(pace, recorder),
        sequence: plan.sequence(),
        submissions: submissions(queue),
        submitter,
        plan: Arc::clone(&plan),
    });
    let launch = |iteration| {
        tokio::task::spawn_local(run_iteration(Rc::clone(&shared), iteration));
    };
    let outcome = local.block_on(&runtime, shared.in_flight.offer(waker, || false, launch));
    shared.in_flight.close(outcome);
    // Tasks of censored iterations hold their shares; they go with the set.
    drop(local);
    if let Ok(shared) = Rc::try_unwrap(shared) {
        runtime.block_on(async {
            // What waits for this client is dropped soon after.
            let _ = tokio::time::timeout(GOODBYE, shared.submitter.close()).await;
            let _ = tokio::time::timeout(GOODBYE, bus.drain_and_close()).await;
        });
    }
}

async fn open(plan: &GroupPlan, queue: &QueuePlan, bus: &Bus) -> Result<(Bus, Submitter), JobError> {
    let bus = bus.another(&format!("load {}", plan.name)).await?;
    // Unique for a thread of a run on a node; a client's name is no secret, and no two may have the same.
    let client = format!("{:016x}-{}-{:08x}", plan.run_key, plan.group, fastrand::u32(..));
    let options = SubmitterOptions { queue: queue.queue.clone(), client, presence: queue.presence };
    let submitter = Submitter::open(&bus, options).await?;
    if submitter.definition().is_none() {
        return Err(JobError::NoQueue { queue: queue.queue.clone() });
    }
    Ok((bus, submitter))
}

fn submissions(queue: &QueuePlan) -> Vec<Submission> {
    let one = |job: &nuncius_schemas::spec::JobStep| Submission {
        args: job.args.clone(),
        limit: job.limit,
        priority: job.priority,
        ..Submission::default()
    };
    queue.jobs.iter().map(one).collect()
}

/// One iteration, to its end.
async fn run_iteration(shared: Rc<Shared>, iteration: Iteration) {
    let in_flight = &shared.in_flight;
    in_flight.begun(iteration);
    let (mut step, mut exchange) = (shared.plan.entry(), in_flight.enter(iteration));
    loop {
        if let Err(failure) = shared.job(step, exchange).await {
            return in_flight.broken((iteration, exchange), failure);
        }
        match in_flight.answered((iteration, exchange), &shared.sequence, 0, true, monotonic_ns()) {
            Some(next) => (step, exchange) = next,
            None => return,
        }
        in_flight.permit(exchange).await;
    }
}

impl Shared {
    /// Submits the job of a step and waits for its record.
    async fn job(&self, step: u16, exchange: ExchangeId) -> Result<(), Failure> {
        let Some(submission) = self.submissions.get(usize::from(step)) else {
            return Err(Failure::new(FailureKind::Protocol, "the step has no job"));
        };
        let submission = Submission { traceparent: self.in_flight.trace_of(exchange), ..submission.clone() };
        self.in_flight.sent(exchange);
        let timeout = Duration::from_nanos(self.plan.timeout_ns);
        let whole = async {
            let ticket = self.submitter.submit(submission).await.map_err(refused)?;
            match ticket.result().await {
                Some(result) => judge(&result),
                None => Err(Failure::new(FailureKind::Closed, "the connection ended before the result came")),
            }
        };
        match tokio::time::timeout(timeout, whole).await {
            Ok(ended) => ended,
            Err(_) => Err(Failure::new(FailureKind::Timeout, "no result within the timeout")),
        }
    }
}

pub(crate) fn refused(error: JobError) -> Failure {
    let kind = match &error {
        JobError::Bus(BusError::Timeout { .. }) | JobError::Typed(TypedError::Bus(BusError::Timeout { .. })) => {
            FailureKind::Timeout
        }
        JobError::Bus(_) | JobError::Typed(_) => FailureKind::Closed,
        _ => FailureKind::Refused,
    };
    Failure::Failed(kind, error.to_string())
}

pub(crate) fn judge(result: &JobResult) -> Result<(), Failure> {
    let reason = || result.error.clone().unwrap_or_else(|| "without a reason".to_owned());
    match result.status {
        JobStatus::Succeeded => Ok(()),
        _ if result.timed_out => Err(Failure::Failed(FailureKind::Timeout, reason())),
        status => Err(Failure::Failed(FailureKind::Job, format!("{}: {}", status.name(), reason()))),
    }
}
