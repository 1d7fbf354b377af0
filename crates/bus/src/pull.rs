//! Pulls from a consumer over the plain protocol, so that exactly what is asked for is on its way, and a lost pull is
//! noticed: by a new connection at once, otherwise by missing heartbeats.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::Instant;

use crate::refusal::{Refusal, RefusalWatch};
use crate::{Bus, BusError};

const EXPIRES: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// In a cluster, and behind the link of a leaf node, who keeps a consumer may go without this connection noticing.
const APART_HEARTBEAT: Duration = Duration::from_secs(1);
const REFUSED_PAUSE: Duration = Duration::from_millis(250);

/// What came of the pulls.
#[derive(Debug)]
pub(crate) enum Pulled {
    /// A message.
    Message(async_nats::Message),
    /// A pull ended: ask again if more is wanted.
    Ended,
    /// Pulls are lost with their connection or server: open anew; the consumer may still be there.
    Lost(String),
    /// The consumer is not there.
    Gone(String),
    /// The server does not permit it.
    Refused(BusError),
}

/// Pulls of one consumer, over one inbox.
#[derive(Debug)]
pub(crate) struct Pull {
    bus: Bus,
    subject: String,
    inbox: String,
    subscriber: async_nats::Subscriber,
    link: tokio::sync::watch::Receiver<crate::Link>,
    refusals: RefusalWatch,
    heartbeat: Duration,
    generation: u64,
    /// Asked for and neither delivered nor ended.
    outstanding: usize,
    serial: u64,
    heard: Instant,
    /// The server refused a pull: do not ask again before.
    pause_until: Option<Instant>,
}

impl Pull {
    pub(crate) async fn open(bus: &Bus, stream: &str, consumer: &str) -> Result<Self, BusError> {
        let link = bus.link();
        let generation = link.borrow().generation;
        let inbox = bus.new_inbox();
        let refusals = bus.refusal_watch();
        let subscribed = bus.client().subscribe(format!("{inbox}.*")).await;
        let subscriber = subscribed.map_err(|e| BusError::jetstream(format!("pulling from {stream}"), e))?;
        Ok(Self {
            bus: bus.clone(),
            subject: bus.api_subject(&format!("CONSUMER.MSG.NEXT.{stream}.{consumer}")),
            inbox,
            subscriber,
            link,
            refusals,
            heartbeat: if bus.is_apart() { APART_HEARTBEAT } else { HEARTBEAT },
            generation,
            outstanding: 0,
            serial: 0,
            heard: Instant::now(),
            pause_until: None,
        })
    }

