//! State in a bucket on the bus: a key for each application. Entries of many applications are written side by side; of
//! one application one at a time, each only over the one before it, so that a write that was given up and comes late is
//! refused.

use nuncius_bus::kv::{BucketWanted, Kv};
use nuncius_bus::{Bus, BusError};
use tracing::warn;

use super::Kept;

/// The bucket of this process.
#[derive(Debug)]
pub(crate) struct Bucket {
    kv: Kv,
}

impl Bucket {
    /// Opens the bucket, makes it if need be, and hands every entry with its revision to `entry`.
    pub(crate) async fn open(bus: &Bus, mut entry: impl FnMut(Kept<'static>, u64)) -> Result<Self, BusError> {
        let wanted = BucketWanted { name: bus.namespace().bucket_oco(), ..BucketWanted::default() };
        let kv = bus.ensure_bucket(&wanted).await?;
        for stored in kv.entries(">").await? {
            match serde_json::from_slice(&stored.value) {
                Ok(kept) => entry(kept, stored.revision),
                // It keeps the other applications from nothing; what is written of its own takes its place.
                Err(error) => {
                    warn!(bucket = kv.name(), key = stored.key, %error, "entry cannot be read: it is left out")
                }
            }
        }
        Ok(Self { kv })
    }

    /// Writes an entry over the one of `revision`, 0 for none; the new revision.
    pub(crate) async fn put(&self, kept: &Kept<'_>, revision: u64) -> Result<u64, BusError> {
        let value = serde_json::to_vec(kept).map_err(|error| BusError::Options(error.to_string()))?;
        let (key, value) = (key(&kept.key), bytes::Bytes::from(value));
        match self.kv.update(&key, value.clone(), revision).await {
            Err(BusError::WrongLastSequence { .. }) => {}
            written => return written,
        }
        // A write whose acknowledgement was lost has come first.
        match self.kv.get(&key).await? {
            Some(entry) => self.kv.update(&key, value, entry.revision).await,
            // Somebody deleted it.
            None => self.kv.create(&key, value).await?.ok_or_else(|| {
                BusError::Options(format!("bucket {}, key {key}: another process writes it, too", self.kv.name()))
            }),
        }
    }
}

/// A key of the book as one of a bucket, where `.` would part it.
fn key(key: &str) -> String {
    key.replace('.', "=2E")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_different_applications_differ() {
        assert_eq!(key("dev.example.com/app.1"), "dev=2Eexample=2Ecom/app=2E1");
        assert_eq!(key(".."), "=2E=2E");
    }
}
