//! Jobs on a Nuncius queue: an iteration submits the job of each step and waits for its terminal record before the next.
//!
//! A step is *sent* when its job is handed to the connection (so a thread with too many under way shows as *blocked*), and answered
//! when its record comes: *service* is record − sent, with submission, queue wait, run and the way back in it; *response* record −
//! planned. A job that failed, died or was dropped fails as `job`, one over its limit as `timeout`, one that the queue did not take as
//! `refused`. A record that has not come within the group's timeout fails as `timeout` too, though its job may still run.
//!
//! One thread has a runtime and a connection of its own, so that neither the node's commands nor other groups wait behind its load.
//! A server that is away is waited for: what was submitted meanwhile is repeated under the same id, and results are looked for.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nuncius_bus::Bus;
use nuncius_jobs::{JobError, Submission, Submitter, SubmitterOptions};
use nuncius_schemas::job::{JobResult, JobStatus};
use nuncius_schemas::metric::FailureKind;
use tokio::sync::Notify;
use tokio::task::LocalSet;

use crate::clock::monotonic_ns;
use crate::dispatch::{Dispatcher, Iteration};
use crate::http::general::timer::{self, Timer};
use crate::plan::{Action, GroupPlan, QueuePlan, traceparent};
use crate::wake::Bell;

/// How long a connection may take to be made, and to take leave.
const CONNECT: Duration = Duration::from_secs(10);
const GOODBYE: Duration = Duration::from_millis(500);

/// Why a job counts as failed: its kind, and a text.
type Trouble = (FailureKind, String);

/// What the tasks of a thread share.
struct Shared {
    /// Gone once the books are closed.
    dispatcher: RefCell<Option<Dispatcher>>,
    plan: Arc<GroupPlan>,
    submissions: Vec<Submission>,
    submitter: Submitter,
    /// Iterations under way, as they are known by now.
    flights: RefCell<HashMap<u64, Iteration>>,
    next_flight: Cell<u64>,
    /// An iteration has ended.
    changed: Notify,
}

/// Runs a thread's share to the end.
pub(crate) fn run(dispatcher: Dispatcher, plan: Arc<GroupPlan>, bus: &Bus, bell: Arc<Bell>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return dispatcher.close_failed(format!("cannot start a runtime: {error}"), monotonic_ns()),
    };
    let Action::Queue(queue) = &plan.action else {
        return dispatcher.close_failed("the group has no queue".to_owned(), monotonic_ns());
    };
    let local = LocalSet::new();
    let opened = local.block_on(&runtime, async { tokio::time::timeout(CONNECT, open(&plan, queue, bus)).await });
    let (bus, submitter) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return dispatcher.close_failed(error.to_string(), monotonic_ns()),
        Err(_) => return dispatcher.close_failed(format!("no connection to NATS within {CONNECT:?}"), monotonic_ns()),
    };
    let shared = Rc::new(Shared {
        dispatcher: RefCell::new(Some(dispatcher)),
        submissions: submissions(queue),
        submitter,
        plan: Arc::clone(&plan),
        flights: RefCell::new(HashMap::new()),
        next_flight: Cell::new(0),
        changed: Notify::new(),
    });
    let result = local.block_on(&runtime, offer(Rc::clone(&shared), bell));
    let now_ns = monotonic_ns();
    if let Some(mut dispatcher) = shared.dispatcher.take() {
        for (_, iteration) in shared.flights.take() {
            dispatcher.censor(iteration, now_ns);
        }
        match result {
            Ok(()) => dispatcher.close(now_ns),
            Err(error) => dispatcher.close_failed(format!("cannot wait for events: {error}"), now_ns),
        }
    }
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

