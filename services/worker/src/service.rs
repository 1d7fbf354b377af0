//! The worker's loop: joins by itself, takes no more jobs than it has slots, and leaves none behind.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nuncius_bus::clock::unix_ms;
use nuncius_bus::registry;
use nuncius_bus::work_queue::WorkItem;
use nuncius_bus::{Bus, BusError};
use nuncius_jobs::{Definition, Finisher, JobError, Queues, Taker};
use nuncius_schemas::node::{NodeInfo, Role};
use nuncius_schemas::queue::QueueDefinition;
use nuncius_schemas::worker::{NodeSample, WorkerInfo};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::attempt::{Bench, work};
use crate::config::{WhenEmpty, WorkerConfig};
use crate::inventory::Inventory;

/// A busy worker, or one whose jobs have changed, says so this often.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// An idle one, this often; hosts and devices are looked at as often.
const IDLE_SAMPLE_INTERVAL: Duration = Duration::from_secs(5);
/// Pause before the server's clock is asked for again.
const CLOCK_PAUSE: Duration = Duration::from_millis(250);
/// How long the server has to answer when the worker ends; one that does not is not waited for any more.
const FAREWELL: Duration = Duration::from_millis(700);
/// How long running jobs have when the worker ends and the server does not answer: nobody can be told of them.
const ALONE: Duration = Duration::from_millis(1_500);

/// Why a worker ended.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The queue.
    #[error("worker: {0}")]
    Job(#[from] JobError),
    /// The bus.
    #[error("worker: {0}")]
    Bus(#[from] BusError),
}

/// When a worker is to end.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Takes no more jobs, finishes those it has.
    pub drain: CancellationToken,
    /// Hands back those it has.
    pub hand_back: CancellationToken,
}

/// What woke the loop.
enum Event {
    Item(Result<WorkItem, JobError>),
    Surplus(WorkItem),
    Empty,
    Freed,
    Definition,
    Tick,
    Shutdown,
}

struct Worker {
    bench: Arc<Bench>,
    slots: u32,
    /// Slots that are free.
    free: Vec<u32>,
    /// Where each slot that was used before takes its next job.
    hands: Vec<Option<mpsc::Sender<WorkItem>>>,
    freed: mpsc::Receiver<u32>,
    free_again: mpsc::Sender<u32>,
    inventory: Arc<Mutex<Inventory>>,
    sample: NodeSample,
    told_busy: u32,
    told_at: Instant,
}

/// Runs a worker until it is told to end, or until its queue is empty where it is to end then; `ready` is told its
/// name.
///
/// Waits for its queue where there is none yet.
pub async fn run(
    config: WorkerConfig,
    bus: Bus,
    shutdown: Shutdown,
    ready: Option<oneshot::Sender<String>>,
) -> Result<(), WorkerError> {
    let queues = Queues::open(&bus).await?;
    let definition = Definition::follow(&queues, &config.queue).await?;
    let (inventory, devices) = {
        let files = config.workload.files().to_vec();
        let found = tokio::task::spawn_blocking(move || Inventory::find(Path::new("/"), &files)).await;
        let Ok(inventory) = found else { return Ok(()) };
        let devices = inventory.devices().to_vec();
        (Arc::new(Mutex::new(inventory)), devices)
    };
    let worker = WorkerInfo {
        queue: config.queue.clone(),
        slots: config.slots,
        node: config.node.clone(),
        pod: config.pod.clone(),
        workload: config.workload.name().to_owned(),
        devices,
    };
    let labels = config.labels.clone();
    let node =
        NodeInfo { labels, worker: Some(worker), ..registry::this_process(&config.name, Role::Worker, &config.host) };
    let registration = registry::join(&bus, node).await?;
    let name = registration.claim().name;
    let version = env!("CARGO_PKG_VERSION");
    let service_name = bus.namespace().service("worker");
    let service = bus.register_service(&service_name, version, "runs jobs", &[("node", &name)]).await?;
    info!(worker = %name, queue = %config.queue, slots = config.slots, workload = config.workload.name(), "joined");
    if let Some(ready) = ready {
        let _ = ready.send(name.clone());
    }
    let outcome = serve(&config, &queues, &shutdown, &definition, inventory, &name).await;
    // One that does not answer is not waited for: the key runs out by itself.
    let _ = tokio::time::timeout(FAREWELL, async { tokio::join!(registration.release(), service.stop()) }).await;
    outcome
}

