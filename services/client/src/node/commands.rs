//! What a node does when it is told to.

use std::sync::Arc;

use nuncius_bus::Message;
use nuncius_schemas::node::{NodeCommand, NodeReply, Prepare, RefusalCode, Reroute, Start, Take};
use nuncius_schemas::subjects::HEADER_TRACEPARENT;
use tracing::{info, info_span, warn};

use super::call::Call;
use super::taken::Taken;
use super::{Node, Prepared, Preparing, outcome_of};
use crate::engines::PrepareError;
use crate::session::Session;

impl Node {
    pub(super) async fn command(&mut self, message: Message) {
        let command: NodeCommand = match message.decode() {
            Ok(command) => command,
            Err(error) => {
                let reason = format!("command not understood: {error}");
                return self.refuse(&mut Call::untraced(message), RefusalCode::Unreadable, reason).await;
            }
        };
        let (experiment, token, attempt) = match &command {
            NodeCommand::Prepare(prepare) => (prepare.experiment.clone(), prepare.token, prepare.attempt),
            NodeCommand::Start(start) => (start.experiment.clone(), start.token, start.attempt),
            NodeCommand::Extend(extend) => (extend.experiment.clone(), extend.token, extend.attempt),
            NodeCommand::Stop(stop) => (stop.experiment.clone(), stop.token, stop.attempt),
            NodeCommand::Take(take) => (take.experiment.clone(), take.token, take.attempt),
            NodeCommand::Inquire(inquire) => (inquire.experiment.clone(), inquire.token, inquire.attempt),
            NodeCommand::Once(once) => (once.experiment.clone(), once.token, once.attempt),
            NodeCommand::Profile(wanted) => (wanted.experiment.clone(), wanted.token, wanted.attempt),
            NodeCommand::Reroute(change) => (change.experiment.clone(), change.token, change.attempt),
        };
        let mut call = Call::new(self.bus.namespace(), message, &command);
        if let Err(held) = self.fences.pass(&experiment, token) {
            let reason = format!("token {token} is older than {held}: another daemon holds the run");
            return self.refuse(&mut call, RefusalCode::Stale, reason).await;
        }
        let has_ended_once = match &command {
            NodeCommand::Stop(stop) => self.end_once(&experiment, attempt, &stop.reason).await,
            NodeCommand::Prepare(_)
            | NodeCommand::Start(_)
            | NodeCommand::Extend(_)
            | NodeCommand::Take(_)
            | NodeCommand::Inquire(_)
            | NodeCommand::Once(_)
            | NodeCommand::Profile(_)
            | NodeCommand::Reroute(_) => false,
        };
        let session = self.session.as_ref().filter(|session| session.experiment == experiment);
        let ours = session.map(|session| session.attempt);
        match (command, ours) {
            (NodeCommand::Prepare(prepare), _) => self.prepare(*prepare, call).await,
            (NodeCommand::Once(once), _) => self.once(*once, call).await,
            (NodeCommand::Profile(wanted), _) => self.profile(*wanted, call).await,
            (NodeCommand::Inquire(_), _) => self.inquire(&experiment, &mut call).await,
            (NodeCommand::Stop(stop), _) if self.is_preparing(&experiment, attempt) => {
                // What comes of it is dropped, and the node is free at once.
                info!(experiment, reason = %stop.reason, "no longer getting ready");
                self.preparing = None;
                self.accept(&call).await;
            }
            (NodeCommand::Stop(_), None) if has_ended_once => self.accept(&call).await,
            (_, None) => {
                let reason = format!("this node does not work for experiment {experiment}");
                self.refuse(&mut call, RefusalCode::Unknown, reason).await;
            }
            (NodeCommand::Stop(stop), Some(held)) if attempt >= held => {
                info!(experiment, reason = %stop.reason, "stopping");
                if let Some(session) = &self.session {
                    session.stop(stop.drain_ns);
                }
                self.accept(&call).await;
            }
            (_, Some(held)) if attempt != held => {
                let reason = format!("this node is at attempt {held} of experiment {experiment}, not at {attempt}");
                self.refuse(&mut call, RefusalCode::Stale, reason).await;
            }
            (NodeCommand::Start(start), Some(_)) => self.start(&start, &mut call).await,
            (NodeCommand::Extend(extend), Some(_)) => {
                if let Some(session) = &self.session {
                    session.extend(&extend);
                }
                self.accept(&call).await;
            }
            (NodeCommand::Take(take), Some(_)) => self.take(*take, call).await,
            (NodeCommand::Reroute(change), Some(_)) => self.reroute(*change, call),
            // Of this attempt it was obeyed above.
            (NodeCommand::Stop(_), Some(_)) => self.accept(&call).await,
        }
    }

