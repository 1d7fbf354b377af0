//! What the bus knows of a run, put into a store that lacks it: the record, the events, the merged seconds, the report.
//! Whatever is there already stays as it is.

use std::collections::BTreeMap;
use std::time::Duration;

use nuncius_bus::tail::{Start, StoredMessage, Tail};
use nuncius_bus::{Bus, BusError};
use nuncius_schemas::codec;
use nuncius_schemas::event::ExperimentEvent;
use nuncius_schemas::gate::Quantity;
use nuncius_schemas::report::Report;
use nuncius_schemas::run::RunRecord;
use nuncius_schemas::second::{Distribution, ExperimentSecond, StepSecond};
use nuncius_stats::second::{add_distribution, add_piece};
use nuncius_store::{Piece, Store, StoreError};
use tracing::warn;

/// Pieces of one transaction.
const BATCH: usize = 64;
/// How long the next message of a stream may take: they are all there.
const MESSAGE_PATIENCE: Duration = Duration::from_secs(5);

/// Why something is not restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    /// The store takes nothing.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bus does not give it.
    #[error("what the bus has of the run cannot be read: {0}")]
    Bus(#[from] BusError),
    /// The bus does not go on giving it.
    #[error("stream {stream} did not give its next message within {MESSAGE_PATIENCE:?}")]
    Silent {
        /// The stream.
        stream: String,
    },
}

/// Keeps the record and what the streams have of the run. Gives the distributions of the whole run by group, step and
/// quantity: the sum of all seconds.
pub(crate) async fn restore(bus: &Bus, store: &Store, record: &RunRecord) -> Result<Sums, RestoreError> {
    let namespace = bus.namespace();
    store.upsert_experiment(record).await?;
    let mut events: Vec<ExperimentEvent> = Vec::new();
    let mut reading = Reading::open(bus, namespace.stream_event(), namespace.experiment_event(&record.id)).await?;
    while let Some(message) = reading.next().await? {
        match codec::decode(&message.payload) {
            Ok(event) => events.push(event),
            Err(error) => warn!(experiment = %record.id, %error, "an event on the bus cannot be read: it is left out"),
        }
        if events.len() >= BATCH {
            keep_all(store, events.iter().map(Piece::Event)).await?;
            events.clear();
        }
    }
    keep_all(store, events.iter().map(Piece::Event)).await?;
    let mut sums = Sums::default();
    let mut seconds: Vec<ExperimentSecond> = Vec::new();
    let mut parts: Option<ExperimentSecond> = None;
    let mut reading = Reading::open(bus, namespace.stream_second(), namespace.experiment_second(&record.id)).await?;
    while let Some(message) = reading.next().await? {
        let piece: ExperimentSecond = match codec::decode(&message.payload) {
            Ok(piece) => piece,
            Err(error) => {
                warn!(experiment = %record.id, %error, "a second on the bus cannot be read: it is left out");
                continue;
            }
        };
        if let Some(second) = whole(&mut parts, piece) {
            seconds.push(second);
        }
        if seconds.len() >= BATCH {
            keep_all(store, seconds.iter().map(Piece::Second)).await?;
            seconds.drain(..).for_each(|second| sums.add(second));
        }
    }
    keep_all(store, seconds.iter().map(Piece::Second)).await?;
    seconds.drain(..).for_each(|second| sums.add(second));
    Ok(sums)
}

/// Keeps the report that the bus has, and the distributions of its steps; `false` when it has none.
pub(crate) async fn restore_report(bus: &Bus, store: &Store, id: &str, sums: Sums) -> Result<bool, RestoreError> {
    let namespace = bus.namespace();
    let objects = bus.objects(&namespace.bucket_artifact()).await?;
    let Some(bytes) = objects.get(&namespace.artifact_report(id)).await? else { return Ok(false) };
    let report: Report = match codec::decode(&bytes) {
        Ok(report) => report,
        Err(error) => {
            warn!(experiment = id, %error, "the report on the bus cannot be read");
            return Ok(false);
        }
    };
    store.set_report(&report).await?;
    for ((group, step, quantity), distribution) in sums.whole() {
        store.put_histogram(id, &group, &step, quantity, &distribution.histogram).await?;
    }
    Ok(true)
}

