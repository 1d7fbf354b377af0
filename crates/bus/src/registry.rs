//! Who is here: nodes claim a name, keep it by heartbeats, and see each other come and go.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use nuncius_schemas::codec;
use nuncius_schemas::names::{check_token, with_suffix};
use nuncius_schemas::node::{NodeInfo, Role};
use tokio::sync::{mpsc, watch};

use crate::clock::unix_ms;
use crate::expiry::ExpiryWatch;
use crate::kv::{Entry, Kv, KvEvent, Operation};
use crate::{Bus, BusError};

/// Different values of an own entry that are remembered.
const WRITTEN_MAX: usize = 16;

/// How many nodes may want the same name.
const MOST_SUFFIXES: u32 = 1000;

type MakeValue = Arc<dyn Fn(&str, u64) -> Bytes + Send + Sync>;

/// Begins to listen under a name, before anybody can read it in the registry. Of several that were begun only the last
/// counts: a name may turn out to be somebody else's, who alone answers to it.
pub type Listen = Arc<dyn Fn(String) -> BoxFuture<'static, Result<(), BusError>> + Send + Sync>;

/// The name that was got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The wanted name, or that with a suffix.
    pub name: String,
    /// Random, drawn once per registration: tells this process from others of the same name.
    pub epoch: u64,
}

/// A claimed name, kept by a task of its own. Dropping it lets it run out.
#[derive(Debug)]
pub struct Registration {
    claim: watch::Receiver<Claim>,
    orders: mpsc::Sender<Order>,
    round_trip: Arc<RoundTrip>,
    task: tokio::task::JoinHandle<()>,
}

/// How long an answer of the server takes, in nanoseconds; 0 until one has come.
#[derive(Debug, Default)]
struct RoundTrip(AtomicU64);

impl RoundTrip {
    /// One that took much longer than the one before may have met a server that stood still: it counts for twice that.
    fn note(&self, took: Duration) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let before_ns = self.nanoseconds();
        let believed_ns = if before_ns == 0 { took_ns } else { took_ns.min(before_ns.saturating_mul(2)) };
        self.0.store(believed_ns, Ordering::Relaxed);
    }

    fn nanoseconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

enum Order {
    Value(MakeValue),
    Release,
}

/// The epoch of the first name that this process claims: what tells the process from others, also before it has a name,
/// and in its telemetry.
pub fn process_epoch() -> u64 {
    static EPOCH: OnceLock<u64> = OnceLock::new();
    *EPOCH.get_or_init(|| fastrand::u64(1..))
}

/// Further names of the same process have others.
fn next_epoch() -> u64 {
    static IS_TAKEN: AtomicBool = AtomicBool::new(false);
    if IS_TAKEN.swap(true, Ordering::Relaxed) { fastrand::u64(1..) } else { process_epoch() }
}

/// Claims `name` in the node bucket, or `name-2`, `name-3` … where it is taken. `make_value` gets the name and the
/// epoch; it must write the epoch into the value, by which own entries are recognised.
///
/// # Errors
/// [`BusError::Options`] for a name that is no token or a bucket without max_age.
pub async fn claim(
    bus: &Bus,
    name: &str,
    make_value: impl Fn(&str, u64) -> Bytes + Send + Sync + 'static,
) -> Result<Registration, BusError> {
    claim_with(bus, name, Arc::new(make_value), None, Arc::default()).await
}

async fn claim_with(
    bus: &Bus,
    name: &str,
    make_value: MakeValue,
    listen: Option<Listen>,
    round_trip: Arc<RoundTrip>,
) -> Result<Registration, BusError> {
    check_token("node", name).map_err(|e| BusError::Options(e.to_string()))?;
    let bucket = bus.namespace().bucket_node();
    let kv = bus.kv(&bucket).await?;
    let ttl = kv.max_age().ok_or_else(|| BusError::Options(format!("bucket {bucket} has no max_age")))?;
    let mut keeper = Keeper {
        kv,
        wanted: name.to_owned(),
        name: String::new(),
        epoch: next_epoch(),
        make_value,
        listen,
        revision: 0,
        written: Vec::new(),
        beat: ttl / 4,
        round_trip: Arc::clone(&round_trip),
    };
    // Told with the first value: whoever sees it may have to wait for answers right then.
    let asked_at = Instant::now();
    bus.round_trip().await?;
    round_trip.note(asked_at.elapsed());
    keeper.claim().await?;
    let (sender, claim) = watch::channel(keeper.current());
    let (orders, received) = mpsc::channel(8);
    let task = tokio::spawn(keeper.run(sender, received));
    Ok(Registration { claim, orders, round_trip, task })
}

impl Registration {
    /// The name and epoch now.
    pub fn claim(&self) -> Claim {
        self.claim.borrow().clone()
    }

