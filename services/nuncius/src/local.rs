//! Services of this process: the daemon, client nodes, a stub and what a queue needs, started together and stopped
//! together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use nuncius_bus::Bus;
use nuncius_client::bundles::BundleSettings;
use nuncius_client::config::exposed_environment;
use nuncius_client::{AllowedPrograms, ClientConfig};
use nuncius_emulator::device::DeviceConfig;
use nuncius_emulator::oco::OcoConfig;
use nuncius_emulator::resource::ResourceConfig;
use nuncius_emulator::stub::{StubConfig, StubHandle};
use nuncius_experimentd::{DaemonConfig, Timing};
use nuncius_gateway::GatewayConfig;
use nuncius_machine::publish::{self, TelemetryConfig};
use nuncius_schemas::node::Capacity;
use nuncius_store::{Place, StoreLimits};
use nuncius_viewer::ViewerConfig;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

use crate::args::{BundleArgs, NodeArgs};
use crate::exit::Usage;
use crate::host::host_name;
use crate::registration::{Registration, register};

/// How long a service may take to be ready.
const READY_PATIENCE: Duration = Duration::from_secs(20);
/// How long services may take to end.
const STOP_PATIENCE: Duration = Duration::from_secs(15);
/// Below the data directory: bundles, unpacked.
const BUNDLES: &str = "bundles";
/// Prefix of variables that become labels.
const LABEL_PREFIX: &str = "NUNCIUS_LABEL_";

/// What this process runs.
pub(crate) struct Local {
    bus: Bus,
    pub(crate) shutdown: CancellationToken,
    tasks: TaskTracker,
    registrations: Mutex<Vec<Registration>>,
}

impl Local {
    pub(crate) fn new(bus: Bus) -> Self {
        Self { bus, shutdown: CancellationToken::new(), tasks: TaskTracker::new(), registrations: Mutex::default() }
    }

    /// Starts a daemon and waits until it takes submissions.
    pub(crate) async fn daemon(&self, database: Place) -> Result<String> {
        let config = DaemonConfig {
            name: "experimentd".to_owned(),
            host: host_name(),
            database,
            store: StoreLimits::default(),
            timing: Timing::default(),
        };
        let (ready, waiting) = oneshot::channel();
        let running = nuncius_experimentd::run(config, self.bus.clone(), self.shutdown.clone(), Some(ready));
        self.start("the experiment daemon", async move { Ok(running.await?) }, waiting).await
    }

    /// Points a service name at an address of ours while this runs. Tells whose the name is if it is somebody else's.
    pub(crate) async fn register(&self, service: &str, address: &str) -> Result<Option<String>> {
        let registration = register(&self.bus, service, address).await?;
        let other = registration.other();
        self.registrations.lock().unwrap_or_else(PoisonError::into_inner).push(registration);
        Ok(other)
    }

    /// Starts a client node and waits until it has joined; returns the name it got.
    pub(crate) async fn client(&self, config: ClientConfig) -> Result<String> {
        let (ready, waiting) = oneshot::channel();
        let running = nuncius_client::run(config, self.bus.clone(), self.shutdown.clone(), Some(ready));
        self.start("a client node", async move { Ok(running.await?) }, waiting).await
    }

    /// Starts a frontend for these queues; returns where its metrics are.
    pub(crate) async fn frontend(&self, queues: &[String], metrics_address: &str) -> Result<SocketAddr> {
        let config = nuncius_frontend::FrontendConfig {
            name: "frontend".to_owned(),
            host: host_name(),
            queues: queues.to_vec(),
            settings: nuncius_schemas::queue::QueueSettings::default(),
            metrics_address: metrics_address.to_owned(),
            interval: None,
            limits: nuncius_serve::HttpLimits::default(),
        };
        let (ready, waiting) = oneshot::channel();
        let running = nuncius_frontend::run(config, self.bus.clone(), self.shutdown.clone(), Some(ready));
        self.start("the queue frontend", async move { Ok(running.await?) }, waiting).await
    }

