//! Commands beside the load: nodes are asked for them when their time has come, and tell what became of them.
//!
//! They stand beside the run: what is forbidden, absent or fails is told as a warning, and the verdict does not rest on
//! it. Another daemon that takes the run over asks the nodes for what they run, or ran.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nuncius_bus::Bus;
use nuncius_clock::monotonic_ns;
use nuncius_schemas::event::EventKind;
use nuncius_schemas::flow::ByteSize;
use nuncius_schemas::node::selected::selected;
use nuncius_schemas::node::{NodeCommand, Profile, ProfileOrder, Role};
use nuncius_schemas::profile::{PROFILE_NODES_MAX, ProfileOutcome, ProfileReport, ProfileSpec};
use nuncius_schemas::spec::Group;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::fleet::{self, FleetError};
use crate::nodes::Nodes;
use crate::stress::Told;

/// What may wait to be told; whoever has more to tell waits.
const TOLD_WAITING_MAX: usize = 256;
/// How long a node may take, beyond the time of a command and its grace, to store what it wrote and to tell so.
const STORE_PATIENCE: Duration = Duration::from_secs(40);

/// Of which run.
pub(crate) struct Start<'a> {
    pub(crate) experiment: &'a str,
    pub(crate) attempt: u32,
    /// Instant zero on our CLOCK_MONOTONIC, in nanoseconds.
    pub(crate) start_at_ns: u64,
    /// The same instant on the wall clock, in nanoseconds since the Unix epoch.
    pub(crate) start_unix_ns: u64,
}

/// The profiles of one run. Dropped, those that have not begun never begin; the others end with their time.
pub(crate) struct Profiling {
    site: Site,
    order: watch::Sender<ProfileOrder>,
    /// Each with the number of its profile.
    tasks: JoinSet<(usize, Vec<ProfileReport>)>,
    told: mpsc::Receiver<Told>,
}

/// What each profile needs.
#[derive(Clone)]
struct Site {
    bus: Bus,
    nodes: Nodes,
    experiment: String,
    /// Fencing token of the lease: another one when it was taken again.
    token: Arc<AtomicU64>,
    attempt: u32,
    start_unix_ns: u64,
    order: watch::Receiver<ProfileOrder>,
    /// When the order to end was given.
    ended_at: Arc<OnceLock<Instant>>,
    tell: mpsc::Sender<Told>,
}

impl Profiling {
    /// Plans the profiles of a run.
    pub(crate) fn plan(
        (bus, nodes): (&Bus, &Nodes),
        start: &Start<'_>,
        profiles: &[ProfileSpec],
        groups: &[Group],
    ) -> Self {
        let (tell, told) = mpsc::channel(TOLD_WAITING_MAX);
        let (order, ordered) = watch::channel(ProfileOrder::Begin);
        let site = Site {
            bus: bus.clone(),
            nodes: nodes.clone(),
            experiment: start.experiment.to_owned(),
            token: Arc::default(),
            attempt: start.attempt,
            start_unix_ns: start.start_unix_ns,
            order: ordered,
            ended_at: Arc::default(),
            tell,
        };
        let mut tasks = JoinSet::new();
        for (number, profile) in profiles.iter().enumerate() {
            // What has no end was refused.
            let (from_ns, length_ns) = profile.window_ns(groups).unwrap_or_default();
            let from_ns = start.start_at_ns.saturating_add(from_ns);
            let (site, profile) = (site.clone(), profile.clone());
            let work = async move { (number, site.run(&profile, from_ns, length_ns).await) };
            tasks.spawn(work.in_current_span());
        }
        Self { site, order, tasks, told }
    }

    /// Goes by the token of the lease as it is now.
    pub(crate) fn follow(&self, token: u64) {
        self.site.token.store(token, Ordering::Relaxed);
    }

    /// What there is to tell by now.
    pub(crate) fn told(&mut self) -> Vec<Told> {
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }

    /// Ends them with the load: `order` says whether what they write is kept. Gives what became of them, and what there
    /// is to tell.
    pub(crate) async fn end(
        mut self,
        order: ProfileOrder,
        shutdown: &CancellationToken,
    ) -> (Vec<ProfileReport>, Vec<Told>) {
        let give = |order| {
            self.site.ended_at.get_or_init(Instant::now);
            let _ = self.order.send(order);
        };
        if !self.tasks.is_empty() {
            give(order);
        }
        let (mut reports, mut told, mut is_stopped) = (Vec::new(), Vec::new(), order == ProfileOrder::Stop);
        loop {
            tokio::select! {
                ended = self.tasks.join_next() => match ended {
                    Some(Ok(of_one)) => reports.push(of_one),
                    Some(Err(error)) => tracing::warn!(%error, "a profile ended without a result"),
                    None => break,
                },
                Some(more) = self.told.recv() => told.push(more),
                () = shutdown.cancelled(), if !is_stopped => {
                    is_stopped = true;
                    give(ProfileOrder::Stop);
                }
            }
        }
        told.extend(self.told());
        reports.sort_by_key(|(number, _)| *number);
        (reports.into_iter().flat_map(|(_, reports)| reports).collect(), told)
    }
}

