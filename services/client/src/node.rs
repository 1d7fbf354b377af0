//! The node's loop: joins the registry, answers pings and commands, one experiment at a time.

use std::time::Duration;

use nuncius_bus::clock::{answer_pings, monotonic_ns};
use nuncius_bus::registry::{self, Registration};
use nuncius_bus::{Bus, BusError, Message, TypedError};
use nuncius_schemas::node::{NodeCommand, NodeInfo, NodeReply, Prepare, RefusalCode, Role, Start};
use nuncius_schemas::subjects::HEADER_TRACEPARENT;
use nuncius_schemas::units::SECOND_NS;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
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
    Prepared(Option<Box<Prepared>>),
    SessionEnded,
    Renamed,
    Tick,
    Shutdown,
}

/// An experiment whose targets are being resolved and tried, on a thread that may block.
struct Preparing {
    experiment: String,
    token: u64,
    attempt: u32,
    message: Message,
    work: JoinHandle<Box<Prepared>>,
}

struct Prepared {
    prepare: Prepare,
    message: Message,
    span: tracing::Span,
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
    let mut node = Node { bus: bus.clone(), config, name, epoch, registration, info, session: None, preparing: None };
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
            Event::Prepared(prepared) => node.prepared(prepared).await,
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
    async fn command(&mut self, message: Message) {
        let command: NodeCommand = match message.decode() {
            Ok(command) => command,
            Err(error) => {
                let reason = format!("command not understood: {error}");
                return self.refuse(&message, RefusalCode::Unreadable, reason).await;
            }
        };
        let (experiment, token, attempt) = match &command {
            NodeCommand::Prepare(prepare) => (prepare.experiment.clone(), prepare.token, prepare.attempt),
            NodeCommand::Start(start) => (start.experiment.clone(), start.token, start.attempt),
            NodeCommand::Extend(extend) => (extend.experiment.clone(), extend.token, extend.attempt),
            NodeCommand::Stop(stop) => (stop.experiment.clone(), stop.token, stop.attempt),
        };
        let session = self.session.as_ref().filter(|session| session.experiment == experiment);
        let ours = session.map(|session| (session.token, session.attempt));
        if let Some((held, _)) = ours.filter(|(held, _)| token < *held) {
            let reason = format!("token {token} is older than {held}: another daemon holds the run");
            return self.refuse(&message, RefusalCode::Stale, reason).await;
        }
        match (command, ours) {
            (NodeCommand::Prepare(prepare), _) => self.prepare(*prepare, message).await,
            (NodeCommand::Stop(stop), _) if self.is_preparing(&experiment, token, attempt) => {
                // What comes of it is dropped, and the node is free at once.
                info!(experiment, reason = %stop.reason, "no longer getting ready");
                self.preparing = None;
                self.accept(&message).await;
            }
            (_, None) => {
                let reason = format!("this node does not work for experiment {experiment}");
                self.refuse(&message, RefusalCode::Unknown, reason).await;
            }
            (NodeCommand::Stop(stop), Some((_, held))) if attempt >= held => {
                info!(experiment, reason = %stop.reason, "stopping");
                if let Some(session) = &self.session {
                    session.stop(stop.drain_ns);
                }
                self.accept(&message).await;
            }
            (_, Some((_, held))) if attempt != held => {
                let reason = format!("this node is at attempt {held} of experiment {experiment}, not at {attempt}");
                self.refuse(&message, RefusalCode::Stale, reason).await;
            }
            (NodeCommand::Start(start), Some(_)) => self.start(&start, &message).await,
            (NodeCommand::Extend(extend), Some(_)) => {
                if let Some(session) = &self.session {
                    session.extend(extend.horizon_ns);
                }
                self.accept(&message).await;
            }
            // Of this attempt it was obeyed above.
            (NodeCommand::Stop(_), Some(_)) => self.accept(&message).await,
        }
    }

