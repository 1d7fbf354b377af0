//! The hosts of a thread: what stands behind the target, as far as the thread has looked.

use super::PlainEngine;
use super::connection::connections_max;
use crate::http::reuse::Reuse;

impl PlainEngine {
    /// Goes by what stands behind the target now. Connections at rest to a host that is out of the route are closed.
    #[cold]
    pub(super) fn follow_route(&mut self) {
        self.upstream.look();
        self.number_hosts();
        let hosts = self.upstream.hosts();
        self.picker.follow(&hosts.spread);
        self.reuse.resize(hosts.len(), Reuse::default());
        self.idle.resize_with(hosts.len(), Vec::new);
        self.connections_max = connections_max(hosts, self.sequencer.pace.in_flight_max());
        for (_, idle) in self.idle.iter_mut().enumerate().filter(|(index, _)| !hosts.is_used(*index)) {
            for key in idle.drain(..) {
                self.connections.remove(key);
            }
        }
    }

    /// What the exchanges of each host are told under, where hosts are told apart.
    pub(super) fn number_hosts(&mut self) {
        let hosts = self.upstream.hosts();
        if !hosts.are_told() {
            return;
        }
        let all = (0..hosts.len()).filter_map(|index| hosts.get(index));
        self.numbers = all.map(|host| self.sequencer.recorder.host_number(host.address)).collect();
    }

    /// The address of a host, for samples of failures.
    pub(super) fn address(&self, host: usize) -> String {
        self.upstream.hosts().get(host).map(|host| host.address.to_string()).unwrap_or_default()
    }
}