impl Site {
    /// Has a profile run by every node that it means, from an instant of our CLOCK_MONOTONIC on.
    async fn run(&self, profile: &ProfileSpec, from_ns: u64, length_ns: u64) -> Vec<ProfileReport> {
        let mut order = self.order.clone();
        let wait = Duration::from_nanos(from_ns.saturating_sub(monotonic_ns()));
        let is_time = tokio::select! {
            () = tokio::time::sleep(wait) => true,
            Ok(_) = order.wait_for(|order| *order != ProfileOrder::Begin) => false,
        };
        if !is_time {
            let reason = "the run ended before its time had come";
            return vec![self.without(profile, "", ProfileOutcome::Stopped, reason).await];
        }
        let present = self.nodes.present();
        let nodes: Vec<String> = match selected(&present, &profile.nodes, |node| node.role == Role::Client) {
            Ok(nodes) => nodes.iter().map(|node| node.name.clone()).collect(),
            // It was looked at when it was submitted.
            Err(_) => Vec::new(),
        };
        if nodes.is_empty() {
            let reason = "no client node matches; start one there with `nuncius client --allow-profile PROGRAM`";
            return vec![self.without(profile, "", ProfileOutcome::NoNode, reason).await];
        }
        if let Some(more) = nodes.len().checked_sub(PROFILE_NODES_MAX).filter(|more| *more > 0) {
            let text = format!("profile {}: {PROFILE_NODES_MAX} nodes run it, the most; {more} do not", profile.name);
            let _ = self.tell.send((EventKind::Warning, text)).await;
        }
        let until_ns = from_ns.saturating_add(length_ns);
        let asked = nodes.iter().take(PROFILE_NODES_MAX).map(|node| self.ask(profile, node, until_ns));
        join_all(asked).await
    }

    /// Has one node run it; what became of it.
    async fn ask(&self, profile: &ProfileSpec, node: &str, until_ns: u64) -> ProfileReport {
        let command = |order| {
            NodeCommand::Profile(Box::new(Profile {
                experiment: self.experiment.clone(),
                token: self.token.load(Ordering::Relaxed),
                attempt: self.attempt,
                start_unix_ns: self.start_unix_ns,
                profile: profile.clone(),
                length_ns: until_ns.saturating_sub(monotonic_ns()),
                order,
            }))
        };
        let grace = profile.grace.to_std();
        let own_end = Instant::now() + Duration::from_nanos(until_ns.saturating_sub(monotonic_ns())) + grace * 2;
        let deadline = || {
            // Who is about to end by himself has the rest of his time, too.
            let end = self.ended_at.get().map_or(own_end, |at| (*at + grace * 3).min(own_end));
            // Whoever is gone tells nothing more.
            if self.nodes.get(node).is_some() { end + STORE_PATIENCE } else { Instant::now() }
        };
        match fleet::profile(&self.bus, node, command, self.order.clone(), deadline).await {
            Ok(report) => {
                // A node speaks of itself, and of what it was asked for.
                let report = ProfileReport { name: profile.name.clone(), node: node.to_owned(), ..report };
                self.tell(&report).await;
                report
            }
            Err(error @ (FleetError::Missing { .. } | FleetError::Refused { .. })) => {
                self.without(profile, node, ProfileOutcome::Unanswered, &error.to_string()).await
            }
        }
    }

    async fn without(&self, profile: &ProfileSpec, node: &str, outcome: ProfileOutcome, why: &str) -> ProfileReport {
        let report = ProfileReport::without(profile, node, outcome, why);
        self.tell(&report).await;
        report
    }

    /// Tells it as an event of the run.
    async fn tell(&self, report: &ProfileReport) {
        let _ = self.tell.send(words(report)).await;
    }
}

/// What is told of a profile.
fn words(report: &ProfileReport) -> Told {
    let ProfileReport { name, node, outcome, reason, size_bytes, .. } = report;
    let place = if node.is_empty() { String::new() } else { format!(" on node {node}") };
    match reason {
        None => (EventKind::Node, format!("profile {name}{place}: {outcome}, {}", ByteSize(*size_bytes))),
        Some(reason) => (EventKind::Warning, format!("profile {name}{place}: {outcome}: {reason}")),
    }
}

/// How profiles are to end: what they show of a run that somebody cancelled nobody wants.
pub(crate) const fn order_at_end(is_cancelled: bool) -> ProfileOrder {
    if is_cancelled { ProfileOrder::Stop } else { ProfileOrder::Finish }
}
