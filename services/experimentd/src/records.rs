//! Request records: from the trace stream into the store while the run goes on, and whether they are all there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nuncius_bus::tail::Start;
use nuncius_bus::{Bus, BusError};
use nuncius_schemas::codec;
use nuncius_schemas::metric::RecordsWritten;
use nuncius_schemas::record::RecordBatch;
use nuncius_schemas::run::RunNode;
use nuncius_schemas::spec::ExperimentSpec;
use nuncius_store::{StepNames, Store};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use crate::sources::Sources;
use crate::totals::RunTotals;

/// Pause before a batch that the store or the bus did not give or take is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What came of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Received {
    /// All batches up to here have come.
    complete_through: u64,
    /// Later ones that have.
    ahead: BTreeSet<u64>,
    rows: u64,
}

impl Received {
    /// Takes a batch down; one that has come before changes nothing.
    fn take(&mut self, sequence: u64, rows: u64) {
        if sequence <= self.complete_through || !self.ahead.insert(sequence) {
            return;
        }
        self.rows += rows;
        while self.ahead.remove(&(self.complete_through + 1)) {
            self.complete_through += 1;
        }
    }

    /// How many of the first `batches` have not come.
    fn missing(&self, batches: u64) -> u64 {
        let ahead = self.ahead.range(..=batches).count() as u64;
        batches.saturating_sub(self.complete_through).saturating_sub(ahead)
    }
}

/// How far the gathering has come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gathered {
    /// By node.
    pub(crate) received: BTreeMap<String, Received>,
    /// The last message of the stream that is stored, or will never be.
    pub(crate) sequence: u64,
    /// Why the present one is not stored yet.
    waiting: Option<String>,
    /// Batches that can never be stored, and why the first cannot.
    damaged: u64,
    damage: Option<String>,
}

impl Gathered {
    /// As it stood when another daemon gathered.
    pub(crate) fn at(received: BTreeMap<String, Received>, sequence: u64) -> Self {
        Self { received, sequence, ..Self::default() }
    }
}

