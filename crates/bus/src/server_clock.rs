//! The server's wall clock as this process knows it: the only source of how old a stored message is.
//!
//! Messages carry the time at which the server stored them. How long one has waited is told by the same clock, whatever
//! this machine's own wall clock says: it is reckoned from the monotonic clock and an offset that is measured.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::monotonic_ns;
use crate::{Bus, BusError};

/// How old a measurement may be before the clock is measured anew, beside whatever goes on.
const MEASURE_INTERVAL: Duration = Duration::from_secs(60);

/// How the server's wall clock stands to a local clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// The server's wall clock, in unix nanoseconds, minus the local clock.
    pub offset_ns: i64,
    /// The offset is right within ± this: half of the least round trip.
    pub error_ns: u64,
}

/// A handle of the server's wall clock; cheap to clone, measured when it is first asked and every minute from then on.
#[derive(Debug, Clone)]
pub struct ServerClock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None` where the reading was given.
    source: Option<Source>,
    local: fn() -> u64,
    known: Mutex<Option<(ClockReading, Instant)>>,
    /// Only one measures at a time.
    measuring: tokio::sync::Mutex<()>,
    is_refreshing: AtomicBool,
}

#[derive(Debug)]
struct Source {
    bus: Bus,
    stream: String,
}

impl ServerClock {
    /// By round trips to a stream, whichever that is.
    pub fn new(bus: &Bus, stream: &str) -> Self {
        let source = Some(Source { bus: bus.clone(), stream: stream.to_owned() });
        Self::with(source, monotonic_ns, None)
    }

    /// With a reading that stays as it is, for tests: `local` is the clock that it is added to.
    pub fn fixed(reading: ClockReading, local: fn() -> u64) -> Self {
        Self::with(None, local, Some((reading, Instant::now())))
    }

    fn with(source: Option<Source>, local: fn() -> u64, known: Option<(ClockReading, Instant)>) -> Self {
        Self(Arc::new(Inner {
            source,
            local,
            known: Mutex::new(known),
            measuring: tokio::sync::Mutex::new(()),
            is_refreshing: AtomicBool::new(false),
        }))
    }

    /// The reading; waits for the first measurement.
    ///
    /// # Errors
    /// As [`Bus::server_clock`], and only where the clock was never measured.
    pub async fn reading(&self) -> Result<ClockReading, BusError> {
        if let Some((reading, measured)) = self.0.known() {
            self.refresh_if_old(measured);
            return Ok(reading);
        }
        let _one = self.0.measuring.lock().await;
        match self.0.known() {
            Some((reading, _)) => Ok(reading),
            None => self.0.measure().await,
        }
    }

    /// The server's wall clock now, unix nanoseconds.
    ///
    /// # Errors
    /// As [`ServerClock::reading`].
    pub async fn now_unix_ns(&self) -> Result<i64, BusError> {
        let offset_ns = self.reading().await?.offset_ns;
        Ok(i64::try_from((self.0.local)()).unwrap_or(i64::MAX).saturating_add(offset_ns))
    }

    /// How long ago the server's clock said so, in nanoseconds; 0 for what is still to come.
    ///
    /// # Errors
    /// As [`ServerClock::reading`].
    pub async fn age_ns(&self, unix_ns: i64) -> Result<u64, BusError> {
        let age_ns = self.now_unix_ns().await?.saturating_sub(unix_ns);
        Ok(u64::try_from(age_ns).unwrap_or(0))
    }

    /// The same in seconds.
    ///
    /// # Errors
    /// As [`ServerClock::reading`].
    pub async fn age_seconds(&self, unix_ns: i64) -> Result<f64, BusError> {
        Ok(self.age_ns(unix_ns).await? as f64 / 1e9)
    }

    fn refresh_if_old(&self, measured: Instant) {
        if self.0.source.is_none() || measured.elapsed() < MEASURE_INTERVAL {
            return;
        }
        if self.0.is_refreshing.swap(true, Ordering::Relaxed) {
            return;
        }
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            if let Err(error) = inner.measure().await {
                tracing::debug!(%error, "the server's clock is not measured anew");
                // Not before another interval: what is known is still good.
                if let Some((_, at)) = inner.known.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                    *at = Instant::now();
                }
            }
            inner.is_refreshing.store(false, Ordering::Relaxed);
        });
    }
}

impl Inner {
    fn known(&self) -> Option<(ClockReading, Instant)> {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn measure(&self) -> Result<ClockReading, BusError> {
        let Some(source) = &self.source else {
            return Ok(self.known().map_or(ClockReading { offset_ns: 0, error_ns: 0 }, |(reading, _)| reading));
        };
        let reading = source.bus.server_clock(&source.stream, self.local).await?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((reading, Instant::now()));
        Ok(reading)
    }
}
