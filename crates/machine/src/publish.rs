//! Telemetry on the bus: whichever process of a machine holds its lease tells it, and does what it is asked.

use std::time::Duration;

use nuncius_bus::lease::{self, Lease};
use nuncius_bus::{Bus, BusError, registry};
use nuncius_schemas::names::{token_from_host, with_suffix};
use nuncius_schemas::node::Role;
use nuncius_schemas::subjects::telemetry_lease;
use nuncius_schemas::units::HumanDuration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::MachineConfig;
use crate::describe::describe;

mod desk;
mod fit;
mod teller;

use teller::Teller;

/// How often a process that stands by asks whether it is needed.
const STANDBY: Duration = Duration::from_secs(3);
/// How long it rests after the server did not let it.
const REFUSED: Duration = Duration::from_secs(60);
/// How many machines may have the same name.
const SUFFIXES_MAX: u32 = 100;
/// How long a server may take to hear that the process leaves.
const FAREWELL: Duration = Duration::from_millis(700);

/// How a process tells of its machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// Name of the machine on the bus, a token; another machine that has it already makes this one `name-2`.
    pub node: String,
    /// Host name as the host gives it.
    pub host: String,
    /// What the process is: `telemetry`, `client`, `worker`, `emulator`.
    pub process: String,
    /// Time between two samples.
    pub period: HumanDuration,
    /// What is sampled.
    pub machine: MachineConfig,
    /// The process does nothing else: it is in the registry under the machine's name with `-telemetry`.
    pub is_alone: bool,
}

impl TelemetryConfig {
    /// Of a process on this machine: a sample a second, of everything there is.
    pub fn new(host: &str, process: &str) -> Self {
        Self {
            node: token_from_host(host),
            host: host.to_owned(),
            process: process.to_owned(),
            period: HumanDuration::from_secs(1),
            machine: MachineConfig::default(),
            is_alone: false,
        }
    }
}

/// Tells of the machine until `shutdown`, whenever no other process of it does; `ready` is told under which name, once
/// this one does. A bus that is away is waited for.
///
/// # Errors
/// [`BusError`] of a process that does nothing else, when the bus does not let it.
pub async fn run(
    config: TelemetryConfig,
    bus: Bus,
    shutdown: CancellationToken,
    ready: Option<oneshot::Sender<String>>,
) -> Result<(), BusError> {
    let roots = config.machine.roots.clone();
    let host = config.host.clone();
    let Ok(machine) = tokio::task::spawn_blocking(move || describe(&roots, &host)).await else { return Ok(()) };
    let epoch = fastrand::u64(1..);
    let mut seat = Seat { bus: bus.clone(), config: config.clone(), machine: machine.machine.clone(), said: None };
    let mut ready = ready;
    loop {
        let pause = match seat.take().await {
            Ok(Some((node, lease))) => {
                info!(%node, process = config.process, period = %config.period, "samples the machine");
                let teller = Teller::new(&config, &bus, &node, epoch, machine.clone());
                let present = Present::join(&config, &bus, &node).await?;
                if let Some(ready) = ready.take() {
                    let _ = ready.send(node.clone());
                }
                let ended = teller.run(&lease, &shutdown).await;
                let leaving = async {
                    let released = lease.release().await;
                    present.leave().await;
                    released
                };
                // Where the server is away, the lease runs out by itself.
                let _ = tokio::time::timeout(FAREWELL, leaving).await;
                match ended {
                    Ok(()) => Duration::ZERO,
                    Err(error) if config.is_alone => return Err(error),
                    Err(error) => {
                        warn!(%error, "telemetry of the machine is not told");
                        REFUSED
                    }
                }
            }
            Ok(None) => STANDBY,
            Err(error @ BusError::NotPermitted { .. }) if config.is_alone => return Err(error),
            Err(error @ BusError::NotPermitted { .. }) => {
                warn!(%error, "telemetry of the machine is not told");
                REFUSED
            }
            Err(BusError::Closed) => return Ok(()),
            Err(error) => {
                debug!(%error, "telemetry of the machine is not told yet");
                STANDBY
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Tells of the machine beside what a process is for, until `shutdown`.
pub fn beside(config: TelemetryConfig, bus: &Bus, shutdown: &CancellationToken) -> tokio::task::JoinHandle<()> {
    let (bus, shutdown) = (bus.clone(), shutdown.clone());
    tokio::spawn(async move {
        if let Err(error) = run(config, bus, shutdown, None).await {
            warn!(%error, "telemetry of the machine is not told");
        }
    })
}

/// The right to tell of a machine.
struct Seat {
    bus: Bus,
    config: TelemetryConfig,
    /// Identifier of the machine since it was booted.
    machine: String,
    /// Who was said to have it.
    said: Option<String>,
}

impl Seat {
    /// Takes it, if no other process of the machine has it: the machine's name, and the lease.
    async fn take(&mut self) -> Result<Option<(String, Lease)>, BusError> {
        let bucket = self.bus.namespace().bucket_lease();
        for number in 1..=SUFFIXES_MAX {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let node = with_suffix(&self.config.node, &suffix);
            let key = telemetry_lease(&node);
            let holder = format!("{} {} {}", self.machine, self.config.process, std::process::id());
            if let Some(lease) = lease::acquire(&self.bus, &bucket, &key, &holder).await? {
                self.said = None;
                return Ok(Some((node, lease)));
            }
            let Some(other) = lease::holder(&self.bus, &bucket, &key).await? else { return Ok(None) };
            let is_ours = other.split(' ').next().is_none_or(|machine| machine.is_empty() || machine == self.machine);
            if is_ours {
                if self.said.as_ref() != Some(&other) {
                    let process = other.split_once(' ').map_or("", |(_, process)| process);
                    if self.config.is_alone {
                        info!(%node, process, "another process samples this machine: this one takes over when it ends");
                    } else {
                        debug!(%node, process, "another process samples this machine");
                    }
                    self.said = Some(other);
                }
                return Ok(None);
            }
        }
        Err(BusError::Options(format!("{SUFFIXES_MAX} machines are called {}: give it another name", self.config.node)))
    }
}

/// A process that does nothing else, as others see it.
struct Present(Option<(registry::Registration, nuncius_bus::service::ServiceGuard)>);

impl Present {
    async fn join(config: &TelemetryConfig, bus: &Bus, node: &str) -> Result<Self, BusError> {
        if !config.is_alone {
            return Ok(Self(None));
        }
        let name = with_suffix(node, "-telemetry");
        let info = registry::this_process(&name, Role::Telemetry, &config.host);
        let registration = registry::join(bus, info).await?;
        let service = bus.namespace().service("telemetry");
        let version = env!("CARGO_PKG_VERSION");
        let service = bus.register_service(&service, version, "samples a machine", &[("node", node)]).await?;
        Ok(Self(Some((registration, service))))
    }

    async fn leave(self) {
        if let Some((registration, service)) = self.0 {
            tokio::join!(registration.release(), service.stop());
        }
    }
}
