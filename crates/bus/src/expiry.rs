//! When to believe that an entry's age has ended.
//!
//! After an outage of the server longer than a bucket's max_age everything in it comes back as expired at once,
//! although its owners live and are about to write again. So expiry is believed only by an observer that has itself
//! been connected for one full TTL; until then it is kept back, and forgotten if the entry is written again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::kv::{Entry, Kv, KvEvent, KvWatch, Operation};
use crate::{Bus, BusError};

/// A watch of a bucket that tells expiry only when it is to be believed.
#[derive(Debug)]
pub struct ExpiryWatch {
    bus: Bus,
    watch: KvWatch,
    ttl: Duration,
    kept_back: BTreeMap<String, Entry>,
}

impl ExpiryWatch {
    /// Watches the keys that match `filter`.
    pub async fn new(kv: &Kv, filter: &str) -> Result<Self, BusError> {
        let ttl = kv.max_age().unwrap_or_default();
        Ok(Self { bus: kv.bus().clone(), watch: kv.watch(filter).await?, ttl, kept_back: BTreeMap::new() })
    }

    /// As [`KvWatch::next`]; cancel-safe.
    pub async fn next(&mut self) -> Result<KvEvent, BusError> {
        loop {
            let missing = self.ttl.saturating_sub(self.bus.connected_for());
            if missing.is_zero()
                && let Some((_, entry)) = self.kept_back.pop_first()
            {
                return Ok(KvEvent::Entry(entry));
            }
            tokio::select! {
                biased;
                event = self.watch.next() => match event? {
                    KvEvent::Current => return Ok(KvEvent::Current),
                    KvEvent::Entry(entry) => {
                        if entry.operation == Operation::Expired && !missing.is_zero() {
                            self.kept_back.insert(entry.key.clone(), entry);
                        } else {
                            self.kept_back.remove(&entry.key);
                            return Ok(KvEvent::Entry(entry));
                        }
                    }
                },
                () = tokio::time::sleep(missing), if !self.kept_back.is_empty() => {}
            }
        }
    }
}