    /// Starts a gateway; returns where its pages are.
    pub(crate) async fn gateway(&self, config: GatewayConfig) -> Result<SocketAddr> {
        let (ready, waiting) = oneshot::channel();
        let running = nuncius_gateway::run(config, self.bus.clone(), self.shutdown.clone(), Some(ready));
        Ok(self.start("the gateway", async move { Ok(running.await?) }, waiting).await?.http)
    }

    /// Starts a viewer of traces; returns where its pages are.
    pub(crate) async fn viewer(&self, config: ViewerConfig) -> Result<SocketAddr> {
        let (ready, waiting) = oneshot::channel();
        let running = nuncius_viewer::run(config, self.shutdown.clone(), Some(ready));
        self.start("the viewer of traces", async move { Ok(running.await?) }, waiting).await
    }

    /// Starts an emulated device; returns the name its node got.
    pub(crate) async fn device(&self, config: DeviceConfig) -> Result<String> {
        let (ready, waiting) = oneshot::channel();
        let running = nuncius_emulator::device::run(config, self.bus.clone(), self.shutdown.clone(), Some(ready));
        self.start("the emulated device", async move { Ok(running.await?) }, waiting).await
    }

    /// Starts OCO backends; returns where they listen.
    pub(crate) async fn oco(&self, config: OcoConfig) -> Result<SocketAddr> {
        let (ready, waiting) = oneshot::channel();
        let running = nuncius_emulator::oco::run(config, Some(self.bus.clone()), self.shutdown.clone(), Some(ready));
        Ok(self.start("the OCO emulator", async move { Ok(running.await?) }, waiting).await?.address)
    }

    /// Starts a consumer of resources; returns where it listens.
    pub(crate) async fn resource(&self, config: ResourceConfig) -> Result<SocketAddr> {
        let (ready, waiting) = oneshot::channel();
        let running =
            nuncius_emulator::resource::run(config, Some(self.bus.clone()), self.shutdown.clone(), Some(ready));
        Ok(self.start("the resource emulator", async move { Ok(running.await?) }, waiting).await?.address)
    }

    /// Samples the machine from now on.
    pub(crate) fn sampler(&self, config: Option<TelemetryConfig>) {
        let Some(config) = config else { return };
        self.tasks.spawn(publish::beside(config, &self.bus, &self.shutdown));
    }

    /// Starts a stub.
    pub(crate) fn stub(&self, listen: SocketAddr) -> Result<StubHandle> {
        let config = StubConfig { listen, ..StubConfig::default() };
        Ok(nuncius_emulator::stub::start(config, self.shutdown.clone())?)
    }

    async fn start<T>(
        &self,
        what: &'static str,
        running: impl Future<Output = Result<()>> + Send + 'static,
        waiting: oneshot::Receiver<T>,
    ) -> Result<T> {
        let (failed, failure) = oneshot::channel();
        self.tasks.spawn(async move {
            if let Err(problem) = running.await {
                error!("{what} ended: {problem:#}");
                let _ = failed.send(problem);
            }
        });
        tokio::select! {
            ready = waiting => match ready {
                Ok(ready) => Ok(ready),
                Err(_) => match failure.await {
                    Ok(problem) => Err(problem).context(what),
                    Err(_) => Err(anyhow::anyhow!("{what} ended before it was ready")),
                },
            },
            () = tokio::time::sleep(READY_PATIENCE) => Err(anyhow::anyhow!("{what} was not ready within {READY_PATIENCE:?}")),
        }
    }

    /// Ends everything and waits for it.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        for registration in self.registrations.into_inner().unwrap_or_else(PoisonError::into_inner) {
            registration.remove().await;
        }
        self.tasks.close();
        if tokio::time::timeout(STOP_PATIENCE, self.tasks.wait()).await.is_err() {
            error!("services did not end within {STOP_PATIENCE:?}");
        }
    }
}

/// Where bundles are kept on this machine: for all processes that have the same data directory.
pub(crate) fn bundle_settings(data: &Path, args: &BundleArgs, cache_bytes: u64) -> BundleSettings {
    BundleSettings { cache_bytes, limits: args.limits(), ..BundleSettings::new(data.join(BUNDLES)) }
}

