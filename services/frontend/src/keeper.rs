//! One queue: its lease is waited for, then its books are kept and its bounds set, until the lease or the frontend
//! ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nuncius_bus::lease::{self, Lease};
use nuncius_bus::{Bus, BusError};
use nuncius_jobs::abandoned::Sweeper;
use nuncius_jobs::books::Books;
use nuncius_jobs::{JobError, Moment, Queues, leftovers, limit_jobs};
use nuncius_schemas::queue::QueueDefinition;
use nuncius_schemas::subjects::{job_consumer, queue_lease};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::maxima::Maxima;
use crate::view::{QueueView, SharedView};

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
    pub(crate) view: Arc<SharedView>,
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
        let wanted = Arc::clone(&definition.borrow_and_update());
        let slots = self.view.lock().workers_of(name).1;
        self.queues.apply(&wanted, slots).await?;
        let mut held = Held {
            wanted,
            slots,
            is_applied: true,
            books: Books::open(&self.queues, name, lease.token()).await?,
            sweeper: Sweeper::default(),
            figures: None,
            maxima: Some(Maxima::new(self.interval, Instant::now())),
            looks: 0,
            told: None,
        };
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let folded = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => {
                    let _ = tokio::time::timeout(FAREWELL, held.books.save()).await;
                    return Ok(());
                }
                () = lease.lost() => return Ok(()),
                Ok(()) = definition.changed() => {
                    held.wanted = Arc::clone(&definition.borrow_and_update());
                    held.is_applied = false;
                    self.apply(&mut held).await?;
                    None
                }
                Ok(()) = self.workers_changed.changed() => {
                    let now = self.view.lock().workers_of(name).1;
                    if now != held.slots {
                        held.slots = now;
                        held.is_applied = false;
                        self.apply(&mut held).await?;
                    }
                    None
                }
                _ = look.tick() => {
                    self.apply(&mut held).await?;
                    self.look(&mut held).await?;
                    None
                }
                folded = held.books.next() => Some(folded),
            };
            match folded {
                None => {}
                Some(Ok(None)) => self.show(&mut held),
                Some(Ok(Some(result))) => {
                    if let Some(queue) = self.view.lock().queues.get_mut(name) {
                        queue.maxima.note(&result, Instant::now());
                    }
                    self.show(&mut held);
                }
                Some(Err(JobError::Bus(BusError::StreamReset { .. }))) => {
                    held.figures = None;
                    held.books = Books::open(&self.queues, name, lease.token()).await?;
                }
                Some(Err(error)) => held.survive(error, "records not read now")?,
            }
        }
    }

    /// Streams and consumers as they are wanted now, unless they are.
    async fn apply(&self, held: &mut Held) -> Result<(), JobError> {
        if held.is_applied {
            return Ok(());
        }
        match self.queues.apply(&held.wanted, held.slots).await {
            Ok(()) => held.is_applied = true,
            Err(error) => held.survive(error, "not as it is wanted yet")?,
        }
        Ok(())
    }

    /// Looks at the streams, drops what is abandoned, and every now and then writes the totals down. What goes wrong
    /// with one job or at one time is tried again: only what ends the holding is an error.
    async fn look(&self, held: &mut Held) -> Result<(), JobError> {
        held.looks = held.looks.wrapping_add(1);
        // Those of the last look are shown first, once the books have come so far: under load that may take a while.
        if held.figures.is_none() {
            match self.figures(&held.wanted).await {
                Ok(figures) => {
                    // A command that changed the queue beside us knows nothing of slots, and may have been the last.
                    held.is_applied &= figures.moment.limit_jobs == Some(limit_jobs(&held.wanted, held.slots));
                    held.figures = Some(figures);
                }
                Err(error) => return held.survive(error, "not looked at now"),
            }
        }
        let has_jobs = held.figures.as_ref().is_some_and(|figures| figures.moment.stored_jobs > 0);
        self.show(held);
        if has_jobs {
            let present = self.view.lock().clients.clone();
            match held.sweeper.sweep(&self.queues, &held.wanted, &present).await {
                Ok(0) => {}
                Ok(dropped) => info!(queue = held.wanted.name, dropped, "jobs that nobody waits for were not run"),
                Err(error) => held.survive(error, "not swept now")?,
            }
        }
        if !held.looks.is_multiple_of(SAVE_LOOKS) {
            return Ok(());
        }
        // Nothing can be left over in an empty queue.
        let cleared = if has_jobs { leftovers::clear(&self.queues, &held.wanted).await } else { Ok(0) };
        match cleared {
            Ok(0) => {}
            Ok(cleared) => {
                let queue = &held.wanted.name;
                info!(queue, cleared, "jobs that have ended were still in the queue after the server was lost");
            }
            Err(error) => held.survive(error, "not cleared up now")?,
        }
        if let Err(error) = held.books.save().await {
            return held.survive(error, "totals not written now");
        }
        match held.books.make_room(&held.wanted).await {
            Ok(0) => {}
            Ok(forgotten) => info!(queue = held.wanted.name, forgotten, "the oldest records made room"),
            Err(error) => held.survive(error, "no room made now")?,
        }
        held.told = None;
        Ok(())
    }

    /// Everything of one moment but the totals.
    async fn figures(&self, definition: &QueueDefinition) -> Result<Figures, JobError> {
        let name = &definition.name;
        let moment = self.queues.moment(name).await?;
        let dead_letters = self.bus.stream_state(&self.bus.namespace().stream_dead_letter(name)).await?.messages;
        let oldest_waiting_seconds = self.oldest_waiting_seconds(definition, moment.stored_jobs).await?;
        Ok(Figures { moment, dead_letters, oldest_waiting_seconds })
    }

    /// Shows the figures once the books have come to their moment: all that is told at a time is of one moment.
    fn show(&self, held: &mut Held) {
        let totals = held.books.totals();
        let Some(figures) = held.figures.take_if(|figures| figures.moment.record_sequence <= totals.sequence) else {
            return;
        };
        let (jobs, unaccounted) = figures.moment.jobs(totals);
        let mut view = self.view.lock();
        let kept = view.queues.remove(&held.wanted.name).map(|queue| queue.maxima).or_else(|| held.maxima.take());
        let Some(maxima) = kept else { return };
        let queue = QueueView {
            totals: totals.clone(),
            maxima,
            jobs,
            accepted: figures.moment.accepted,
            unaccounted,
            limit: (held.wanted.max_waiting > 0).then_some(held.wanted.max_waiting),
            dead_letters: figures.dead_letters,
            oldest_waiting_seconds: figures.oldest_waiting_seconds,
        };
        view.queues.insert(held.wanted.name.clone(), queue);
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
        match oldest {
            Some(oldest) => Ok(self.queues.clock().age_seconds(oldest).await?),
            None => Ok(0.0),
        }
    }
}

