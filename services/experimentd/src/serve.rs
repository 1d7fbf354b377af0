//! The daemon's loop: joins the registry, keeps a view of it, admits submissions until it is told to end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nuncius_bus::registry::{self, NodeEvent};
use nuncius_bus::streams::ensure_streams;
use nuncius_bus::{Bus, BusError};
use nuncius_schemas::codec;
use nuncius_schemas::node::{NodeInfo, Role};
use nuncius_store::{Place, Store, StoreError, StoreLimits};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::daemon::Daemon;
use crate::figures::FIGURES;
use crate::nodes::Nodes;
use crate::timing::Timing;
use crate::{archive, intake, reconcile, succession};

/// Time a submission may take to be admitted before it is handed out again.
const ADMISSION_WAIT: Duration = Duration::from_secs(30);
/// Pause before something that the bus could not do is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long running experiments may take to end when the daemon is told to.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);

/// Settings of the daemon.
#[derive(Debug, Clone)]
pub struct DaemonConfig {
    /// Name to register under.
    pub name: String,
    /// Host name as the host gives it.
    pub host: String,
    /// Where results are kept.
    pub database: Place,
    /// How long it may take.
    pub store: StoreLimits,
    /// How long it waits for what.
    pub timing: Timing,
}

/// Why the daemon ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The bus.
    #[error("experiment daemon: {0}")]
    Bus(#[from] BusError),
    /// The store.
    #[error("experiment daemon: {0}")]
    Store(#[from] StoreError),
}

/// Runs the daemon until `shutdown`; `ready` is told once submissions are taken.
pub async fn run(
    config: DaemonConfig,
    bus: Bus,
    shutdown: CancellationToken,
    ready: Option<oneshot::Sender<String>>,
) -> Result<(), DaemonError> {
    let store = Store::open_as_owner(&config.database, config.store.clone()).await?;
    ensure_streams(&bus).await?;
    let namespace = bus.namespace().clone();
    let node = registry::this_process(&config.name, Role::Experimentd, &config.host);
    let registration = registry::join(&bus, node).await?;
    let name = registration.claim().name;
    let service_name = namespace.service("experimentd");
    let version = env!("CARGO_PKG_VERSION");
    let service = bus.register_service(&service_name, version, "runs experiments", &[("node", &name)]).await?;
    let daemon = Daemon {
        name,
        timing: config.timing.clone(),
        bus: bus.clone(),
        store: store.clone(),
        store_name: config.database.name_on(&config.host),
        nodes: Nodes::default(),
        runs: bus.kv(&namespace.bucket_run()).await?,
        routes: bus.kv(&namespace.bucket_route()).await?,
        shutdown: shutdown.clone(),
        tasks: TaskTracker::new(),
        ours: Arc::new(Mutex::default()),
        unsettled: Arc::default(),
    };
    let reported = daemon.clone();
    let _reporting = nuncius_metrics::report(nuncius_metrics::Pace::Steady, move |families| {
        FIGURES.add_metrics(families, &reported.name, reported.owed().len());
    });
    // The view of the registry comes first: planning without it would find nobody.
    let mut nodes = registry::watch_nodes(&bus).await?;
    let mut queue = bus
        .work_queue(&namespace.stream_submit(), "experimentd", &namespace.experiment_submit(), ADMISSION_WAIT)
        .await?;
    let requests = bus.subscribe(&namespace.experiment_archive("*")).await?;
    daemon.tasks.spawn(archive::serve(daemon.clone(), requests));
    succession::begin(&daemon);
    daemon.tasks.spawn(reconcile::serve(daemon.clone()));
    info!(daemon = %daemon.name, database = %config.database, "taking experiments");
    let mut ready = ready;
    loop {
        if let Some(ready) = ready.take() {
            let _ = ready.send(daemon.name.clone());
        }
        tokio::select! {
            event = nodes.next() => see(&daemon.nodes, event).await,
            item = queue.next() => match item {
                Ok(item) => {
                    let daemon = daemon.clone();
                    let tasks = daemon.tasks.clone();
                    tasks.spawn(async move { intake::admit(&daemon, item).await });
                }
                Err(error) => {
                    warn!(%error, "submissions cannot be taken, trying again");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            },
            () = shutdown.cancelled() => break,
        }
    }
    daemon.tasks.close();
    let ended = async {
        // Nodes still come and go while runs end.
        loop {
            tokio::select! {
                event = nodes.next() => see(&daemon.nodes, event).await,
                () = daemon.tasks.wait() => break,
            }
        }
    };
    if tokio::time::timeout(SHUTDOWN_PATIENCE, ended).await.is_err() {
        warn!("ended before its runs did: another daemon, or this one restarted, goes on with them");
    }
    registration.release().await;
    service.stop().await;
    store.close().await;
    Ok(())
}

async fn see(nodes: &Nodes, event: Result<NodeEvent, BusError>) {
    match event {
        Ok(NodeEvent::Joined { name, value, .. } | NodeEvent::Updated { name, value, .. }) => {
            match codec::decode::<NodeInfo>(&value) {
                Ok(info) => nodes.put(info),
                Err(error) => warn!(node = %name, %error, "registry entry cannot be read"),
            }
        }
        Ok(NodeEvent::Left { name, .. }) => nodes.remove(&name),
        Ok(NodeEvent::Current) => {}
        Err(error) => {
            warn!(%error, "the registry cannot be watched, trying again");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}
