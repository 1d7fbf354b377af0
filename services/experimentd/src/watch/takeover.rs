//! Load of lost nodes moves to the others, from the horizon of the lost one on: no arrival is offered twice, whoever
//! lives and whoever wakes up.
//!
//! A move is stored with the books before anybody is told of it, so that a daemon that takes the run over knows of it.

use std::collections::{BTreeMap, BTreeSet};

use nuncius_clock::monotonic_ns;
use nuncius_schemas::event::EventKind;
use nuncius_schemas::node::{NodeCommand, Take};
use nuncius_schemas::spec::OnNodeLoss;
use nuncius_schemas::units::SECOND_NS;

use super::Watch;
use crate::fleet::FleetError;
use crate::outcome::CutShort;
use crate::plan::moving::{Move, Part, held, spread};
use crate::timing::nanoseconds;

impl Watch<'_> {
    /// Whether a node has been silent for so long, and its horizon is so near, that its load has to move now. Earlier
    /// it could not move anyway.
    pub(super) fn is_silent(&self, name: &str) -> bool {
        let timing = &self.running.daemon.timing;
        let (run_ns, now_ns) = (self.run_ns(), monotonic_ns());
        let is_takeover = self.running.journal.record.spec.on_node_loss == OnNodeLoss::Takeover;
        let has_others = self.names.iter().any(|other| other != name && !self.has_ended(other));
        // Where nobody could take its load over, whoever is only out of reach may yet come back.
        if !is_takeover || !has_others || self.cut_short.is_some() || run_ns >= self.last_ns() {
            return false;
        }
        // Silence is a node's own only while we could have heard it.
        let connected_ns = nanoseconds(self.running.daemon.bus.connected_for());
        let could_hear_ns = connected_ns.min(self.hearing.could_hear_ns(now_ns));
        let silent_ns = self.hearing.silent_ns(name, now_ns);
        let is_near = run_ns.saturating_add(nanoseconds(timing.takeover_lead)) >= self.asking.horizon_ns(name);
        is_near
            && silent_ns > nanoseconds(timing.silence)
            && could_hear_ns > nanoseconds(timing.silence + timing.reconnect_patience)
    }

    /// Decides what becomes of the load of nodes that were lost and of which nothing was decided yet.
    pub(super) async fn plan_moves(&mut self) {
        let moved: BTreeSet<&String> = self.moves.iter().map(|made| &made.from).collect();
        let lost: Vec<String> = self.lost.keys().filter(|name| !moved.contains(name)).cloned().collect();
        for name in lost {
            if self.cut_short.is_some() {
                return;
            }
            match self.running.journal.record.spec.on_node_loss {
                OnNodeLoss::Takeover => self.plan_move(&name).await,
                OnNodeLoss::Shrink => {}
                OnNodeLoss::End => {
                    let reason = format!("node {name} was lost, and `on_node_loss` is end");
                    self.cut(CutShort { reason, cancelled: false }).await;
                }
            }
        }
    }

    async fn plan_move(&mut self, name: &str) {
        let Some(lost) = self.lost.get(name) else { return };
        let lead_ns = nanoseconds(self.running.daemon.timing.takeover_lead);
        let from_ns = lost.horizon_ns.max(self.run_ns().saturating_add(lead_ns));
        let spec = &self.running.journal.record.spec;
        let parts: Vec<Part> = held(&self.plan, &self.moves, name)
            .into_iter()
            .filter(|part| is_offered_after(spec, part.group, from_ns))
            .collect();
        let survivors: Vec<(String, u32)> = self
            .names
            .iter()
            .filter(|other| !self.has_ended(other))
            .map(|other| {
                let info = self.running.daemon.nodes.get(other);
                let weight = info.and_then(|info| info.capacity).map_or(1, |capacity| capacity.weight.max(1));
                (other.clone(), weight)
            })
            .collect();
        if parts.is_empty() || survivors.is_empty() {
            return;
        }
        let shares = spread(&self.plan, &parts, &survivors);
        let number = u32::try_from(self.moves.len()).unwrap_or(u32::MAX).saturating_add(1);
        let seconds = from_ns as f64 / SECOND_NS as f64;
        let others = shares.keys().cloned().collect::<Vec<_>>().join(", ");
        let text = format!("from {seconds:.1} s of run time on, {others} offer what {name} was to offer");
        let (taken, refused) = Default::default();
        self.moves.push(Move { number, from: name.to_owned(), from_ns, shares, taken, refused });
        self.checkpointing.hurry();
        self.checkpoint_when_due();
        self.running.journal.say(EventKind::Node, &text, BTreeMap::new()).await;
    }

    /// Tells everybody what to take over who has not said yet that they do.
    pub(super) fn take_over(&mut self) {
        // Another daemon may have taken the run up, and know nothing of what was decided since.
        if self.cut_short.is_some() || !self.running.lease.is_valid() {
            return;
        }
        let (attempt, token) = (self.attempt, self.running.lease.token());
        let experiment = self.running.journal.record.id.clone();
        let amendments = self.running.journal.record.spec.amendments.clone();
        let mut orders = Vec::new();
        for made in self.moves.iter().take(self.checkpointing.moves_stored()) {
            let open = made.shares.iter().filter(|(node, _)| {
                !made.taken.contains(*node) && !made.refused.contains(*node) && !self.has_ended(node)
            });
            orders.extend(open.map(|(node, assignments)| {
                let (number, from_ns) = (made.number, made.from_ns);
                let (experiment, assignments) = (experiment.clone(), assignments.clone());
                let amendments = amendments.clone();
                (node.clone(), Take { experiment, token, attempt, number, from_ns, assignments, amendments })
            }));
        }
        for (node, order) in orders {
            self.asking.take(&node, order.number, || NodeCommand::Take(Box::new(order.clone())));
        }
    }

    /// What a node has said.
    pub(super) async fn taken(&mut self, node: String, number: u32, outcome: Result<(), FleetError>) {
        self.asking.taken(&node, number);
        let run_ns = self.run_ns();
        let Some(made) = self.moves.iter_mut().find(|made| made.number == number) else { return };
        let text = match outcome {
            Ok(()) => {
                made.taken.insert(node.clone());
                let late_ns = run_ns.saturating_sub(made.from_ns);
                (late_ns > 0).then(|| {
                    let late = late_ns as f64 / SECOND_NS as f64;
                    format!("node {node} was ready for what {} was to offer {late:.1} s late", made.from)
                })
            }
            // It is asked again.
            Err(FleetError::Missing { .. }) => None,
            Err(FleetError::Refused { reason, .. }) => {
                let text = format!("node {node} does not take over from {}: {reason}", made.from);
                made.refused.insert(node);
                Some(text)
            }
        };
        if let Some(text) = text {
            self.running.journal.say(EventKind::Warning, &text, BTreeMap::new()).await;
        }
    }
}

/// Whether anything of a group is offered after an instant that others could take over. Which of its iterations a lost
/// node's user had done nobody knows, so that users with a limit of them stay lost.
fn is_offered_after(spec: &nuncius_schemas::spec::ExperimentSpec, group: u16, from_ns: u64) -> bool {
    let Some(group) = spec.groups.get(usize::from(group)) else { return false };
    let is_countable = group.is_open() || group.iterations.is_none();
    is_countable && spec.offered_ns_of(group).is_none_or(|end_ns| end_ns > from_ns)
}
