//! What is told of a run while it goes on, for any number of readers: one follower for each run that somebody looks at
//! reads the bus, and each message is written as text once.
//!
//! A reader's place is two sequences, of the stream of seconds and of the stream of events. What the follower no longer
//! has is read from the streams again, so that a reader who comes back goes on without a gap, at whichever gateway.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nuncius_bus::tail::{Start, StoredMessage, Tail};
use nuncius_bus::{Bus, BusError};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

mod columns;
mod definitions;
mod frame;
mod place;

pub(crate) use columns::{headline, rounded};
pub(crate) use definitions::Definitions;
pub(crate) use frame::{Frame, Kind};
pub(crate) use place::Place;

/// Pause before something is tried again that the bus refused.
const PAUSE: Duration = Duration::from_millis(500);

/// Followers by experiment.
#[derive(Debug)]
pub(crate) struct Hub {
    bus: Bus,
    clients_max: usize,
    frames_max: usize,
    clients: AtomicUsize,
    channels: Mutex<BTreeMap<String, Arc<Channel>>>,
    shutdown: CancellationToken,
}

/// What is told of one run.
#[derive(Debug)]
struct Channel {
    definitions: Definitions,
    readers: AtomicUsize,
    latest: Mutex<Latest>,
    told: broadcast::Sender<Arc<Frame>>,
    stop: CancellationToken,
}

/// What the follower has; complete from `from` on.
#[derive(Debug, Default)]
struct Latest {
    from: Place,
    frames: VecDeque<Arc<Frame>>,
}

/// A seat of a reader: given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Hub>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A reader's end of a channel.
#[derive(Debug)]
pub(crate) struct Reader {
    hub: Arc<Hub>,
    id: String,
    channel: Arc<Channel>,
    /// What the follower had when it was opened, complete after `from`.
    pub(crate) from: Place,
    pub(crate) ready: VecDeque<Arc<Frame>>,
    pub(crate) told: broadcast::Receiver<Arc<Frame>>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut channels = self.hub.lock();
        if self.channel.readers.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.channel.stop.cancel();
            // Another may have its place already.
            if channels.get(&self.id).is_some_and(|known| Arc::ptr_eq(known, &self.channel)) {
                channels.remove(&self.id);
            }
        }
    }
}

impl Hub {
    pub(crate) fn new(bus: Bus, clients_max: usize, frames_max: usize, shutdown: CancellationToken) -> Arc<Self> {
        let (clients, channels) = (AtomicUsize::new(0), Mutex::default());
        Arc::new(Self { bus, clients_max, frames_max: frames_max.max(1), clients, channels, shutdown })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Channel>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Most readers at a time.
    pub(crate) fn clients_max(&self) -> usize {
        self.clients_max
    }

    /// A seat, if there is one.
    pub(crate) fn seat(self: &Arc<Self>) -> Option<Seat> {
        let free = |seated: usize| (seated < self.clients_max).then_some(seated + 1);
        self.clients.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).ok()?;
        Some(Seat(Arc::clone(self)))
    }

    /// Opens what is told of a run.
    ///
    /// # Errors
    /// The bus.
    pub(crate) async fn open(self: &Arc<Self>, id: &str, definitions: Definitions) -> Result<Reader, BusError> {
        if let Some(reader) = self.join(id) {
            return Ok(reader);
        }
        let names = self.bus.namespace();
        let last = async |stream: String, subject: String| {
            Ok::<u64, BusError>(self.bus.last_sequence_of(&stream, &subject).await?.unwrap_or(0))
        };
        let from = Place {
            second: last(names.stream_second(), names.experiment_second(id)).await?,
            event: last(names.stream_event(), names.experiment_event(id)).await?,
        };
        let mut channels = self.lock();
        // Somebody else may have been quicker.
        let channel = channels.entry(id.to_owned()).or_insert_with(|| self.begin(id, definitions, from));
        Ok(self.seated(id, Arc::clone(channel)))
    }

    fn begin(&self, id: &str, definitions: Definitions, from: Place) -> Arc<Channel> {
        let (told, _) = broadcast::channel(self.frames_max);
        let latest = Mutex::new(Latest { from, frames: VecDeque::new() });
        let stop = self.shutdown.child_token();
        let channel = Arc::new(Channel { definitions, readers: AtomicUsize::new(0), latest, told, stop });
        let (bus, id, followed, most) = (self.bus.clone(), id.to_owned(), Arc::clone(&channel), self.frames_max);
        tokio::spawn(async move {
            tokio::select! {
                () = followed.follow(&bus, &id, from, most) => {}
                () = followed.stop.cancelled() => {}
            }
        });
        channel
    }

    fn join(self: &Arc<Self>, id: &str) -> Option<Reader> {
        let channels = self.lock();
        let channel = Arc::clone(channels.get(id)?);
        Some(self.seated(id, channel))
    }

    /// Under the lock of the channels: one that is left by its last reader meanwhile is not joined.
    fn seated(self: &Arc<Self>, id: &str, channel: Arc<Channel>) -> Reader {
        channel.readers.fetch_add(1, Ordering::Relaxed);
        let latest = channel.latest();
        let (from, ready, told) = (latest.from, latest.frames.clone(), channel.told.subscribe());
        drop(latest);
        Reader { hub: Arc::clone(self), id: id.to_owned(), channel, from, ready, told }
    }
}

impl Reader {
    pub(crate) fn definitions(&self) -> &Definitions {
        &self.channel.definitions
    }
}

impl Channel {
    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn follow(&self, bus: &Bus, id: &str, from: Place, most: usize) {
        let names = bus.namespace();
        let (stream, subject) = (names.stream_second(), names.experiment_second(id));
        let seconds = self.read(bus, stream, subject, from.second, Kind::Second, most);
        let (stream, subject) = (names.stream_event(), names.experiment_event(id));
        let events = self.read(bus, stream, subject, from.event, Kind::Event, most);
        tokio::join!(seconds, events);
    }

    async fn read(&self, bus: &Bus, stream: String, subject: String, after: u64, kind: Kind, most: usize) {
        let mut tail: Option<Tail> = None;
        let mut next = after + 1;
        loop {
            let Some(open) = &mut tail else {
                match bus.tail(&stream, &subject, Start::FromSequence(next)).await {
                    Ok(opened) => tail = Some(opened),
                    Err(BusError::Closed) => return,
                    Err(error) => {
                        tracing::debug!(stream, %error, "not read at present");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                continue;
            };
            match open.next().await {
                Ok(message) => {
                    next = message.sequence + 1;
                    self.take(&message, kind, most);
                }
                Err(BusError::Closed) => return,
                // Another history: readers begin it at its start.
                Err(BusError::StreamReset { .. }) => {
                    next = 1;
                    let mut latest = self.latest();
                    latest.frames.clear();
                    latest.from = Place::default();
                    let _ = self.told.send(Arc::new(Frame::reset()));
                }
                Err(error) => {
                    tracing::debug!(stream, %error, "not read at present");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn take(&self, message: &StoredMessage, kind: Kind, most: usize) {
        let Some(frame) = Frame::read(message, kind, &self.definitions) else { return };
        let frame = Arc::new(frame);
        let mut latest = self.latest();
        latest.frames.push_back(Arc::clone(&frame));
        while latest.frames.len() > most {
            if let Some(gone) = latest.frames.pop_front() {
                latest.from.pass(gone.kind, gone.sequence);
            }
        }
        // Under the lock: whoever joins has it among the ready ones, or hears it, and never both.
        let _ = self.told.send(frame);
    }
}
