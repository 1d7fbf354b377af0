//! Routes follow the routing table while load is offered.
//!
//! A change is in the record before any node hears of it, so that whoever takes the run up, or is told to take shards
//! over, goes by the same routes. A node goes by them from its next request on; one that cannot keeps those it has, and
//! the run goes on.

use std::collections::BTreeMap;

use nuncius_bus::BusError;
use nuncius_bus::kv::{Entry, KvEvent, Operation};
use nuncius_clock::monotonic_ns;
use nuncius_schemas::codec;
use nuncius_schemas::event::EventKind;
use nuncius_schemas::node::{NodeCommand, Reroute};
use nuncius_schemas::route::{Route, Weight};
use tracing::debug;

use super::Watch;
use super::table::follows;
use crate::fleet::FleetError;
use crate::journal::JournalError;

impl Watch<'_> {
    /// The routing table has changed, or is read for the first time.
    ///
    /// # Errors
    /// The run is no longer ours.
    pub(super) async fn routed(&mut self, event: Result<KvEvent, BusError>) -> Result<(), JournalError> {
        let entry = match event {
            Ok(KvEvent::Entry(entry)) => entry,
            Ok(KvEvent::Current) => return Ok(()),
            Err(error) => {
                debug!(%error, "the routing table cannot be watched: trying again");
                return Ok(());
            }
        };
        let record = &self.running.journal.record;
        let known = record.routes.iter().find(|route| route.service == entry.key);
        let Some(known) = known.filter(|_| follows(&record.spec, &entry.key)) else { return Ok(()) };
        match self.usable(known, &entry) {
            Ok(None) => Ok(()),
            Ok(Some(route)) => self.reroute(route, entry.revision).await,
            Err(problem) => {
                let text = format!("the route of {} {problem}: the run goes on by the one it has", entry.key);
                self.running.journal.say(EventKind::Warning, &text, BTreeMap::new()).await;
                Ok(())
            }
        }
    }

    /// What has become of a route; none where it is the same.
    fn usable(&self, known: &Route, entry: &Entry) -> Result<Option<Route>, String> {
        match entry.operation {
            Operation::Put => {}
            Operation::Delete | Operation::Expired => {
                return Err("is no longer in the routing table".to_owned());
            }
        }
        let route: Route = codec::decode(&entry.value)
            .map_err(|error| format!("cannot be read ({})", self.running.daemon.routes.unreadable(entry, &error)))?;
        if route.service != known.service {
            return Err(format!("is one of {}", route.service));
        }
        if route.hosts.iter().all(|host| host.weight == Weight::ZERO) {
            return Err("has no address with a weight over 0".to_owned());
        }
        Ok((route.hosts != known.hosts).then_some(route))
    }

    async fn reroute(&mut self, route: Route, revision: u64) -> Result<(), JournalError> {
        if self.cut_short.is_some() || self.draining {
            return Ok(());
        }
        let hosts: Vec<String> = route.hosts.iter().map(|host| format!("{}={}", host.address, host.weight)).collect();
        let text = format!("the route of {} is now {} (revision {revision})", route.service, hosts.join(" "));
        let data = BTreeMap::from([
            ("change".to_owned(), "route".to_owned()),
            ("service".to_owned(), route.service.clone()),
            ("revision".to_owned(), revision.to_string()),
        ]);
        let seen_ns = monotonic_ns();
        // First of all the record: whoever tells a node of it after this finds it there.
        let record = &mut self.running.journal.record;
        record
            .routes
            .iter_mut()
            .filter(|known| known.service == route.service)
            .for_each(|known| *known = route.clone());
        record.route_changes += 1;
        self.routing.latest = Some((record.route_changes, seen_ns));
        self.routing.refused.clear();
        self.running.journal.write().await?;
        self.tell_routes();
        self.running.journal.say(EventKind::Control, &text, data).await;
        Ok(())
    }

    /// Tells the nodes that have not heard of them of the routes as they are now.
    pub(super) fn tell_routes(&mut self) {
        let number = self.running.journal.record.route_changes;
        if number == 0 || self.cut_short.is_some() {
            return;
        }
        for name in &self.names {
            let is_heard = self.routing.heard.get(name).is_some_and(|heard| *heard >= number);
            if is_heard || self.has_ended(name) {
                continue;
            }
            let (record, token, attempt) = (&self.running.journal.record, self.running.lease.token(), self.attempt);
            self.asking.reroute(name, number, || {
                let (experiment, routes) = (record.id.clone(), record.routes.clone());
                NodeCommand::Reroute(Box::new(Reroute { experiment, token, attempt, number, routes }))
            });
        }
    }

    /// What a node says to a change.
    pub(super) async fn rerouted(&mut self, node: String, number: u32, outcome: Result<(), FleetError>) {
        self.asking.rerouted(&node);
        let refusal = match outcome {
            Ok(()) => None,
            // It is asked again.
            Err(FleetError::Missing { .. }) => return,
            Err(FleetError::Refused { reason, .. }) => Some(reason),
        };
        self.routing.heard.insert(node.clone(), number);
        if let Some(reason) = refusal.filter(|_| !self.has_ended(&node)) {
            let text = format!("node {node} keeps to the routes that it has: {reason}");
            self.routing.refused.insert(node);
            self.running.journal.say(EventKind::Warning, &text, BTreeMap::new()).await;
        }
        // There may be a later one already.
        self.tell_routes();
        if let Some((nodes, after_ns)) = self.all_routed() {
            let after_ms = after_ns as f64 / 1e6;
            let text = format!("{nodes} nodes go by the new route {after_ms:.1} ms after it was seen");
            let data = BTreeMap::from([
                ("nodes".to_owned(), nodes.to_string()),
                ("after_ns".to_owned(), after_ns.to_string()),
            ]);
            self.running.journal.say(EventKind::Node, &text, data).await;
        }
    }

    /// How many nodes go by the latest change, and after how long, once all have heard of it.
    fn all_routed(&mut self) -> Option<(usize, u64)> {
        let (number, seen_ns) = self.routing.latest?;
        let is_open =
            |name: &&String| !self.has_ended(name) && self.routing.heard.get(*name).is_none_or(|heard| *heard < number);
        if self.names.iter().any(|name| is_open(&name)) {
            return None;
        }
        self.routing.latest = None;
        let nodes = self.routing.heard.values().filter(|heard| **heard >= number).count();
        Some((nodes.saturating_sub(self.routing.refused.len()), monotonic_ns().saturating_sub(seen_ns)))
    }
}
