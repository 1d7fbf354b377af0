//! What is stored of a run while it goes on: beside the run, which never waits for a disk.
//!
//! A store that fails is told, as an event of the run, and never ends it: everything that is stored was on the bus
//! before. Once the store takes something again, everything is put into it anew from there.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nuncius_bus::Bus;
use nuncius_clock::unix_ms;
use nuncius_schemas::event::{EventKind, ExperimentEvent};
use nuncius_schemas::run::RunRecord;
use nuncius_schemas::second::ExperimentSecond;
use nuncius_store::{Piece, Store};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use crate::figures::{FIGURES, count};
use crate::restore::restore;

/// What may wait to be stored; beyond that it is taken from the bus later.
const WAITING_MAX: usize = 4_096;
/// Most that is written in one transaction.
const BATCH: usize = 64;
/// Most events about the store that the report has.
const SAID_MAX: usize = 64;
/// How long the bus may take to store an event about the store.
const SAY_PATIENCE: Duration = Duration::from_secs(2);

/// Something to be stored.
enum Item {
    Experiment(Box<RunRecord>),
    Event(Box<ExperimentEvent>),
    Second(Box<ExperimentSecond>),
    /// Answered once everything before it is stored, or with the reason why not.
    Settle(oneshot::Sender<Result<(), String>>),
}

/// Stores what is told of one run, in order.
#[derive(Clone)]
pub(crate) struct Storing {
    sender: mpsc::Sender<Item>,
    known: Arc<Mutex<Known>>,
    retry: Duration,
}

#[derive(Default)]
struct Known {
    /// The seconds that there are, and their late pieces.
    seconds: BTreeSet<(u32, u32)>,
    said: Vec<ExperimentEvent>,
    /// Something was not even taken down: why.
    doubt: Option<String>,
    is_made_anew: bool,
}

impl Storing {
    /// Begins; ends with the last copy. What fails is tried again every `retry`.
    pub(crate) fn start(bus: Bus, store: Store, retry: Duration) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let known: Arc<Mutex<Known>> = Arc::default();
        let generation = store.generation();
        let (record, trouble) = (None, None);
        let keeper = Keeper { bus, store, known: known.clone(), retry, record, generation, trouble };
        tokio::spawn(keeper.run(receiver));
        Self { sender, known, retry }
    }

    /// Has the record stored; never waits.
    pub(crate) fn experiment(&self, record: RunRecord) {
        self.put(Item::Experiment(Box::new(record)));
    }

    /// Has an event stored that the bus has been told; never waits.
    pub(crate) fn event(&self, event: ExperimentEvent) {
        self.put(Item::Event(Box::new(event)));
    }

    /// Remembers that there is such a second.
    pub(crate) fn expect(&self, second: &ExperimentSecond) {
        let piece = if second.late { second.revision } else { 0 };
        locked(&self.known).seconds.insert((second.second, piece));
    }

    /// Has a second stored that the bus has been told; never waits.
    pub(crate) fn second(&self, second: ExperimentSecond) {
        self.put(Item::Second(Box::new(second)));
    }

    fn put(&self, item: Item) {
        if self.sender.try_send(item).is_err() {
            self.doubt(format!("it is too slow: {WAITING_MAX} writes wait"));
        }
    }

    /// Has everything stored anew from the bus, because something is not there.
    pub(crate) fn doubt(&self, reason: String) {
        locked(&self.known).doubt.get_or_insert(reason);
    }

    /// How many seconds there are, late pieces among them.
    pub(crate) fn seconds(&self) -> u64 {
        locked(&self.known).seconds.len() as u64
    }

    /// Whether the file was removed while the run went on.
    pub(crate) fn is_made_anew(&self) -> bool {
        locked(&self.known).is_made_anew
    }

    /// What was said about the store.
    pub(crate) fn said(&self) -> Vec<ExperimentEvent> {
        locked(&self.known).said.clone()
    }

    /// Waits until everything is stored.
    ///
    /// # Errors
    /// Why it is not, at the deadline.
    pub(crate) async fn settle(&self, deadline: Instant) -> Result<(), String> {
        let mut problem = "it does not take what the run wrote".to_owned();
        loop {
            let (sender, answer) = oneshot::channel();
            let asked = async {
                self.sender.send(Item::Settle(sender)).await.ok()?;
                answer.await.ok()
            };
            match timeout_at(deadline, asked).await {
                Ok(Some(Ok(()))) => return Ok(()),
                Ok(Some(Err(reason))) => problem = reason,
                Ok(None) => return Err("the task that stores it has ended".to_owned()),
                Err(_) => return Err(format!("{problem} (it was waited for in vain)")),
            }
            if Instant::now() + self.retry >= deadline {
                return Err(problem);
            }
            tokio::time::sleep(self.retry).await;
        }
    }
}

