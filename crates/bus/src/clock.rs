//! The offset between two processes' monotonic clocks, by round trips.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::{Bus, BusError, Headers, Subscription};

/// Round trips of one measurement, by default.
pub const SAMPLES: usize = 16;

/// How another process's monotonic clock stands to this one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// Remote minus local, nanoseconds: remote time = local time + offset.
    pub offset_ns: i64,
    /// The offset is right within ± this: half of the least round trip.
    pub error_ns: u64,
    /// The remote wall clock at that moment, unix nanoseconds.
    pub remote_unix_ns: u64,
}

/// CLOCK_MONOTONIC in nanoseconds.
pub fn monotonic_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}

/// The wall clock, unix nanoseconds.
pub fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The same in milliseconds.
pub fn unix_ms() -> u64 {
    unix_ns() / 1_000_000
}

/// Asks `subject` `samples` times (at least once) and keeps the least round trip. `monotonic` is the local clock. The
/// whole measurement ends at the latest after `deadline`, with what there is by then: somebody who has stopped
/// answering holds up nobody for longer.
///
/// # Errors
/// [`BusError::NoResponders`] at once; [`BusError::Timeout`] when no sample was answered in time.
pub async fn measure_offset(
    bus: &Bus,
    subject: &str,
    samples: usize,
    monotonic: fn() -> u64,
    deadline: Duration,
) -> Result<Offset, BusError> {
    let mut best: Result<Offset, BusError> = Err(BusError::Timeout { what: subject.to_owned(), after: deadline });
    let until = Instant::now() + deadline;
    for _ in 0..samples.max(1) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let before_ns = monotonic();
        let answer = match bus.request(subject, &Headers::new(), Bytes::new(), left).await {
            Ok(answer) => answer,
            Err(BusError::Timeout { .. }) => break,
            Err(error) => return Err(error),
        };
        let round_trip_ns = monotonic().saturating_sub(before_ns);
        let (remote_ns, remote_unix_ns) = times(&answer.payload).ok_or_else(|| BusError::BadAnswer {
            what: subject.to_owned(),
            reason: format!("{} bytes instead of two big-endian times of 8 bytes", answer.payload.len()),
        })?;
        // Rounded up, so that the truth is never outside.
        let error_ns = round_trip_ns.div_ceil(2);
        if best.as_ref().is_ok_and(|best| best.error_ns <= error_ns) {
            continue;
        }
        let middle_ns = i128::from(before_ns) + i128::from(error_ns);
        let offset_ns = i64::try_from(i128::from(remote_ns) - middle_ns).map_err(|_| BusError::BadAnswer {
            what: subject.to_owned(),
            reason: "a clock out of all bounds".to_owned(),
        })?;
        best = Ok(Offset { offset_ns, error_ns, remote_unix_ns });
    }
    best
}

fn times(payload: &[u8]) -> Option<(u64, u64)> {
    let (monotonic, rest) = payload.split_first_chunk::<8>()?;
    let (wall, rest) = rest.split_first_chunk::<8>()?;
    rest.is_empty().then(|| (u64::from_be_bytes(*monotonic), u64::from_be_bytes(*wall)))
}

/// Answers clock probes until dropped.
#[derive(Debug)]
pub struct PingResponder(tokio::task::JoinHandle<()>);

impl Drop for PingResponder {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Answers probes on `subject` with 8 bytes CLOCK_MONOTONIC and 8 bytes wall clock, nanoseconds, big-endian.
pub async fn answer_pings(bus: &Bus, subject: &str) -> Result<PingResponder, BusError> {
    answer_pings_with(bus, subject, monotonic_ns).await
}

/// The same with another clock.
pub async fn answer_pings_with(bus: &Bus, subject: &str, monotonic: fn() -> u64) -> Result<PingResponder, BusError> {
    let probes = bus.subscribe(subject).await?;
    // So that whoever hears of this node later finds it listening.
    bus.flush().await?;
    Ok(answer(probes, monotonic))
}

/// The same of probes that are listened for already: what has come by now is answered too.
pub fn answer(mut probes: Subscription, monotonic: fn() -> u64) -> PingResponder {
    let task = tokio::spawn(async move {
        while let Some(probe) = probes.next().await {
            let mut answer = Vec::with_capacity(16);
            answer.extend_from_slice(&monotonic().to_be_bytes());
            answer.extend_from_slice(&unix_ns().to_be_bytes());
            // An unanswered probe is left out by the asker.
            let _ = probe.respond(&Headers::new(), Bytes::from(answer)).await;
        }
    });
    PingResponder(task)
}
