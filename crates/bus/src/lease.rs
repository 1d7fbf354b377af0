//! Leases: at most one holder at a time, as far as clocks run evenly; the fencing token says which holder is later.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::kv::{Kv, Operation};
use crate::{Bus, BusError};

/// A held lease, renewed by a task of its own. Dropping it lets it run out; [`Lease::release`] ends it at once.
#[derive(Debug)]
pub struct Lease {
    kv: Kv,
    key: String,
    token: u64,
    value: Bytes,
    revision: Arc<Mutex<u64>>,
    /// Until when it holds; none once it is lost.
    valid_until: watch::Receiver<Option<Instant>>,
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
}

/// Tries once to take the lease `key` of `bucket` for `holder`; none where somebody has it. The bucket's max_age is how
/// long it lasts without renewal.
///
/// # Errors
/// [`BusError::Options`] where the bucket has no max_age.
pub async fn acquire(bus: &Bus, bucket: &str, key: &str, holder: &str) -> Result<Option<Lease>, BusError> {
    acquire_for(bus, bucket, key, holder, Duration::MAX).await
}

/// The same for a lease that lasts for `life` without renewal, or the bucket's max_age where that is shorter.
///
/// # Errors
/// [`BusError::Options`] where the bucket has no max_age.
pub async fn acquire_for(
    bus: &Bus,
    bucket: &str,
    key: &str,
    holder: &str,
    life: Duration,
) -> Result<Option<Lease>, BusError> {
    let kv = bus.kv(bucket).await?;
    let max = kv.max_age().ok_or_else(|| BusError::Options(format!("bucket {bucket} has no max_age for leases")))?;
    let ttl = max.min(life);
    // The nonce tells own writes from others', also those whose acknowledgement was lost.
    let nonce = format!("{:016x}", fastrand::u64(..));
    let value = Bytes::from(serde_json::json!({ "holder": holder, "nonce": nonce }).to_string());
    let asked_at = Instant::now();
    let created =
        if ttl < max { kv.create_for(key, value.clone(), ttl).await } else { kv.create(key, value.clone()).await };
    let Some(token) = created? else { return Ok(None) };
    let (sender, valid_until) = watch::channel(Some(until(asked_at, ttl)));
    let revision = Arc::new(Mutex::new(token));
    let stop = CancellationToken::new();
    let renewal = Renewal {
        kv: kv.clone(),
        key: key.to_owned(),
        value: value.clone(),
        ttl,
        is_shorter: ttl < max,
        revision: Arc::clone(&revision),
        valid_until: sender,
        stop: stop.clone(),
    };
    let task = Some(tokio::spawn(renewal.run()));
    Ok(Some(Lease { kv, key: key.to_owned(), token, value, revision, valid_until, stop, task }))
}

/// Who holds the lease, as the bucket says; decisions need [`acquire`].
pub async fn holder(bus: &Bus, bucket: &str, key: &str) -> Result<Option<String>, BusError> {
    let entry = bus.kv(bucket).await?.get(key).await?;
    Ok(entry.and_then(|entry| {
        let value: serde_json::Value = serde_json::from_slice(&entry.value).ok()?;
        value.get("holder")?.as_str().map(str::to_owned)
    }))
}

/// What leases are of whose keys begin so.
pub async fn names_under(bucket: &Kv, prefix: &str) -> Result<Vec<String>, BusError> {
    let entries = bucket.entries(&format!("{prefix}*")).await?;
    Ok(entries.into_iter().filter_map(|entry| Some(entry.key.strip_prefix(prefix)?.to_owned())).collect())
}

/// The server counts from when it stored, which is not before the asking; the margin is for clocks that run unevenly.
fn until(asked_at: Instant, ttl: Duration) -> Instant {
    asked_at + ttl - ttl / 10
}

struct Renewal {
    kv: Kv,
    key: String,
    value: Bytes,
    ttl: Duration,
    /// Than the bucket's max_age.
    is_shorter: bool,
    revision: Arc<Mutex<u64>>,
    valid_until: watch::Sender<Option<Instant>>,
    stop: CancellationToken,
}

impl Renewal {
    async fn run(self) {
        let mut interval = tokio::time::interval(self.ttl / 3);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        interval.tick().await;
        loop {
            let deadline = (*self.valid_until.borrow()).unwrap_or_else(Instant::now);
            let over = async {
                interval.tick().await;
                self.renew().await
            };
            let kept = tokio::select! {
                () = self.stop.cancelled() => return,
                kept = over => kept,
                () = tokio::time::sleep_until(deadline) => false,
            };
            if !kept {
                tracing::warn!(key = self.key, "lease lost");
                self.valid_until.send_replace(None);
                return;
            }
        }
    }

    /// False once somebody else has it. Time-outs keep it until it has run out.
    async fn renew(&self) -> bool {
        let asked_at = Instant::now();
        let revision = *self.revision.lock().unwrap_or_else(PoisonError::into_inner);
        let update = async {
            match self.is_shorter {
                true => self.kv.update_for(&self.key, self.value.clone(), revision, self.ttl).await,
                false => self.kv.update(&self.key, self.value.clone(), revision).await,
            }
        };
        let renewed = match tokio::time::timeout(self.ttl / 3, update).await {
            Ok(Ok(renewed)) => renewed,
            Ok(Err(BusError::WrongLastSequence { .. })) => {
                // Perhaps an own renewal whose acknowledgement was lost: then it counts from that, not from now.
                match self.kv.get(&self.key).await {
                    Ok(Some(entry)) if entry.value == self.value && entry.revision > revision => {
                        *self.revision.lock().unwrap_or_else(PoisonError::into_inner) = entry.revision;
                        return true;
                    }
                    Ok(_) => return false,
                    Err(_) => return true,
                }
            }
            Ok(Err(_)) | Err(_) => return true,
        };
        *self.revision.lock().unwrap_or_else(PoisonError::into_inner) = renewed;
        self.valid_until.send_replace(Some(until(asked_at, self.ttl)));
        true
    }
}

impl Lease {
    /// The fencing token: the revision of the acquiring write, larger for every later holder.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Whether it holds at this moment.
    pub fn is_valid(&self) -> bool {
        self.valid_until.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Whether the bucket still has this holder's entry. A lease that could not be renewed in time holds no longer, but
    /// until the entry runs out nobody else can take it, the former holder included.
    pub async fn is_still_stored(&self) -> Result<bool, BusError> {
        let entry = self.kv.get(&self.key).await?;
        Ok(entry.is_some_and(|entry| entry.value == self.value))
    }

    /// Waits until it is lost: somebody else has it, or it could not be renewed in time.
    pub async fn lost(&self) {
        let mut valid_until = self.valid_until.clone();
        let _ = valid_until.wait_for(Option::is_none).await;
    }

    /// Gives it back, so that another may have it at once.
    pub async fn release(mut self) -> Result<(), BusError> {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
        let revision = *self.revision.lock().unwrap_or_else(PoisonError::into_inner);
        match self.kv.delete_revision(&self.key, revision).await {
            Err(BusError::WrongLastSequence { .. }) => {}
            done => return done,
        }
        // An own renewal whose acknowledgement was lost, or no longer ours to give back.
        match self.kv.get(&self.key).await? {
            Some(entry) if entry.value == self.value && entry.operation == Operation::Put => {
                self.kv.delete_revision(&self.key, entry.revision).await
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
