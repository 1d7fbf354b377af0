//! Nodes that are given up: gone, restarted, or without an end.

use std::collections::BTreeMap;

use nuncius_bus::clock::monotonic_ns;
use nuncius_schemas::event::EventKind;
use nuncius_schemas::units::SECOND_NS;

use super::{Lost, Watch};
use crate::figures::{FIGURES, count};
use crate::nodes::Whereabouts;
use crate::timing::nanoseconds;

impl Watch<'_> {
    /// Nodes that are gone, that came back as somebody else, or that will not come to an end; and why.
    fn gone(&self) -> Vec<(String, String)> {
        let run_ns = self.run_ns();
        let drain_ns = match &self.cut_short {
            Some(cut) => self.drain_ns(cut),
            None => self.running.journal.record.spec.drain.0,
        };
        let over_ns = match (self.stopped_ns, self.end_ns) {
            (Some(stopped), _) => Some(stopped.saturating_add(drain_ns)),
            (None, end) => end.map(|end| end.saturating_add(drain_ns)),
        };
        let patience_ns = nanoseconds(self.running.daemon.timing.last_delta_patience);
        let is_late = over_ns.is_some_and(|over| run_ns > over.saturating_add(patience_ns))
            && self.running.daemon.bus.connected_for().as_nanos() > u128::from(patience_ns);
        let silence_ns = nanoseconds(self.running.daemon.timing.silence);
        let waiting = self.names.iter().filter(|name| !self.has_ended(name));
        let reason_of = |name: &String| match self.whereabouts(name) {
            Whereabouts::Gone => Some("it left the registry"),
            // One that lost its name in an outage is about to be seen under another.
            Whereabouts::Replaced if self.hearing.silent_ns(name, monotonic_ns()) > silence_ns => {
                Some("it was restarted")
            }
            Whereabouts::Replaced => None,
            Whereabouts::Here | Whereabouts::Renamed(_) => match () {
                () if self.strangers.contains(name) => Some("it does not work for the run any more"),
                () if is_late => Some("its last delta did not come in time"),
                () if self.is_silent(name) => Some("it does not answer any more"),
                () => None,
            },
        };
        waiting.filter_map(|name| Some((name.clone(), reason_of(name)?.to_owned()))).collect()
    }

    /// Where the incarnation of a node that was planned with is now.
    pub(super) fn whereabouts(&self, name: &str) -> Whereabouts {
        let epoch = self.epochs.get(name).copied().unwrap_or(0);
        self.running.daemon.nodes.whereabouts(name, epoch)
    }

    /// A node that was told to end has told everything; whether there was more for it to offer.
    pub(super) fn leave(&mut self, name: &str) -> bool {
        let run_ns = self.run_ns();
        if !self.totals.is_complete(name) || self.cut_short.is_some() || run_ns >= self.last_ns() {
            return false;
        }
        let reason = "it was told to end before its part was over".to_owned();
        // Nothing is in doubt: what it did not report it has not offered.
        self.lost.insert(name.to_owned(), Lost { reason, horizon_ns: 0, told_ns: run_ns });
        true
    }

    /// Asks the stream before anybody is given up: what a node published before it went may still be on its way.
    pub(super) fn look_for_lost(&mut self) {
        if !self.gone().is_empty() {
            let id = self.running.journal.record.id.clone();
            self.asking.last_stored(&id);
        }
    }

    /// Gives nodes up, once everything is merged that the stream had when it was asked.
    pub(super) async fn give_up(&mut self, last_stored: Result<Option<u64>, ()>) {
        self.asking.stream_answered();
        if !last_stored.is_ok_and(|last| last.is_none_or(|last| last <= self.stream_sequence)) {
            return;
        }
        for (name, gone) in self.gone() {
            count(&FIGURES.lost_nodes);
            let seen = self.totals.nodes.get(&name).and_then(|node| node.through_second);
            let until =
                seen.map_or("nothing of it was measured".to_owned(), |s| format!("measured through second {s}"));
            let reason = format!("{gone}; {until}");
            let told_ns = seen.map_or(0, |second| (u64::from(second) + 1) * SECOND_NS);
            // Whoever watched before us may have told it of as much as it has reported.
            let horizon_ns = self.asking.horizon_ns(&name).max(told_ns.saturating_add(self.horizon_ns));
            self.running.journal.say(EventKind::Node, &format!("node {name} is lost: {reason}"), BTreeMap::new()).await;
            self.lost.insert(name.clone(), Lost { reason, horizon_ns, told_ns });
            // Should it live and hear it, it ends; nobody waits for that.
            self.stop(&name);
        }
        self.plan_moves().await;
    }
}
