//! Telemetry from the bus to a collector.
//!
//! All gateways share one durable consumer, and are to be started alike. A message is acknowledged when the collector
//! has it, or does not want it, or when it lies in a file of the spool: whatever happens to a gateway before that,
//! another gets it. Meanwhile the server is told that it is in work. Each signal has a lane of its own, so that a
//! collector that does not take one of them keeps back none of the others.
//!
//! Lines of this module stay on standard error: as telemetry each would make another.

use std::sync::Arc;

use nuncius_bus::Bus;
use nuncius_bus::consumer::ConsumerWanted;
use nuncius_schemas::subjects::{OTLP_CONSUMER, Signal};
use nuncius_telemetry::otlp::Sender;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::GatewayError;

pub(crate) mod counts;
mod directory;
mod intake;
mod lane;
mod settings;
mod spool;

pub use settings::ExportConfig;

use counts::Counts;
use directory::Directory;
use lane::Lane;

/// Messages in work with all gateways together: beyond it the server gives no more out, and keeps them itself.
const IN_WORK_MAX: u64 = 65_536;
/// Messages between the reader and a lane.
const HANDED_OVER_MAX: usize = 16;

/// What exports, and where it stands.
pub(crate) struct Exporting {
    pub(crate) counts: Arc<Counts>,
    tasks: TaskTracker,
}

/// Starts to export, where there is a collector.
///
/// # Errors
/// A collector that cannot be meant, a directory that cannot be used.
pub(crate) fn start(config: &ExportConfig, bus: &Bus, shutdown: &CancellationToken) -> Result<Exporting, GatewayError> {
    let exporting = Exporting { counts: Arc::default(), tasks: TaskTracker::new() };
    if config.endpoints.is_empty() {
        exporting.tasks.close();
        return Ok(exporting);
    }
    let directory = config.spool_directory.as_deref().map(Directory::open).transpose()?;
    let stored = directory.as_ref().map(Directory::stored).transpose()?.unwrap_or_default();
    let mut handed_over = Vec::new();
    for endpoint in &config.endpoints {
        let signal = endpoint.signal;
        let sender = Sender::new(endpoint).map_err(GatewayError::Collector)?;
        let (hand_over, taken) = mpsc::channel(HANDED_OVER_MAX);
        handed_over.push((signal, hand_over));
        let stored = stored.iter().filter(|file| file.signal == signal).cloned();
        let lane = Lane::new(signal, sender, config, directory.clone(), Arc::clone(&exporting.counts), stored);
        exporting.tasks.spawn(lane.run(taken, shutdown.clone()));
    }
    let names = bus.namespace();
    let wanted = ConsumerWanted {
        max_ack_pending: IN_WORK_MAX,
        ..ConsumerWanted::new(&names.stream_otlp(), OTLP_CONSUMER, &names.otlp_all(), config.ack_wait)
    };
    let counts = Arc::clone(&exporting.counts);
    exporting.tasks.spawn(intake::run(bus.clone(), wanted, handed_over, counts, shutdown.clone()));
    exporting.tasks.close();
    Ok(exporting)
}

impl Exporting {
    /// Waits until everything has ended, after `shutdown`.
    pub(crate) async fn ended(self) {
        self.tasks.wait().await;
    }
}

/// The signal of a subject.
fn signal_of(subject: &str) -> Option<Signal> {
    Signal::of(subject.rsplit('.').next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_says_what_its_messages_are_about() {
        let names = nuncius_bus::Namespace::default();
        for signal in Signal::ALL {
            assert_eq!(signal_of(&names.otlp(signal)), Some(signal));
        }
        assert_eq!(signal_of("nuncius.otlp.profiles"), None);
    }
}