    async fn start(&mut self, start: &Start, message: &Message) {
        let span = info_span!("start", "otel.name" = "start node", nuncius.node = %self.name);
        set_parent(&span, message);
        let Some(session) = &mut self.session else { return };
        let span_id = nuncius_telemetry::ids_of(&span).map_or(0, |(_, span_id)| span_id);
        match span.in_scope(|| session.start(start, span_id)) {
            Ok(()) => {
                info!(experiment = %start.experiment, attempt = start.attempt, "starting");
                self.accept(message).await;
            }
            Err(error) => self.refuse(message, error.code(), error.to_string()).await,
        }
    }

    fn is_preparing(&self, experiment: &str, token: u64, attempt: u32) -> bool {
        self.preparing.as_ref().is_some_and(|preparing| {
            preparing.experiment == experiment && token >= preparing.token && attempt >= preparing.attempt
        })
    }

    async fn prepare(&mut self, prepare: Prepare, message: Message) {
        if let Some(session) = &self.session {
            if session.experiment != prepare.experiment || session.attempt >= prepare.attempt {
                let reason = format!("busy with attempt {} of experiment {}", session.attempt, session.experiment);
                return self.refuse(&message, RefusalCode::Busy, reason).await;
            }
            if session.started {
                // The daemon plans anew, and this node had started already: its part of before must have ended.
                session.stop(0);
                let reason = format!("busy: attempt {} of this experiment has yet to end here", session.attempt);
                return self.refuse(&message, RefusalCode::Busy, reason).await;
            }
            // The daemon plans anew: what was prepared before is dropped, and says nothing.
            self.session = None;
        }
        if self.preparing.is_some() {
            if !self.is_preparing(&prepare.experiment, prepare.token, prepare.attempt.saturating_sub(1)) {
                let reason = "busy: another experiment is being prepared".to_owned();
                return self.refuse(&message, RefusalCode::Busy, reason).await;
            }
            self.preparing = None;
        }
        let span = info_span!("prepare", "otel.name" = "prepare node", nuncius.node = %self.name);
        set_parent(&span, &message);
        let (config, bus, name, epoch) = (self.config.clone(), self.bus.clone(), self.name.clone(), self.epoch);
        let (experiment, token, attempt) = (prepare.experiment.clone(), prepare.token, prepare.attempt);
        let asked = message.clone();
        // Starting threads blocks as looking up names does: nothing of it happens on the thread that answers commands.
        let work = tokio::task::spawn_blocking(move || {
            let trace_id = trace_of(&span, &message, &prepare);
            let session = span.in_scope(|| {
                let plans = plan_groups(&prepare, &config, trace_id, &bus)?;
                Session::spawn(&prepare, plans, &config.capacity, &bus, &name, epoch)
            });
            Box::new(Prepared { prepare, message, span, session })
        });
        self.preparing = Some(Preparing { experiment, token, attempt, message: asked, work });
    }

    async fn prepared(&mut self, prepared: Option<Box<Prepared>>) {
        let Some(preparing) = self.preparing.take() else { return };
        let Some(prepared) = prepared else {
            let reason = "getting ready failed in this node's own program: see its log".to_owned();
            return self.refuse(&preparing.message, RefusalCode::System, reason).await;
        };
        let Prepared { prepare, message, span, session } = *prepared;
        match session {
            Ok(session) => {
                info!(experiment = %prepare.experiment, groups = prepare.assignments.len(), "ready");
                self.session = Some(session);
                self.info.experiment = Some(prepare.experiment);
                self.publish_info().await;
                self.accept(&message).instrument(span).await;
            }
            Err(error) => {
                warn!(experiment = %prepare.experiment, %error, "not taking part");
                self.refuse(&message, error.code(), error.to_string()).await;
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

    async fn refuse(&self, message: &Message, code: RefusalCode, reason: String) {
        self.answer(message, &NodeReply::Refused { epoch: self.epoch, code, reason }).await;
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