/// The worker's life between joining and leaving.
async fn serve(
    config: &WorkerConfig,
    queues: &Queues,
    shutdown: &Shutdown,
    definition: &Definition,
    inventory: Arc<Mutex<Inventory>>,
    name: &str,
) -> Result<(), WorkerError> {
    let mut changes = definition.changes();
    let Some(first) = first_definition(&mut changes, &shutdown.drain, &config.queue).await else { return Ok(()) };
    let (definitions, receiver) = watch::channel(Arc::clone(&first));
    let bus = queues.bus();
    let finisher = Finisher::new(queues, receiver);
    let (free_again, freed) = mpsc::channel(usize::try_from(config.slots.max(1)).unwrap_or(usize::MAX));
    let mut worker = Worker {
        bench: Arc::new(Bench {
            bus: bus.clone(),
            finisher: finisher.clone(),
            workload: config.workload.clone(),
            queue: config.queue.clone(),
            worker: name.to_owned(),
            node: config.node.clone(),
            pod: config.pod.clone(),
            hand_back: shutdown.hand_back.clone(),
            finished: AtomicU64::new(0),
            removals: definition.removals(),
            at_work: Mutex::default(),
        }),
        slots: config.slots,
        free: (0..config.slots).rev().collect(),
        hands: (0..config.slots.max(1)).map(|_| None).collect(),
        freed,
        free_again,
        inventory,
        sample: first_sample(config, name),
        told_busy: 0,
        told_at: Instant::now(),
    };
    // Waits are told by the server's clock: a job that is taken before that is known could be taken for one that waited
    // too long.
    tokio::select! {
        () = clock_known(&finisher) => {}
        () = shutdown.drain.cancelled() => return Ok(()),
    }
    let mut taker = Taker::new(bus, &first, finisher.clone());
    worker.look_and_tell().await;
    let mut tick = tokio::time::interval(SAMPLE_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut asking = Asking::default();
    loop {
        let free = worker.free.len();
        let event = tokio::select! {
            biased;
            () = shutdown.drain.cancelled() => Event::Shutdown,
            slot = worker.freed.recv() => {
                worker.free.extend(slot);
                while let Ok(slot) = worker.freed.try_recv() {
                    worker.free.push(slot);
                }
                Event::Freed
            }
            event = next(&mut taker, free, config.when_empty, &mut asking) => event,
            Ok(()) = changes.changed() => Event::Definition,
            _ = tick.tick() => Event::Tick,
        };
        match event {
            Event::Item(Ok(item)) => {
                worker.begin(item);
                while !worker.free.is_empty()
                    && let Some(item) = taker.ready()
                {
                    worker.begin(item);
                }
            }
            Event::Item(Err(JobError::Bus(BusError::Closed))) | Event::Shutdown => break,
            Event::Empty if worker.busy() == 0 => {
                info!("the queue is empty");
                break;
            }
            // What still runs may be tried again.
            Event::Empty => worker.free.extend(worker.freed.recv().await),
            Event::Item(Err(error)) => {
                warn!(%error, queue = %config.queue, "no jobs to be had at present");
                // A queue that was removed may be made anew.
                tokio::select! {
                    () = tokio::time::sleep(SAMPLE_INTERVAL) => {}
                    () = shutdown.drain.cancelled() => break,
                }
            }
            Event::Surplus(item) => {
                if let Err(error) = finisher.hand_back_item(&item).await {
                    warn!(%error, "a job that came too many is not handed back: it is given again in a while");
                }
            }
            Event::Freed => {}
            Event::Definition => {
                let now = changes.borrow_and_update().clone();
                if let Some(now) = now {
                    let before = Arc::clone(&definitions.borrow());
                    definitions.send_replace(Arc::clone(&now));
                    if (now.priorities, &now.priority_shares) != (before.priorities, &before.priority_shares) {
                        std::mem::replace(&mut taker, Taker::new(bus, &now, finisher.clone())).leave().await;
                    }
                }
            }
            Event::Tick => worker.tell_if_news().await,
        }
    }
    worker.leave(taker, shutdown).await;
    Ok(())
}

/// How a worker that does not wait stands with its empty queue.
#[derive(Debug, Default)]
struct Asking {
    /// Times in a row that nothing was there.
    empty_times: u32,
    /// It is not asked again before.
    not_before: Option<Instant>,
}

/// The next job for one of `free` slots, or one for which there is none; cancel-safe.
async fn next(taker: &mut Taker, free: usize, when_empty: WhenEmpty, asking: &mut Asking) -> Event {
    if free == 0 {
        return Event::Surplus(taker.surplus().await);
    }
    if when_empty == WhenEmpty::Wait {
        return Event::Item(taker.next_of(free).await);
    }
    loop {
        if let Some(not_before) = asking.not_before {
            tokio::time::sleep_until(not_before).await;
        }
        match taker.at_once(free).await {
            Ok(Some(item)) => {
                *asking = Asking::default();
                return Event::Item(Ok(item));
            }
            Err(error) => return Event::Item(Err(error)),
            Ok(None) if when_empty == WhenEmpty::Exit => return Event::Empty,
            Ok(None) => {
                asking.empty_times = asking.empty_times.saturating_add(1);
                asking.not_before = Some(Instant::now() + when_empty.pause(asking.empty_times));
            }
        }
    }
}

async fn first_definition(
    changes: &mut watch::Receiver<Option<Arc<QueueDefinition>>>,
    drain: &CancellationToken,
    queue: &str,
) -> Option<Arc<QueueDefinition>> {
    tokio::select! {
        () = drain.cancelled() => None,
        found = changes.wait_for(Option::is_some) => found.ok().and_then(|found| found.clone()),
        () = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            warn!(queue, "there is no such queue yet: waiting for it (`nuncius queue create {queue}` makes it)");
            std::future::pending::<()>().await;
        } => None,
    }
}

