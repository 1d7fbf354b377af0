//! Tells merged seconds: on the bus for whoever looks on, and then in the store. Beside the watch, which never waits
//! for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nuncius_bus::{Bus, BusError, TypedError};
use nuncius_schemas::second::ExperimentSecond;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use crate::figures::{FIGURES, count};
use crate::seconds::split;
use crate::storing::Storing;

/// Seconds that may wait to be told: more than close at once after any outage that a run survives.
const WAITING_MAX: usize = 1_024;
/// Pause before a refused or unanswered publish is repeated.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long the last seconds of a run may take to be told.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// Tells the seconds of one run, in order.
pub(crate) struct Teller {
    sender: mpsc::Sender<Arc<ExperimentSecond>>,
    /// Those that are not all on the bus yet, in order.
    untold: Arc<Mutex<VecDeque<Arc<ExperimentSecond>>>>,
    task: JoinHandle<()>,
    storing: Storing,
}

impl Teller {
    /// Begins.
    pub(crate) fn start(bus: Bus, storing: Storing) -> Self {
        let (sender, mut waiting) = mpsc::channel::<Arc<ExperimentSecond>>(WAITING_MAX);
        let store = storing.clone();
        let untold: Arc<Mutex<VecDeque<Arc<ExperimentSecond>>>> = Arc::default();
        let open = Arc::clone(&untold);
        let task = tokio::spawn(async move {
            while let Some(second) = waiting.recv().await {
                // The bus comes first: what the store does not take is taken from there.
                publish(&bus, ExperimentSecond::clone(&second)).await;
                open.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                FIGURES.told(&second);
                store.second(Arc::unwrap_or_clone(second));
            }
        });
        Self { sender, untold, task, storing }
    }

    /// Those that are not all on the bus yet: whoever takes the run over tells them, since they are in the books.
    pub(crate) fn untold(&self) -> Vec<ExperimentSecond> {
        let untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        untold.iter().map(|second| ExperimentSecond::clone(second)).collect()
    }

    /// Has a second told; never waits.
    pub(crate) fn tell(&self, second: ExperimentSecond) {
        self.storing.expect(&second);
        let second = Arc::new(second);
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        match self.sender.try_send(Arc::clone(&second)) {
            Ok(()) => untold.push_back(second),
            Err(error) => {
                count(&FIGURES.dropped_seconds);
                warn!(%error, "a second was not told: {WAITING_MAX} wait already");
            }
        }
    }

    /// Waits until everything is told.
    pub(crate) async fn end(self) {
        drop(self.sender);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(END_PATIENCE, self.task).await.is_err() {
            abort.abort();
            warn!("the last seconds were not all told within {END_PATIENCE:?}");
        }
    }
}

/// Publishes until the stream has it. Gives up only on what can never be stored.
async fn publish(bus: &Bus, second: ExperimentSecond) {
    let subject = bus.namespace().experiment_second(&second.experiment);
    for part in split(second, bus.max_payload_bytes()) {
        let late = if part.late { "late-" } else { "" };
        let id = format!("{}-second-{}-{late}{}-{}", part.experiment, part.second, part.revision, part.part);
        loop {
            match bus.store_message(&subject, "experiment-second.v1", &part, Some(&id)).await {
                Ok(_) => break,
                Err(
                    TypedError::Bus(BusError::PayloadTooLarge { .. } | BusError::Closed) | TypedError::Codec { .. },
                ) => {
                    warn!(subject, id, "second given up: too large, or the connection is closed");
                    break;
                }
                Err(error) => debug!(subject, %error, "not stored yet, trying again"),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}