    async fn start(&mut self, start: &Start, call: &mut Call) {
        let span = info_span!("start", "otel.name" = "start node", nuncius.node = %self.name);
        call.set_parent(&span);
        let Some(session) = &mut self.session else { return };
        let span_id = nuncius_telemetry::sampled_ids_of(&span).map_or(0, |(_, span_id)| span_id);
        match span.in_scope(|| session.start(start, span_id)) {
            Ok(()) => {
                info!(experiment = %start.experiment, attempt = start.attempt, "starting");
                self.accept(call).await;
            }
            Err(error) => self.refuse(call, error.code(), error.to_string()).await,
        }
    }

    fn is_preparing(&self, experiment: &str, attempt: u32) -> bool {
        let preparing = self.preparing.as_ref();
        preparing.is_some_and(|preparing| preparing.experiment == experiment && attempt >= preparing.attempt)
    }

    /// Says how it stands with an experiment, for a daemon that takes the run up.
    async fn inquire(&self, experiment: &str, call: &mut Call) {
        let session = self.session.as_ref().filter(|session| session.experiment == experiment);
        let preparing = self.preparing.as_ref().filter(|preparing| preparing.experiment == experiment);
        match (session, preparing) {
            (Some(session), _) => self.answer(&call.message, &session.standing(self.epoch)).await,
            (None, Some(preparing)) => {
                let standing = NodeReply::Standing {
                    epoch: self.epoch,
                    attempt: preparing.attempt,
                    is_started: false,
                    start_at_ns: 0,
                    horizon_ns: 0,
                    taken: Vec::new(),
                };
                self.answer(&call.message, &standing).await;
            }
            (None, None) => {
                let reason = format!("this node does not work for experiment {experiment}");
                self.refuse(call, RefusalCode::Unknown, reason).await;
            }
        }
    }

    /// Goes by other routes, whose names may have to be looked up: beside all else; the answer follows when it is done.
    fn reroute(&self, change: Reroute, call: Call) {
        let Some(session) = &self.session else { return };
        let (engines, epoch) = (session.engines.clone(), self.epoch);
        let mut work = tokio::task::spawn_blocking(move || (engines.reroute(&change), change));
        tokio::spawn(async move {
            let reply = match outcome_of(&mut work).await {
                Some((Ok(()), change)) => {
                    info!(experiment = %change.experiment, number = change.number, "goes by other routes");
                    NodeReply::Accepted { epoch }
                }
                Some((Err(error), change)) => {
                    warn!(experiment = %change.experiment, number = change.number, %error, "keeps to its routes");
                    NodeReply::Refused { epoch, code: error.code(), reason: error.to_string() }
                }
                None => {
                    let error = PrepareError::Program;
                    NodeReply::Refused { epoch, code: error.code(), reason: error.to_string() }
                }
            };
            respond(&call.message, &reply).await;
        });
    }

    /// Gets shards of a lost node ready, beside all else; the answer follows when it is done.
    async fn take(&mut self, take: Take, call: Call) {
        let Some(session) = &self.session else { return };
        if session.taken.contains(&take.number) {
            return self.accept(&call).await;
        }
        let key = (take.experiment.clone(), take.attempt, take.number);
        let waiting = self.waiting.entry(key.clone()).or_default();
        waiting.push(call);
        if waiting.len() > 1 {
            return;
        }
        info!(experiment = %take.experiment, number = take.number, from_ns = take.from_ns, "taking shards over");
        let engines = session.engines.clone();
        let mut work = tokio::task::spawn_blocking(move || engines.take(&take));
        self.taking.spawn(async move {
            let outcome = outcome_of(&mut work).await.unwrap_or(Err(PrepareError::Program));
            Taken { key, outcome }
        });
    }

    pub(super) async fn taken(&mut self, taken: Taken) {
        let Taken { key, outcome } = taken;
        let waiting = self.waiting.remove(&key).unwrap_or_default();
        let (experiment, attempt, number) = key;
        let session = self.session.as_mut();
        let session = session.filter(|session| session.experiment == experiment && session.attempt == attempt);
        let outcome = session.map_or(Err(PrepareError::Ended), |session| {
            outcome.inspect(|()| {
                session.taken.insert(number);
            })
        });
        match outcome {
            Ok(()) => {
                info!(experiment, number, "shards taken over");
                for call in waiting {
                    self.accept(&call).await;
                }
            }
            Err(error) => {
                warn!(experiment, number, %error, "shards not taken over");
                for mut call in waiting {
                    self.refuse(&mut call, error.code(), error.to_string()).await;
                }
            }
        }
    }