fn locked(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the store did not take.
struct Trouble {
    reason: String,
    tried: Instant,
}

/// Writes.
struct Keeper {
    bus: Bus,
    store: Store,
    known: Arc<Mutex<Known>>,
    retry: Duration,
    /// As it was told last.
    record: Option<Box<RunRecord>>,
    /// Of the file that has what was written so far.
    generation: u64,
    trouble: Option<Trouble>,
}

impl Keeper {
    async fn run(mut self, mut receiver: mpsc::Receiver<Item>) {
        let mut items = Vec::new();
        loop {
            let retry_at = self.trouble.as_ref().map(|trouble| trouble.tried + self.retry);
            let retry = async {
                match retry_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                received = receiver.recv_many(&mut items, BATCH) => if received == 0 { return },
                () = retry => self.heal().await,
            }
            self.take(std::mem::take(&mut items)).await;
        }
    }

    async fn take(&mut self, items: Vec<Item>) {
        let mut waiting = Vec::new();
        let mut kept = Vec::new();
        for item in items {
            match item {
                Item::Settle(answer) => waiting.push(answer),
                Item::Experiment(_) | Item::Event(_) | Item::Second(_) => kept.push(item),
            }
        }
        let pieces: Vec<Piece<'_>> = kept.iter().filter_map(piece).collect();
        let mut failed = None;
        if self.trouble.is_none()
            && !pieces.is_empty()
            && let Err(error) = self.store.keep(&pieces).await
        {
            failed = Some(error.to_string());
        }
        if self.store.generation() != self.generation {
            locked(&self.known).is_made_anew = true;
            let store = self.store.name();
            failed = Some(format!("store `{store}` was removed while the run went on, and is made anew"));
        }
        for item in kept {
            if let Item::Experiment(record) = item {
                self.record = Some(record);
            }
        }
        let doubt = locked(&self.known).doubt.take();
        if let Some(problem) = failed.or(doubt) {
            self.fails(problem).await;
        }
        if !waiting.is_empty() && self.trouble.is_some() {
            self.heal().await;
        }
        for answer in waiting {
            let problem = self.trouble.as_ref().map(|trouble| trouble.reason.clone());
            let _ = answer.send(problem.map_or(Ok(()), Err));
        }
    }

    /// Stores everything anew from the bus.
    async fn heal(&mut self) {
        let (Some(record), Some(_)) = (&self.record, &self.trouble) else { return };
        let mut generation = self.store.generation();
        let mut restored = restore(&self.bus, &self.store, record).await;
        if self.store.generation() != generation {
            // It was made anew only now: what is in it may be the second half.
            generation = self.store.generation();
            restored = restore(&self.bus, &self.store, record).await;
        }
        match restored {
            Ok(_) => {
                self.trouble = None;
                if generation != self.generation {
                    locked(&self.known).is_made_anew = true;
                    self.generation = generation;
                }
                self.say("the store takes everything again, and has what it lacked").await;
            }
            Err(error) => {
                count(&FIGURES.store_errors);
                if let Some(trouble) = &mut self.trouble {
                    *trouble = Trouble { reason: error.to_string(), tried: Instant::now() };
                }
            }
        }
    }

    async fn fails(&mut self, reason: String) {
        if self.trouble.is_some() {
            return;
        }
        count(&FIGURES.store_errors);
        // The first try to make it good comes at once when the run ends, else after a pause.
        self.trouble = Some(Trouble { reason: reason.clone(), tried: Instant::now() });
        let text = format!("{reason}; the run goes on, and what is missing is stored again from the bus");
        self.say(&text).await;
    }

    /// Tells it as an event of the run. The store gets it from the bus.
    async fn say(&self, message: &str) {
        let Some(record) = &self.record else { return };
        warn!(experiment = %record.id, "{message}");
        let event = ExperimentEvent {
            experiment: record.id.clone(),
            at_unix_ms: unix_ms(),
            kind: EventKind::Warning,
            message: message.to_owned(),
            status: None,
            verdict: None,
            data: Default::default(),
        };
        let subject = self.bus.namespace().experiment_event(&record.id);
        let stored = self.bus.store_message(&subject, "experiment-event.v1", &event, None);
        if !matches!(tokio::time::timeout(SAY_PATIENCE, stored).await, Ok(Ok(_))) {
            info!(experiment = %record.id, "the bus has no event of that");
        }
        if self.trouble.is_none() {
            let _ = self.store.keep(&[Piece::Event(&event)]).await;
        }
        let mut known = locked(&self.known);
        if known.said.len() < SAID_MAX {
            known.said.push(event);
        }
    }
}

fn piece(item: &Item) -> Option<Piece<'_>> {
    match item {
        Item::Experiment(record) => Some(Piece::Experiment(record)),
        Item::Event(event) => Some(Piece::Event(event)),
        Item::Second(second) => Some(Piece::Second(second)),
        Item::Settle(_) => None,
    }
}
