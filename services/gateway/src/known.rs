//! What is there now, as the bus tells of it: runs, nodes, queues. Followed from the start, so that lists cost no
//! question, and told to whoever looks on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nuncius_bus::kv::{Kv, KvEvent, Operation};
use nuncius_bus::{Bus, BusError};
use nuncius_schemas::codec;
use nuncius_schemas::head::ExperimentHead;
use nuncius_schemas::node::NodeInfo;
use nuncius_schemas::queue::{QueueDefinition, QueueTotals};
use nuncius_schemas::run::RunRecord;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pause before something is tried again that the bus refused.
const PAUSE: Duration = Duration::from_secs(1);
/// Runs that are remembered: of more, those that ended first go, and stay in the daemons' lists.
const RUNS_MAX: usize = 20_000;
/// Changes that a reader may be behind.
const CHANGES_MAX: usize = 1_024;

/// Something is otherwise than before.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// A run is new, or got further.
    Run {
        /// The run.
        run: Arc<ExperimentHead>,
    },
    /// A run was removed.
    RunGone {
        /// Its id.
        id: String,
    },
    /// A node came, or tells otherwise of itself.
    Node {
        /// The node.
        node: Arc<NodeInfo>,
    },
    /// A node went.
    NodeGone {
        /// Its name.
        name: String,
    },
    /// A queue is new, or is otherwise.
    Queue {
        /// The queue.
        queue: Arc<QueueSeen>,
    },
    /// A queue was removed.
    QueueGone {
        /// Its name.
        name: String,
    },
}

impl Change {
    /// The name of its event.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Run { .. } => "run",
            Self::RunGone { .. } => "run_gone",
            Self::Node { .. } => "node",
            Self::NodeGone { .. } => "node_gone",
            Self::Queue { .. } => "queue",
            Self::QueueGone { .. } => "queue_gone",
        }
    }

    /// JSON on one line: what is there now, or which one is gone.
    pub(crate) fn data(&self) -> String {
        let written = match self {
            Self::Run { run } => serde_json::to_string(&**run),
            Self::Node { node } => serde_json::to_string(&**node),
            Self::Queue { queue } => serde_json::to_string(&**queue),
            Self::RunGone { id } => serde_json::to_string(&serde_json::json!({ "id": id })),
            Self::NodeGone { name } | Self::QueueGone { name } => {
                serde_json::to_string(&serde_json::json!({ "name": name }))
            }
        };
        written.unwrap_or_default()
    }
}

/// A queue as its frontend last told of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct QueueSeen {
    pub(crate) name: String,
    pub(crate) definition: Option<QueueDefinition>,
    pub(crate) totals: Option<QueueTotals>,
}

/// Everything that is there.
#[derive(Debug)]
pub(crate) struct Known {
    there: Mutex<There>,
    changes: broadcast::Sender<Change>,
    /// Runs, nodes and queues have been read once each.
    read: [AtomicBool; 3],
}

#[derive(Debug, Default)]
struct There {
    runs: BTreeMap<String, Arc<ExperimentHead>>,
    nodes: BTreeMap<String, Arc<NodeInfo>>,
    queues: BTreeMap<String, Arc<QueueSeen>>,
}

/// What is there at one moment, and what comes after it.
#[derive(Debug)]
pub(crate) struct Now {
    pub(crate) runs: Vec<Arc<ExperimentHead>>,
    pub(crate) nodes: Vec<Arc<NodeInfo>>,
    pub(crate) queues: Vec<Arc<QueueSeen>>,
    pub(crate) changes: broadcast::Receiver<Change>,
}

