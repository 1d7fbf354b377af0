//! The node's loop: joins the registry, answers pings and commands, one experiment at a time.

use std::time::Duration;

use nuncius_bus::clock::{answer_pings, monotonic_ns};
use nuncius_bus::registry::{self, Registration};
use nuncius_bus::{Bus, BusError, Message, TypedError};
use nuncius_schemas::node::{NodeCommand, NodeInfo, NodeReply, Prepare, Role};
use nuncius_schemas::subjects::HEADER_TRACEPARENT;
use nuncius_schemas::units::SECOND_NS;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

use crate::config::ClientConfig;
use crate::session::{PrepareError, Session, plan_groups};

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
}

/// Everything the loop can react to.
enum Event {
    Command(Option<Message>),
    Prepared(Box<Prepared>),
    SessionEnded,
    Renamed,
    Tick,
    Shutdown,
}

/// An experiment whose targets are being resolved and tried.
struct Preparing {
    experiment: String,
    token: u64,
    outcome: oneshot::Receiver<Box<Prepared>>,
}

struct Prepared {
    prepare: Prepare,
    message: Message,
    span: tracing::Span,
    plans: Result<Vec<nuncius_engine::GroupPlan>, PrepareError>,
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
    /// Highest fencing token seen; smaller ones are of a daemon that lost its lease.
    token: u64,
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
    let registration = registry::join(&bus, info.clone()).await?;
    let claim = registration.claim();
    info.name.clone_from(&claim.name);
    info.epoch = claim.epoch;
    let name = claim.name;
    let service_name = bus.namespace().service("client");
    let version = env!("CARGO_PKG_VERSION");
    let service = bus.register_service(&service_name, version, "offers load", &[("node", &name)]).await?;
    let mut pings = answer_pings(&bus, &bus.namespace().node_ping(&name)).await?;
    let mut commands = bus.subscribe(&bus.namespace().node_command(&name)).await?;
    bus.flush().await?;
    info!(node = %name, labels = ?config.labels, "joined");
    if let Some(ready) = ready {
        let _ = ready.send(name.clone());
    }
    let epoch = info.epoch;
    let mut claims = registration.changes();
    let mut node =
        Node { bus: bus.clone(), config, name, epoch, registration, info, session: None, preparing: None, token: 0 };
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        let event = tokio::select! {
            message = commands.next() => Event::Command(message),
            prepared = wait_prepared(&mut node.preparing) => Event::Prepared(prepared),
            () = wait_session(&mut node.session) => Event::SessionEnded,
            _ = tick.tick() => Event::Tick,
            Ok(()) = claims.changed() => Event::Renamed,
            () = shutdown.cancelled() => Event::Shutdown,
        };
        match event {
            Event::Command(Some(message)) => node.command(message).await,
            Event::Command(None) | Event::Shutdown => break,
            Event::Prepared(prepared) => node.prepared(*prepared).await,
            Event::SessionEnded => node.session_ended().await,
            Event::Renamed => {
                // The key expired while the bus was away, and somebody else has the name now.
                let claim = node.registration.claim();
                if claim.name != node.name {
                    warn!(was = %node.name, now = %claim.name, "renamed");
                    pings = answer_pings(&bus, &bus.namespace().node_ping(&claim.name)).await?;
                    commands = bus.subscribe(&bus.namespace().node_command(&claim.name)).await?;
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

async fn wait_prepared(preparing: &mut Option<Preparing>) -> Box<Prepared> {
    match preparing {
        Some(preparing) => match (&mut preparing.outcome).await {
            Ok(prepared) => prepared,
            Err(_) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
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
    async fn command(&mut self, message: Message) {
        let command: NodeCommand = match message.decode() {
            Ok(command) => command,
            Err(error) => return self.refuse(&message, format!("command not understood: {error}")).await,
        };
        let (experiment, token) = match &command {
            NodeCommand::Prepare(prepare) => (prepare.experiment.clone(), prepare.token),
            NodeCommand::Start(start) => (start.experiment.clone(), start.token),
            NodeCommand::Extend(extend) => (extend.experiment.clone(), extend.token),
            NodeCommand::Stop(stop) => (stop.experiment.clone(), stop.token),
        };
        let ours = self.session.as_ref().is_some_and(|session| session.experiment == experiment);
        if ours && self.session.as_ref().is_some_and(|session| token < session.token) {
            let reason = format!("token {token} is older than {}: another daemon holds the run", self.token);
            return self.refuse(&message, reason).await;
        }
        match command {
            NodeCommand::Prepare(prepare) => self.prepare(*prepare, message).await,
            NodeCommand::Stop(stop) if self.is_preparing(&experiment, token) => {
                // What comes of it is dropped, and the node is free at once.
                info!(experiment, reason = %stop.reason, "no longer getting ready");
                self.preparing = None;
                self.accept(&message).await;
            }
            _ if !ours => {
                let reason = format!("this node does not work for experiment {experiment}");
                self.refuse(&message, reason).await;
            }
            NodeCommand::Start(start) => {
                let span = info_span!("start", "otel.name" = "start node", nuncius.node = %self.name);
                set_parent(&span, &message);
                let outcome = match &mut self.session {
                    Some(session) => {
                        let span_id = nuncius_telemetry::ids_of(&span).map_or(0, |(_, span_id)| span_id);
                        span.in_scope(|| session.start(&start, span_id))
                    }
                    None => Err("nothing is prepared".to_owned()),
                };
                match outcome {
                    Ok(()) => {
                        info!(experiment, "starting");
                        self.accept(&message).await;
                    }
                    Err(reason) => self.refuse(&message, reason).await,
                }
            }
            NodeCommand::Extend(extend) => {
                if let Some(session) = &self.session {
                    session.extend(extend.horizon_ns);
                }
                self.accept(&message).await;
            }
            NodeCommand::Stop(stop) => {
                info!(experiment, reason = %stop.reason, "stopping");
                if let Some(session) = &self.session {
                    session.stop(stop.drain_ns);
                }
                self.accept(&message).await;
            }
        }
    }

    fn is_preparing(&self, experiment: &str, token: u64) -> bool {
        self.preparing.as_ref().is_some_and(|preparing| preparing.experiment == experiment && token >= preparing.token)
    }

    async fn prepare(&mut self, prepare: Prepare, message: Message) {
        if let Some(session) = &self.session {
            if session.experiment != prepare.experiment || session.started {
                let reason = format!("busy with experiment {}", session.experiment);
                return self.refuse(&message, reason).await;
            }
            // The daemon plans anew: what was prepared before is dropped.
            session.stop(0);
            self.session = None;
        }
        if self.preparing.is_some() {
            return self.refuse(&message, "busy: another experiment is being prepared".to_owned()).await;
        }
        let span = info_span!("prepare", "otel.name" = "prepare node", nuncius.node = %self.name);
        set_parent(&span, &message);
        let (sender, outcome) = oneshot::channel();
        self.preparing = Some(Preparing { experiment: prepare.experiment.clone(), token: prepare.token, outcome });
        let (config, bus) = (self.config.clone(), self.bus.clone());
        tokio::task::spawn_blocking(move || {
            let trace_id = trace_of(&span, &message, &prepare);
            let plans = span.in_scope(|| plan_groups(&prepare, &config, trace_id, &bus));
            let _ = sender.send(Box::new(Prepared { prepare, message, span, plans }));
        });
    }

    async fn prepared(&mut self, prepared: Prepared) {
        self.preparing = None;
        let Prepared { prepare, message, span, plans } = prepared;
        let session = plans
            .and_then(|plans| span.in_scope(|| Session::spawn(&prepare, plans, &self.bus, &self.name, self.epoch)));
        match session {
            Ok(session) => {
                info!(experiment = %prepare.experiment, groups = prepare.assignments.len(), "ready");
                self.token = prepare.token;
                self.session = Some(session);
                self.info.experiment = Some(prepare.experiment);
                self.publish_info().await;
                self.accept(&message).instrument(span).await;
            }
            Err(error) => {
                warn!(experiment = %prepare.experiment, %error, "not taking part");
                self.refuse(&message, error.to_string()).await;
            }
        }
    }

    async fn session_ended(&mut self) {
        if let Some(session) = self.session.take() {
            info!(experiment = %session.experiment, "done");
        }
        self.info.experiment = None;
        self.publish_info().await;
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

    async fn publish_info(&mut self) {
        self.registration.set_info(self.info.clone()).await;
    }

    async fn accept(&self, message: &Message) {
        self.answer(message, &NodeReply::Accepted { epoch: self.epoch }).await;
    }

    async fn refuse(&self, message: &Message, reason: String) {
        self.answer(message, &NodeReply::Refused { epoch: self.epoch, reason }).await;
    }

    async fn answer(&self, message: &Message, reply: &NodeReply) {
        if let Err(error) = message.respond_message("node-reply.v1", reply).await {
            warn!(%error, "answer not sent");
        }
    }

    async fn shut_down(mut self) {
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

/// The experiment's trace: the one our span belongs to; without an exporter here, the one the daemon named; without
/// one there either, a number of the run, so that a target that traces finds the requests of a run together.
fn trace_of(span: &tracing::Span, message: &Message, prepare: &Prepare) -> u128 {
    let named = message.headers.get(HEADER_TRACEPARENT).and_then(nuncius_telemetry::parse_traceparent);
    nuncius_telemetry::ids_of(span)
        .map(|(trace_id, _)| trace_id)
        .or_else(|| named.map(|(trace_id, _, _)| trace_id))
        .unwrap_or_else(|| nuncius_load::sample::trace_id(prepare.spec.seed, prepare.run_key, 0, 0))
}

/// Makes the sender's span the parent of ours.
fn set_parent(span: &tracing::Span, message: &Message) {
    if let Some(traceparent) = message.headers.get(HEADER_TRACEPARENT) {
        nuncius_telemetry::set_parent(span, traceparent);
    }
}
