//! What all objects are called, and pieces that belong to none.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Objects;
use crate::{BusError, ServerClock};

impl Objects {
    /// Removes the pieces that whoever was interrupted has left, where none was added for `age`. How many there were.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn sweep(&self, age: Duration) -> Result<u64, BusError> {
        let stream = self.stream();
        let clock = ServerClock::new(&self.bus, &stream);
        let pieces = self.bus.subjects(&stream, &self.pieces_subject("*")).await?;
        // Read after them: what was finished in between is described.
        let mut known = BTreeSet::new();
        for subject in self.descriptions().await? {
            if let Some(description) = self.description_at(&subject).await? {
                known.insert(self.pieces_subject(&description.nuid));
            }
        }
        let mut removed = 0;
        for subject in pieces.keys().filter(|subject| !known.contains(*subject)) {
            let Some(last) = self.bus.last_direct(&stream, subject).await? else { continue };
            if Duration::from_nanos(clock.age_ns(last.published_unix_ns).await?) >= age {
                removed += self.bus.purge_subject(&stream, subject).await?;
            }
        }
        Ok(removed)
    }

    /// The names of all objects that are there and begin with this.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn names_from(&self, prefix: &str) -> Result<Vec<String>, BusError> {
        let mut names = Vec::new();
        for subject in self.descriptions().await? {
            if let Some(description) = self.description_at(&subject).await?
                && description.name.starts_with(prefix)
            {
                names.push(description.name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The subjects of all descriptions.
    async fn descriptions(&self) -> Result<Vec<String>, BusError> {
        let subjects = self.bus.subjects(&self.stream(), &format!("$O.{}.M.*", self.name)).await?;
        Ok(subjects.into_keys().collect())
    }
}
