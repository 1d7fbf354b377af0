//! Taking work from a work-queue stream: never more than there are hands for.

use std::time::Duration;

use bytes::Bytes;

use crate::backoff::Backoff;
use crate::consumer::ConsumerWanted;
use crate::pull::{Delivery, Pull, Pulled, delivery};
use crate::{Bus, BusError, Headers};

mod ranked;

pub use ranked::RankedQueues;

const ACK_REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server may take to say that nothing more is on its way.
const LEAVE_PATIENCE: Duration = Duration::from_secs(1);

/// A puller on a durable consumer. See [`Bus::work_queue`].
#[derive(Debug)]
pub struct WorkQueue {
    bus: Bus,
    wanted: ConsumerWanted,
    /// Somebody else makes the consumer.
    is_made_elsewhere: bool,
    pull: Option<Pull>,
    backoff: Backoff,
}

/// One message to work on. Dropping it without a word has it delivered again when `ack_wait` is over.
#[derive(Debug, Clone)]
pub struct WorkItem {
    bus: Bus,
    ack_subject: String,
    delivery: Delivery,
    /// Where it was published.
    pub subject: String,
    /// Its headers.
    pub headers: Headers,
    /// Its payload.
    pub payload: Bytes,
}

impl Bus {
    /// A puller on the durable consumer `durable` of `stream`, which is made if need be; pullers of the same name share
    /// it.
    pub async fn work_queue(
        &self,
        stream: &str,
        durable: &str,
        filter: &str,
        ack_wait: Duration,
    ) -> Result<WorkQueue, BusError> {
        self.work_queue_with(ConsumerWanted::new(stream, durable, filter, ack_wait)).await
    }

    /// The same of a consumer that somebody else makes: nothing is asked of the server before the first pull.
    pub fn existing_work_queue(&self, wanted: ConsumerWanted) -> WorkQueue {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        WorkQueue { bus: self.clone(), wanted, is_made_elsewhere: true, pull: None, backoff }
    }

    /// The same with all settings.
    pub async fn work_queue_with(&self, wanted: ConsumerWanted) -> Result<WorkQueue, BusError> {
        self.ensure_consumer(&wanted).await?;
        Ok(WorkQueue { is_made_elsewhere: false, ..self.existing_work_queue(wanted) })
    }
}

impl WorkQueue {
    /// The next message, however long that takes; asks the server for one at a time. Cancel-safe: what was asked for
    /// stays asked for, so at most one message may wait here until the next call.
    ///
    /// # Errors
    /// [`BusError::NotFound`] where the stream is gone (after a pause; may be called again), [`BusError::Closed`].
    /// Outages and a lost consumer are waited out and mended.
    pub async fn next(&mut self) -> Result<WorkItem, BusError> {
        self.next_of(1).await
    }

    /// The next message for one of `free` hands (at least 1): keeps so many asked for, or more than half as many, so
    /// that as many may come as there are hands and never more. Call it again with the hands that are left.
    pub async fn next_of(&mut self, free: usize) -> Result<WorkItem, BusError> {
        let free = free.max(1);
        loop {
            let pull = match &mut self.pull {
                Some(pull) => pull,
                none => match Pull::open(&self.bus, &self.wanted.stream, &self.wanted.durable).await {
                    Ok(pull) => none.insert(pull),
                    Err(error) => {
                        self.backoff.wait().await;
                        return Err(error);
                    }
                },
            };
            // Asked for in few requests rather than one by one: each costs the server as much as a message.
            if pull.outstanding() * 2 < free {
                pull.request(free - pull.outstanding()).await?;
            }
            match pull.next().await {
                Pulled::Ended => {}
                Pulled::Message(message) => {
                    self.backoff.reset();
                    if let Some(item) = WorkItem::new(&self.bus, message) {
                        return Ok(item);
                    }
                }
                Pulled::Lost(reason) => {
                    tracing::debug!(stream = self.wanted.stream, reason, "pulls lost; asking again");
                    self.pull = None;
                }
                Pulled::Refused(error) => {
                    self.pull = None;
                    self.backoff.wait().await;
                    return Err(error);
                }
                Pulled::Gone(reason) => {
                    tracing::warn!(stream = self.wanted.stream, reason, "consumer lost; making it again");
                    self.pull = None;
                    self.mend().await?;
                }
            }
        }
    }

