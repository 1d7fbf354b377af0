//! Telling what is kept elsewhere: messages without acknowledgement that survive a broken connection of their sender.

use std::sync::Weak;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::watch;

use crate::connection::{Inner, Link};
use crate::{Bus, BusError, Headers};

pub(crate) mod recent;

use recent::{REMEMBERED_FOR, Telling};

impl Bus {
    /// Publishes without acknowledgement what is kept elsewhere. Whatever was told in the 20 s before a connection
    /// broke (1,024 messages at most) is told again on the next: who listens hears it once or more often.
    ///
    /// # Errors
    /// As [`Bus::publish`].
    pub async fn tell(&self, subject: &str, headers: &Headers, payload: Bytes) -> Result<(), BusError> {
        let tellings = self.tellings();
        tellings.watched.get_or_init(|| {
            tokio::spawn(tell_again(self.downgrade(), self.link()));
        });
        self.publish(subject, headers, payload.clone()).await?;
        let telling = Telling { at: Instant::now(), subject: subject.to_owned(), headers: headers.clone(), payload };
        tellings.remember(telling);
        Ok(())
    }
}

/// Tells again what was told before each new connection, as long as there is anybody who tells.
async fn tell_again(bus: Weak<Inner>, mut link: watch::Receiver<Link>) {
    let mut lost = Instant::now();
    let mut generation = link.borrow().generation;
    while link.changed().await.is_ok() {
        let now = *link.borrow_and_update();
        if now.since.is_none() {
            lost = Instant::now();
        }
        if now.since.is_none() || now.generation == generation {
            continue;
        }
        generation = now.generation;
        let Some(bus) = bus.upgrade().map(Bus::of) else { return };
        let earliest = lost.checked_sub(REMEMBERED_FOR).unwrap_or(lost);
        for telling in bus.tellings().since(earliest) {
            if let Err(error) = bus.publish(&telling.subject, &telling.headers, telling.payload).await {
                tracing::debug!(%error, "not told again");
            }
        }
    }
}
