//! Steps over AMQP: a broker that is tested, reached by one connection of the thread for what is published and one for
//! what is consumed, because a broker may stop reading from connections that publish.

use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation};
use nuncius_clock::monotonic_ns;
use nuncius_scenario::draw::Draws;
use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::track::TRACK_HEADER;
use tokio::time::timeout;

use super::counting::{add, count_received};
use super::links::Consuming;
use super::state::{Ready, Session, Stop};
use crate::amqp::{declare, describe, failure_of, reply};
use crate::failure::Failure;
use crate::in_flight::ExchangeId;
use crate::inbox::Traffic;
use crate::program::amqp::{AmqpDoes, AmqpStepPlan};
use crate::program::machine::Cursor;
use crate::program::taking::Taking;

/// `delivery_mode` of a message that the broker writes to disk.
const PERSISTENT: u8 = 2;

impl Session<'_> {
    /// Does a step over AMQP; when it ended.
    pub(super) async fn amqp(
        &self,
        plan: &AmqpStepPlan,
        cursor: &mut Cursor,
        mut draws: Draws,
        ready: Ready,
    ) -> Result<u64, Stop> {
        let step = plan.step;
        let patience = Duration::from_nanos(plan.timeout_ns);
        match &plan.does {
            AmqpDoes::Publish { exchange: to, routing_key, body, persistent, declare } => {
                let made = self.made(routing_key, cursor, &mut draws).and_then(|key| {
                    let key = ShortString::try_new(key.as_str());
                    let key =
                        key.map_err(|_| Failure::new(FailureKind::Template, "routing_key: longer than 255 bytes"))?;
                    Ok((key, self.made(body, cursor, &mut draws)?))
                });
                let (key, body) = made.map_err(|failure| self.fail_at(step, ready, failure))?;
                let exchange = self.open(step, ready);
                // Until there is a channel it is blocked.
                let opening = self.amqp_channel(plan, (to, &key, *declare));
                let channel =
                    timeout(patience, opening).await.unwrap_or_else(|_| Err(too_late("no channel within the timeout")));
                let channel = channel.map_err(|failure| self.end(exchange, step, failure, monotonic_ns()))?;
                self.permit(exchange).await;
                let publishing = self.amqp_publish(plan, &channel, (to.clone(), key), (body, *persistent), exchange);
                let published = timeout(patience, publishing).await;
                let published = published.unwrap_or_else(|_| Err(too_late("no confirm within the timeout")));
                published.map_err(|failure| self.end(exchange, step, failure, monotonic_ns()))?;
                let now_ns = monotonic_ns();
                self.in_flight().succeeded(exchange, 0, now_ns);
                Ok(now_ns)
            }
            AmqpDoes::Consume { queue, prefetch, messages, taking } => {
                let exchange = self.open(step, ready);
                let sent_ns = self.in_flight().sent(exchange);
                let consuming = self.amqp_consume(plan, (queue, *prefetch, *messages));
                let consumed = timeout(patience, consuming).await;
                let consumed = consumed.unwrap_or_else(|_| Err(too_late("not so many messages within the timeout")));
                let last = consumed.map_err(|failure| self.end(exchange, step, failure, monotonic_ns()))?;
                self.amqp_consumed((step, taking), (exchange, sent_ns), last, (cursor, &mut draws))
            }
        }
    }

    /// The channel of a step that publishes, with confirms and with what it needs to be there.
    async fn amqp_channel(
        &self,
        plan: &AmqpStepPlan,
        (exchange, key, declares): (&ShortString, &ShortString, bool),
    ) -> Result<Channel, Failure> {
        let links = &self.shared.amqp;
        let known = links.publishing.borrow().get(&plan.step).map(|(link, channel)| (Rc::clone(link), channel.clone()));
        if let Some((link, channel)) = known
            && link.is_alive()
            && channel.status().connected()
        {
            return Ok(channel);
        }
        let access = self.program.brokers.get(usize::from(plan.broker));
        let access = access.ok_or_else(|| Failure::new(FailureKind::Connect, "there is no such broker"))?;
        let link = links.link(plan.broker, access, 0).await?;
        let failure = |what: &'static str| move |error: lapin::Error| failure_of(FailureKind::Connect, what, &error);
        let channel = link.connection.create_channel().await.map_err(failure("open a channel"))?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(failure("ask for confirms"))?;
        if declares && exchange.as_str().is_empty() {
            declare(&channel, key.clone()).await.map_err(failure("declare the queue"))?;
        }
        links.publishing.borrow_mut().insert(plan.step, (link, channel.clone()));
        Ok(channel)
    }

    async fn amqp_publish(
        &self,
        plan: &AmqpStepPlan,
        channel: &Channel,
        (to, key): (ShortString, ShortString),
        (body, persistent): (String, bool),
        exchange: ExchangeId,
    ) -> Result<(), Failure> {
        let mut headers = FieldTable::default();
        let numbered = plan.track.as_ref().and_then(|track| {
            let (numbered, header) = self.in_flight().record(|recorder| recorder.number(track))?;
            headers.insert(TRACK_HEADER.into(), AMQPValue::LongString(header.into()));
            Some((track, numbered))
        });
        if let Some(trace) = self.in_flight().trace_of(exchange) {
            headers.insert("traceparent".into(), AMQPValue::LongString(trace.into()));
        }
        let mut properties = BasicProperties::default().with_headers(headers);
        if persistent {
            properties = properties.with_delivery_mode(PERSISTENT);
        }
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        self.in_flight().sent(exchange);
        let written = channel.basic_publish(to, key, options, body.as_bytes(), properties).await;
        let confirm = written.map_err(|error| failure_of(FailureKind::Closed, "publish", &error))?;
        self.in_flight().count_at(exchange, |recorder, place| recorder.written(place, body.len() as u64));
        add(self.shared, self.iteration, self.shared.meters.amqp.sent, 1);
        match confirm.await {
            Ok(Confirmation::Ack(None)) => {}
            Ok(Confirmation::Ack(Some(returned))) => {
                let text = format!("returned: {}", reply(returned.reply_code));
                return Err(Failure::new(FailureKind::Refused, text));
            }
            Ok(Confirmation::Nack(_)) => {
                return Err(Failure::new(FailureKind::Refused, "not accepted (basic.nack)"));
            }
            Ok(Confirmation::NotRequested) => {
                return Err(Failure::new(FailureKind::Protocol, "the channel does not confirm"));
            }
            Err(error) if error.is_amqp_soft_error() => {
                return Err(Failure::new(FailureKind::Refused, describe(&error)));
            }
            Err(error) => return Err(failure_of(FailureKind::Closed, "confirm", &error)),
        }
        if let Some((track, numbered)) = numbered {
            self.in_flight().record(|recorder| recorder.published(track, numbered));
        }
        Ok(())
    }

    /// Takes messages from a queue, each acknowledged; the last of them.
    async fn amqp_consume(
        &self,
        plan: &AmqpStepPlan,
        (queue, prefetch, messages): (&ShortString, u16, u32),
    ) -> Result<Option<Delivery>, Failure> {
        let place = Rc::clone(self.shared.amqp.consuming.borrow_mut().entry(plan.step).or_default());
        let mut last = None;
        for _ in 0..messages {
            // Those who wait take turns.
            let mut consuming = place.lock().await;
            if !consuming.as_ref().is_some_and(|consuming| consuming.link.is_alive()) {
                *consuming = Some(self.amqp_consumer(plan, queue, prefetch).await?);
            }
            let next = match consuming.as_mut() {
                Some(consuming) => consuming.consumer.next().await,
                None => None,
            };
            let delivery = match next {
                Some(Ok(delivery)) => delivery,
                Some(Err(error)) => {
                    *consuming = None;
                    return Err(failure_of(FailureKind::Closed, "consume", &error));
                }
                None => {
                    *consuming = None;
                    return Err(Failure::new(FailureKind::Closed, "the broker has cancelled the consumer"));
                }
            };
            drop(consuming);
            if let (Some(track), Some(header)) = (&plan.track, header(&delivery, TRACK_HEADER)) {
                self.in_flight().record(|recorder| recorder.received_numbered(track, &header));
            }
            let received = Traffic { messages: 1, bytes: delivery.data.len() as u64 };
            count_received(self.shared, self.iteration, (plan.step, &self.shared.meters.amqp), received);
            let acknowledged = delivery.acker.ack(BasicAckOptions::default()).await;
            acknowledged.map_err(|error| failure_of(FailureKind::Closed, "acknowledge", &error))?;
            last = Some(delivery);
        }
        Ok(last)
    }

    async fn amqp_consumer(
        &self,
        plan: &AmqpStepPlan,
        queue: &ShortString,
        prefetch: u16,
    ) -> Result<Consuming, Failure> {
        let access = self.program.brokers.get(usize::from(plan.broker));
        let access = access.ok_or_else(|| Failure::new(FailureKind::Connect, "there is no such broker"))?;
        let link = self.shared.amqp.link(plan.broker, access, 1).await?;
        let failure = |what: &'static str| move |error: lapin::Error| failure_of(FailureKind::Connect, what, &error);
        let channel = link.connection.create_channel().await.map_err(failure("open a channel"))?;
        let qos = channel.basic_qos(prefetch, BasicQosOptions::default()).await;
        qos.map_err(failure("limit what is on the way"))?;
        let (tag, options) = (ShortString::default(), BasicConsumeOptions::default());
        let consumer = channel.basic_consume(queue.clone(), tag, options, FieldTable::default()).await;
        Ok(Consuming { link, consumer: consumer.map_err(failure("consume the queue"))? })
    }

    fn amqp_consumed(
        &self,
        (step, taking): (u16, &Taking),
        (exchange, sent_ns): (ExchangeId, u64),
        last: Option<Delivery>,
        (cursor, draws): (&mut Cursor, &mut Draws),
    ) -> Result<u64, Stop> {
        let at_ns = monotonic_ns();
        if let Some(delivery) = last.filter(|_| !taking.is_nothing()) {
            let headers = header_map(&delivery);
            let message = (&*delivery.data, &headers, at_ns.saturating_sub(sent_ns));
            self.take_message((step, taking), message, (cursor, draws))
                .map_err(|failure| self.refuse(exchange, step, (0, at_ns), failure))?;
        }
        self.in_flight().succeeded(exchange, 0, at_ns);
        Ok(at_ns)
    }
}

fn too_late(text: &str) -> Failure {
    Failure::new(FailureKind::Timeout, text)
}

/// A header of a message, if it is a text.
fn header(delivery: &Delivery, name: &str) -> Option<String> {
    let headers = delivery.properties.headers().as_ref()?;
    match headers.inner().get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok().map(str::to_owned),
        _ => None,
    }
}

/// Headers as checks and captures see them; what is no text, or what HTTP cannot say, is left out.
fn header_map(delivery: &Delivery) -> HeaderMap {
    let names = delivery.properties.headers().iter().flat_map(|headers| headers.inner().keys());
    let pair = |name: &ShortString| {
        let value = HeaderValue::try_from(header(delivery, name.as_str())?).ok()?;
        Some((HeaderName::try_from(name.as_str()).ok()?, value))
    };
    names.filter_map(pair).collect()
}
