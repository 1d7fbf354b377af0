//! How long the daemon waits for what; every one of these is a setting.

use std::time::Duration;

/// Times and limits of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// How far ahead of what is acknowledged a node may offer.
    pub horizon: Duration,
    /// From the start command to the instant zero: the first half for answers to it, the second to let the nodes go.
    pub start_lead: Duration,
    /// How long a selection that nobody matches may wait for nodes to join.
    pub nodes_patience: Duration,
    /// How long a node must have been silent before its load moves to others, which happens no earlier than its horizon.
    pub silence: Duration,
    /// How long after a connection to the bus has come back nodes may take to find it, too.
    pub reconnect_patience: Duration,
    /// How long before a silent node's horizon its load is given to others: so long they take to get ready for it.
    pub takeover_lead: Duration,
    /// How often the books of a run are stored, for a daemon that takes it over.
    pub checkpoint_period: Duration,
    /// How long a run's lease lasts that is not renewed: after that another daemon takes the run over.
    pub lease: Duration,
    /// How long after its end the deltas and request records of a run stay on the bus.
    pub deltas_kept: Duration,
    /// How long a node may take to get ready while it shows signs of life: it resolves names and tries the targets.
    pub prepare: Duration,
    /// How long a node may take to answer anything else, and how long it may be silent while it gets ready.
    pub command: Duration,
    /// Pause before nodes that turned out to be busy are asked again.
    pub busy_pause: Duration,
    /// How often clocks are measured again.
    pub clock_period: Duration,
    /// Longest that a cancelled run waits for answers.
    pub cancel_drain: Duration,
    /// How long after its schedule and drain a node may take to send its last delta.
    pub last_delta_patience: Duration,
    /// How long the stream of request records may take for its next batch.
    pub records_patience: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            horizon: Duration::from_secs(10),
            start_lead: Duration::from_secs(1),
            nodes_patience: Duration::from_secs(3),
            silence: Duration::from_secs(2),
            reconnect_patience: Duration::from_secs(3),
            takeover_lead: Duration::from_millis(700),
            checkpoint_period: Duration::from_secs(10),
            lease: Duration::from_secs(5),
            deltas_kept: Duration::from_secs(60),
            prepare: Duration::from_secs(30),
            command: Duration::from_secs(2),
            busy_pause: Duration::from_millis(500),
            clock_period: Duration::from_secs(30),
            cancel_drain: Duration::from_secs(1),
            last_delta_patience: Duration::from_secs(15),
            records_patience: Duration::from_secs(20),
        }
    }
}

/// A duration in nanoseconds.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
