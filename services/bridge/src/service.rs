//! A bridge from start to end.

use std::sync::Arc;
use std::time::Duration;

use nuncius_bus::{Bus, BusError, registry};
use nuncius_jobs::JobError;
use nuncius_schemas::node::Role;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::config::{BridgeConfig, Destination};
use crate::figures::Figures;
use crate::handle::Taker;
use crate::hold::Said;
use crate::jobs::Jobs;
use crate::relay;
use crate::shared::Shared;

/// How long a server may take to hear that the bridge leaves.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a bridge ended.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// A queue.
    #[error("bridge: {0}")]
    Job(#[from] JobError),
    /// The bus.
    #[error("bridge: {0}")]
    Bus(#[from] BusError),
}

/// Runs a bridge until `shutdown`; `ready` is told its name. Brokers need not be there yet, nor queues on either side.
///
/// # Errors
/// The bus, at the start; [`BusError::Closed`] where its connection is closed for good.
pub async fn run(
    config: BridgeConfig,
    bus: Bus,
    shutdown: CancellationToken,
    ready: Option<oneshot::Sender<String>>,
) -> Result<(), BridgeError> {
    let mut all = Vec::new();
    for mapping in config.mappings {
        let taker = match &mapping.to {
            Destination::Queue(queue) => Taker::Jobs(Jobs::open(&bus, &mapping, queue).await?),
            Destination::Experiments => Taker::Experiments(bus.clone()),
        };
        let shared = Shared { mapping, figures: Figures::default(), said: Said::default() };
        all.push((Arc::new(shared), taker));
    }
    let registration = registry::join(&bus, registry::this_process(&config.name, Role::Bridge, &config.host)).await?;
    let name = registration.claim().name;
    let service_name = bus.namespace().service("bridge");
    let version = env!("CARGO_PKG_VERSION");
    let service = bus.register_service(&service_name, version, "hands messages of AMQP on", &[("node", &name)]).await?;
    let told: Vec<Arc<Shared>> = all.iter().map(|(shared, _)| Arc::clone(shared)).collect();
    let teller = name.clone();
    let _reporting = nuncius_metrics::report(nuncius_metrics::Pace::Steady, move |families| {
        for shared in &told {
            shared.figures.tell(families, &teller, &shared.mapping.name);
        }
    });
    let tasks = TaskTracker::new();
    let stop = shutdown.child_token();
    for (shared, taker) in all {
        tasks.spawn(relay::run(shared, taker, stop.clone()));
    }
    tasks.close();
    info!(bridge = %name, "joined");
    if let Some(ready) = ready {
        let _ = ready.send(name);
    }
    let outcome = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        () = bus.closed() => Err(BusError::Closed.into()),
    };
    stop.cancel();
    tasks.wait().await;
    let _ = tokio::time::timeout(FAREWELL, async {
        registration.release().await;
        service.stop().await;
    })
    .await;
    outcome
}
