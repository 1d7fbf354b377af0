//! Entries of a bucket that stay for as long as somebody keeps them: written again before they run out, gone soon after
//! the process that kept them. The bucket itself may keep other entries for ever.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::BusError;
use crate::kv::Kv;

/// Who has the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holding {
    /// This process.
    Own,
    /// Somebody else, with this value. The key is taken once it is free.
    Other(Bytes),
    /// Nobody known: the server is away, or has just come back.
    Unknown,
}

/// A key that is kept by a task of its own. Dropping it lets the entry run out; [`Kept::release`] deletes it at once.
#[derive(Debug)]
pub struct Kept {
    state: watch::Receiver<Holding>,
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
}

/// Takes `key` with `value` unless somebody has it, and keeps it for as long as the result lives. Somebody else's entry
/// is never written over: the key is tried again until it is free. `value` must be unlike that of every other process.
///
/// `life` is how long the entry stays without being written again; one second is the least that servers know.
///
/// # Errors
/// Where the bucket cannot be asked even once.
pub async fn keep(kv: &Kv, key: &str, value: Bytes, life: Duration) -> Result<Kept, BusError> {
    let life = life.max(Duration::from_secs(1));
    let mut keeper = Keeper { kv: kv.clone(), key: key.to_owned(), value, life, revision: None };
    let first = keeper.turn().await?;
    let (told, state) = watch::channel(first);
    let stop = CancellationToken::new();
    let task = tokio::spawn(keeper.run(told, stop.clone()));
    Ok(Kept { state, stop, task: Some(task) })
}

impl Kept {
    /// Who has the key, as far as is known.
    pub fn holding(&self) -> Holding {
        self.state.borrow().clone()
    }

    /// Follows who has the key.
    pub fn watch(&self) -> watch::Receiver<Holding> {
        self.state.clone()
    }

    /// Deletes the entry if it is ours, and keeps it no longer.
    pub async fn release(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // A release deletes; without one the entry runs out, as it does when the process is killed.
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

struct Keeper {
    kv: Kv,
    key: String,
    value: Bytes,
    life: Duration,
    /// Of our entry, while we have it.
    revision: Option<u64>,
}

impl Keeper {
    async fn run(mut self, told: watch::Sender<Holding>, stop: CancellationToken) {
        let mut interval = tokio::time::interval(self.life / 3);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        interval.tick().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = interval.tick() => {}
            }
            let holding = tokio::select! {
                () = stop.cancelled() => break,
                turned = tokio::time::timeout(self.life / 3, self.turn()) => match turned {
                    Ok(Ok(holding)) => holding,
                    Ok(Err(_)) | Err(_) => Holding::Unknown,
                },
            };
            told.send_if_modified(|known| {
                let is_new = *known != holding;
                *known = holding;
                is_new
            });
        }
        if let Some(revision) = self.revision {
            let _ = tokio::time::timeout(self.life / 3, self.kv.delete_revision(&self.key, revision)).await;
        }
    }

    /// Writes our entry again, or takes the key if it is free.
    async fn turn(&mut self) -> Result<Holding, BusError> {
        if let Some(revision) = self.revision {
            match self.kv.update_for(&self.key, self.value.clone(), revision, self.life).await {
                Ok(revision) => {
                    self.revision = Some(revision);
                    return Ok(Holding::Own);
                }
                Err(BusError::WrongLastSequence { .. }) => self.revision = None,
                Err(error) => return Err(error),
            }
        }
        if let Some(revision) = self.kv.create_for(&self.key, self.value.clone(), self.life).await? {
            self.revision = Some(revision);
            return Ok(Holding::Own);
        }
        match self.kv.get(&self.key).await? {
            // Our own, whose acknowledgement was lost.
            Some(entry) if entry.value == self.value => {
                self.revision = Some(entry.revision);
                Ok(Holding::Own)
            }
            Some(entry) => Ok(Holding::Other(entry.value)),
            None => Ok(Holding::Unknown),
        }
    }
}
