//! Tells samples, and answers what it is asked, for as long as it holds the lease.

use std::time::Instant;

use nuncius_bus::lease::Lease;
use nuncius_bus::{Bus, BusError, Message, Subscription, typed};
use nuncius_schemas::telemetry::{MachineDescription, NodeTelemetry, TelemetryControl, TelemetryState};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::TelemetryConfig;
use super::desk::Desk;
use super::fit;
use crate::thread::SamplingThread;

/// Problems that are told to whoever asks.
const PROBLEMS_MAX: usize = 64;

/// One that tells of a machine.
pub(super) struct Teller {
    bus: Bus,
    config: TelemetryConfig,
    node: String,
    epoch: u64,
    sequence: u64,
    desk: Desk,
    machine: MachineDescription,
    problems: Vec<String>,
}

enum Event {
    Sample(Option<Box<NodeTelemetry>>),
    Asked(Option<Message>),
    RanOut,
    Over,
}

impl Teller {
    pub(super) fn new(
        config: &TelemetryConfig,
        bus: &Bus,
        node: &str,
        epoch: u64,
        machine: MachineDescription,
    ) -> Self {
        Self {
            bus: bus.clone(),
            config: config.clone(),
            node: node.to_owned(),
            epoch,
            sequence: 0,
            desk: Desk::new(config.period),
            machine,
            problems: Vec::new(),
        }
    }

    /// Until the lease is lost, or `shutdown`.
    pub(super) async fn run(mut self, lease: &Lease, shutdown: &CancellationToken) -> Result<(), BusError> {
        let subject = self.bus.namespace().telemetry_control(&self.node);
        let mut asked: Subscription = self.bus.subscribe(&subject).await?;
        let mut thread = SamplingThread::start(self.config.machine.clone())
            .map_err(|error| BusError::Options(format!("the thread that samples the machine: {error}")))?;
        loop {
            thread.set_period(self.desk.sampled_every().map(nuncius_schemas::units::HumanDuration::to_std));
            let end = self.desk.next_end();
            let ran_out = async {
                match end {
                    Some(end) => tokio::time::sleep_until(end.into()).await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                () = shutdown.cancelled() => Event::Over,
                () = lease.lost() => Event::Over,
                message = asked.next() => Event::Asked(message),
                sample = thread.samples.recv() => Event::Sample(sample.map(Box::new)),
                () = ran_out => Event::RanOut,
            };
            match event {
                Event::Sample(Some(sample)) => self.tell(*sample).await,
                Event::Asked(Some(message)) => self.answer(&message).await,
                Event::RanOut => self.desk.forget(Instant::now()),
                Event::Over => return Ok(()),
                Event::Sample(None) => {
                    return Err(BusError::Options("the thread that samples the machine has ended".to_owned()));
                }
                Event::Asked(None) => {
                    return Err(BusError::Options(format!("requests on {subject} are heard no longer")));
                }
            }
        }
    }

    async fn tell(&mut self, mut sample: NodeTelemetry) {
        self.sequence += 1;
        sample.node.clone_from(&self.node);
        sample.host.clone_from(&self.config.host);
        (sample.epoch, sample.sequence) = (self.epoch, self.sequence);
        sample.period_ns = self.desk.sampled_every().unwrap_or(self.desk.period()).as_nanos();
        let room = PROBLEMS_MAX.saturating_sub(self.problems.len());
        self.problems.extend(sample.problems.iter().take(room).cloned());
        let gpus = sample.gpus.iter().map(|gpu| gpu.model.clone().unwrap_or_else(|| gpu.device.clone()));
        self.machine.gpus = gpus.collect();
        // While the server is away there is nobody to tell, and what would wait would be old.
        if self.bus.connected_for().is_zero() {
            return;
        }
        let subject = self.bus.namespace().telemetry(&self.node);
        match fit::encode(&mut sample, self.config.machine.limits.message_bytes) {
            Ok(bytes) => {
                let headers = typed::headers("node-telemetry.v1");
                if let Err(error) = self.bus.publish(&subject, &headers, bytes.into()).await {
                    debug!(%error, "sample not sent");
                }
            }
            Err(error) => debug!(%error, "sample not written"),
        }
    }

    async fn answer(&mut self, message: &Message) {
        let now = Instant::now();
        self.desk.forget(now);
        let asked = match message.payload.trim_ascii() {
            [] => Ok(TelemetryControl::Describe {}),
            _ => message.decode::<TelemetryControl>().map_err(|error| error.to_string()),
        };
        let error = asked.and_then(|control| self.desk.take(control, now)).err();
        let state = TelemetryState {
            node: self.node.clone(),
            error,
            is_paused: self.desk.is_paused(),
            period: self.desk.period(),
            sampled_every: self.desk.sampled_every(),
            holds: self.desk.holds(now),
            epoch: self.epoch,
            sequence: self.sequence,
            process_id: std::process::id(),
            process: self.config.process.clone(),
            machine: self.machine.clone(),
            problems: self.problems.clone(),
        };
        if let Err(error) = message.respond_message("telemetry-state.v1", &state).await {
            debug!(%error, "answer not sent");
        }
    }
}
