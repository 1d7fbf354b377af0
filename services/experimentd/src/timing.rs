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
    /// How long a node must have been silent before its load moves to others, which happens no earlier than its
    /// horizon.
    pub silence: Duration,
    /// How long after a connection to the bus has come back nodes may take to find it, too.
    pub reconnect_patience: Duration,
    /// How long before a silent node's horizon its load is given to others: so long they take to get ready for it.
    pub takeover_lead: Duration,
    /// How often the books of a run are stored, for a daemon that takes it over.
    pub checkpoint_period: Duration,
    /// How long a run's lease lasts that is not renewed: after that another daemon takes the run over.
    pub lease: Duration,
    /// How long a node may take to get ready while it shows signs of life: it resolves names and tries the targets.
    pub prepare: Duration,
    /// How long what is done once, before or after the load, may take for each group.
    pub once: Duration,
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
    /// How long the store may take, when a run has ended, to have everything of it; then the result is INVALID.
    pub store_patience: Duration,
    /// Pause before what the store did not take is tried again.
    pub store_retry: Duration,
    /// How long the deltas and request records of a run stay on the bus after its end.
    pub stream_retention: Duration,
    /// How often the store is compared with what the bus knows of runs that have ended.
    pub reconcile_period: Duration,
    /// Most figures of machines that are stored of one run.
    pub telemetry_rows: u64,
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
            prepare: Duration::from_secs(30),
            once: Duration::from_secs(600),
            command: Duration::from_secs(2),
            busy_pause: Duration::from_millis(500),
            clock_period: Duration::from_secs(30),
            cancel_drain: Duration::from_secs(1),
            last_delta_patience: Duration::from_secs(15),
            records_patience: Duration::from_secs(20),
            store_patience: Duration::from_secs(15),
            store_retry: Duration::from_secs(1),
            stream_retention: Duration::from_secs(3_600),
            reconcile_period: Duration::from_secs(30),
            telemetry_rows: 5_000_000,
        }
    }
}

/// Answers are waited for as long as this many round trips take.
const ROUND_TRIPS_AWAITED: u32 = 4;
/// How long a node may take to tell what it measured: a second that has to end, and what goes on beside it.
const REPORTED_AFTER: Duration = Duration::from_secs(2);

impl Timing {
    /// The same for a bus that takes as long as this for an answer: what waits for answers waits long enough. The
    /// settings are the least there is.
    pub(crate) fn following(&self, round_trip: Duration) -> Self {
        let awaited = round_trip * ROUND_TRIPS_AWAITED;
        Self {
            // What was measured has to come here and its extension to go back, while the node goes on.
            horizon: self.horizon.max(REPORTED_AFTER + awaited),
            start_lead: self.start_lead.max(awaited),
            command: self.command.max(awaited),
            prepare: self.prepare.max(awaited),
            last_delta_patience: self.last_delta_patience.max(REPORTED_AFTER + awaited),
            records_patience: self.records_patience.max(REPORTED_AFTER + awaited),
            ..self.clone()
        }
    }
}

/// A duration in milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A duration in nanoseconds.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_answers_follows_a_slow_bus_and_settings_are_the_least() {
        let settings = Timing::default();
        assert_eq!(settings.following(Duration::from_millis(1)), settings);
        let slow = settings.following(Duration::from_secs(2));
        assert_eq!((slow.command, slow.start_lead), (Duration::from_secs(8), Duration::from_secs(8)));
        assert_eq!((slow.horizon, slow.prepare), (Duration::from_secs(10), settings.prepare));
        assert_eq!(slow.following(Duration::from_secs(2)), slow);
    }
}
