//! Core messages: received, answered.

use bytes::Bytes;
use futures_util::StreamExt;

use crate::refusal::{Access, Refusal, RefusalWatch};
use crate::{Bus, BusError, Headers};

/// A received message.
#[derive(Debug, Clone)]
pub struct Message {
    bus: Bus,
    /// Where it was published.
    pub subject: String,
    /// Where an answer is wanted.
    pub reply: Option<String>,
    /// Its headers.
    pub headers: Headers,
    /// Its payload.
    pub payload: Bytes,
}

impl Message {
    pub(crate) fn new(bus: Bus, message: async_nats::Message) -> Self {
        Self {
            bus,
            headers: Headers::from_wire(message.headers),
            subject: message.subject.to_string(),
            reply: message.reply.map(|reply| reply.to_string()),
            payload: message.payload,
        }
    }

    /// Answers; does nothing where no answer is wanted.
    pub async fn respond(&self, headers: &Headers, payload: Bytes) -> Result<(), BusError> {
        match &self.reply {
            Some(reply) => self.bus.publish(reply, headers, payload).await,
            None => Ok(()),
        }
    }
}

/// A subscription; ends when dropped. Holds at most 65,536 messages: more are dropped and counted as slow consumer.
#[derive(Debug)]
pub struct Subscription {
    bus: Bus,
    subject: String,
    subscriber: async_nats::Subscriber,
    refusals: RefusalWatch,
}

impl Subscription {
    /// `refusals` was made before the subscription: one may come at once.
    pub(crate) fn new(bus: Bus, subject: String, subscriber: async_nats::Subscriber, refusals: RefusalWatch) -> Self {
        Self { bus, subject, subscriber, refusals }
    }

    /// The next message; none once the connection is closed, the subscription drained, or refused by the server.
    pub async fn next(&mut self) -> Option<Message> {
        let concerns = |refusal: &Refusal| refusal.access == Access::Subscribe && refusal.subject == self.subject;
        tokio::select! {
            biased;
            message = self.subscriber.next() => message.map(|message| Message::new(self.bus.clone(), message)),
            _ = self.refusals.first(concerns) => None,
        }
    }

    /// Takes no new messages; `next` gives those already here, then none.
    pub async fn drain(&mut self) -> Result<(), BusError> {
        self.subscriber.drain().await.map_err(|_| BusError::Closed)
    }
}
