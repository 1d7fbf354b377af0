//! The node's loop: joins the registry, answers pings and commands, one experiment at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nuncius_bus::clock;
use nuncius_bus::registry::{self, Registration};
use nuncius_bus::{Bus, BusError, Message, Subscription, TypedError};
use nuncius_clock::monotonic_ns;
use nuncius_schemas::node::{NodeInfo, Prepare, Role};
use nuncius_schemas::units::SECOND_NS;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::ClientConfig;
use crate::engines::PrepareError;
use crate::fences::Fences;
use crate::session::Session;

mod call;
mod commands;
mod once;
mod once_desk;
mod profile_desk;
mod profiles;
mod taken;

use call::Call;
use once_desk::OnceDesk;
use profile_desk::ProfileDesk;
use taken::Taken;

/// A prepared experiment whose start has not come after this long is given up.
const START_PATIENCE_NS: u64 = 60 * SECOND_NS;
/// How long a node that is told to end waits for the answers of a running experiment.
const SHUTDOWN_DRAIN_NS: u64 = SECOND_NS;
/// How long it then waits for the last delta to be stored.
const SHUTDOWN_REPORT: Duration = Duration::from_secs(5);

/// Why a client node ended.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The bus.
    #[error("client node: {0}")]
    Bus(#[from] BusError),
    /// A message.
    #[error("client node: {0}")]
    Typed(#[from] TypedError),
    /// Nobody would be answered.
    #[error("client node: it does not listen under its own name, `{name}`")]
    Deaf {
        /// The name.
        name: String,
    },
}

/// What a node listens to under the name that it is about to claim: whoever sees it in the registry is answered.
#[derive(Clone, Default)]
struct Listening(Arc<Mutex<Option<(Subscription, Subscription)>>>);

impl Listening {
    fn listen(&self, bus: &Bus) -> registry::Listen {
        let (listening, bus) = (self.clone(), bus.clone());
        Arc::new(move |name| {
            let (listening, bus) = (listening.clone(), bus.clone());
            Box::pin(async move {
                let pings = bus.subscribe(&bus.namespace().node_ping(&name)).await?;
                let commands = bus.subscribe(&bus.namespace().node_command(&name)).await?;
                bus.flush().await?;
                *listening.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((pings, commands));
                Ok(())
            })
        })
    }

    /// Pings and commands.
    fn take(&self) -> Option<(Subscription, Subscription)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Everything the loop can react to.
enum Event {
    Command(Option<Message>),
    Prepared(Option<Box<Prepared>>),
    Taken(Taken),
    OnceEnded(once_desk::Ended),
    ProfileEnded(profile_desk::Ended),
    SessionEnded,
    Renamed,
    Tick,
    Shutdown,
}

/// An experiment whose targets are being resolved and tried, on a thread that may block.
struct Preparing {
    experiment: String,
    attempt: u32,
    call: Call,
    work: JoinHandle<Box<Prepared>>,
}

struct Prepared {
    prepare: Arc<Prepare>,
    session: Result<Session, PrepareError>,
}

struct Node {
    bus: Bus,
    config: ClientConfig,
    name: String,
    epoch: u64,
    registration: Registration,
    info: NodeInfo,
    session: Option<Session>,
    preparing: Option<Preparing>,
    fences: Fences,
    /// What is done once for an experiment.
    once: OnceDesk,
    /// Commands beside the load.
    profiles: ProfileDesk,
    /// Shards of lost nodes that are being taken over, on threads that may block, and who waits for an answer: by
    /// experiment, attempt and number.
    taking: JoinSet<Taken>,
    waiting: BTreeMap<(String, u32, u32), Vec<Call>>,
}

/// Runs a client node until `shutdown`; `ready` is told the name it got.
pub async fn run(
    config: ClientConfig,
    bus: Bus,
    shutdown: CancellationToken,
    ready: Option<oneshot::Sender<String>>,
) -> Result<(), ClientError> {
    let mut info = NodeInfo {
        labels: config.labels.clone(),
        memory_bytes: host_memory_bytes(),
        capacity: Some(config.capacity.clone()),
        allowed_targets: config.allowed_targets.clone(),
        ..registry::this_process(&config.name, Role::Client, &config.host)
    };
    let listening = Listening::default();
    let registration = registry::join_listening(&bus, info.clone(), listening.listen(&bus)).await?;
    let claim = registration.claim();
    info.name.clone_from(&claim.name);
    info.epoch = claim.epoch;
    let name = claim.name;
    let service_name = bus.namespace().service("client");
    let version = env!("CARGO_PKG_VERSION");
    let service = bus.register_service(&service_name, version, "offers load", &[("node", &name)]).await?;
    let Some((pings, mut commands)) = listening.take() else { return Err(ClientError::Deaf { name }) };
    let mut pings = clock::answer(pings, monotonic_ns);
    info!(node = %name, labels = ?config.labels, "joined");
    if let Some(ready) = ready {
        let _ = ready.send(name.clone());
    }
    let epoch = info.epoch;
    let mut claims = registration.changes();
    let mut node = Node {
        bus: bus.clone(),
        config,
        name,
        epoch,
        registration,
        info,
        session: None,
        preparing: None,
        fences: Fences::default(),
        once: OnceDesk::default(),
        profiles: ProfileDesk::default(),
        taking: JoinSet::new(),
        waiting: BTreeMap::new(),
    };
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        let event = tokio::select! {
            message = commands.next() => Event::Command(message),
            prepared = wait_prepared(&mut node.preparing) => Event::Prepared(prepared),
            Some(Ok(taken)) = node.taking.join_next() => Event::Taken(taken),
            ended = node.once.next() => Event::OnceEnded(ended),
            ended = node.profiles.next() => Event::ProfileEnded(ended),
            () = wait_session(&mut node.session) => Event::SessionEnded,
            _ = tick.tick() => Event::Tick,
            Ok(()) = claims.changed() => Event::Renamed,
            () = shutdown.cancelled() => Event::Shutdown,
        };
        match event {
            Event::Command(Some(message)) => node.command(message).await,
            Event::Command(None) | Event::Shutdown => break,
            Event::Prepared(prepared) => node.prepared(prepared).await,
            Event::Taken(taken) => node.taken(taken).await,
            Event::OnceEnded(ended) => node.once_ended(ended).await,
            Event::ProfileEnded(ended) => node.profile_ended(ended).await,
            Event::SessionEnded => node.session_ended().await,
            Event::Renamed => {
                // The key expired while the bus was away, and somebody else has the name now.
                let claim = node.registration.claim();
                if claim.name != node.name {
                    warn!(was = %node.name, now = %claim.name, "renamed");
                    let name = claim.name.clone();
                    let Some(heard) = listening.take() else { return Err(ClientError::Deaf { name }) };
                    (pings, commands) = (clock::answer(heard.0, monotonic_ns), heard.1);
                }
                (node.name, node.epoch) = (claim.name, claim.epoch);
            }
            Event::Tick => node.tick(),
        }
    }
    node.shut_down().await;
    drop(pings);
    service.stop().await;
    Ok(())
}

/// What came of it; `None` when the work panicked, which must not keep the node from the next experiment.
async fn wait_prepared(preparing: &mut Option<Preparing>) -> Option<Box<Prepared>> {
    match preparing {
        Some(preparing) => outcome_of(&mut preparing.work).await,
        None => std::future::pending().await,
    }
}

async fn outcome_of<T>(work: &mut JoinHandle<T>) -> Option<T> {
    work.await.map_err(|error| warn!(%error, "getting ready ended without a result")).ok()
}

async fn wait_session(session: &mut Option<Session>) {
    match session {
        Some(session) => {
            let _ = (&mut session.reporter).await;
        }
        None => std::future::pending().await,
    }
}

impl Node {
    async fn session_ended(&mut self) {
        if let Some(session) = self.session.take() {
            info!(experiment = %session.experiment, "done");
        }
        self.publish_work().await;
    }

    /// The experiment that the node works for, as far as the registry has to know.
    fn works_for(&self) -> Option<&str> {
        let session = self.session.as_ref().map(|session| session.experiment.as_str());
        session.or_else(|| self.once.works_for())
    }

    fn tick(&mut self) {
        let now = monotonic_ns();
        if let Some(session) = &self.session
            && !session.started
            && now.saturating_sub(session.prepared_at_ns) > START_PATIENCE_NS
        {
            warn!(experiment = %session.experiment, "no start came: giving the experiment up");
            session.stop(0);
        }
    }

    /// Tells the registry what the node works for, if that has changed.
    async fn publish_work(&mut self) {
        let works_for = self.works_for().map(str::to_owned);
        if self.info.experiment != works_for {
            self.info.experiment = works_for;
            self.registration.set_info(self.info.clone()).await;
        }
    }

    async fn shut_down(mut self) {
        self.leave_once().await;
        self.leave_profiles().await;
        if let Some(mut session) = self.session.take() {
            session.leave(SHUTDOWN_DRAIN_NS, "was shut down before its part was over");
            if tokio::time::timeout(SHUTDOWN_REPORT, &mut session.reporter).await.is_err() {
                warn!(experiment = %session.experiment, "ended before the last delta was stored");
            }
        }
        self.registration.release().await;
    }
}

/// Memory of the host, in bytes.
fn host_memory_bytes() -> u64 {
    let memory = sysinfo::MemoryRefreshKind::nothing().with_ram();
    let wanted = sysinfo::RefreshKind::nothing().with_memory(memory);
    sysinfo::System::new_with_specifics(wanted).map_or(0, |system| system.total_memory())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_panics_has_an_end_like_any_other() {
        let mut work = tokio::task::spawn_blocking(|| {
            if true {
                panic!("a mistake in planning")
            }
        });
        assert_eq!(outcome_of(&mut work).await, None);
        let mut work = tokio::task::spawn_blocking(|| 7);
        assert_eq!(outcome_of(&mut work).await, Some(7));
    }
}
