//! What is done once for a whole experiment, beside everything else that the node does: never twice for one attempt,
//! however often it is asked.

use std::sync::Arc;
use std::time::Duration;

use nuncius_schemas::node::{NodeReply, Once, RefusalCode};
use nuncius_schemas::redact::redact_message;
use tracing::{info, info_span, warn};

use super::call::Call;
use super::commands::trace_of;
use super::once_desk::{Ended, Key, Outcome, Standing};
use super::{Node, outcome_of};
use crate::engines::control_of;
use crate::once::{self, OnceFailure};

/// Most calls that wait for one outcome: a daemon asks again when it may have missed the answer, and hears the last.
const WAITING_MAX: usize = 8;

impl Node {
    /// Does it, or waits for what is being done; the answer follows when it is done.
    pub(super) async fn once(&mut self, once: Once, mut call: Call) {
        let preparing = self.preparing.as_ref().map(|preparing| preparing.experiment.as_str());
        let mut others = self.works_for().into_iter().chain(preparing);
        if let Some(other) = others.find(|other| *other != once.experiment) {
            let reason = format!("busy with experiment {other}");
            return self.refuse(&mut call, RefusalCode::Busy, reason).await;
        }
        if self.once.experiment == once.experiment && self.once.attempt > once.attempt {
            let reason = format!("this node is at attempt {} of the experiment", self.once.attempt);
            return self.refuse(&mut call, RefusalCode::Stale, reason).await;
        }
        if self.once.experiment != once.experiment || self.once.attempt != once.attempt {
            self.end_once(&once.experiment, once.attempt, "a later attempt has begun").await;
            let desk = &mut self.once;
            (desk.experiment, desk.attempt) = (once.experiment.clone(), once.attempt);
            desk.standings.clear();
        }
        let key = (once.phase, once.group);
        match self.once.standings.get_mut(&key) {
            Some(Standing::Ended(outcome)) => {
                let outcome = outcome.clone();
                self.tell_once(vec![call], &outcome).await;
            }
            Some(Standing::UnderWay(_, waiting)) => {
                if waiting.len() >= WAITING_MAX {
                    waiting.remove(0);
                }
                waiting.push(call);
            }
            None => self.begin_once(once, key, call).await,
        }
    }

    async fn begin_once(&mut self, once: Once, key: Key, call: Call) {
        let span = info_span!("once", "otel.name" = "do once", nuncius.node = %self.name, nuncius.phase = key.0.name());
        call.set_parent(&span);
        let trace_id = trace_of(&span, &call.message, once.spec.seed, once.run_key);
        info!(experiment = %once.experiment, group = once.group, phase = key.0.name(), "doing what is done once");
        let control = control_of(&self.config);
        let (config, its_control, bus) = (self.config.clone(), Arc::clone(&control), self.bus.clone());
        let (experiment, attempt, limit) = (once.experiment.clone(), once.attempt, Duration::from_nanos(once.limit_ns));
        let mut work = tokio::task::spawn_blocking(move || {
            span.in_scope(|| once::perform(&once, trace_id, &config, (&its_control, &bus)))
        });
        let stopped = Arc::clone(&control);
        self.once.work.spawn(async move {
            let (phase, group) = key;
            let list = phase.name();
            let outcome = match tokio::time::timeout(limit, outcome_of(&mut work)).await {
                Ok(outcome) => outcome.unwrap_or(Err(OnceFailure::Program { group, list })),
                Err(_) => {
                    stopped.stop(0);
                    Err(OnceFailure::Slow { group, list, limit })
                }
            };
            let outcome = outcome.map_err(|failure| (failure.code(), redact_message(&failure.to_string())));
            Ended { experiment, attempt, key, outcome }
        });
        self.once.standings.insert(key, Standing::UnderWay(control, vec![call]));
        self.publish_work().await;
    }

    /// Tells everybody who waited.
    pub(super) async fn once_ended(&mut self, ended: Ended) {
        let Ended { experiment, attempt, key, outcome } = ended;
        if self.once.experiment != experiment || self.once.attempt != attempt {
            return;
        }
        let standing = self.once.standings.insert(key, Standing::Ended(outcome.clone()));
        // What was stopped meanwhile has been told.
        let Some(Standing::UnderWay(_, waiting)) = standing else { return };
        let (phase, group) = (key.0.name(), key.1);
        match &outcome {
            Ok(given) => info!(experiment, group, phase, variables = given.map().len(), "done once"),
            Err((_, reason)) => warn!(experiment, group, phase, reason, "what is done once has failed"),
        }
        self.tell_once(waiting, &outcome).await;
        self.publish_work().await;
    }

    async fn tell_once(&self, waiting: Vec<Call>, outcome: &Outcome) {
        for mut call in waiting {
            match outcome {
                Ok(variables) => {
                    let done = NodeReply::Done { epoch: self.epoch, variables: variables.clone() };
                    self.answer(&call.message, &done).await;
                }
                Err((code, reason)) => self.refuse(&mut call, *code, reason.clone()).await,
            }
        }
    }

    /// Ends what is under way of this experiment, up to this attempt; whether anything was.
    pub(super) async fn end_once(&mut self, experiment: &str, attempt: u32, reason: &str) -> bool {
        let failed = (RefusalCode::Stale, format!("what is done once was stopped: {reason}"));
        let waiting = self.once.stop(experiment, attempt, &failed);
        let has_ended = !waiting.is_empty();
        self.tell_once(waiting, &Err(failed)).await;
        if has_ended {
            info!(experiment, reason, "what is done once was stopped");
            self.publish_work().await;
        }
        has_ended
    }

    /// The node ends: another may do it.
    pub(super) async fn leave_once(&mut self) {
        let experiment = self.once.experiment.clone();
        let failed = (RefusalCode::System, "this node ends, and what was to be done once is not done".to_owned());
        let waiting = self.once.stop(&experiment, u32::MAX, &failed);
        self.tell_once(waiting, &Err(failed)).await;
    }
}
