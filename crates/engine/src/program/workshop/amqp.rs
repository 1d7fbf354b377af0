//! Messages over AMQP and jobs as steps of a session: from what is written to what is done.

use std::sync::Arc;

use lapin::types::ShortString;
use nuncius_schemas::flow::JobStep;
use nuncius_schemas::spec::{AmqpConsume, AmqpPublish};
use nuncius_schemas::units::HumanDuration;

use crate::amqp::Access;
use crate::error::PlanError;
use crate::plan::amqp::{AmqpPlan, login};
use crate::program::amqp::{AmqpDoes, AmqpStepPlan, JobPlan};
use crate::program::http::Workshop;

impl Workshop<'_> {
    /// A step that publishes. `at` is its path with its verb.
    ///
    /// # Errors
    /// Names the field.
    pub(in crate::program) fn publish(
        &mut self,
        number: u16,
        at: &str,
        step: &AmqpPublish,
    ) -> Result<AmqpStepPlan, PlanError> {
        let AmqpPublish { exchange, routing_key, body, persistent, declare, broker, track, timeout } = step;
        let does = AmqpDoes::Publish {
            exchange: self.short(&format!("{at}.exchange"), exchange)?,
            routing_key: self.text(&format!("{at}.routing_key"), routing_key)?,
            body: self.text(&format!("{at}.body"), body)?,
            persistent: *persistent,
            declare: *declare,
        };
        self.of_broker(number, at, (broker.as_deref(), track.as_deref(), *timeout), does)
    }

    /// A step that consumes. `at` is its path with its verb.
    ///
    /// # Errors
    /// Names the field.
    pub(in crate::program) fn consume(
        &mut self,
        number: u16,
        at: &str,
        step: &AmqpConsume,
    ) -> Result<AmqpStepPlan, PlanError> {
        let AmqpConsume { queue, prefetch, broker, messages, track, timeout, capture, checks, on_check_failure } = step;
        let does = AmqpDoes::Consume {
            queue: self.short(&format!("{at}.queue"), queue)?,
            prefetch: *prefetch,
            messages: messages.unwrap_or(1),
            taking: self.taking(at, capture, checks, *on_check_failure)?,
        };
        self.of_broker(number, at, (broker.as_deref(), track.as_deref(), *timeout), does)
    }

    fn of_broker(
        &mut self,
        number: u16,
        at: &str,
        (broker, track, timeout): (Option<&str>, Option<&str>, Option<HumanDuration>),
        does: AmqpDoes,
    ) -> Result<AmqpStepPlan, PlanError> {
        Ok(AmqpStepPlan {
            step: number,
            broker: self.broker(at, broker)?,
            timeout_ns: timeout.unwrap_or(self.group.timeout).0.max(1),
            track: track.map(Arc::from),
            does,
        })
    }

    /// A step that submits a job. `at` is its path with its verb.
    ///
    /// # Errors
    /// Names the field.
    pub(in crate::program) fn job(&mut self, number: u16, at: &str, step: &JobStep) -> Result<JobPlan, PlanError> {
        let JobStep { args, priority, limit, queue, timeout, capture, checks, on_check_failure } = step;
        let name = queue.as_deref().unwrap_or_default();
        if let Err(error) = nuncius_schemas::queue::check_queue_name(name) {
            return Err(self.refuse(&format!("{at}.queue"), error.problem));
        }
        let queues = &mut self.brokers.queues;
        let index = queues.iter().position(|known| &**known == name).unwrap_or_else(|| {
            queues.push(name.into());
            queues.len() - 1
        });
        let mut made = Vec::with_capacity(args.len());
        for (index, argument) in args.iter().enumerate() {
            made.push(self.text(&format!("{at}.args[{index}]"), argument)?);
        }
        Ok(JobPlan {
            step: number,
            // There are at most as many as steps.
            queue: u16::try_from(index).unwrap_or(u16::MAX),
            args: made.into(),
            priority: *priority,
            limit: *limit,
            timeout_ns: timeout.unwrap_or(self.group.timeout).0.max(1),
            taking: self.taking(at, capture, checks, *on_check_failure)?,
        })
    }

    fn short(&self, field: &str, text: &str) -> Result<ShortString, PlanError> {
        ShortString::try_new(text).map_err(|_| self.refuse(field, "longer than 255 bytes"))
    }

    /// The number of the broker of a step: its own, or the group's target. May block on DNS.
    fn broker(&mut self, at: &str, broker: Option<&str>) -> Result<u16, PlanError> {
        let (field, url) = match broker {
            Some(url) => (format!("{at}.broker"), url),
            None => ("target".to_owned(), self.group.target.as_str()),
        };
        let index = match self.brokers.urls.iter().position(|known| known == url) {
            Some(index) => index,
            None => {
                let access = self.access(&field, url)?;
                self.brokers.urls.push(url.to_owned());
                self.brokers.brokers.push(Arc::new(access));
                self.brokers.brokers.len() - 1
            }
        };
        // There are at most as many as steps.
        Ok(u16::try_from(index).unwrap_or(u16::MAX))
    }

    fn access(&self, field: &str, url: &str) -> Result<Access, PlanError> {
        if !url.starts_with("amqp://") && !url.starts_with("amqps://") {
            return Err(self.refuse(field, "no broker (amqp://): give the step a `broker`"));
        }
        let (target, upstream) = self.targets.resolver().reach(&format!("{}.{field}", self.path), url)?;
        let group = self.group;
        let plan = AmqpPlan {
            secure: target.secure,
            credentials: target.credentials,
            vhost: target.path.trim_start_matches('/').to_owned(),
            steps: Vec::new(),
            tls: group.tls.clone(),
            server_name: target.host,
        };
        // The problem is told without the text: it holds a password.
        let problem = "user, password or virtual host are not percent-encoded UTF-8, or longer than 255 bytes";
        let uri = login(&plan).map_err(|_| self.refuse(field, problem))?;
        let tls = match plan.secure {
            true => {
                Some(self.targets.resolver().tls_of(&plan.server_name, None).map_err(|text| self.refuse("tls", text))?)
            }
            false => None,
        };
        Ok(Access::of((uri, Arc::new(upstream), tls), group.timeout.0.max(1), &group.name))
    }
}
