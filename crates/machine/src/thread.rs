//! A thread that samples at even times, and is in nobody's way.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use nuncius_schemas::telemetry::NodeTelemetry;
use tokio::sync::mpsc;

use crate::config::MachineConfig;
use crate::sampler::Sampler;

/// How much others go before it: half of the way to the last place.
const NICENESS: i32 = 10;
/// Samples that wait to be told; beyond that they are dropped.
const WAITING_MAX: usize = 4;

/// A thread that samples; it ends when this is dropped.
#[derive(Debug)]
pub struct SamplingThread {
    orders: SyncSender<Option<Duration>>,
    period: Option<Duration>,
    /// What it sampled.
    pub samples: mpsc::Receiver<NodeTelemetry>,
}

impl SamplingThread {
    /// Starts it. It samples nothing until [`SamplingThread::set_period`].
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn start(config: MachineConfig) -> std::io::Result<Self> {
        let (orders, received) = sync_channel(64);
        let (told, samples) = mpsc::channel(WAITING_MAX);
        std::thread::Builder::new().name("telemetry".to_owned()).spawn(move || {
            // Of the thread alone. What is not permitted is no matter: it sleeps most of the time.
            let _ = rustix::process::setpriority_process(None, NICENESS);
            sample(Sampler::new(config), &received, &told);
        })?;
        Ok(Self { orders, period: None, samples })
    }

    /// Samples every `period` from now on, the first time at once; none stops it.
    pub fn set_period(&mut self, period: Option<Duration>) {
        // One that is too busy to hear 64 of them is told again at the next call.
        if period != self.period && self.orders.try_send(period).is_ok() {
            self.period = period;
        }
    }
}

fn sample(mut sampler: Sampler, orders: &Receiver<Option<Duration>>, told: &mpsc::Sender<NodeTelemetry>) {
    let mut period: Option<Duration> = None;
    let mut due = Instant::now();
    loop {
        let order = match period {
            Some(_) => orders.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match order {
            Ok(wanted) => {
                if wanted != period {
                    (period, due) = (wanted, Instant::now());
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let Some(every) = period else { continue };
                let sample = sampler.sample();
                if let Err(mpsc::error::TrySendError::Closed(_)) = told.try_send(sample) {
                    return;
                }
                due += every;
                // After a standstill it goes on from now: nobody is helped by many samples of the same moment.
                let now = Instant::now();
                if due < now {
                    due = now + every;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_samples_while_there_is_a_period_and_rests_while_there_is_none() {
        let mut thread = SamplingThread::start(MachineConfig::default()).unwrap();
        assert!(thread.samples.try_recv().is_err());
        thread.set_period(Some(Duration::from_millis(20)));
        let first = thread.samples.recv().await.unwrap();
        let second = thread.samples.recv().await.unwrap();
        let apart = second.at_monotonic_ns - first.at_monotonic_ns;
        assert!(apart >= 10_000_000, "{apart} ns");
        thread.set_period(None);
        // What was under way may still come, and then nothing does: the next one comes after the next order.
        while tokio::time::timeout(Duration::from_millis(200), thread.samples.recv()).await.is_ok() {}
        thread.set_period(Some(Duration::from_secs(3_600)));
        assert!(thread.samples.recv().await.is_some());
    }
}
