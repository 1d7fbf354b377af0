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
use nuncius_amqp::{Link, describe, reply};
use nuncius_clock::monotonic_ns;
use nuncius_schemas::metric::FailureKind;
use tokio::time::timeout;

use super::connection::{failure_of, open};
use super::message::{Stamp, properties};
use super::shared::{BACKOFF_MAX_NS, Publish, Publisher, Shared, State};
use crate::failure::Failure;
use crate::in_flight::{ExchangeId, Iteration};

impl Shared {
    /// The publishing connection: the open one, or the next. While an attempt is too soon after a failed one, that
    /// one's failure; but where nobody answered the next attempt is waited for, since a wait that is not waited is
    /// none: the caller limits it.
    pub(super) async fn publisher(self: &Rc<Self>) -> Result<Rc<Publisher>, Failure> {
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
                    State::Down { retry_ns, failure: Some(failure), .. } if monotonic_ns() < *retry_ns => match failure
                    {
                        Failure::Failed(FailureKind::Timeout, _) => Some(retry_ns.saturating_sub(monotonic_ns())),
                        Failure::Failed(..) | Failure::Unmade(_) => return Err(failure.clone()),
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
            Err(failure) => State::Down {
                retry_ns: monotonic_ns().saturating_add(backoff_ns),
                backoff_ns: backoff_ns.saturating_mul(2).min(BACKOFF_MAX_NS),
                failure: Some(failure),
            },
        };
        *self.state.borrow_mut() = state;
        self.opened.notify_waiters();
    }

    async fn open_publisher(&self) -> Result<Publisher, Failure> {
        let link = open(&self.setup.access, self.next_host()).await?;
        let prepared = timeout(self.timeout(), async {
            let mut channels = Vec::with_capacity(self.publishes.len());
            for publish in &self.publishes {
                channels.push(match publish {
                    Some(publish) => Some(prepare(&link, publish).await?),
                    None => None,
                });
            }
            Ok::<_, Failure>(channels)
        });
        match prepared.await {
            Ok(channels) => Ok(Publisher { link, channels: channels?, late: Cell::new(0) }),
            Err(_) => Err(Failure::new(FailureKind::Timeout, "open a channel: no answer within the timeout")),
        }
    }

    /// Publishes the step's message and waits for its confirm.
    pub(super) async fn publish(
        &self,
        iteration: Iteration,
        (step, exchange): (u16, ExchangeId),
        publisher: &Rc<Publisher>,
    ) -> Result<(), Failure> {
        let planned = self.publishes.get(usize::from(step)).and_then(Option::as_ref);
        let channel = publisher.channels.get(usize::from(step)).and_then(Option::as_ref);
        let (Some(planned), Some(channel)) = (planned, channel) else {
            return Err(Failure::new(FailureKind::Protocol, "the step does not publish"));
        };
        let start = self.in_flight.start_of(iteration).filter(|start| start.has_plan);
        let times = self.in_flight.record(|recorder| {
            (start.map(|start| recorder.run_time_ns(start.planned_ns)), recorder.run_time_ns(monotonic_ns()))
        });
        let (planned_ns, published_ns) = times.unwrap_or((None, 0));
        let tally = &self.setup.tally;
        let message = tally.next_message.fetch_add(1, Ordering::Relaxed);
        let stamp = Stamp { publisher: tally.publisher, message, planned_ns, published_ns };
        let properties = properties(&self.run, &stamp, planned.persistent, self.in_flight.trace_of(exchange));
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (to, routing_key) = (planned.exchange.clone(), planned.routing_key.clone());
        let written = channel.basic_publish(to, routing_key, options, &planned.body, properties).await;
        let mut confirm = written.map_err(|error| failure_of(FailureKind::Closed, "publish", &error))?;
        self.in_flight.sent(exchange);
        self.in_flight.count_at(exchange, |recorder, place| recorder.written(place, planned.body.len() as u64));
        match timeout(self.timeout(), &mut confirm).await {
            Ok(Ok(Confirmation::Ack(None))) => Ok(()),
            Ok(Ok(Confirmation::Ack(Some(returned)))) => {
                Err(Failure::Failed(FailureKind::Refused, format!("returned: {}", reply(returned.reply_code))))
            }
            Ok(Ok(Confirmation::Nack(_))) => Err(Failure::new(FailureKind::Refused, "not accepted (basic.nack)")),
            Ok(Ok(Confirmation::NotRequested)) => {
                Err(Failure::new(FailureKind::Protocol, "the channel does not confirm"))
            }
            Ok(Err(error)) if error.is_amqp_soft_error() => {
                Err(Failure::Failed(FailureKind::Refused, describe(&error)))
            }
            Ok(Err(error)) => Err(failure_of(FailureKind::Closed, "confirm", &error)),
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
                Err(Failure::new(FailureKind::Timeout, "no confirm within the timeout"))
            }
        }
    }
}

/// A channel with confirms, with what the step needs to be there.
async fn prepare(link: &Link, publish: &Publish) -> Result<Channel, Failure> {
    let failure = |what: &'static str| move |error: lapin::Error| failure_of(FailureKind::Connect, what, &error);
    let channel = link.connection.create_channel().await.map_err(failure("open a channel"))?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(failure("ask for confirms"))?;
    if !publish.exchange.as_str().is_empty() {
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let exchange = publish.exchange.clone();
        let found = channel.exchange_declare(exchange, ExchangeKind::Direct, options, FieldTable::default()).await;
        found.map_err(failure("look for the exchange"))?;
    }
    if publish.declare {
        declare(&channel, publish.routing_key.clone()).await.map_err(failure("declare the queue"))?;
        if !publish.exchange.as_str().is_empty() {
            let (queue, exchange, key) =
                (publish.routing_key.clone(), publish.exchange.clone(), publish.routing_key.clone());
            let options = QueueBindOptions::default();
            let bound = channel.queue_bind(queue, exchange, key, options, FieldTable::default()).await;
            bound.map_err(failure("bind the queue"))?;
        }
    }
    Ok(channel)
}

/// A durable classic queue of this name: what every RabbitMQ has, and what survives its restart.
pub(crate) async fn declare(channel: &Channel, queue: ShortString) -> lapin::Result<()> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue, options, FieldTable::default()).await.map(drop)
}
