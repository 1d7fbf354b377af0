//! Counts of all applications together.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::oco::machine::Event;

/// Kinds of events.
pub(crate) const EVENTS: usize = Event::ALL.len();

/// What was taken since the process began.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    events: [AtomicU64; EVENTS],
    refused: AtomicU64,
    unreadable: AtomicU64,
    turned_away: AtomicU64,
    apps: AtomicU64,
}

impl Counters {
    /// An application more.
    pub(crate) fn app(&self) {
        self.apps.fetch_add(1, Relaxed);
    }

    /// Applications that are known.
    pub(crate) fn apps(&self) -> u64 {
        self.apps.load(Relaxed)
    }

    /// An event that was accepted.
    pub(crate) fn accepted(&self, event: Event) {
        if let Some(count) = self.events.get(event as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// An event that was refused.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// An event that could not be kept, or of an application too many; how many that makes.
    pub(crate) fn turned_away(&self) -> u64 {
        self.turned_away.fetch_add(1, Relaxed) + 1
    }

    /// A body that was no event.
    pub(crate) fn unreadable(&self) {
        self.unreadable.fetch_add(1, Relaxed);
    }

    /// Accepted events of each kind.
    pub(crate) fn events(&self) -> [(Event, u64); EVENTS] {
        Event::ALL.map(|event| (event, self.events.get(event as usize).map_or(0, |count| count.load(Relaxed))))
    }

    /// Refused events, and bodies that were none.
    pub(crate) fn errors(&self) -> (u64, u64) {
        (self.refused.load(Relaxed), self.unreadable.load(Relaxed))
    }

    /// All that was taken, accepted or not.
    pub(crate) fn requests(&self) -> u64 {
        let (refused, unreadable) = self.errors();
        self.events().iter().map(|(_, count)| count).sum::<u64>() + refused + unreadable
    }
}

/// Counts an event of one application.
pub(crate) fn count(events: &mut [u32; EVENTS], event: Event) {
    if let Some(count) = events.get_mut(event as usize) {
        *count = count.saturating_add(1);
    }
}
