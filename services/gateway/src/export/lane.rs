//! One signal on its way to its collector: what comes waits in the spool, and leaves it one request after the other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::work_queue::WorkItem;
use nuncius_schemas::subjects::Signal;
use nuncius_telemetry::otlp::{Answer, Sender};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::counts::{Counts, SignalCounts};
use super::directory::{Directory, Stored};
use super::settings::ExportConfig;
use super::spool::{Put, Spool};

/// How long a request that is under way may still take at the end.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often the same trouble is told again.
const TELL_AGAIN: Duration = Duration::from_secs(60);

pub(super) struct Lane {
    signal: Signal,
    sender: Arc<Sender>,
    spool: Spool,
    counts: Arc<Counts>,
    batch_bytes: usize,
    keep_alive: Duration,
    pauses: (Duration, Duration),
    /// The pause after the next failure, and when there may be a request again.
    pause: Duration,
    not_before: Instant,
    /// Messages to be sent one by one: together they were refused.
    one_by_one: usize,
    /// What is being sent, or is to be sent again: put together once, however often it is sent.
    message: Option<Bytes>,
    /// What was told last, and when.
    told: Option<(String, Instant)>,
}

impl Lane {
    pub(super) fn new(
        signal: Signal,
        sender: Sender,
        config: &ExportConfig,
        directory: Option<Directory>,
        counts: Arc<Counts>,
        stored: impl Iterator<Item = Stored>,
    ) -> Self {
        Self {
            signal,
            sender: Arc::new(sender),
            spool: Spool::new(config, directory, stored.collect()),
            counts,
            batch_bytes: config.batch_bytes,
            keep_alive: config.ack_wait / 3,
            pauses: (config.retry_pause, config.retry_pause_max.max(config.retry_pause)),
            pause: config.retry_pause,
            not_before: Instant::now(),
            one_by_one: 0,
            message: None,
            told: None,
        }
    }

    /// Carries on until `shutdown`, or until nothing more can come; what is held then is handed back.
    pub(super) async fn run(mut self, mut taken: mpsc::Receiver<WorkItem>, shutdown: CancellationToken) {
        let mut alive = tokio::time::interval_at(Instant::now() + self.keep_alive, self.keep_alive);
        alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut sending: Option<JoinHandle<Answer>> = None;
        loop {
            if sending.is_none() && Instant::now() >= self.not_before {
                sending = self.send().await;
            }
            self.spool.tell(self.counts());
            let waits = sending.is_none() && !self.spool.is_empty();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                answer = joined(&mut sending) => {
                    sending = None;
                    self.heed(answer).await;
                }
                _ = alive.tick() => self.spool.keep_alive().await,
                item = taken.recv() => match item {
                    Some(item) => self.take(item).await,
                    None => break,
                },
                () = tokio::time::sleep_until(self.not_before), if waits => {}
            }
        }
        if let Ok(answer) = tokio::time::timeout(FAREWELL, joined(&mut sending)).await {
            self.heed(answer).await;
        }
        taken.close();
        while let Some(item) = taken.recv().await {
            let _ = item.nak(Duration::ZERO).await;
        }
        self.spool.hand_back().await;
    }

    fn counts(&self) -> &SignalCounts {
        self.counts.of(self.signal)
    }

    async fn take(&mut self, item: WorkItem) {
        let length_bytes = item.payload.len() as u64;
        let counts = Arc::clone(&self.counts);
        let counts = counts.of(self.signal);
        match self.spool.put(item, counts).await {
            Put::Waits => {
                counts.received_messages.add(1);
                counts.received_bytes.add(length_bytes);
            }
            Put::Known => {}
        }
    }

    /// Begins a request, if there is anything to send.
    async fn send(&mut self) -> Option<JoinHandle<Answer>> {
        if self.message.is_none() {
            let most = if self.one_by_one > 0 { 1 } else { usize::MAX };
            let counts = Arc::clone(&self.counts);
            self.message = self.spool.take(self.batch_bytes, most, counts.of(self.signal)).await;
        }
        let (message, sender) = (self.message.clone()?, Arc::clone(&self.sender));
        Some(tokio::spawn(async move { sender.send(&message, Duration::MAX).await }))
    }

    /// Does what the collector's answer asks for.
    async fn heed(&mut self, answer: Answer) {
        let messages = self.spool.under_way() as u64;
        match answer {
            Answer::Taken { rejected, message } => {
                if rejected > 0 {
                    self.counts().rejected_items.add(rejected);
                    self.tell(format!("the collector rejected {rejected} items: {message}"));
                } else if self.told.take().is_some() {
                    info!(signal = self.signal.name(), "the collector takes everything again");
                }
                self.counts().exported_messages.add(messages);
                self.counts().exported_bytes.add(self.spool.under_way_bytes());
                self.settled().await;
            }
            Answer::Later { after, reason } => {
                self.counts().failed_requests.add(1);
                let pause = after.unwrap_or_else(|| jittered(self.pause));
                self.not_before = Instant::now() + pause;
                self.pause = (self.pause * 2).min(self.pauses.1);
                self.tell(format!("the collector does not take it at present: {reason}"));
            }
            Answer::Refused { reason } if messages > 1 => {
                // One of them may have spoilt it for the others.
                self.counts().failed_requests.add(1);
                self.one_by_one = self.spool.under_way();
                self.spool.keep();
                self.message = None;
                self.tell(format!("the collector refused messages that were sent together: {reason}"));
            }
            Answer::Refused { reason } => {
                self.counts().dropped_refused.add(messages);
                self.settled().await;
                self.tell(format!("the collector refused a message, which is dropped: {reason}"));
            }
        }
    }

    async fn settled(&mut self) {
        self.one_by_one = self.one_by_one.saturating_sub(self.spool.under_way());
        self.spool.settle().await;
        self.message = None;
        self.pause = self.pauses.0;
        self.not_before = Instant::now();
    }

    fn tell(&mut self, text: String) {
        let is_news = self.told.as_ref().is_none_or(|(last, at)| *last != text || at.elapsed() >= TELL_AGAIN);
        if is_news {
            warn!(signal = self.signal.name(), "{text}");
            self.told = Some((text, Instant::now()));
        }
    }
}

/// The answer to what is being sent; waits for ever where nothing is.
async fn joined(sending: &mut Option<JoinHandle<Answer>>) -> Answer {
    match sending {
        Some(sending) => sending
            .await
            .unwrap_or_else(|error| Answer::Later { after: None, reason: format!("the request ended: {error}") }),
        None => std::future::pending().await,
    }
}

/// Gateways that failed together shall not come back together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}
