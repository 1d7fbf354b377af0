//! One queue: its lease is waited for, then its books are kept and its bounds set, until the lease or the frontend ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nuncius_bus::clock::unix_ns;
use nuncius_bus::lease::{self, Lease};
use nuncius_bus::{Bus, BusError};
use nuncius_jobs::abandoned::Sweeper;
use nuncius_jobs::books::Books;
use nuncius_jobs::{JobError, Queues, leftovers};
use nuncius_schemas::queue::QueueDefinition;
use nuncius_schemas::subjects::{job_consumer, queue_lease};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::maxima::Maxima;
use crate::view::{QueueView, Shared};

/// How often the lease is asked for while another has it.
const LEASE_PAUSE: Duration = Duration::from_secs(1);
/// How often the queue is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Every how many looks the totals are written down, and room is made.
const SAVE_LOOKS: u32 = 5;
/// How long the last totals may take to be written.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a keeper needs.
pub(crate) struct Keeper {
    pub(crate) bus: Bus,
    pub(crate) queues: Queues,
    pub(crate) frontend: String,
    pub(crate) view: Arc<Shared>,
    /// Interval of the longest times.
    pub(crate) interval: Duration,
    pub(crate) workers_changed: watch::Receiver<()>,
    pub(crate) shutdown: CancellationToken,
}

impl Keeper {
    /// Keeps a queue until shutdown.
    pub(crate) async fn run(mut self, definition: watch::Receiver<Arc<QueueDefinition>>) {
        let name = definition.borrow().name.clone();
        let bucket = self.bus.namespace().bucket_lease();
        loop {
            match lease::acquire(&self.bus, &bucket, &queue_lease(&name), &self.frontend).await {
                Ok(Some(lease)) => {
                    info!(queue = name, token = lease.token(), "keeps its books");
                    let outcome = self.hold(&name, &lease, definition.clone()).await;
                    self.view.lock().queues.remove(&name);
                    if let Err(error) = &outcome {
                        warn!(queue = name, %error, "its books are closed here");
                    }
                    let _ = tokio::time::timeout(FAREWELL, lease.release()).await;
                }
                Ok(None) => {}
                Err(error) => debug!(queue = name, %error, "its lease cannot be had yet"),
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = tokio::time::sleep(LEASE_PAUSE) => {}
            }
        }
    }