async fn keep_all<'a>(store: &Store, pieces: impl Iterator<Item = Piece<'a>>) -> Result<(), StoreError> {
    let pieces: Vec<Piece<'a>> = pieces.collect();
    if pieces.is_empty() { Ok(()) } else { store.keep(&pieces).await }
}

/// Puts a second that came in several parts together; gives it with its last part.
fn whole(parts: &mut Option<ExperimentSecond>, piece: ExperimentSecond) -> Option<ExperimentSecond> {
    if piece.part == 0 {
        *parts = Some(piece);
    } else {
        let sum = parts.as_mut()?;
        let next = (piece.second, piece.revision, piece.late, piece.part);
        if (sum.second, sum.revision, sum.late, sum.part + 1) != next || add_piece(sum, &piece).is_err() {
            *parts = None;
            return None;
        }
        sum.part = piece.part;
    }
    parts.take_if(|sum| sum.part + 1 >= sum.parts).map(|mut sum| {
        sum.part = 0;
        sum
    })
}

/// What a stream has of a subject now.
pub(crate) struct Reading {
    stream: String,
    tail: Option<Tail>,
    last: u64,
}

impl Reading {
    pub(crate) async fn open(bus: &Bus, stream: String, subject: String) -> Result<Self, BusError> {
        Ok(match bus.last_sequence_of(&stream, &subject).await? {
            Some(last) => {
                let tail = bus.tail(&stream, &subject, Start::All).await?;
                Self { stream, tail: Some(tail), last }
            }
            None => Self { stream, tail: None, last: 0 },
        })
    }

    pub(crate) async fn next(&mut self) -> Result<Option<StoredMessage>, RestoreError> {
        let Some(tail) = &mut self.tail else { return Ok(None) };
        let silent = |_| RestoreError::Silent { stream: self.stream.clone() };
        let message = tokio::time::timeout(MESSAGE_PATIENCE, tail.next()).await.map_err(silent)??;
        if message.sequence >= self.last
            && let Some(tail) = self.tail.take()
        {
            tail.close().await;
        }
        Ok(Some(message))
    }
}

/// Distributions of a run, added up from its seconds.
#[derive(Default)]
pub(crate) struct Sums {
    /// Of seconds that may still be told anew: only the highest revision counts.
    seconds: BTreeMap<u32, ExperimentSecond>,
    sums: BTreeMap<(String, String, Quantity), Distribution>,
}

/// Seconds that are kept because they may be told anew: more than any node is behind.
const OPEN_SECONDS: usize = 120;

impl Sums {
    fn add(&mut self, second: ExperimentSecond) {
        if second.late {
            self.close(&second);
            return;
        }
        self.seconds.insert(second.second, second);
        while self.seconds.len() > OPEN_SECONDS
            && let Some((_, second)) = self.seconds.pop_first()
        {
            self.close(&second);
        }
    }

    fn close(&mut self, second: &ExperimentSecond) {
        for group in &second.groups {
            for step in group.steps.iter().chain(&group.iterations) {
                for (quantity, distribution) in quantities(step) {
                    let sum = self.sums.entry((group.name.clone(), step.name.clone(), quantity)).or_default();
                    if let Err(error) = add_distribution(sum, distribution) {
                        warn!(%error, "a histogram of a second on the bus cannot be read");
                    }
                }
            }
        }
    }

    /// The sums that are known whole.
    fn whole(mut self) -> BTreeMap<(String, String, Quantity), Distribution> {
        for second in std::mem::take(&mut self.seconds).into_values() {
            self.close(&second);
        }
        self.sums.retain(|_, distribution| !distribution.histogram.is_empty());
        self.sums
    }
}

fn quantities(step: &StepSecond) -> [(Quantity, &Distribution); 4] {
    [
        (Quantity::Response, &step.response),
        (Quantity::Service, &step.service),
        (Quantity::Blocked, &step.blocked),
        (Quantity::Lag, &step.lag),
    ]
}