    /// How many messages may still come.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Asks for `count` more messages.
    pub(crate) async fn request(&mut self, count: usize) -> Result<(), BusError> {
        if let Some(until) = self.pause_until {
            tokio::time::sleep_until(until).await;
            self.pause_until = None;
        }
        // Rendered by hand: this is asked once a message where slots become free one by one.
        let (expires, heartbeat) = (EXPIRES.as_nanos(), self.heartbeat.as_nanos());
        self.ask(count, format!(r#"{{"batch":{count},"expires":{expires},"idle_heartbeat":{heartbeat}}}"#)).await
    }

    /// Asks for at most `count` of the messages that are there now; not beside [`Pull::request`] on the same pull.
    pub(crate) async fn request_at_once(&mut self, count: usize) -> Result<(), BusError> {
        self.ask(count, format!(r#"{{"batch":{count},"no_wait":true}}"#)).await
    }

    async fn ask(&mut self, count: usize, body: String) -> Result<(), BusError> {
        self.serial += 1;
        if self.outstanding == 0 {
            self.heard = Instant::now();
        }
        self.outstanding += count;
        let reply = format!("{}.{}", self.inbox, self.serial);
        let sent = self.bus.client().publish_with_reply(self.subject.clone(), reply, Bytes::from(body)).await;
        sent.map_err(|_| BusError::Closed)
    }

    /// The next thing that happens; cancel-safe. Waits for ever while nothing is asked for.
    pub(crate) async fn next(&mut self) -> Pulled {
        loop {
            let silence = self.heard + self.heartbeat * 2 + self.heartbeat / 2;
            let (subject, inbox) = (&self.subject, &self.inbox);
            let concerns =
                |refusal: &Refusal| refusal.subject == *subject || refusal.subject.starts_with(inbox.as_str());
            tokio::select! {
                biased;
                message = self.subscriber.next() => {
                    let Some(message) = message else { return Pulled::Lost("the subscription ended".to_owned()) };
                    self.heard = Instant::now();
                    if let Some(pulled) = self.judge(message) {
                        return pulled;
                    }
                }
                changed = self.link.changed() => {
                    if changed.is_err() {
                        return Pulled::Lost("the connection is closed".to_owned());
                    }
                    let link = *self.link.borrow_and_update();
                    if link.since.is_some() && link.generation != self.generation {
                        return Pulled::Lost("connected anew".to_owned());
                    }
                }
                error = self.refusals.first(concerns) => return Pulled::Refused(error),
                () = tokio::time::sleep_until(silence), if self.outstanding > 0 => {
                    return Pulled::Lost("heartbeats are missing".to_owned());
                }
            }
        }
    }

    /// What is already here, without waiting.
    pub(crate) fn buffered(&mut self) -> Option<async_nats::Message> {
        use futures_util::FutureExt;
        loop {
            let message = self.subscriber.next().now_or_never()??;
            if let Some(Pulled::Message(message)) = self.judge(message) {
                return Some(message);
            }
        }
    }

    /// Withdraws what was asked for; messages already here stay in `buffered`.
    pub(crate) async fn withdraw(&mut self) {
        let _ = self.subscriber.drain().await;
        self.outstanding = 0;
    }

    fn judge(&mut self, message: async_nats::Message) -> Option<Pulled> {
        let Some(status) = message.status.map(|status| status.as_u16()) else {
            self.outstanding = self.outstanding.saturating_sub(1);
            return Some(Pulled::Message(message));
        };
        let text = format!("{status} {}", message.description.as_deref().unwrap_or_default());
        let pending = message.headers.as_ref().and_then(|headers| headers.get("Nats-Pending-Messages"));
        let pending = pending.and_then(|pending| pending.as_str().parse().ok());
        match status {
            100 => None,
            503 => Some(Pulled::Gone(text)),
            409 if text.contains("Consumer Deleted") || text.contains("Consumer is push based") => {
                Some(Pulled::Gone(text))
            }
            409 if text.contains("Leadership Change") || text.contains("Server Shutdown") => Some(Pulled::Lost(text)),
            _ => {
                if status == 409 {
                    tracing::warn!(text, subject = self.subject, "the server refused a pull");
                    self.pause_until = Some(Instant::now() + REFUSED_PAUSE);
                }
                // Without the figure everything is taken as ended: asking again at worst asks for more.
                self.outstanding = self.outstanding.saturating_sub(pending.unwrap_or(usize::MAX));
                Some(Pulled::Ended)
            }
        }
    }
}

/// What the reply subject of a delivered message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) delivered: u64,
    pub(crate) stream_sequence: u64,
    pub(crate) consumer_sequence: u64,
    pub(crate) published_unix_ns: i64,
    pub(crate) pending: u64,
}

/// Reads `$JS.ACK.<stream>.<consumer>.<delivered>.<sseq>.<cseq>.<time>.<pending>`, or the newer form with domain and
/// account hash before the stream.
pub(crate) fn delivery(reply: Option<&str>) -> Option<Delivery> {
    let tokens: Vec<&str> = reply?.split('.').collect();
    if tokens.first() != Some(&"$JS") || tokens.get(1) != Some(&"ACK") {
        return None;
    }
    let first = match tokens.len() {
        9 => 4,
        11.. => 6,
        _ => return None,
    };
    let number = |at: usize| tokens.get(first + at).and_then(|token| token.parse::<u64>().ok());
    Some(Delivery {
        delivered: number(0)?,
        stream_sequence: number(1)?,
        consumer_sequence: number(2)?,
        published_unix_ns: i64::try_from(number(3)?).ok()?,
        pending: number(4)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_ack_subject_are_read() {
        let old = delivery(Some("$JS.ACK.S.w.2.7.9.1700000000000000000.4")).unwrap();
        let new = delivery(Some("$JS.ACK._.acc.S.w.2.7.9.1700000000000000000.4")).unwrap();
        let newer = delivery(Some("$JS.ACK._.acc.S.w.2.7.9.1700000000000000000.4.rnd")).unwrap();
        assert_eq!((old, old), (new, newer));
        assert_eq!((old.delivered, old.stream_sequence, old.consumer_sequence, old.pending), (2, 7, 9, 4));
        assert_eq!(delivery(Some("_INBOX.a.b")), None);
    }
}
