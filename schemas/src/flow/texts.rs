//! Every text of a step and of those in its blocks, with what it is.
//!
//! Each type is taken apart without `..`, so that a new field does not compile until somebody has said what it is.

use std::collections::BTreeMap;

use serde_json::Value;

use super::job::JobStep;
use super::received;
use super::step::{Count, If, Loop, Op, Parallel, Rounds, Scenario, Step};
use super::think::Think;
use super::value::visit_value;
use crate::spec::amqp::{AmqpConsume, AmqpPublish};
use crate::spec::expect::Expect;
use crate::spec::text::{TextKind, Visit, maybe, one};

/// Goes through the texts of values, each under its name.
pub(crate) fn visit_values<E>(
    path: &str,
    values: &mut BTreeMap<String, Value>,
    visit: &mut Visit<'_, E>,
) -> Result<(), E> {
    values.iter_mut().try_for_each(|(name, value)| visit_value(&format!("{path}.{name}"), name, value, visit))
}

fn visit_steps<E>(path: &str, steps: &mut [Step], visit: &mut Visit<'_, E>) -> Result<(), E> {
    let mut numbered = steps.iter_mut().enumerate();
    numbered.try_for_each(|(index, step)| step.visit_texts(&format!("{path}[{index}]"), visit))
}

impl Scenario {
    /// Goes through every text of the scenario.
    pub(crate) fn visit_texts<E>(&mut self, path: &str, visit: &mut Visit<'_, E>) -> Result<(), E> {
        let Self { name, weight: _, steps } = self;
        one(format!("{path}.name"), TextKind::Name, name, visit)?;
        visit_steps(&format!("{path}.steps"), steps, visit)
    }
}

impl Step {
    /// Goes through every text of the step and of those in it.
    pub(crate) fn visit_texts<E>(&mut self, path: &str, visit: &mut Visit<'_, E>) -> Result<(), E> {
        let Self {
            name,
            condition,
            probability: _,
            method: _,
            path: target,
            headers,
            body,
            expect,
            publish,
            consume,
            job,
            op,
        } = self;
        maybe(format!("{path}.name"), TextKind::Name, name, visit)?;
        maybe(format!("{path}.if"), TextKind::Template, condition, visit)?;
        maybe(format!("{path}.path"), TextKind::Url, target, visit)?;
        for (name, value) in headers {
            one(format!("{path}.headers.{name}"), TextKind::Header(name), value, visit)?;
        }
        maybe(format!("{path}.body"), TextKind::Body, body, visit)?;
        if let Some(Expect { status: _ }) = expect {}
        if let Some(publish) = publish {
            let AmqpPublish { exchange, routing_key, body, persistent: _, declare: _, broker, track, timeout: _ } =
                publish;
            one(format!("{path}.publish.exchange"), TextKind::Place, exchange, visit)?;
            one(format!("{path}.publish.routing_key"), TextKind::Place, routing_key, visit)?;
            one(format!("{path}.publish.body"), TextKind::Body, body, visit)?;
            maybe(format!("{path}.publish.broker"), TextKind::Url, broker, visit)?;
            maybe(format!("{path}.publish.track"), TextKind::Name, track, visit)?;
        }
        if let Some(consume) = consume {
            let AmqpConsume {
                queue,
                prefetch: _,
                broker,
                messages: _,
                track,
                timeout: _,
                capture,
                checks,
                on_check_failure: _,
            } = consume;
            let path = format!("{path}.consume");
            one(format!("{path}.queue"), TextKind::Place, queue, visit)?;
            maybe(format!("{path}.broker"), TextKind::Url, broker, visit)?;
            maybe(format!("{path}.track"), TextKind::Name, track, visit)?;
            received::visit_texts((&path, ".wait"), None, capture, checks, visit)?;
        }
        if let Some(job) = job {
            let JobStep { args, priority: _, limit: _, queue, timeout: _, capture, checks, on_check_failure: _ } = job;
            let path = format!("{path}.job");
            for (index, argument) in args.iter_mut().enumerate() {
                one(format!("{path}.args[{index}]"), TextKind::Argument(index), argument, visit)?;
            }
            maybe(format!("{path}.queue"), TextKind::Place, queue, visit)?;
            received::visit_texts((&path, ".wait"), None, capture, checks, visit)?;
        }
        match op {
            Some(op) => {
                let path = format!("{path}.{}", op.verb());
                op.visit_texts(&path, visit)
            }
            None => Ok(()),
        }
    }
}

impl Op {
    fn visit_texts<E>(&mut self, path: &str, visit: &mut Visit<'_, E>) -> Result<(), E> {
        match self {
            Self::Http(_, request) => request.visit_texts(path, visit),
            Self::Ws(step) => step.visit_texts(path, visit),
            Self::SocketIo(step) => step.visit_texts(path, visit),
            Self::Nats(step) => step.visit_texts(path, visit),
            Self::Think(Think::Fixed(_) | Think::Between(_, _) | Think::Around { time: _, jitter: _ }) => Ok(()),
            Self::Set(values) => visit_values(path, values, visit),
            Self::Loop(one) => one.visit_texts(path, visit),
            Self::If(branches) => branches.visit_texts(path, visit),
            Self::Parallel(parallel) => parallel.visit_texts(path, visit),
            Self::Call(function) => one(path.to_owned(), TextKind::Name, function, visit),
            Self::Log(text) => one(path.to_owned(), TextKind::Template, text, visit),
        }
    }
}

impl Loop {
    fn visit_texts<E>(&mut self, path: &str, visit: &mut Visit<'_, E>) -> Result<(), E> {
        let Self { rounds, at_most: _, steps } = self;
        match rounds {
            Rounds::Count(Count::Number(_)) => {}
            Rounds::Count(Count::Template(text)) => one(format!("{path}.count"), TextKind::Template, text, visit)?,
            Rounds::Over { list, item } => {
                visit_value(&format!("{path}.over"), item, list, visit)?;
                one(format!("{path}.as"), TextKind::Name, item, visit)?;
            }
            Rounds::While(condition) => one(format!("{path}.while"), TextKind::Template, condition, visit)?,
        }
        visit_steps(&format!("{path}.steps"), steps, visit)
    }
}

impl If {
    fn visit_texts<E>(&mut self, path: &str, visit: &mut Visit<'_, E>) -> Result<(), E> {
        let Self { condition, then, otherwise } = self;
        one(format!("{path}.condition"), TextKind::Template, condition, visit)?;
        visit_steps(&format!("{path}.then"), then, visit)?;
        visit_steps(&format!("{path}.else"), otherwise, visit)
    }
}

impl Parallel {
    fn visit_texts<E>(&mut self, path: &str, visit: &mut Visit<'_, E>) -> Result<(), E> {
        let is_short = self.is_short();
        let Self { branches, at_most: _ } = self;
        for (index, branch) in branches.iter_mut().enumerate() {
            for (at, step) in branch.iter_mut().enumerate() {
                let path =
                    if is_short { format!("{path}[{index}]") } else { format!("{path}.branches[{index}][{at}]") };
                step.visit_texts(&path, visit)?;
            }
        }
        Ok(())
    }
}