    /// The same as a channel: the name changes where somebody else took it while NATS was away.
    pub fn changes(&self) -> watch::Receiver<Claim> {
        self.claim.clone()
    }

    /// Changes the value, written at once and from then on.
    pub async fn set_value(&self, make_value: impl Fn(&str, u64) -> Bytes + Send + Sync + 'static) {
        // The task ends only with this handle.
        let _ = self.orders.send(Order::Value(Arc::new(make_value))).await;
    }

    /// The same with an entry of a node.
    pub async fn set_info(&self, info: NodeInfo) {
        let round_trip = Arc::clone(&self.round_trip);
        self.set_value(move |name, epoch| value_of(&info, name, epoch, &round_trip)).await;
    }

    /// Gives the name back at once.
    pub async fn release(self) {
        let _ = self.orders.send(Order::Release).await;
        let _ = self.task.await;
    }
}

struct Keeper {
    kv: Kv,
    wanted: String,
    name: String,
    epoch: u64,
    make_value: MakeValue,
    listen: Option<Listen>,
    revision: u64,
    /// Values of the last writes, by which a write whose acknowledgement was lost is recognised.
    written: Vec<Bytes>,
    beat: Duration,
    round_trip: Arc<RoundTrip>,
}

impl Keeper {
    fn current(&self) -> Claim {
        Claim { name: self.name.clone(), epoch: self.epoch }
    }

    fn value(&mut self) -> Bytes {
        let value = (self.make_value)(&self.name, self.epoch);
        // The same value again, as with every heartbeat, does not displace what was written before.
        self.written.retain(|written| *written != value);
        if self.written.len() >= WRITTEN_MAX {
            self.written.remove(0);
        }
        self.written.push(value.clone());
        value
    }

    async fn claim(&mut self) -> Result<(), BusError> {
        for number in 1..=MOST_SUFFIXES {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            self.name = with_suffix(&self.wanted, &suffix);
            if let Some(listen) = &self.listen {
                // What is somebody else's is not listened to, if that can be known.
                if self.kv.get(&self.name).await?.is_some() {
                    continue;
                }
                listen(self.name.clone()).await?;
            }
            let value = self.value();
            if let Some(revision) = self.kv.create(&self.name, value).await? {
                self.revision = revision;
                return Ok(());
            }
        }
        Err(BusError::Options(format!("{MOST_SUFFIXES} nodes are called {} already; choose another name", self.wanted)))
    }

    async fn run(mut self, claim: watch::Sender<Claim>, mut orders: mpsc::Receiver<Order>) {
        let mut interval = tokio::time::interval(self.beat);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        interval.tick().await;
        let mut link = self.kv.bus().link();
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    None => return,
                    Some(Order::Release) => {
                        let _ = tokio::time::timeout(self.beat * 2, self.release()).await;
                        return;
                    }
                    Some(Order::Value(make_value)) => self.make_value = make_value,
                },
                _ = interval.tick() => {}
                // Back after an outage: be seen again at once.
                changed = link.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if link.borrow_and_update().since.is_none() {
                        continue;
                    }
                }
            }
            match tokio::time::timeout(self.beat * 2, self.heartbeat()).await {
                Ok(Ok(())) => {
                    let now = self.current();
                    claim.send_if_modified(|told| {
                        let changed = *told != now;
                        if changed {
                            tracing::warn!(was = told.name, now = now.name, "the node's name was taken meanwhile");
                            *told = now.clone();
                        }
                        changed
                    });
                }
                Ok(Err(error)) => tracing::debug!(%error, "heartbeat failed"),
                Err(_) => tracing::debug!("heartbeat timed out"),
            }
        }
    }

    async fn heartbeat(&mut self) -> Result<(), BusError> {
        let value = self.value();
        let asked_at = Instant::now();
        match self.kv.update(&self.name, value.clone(), self.revision).await {
            Ok(revision) => {
                self.round_trip.note(asked_at.elapsed());
                self.revision = revision;
                return Ok(());
            }
            Err(BusError::WrongLastSequence { .. }) => {}
            Err(error) => return Err(error),
        }
        match self.kv.get(&self.name).await? {
            // Own, its acknowledgement was lost.
            Some(entry) if self.written.contains(&entry.value) => {
                self.revision = self.kv.update(&self.name, value, entry.revision).await?;
                Ok(())
            }
            Some(_) => self.claim().await,
            None => match self.kv.create(&self.name, value).await? {
                Some(revision) => {
                    self.revision = revision;
                    Ok(())
                }
                None => self.claim().await,
            },
        }
    }

    async fn release(&mut self) -> Result<(), BusError> {
        match self.kv.delete_revision(&self.name, self.revision).await {
            Err(BusError::WrongLastSequence { .. }) => {}
            done => return done,
        }
        match self.kv.get(&self.name).await? {
            Some(entry) if self.written.contains(&entry.value) => {
                self.kv.delete_revision(&self.name, entry.revision).await
            }
            _ => Ok(()),
        }
    }
}

