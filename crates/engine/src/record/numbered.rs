//! What a recorder has of messages that are numbered.

use std::sync::Arc;

use super::Recorder;
use super::tracks::Numbered;

impl Recorder {
    /// Numbers a message of a track; and what its header says.
    pub(crate) fn number(&mut self, track: &Arc<str>) -> (Numbered, String) {
        self.tracks.number(track)
    }

    /// The broker has taken a message.
    pub(crate) fn published(&mut self, track: &Arc<str>, numbered: Numbered) {
        if let Some(recorder) = self.seconds.track(track, numbered.publisher) {
            recorder.published.insert(numbered.number);
        }
    }

    /// A message came whose header says this; one of another run, or of none, is passed over.
    pub(crate) fn received_numbered(&mut self, track: &Arc<str>, header: &str) {
        let Some((numbered, is_reordered)) = self.tracks.receive(track, header) else { return };
        if let Some(recorder) = self.seconds.track(track, numbered.publisher) {
            recorder.messages += 1;
            recorder.received.insert(numbered.number);
            recorder.reordered += u64::from(is_reordered);
        }
    }
}
