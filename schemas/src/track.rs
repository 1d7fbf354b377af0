//! Messages that are numbered when they are published and counted by their numbers when they are received: what a
//! broker has lost, doubled or turned around.
//!
//! Each thread that publishes numbers its messages from 0, under a number of its own that tells it from all others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Header of a message that is numbered: `<run>.<publisher>.<number>`, the first two in hexadecimal.
pub const TRACK_HEADER: &str = "Nuncius-Track";

/// What a node has published or received of a track since its last message, of one publisher.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TrackDelta {
    /// Name of the track.
    pub track: String,
    /// Who numbered the messages.
    pub publisher: u64,
    /// Numbers that were published and taken by the broker, each as the first and the last of a range.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<[u64; 2]>,
    /// Messages received, each time that one came.
    #[serde(default)]
    pub messages: u64,
    /// Messages that came behind one that was published after them.
    #[serde(default)]
    pub reordered: u64,
    /// Numbers that were received, as ranges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub received: Vec<[u64; 2]>,
}

/// What became of the messages of a track, over the whole run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TrackReport {
    /// Name of the track.
    pub track: String,
    /// Messages that were published and taken by the broker.
    pub published: u64,
    /// Different messages that were received.
    pub received: u64,
    /// Of those that were published: never received by the end of the run.
    pub lost: u64,
    /// Receptions of a message that had been received before.
    pub duplicated: u64,
    /// Receptions behind a message that was published later by the same publisher, at the same consumer.
    pub reordered: u64,
    /// Received, though whoever published them does not know that the broker took them.
    pub unconfirmed: u64,
}
