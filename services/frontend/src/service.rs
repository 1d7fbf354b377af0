//! A frontend from start to end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nuncius_bus::expiry::ExpiryWatch;
use nuncius_bus::kv::{KvEvent, Operation};
use nuncius_bus::{Bus, BusError, registry};
use nuncius_jobs::{JobError, Queues};
use nuncius_schemas::codec;
use nuncius_schemas::node::Role;
use nuncius_schemas::queue::{QueueDefinition, QueueSettings};
use nuncius_serve::{HttpLimits, ServeError};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::http::{self, Pages};
use crate::keeper::Keeper;
use crate::presence;
use crate::view::Shared;

/// Interval of the longest times where no statistics line is wanted.
const MAXIMA_INTERVAL: Duration = Duration::from_secs(60);
/// How long a server may take to hear that the frontend leaves.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long keepers may take to write their last totals.
const KEEPERS_FAREWELL: Duration = Duration::from_millis(2_500);

/// Settings of a frontend.
#[derive(Debug, Clone)]
pub struct FrontendConfig {
    /// Name to register under; a taken one gets a suffix.
    pub name: String,
    /// Host name as the host gives it.
    pub host: String,
    /// Queues to be made, or changed, at the start; others are kept too.
    pub queues: Vec<String>,
    /// How they are to be.
    pub settings: QueueSettings,
    /// Where metrics are served, host and port.
    pub metrics_address: String,
    /// Interval of the statistics line and of the longest times; none for no line, and longest times of a minute.
    pub interval: Option<Duration>,
    /// What a client of the pages may ask for.
    pub limits: HttpLimits,
}

