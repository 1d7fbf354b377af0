//! What became of the messages of a track, over all nodes.

use std::collections::BTreeMap;

use nuncius_schemas::track::{TrackDelta, TrackReport};
use nuncius_stats::Ranges;
use serde::{Deserialize, Serialize};

/// Most ranges that a delta may add, so that no message makes the daemon work for long.
const RANGES_MAX: usize = 1 << 20;

/// The messages of a track.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TrackTotals {
    publishers: BTreeMap<u64, OfPublisher>,
}

/// Those that one publisher numbered.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct OfPublisher {
    published: Ranges,
    received: Ranges,
    messages: u64,
    reordered: u64,
}

impl TrackTotals {
    /// Adds what a delta says.
    ///
    /// # Errors
    /// What was wrong; nothing was added then.
    pub fn add(&mut self, delta: &TrackDelta) -> Result<(), String> {
        if delta.published.len() + delta.received.len() > RANGES_MAX {
            return Err(format!("more than {RANGES_MAX} ranges in one delta"));
        }
        if delta.published.iter().chain(&delta.received).any(|[first, last]| first > last) {
            return Err("a range that ends before it begins".to_owned());
        }
        let of = self.publishers.entry(delta.publisher).or_default();
        delta.published.iter().for_each(|[first, last]| of.published.insert_range(*first, *last));
        delta.received.iter().for_each(|[first, last]| of.received.insert_range(*first, *last));
        of.messages = of.messages.saturating_add(delta.messages);
        of.reordered = of.reordered.saturating_add(delta.reordered);
        Ok(())
    }

    /// What it comes to.
    pub fn report(&self, track: &str) -> TrackReport {
        let mut report = TrackReport { track: track.to_owned(), ..TrackReport::default() };
        for OfPublisher { published, received, messages, reordered } in self.publishers.values() {
            report.published += published.count();
            report.received += received.count();
            report.lost += published.missing_in(received);
            report.unconfirmed += received.missing_in(published);
            report.duplicated += messages.saturating_sub(received.count());
            report.reordered += reordered;
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nodes_have_published_and_received_adds_up_to_what_was_lost_doubled_and_turned_around() {
        let mut totals = TrackTotals::default();
        let publish = |publisher, ranges: &[[u64; 2]]| TrackDelta {
            publisher,
            published: ranges.to_vec(),
            ..TrackDelta::default()
        };
        let receive = |publisher, messages, reordered, ranges: &[[u64; 2]]| TrackDelta {
            publisher,
            messages,
            reordered,
            received: ranges.to_vec(),
            ..TrackDelta::default()
        };
        for delta in [
            publish(1, &[[0, 99]]),
            publish(2, &[[0, 9], [11, 20]]),
            receive(1, 50, 1, &[[0, 48]]),
            receive(1, 51, 0, &[[48, 97]]),
            receive(2, 21, 0, &[[0, 20]]),
        ] {
            totals.add(&delta).unwrap();
        }
        let expected = TrackReport {
            track: "orders".to_owned(),
            published: 120,
            received: 119,
            lost: 2,
            duplicated: 3,
            reordered: 1,
            unconfirmed: 1,
        };
        assert_eq!(totals.report("orders"), expected);
        assert!(totals.add(&publish(1, &[[3, 2]])).is_err());
    }
}