/// A queue while its lease is held.
struct Held {
    wanted: Arc<QueueDefinition>,
    /// Jobs that its workers run at once.
    slots: u64,
    /// Streams and consumers are as they are wanted, with so many slots.
    is_applied: bool,
    books: Books,
    sweeper: Sweeper,
    /// What was found at the last look, until the books have come so far.
    figures: Option<Figures>,
    /// The longest times, until they are in the view.
    maxima: Option<Maxima>,
    looks: u32,
    /// What went wrong last, which is not said again every second.
    told: Option<String>,
}

/// What is shown beside the totals of the same moment.
struct Figures {
    moment: Moment,
    dead_letters: u64,
    oldest_waiting_seconds: f64,
}

impl Held {
    /// Goes on after an error, unless the queue cannot be held any longer.
    fn survive(&mut self, error: JobError, what: &str) -> Result<(), JobError> {
        if ends_the_holding(&error) {
            return Err(error);
        }
        let text = error.to_string();
        if error.is_transient() || self.told.as_ref() == Some(&text) {
            debug!(queue = self.wanted.name, error = text, "{what}");
        } else {
            warn!(queue = self.wanted.name, error = text, "{what}; trying again");
            self.told = Some(text);
        }
        Ok(())
    }
}

/// Somebody else keeps the books, the queue is gone, or the connection is: nothing that one job does.
fn ends_the_holding(error: &JobError) -> bool {
    matches!(
        error,
        JobError::Changed(_) | JobError::NoQueue { .. } | JobError::Bus(BusError::NotFound { .. } | BusError::Closed)
    )
}