/// The configuration that flags and environment mean; `data` is the data directory, if there is a place for one.
pub(crate) fn client_config(args: &NodeArgs, name: &str, data: Option<&Path>) -> Result<ClientConfig> {
    let mut config = ClientConfig::new(name, &host_name());
    config.bundles = data.map(|data| bundle_settings(data, &args.bundle, args.bundle_cache));
    config.labels = labels(&args.labels, crate::environment::variables())?;
    config.capacity = Capacity {
        weight: args.weight,
        max_rate_per_second: args.max_rate,
        max_in_flight: args.max_in_flight,
        max_duration_seconds: args.max_duration.0 / nuncius_schemas::units::SECOND_NS,
    };
    if let Some(warning) = open_files_warning(open_files_limit(), args.max_in_flight) {
        tracing::warn!("{warning}");
    }
    if !args.allow_targets.is_empty() {
        config.policy = nuncius_client::config::parse_policy(&args.allow_targets)
            .map_err(|error| Usage(format!("--allow-target: {error}")))?;
        config.allowed_targets.clone_from(&args.allow_targets);
    }
    config.allowed_profiles =
        AllowedPrograms::parse(&args.allow_profiles).map_err(|error| Usage(format!("--allow-profile: {error}")))?;
    config.profile_starter = crate::commands::beside::starter();
    config.threads = args.threads.max(1);
    config.orphan_limit = args.orphan_limit.to_std();
    config.report_queue = usize::try_from(args.report_queue).unwrap_or(usize::MAX);
    config.environment = exposed_environment(crate::environment::variables(), &args.expose_env);
    Ok(config)
}

/// Labels from flags and from `NUNCIUS_LABEL_*`; flags win, and nothing else of the environment becomes one.
pub(crate) fn labels(
    flags: &[String],
    variables: impl Iterator<Item = (String, String)>,
) -> Result<BTreeMap<String, String>> {
    let mut labels: BTreeMap<String, String> = variables
        .filter_map(|(name, value)| Some((name.strip_prefix(LABEL_PREFIX)?.to_ascii_lowercase(), value)))
        .collect();
    for flag in flags {
        let (name, value) =
            flag.split_once('=').ok_or_else(|| Usage(format!("--label {flag}: write it as name=value")))?;
        labels.insert(name.to_owned(), value.to_owned());
    }
    for (name, value) in &labels {
        let fine = !name.is_empty() && name.len() <= 64 && value.len() <= 256;
        if !fine {
            return Err(Usage(format!("label {name}: names have 1 to 64 bytes, values at most 256")).into());
        }
    }
    Ok(labels)
}

/// Open files below which a node cannot hold the default number of requests in flight.
const OPEN_FILES_MIN: u64 = 4_096;

/// What to say where this process may open too few files for so many requests in flight; each connection is one.
pub(crate) fn open_files_warning(files: Option<u64>, max_in_flight: u32) -> Option<String> {
    let needed = OPEN_FILES_MIN.min(u64::from(max_in_flight));
    let files = files.filter(|files| *files < needed)?;
    Some(format!("only {files} open files: raise it with `ulimit -n`, each request in flight is one"))
}

/// Most files that this process may have open; absent when that is not limited.
pub(crate) fn open_files_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// One connection is one file: take as many as the system lets us.
pub(crate) fn raise_open_files_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_open_files_for_what_may_be_in_flight_are_told() {
        assert!(open_files_warning(Some(1_024), 100_000).is_some_and(|text| text.contains("ulimit -n")));
        assert_eq!(open_files_warning(Some(1_024), 500), None);
        assert_eq!(open_files_warning(Some(4_096), 100_000), None);
        assert_eq!(open_files_warning(None, 100_000), None);
    }

    #[test]
    fn labels_come_from_flags_and_their_own_prefix_never_from_other_environment() {
        let variables = [("NUNCIUS_LABEL_ZONE", "a"), ("NUNCIUS_PASSWORD", "x"), ("HOME", "/root")];
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let labels = labels(&["rack=7".to_owned()], variables).unwrap();
        let expected = [("rack", "7"), ("zone", "a")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(labels, expected.into());
    }
}
