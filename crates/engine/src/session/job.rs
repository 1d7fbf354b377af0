//! Jobs as steps of a session: submitted to a queue of Nuncius, over the bus, and waited for.

use std::time::Duration;

use http::HeaderMap;
use nuncius_clock::monotonic_ns;
use nuncius_jobs::{JobError, Submission, Submitter, SubmitterOptions};
use nuncius_scenario::draw::Draws;
use nuncius_schemas::metric::FailureKind;
use tokio::time::timeout;

use super::state::{Ready, Session, Stop};
use crate::failure::Failure;
use crate::in_flight::ExchangeId;
use crate::program::amqp::JobPlan;
use crate::program::machine::Cursor;
use crate::queue::{judge, refused};

impl Session<'_> {
    /// Submits a job and waits for its record; when it ended.
    pub(super) async fn job(
        &self,
        plan: &JobPlan,
        cursor: &mut Cursor,
        mut draws: Draws,
        ready: Ready,
    ) -> Result<u64, Stop> {
        let step = plan.step;
        let mut args = Vec::with_capacity(plan.args.len());
        for argument in &plan.args {
            let made = self.made(argument, cursor, &mut draws);
            args.push(made.map_err(|failure| self.fail_at(step, ready, failure))?);
        }
        let exchange = self.open(step, ready);
        let patience = Duration::from_nanos(plan.timeout_ns);
        let submitter = timeout(patience, self.submitter(plan.queue)).await;
        let submitter = submitter
            .unwrap_or_else(|_| Err(Failure::new(FailureKind::Timeout, "no connection to NATS within the timeout")));
        let submitter = submitter.map_err(|failure| self.end(exchange, step, failure, monotonic_ns()))?;
        self.permit(exchange).await;
        let sent_ns = self.in_flight().sent(exchange);
        let whole = self.submit(plan, submitter, args, exchange);
        let ended = timeout(patience, whole).await;
        let ended = ended.unwrap_or_else(|_| Err(Failure::new(FailureKind::Timeout, "no result within the timeout")));
        let output = ended.map_err(|failure| self.end(exchange, step, failure, monotonic_ns()))?;
        let at_ns = monotonic_ns();
        if !plan.taking.is_nothing() {
            let message = (output.as_slice(), &HeaderMap::new(), at_ns.saturating_sub(sent_ns));
            self.take_message((step, &plan.taking), message, (cursor, &mut draws))
                .map_err(|failure| self.refuse(exchange, step, (0, at_ns), failure))?;
        }
        self.in_flight().succeeded(exchange, 0, at_ns);
        Ok(at_ns)
    }

    async fn submit(
        &self,
        plan: &JobPlan,
        submitter: &Submitter,
        args: Vec<String>,
        exchange: ExchangeId,
    ) -> Result<Vec<u8>, Failure> {
        let traceparent = self.in_flight().trace_of(exchange);
        let submission =
            Submission { args, limit: plan.limit, priority: plan.priority, traceparent, ..Submission::default() };
        let ticket = submitter.submit(submission).await.map_err(refused)?;
        let Some(result) = ticket.result().await else {
            return Err(Failure::new(FailureKind::Closed, "the connection ended before the result came"));
        };
        judge(&result)?;
        Ok(serde_json::to_vec(&result).unwrap_or_default())
    }

    async fn submitter(&self, queue: u16) -> Result<&Submitter, Failure> {
        let submitters = &self.shared.submitters;
        let name = self.program.queues.get(usize::from(queue));
        let (Some(cell), Some(name)) = (submitters.open.get(usize::from(queue)), name) else {
            return Err(Failure::new(FailureKind::Refused, "there is no such queue"));
        };
        let opening = cell.get_or_try_init(|| async {
            let Some(bus) = &submitters.bus else {
                return Err(Failure::new(FailureKind::Connect, "this process is connected to no server of NATS"));
            };
            let plan = &self.shared.plan;
            let called = format!("load {}", plan.name);
            let own = submitters.own.get_or_try_init(|| bus.another(&called)).await;
            let own = own.map_err(|error| refused(JobError::from(error)))?;
            // Unique for a thread of a run on a node.
            let client = format!("{:016x}-{}-{:08x}", plan.run_key, plan.group, fastrand::u32(..));
            let options = SubmitterOptions { queue: name.to_string(), client, presence: plan.is_closed() };
            let submitter = Submitter::open(own, options).await.map_err(refused)?;
            match submitter.definition().is_some() {
                true => Ok(submitter),
                false => Err(refused(JobError::NoQueue { queue: name.to_string() })),
            }
        });
        opening.await
    }
}
