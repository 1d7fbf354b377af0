//! The publishing side: one connection, one channel for each publishing step, confirms on all of them.
//!
//! The client library gives a returned message to the first confirm that comes after it, which need not be that
//! message's own; a channel for each step keeps it within the step, whose messages all have the same exchange and
//! routing key.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Confirmation, ExchangeKind};
use nuncius_schemas::metric::FailureKind;
use tokio::time::timeout;

use super::connection::{Link, describe, open, reply, trouble_of};
use super::message::{Stamp, properties};
use super::{Publish, Shared};
use crate::clock::monotonic_ns;
use crate::dispatch::Iteration;
use crate::trouble::Trouble;

/// How long after a failed attempt to connect the next one is made; twice as long after each further one, up to a
/// limit.
pub(super) const BACKOFF_FIRST_NS: u64 = 100_000_000;
pub(super) const BACKOFF_MAX_NS: u64 = 2_000_000_000;

/// The thread's publishing connection.
pub(super) enum State {
    /// None before `retry_ns` (CLOCK_MONOTONIC), and why.
    Down {
        retry_ns: u64,
        backoff_ns: u64,
        trouble: Option<Trouble>,
    },
    Opening,
    Up(Rc<Publisher>),
}

impl Default for State {
    fn default() -> Self {
        Self::Down { retry_ns: 0, backoff_ns: BACKOFF_FIRST_NS, trouble: None }
    }
}

pub(super) struct Publisher {
    link: Link,
    /// Of each step; `None` for those that consume.
    channels: Vec<Option<Channel>>,
    /// Messages that were given up and that the broker may confirm yet.
    late: Cell<usize>,
}

impl Publisher {
    fn is_alive(&self) -> bool {
        self.link.is_alive() && self.channels.iter().flatten().all(|channel| channel.status().connected())
    }

    pub(super) async fn close(&self) {
        self.link.close().await;
    }
}

impl Shared {
    /// The publishing connection: the open one, or the next. While an attempt is too soon after a failed one, that
    /// one's trouble; but where nobody answered the next attempt is waited for, since a wait that is not waited is
    /// none: the caller limits it.
    pub(super) async fn publisher(self: &Rc<Self>) -> Result<Rc<Publisher>, Trouble> {
        loop {
            let opened = self.opened.notified();
            let pause_ns = {
                let mut state = self.state.borrow_mut();
                match &*state {
                    State::Up(publisher) if publisher.is_alive() => return Ok(Rc::clone(publisher)),
                    State::Up(publisher) => {
                        // A channel that the broker has closed takes its connection along.
                        publisher.link.cut();
                        *state = State::default();
                        continue;
                    }
                    State::Down { retry_ns, trouble: Some(trouble), .. } if monotonic_ns() < *retry_ns => match trouble
                    {
                        Trouble::Target(FailureKind::Timeout, _) => Some(retry_ns.saturating_sub(monotonic_ns())),
                        Trouble::Target(..) | Trouble::Generator(_) => return Err(trouble.clone()),
                    },
                    State::Down { backoff_ns, .. } => {
                        let backoff_ns = *backoff_ns;
                        *state = State::Opening;
                        // Goes on though who asked for it gives up.
                        tokio::task::spawn_local(Rc::clone(self).attempt(backoff_ns));
                        None
                    }
                    State::Opening => None,
                }
            };
            match pause_ns {
                Some(pause_ns) => tokio::time::sleep(Duration::from_nanos(pause_ns)).await,
                None => opened.await,
            }
        }
    }

    /// One attempt to connect; whoever waits is told.
    async fn attempt(self: Rc<Self>, backoff_ns: u64) {
        let state = match self.open_publisher().await {
            Ok(publisher) => State::Up(Rc::new(publisher)),
            Err(trouble) => State::Down {
                retry_ns: monotonic_ns().saturating_add(backoff_ns),
                backoff_ns: backoff_ns.saturating_mul(2).min(BACKOFF_MAX_NS),
                trouble: Some(trouble),
            },
        };
        *self.state.borrow_mut() = state;
        self.opened.notify_waiters();
    }

    async fn open_publisher(&self) -> Result<Publisher, Trouble> {
        let link = open(&self.setup.access, self.next_host()).await?;
        let prepared = timeout(self.timeout(), async {
            let mut channels = Vec::with_capacity(self.publishes.len());
            for publish in &self.publishes {
                channels.push(match publish {
                    Some(publish) => Some(prepare(&link, publish).await?),
                    None => None,
                });
            }
            Ok::<_, Trouble>(channels)
        });
        match prepared.await {
            Ok(channels) => Ok(Publisher { link, channels: channels?, late: Cell::new(0) }),
            Err(_) => Err(Trouble::target(FailureKind::Timeout, "open a channel: no answer within the timeout")),
        }
    }