/// Waits until the server's clock is known.
async fn clock_known(finisher: &Finisher) {
    while let Err(error) = finisher.clock().reading().await {
        tracing::debug!(%error, "the server's clock is not known yet");
        tokio::time::sleep(CLOCK_PAUSE).await;
    }
}

fn first_sample(config: &WorkerConfig, name: &str) -> NodeSample {
    NodeSample {
        node: name.to_owned(),
        unix_ms: 0,
        queue: Some(config.queue.clone()),
        slots: config.slots,
        busy: 0,
        finished: 0,
        cpu_share: None,
        memory_used_bytes: None,
        memory_total_bytes: None,
        devices: Vec::new(),
    }
}

/// A task that works for a slot, one job after the other, with this one first. One for each job would cost a large
/// allocation each time.
fn start_slot(bench: Arc<Bench>, slot: u32, first: WorkItem, free_again: mpsc::Sender<u32>) -> mpsc::Sender<WorkItem> {
    let (hand, mut items) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut next = Some(first);
        while let Some(item) = next {
            work(&bench, slot, item).await;
            // Nobody listens once the worker has left.
            if free_again.send(slot).await.is_err() {
                return;
            }
            next = items.recv().await;
        }
    });
    hand
}

impl Worker {
    fn begin(&mut self, item: WorkItem) {
        // There is one: the queue was asked for no more than there are.
        let slot = self.free.pop().unwrap_or(0);
        let place = usize::try_from(slot).unwrap_or(usize::MAX);
        let Some(hand) = self.hands.get_mut(place) else { return };
        let item = match hand {
            Some(hand) => match hand.try_send(item) {
                Ok(()) => return,
                // Its task has ended.
                Err(refused) => refused.into_inner(),
            },
            None => item,
        };
        *hand = Some(start_slot(Arc::clone(&self.bench), slot, item, self.free_again.clone()));
    }

    fn busy(&self) -> u32 {
        self.slots.saturating_sub(u32::try_from(self.free.len()).unwrap_or(u32::MAX))
    }

    async fn tell_if_news(&mut self) {
        let busy = self.busy();
        if self.told_at.elapsed() >= IDLE_SAMPLE_INTERVAL {
            self.look_and_tell().await;
        } else if busy > 0 || busy != self.told_busy {
            self.tell().await;
        }
    }

    /// Looks at host and devices, then tells.
    async fn look_and_tell(&mut self) {
        let inventory = Arc::clone(&self.inventory);
        let looked = tokio::task::spawn_blocking(move || {
            let mut inventory = inventory.lock().unwrap_or_else(PoisonError::into_inner);
            (inventory.host_sample(), inventory.samples())
        });
        if let Ok((host, devices)) = looked.await {
            self.sample.cpu_share = host.cpu_share;
            self.sample.memory_used_bytes = host.memory_used_bytes;
            self.sample.memory_total_bytes = host.memory_total_bytes;
            self.sample.devices = devices;
        }
        self.told_at = Instant::now();
        self.tell().await;
    }

    async fn tell(&mut self) {
        self.sample.unix_ms = unix_ms();
        self.sample.busy = self.busy();
        self.sample.finished = self.bench.finished.load(Ordering::Relaxed);
        self.told_busy = self.sample.busy;
        let bus = &self.bench.bus;
        // While the server is away there is nobody to tell.
        if bus.connected_for().is_zero() {
            return;
        }
        let subject = bus.namespace().sample(&self.sample.node);
        if let Err(error) = bus.publish_message(&subject, "node-sample.v1", &self.sample).await {
            tracing::debug!(%error, "sample not sent");
        }
    }

    /// Takes no more, and waits for what runs; or hands it back, when told so.
    async fn leave(mut self, taker: Taker, shutdown: &Shutdown) {
        let answers = tokio::time::timeout(FAREWELL, self.bench.bus.round_trip()).await;
        let is_alone = !matches!(answers, Ok(Ok(())));
        let running = self.busy();
        if running > 0 {
            info!(running, "takes no more jobs; finishing those it has (a second signal hands them back)");
        }
        if is_alone {
            warn!(running, "the server does not answer: what runs is given to another worker");
            // Their process groups must not outlive the worker.
            let hand_back = shutdown.hand_back.clone();
            tokio::spawn(async move {
                tokio::time::sleep(ALONE / 2).await;
                hand_back.cancel();
            });
            let _ = tokio::time::timeout(ALONE, self.wait_for_all()).await;
            return;
        }
        taker.leave().await;
        tokio::select! {
            () = self.wait_for_all() => {}
            // Handing back asks the server twice.
            () = async {
                shutdown.hand_back.cancelled().await;
                tokio::time::sleep(FAREWELL * 3).await;
            } => warn!("not everything could be handed back: it is given to another worker in a while"),
        }
        self.told_busy = 0;
        self.tell().await;
        let _ = tokio::time::timeout(FAREWELL, self.bench.bus.flush()).await;
    }

    async fn wait_for_all(&mut self) {
        while self.busy() > 0 {
            match self.freed.recv().await {
                Some(slot) => self.free.push(slot),
                None => return,
            }
        }
    }
}