/// Why a frontend ended.
#[derive(Debug, thiserror::Error)]
pub enum FrontendError {
    /// A queue.
    #[error("frontend: {0}")]
    Job(#[from] JobError),
    /// The bus.
    #[error("frontend: {0}")]
    Bus(#[from] BusError),
    /// The page.
    #[error("frontend: {0}")]
    Serve(#[from] ServeError),
}

/// Runs a frontend until `shutdown`; `ready` is told where its metrics are.
pub async fn run(
    config: FrontendConfig,
    bus: Bus,
    shutdown: CancellationToken,
    ready: Option<oneshot::Sender<std::net::SocketAddr>>,
) -> Result<(), FrontendError> {
    let listener = nuncius_serve::listen("the metrics page", &config.metrics_address, "--maddr").await?;
    let address = listener.local_addr().map_err(|source| ServeError::Listen {
        what: "the metrics page",
        address: config.metrics_address.clone(),
        flag: "--maddr",
        source,
    })?;
    let queues = Queues::open(&bus).await?;
    for queue in &config.queues {
        let made = queues.ensure(queue, &config.settings).await?;
        info!(queue, made, "queue is there");
    }
    let view = Arc::new(Shared::default());
    let tasks = TaskTracker::new();
    let (workers_changed, workers) = watch::channel(());
    let names = bus.namespace().clone();
    let nodes = registry::watch_nodes(&bus).await?;
    let leases = ExpiryWatch::new(&bus.kv(&names.bucket_lease()).await?, "client.*").await?;
    let samples = bus.subscribe(&names.sample("*")).await?;
    // They end with the connection or with the process.
    let followers = [
        tokio::spawn(presence::follow_workers(nodes, Arc::clone(&view), workers_changed)),
        tokio::spawn(presence::follow_clients(leases, Arc::clone(&view))),
        tokio::spawn(presence::hear_samples(samples, Arc::clone(&view))),
    ];
    let node = registry::this_process(&config.name, Role::Frontend, &config.host);
    let registration = registry::join(&bus, node).await?;
    let name = registration.claim().name;
    let service_name = names.service("frontend");
    let version = env!("CARGO_PKG_VERSION");
    let service = bus.register_service(&service_name, version, "keeps queues", &[("node", &name)]).await?;
    let (reported, interval, reporter) = (Arc::clone(&view), config.interval, name.clone());
    // Every second: queues are scaled by it.
    let _reporting = nuncius_metrics::report(nuncius_metrics::Pace::Brisk, move |families| {
        crate::metrics::add(families, &reporter, &mut reported.lock(), interval, Instant::now());
    });
    let pages = Arc::new(Pages {
        bus: bus.clone(),
        view: Arc::clone(&view),
        interval: config.interval,
        limits: config.limits.clone(),
    });
    tasks.spawn(nuncius_serve::serve(
        listener,
        config.limits.clone(),
        shutdown.clone(),
        move |request, _| {
            let pages = Arc::clone(&pages);
            async move { http::respond(request, &pages) }
        },
        || {},
    ));
    if let Some(interval) = config.interval {
        tasks.spawn(tell_statistics(Arc::clone(&view), interval, shutdown.clone()));
    }
    info!(frontend = %name, %address, "joined");
    if let Some(ready) = ready {
        let _ = ready.send(address);
    }
    let keep = |definition: watch::Receiver<Arc<QueueDefinition>>, stop: CancellationToken| {
        let keeper = Keeper {
            bus: bus.clone(),
            queues: queues.clone(),
            frontend: name.clone(),
            view: Arc::clone(&view),
            interval: config.interval.unwrap_or(MAXIMA_INTERVAL),
            workers_changed: workers.clone(),
            shutdown: stop,
        };
        tasks.spawn(keeper.run(definition));
    };
    let outcome = follow_queues(&queues, &shutdown, keep).await;
    shutdown.cancel();
    tasks.close();
    let _ = tokio::time::timeout(KEEPERS_FAREWELL, tasks.wait()).await;
    for follower in followers {
        follower.abort();
    }
    let _ = tokio::time::timeout(FAREWELL, async {
        registration.release().await;
        service.stop().await;
    })
    .await;
    outcome
}

/// Starts a keeper for every queue there is, and ends those of queues that are removed.
async fn follow_queues(
    queues: &Queues,
    shutdown: &CancellationToken,
    keep: impl Fn(watch::Receiver<Arc<QueueDefinition>>, CancellationToken),
) -> Result<(), FrontendError> {
    let mut kept: BTreeMap<String, (watch::Sender<Arc<QueueDefinition>>, CancellationToken)> = BTreeMap::new();
    let mut definitions = queues.bucket().watch("*").await?;
    loop {
        let event = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            event = definitions.next() => event,
        };
        match event {
            Ok(KvEvent::Entry(entry)) if entry.operation == Operation::Put => {
                let definition: QueueDefinition = match codec::decode(&entry.value) {
                    Ok(definition) => definition,
                    Err(error) => {
                        warn!("{}; it is left out", queues.bucket().unreadable(&entry, &error));
                        continue;
                    }
                };
                if definition.name != entry.key {
                    continue;
                }
                let definition = Arc::new(definition);
                match kept.get(&entry.key) {
                    Some((sender, _)) => {
                        sender.send_replace(definition);
                    }
                    None => {
                        let (sender, receiver) = watch::channel(definition);
                        let stop = shutdown.child_token();
                        keep(receiver, stop.clone());
                        kept.insert(entry.key, (sender, stop));
                    }
                }
            }
            Ok(KvEvent::Entry(entry)) => {
                if let Some((_, stop)) = kept.remove(&entry.key) {
                    info!(queue = entry.key, "removed");
                    stop.cancel();
                }
            }
            Ok(KvEvent::Current) => {}
            Err(BusError::Closed) => return Ok(()),
            Err(error) => tracing::debug!(%error, "queues are not followed at present"),
        }
    }
}

/// A line for each queue, once an interval.
async fn tell_statistics(view: Arc<Shared>, interval: Duration, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = Instant::now();
        let mut view = view.lock();
        let names: Vec<String> = view.queues.keys().cloned().collect();
        for name in names {
            let jobs = view.queues.get(&name).map_or(0, |queue| queue.jobs);
            let (waiting, running) = view.waiting_and_running(&name, jobs, now);
            let Some(queue) = view.queues.get_mut(&name) else { continue };
            let longest = queue.maxima.longest(now);
            let (node, pod) = longest.runner.unwrap_or_default();
            let totals = &queue.totals;
            info!(
                queue = name,
                succeeded = totals.succeeded,
                failed = totals.failed,
                timed_out = totals.timed_out,
                retried = totals.retried,
                dead = totals.dead,
                dropped = totals.dropped,
                repeated = totals.repeated,
                running,
                max_run_seconds = longest.run_seconds,
                max_run_node = node,
                max_run_pod = pod,
                waiting,
                max_wait_seconds = longest.wait_seconds.max(queue.oldest_waiting_seconds),
                oldest_waiting_seconds = queue.oldest_waiting_seconds,
                max_total_seconds = longest.total_seconds,
                "statistics"
            );
        }
        info!(
            clients = view.clients.len(),
            clients_seen = view.clients_seen,
            workers = view.workers.len(),
            workers_seen = view.workers_seen,
            "connections"
        );
    }
}