    /// Publishes the step's message and waits for its confirm.
    pub(super) async fn publish(
        &self,
        flight: u64,
        iteration: &mut Iteration,
        publisher: &Rc<Publisher>,
    ) -> Result<(), Trouble> {
        let step = usize::from(iteration.step);
        let planned = self.publishes.get(step).and_then(Option::as_ref);
        let channel = publisher.channels.get(step).and_then(Option::as_ref);
        let (Some(planned), Some(channel)) = (planned, channel) else {
            return Err(Trouble::target(FailureKind::Protocol, "the step does not publish"));
        };
        let (planned_ns, published_ns) = match self.flights.dispatcher.borrow().as_ref() {
            Some(dispatcher) => {
                let run_time_ns = |at_ns| dispatcher.run_time_ns(at_ns);
                let origin_ns = dispatcher.is_open().then(|| run_time_ns(iteration.origin_ns));
                (origin_ns, run_time_ns(monotonic_ns()))
            }
            None => (None, 0),
        };
        let tally = &self.setup.tally;
        let message = tally.next_message.fetch_add(1, Ordering::Relaxed);
        let stamp = Stamp { publisher: tally.publisher, message, planned_ns, published_ns };
        let properties = properties(&self.run, &stamp, planned.persistent, self.flights.trace_of(iteration));
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (exchange, routing_key) = (planned.exchange.clone(), planned.routing_key.clone());
        let written = channel.basic_publish(exchange, routing_key, options, &planned.body, properties).await;
        let mut confirm = written.map_err(|error| trouble_of(FailureKind::Closed, "publish", &error))?;
        if let Some(dispatcher) = self.flights.dispatcher.borrow_mut().as_mut() {
            dispatcher.sent(iteration, monotonic_ns());
            dispatcher.written(iteration.step, planned.body.len() as u64);
        }
        self.flights.note(flight, *iteration);
        match timeout(self.timeout(), &mut confirm).await {
            Ok(Ok(Confirmation::Ack(None))) => Ok(()),
            Ok(Ok(Confirmation::Ack(Some(returned)))) => {
                Err(Trouble::Target(FailureKind::Refused, format!("returned: {}", reply(returned.reply_code))))
            }
            Ok(Ok(Confirmation::Nack(_))) => Err(Trouble::target(FailureKind::Refused, "not accepted (basic.nack)")),
            Ok(Ok(Confirmation::NotRequested)) => {
                Err(Trouble::target(FailureKind::Protocol, "the channel does not confirm"))
            }
            Ok(Err(error)) if error.is_amqp_soft_error() => {
                Err(Trouble::Target(FailureKind::Refused, describe(&error)))
            }
            Ok(Err(error)) => Err(trouble_of(FailureKind::Closed, "confirm", &error)),
            Err(_) => {
                publisher.late.set(publisher.late.get() + 1);
                if publisher.late.get() > self.in_flight_max {
                    // Its books of unconfirmed messages must not grow for ever.
                    publisher.link.cut();
                } else {
                    let publisher = Rc::clone(publisher);
                    tokio::task::spawn_local(async move {
                        let _ = confirm.await;
                        publisher.late.set(publisher.late.get().saturating_sub(1));
                    });
                }
                Err(Trouble::target(FailureKind::Timeout, "no confirm within the timeout"))
            }
        }
    }
}

/// A channel with confirms, with what the step needs to be there.
async fn prepare(link: &Link, publish: &Publish) -> Result<Channel, Trouble> {
    let trouble = |what: &'static str| move |error: lapin::Error| trouble_of(FailureKind::Connect, what, &error);
    let channel = link.connection.create_channel().await.map_err(trouble("open a channel"))?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(trouble("ask for confirms"))?;
    if !publish.exchange.as_str().is_empty() {
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let exchange = publish.exchange.clone();
        let found = channel.exchange_declare(exchange, ExchangeKind::Direct, options, FieldTable::default()).await;
        found.map_err(trouble("look for the exchange"))?;
    }
    if publish.declare {
        declare(&channel, publish.routing_key.clone()).await.map_err(trouble("declare the queue"))?;
        if !publish.exchange.as_str().is_empty() {
            let (queue, exchange, key) =
                (publish.routing_key.clone(), publish.exchange.clone(), publish.routing_key.clone());
            let options = QueueBindOptions::default();
            let bound = channel.queue_bind(queue, exchange, key, options, FieldTable::default()).await;
            bound.map_err(trouble("bind the queue"))?;
        }
    }
    Ok(channel)
}

/// A durable classic queue of this name: what every RabbitMQ has, and what survives its restart.
pub(super) async fn declare(channel: &Channel, queue: ShortString) -> lapin::Result<()> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue, options, FieldTable::default()).await.map(drop)
}