/// This process as the registry shows it, with nothing but what every process says.
pub fn this_process(name: &str, role: Role, host: &str) -> NodeInfo {
    NodeInfo {
        name: name.to_owned(),
        role,
        labels: BTreeMap::new(),
        host: host.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        epoch: 0,
        process_id: std::process::id(),
        processors: u32::try_from(std::thread::available_parallelism().map_or(1, usize::from)).unwrap_or(1),
        memory_bytes: 0,
        capacity: None,
        allowed_targets: Vec::new(),
        experiment: None,
        worker: None,
        started_unix_ms: unix_ms(),
        round_trip_ns: 0,
    }
}

/// Claims a node's name, or that with a suffix, and keeps its entry there: [`claim`] with this as the value.
///
/// # Errors
/// As [`claim`].
pub async fn join(bus: &Bus, info: NodeInfo) -> Result<Registration, BusError> {
    let name = info.name.clone();
    let round_trip = Arc::new(RoundTrip::default());
    let told = Arc::clone(&round_trip);
    let make_value: MakeValue = Arc::new(move |name, epoch| value_of(&info, name, epoch, &told));
    claim_with(bus, &name, make_value, None, round_trip).await
}

/// The same of a node that listens before it can be seen, at first and whenever it gets another name.
///
/// # Errors
/// As [`claim`], and what `listen` says.
pub async fn join_listening(bus: &Bus, info: NodeInfo, listen: Listen) -> Result<Registration, BusError> {
    let name = info.name.clone();
    let round_trip = Arc::new(RoundTrip::default());
    let told = Arc::clone(&round_trip);
    let make_value: MakeValue = Arc::new(move |name, epoch| value_of(&info, name, epoch, &told));
    claim_with(bus, &name, make_value, Some(listen), round_trip).await
}

/// What the registry says of a node under this name and in this incarnation.
fn value_of(info: &NodeInfo, name: &str, epoch: u64, round_trip: &RoundTrip) -> Bytes {
    let info = NodeInfo { name: name.to_owned(), epoch, round_trip_ns: round_trip.nanoseconds(), ..info.clone() };
    // A map of plain fields always encodes; an empty value would be skipped by every reader.
    codec::encode(&info).unwrap_or_default().into()
}

/// What happens in the registry. Values are whatever the nodes wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeEvent {
    /// It was not here before.
    Joined {
        /// The node.
        name: String,
        /// Its value.
        value: Bytes,
        /// The value's revision.
        revision: u64,
    },
    /// It wrote again (a heartbeat, perhaps with another value or from another process of the same name).
    Updated {
        /// The node.
        name: String,
        /// Its value.
        value: Bytes,
        /// The value's revision.
        revision: u64,
    },
    /// It is gone.
    Left {
        /// The node.
        name: String,
        /// It did not say so, its heartbeats ended.
        expired: bool,
    },
    /// Those that were here at the start (or after an outage) have been told.
    Current,
}

/// A watch of all nodes; expiry is told only when it is to be believed (see [`crate::expiry`]).
#[derive(Debug)]
pub struct NodeWatch {
    watch: ExpiryWatch,
    nodes: BTreeMap<String, (Bytes, u64)>,
}

/// Watches the node bucket, the present nodes first.
pub async fn watch_nodes(bus: &Bus) -> Result<NodeWatch, BusError> {
    let kv = bus.kv(&bus.namespace().bucket_node()).await?;
    Ok(NodeWatch { watch: ExpiryWatch::new(&kv, ">").await?, nodes: BTreeMap::new() })
}

impl NodeWatch {
    /// The next event, however long that takes; cancel-safe.
    pub async fn next(&mut self) -> Result<NodeEvent, BusError> {
        loop {
            match self.watch.next().await? {
                KvEvent::Current => return Ok(NodeEvent::Current),
                KvEvent::Entry(entry) => {
                    if let Some(event) = self.note(entry) {
                        return Ok(event);
                    }
                }
            }
        }
    }

    /// The nodes as told so far: value and revision.
    pub fn nodes(&self) -> &BTreeMap<String, (Bytes, u64)> {
        &self.nodes
    }

    fn note(&mut self, entry: Entry) -> Option<NodeEvent> {
        let Entry { key: name, value, revision, operation } = entry;
        if operation == Operation::Put {
            let known = self.nodes.insert(name.clone(), (value.clone(), revision)).is_some();
            return Some(if known {
                NodeEvent::Updated { name, value, revision }
            } else {
                NodeEvent::Joined { name, value, revision }
            });
        }
        self.nodes.remove(&name)?;
        Some(NodeEvent::Left { name, expired: operation == Operation::Expired })
    }
}
