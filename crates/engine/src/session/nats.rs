//! Steps over NATS: a server that is tested, reached by one connection of the thread.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use nuncius_bus::Headers;
use nuncius_bus::target::{self, TargetClient, TargetError, TargetOptions};
use nuncius_clock::monotonic_ns;
use nuncius_scenario::draw::Draws;
use nuncius_schemas::fault::GeneratorFault;
use nuncius_schemas::metric::FailureKind;
use nuncius_schemas::track::TRACK_HEADER;
use tokio::time::timeout;

use super::channels::{Subscription, Taking};
use super::counting::{add, count_numbered, count_received, nats_parted};
use super::state::{Ready, Session, Stop};
use crate::failure::Failure;
use crate::in_flight::ExchangeId;
use crate::inbox::{Incoming, Traffic};
use crate::program::machine::Cursor;
use crate::program::nats::{NatsDoes, NatsMessage, NatsPlan, NatsServer};
use crate::program::taking::CheckPlan;

/// A message that is ready to be sent.
struct MessageToSend {
    subject: String,
    headers: Headers,
    payload: Bytes,
}

impl Session<'_> {
    /// Does a step over NATS; when it ended.
    pub(super) async fn nats(
        &self,
        plan: &NatsPlan,
        cursor: &mut Cursor,
        mut draws: Draws,
        ready: Ready,
    ) -> Result<u64, Stop> {
        let step = plan.step;
        let made = match &plan.does {
            NatsDoes::Publish { message, .. } | NatsDoes::Request(message) => {
                let made = self.nats_message(message, cursor, &mut draws);
                Some(made.map_err(|failure| self.fail_at(step, ready, failure))?)
            }
            NatsDoes::Subscribe { .. } | NatsDoes::Wait { .. } | NatsDoes::Consume { .. } => None,
        };
        let exchange = self.open(step, ready);
        let ended = self.nats_done(plan, made, (cursor, &mut draws), exchange).await;
        let (incoming, sent_ns) = ended.map_err(|failure| self.end(exchange, step, failure, monotonic_ns()))?;
        // What came before it was waited for took no time.
        let at_ns = incoming.as_ref().map_or_else(monotonic_ns, |incoming| incoming.at_ns.max(sent_ns));
        if let Some(Incoming { bytes, headers, .. }) = incoming.filter(|_| !plan.taking.is_nothing()) {
            let message = (&*bytes, &header_map(&headers), at_ns.saturating_sub(sent_ns));
            self.take_message((step, &plan.taking), message, (cursor, &mut draws))
                .map_err(|failure| self.refuse(exchange, step, (0, at_ns), failure))?;
        }
        self.in_flight().succeeded(exchange, 0, at_ns);
        Ok(at_ns)
    }

    /// Does it: the message that it was for, if it was for one, and when it was begun.
    async fn nats_done(
        &self,
        plan: &NatsPlan,
        made: Option<MessageToSend>,
        (cursor, draws): (&mut Cursor, &mut Draws),
        exchange: ExchangeId,
    ) -> Result<(Option<Incoming>, u64), Failure> {
        let patience = Duration::from_nanos(plan.timeout_ns);
        // Until there is a connection it is blocked.
        let client = match &plan.does {
            NatsDoes::Wait { .. } => None,
            NatsDoes::Publish { .. } | NatsDoes::Request(_) | NatsDoes::Subscribe { .. } | NatsDoes::Consume { .. } => {
                Some(self.nats_client(plan.server, patience).await?)
            }
        };
        if !matches!(plan.does, NatsDoes::Wait { .. }) {
            self.permit(exchange).await;
        }
        let sent_ns = self.in_flight().sent(exchange);
        // In its place: it is large, and would be copied once more.
        let doing = pin!(self.nats_do(plan, client, made, (cursor, draws), exchange));
        match timeout(patience, doing).await {
            Ok(done) => done.map(|incoming| (incoming, sent_ns)),
            Err(_) => Err(failure_of(TargetError::Timeout)),
        }
    }

    async fn nats_do(
        &self,
        plan: &NatsPlan,
        client: Option<&TargetClient>,
        made: Option<MessageToSend>,
        (cursor, draws): (&mut Cursor, &mut Draws),
        exchange: ExchangeId,
    ) -> Result<Option<Incoming>, Failure> {
        let patience = Duration::from_nanos(plan.timeout_ns);
        let is_closed = || failure_of(TargetError::Closed);
        match &plan.does {
            NatsDoes::Publish { is_acknowledged, track, .. } => {
                let (Some(client), Some(MessageToSend { subject, mut headers, payload })) = (client, made) else {
                    return Err(is_closed());
                };
                let numbered = track.as_ref().and_then(|track| {
                    let (numbered, header) = self.in_flight().record(|recorder| recorder.number(track))?;
                    headers.insert(TRACK_HEADER, header);
                    Some((track, numbered))
                });
                self.nats_sent(exchange, payload.len());
                let published = match is_acknowledged {
                    true => client.publish_acked(subject, &headers, payload).await,
                    false => client.publish(subject, &headers, payload).await,
                };
                published.map_err(failure_of)?;
                if let Some((track, numbered)) = numbered {
                    self.in_flight().record(|recorder| recorder.published(track, numbered));
                }
                Ok(None)
            }
            NatsDoes::Request(_) => {
                let (Some(client), Some(MessageToSend { subject, headers, payload })) = (client, made) else {
                    return Err(is_closed());
                };
                self.nats_sent(exchange, payload.len());
                let answer = client.request(subject, &headers, payload, patience).await.map_err(failure_of)?;
                let received = Traffic { messages: 1, bytes: answer.payload.len() as u64 };
                count_received(self.shared, self.iteration, (plan.step, &self.shared.meters.nats), received);
                Ok(Some(Incoming {
                    bytes: answer.payload,
                    is_text: false,
                    headers: answer.headers,
                    at_ns: monotonic_ns(),
                }))
            }
            NatsDoes::Subscribe { channel, subject, queue, track } => {
                let Some(client) = client else { return Err(is_closed()) };
                let text = |text, draws: &mut Draws, cursor: &mut Cursor| self.made(text, cursor, draws);
                let subject = text(subject, draws, cursor)?;
                let queue = match queue {
                    Some(queue) => Some(text(queue, draws, cursor)?),
                    None => None,
                };
                let subscription = Box::pin(client.subscribe(subject, queue)).await.map_err(failure_of)?;
                let subscription = Subscription::new(subscription, track.clone());
                if let Some(before) = self.user.channels.put_subscription(*channel, plan.step, subscription) {
                    nats_parted(self.shared, self.iteration, before);
                }
                Ok(None)
            }
            NatsDoes::Wait { channel, wait, messages } => {
                let mut last = None;
                for _ in 0..*messages {
                    last = Some(self.nats_receive(*channel, wait, (cursor, draws)).await?);
                }
                Ok(last)
            }
            NatsDoes::Consume { stream, consumer, messages, track } => {
                let Some(client) = client else { return Err(is_closed()) };
                // Large, beside what most steps are.
                let consumer = Box::pin(self.nats_consumer(client, plan.server, stream, consumer)).await?;
                let count = *messages as usize;
                let taken = Box::pin(consumer.take(count, patience)).await.map_err(failure_of)?;
                let mut last = None;
                let arrived = taken.len();
                for delivery in taken {
                    let message = &delivery.message;
                    if let (Some(track), Some(header)) = (track, message.headers.get(TRACK_HEADER)) {
                        self.in_flight().record(|recorder| recorder.received_numbered(track, header));
                    }
                    let received = Traffic { messages: 1, bytes: message.payload.len() as u64 };
                    count_received(self.shared, self.iteration, (plan.step, &self.shared.meters.nats), received);
                    delivery.acknowledge().await.map_err(failure_of)?;
                    let target::TargetMessage { headers, payload } = delivery.message;
                    last = Some(Incoming { bytes: payload, is_text: false, headers, at_ns: monotonic_ns() });
                }
                match arrived < count {
                    true => Err(failure_of(TargetError::Timeout)),
                    false => Ok(last),
                }
            }
        }
    }

    fn nats_sent(&self, exchange: ExchangeId, payload_bytes: usize) {
        self.in_flight().count_at(exchange, |recorder, place| recorder.written(place, payload_bytes as u64));
        add(self.shared, self.iteration, self.shared.meters.nats.sent, 1);
    }

    /// The thread's connection to a server, which is opened when it is first needed.
    async fn nats_client(&self, number: u16, patience: Duration) -> Result<&TargetClient, Failure> {
        let index = usize::from(number);
        let cell = self.shared.nats.clients.get(index);
        let server = self.program.nats_servers.get(index);
        let (Some(cell), Some(server)) = (cell, server) else { return Err(failure_of(TargetError::Connect)) };
        let client = match cell.get() {
            Some(client) => client,
            None => {
                let opening = cell.get_or_try_init(|| connect(server, &self.shared.plan.name, patience));
                // Large, and seldom: not part of what every session takes.
                let opened = Box::pin(timeout(patience, opening)).await;
                opened.unwrap_or(Err(TargetError::Timeout)).map_err(failure_of)?
            }
        };
        for _ in 0..client.take_slow() {
            // What nobody took in time was dropped here, and not by the target.
            self.in_flight().record(|recorder| recorder.fault(GeneratorFault::Buffers));
        }
        Ok(client)
    }

    async fn nats_consumer(
        &self,
        client: &TargetClient,
        server: u16,
        stream: &Arc<str>,
        name: &Arc<str>,
    ) -> Result<target::TargetConsumer, Failure> {
        let known = self.shared.nats.consumers.borrow().iter().find_map(|(of, in_stream, called, consumer)| {
            (*of == server && in_stream == stream && called == name).then(|| consumer.clone())
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let found = client.consumer(stream, name).await.map_err(failure_of)?;
        let entry = (server, Arc::clone(stream), Arc::clone(name), found.clone());
        self.shared.nats.consumers.borrow_mut().push(entry);
        Ok(found)
    }

    /// Waits for a message of a subscription of which all of this holds; others are passed over.
    async fn nats_receive(
        &self,
        channel: u16,
        wait: &[CheckPlan],
        (cursor, draws): (&mut Cursor, &mut Draws),
    ) -> Result<Incoming, Failure> {
        let expect = |is_expected| {
            self.user.channels.with_subscription(channel, |subscription| subscription.inbox.expect(is_expected))
        };
        let _taking = Taking::begin(expect);
        loop {
            let incoming = poll_fn(|context| {
                let polled = self.user.channels.with_subscription(channel, |subscription| {
                    if let Some(incoming) = subscription.inbox.next() {
                        return Poll::Ready(Ok(incoming));
                    }
                    subscription.pump(context, &mut |track, header| count_numbered(self.shared, track, header));
                    if let Some(incoming) = subscription.inbox.next() {
                        return Poll::Ready(Ok(incoming));
                    }
                    if subscription.has_ended {
                        return Poll::Ready(Err(failure_of(TargetError::Closed)));
                    }
                    subscription.inbox.wait(context);
                    Poll::Pending
                });
                polled.unwrap_or_else(|| {
                    let text = "there is no subscription of this name: the step that subscribes comes before";
                    Poll::Ready(Err(Failure::new(FailureKind::Closed, text)))
                })
            })
            .await?;
            let is_wanted = wait.is_empty()
                || self.is_wanted(wait, (&incoming.bytes, &header_map(&incoming.headers)), (cursor, draws))?;
            if is_wanted {
                return Ok(incoming);
            }
        }
    }

    fn nats_message(
        &self,
        plan: &NatsMessage,
        cursor: &mut Cursor,
        draws: &mut Draws,
    ) -> Result<MessageToSend, Failure> {
        let template = |error: nuncius_scenario::TemplateError| Failure::new(FailureKind::Template, error.to_string());
        let made = self.with_scope(cursor, |scope| {
            let subject = plan.subject.text(scope, draws)?;
            let mut headers = Headers::new();
            for (name, value) in &plan.headers {
                headers.insert(name.to_string(), value.text(scope, draws)?);
            }
            Ok(MessageToSend { subject, headers, payload: plan.payload.bytes(scope, draws)? })
        });
        made.map_err(template)
    }
}

async fn connect(server: &NatsServer, group: &str, timeout: Duration) -> Result<TargetClient, TargetError> {
    let NatsServer { addresses, login, token, tls } = server;
    target::connect(TargetOptions {
        addresses: addresses.clone(),
        login: login.clone(),
        token: token.clone(),
        tls: tls.clone(),
        name: format!("nuncius {group}"),
        timeout,
    })
    .await
}

fn failure_of(error: TargetError) -> Failure {
    let kind = match error {
        TargetError::Connect | TargetError::Access | TargetError::NoConsumer => FailureKind::Connect,
        TargetError::Tls => FailureKind::Tls,
        TargetError::Closed => FailureKind::Closed,
        TargetError::Timeout => FailureKind::Timeout,
        TargetError::NoResponders | TargetError::NoStream | TargetError::Refused | TargetError::TooLarge => {
            FailureKind::Refused
        }
        TargetError::Invalid => FailureKind::Template,
    };
    Failure::new(kind, error.to_string())
}

/// Headers as checks and captures see them; what HTTP cannot say is left out.
fn header_map(headers: &Headers) -> HeaderMap {
    let pair =
        |(name, value): (&str, &str)| Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?));
    headers.iter().filter_map(pair).collect()
}