    async fn mend(&mut self) -> Result<(), BusError> {
        if self.is_made_elsewhere && self.bus.role().is_some() {
            // Its role may not make it: who does has seen to it, or will.
            self.backoff.wait().await;
            return Ok(());
        }
        loop {
            self.backoff.wait().await;
            match self.bus.ensure_consumer(&self.wanted).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_transient() => tracing::debug!(%error, "consumer cannot be made yet"),
                Err(error) => return Err(error),
            }
        }
    }

    /// What is here already, without waiting and without asking for more.
    pub fn ready(&mut self) -> Option<WorkItem> {
        WorkItem::new(&self.bus, self.pull.as_mut()?.buffered()?)
    }

    /// Takes no more; what came already is handed back at once. How many those were.
    pub async fn close(self) -> usize {
        let mut handed_back = 0;
        for item in self.leave().await {
            if item.nak(Duration::ZERO).await.is_ok() {
                handed_back += 1;
            }
        }
        handed_back
    }

    /// Takes no more; gives what came already.
    pub async fn leave(mut self) -> Vec<WorkItem> {
        let Some(mut pull) = self.pull.take() else { return Vec::new() };
        pull.withdraw().await;
        // What the server sent before it heard of that comes before the answer to this. A server that is away is not
        // waited for.
        let told = async {
            let _ = self.bus.flush().await;
            let _ = self.bus.round_trip().await;
        };
        let _ = tokio::time::timeout(LEAVE_PATIENCE, told).await;
        let mut items = Vec::new();
        while let Some(message) = pull.buffered() {
            items.extend(WorkItem::new(&self.bus, message));
        }
        items
    }

    /// What comes of what is still asked for; waits for ever while nothing is. Cancel-safe.
    async fn surplus(&mut self) -> WorkItem {
        loop {
            let Some(pull) = self.pull.as_mut().filter(|pull| pull.outstanding() > 0) else {
                return std::future::pending().await;
            };
            match pull.next().await {
                Pulled::Message(message) => {
                    if let Some(item) = WorkItem::new(&self.bus, message) {
                        return item;
                    }
                }
                Pulled::Ended => {}
                Pulled::Lost(_) | Pulled::Gone(_) | Pulled::Refused(_) => self.pull = None,
            }
        }
    }
}

impl WorkItem {
    fn new(bus: &Bus, message: async_nats::Message) -> Option<Self> {
        let ack_subject = message.reply.as_ref()?.to_string();
        let delivery = delivery(Some(&ack_subject))?;
        Some(Self {
            bus: bus.clone(),
            ack_subject,
            delivery,
            headers: Headers::from_wire(message.headers),
            subject: message.subject.to_string(),
            payload: message.payload,
        })
    }

    /// Done: the message goes from the queue. Sent without waiting; lost, the message is delivered again.
    pub async fn ack(&self) -> Result<(), BusError> {
        self.say("+ACK".to_owned()).await
    }

    /// The same, waiting until the server has taken it.
    pub async fn ack_confirmed(&self) -> Result<(), BusError> {
        self.ask("+ACK").await
    }

    /// Not done: to be delivered again after `delay`, to whomever.
    pub async fn nak(&self, delay: Duration) -> Result<(), BusError> {
        let text = if delay.is_zero() {
            "-NAK".to_owned()
        } else {
            format!("-NAK {{\"delay\": {}}}", u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX))
        };
        self.say(text).await
    }

    /// Still at work: `ack_wait` starts anew. Waits for the server's answer; where none came for `ack_wait`, somebody
    /// else has the message by now.
    pub async fn progress(&self) -> Result<(), BusError> {
        self.ask("+WPI").await
    }

    /// The same without waiting for the answer; lost, the message may be delivered again.
    pub async fn progress_told(&self) -> Result<(), BusError> {
        self.say("+WPI".to_owned()).await
    }

    /// Never again: the message goes from the queue as one that cannot be worked on.
    pub async fn term(&self) -> Result<(), BusError> {
        self.say("+TERM".to_owned()).await
    }

    /// How many times it has been delivered, this one included.
    pub fn delivered(&self) -> u64 {
        self.delivery.delivered
    }

    /// Its sequence in the stream.
    pub fn stream_sequence(&self) -> u64 {
        self.delivery.stream_sequence
    }

    /// When the server stored it, by the server's clock, unix nanoseconds.
    pub fn published_unix_ns(&self) -> i64 {
        self.delivery.published_unix_ns
    }

    /// Messages that still waited for this consumer when this one was delivered.
    pub fn pending(&self) -> u64 {
        self.delivery.pending
    }

    async fn say(&self, text: String) -> Result<(), BusError> {
        self.bus.publish(&self.ack_subject, &Headers::new(), Bytes::from(text)).await
    }

    async fn ask(&self, text: &'static str) -> Result<(), BusError> {
        let payload = Bytes::from_static(text.as_bytes());
        self.bus.request(&self.ack_subject, &Headers::new(), payload, ACK_REPLY_TIMEOUT).await.map(drop)
    }
}
