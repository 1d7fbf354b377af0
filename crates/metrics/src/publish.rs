//! Telling what this process reports, again and again, until it ends.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::MissedTickBehavior;

use crate::otlp::{Sender, encode};
use crate::registry::{Pace, collect};

/// How often reporters are asked whose figures something is scaled by.
pub const BRISK: Duration = Duration::from_secs(1);
/// How often the others are asked, unless told otherwise.
pub const PERIOD: Duration = Duration::from_secs(10);

/// Tells for ever, first after a period: hands messages to `push`, which must not wait, and says whether it took one.
/// What it does not take is lost, and told in the next period: everything is a sum or a state.
pub async fn run(sender: Sender, period: Duration, push: impl Fn(Bytes) -> bool + Send + Sync) {
    let period = period.max(Duration::from_millis(100));
    let every = |period| tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    let (mut brisk, mut steady) = (every(BRISK.min(period)), every(period));
    // After a time without a processor one message is as good as many.
    brisk.set_missed_tick_behavior(MissedTickBehavior::Delay);
    steady.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = brisk.tick() => tell(&sender, Pace::Brisk, BRISK.min(period), &push),
            _ = steady.tick() => tell(&sender, Pace::Steady, period, &push),
        }
    }
}

/// Tells once, what all reporters of a pace say now.
pub fn tell(sender: &Sender, pace: Pace, period: Duration, push: impl Fn(Bytes) -> bool) {
    let families = collect(pace);
    let (messages, left_out) = encode(&families, sender, unix_ns(), period);
    if left_out > 0 {
        let limit = sender.message_max_bytes;
        tracing::debug!(left_out, limit, "series found no room in a message");
    }
    for message in messages {
        if !push(message) {
            tracing::debug!("metrics found no room on their way out");
        }
    }
}

fn unix_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
