//! What each mapping counts, and how it is told.

use std::sync::atomic::{AtomicU64, Ordering};

use nuncius_metrics::Families;
use nuncius_metrics::names::bridge as names;

/// Why a message was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The message, or its headers, are larger than what takes it allows.
    TooLarge,
    /// It has no id, and such are refused.
    WithoutId,
    /// Its id is another's.
    IdTaken,
    /// It has ended before, and its record is not kept any more.
    RecordGone,
    /// It is no experiment.
    Unreadable,
    /// The daemon will not have it.
    NotAdmitted,
}

impl Reason {
    /// All of them.
    const ALL: [Self; 6] =
        [Self::TooLarge, Self::WithoutId, Self::IdTaken, Self::RecordGone, Self::Unreadable, Self::NotAdmitted];

    /// The name in metrics.
    const fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::WithoutId => "without_id",
            Self::IdTaken => "id_taken",
            Self::RecordGone => "record_gone",
            Self::Unreadable => "unreadable",
            Self::NotAdmitted => "not_admitted",
        }
    }
}

/// A figure that only its mapping changes.
#[derive(Debug, Default)]
pub(crate) struct Figure(AtomicU64);

impl Figure {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// One more until what is given back is dropped.
    pub(crate) fn hold(&self) -> Held<'_> {
        self.add(1);
        Held(self)
    }
}

/// See [`Figure::hold`].
pub(crate) struct Held<'a>(&'a Figure);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a mapping counts.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Messages that came, each delivery.
    pub(crate) received: Figure,
    /// Of these, with the mark that they may have come before.
    pub(crate) redelivered: Figure,
    /// Of these, without an id.
    pub(crate) without_id: Figure,
    /// Accepted by the queue or the daemon, and new to it.
    pub(crate) accepted: Figure,
    /// Known to it already.
    pub(crate) known: Figure,
    /// Refused, by reason.
    refused: [Figure; Reason::ALL.len()],
    /// Results that the broker has confirmed.
    pub(crate) answered: Figure,
    /// Results that no queue would take.
    pub(crate) unroutable: Figure,
    /// Acknowledged to the broker.
    pub(crate) acknowledged: Figure,
    /// Under way now.
    pub(crate) in_flight: Figure,
    /// Of these, waiting for a queue that takes none at present.
    pub(crate) held: Figure,
    /// 1 while the queue is consumed.
    pub(crate) connected: Figure,
    /// Connections that ended.
    pub(crate) lost: Figure,
}

impl Figures {
    pub(crate) fn refuse(&self, reason: Reason) {
        if let Some(figure) = self.refused.get(reason as usize) {
            figure.add(1);
        }
    }

    /// Tells them, of a mapping of a node.
    pub(crate) fn tell(&self, families: &mut Families, node: &str, mapping: &str) {
        let labels: &[&str] = &[node, mapping];
        families.count(&names::RECEIVED_MESSAGES, labels, self.received.get());
        families.count(&names::REDELIVERED_MESSAGES, labels, self.redelivered.get());
        families.count(&names::MESSAGES_WITHOUT_ID, labels, self.without_id.get());
        families.count(&names::ACCEPTED_MESSAGES, labels, self.accepted.get());
        families.count(&names::KNOWN_MESSAGES, labels, self.known.get());
        for (reason, figure) in Reason::ALL.iter().zip(&self.refused) {
            families.count(&names::REFUSED_MESSAGES, &[node, mapping, reason.name()], figure.get());
        }
        families.count(&names::ANSWERS, labels, self.answered.get());
        families.count(&names::UNROUTABLE_ANSWERS, labels, self.unroutable.get());
        families.count(&names::ACKNOWLEDGED_MESSAGES, labels, self.acknowledged.get());
        families.count(&names::IN_FLIGHT_MESSAGES, labels, self.in_flight.get());
        families.count(&names::HELD_MESSAGES, labels, self.held.get());
        families.count(&names::CONNECTED, labels, self.connected.get());
        families.count(&names::LOST_CONNECTIONS, labels, self.lost.get());
    }
}
