//! Messages of core NATS: published, asked with, listened to.

use std::time::Duration;

use bytes::Bytes;

use super::{API_TIMEOUT, Bus, DRAIN_LIMIT};
use crate::message::{Message, Subscription};
use crate::refusal::{Access, Refusal};
use crate::{BusError, Headers};

impl Bus {
    /// Publishes without any acknowledgement: may be lost, and while disconnected is queued (at most 2,048).
    pub async fn publish(&self, subject: &str, headers: &Headers, payload: Bytes) -> Result<(), BusError> {
        let size_bytes = payload.len();
        let client = self.client();
        let sent = match self.with_hops(subject, headers.to_wire()?) {
            None => client.publish(subject.to_owned(), payload).await,
            Some(map) => client.publish_with_headers(subject.to_owned(), map, payload).await,
        };
        sent.map_err(|e| self.publish_error(&e, subject, headers, size_bytes))
    }

    /// The same, with a subject on which answers are wanted.
    pub(crate) async fn publish_asking(&self, subject: &str, reply: &str, payload: Bytes) -> Result<(), BusError> {
        let size_bytes = payload.len();
        let sent = self.client().publish_with_reply(subject.to_owned(), reply.to_owned(), payload).await;
        sent.map_err(|e| self.publish_error(&e, subject, &Headers::new(), size_bytes))
    }

    /// Asks and waits for one answer.
    pub async fn request(
        &self,
        subject: &str,
        headers: &Headers,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Message, BusError> {
        self.ask(subject, headers.to_wire()?, payload, timeout, || headers.wire_bytes()).await
    }

    /// The same with headers as on the wire; `head_bytes` is how long they are, where that matters.
    pub(crate) async fn ask(
        &self,
        subject: &str,
        headers: Option<async_nats::HeaderMap>,
        payload: Bytes,
        timeout: Duration,
        head_bytes: impl FnOnce() -> usize,
    ) -> Result<Message, BusError> {
        let payload_bytes = payload.len();
        let mut request = async_nats::Request::new().payload(payload).timeout(Some(timeout));
        if let Some(map) = self.with_hops(subject, headers) {
            request = request.headers(map);
        }
        let asked = self.client().send_request(subject.to_owned(), request);
        let concerns = |refusal: &Refusal| refusal.access == Access::Publish && refusal.subject == subject;
        let answer = self.unless_refused(concerns, asked).await?.map_err(|e| {
            use async_nats::RequestErrorKind as Kind;
            match e.kind() {
                Kind::TimedOut => BusError::Timeout { what: subject.to_owned(), after: timeout },
                Kind::NoResponders => BusError::NoResponders { subject: subject.to_owned() },
                Kind::MaxPayloadExceeded => self.too_large(subject, head_bytes() + payload_bytes),
                Kind::InvalidSubject => invalid(subject, &e),
                Kind::Other => self.lost(subject, &e),
            }
        })?;
        Ok(Message::new(self.clone(), answer))
    }

    /// Everything published on `subject` (wildcards allowed) from now on. A subscription that the server refuses ends
    /// at once.
    pub async fn subscribe(&self, subject: &str) -> Result<Subscription, BusError> {
        let refusals = self.refusal_watch();
        let subscriber = self.client().subscribe(subject.to_owned()).await.map_err(|e| invalid(subject, &e))?;
        Ok(Subscription::new(self.clone(), subject.to_owned(), subscriber, refusals))
    }

    /// The same, each message going to one member of `queue` only.
    pub async fn queue_subscribe(&self, subject: &str, queue: &str) -> Result<Subscription, BusError> {
        let refusals = self.refusal_watch();
        let subscribed = self.client().queue_subscribe(subject.to_owned(), queue.to_owned()).await;
        let subscriber = subscribed.map_err(|e| invalid(subject, &e))?;
        Ok(Subscription::new(self.clone(), subject.to_owned(), subscriber, refusals))
    }

    /// A fresh subject for answers.
    pub fn new_inbox(&self) -> String {
        self.client().new_inbox()
    }

    /// Asks the server for an answer and waits for it: says that it is there and heeds this connection.
    pub async fn round_trip(&self) -> Result<(), BusError> {
        let subject = self.api_subject("INFO");
        self.request(&subject, &Headers::new(), Bytes::new(), API_TIMEOUT).await.map(drop)
    }

    /// Waits until everything published so far has been written to the server.
    pub async fn flush(&self) -> Result<(), BusError> {
        self.client().flush().await.map_err(|e| self.lost("flush", &e))
    }

    /// Ends all subscriptions, writes what is left, closes; waits (at most 10 s) until that is done.
    pub async fn drain_and_close(&self) -> Result<(), BusError> {
        let mut closed = self.inner.closed.clone();
        if *closed.borrow() {
            return Ok(());
        }
        self.client().drain().await.map_err(|_| BusError::Closed)?;
        match tokio::time::timeout(DRAIN_LIMIT, closed.wait_for(|closed| *closed)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(BusError::Timeout { what: "draining the connection".to_owned(), after: DRAIN_LIMIT }),
        }
    }

    pub(crate) fn publish_error(
        &self,
        error: &async_nats::PublishError,
        subject: &str,
        headers: &Headers,
        size_bytes: usize,
    ) -> BusError {
        use async_nats::client::PublishErrorKind as Kind;
        match error.kind() {
            Kind::MaxPayloadExceeded => self.too_large(subject, headers.wire_bytes() + size_bytes),
            Kind::InvalidSubject => invalid(subject, error),
            Kind::Send => BusError::Closed,
        }
    }

    fn too_large(&self, subject: &str, size_bytes: usize) -> BusError {
        BusError::PayloadTooLarge { subject: subject.to_owned(), size_bytes, limit_bytes: self.max_payload_bytes() }
    }

    fn lost(&self, what: &str, error: &impl std::fmt::Display) -> BusError {
        if *self.inner.closed.borrow() { BusError::Closed } else { BusError::jetstream(what, error) }
    }
}

fn invalid(subject: &str, error: &impl std::fmt::Display) -> BusError {
    BusError::InvalidSubject { subject: subject.chars().take(256).collect(), reason: error.to_string() }
}