impl Known {
    /// Begins to follow.
    ///
    /// # Errors
    /// [`BusError`] where the buckets may not be watched.
    pub(crate) async fn start(
        bus: &Bus,
        shutdown: &CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<Arc<Self>, BusError> {
        let (changes, _) = broadcast::channel(CHANGES_MAX);
        let known = Arc::new(Self { there: Mutex::default(), changes, read: Default::default() });
        let names = bus.namespace();
        for (index, bucket) in [names.bucket_run(), names.bucket_node(), names.bucket_queue()].into_iter().enumerate() {
            let bucket = bus.kv(&bucket).await?;
            let (known, shutdown) = (Arc::clone(&known), shutdown.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = known.follow(&bucket, index) => {}
                    () = shutdown.cancelled() => {}
                }
            });
        }
        Ok(known)
    }

    /// Whether everything has been read once.
    pub(crate) fn is_complete(&self) -> bool {
        self.read.iter().all(|read| read.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, There> {
        self.there.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All runs that the bus knows.
    pub(crate) fn runs(&self) -> Vec<ExperimentHead> {
        self.lock().runs.values().map(|head| ExperimentHead::clone(head)).collect()
    }

    /// One run.
    pub(crate) fn run(&self, id: &str) -> Option<Arc<ExperimentHead>> {
        self.lock().runs.get(id).cloned()
    }

    /// All nodes, by name.
    pub(crate) fn nodes(&self) -> Vec<Arc<NodeInfo>> {
        self.lock().nodes.values().cloned().collect()
    }

    /// What is there now, and what comes: nothing is missed in between.
    pub(crate) fn now(&self) -> Now {
        let there = self.lock();
        Now {
            runs: there.runs.values().filter(|run| !run.status.is_terminal()).cloned().collect(),
            nodes: there.nodes.values().cloned().collect(),
            queues: there.queues.values().cloned().collect(),
            changes: self.changes.subscribe(),
        }
    }

    async fn follow(&self, bucket: &Kv, index: usize) {
        let mut watch = None;
        loop {
            let Some(open) = &mut watch else {
                match bucket.watch(">").await {
                    Ok(opened) => watch = Some(opened),
                    Err(BusError::Closed) => return,
                    Err(error) => {
                        tracing::debug!(bucket = bucket.name(), %error, "not followed at present");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                continue;
            };
            match open.next().await {
                Ok(KvEvent::Entry(entry)) => {
                    let value = (entry.operation == Operation::Put).then_some(&entry.value[..]);
                    match index {
                        0 => self.see_run(&entry.key, value),
                        1 => self.see_node(&entry.key, value),
                        _ => self.see_queue(&entry.key, value),
                    }
                }
                Ok(KvEvent::Current) => {
                    if let Some(read) = self.read.get(index) {
                        read.store(true, Ordering::Relaxed);
                    }
                }
                Err(BusError::Closed) => return,
                Err(error) => {
                    tracing::debug!(bucket = bucket.name(), %error, "not followed at present");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Tells what changed, where anybody looks on. Under the lock, so that it comes after the snapshot it is not in.
    fn tell(&self, change: Change) {
        let _ = self.changes.send(change);
    }

    fn see_run(&self, id: &str, value: Option<&[u8]>) {
        let record = value.and_then(|value| codec::decode::<RunRecord>(value).ok()).filter(|record| record.id == id);
        let mut there = self.lock();
        match (record, value) {
            (Some(record), _) => {
                let head = Arc::new(ExperimentHead::of(&record));
                if there.runs.insert(id.to_owned(), Arc::clone(&head)).is_none_or(|before| before != head) {
                    self.tell(Change::Run { run: head });
                }
                there.forget_old_runs();
            }
            // What cannot be read is in nobody's way.
            (None, Some(_)) => {}
            (None, None) => {
                if there.runs.remove(id).is_some() {
                    self.tell(Change::RunGone { id: id.to_owned() });
                }
            }
        }
    }

    fn see_node(&self, name: &str, value: Option<&[u8]>) {
        let node = value.and_then(|value| codec::decode::<NodeInfo>(value).ok());
        let mut there = self.lock();
        match node {
            Some(node) => {
                let node = Arc::new(node);
                let before = there.nodes.insert(name.to_owned(), Arc::clone(&node));
                if before.is_none_or(|before| !is_alike(&before, &node)) {
                    self.tell(Change::Node { node });
                }
            }
            None => {
                if there.nodes.remove(name).is_some() {
                    self.tell(Change::NodeGone { name: name.to_owned() });
                }
            }
        }
    }

    fn see_queue(&self, key: &str, value: Option<&[u8]>) {
        let (name, part) = key.split_once('.').map_or((key, None), |(name, part)| (name, Some(part)));
        let mut there = self.lock();
        let before = there.queues.get(name).cloned();
        let mut queue = before.as_deref().cloned().unwrap_or_else(|| QueueSeen {
            name: name.to_owned(),
            definition: None,
            totals: None,
        });
        match part {
            None => queue.definition = value.and_then(|value| codec::decode(value).ok()),
            Some("totals") => queue.totals = value.and_then(|value| codec::decode(value).ok()),
            Some(_) => return,
        }
        if queue.definition.is_none() && queue.totals.is_none() {
            if there.queues.remove(name).is_some() {
                self.tell(Change::QueueGone { name: name.to_owned() });
            }
        } else if before.as_deref() != Some(&queue) {
            let queue = Arc::new(queue);
            there.queues.insert(name.to_owned(), Arc::clone(&queue));
            self.tell(Change::Queue { queue });
        }
    }
}

/// Whether a node tells the same of itself but for how long the bus takes, which is never the same.
fn is_alike(before: &NodeInfo, now: &NodeInfo) -> bool {
    before == &NodeInfo { round_trip_ns: before.round_trip_ns, ..now.clone() }
}

impl There {
    fn forget_old_runs(&mut self) {
        while self.runs.len() > RUNS_MAX {
            let ended = self.runs.values().filter(|run| run.status.is_terminal());
            let Some(oldest) = ended.min_by_key(|run| run.submitted_unix_ms).map(|run| run.id.clone()) else { return };
            self.runs.remove(&oldest);
        }
    }
}