    async fn hold(
        &mut self,
        name: &str,
        lease: &Lease,
        mut definition: watch::Receiver<Arc<QueueDefinition>>,
    ) -> Result<(), JobError> {
        let mut wanted = Arc::clone(&definition.borrow_and_update());
        let mut slots = self.view.lock().workers_of(name).1;
        self.queues.apply(&wanted, slots).await?;
        let mut books = Books::open(&self.queues, name, lease.token()).await?;
        let mut sweeper = Sweeper::default();
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut looks = 0u32;
        let mut maxima = Some(Maxima::new(self.interval, Instant::now()));
        loop {
            let folded = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => {
                    let _ = tokio::time::timeout(FAREWELL, books.save()).await;
                    return Ok(());
                }
                () = lease.lost() => return Ok(()),
                Ok(()) = definition.changed() => {
                    wanted = Arc::clone(&definition.borrow_and_update());
                    self.queues.apply(&wanted, slots).await?;
                    None
                }
                Ok(()) = self.workers_changed.changed() => {
                    let now = self.view.lock().workers_of(name).1;
                    if now != slots {
                        slots = now;
                        self.queues.set_slots(&wanted, slots).await?;
                    }
                    None
                }
                _ = look.tick() => {
                    looks = looks.wrapping_add(1);
                    match self.look(&wanted, &mut books, &mut sweeper, &mut maxima, looks).await {
                        Ok(()) => {}
                        Err(error) if error.is_transient() => debug!(queue = name, %error, "not looked at now"),
                        Err(error) => return Err(error),
                    }
                    None
                }
                folded = books.next() => Some(folded),
            };
            match folded {
                None => {}
                Some(Ok(None)) => {}
                Some(Ok(Some(result))) => {
                    if let Some(queue) = self.view.lock().queues.get_mut(name) {
                        queue.maxima.note(&result, Instant::now());
                    }
                }
                Some(Err(JobError::Bus(BusError::StreamReset { .. }))) => {
                    books = Books::open(&self.queues, name, lease.token()).await?;
                }
                Some(Err(error)) if error.is_transient() => debug!(queue = name, %error, "records not read now"),
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// Looks at the streams, drops what is abandoned, and every now and then writes the totals down.
    async fn look(
        &self,
        definition: &QueueDefinition,
        books: &mut Books,
        sweeper: &mut Sweeper,
        maxima: &mut Option<Maxima>,
        looks: u32,
    ) -> Result<(), JobError> {
        let name = &definition.name;
        let names = self.bus.namespace();
        let stream = names.stream_job(name);
        // The totals first: what is shown as ended is then never more than what is shown as accepted.
        let totals = books.totals().clone();
        let state = self.bus.stream_state(&stream).await?;
        let dead_letters = self.bus.stream_state(&names.stream_dead_letter(name)).await?.messages;
        let oldest_waiting_seconds = self.oldest_waiting_seconds(definition, state.messages).await?;
        {
            let mut view = self.view.lock();
            // There only from the first look on: what is not known yet is not shown as nothing.
            if let Some(maxima) = maxima.take() {
                let queue = QueueView {
                    totals: books.totals().clone(),
                    maxima,
                    jobs: 0,
                    accepted: 0,
                    limit: None,
                    dead_letters: 0,
                    oldest_waiting_seconds: 0.0,
                };
                view.queues.insert(name.clone(), queue);
            }
            if let Some(queue) = view.queues.get_mut(name) {
                queue.totals = totals;
                queue.jobs = state.messages;
                queue.accepted = state.last_sequence;
                queue.limit = (definition.max_waiting > 0).then_some(definition.max_waiting);
                queue.dead_letters = dead_letters;
                queue.oldest_waiting_seconds = oldest_waiting_seconds;
            }
        }
        if state.messages > 0 {
            let present = self.view.lock().clients.clone();
            let dropped = sweeper.sweep(&self.queues, definition, &present).await?;
            if dropped > 0 {
                info!(queue = name, dropped, "jobs dropped: their clients went away");
            }
        }
        if looks.is_multiple_of(SAVE_LOOKS) {
            // Nothing can be left over in an empty queue.
            let cleared = if state.messages > 0 { leftovers::clear(&self.queues, definition).await? } else { 0 };
            if cleared > 0 {
                info!(queue = name, cleared, "jobs that have ended were still in the queue after the server was lost");
            }
            books.save().await?;
            let forgotten = books.make_room(definition).await?;
            if forgotten > 0 {
                info!(queue = name, forgotten, "the oldest records made room");
            }
        }
        Ok(())
    }

    async fn oldest_waiting_seconds(&self, definition: &QueueDefinition, jobs: u64) -> Result<f64, JobError> {
        if jobs == 0 {
            return Ok(0.0);
        }
        let names = self.bus.namespace();
        let stream = names.stream_job(&definition.name);
        let mut oldest: Option<i64> = None;
        for priority in 0..definition.priorities {
            let consumer = self.bus.consumer_state(&stream, &job_consumer(priority)).await?;
            if consumer.waiting == 0 {
                continue;
            }
            let filter = names.job_priority(&definition.name, priority);
            let found = self.bus.next_message(&stream, &filter, consumer.delivered_sequence + 1).await?;
            let stored = found.map(|found| found.published_unix_ns);
            oldest = [oldest, stored].into_iter().flatten().min();
        }
        let Some(oldest) = oldest else { return Ok(0.0) };
        let age_ns = i64::try_from(unix_ns()).unwrap_or(i64::MAX).saturating_sub(oldest);
        Ok(age_ns.max(0) as f64 / 1e9)
    }
}
