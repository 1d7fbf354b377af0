//! One publisher's messages of a track, since the last delta.

use nuncius_engine::sink::TrackRecorder;
use nuncius_schemas::track::TrackDelta;
use nuncius_stats::Ranges;

#[derive(Default)]
pub(super) struct TrackSum {
    published: Ranges,
    messages: u64,
    reordered: u64,
    received: Ranges,
}

impl TrackSum {
    /// Adds what one thread says.
    pub(super) fn add(&mut self, recorder: &TrackRecorder) {
        self.add_ranges(&recorder.published, &recorder.received);
        self.messages += recorder.messages;
        self.reordered += recorder.reordered;
    }

    /// Adds what came later.
    pub(super) fn fold(&mut self, later: &Self) {
        self.add_ranges(&later.published, &later.received);
        self.messages += later.messages;
        self.reordered += later.reordered;
    }

    fn add_ranges(&mut self, published: &Ranges, received: &Ranges) {
        published.iter().for_each(|(first, last)| self.published.insert_range(first, last));
        received.iter().for_each(|(first, last)| self.received.insert_range(first, last));
    }

    /// As it travels.
    pub(super) fn into_delta(self, track: &str, publisher: u64) -> TrackDelta {
        let pairs = |ranges: &Ranges| ranges.iter().map(|(first, last)| [first, last]).collect();
        TrackDelta {
            track: track.to_owned(),
            publisher,
            published: pairs(&self.published),
            messages: self.messages,
            reordered: self.reordered,
            received: pairs(&self.received),
        }
    }
}
