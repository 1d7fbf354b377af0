//! Pressure while the load runs: the emulators of resources that a specification means are asked for it when its time
//! has come.
//!
//! Every request says for how long it holds, so that the pressure ends though this daemon does not live to see it.
//! What is asked of nobody, or refused, is told as a warning, and the run cannot be trusted: the load was not offered
//! to what was meant.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use nuncius_bus::clock::monotonic_ns;
use nuncius_bus::{Bus, typed};
use nuncius_schemas::event::EventKind;
use nuncius_schemas::node::NodeInfo;
use nuncius_schemas::resource::{Amount, ResourceKind, ResourceReply, ResourceRequest};
use nuncius_schemas::stress::{StressStep, not_offered, offers, resource_nodes};
use nuncius_schemas::units::HumanDuration;
use nuncius_telemetry::{OpenSpan, Operation, SpanKind, messaging};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::nodes::Nodes;

/// How long an emulator may take to answer.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
/// A step that begins later than this began under another daemon, in nanoseconds.
const LATE_MAX_NS: u64 = 500_000_000;
/// Variable with the token of emulators that want one.
const TOKEN_VARIABLE: &str = "NUNCIUS_RESOURCE_TOKEN";

/// What may wait to be told; whoever has more to tell waits.
const TOLD_WAITING_MAX: usize = 256;

/// What is to be told of it.
pub(crate) type Told = (EventKind, String);

/// The pressure of one run. Dropped, what has not begun never begins; what has is released by [`Pressure::end`], or
/// by its time.
pub(crate) struct Pressure {
    site: Site,
    steps: JoinSet<()>,
    told: mpsc::Receiver<Told>,
}

/// What each step needs.
#[derive(Clone)]
struct Site {
    bus: Bus,
    nodes: Nodes,
    /// Who was asked for what: to be released.
    asked: Arc<Mutex<BTreeSet<(String, ResourceKind)>>>,
    tell: mpsc::Sender<Told>,
}

impl Pressure {
    /// Plans the steps of a run whose instant zero is `start_at_ns` on our CLOCK_MONOTONIC.
    pub(crate) fn plan(bus: &Bus, nodes: &Nodes, steps: &[StressStep], start_at_ns: u64) -> Self {
        let (tell, told) = mpsc::channel(TOLD_WAITING_MAX);
        let site = Site { bus: bus.clone(), nodes: nodes.clone(), asked: Arc::default(), tell };
        let mut tasks = JoinSet::new();
        for (index, step) in steps.iter().enumerate() {
            let (site, step) = (site.clone(), step.clone());
            let work = async move {
                let at_ns = start_at_ns.saturating_add(step.at.0);
                tokio::time::sleep(Duration::from_nanos(at_ns.saturating_sub(monotonic_ns()))).await;
                // Where another daemon began with it, this is said once more, of what is left of it.
                let late_ns = monotonic_ns().saturating_sub(at_ns);
                let left_ns = step.duration.0.saturating_sub(late_ns);
                if late_ns < LATE_MAX_NS {
                    site.apply(index, &step).await;
                } else if left_ns > 0 {
                    site.apply(index, &StressStep { duration: HumanDuration(left_ns), ..step }).await;
                }
            };
            tasks.spawn(work.in_current_span());
        }
        Self { site, steps: tasks, told }
    }

    /// What there is to tell by now.
    pub(crate) fn told(&mut self) -> Vec<Told> {
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }

    /// Releases whatever was asked for; gives what there was to tell.
    pub(crate) async fn end(mut self) -> Vec<Told> {
        self.steps.shutdown().await;
        let asked = std::mem::take(&mut *self.site.asked.lock().unwrap_or_else(PoisonError::into_inner));
        let nothing = ResourceRequest { amount: Some(Amount::Plain(0)), token: token(), ..ResourceRequest::default() };
        let answers = join_all(asked.iter().map(|(node, kind)| ask(&self.site.bus, node, *kind, &nothing))).await;
        let mut told = self.told();
        let problems = answers.into_iter().filter_map(Result::err);
        told.extend(problems.map(|problem| (EventKind::Warning, format!("pressure not released: {problem}"))));
        told
    }
}

impl Site {
    /// Asks every node that a step means for what it wants.
    async fn apply(&self, index: usize, step: &StressStep) {
        let field = format!("stress[{index}]");
        let present = self.nodes.present();
        let nodes = match resource_nodes(&present, &step.nodes) {
            Ok(nodes) if nodes.is_empty() => {
                let text =
                    format!("{field}: no emulator of resources matches; start one with `nuncius emulator resource`");
                return self.warn(text).await;
            }
            Ok(nodes) => nodes,
            Err(error) => return self.warn(format!("{field}.nodes.names: {error}")).await,
        };
        for (kind, amount) in step.amounts() {
            let request = ResourceRequest {
                amount: Some(amount),
                ttl: Some(step.duration),
                ramp: step.ramp,
                token: token(),
                ..ResourceRequest::default()
            };
            let (nodes, without) = parted(&nodes, kind);
            for node in without {
                self.warn(format!("{field}: {}", not_offered(kind, &node.name))).await;
            }
            self.asked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(nodes.iter().map(|node| (node.name.clone(), kind)));
            let answers = join_all(nodes.iter().map(|node| ask(&self.bus, &node.name, kind, &request))).await;
            let under: Vec<String> = answers
                .iter()
                .zip(&nodes)
                .filter(|(answer, _)| answer.is_ok())
                .map(|(_, node)| node.name.clone())
                .collect();
            for problem in answers.into_iter().filter_map(Result::err) {
                self.warn(format!("{field}: {problem}")).await;
            }
            if !under.is_empty() {
                let (kind, duration) = (kind.name(), step.duration);
                let text = format!("{field}: {kind} {amount} for {duration} on {}", under.join(", "));
                let _ = self.tell.send((EventKind::Node, text)).await;
            }
        }
    }

    async fn warn(&self, text: String) {
        // Nobody listens only when the run is over.
        let _ = self.tell.send((EventKind::Warning, text)).await;
    }
}

/// The nodes that offer a kind, and those that do not.
fn parted<'a>(nodes: &[&'a NodeInfo], kind: ResourceKind) -> (Vec<&'a NodeInfo>, Vec<&'a NodeInfo>) {
    nodes.iter().copied().partition(|node| offers(node, kind))
}

/// One request; the error names the node.
async fn ask(bus: &Bus, node: &str, kind: ResourceKind, request: &ResourceRequest) -> Result<(), String> {
    let subject = bus.namespace().resource(node, kind);
    let template = || bus.namespace().resource("{node}", kind);
    let attributes = || messaging("nats", "request", Operation::Send, subject.clone(), Some(template()));
    let mut span = OpenSpan::child_of_current(SpanKind::Client, || format!("request {}", template()), attributes);
    let headers = typed::headers_of("resource-request.v1", span.traceparent().as_deref());
    let asked = bus.request_with::<_, ResourceReply>(&subject, &headers, request, COMMAND_TIMEOUT).await;
    let problem = match asked {
        Ok(ResourceReply { error: None, .. }) => return Ok(()),
        Ok(ResourceReply { error: Some(error), .. }) => error,
        Err(error) => error.to_string(),
    };
    span.fail("refused", problem.clone());
    Err(format!("{kind} of {node}: {problem}", kind = kind.name()))
}

fn token() -> Option<String> {
    std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty())
}
