//! Horizons: how far ahead of what is acknowledged each node may offer.

use std::collections::BTreeMap;

use nuncius_bus::clock::monotonic_ns;
use nuncius_schemas::event::EventKind;
use nuncius_schemas::units::SECOND_NS;

use super::Watch;
use crate::fleet::FleetError;

impl Watch<'_> {
    /// Moves a node's horizon on from what it has been acknowledged for.
    pub(super) fn extend(&mut self, name: &str) {
        if self.cut_short.is_some() || self.has_ended(name) {
            return;
        }
        let through_second = self.totals.nodes.get(name).and_then(|node| node.through_second);
        let through_ns = through_second.map_or(0, |second| (u64::from(second) + 1) * SECOND_NS);
        let horizon_ns = through_ns.saturating_add(self.horizon_ns);
        let acknowledged = self.totals.complete_through(name);
        let (running, attempt) = (&*self.running, self.attempt);
        let command = || crate::start::extend_command(running, attempt, horizon_ns, acknowledged);
        self.asking.extend(name, horizon_ns, command);
    }

    /// A node knows its horizon; one that had stood there goes on.
    pub(super) async fn extended(&mut self, node: &str, horizon_ns: u64, outcome: Result<(), FleetError>) {
        let before_ns = self.asking.heard_horizon_ns(node);
        self.asking.extended(node, horizon_ns, outcome.is_ok());
        if let Err(error) = outcome {
            if self.epochs.get(node).is_some_and(|epoch| error.is_unknown_to(*epoch)) {
                // It answers, and has nothing to do with the run any more: nothing will come of it but what the stream
                // has.
                self.strangers.insert(node.to_owned());
            }
            return;
        }
        self.hearing.heard(node, monotonic_ns());
        let run_ns = self.run_ns();
        if before_ns > 0 && run_ns > before_ns && before_ns < self.last_ns() {
            let (from, to) = (before_ns as f64 / SECOND_NS as f64, run_ns as f64 / SECOND_NS as f64);
            let text = format!("node {node} stood at its horizon from {from:.1} s to {to:.1} s of run time");
            self.running.journal.say(EventKind::Node, &text, BTreeMap::new()).await;
        }
    }
}