async fn offer(shared: Rc<Shared>, bell: Arc<Bell>) -> std::io::Result<()> {
    let bell = timer::readable(bell.descriptor()?)?;
    let mut timer = Timer::new()?;
    let mut is_rung = true;
    loop {
        let now_ns = monotonic_ns();
        let due_ns = {
            let mut dispatcher = shared.dispatcher.borrow_mut();
            let Some(dispatcher) = dispatcher.as_mut() else { return Ok(()) };
            if is_rung || now_ns >= dispatcher.due_ns() || dispatcher.is_idle() {
                dispatcher.poll(now_ns);
            }
            if dispatcher.is_over() {
                return Ok(());
            }
            while let Some(iteration) = dispatcher.next(now_ns) {
                let flight = shared.next_flight.get();
                shared.next_flight.set(flight + 1);
                shared.flights.borrow_mut().insert(flight, iteration);
                tokio::task::spawn_local(fly(Rc::clone(&shared), flight, iteration));
            }
            dispatcher.due_ns()
        };
        is_rung = false;
        tokio::select! {
            result = timer.sleep_until(due_ns) => result?,
            result = timer::drain(&bell) => {
                result?;
                is_rung = true;
            }
            () = shared.changed.notified() => {}
        }
    }
}

/// One iteration, to its end.
async fn fly(shared: Rc<Shared>, flight: u64, mut iteration: Iteration) {
    loop {
        let ended = shared.job(flight, &mut iteration).await;
        let now_ns = monotonic_ns();
        let mut dispatcher = shared.dispatcher.borrow_mut();
        let next = match (dispatcher.as_mut(), ended) {
            (None, _) => None,
            (Some(dispatcher), Ok(())) => dispatcher.answered(iteration, 0, true, now_ns),
            (Some(dispatcher), Err((kind, sample))) => {
                dispatcher.failed(iteration, kind, now_ns, || sample);
                None
            }
        };
        drop(dispatcher);
        let Some(next) = next else {
            shared.flights.borrow_mut().remove(&flight);
            return shared.changed.notify_one();
        };
        iteration = next;
        shared.flights.borrow_mut().insert(flight, iteration);
    }
}

impl Shared {
    /// Submits the job of the iteration's step and waits for its record.
    async fn job(&self, flight: u64, iteration: &mut Iteration) -> Result<(), Trouble> {
        let Some(submission) = self.submissions.get(usize::from(iteration.step)) else {
            return Err((FailureKind::Protocol, "the step has no job".to_owned()));
        };
        let submission = Submission { traceparent: self.trace_of(iteration), ..submission.clone() };
        if let Some(dispatcher) = self.dispatcher.borrow_mut().as_mut() {
            dispatcher.sent(iteration, monotonic_ns());
        }
        self.flights.borrow_mut().insert(flight, *iteration);
        let timeout = Duration::from_nanos(self.plan.timeout_ns);
        let whole = async {
            let ticket = self.submitter.submit(submission).await.map_err(refused)?;
            match ticket.result().await {
                Some(result) => judge(&result),
                None => Err((FailureKind::Closed, "the connection ended before the result came".to_owned())),
            }
        };
        match tokio::time::timeout(timeout, whole).await {
            Ok(ended) => ended,
            Err(_) => Err((FailureKind::Timeout, "no result within the timeout".to_owned())),
        }
    }

    fn trace_of(&self, iteration: &Iteration) -> Option<String> {
        if !iteration.is_sampled {
            return None;
        }
        let (trace_id, span_id) = self.dispatcher.borrow().as_ref()?.identifiers(iteration);
        Some(traceparent(trace_id, span_id))
    }
}

fn refused(error: JobError) -> Trouble {
    let kind = match &error {
        JobError::Bus(_) | JobError::Typed(_) => FailureKind::Closed,
        _ => FailureKind::Refused,
    };
    (kind, error.to_string())
}

fn judge(result: &JobResult) -> Result<(), Trouble> {
    let reason = || result.error.clone().unwrap_or_else(|| "without a reason".to_owned());
    match result.status {
        JobStatus::Succeeded => Ok(()),
        _ if result.timed_out => Err((FailureKind::Timeout, reason())),
        status => Err((FailureKind::Job, format!("{}: {}", status.name(), reason()))),
    }
}