/// Stores the request records of one attempt as they come.
pub(crate) struct Gathering {
    bus: Bus,
    experiment: String,
    state: Arc<Mutex<Gathered>>,
    progress: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Drop for Gathering {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whose records count.
struct Wanted {
    experiment: String,
    attempt: u32,
    nodes: Vec<RunNode>,
    names: StepNames,
}

impl Gathering {
    /// Begins after what `gathered` has.
    pub(crate) fn start(
        bus: &Bus,
        store: &Store,
        (experiment, attempt): (&str, u32),
        nodes: &[RunNode],
        spec: &ExperimentSpec,
        gathered: Gathered,
    ) -> Self {
        let (told, progress) = watch::channel(gathered.sequence);
        let state = Arc::new(Mutex::new(gathered));
        let wanted =
            Wanted { experiment: experiment.to_owned(), attempt, nodes: nodes.to_vec(), names: StepNames::of(spec) };
        let sources = Sources::of(&bus.namespace().trace("{experiment}", "{node}"), experiment);
        let task = tokio::spawn(gather(bus.clone(), store.clone(), wanted, Arc::clone(&state), (told, sources)));
        Self { bus: bus.clone(), experiment: experiment.to_owned(), state, progress, task }
    }

    /// How far it has come.
    pub(crate) fn gathered(&self) -> Gathered {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until everything is stored that the stream has by now, and gives what is missing, for the verdict. A node
    /// stores its last delta after its last batch, so that whatever it could store is in the stream by then. `patience`
    /// is for each batch.
    ///
    /// # Errors
    /// The stream cannot be read, or the store cannot be written.
    pub(crate) async fn finish(
        mut self,
        nodes: &[RunNode],
        totals: &RunTotals,
        patience: Duration,
    ) -> Result<Vec<String>, String> {
        let namespace = self.bus.namespace();
        let (stream, filter) = (namespace.stream_trace(), namespace.trace_all(&self.experiment));
        let deadline = tokio::time::Instant::now() + patience;
        let last = loop {
            match self.bus.last_sequence_of(&stream, &filter).await {
                Ok(last) => break last.unwrap_or(0),
                Err(error) if self.bus.connected_for() > patience && tokio::time::Instant::now() >= deadline => {
                    return Err(format!("request records cannot be read: {error}"));
                }
                Err(error) => debug!(experiment = self.experiment, %error, "request records cannot be read yet"),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        };
        while *self.progress.borrow_and_update() < last {
            let changed = tokio::time::timeout(patience, self.progress.changed()).await;
            // Nothing can come over a bus that is away.
            let is_away = changed.is_err() && self.bus.connected_for() < patience;
            if !is_away && !matches!(changed, Ok(Ok(()))) {
                let waiting = self.gathered().waiting;
                return Err(waiting
                    .unwrap_or_else(|| format!("the next batch of request records did not come within {patience:?}")));
            }
        }
        let gathered = self.gathered();
        let nothing = Received::default();
        let damage = gathered
            .damage
            .as_ref()
            .map(|damage| format!("{} batches of request records are damaged: {damage}", gathered.damaged));
        let missing = nodes.iter().filter_map(|node| {
            let received = gathered.received.get(&node.name).unwrap_or(&nothing);
            match totals.nodes.get(&node.name).and_then(|totals| totals.records) {
                Some(written) => missing(&node.name, written, received),
                None => Some(format!("node {} did not say how many request records it wrote", node.name)),
            }
        });
        Ok(damage.into_iter().chain(missing).collect())
    }
}

async fn gather(
    bus: Bus,
    store: Store,
    wanted: Wanted,
    state: Arc<Mutex<Gathered>>,
    (told, mut sources): (watch::Sender<u64>, Sources),
) {
    let namespace = bus.namespace().clone();
    let (stream, filter) = (namespace.stream_trace(), namespace.trace_all(&wanted.experiment));
    let with = |act: &mut dyn FnMut(&mut Gathered)| act(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
    let from = *told.borrow() + 1;
    let mut tail = loop {
        match bus.tail(&stream, &filter, Start::FromSequence(from)).await {
            Ok(tail) => break tail,
            Err(error) => {
                debug!(experiment = wanted.experiment, %error, "request records cannot be read yet");
                with(&mut |state| state.waiting = Some(format!("request records cannot be read: {error}")));
            }
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    };
    loop {
        let message = match tail.next().await {
            Ok(message) => message,
            Err(BusError::Closed) => return,
            Err(error) => {
                with(&mut |state| state.waiting = Some(format!("request records cannot be read: {error}")));
                continue;
            }
        };
        sources.note(&message.headers);
        match codec::decode::<RecordBatch>(&message.payload) {
            Ok(batch) if wanted.is_ours(&batch) => {
                if let Err(error) = stored(&store, &batch, &wanted, &with).await {
                    with(&mut |state| {
                        state.damaged += 1;
                        state.damage.get_or_insert_with(|| error.clone());
                    });
                } else {
                    let rows = batch.rows().unwrap_or(0) as u64;
                    with(&mut |state| {
                        state.received.entry(batch.node.clone()).or_default().take(batch.sequence, rows);
                    });
                }
            }
            Ok(_) => {}
            Err(error) => with(&mut |state| {
                state.damaged += 1;
                state.damage.get_or_insert_with(|| error.to_string());
            }),
        }
        with(&mut |state| (state.sequence, state.waiting) = (message.sequence, None));
        told.send_replace(message.sequence);
    }
}

/// Stores a batch, however long the store cannot be written; the error says why it never can be.
async fn stored(
    store: &Store,
    batch: &RecordBatch,
    wanted: &Wanted,
    with: &impl Fn(&mut dyn FnMut(&mut Gathered)),
) -> Result<(), String> {
    loop {
        match store.add_records(batch, &wanted.names).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_of_the_data() => return Err(error.to_string()),
            Err(error) => {
                warn!(experiment = wanted.experiment, %error, "request records not stored, trying again");
                with(&mut |state| state.waiting = Some(format!("request records cannot be stored: {error}")));
            }
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

impl Wanted {
    fn is_ours(&self, batch: &RecordBatch) -> bool {
        batch.attempt == self.attempt
            && self.nodes.iter().any(|node| node.name == batch.node && node.epoch == batch.epoch)
    }
}

/// What a node wrote and nobody received.
fn missing(node: &str, written: RecordsWritten, received: &Received) -> Option<String> {
    let batches = received.missing(written.batches);
    let rows = written.rows.saturating_sub(received.rows);
    (rows > 0 || batches > 0).then(|| {
        format!(
            "{rows} of {} request records of node {node} are missing ({batches} of {} batches)",
            written.rows, written.batches
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_in_the_batches_is_missed_wherever_it_is() {
        let written = RecordsWritten { batches: 3, rows: 2_500 };
        let received = |batches: &[(u64, u64)]| {
            let mut received = Received::default();
            for (sequence, rows) in batches {
                received.take(*sequence, *rows);
                // Twice is once.
                received.take(*sequence, *rows);
            }
            received
        };
        assert_eq!(missing("n", written, &received(&[(1, 1_000), (2, 500), (3, 1_000)])), None);
        assert_eq!(missing("n", written, &received(&[(3, 1_000), (1, 1_000), (2, 500)])), None);
        for (batches, told) in [
            (&[(1, 500), (3, 1_000)][..], "1000 of 2500 request records of node n are missing (1 of 3 batches)"),
            (&[(1, 1_000), (2, 1_000)][..], "500 of 2500 request records of node n are missing (1 of 3 batches)"),
            (&[][..], "2500 of 2500 request records of node n are missing (3 of 3 batches)"),
            (
                &[(1, 1_000), (2, 1_000), (3, 499)][..],
                "1 of 2500 request records of node n are missing (0 of 3 batches)",
            ),
        ] {
            assert_eq!(missing("n", written, &received(batches)).as_deref(), Some(told));
        }
        assert_eq!(missing("n", RecordsWritten { batches: 1, rows: 0 }, &received(&[(1, 0)])), None);
    }
}