    async fn prepare(&mut self, prepare: Prepare, mut call: Call) {
        if let Some(other) = self.once.works_for().filter(|other| *other != prepare.experiment) {
            let reason = format!("busy: it does what experiment {other} needs once");
            return self.refuse(&mut call, RefusalCode::Busy, reason).await;
        }
        // A daemon that is gone had begun with it.
        self.end_once(&prepare.experiment, prepare.attempt.saturating_sub(1), "a later attempt has begun").await;
        if let Some(session) = &self.session {
            if session.experiment != prepare.experiment || session.attempt >= prepare.attempt {
                let reason = format!("busy with attempt {} of experiment {}", session.attempt, session.experiment);
                return self.refuse(&mut call, RefusalCode::Busy, reason).await;
            }
            if session.started {
                // The daemon plans anew, and this node had started already: its part of before must have ended.
                session.stop(0);
                let reason = format!("busy: attempt {} of this experiment has yet to end here", session.attempt);
                return self.refuse(&mut call, RefusalCode::Busy, reason).await;
            }
            // The daemon plans anew: what was prepared before is dropped, and says nothing.
            self.session = None;
        }
        if self.preparing.is_some() {
            if !self.is_preparing(&prepare.experiment, prepare.attempt.saturating_sub(1)) {
                let reason = "busy: another experiment is being prepared".to_owned();
                return self.refuse(&mut call, RefusalCode::Busy, reason).await;
            }
            self.preparing = None;
        }
        let span = info_span!("prepare", "otel.name" = "prepare node", nuncius.node = %self.name);
        call.set_parent(&span);
        let (config, bus, name, epoch) = (self.config.clone(), self.bus.clone(), self.name.clone(), self.epoch);
        let (experiment, attempt) = (prepare.experiment.clone(), prepare.attempt);
        let message = call.message.clone();
        // Starting threads blocks as looking up names does: nothing of it happens on the thread that answers commands.
        let work = tokio::task::spawn_blocking(move || {
            let trace_id = trace_of(&span, &message, prepare.spec.seed, prepare.run_key);
            let prepare = Arc::new(prepare);
            let of = Arc::clone(&prepare);
            let session = span.in_scope(|| Session::prepare(of, trace_id, &config, &bus, (&name, epoch)));
            Box::new(Prepared { prepare, session })
        });
        self.preparing = Some(Preparing { experiment, attempt, call, work });
    }

    pub(super) async fn prepared(&mut self, prepared: Option<Box<Prepared>>) {
        let Some(Preparing { mut call, .. }) = self.preparing.take() else { return };
        let Some(prepared) = prepared else {
            let error = PrepareError::Program;
            return self.refuse(&mut call, error.code(), error.to_string()).await;
        };
        let Prepared { prepare, session } = *prepared;
        match session {
            Ok(session) => {
                info!(experiment = %prepare.experiment, groups = prepare.assignments.len(), "ready");
                self.session = Some(session);
                self.publish_work().await;
                self.accept(&call).await;
            }
            Err(error) => {
                warn!(experiment = %prepare.experiment, %error, "not taking part");
                self.publish_work().await;
                self.refuse(&mut call, error.code(), error.to_string()).await;
            }
        }
    }

    async fn accept(&self, call: &Call) {
        self.answer(&call.message, &NodeReply::Accepted { epoch: self.epoch }).await;
    }

    pub(super) async fn refuse(&self, call: &mut Call, code: RefusalCode, reason: String) {
        call.span.fail("refused", reason.clone());
        self.answer(&call.message, &NodeReply::Refused { epoch: self.epoch, code, reason }).await;
    }

    pub(super) async fn answer(&self, message: &Message, reply: &NodeReply) {
        respond(message, reply).await;
    }
}

async fn respond(message: &Message, reply: &NodeReply) {
    if let Err(error) = message.respond_message("node-reply.v1", reply).await {
        warn!(%error, "answer not sent");
    }
}

/// The experiment's trace: the one our span belongs to; without an exporter here, the one the daemon named; without
/// one there either, a number of the run, so that a target that traces finds the requests of a run together.
pub(super) fn trace_of(span: &tracing::Span, message: &Message, seed: u64, run_key: u64) -> u128 {
    let named = message.headers.get(HEADER_TRACEPARENT).and_then(nuncius_telemetry::parse_traceparent);
    nuncius_telemetry::ids_of(span)
        .map(|(trace_id, _)| trace_id)
        .or_else(|| named.map(|(trace_id, _, _)| trace_id))
        .unwrap_or_else(|| nuncius_load::sample::trace_id(seed, run_key, 0, 0))
}
