//! The arrivals of many clients, each of which waits before each of its requests: as many independent renewal
//! processes, merged in the order of time.
//!
//! Amendments act on the clients' own time: scaled by two it passes twice as fast, in a pause it stands still, and goes
//! on afterwards where it stood. Clients that are added begin then; those that are closed are the last ones. Everything
//! is a pure function of seed, group and amendments; whoever runs which requests changes nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use nuncius_schemas::interarrival::{Clients, LONGEST_SECONDS, SHORTEST_NS};
use nuncius_schemas::units::SECOND_NS;

use crate::arrival::{Arrival, Next};
use crate::tempo::{Stretches, Tempo};
use crate::variate::interarrival_seconds;

/// The arrivals of a group of clients.
#[derive(Debug, Clone)]
pub struct Renewals {
    clients: Clients,
    seed: u64,
    stream: u32,
    end_ns: u64,
    limit: u64,
    stretches: Stretches,
    at: usize,
    /// When each client sends next, in the clients' time, and the number of that request.
    due: BinaryHeap<Reverse<(u64, u32, u64)>>,
    /// Clients of smaller numbers are there.
    begun: u32,
    next_index: u64,
}

impl Renewals {
    /// For so long, at most `limit` arrivals. `stream` tells groups of one experiment apart.
    pub fn new(clients: Clients, seed: u64, stream: u32, duration_ns: u64, limit: Option<u64>) -> Self {
        let (count, stretches) = (clients.count, Stretches::new(clients.count));
        let mut renewals = Self {
            due: BinaryHeap::with_capacity(clients.count as usize),
            clients,
            seed,
            stream,
            end_ns: duration_ns,
            limit: limit.unwrap_or(u64::MAX),
            stretches,
            at: 0,
            begun: 0,
            next_index: 0,
        };
        renewals.begin(count, 0);
        renewals
    }

    /// From an instant on, at which nothing was taken yet, their time passes otherwise.
    pub fn amend(&mut self, tempo: Tempo) {
        self.stretches.amend(tempo);
    }

    /// They end at an instant of run time, if not before.
    pub fn end_at(&mut self, at_ns: u64) {
        self.end_ns = self.end_ns.min(at_ns);
    }

    /// How many tempos there are, at least one.
    pub fn pieces(&self) -> usize {
        self.stretches.count()
    }

    /// When they end, in nanoseconds of run time.
    pub fn end_ns(&self) -> u64 {
        self.end_ns
    }

    /// No more arrivals than these.
    pub(crate) fn at_most(&mut self, limit: u64) {
        self.limit = self.limit.min(limit);
    }

    /// The same, of which nothing was taken.
    #[must_use]
    pub fn at_the_start(&self) -> Self {
        let (clients, limit) = (self.clients.clone(), Some(self.limit));
        let mut fresh = Self::new(clients, self.seed, self.stream, self.end_ns, limit);
        self.stretches.iter().skip(1).for_each(|stretch| fresh.amend(stretch.tempo));
        fresh
    }

    /// Takes the next arrival, if it is planned before an instant of run time.
    pub fn next_before(&mut self, limit_ns: u64) -> Next {
        if self.next_index >= self.limit {
            return Next::End;
        }
        loop {
            let Some(stretch) = self.stretches.get(self.at).copied() else { return Next::End };
            let until_ns = self.stretches.until_ns(self.at);
            let due = self.due.peek().map(|Reverse(due)| *due);
            let planned_ns = due.map_or(u64::MAX, |(own_ns, ..)| stretch.run_at(own_ns));
            if until_ns.is_some_and(|until_ns| planned_ns >= until_ns) {
                self.turn();
                continue;
            }
            if planned_ns >= self.end_ns {
                // Whoever has sent all of their requests are done before that.
                let all_done = due.is_none() && self.clients.requests.is_some();
                return if limit_ns < self.end_ns && !all_done { Next::NotBefore(self.end_ns) } else { Next::End };
            }
            if planned_ns >= limit_ns {
                return Next::NotBefore(planned_ns);
            }
            let Some(Reverse((own_ns, client, request))) = self.due.pop() else { return Next::End };
            self.push(client, request + 1, own_ns);
            let index = self.next_index;
            self.next_index += 1;
            return Next::Arrival(Arrival { index, planned_ns });
        }
    }

    /// The next tempo begins.
    fn turn(&mut self) {
        self.at += 1;
        if let Some(stretch) = self.stretches.get(self.at).copied() {
            self.begin(stretch.tempo.count, stretch.own_ns);
        }
    }

    /// Clients of smaller numbers than this are there, from an instant of their time on.
    fn begin(&mut self, count: u32, own_ns: u64) {
        self.due.retain(|Reverse((_, client, _))| *client < count);
        for client in self.begun..count {
            self.push(client, 0, own_ns);
        }
        self.begun = count;
    }

    fn push(&mut self, client: u32, request: u64, after_ns: u64) {
        if self.clients.requests.is_some_and(|most| request >= most) {
            return;
        }
        let of = &self.clients.interarrival;
        let Some(seconds) = interarrival_seconds(of, self.seed, self.stream, (client, request)) else { return };
        // No number is negative or too large by now; one that is none counts as the shortest.
        let wait_ns = (seconds.clamp(0.0, LONGEST_SECONDS) * SECOND_NS as f64) as u64;
        let due_ns = after_ns.saturating_add(wait_ns.max(SHORTEST_NS));
        self.due.push(Reverse((due_ns, client, request)));
    }
}

#[cfg(test)]
mod tests {
    use nuncius_schemas::amendment::Multiplier;
    use nuncius_schemas::interarrival::Interarrival;

    use super::*;

    fn clients(count: u32, interarrival: Interarrival) -> Renewals {
        let clients = Clients { count, interarrival, requests: None };
        Renewals::new(clients, 5, 1, 10 * SECOND_NS, None)
    }

    fn walked(mut renewals: Renewals) -> Vec<u64> {
        let mut planned = Vec::new();
        while let Next::Arrival(arrival) = renewals.next_before(u64::MAX) {
            assert_eq!(arrival.index, planned.len() as u64);
            planned.push(arrival.planned_ns / 1_000_000);
        }
        planned
    }

    fn tempo(from_ms: u64, factor: f64, count: u32) -> Tempo {
        Tempo { from_ns: from_ms * 1_000_000, factor: Multiplier::new(factor).unwrap(), count }
    }

    #[test]
    fn every_client_waits_before_each_of_its_requests() {
        assert_eq!(walked(clients(2, Interarrival::Constant(4.0))), [4_000, 4_000, 8_000, 8_000]);
        assert_eq!(walked(clients(1, Interarrival::List(vec![1.0, 2.5, 9.0]))), [1_000, 3_500]);
        let limited = Clients { count: 2, interarrival: Interarrival::Constant(1.0), requests: Some(3) };
        let mut limited = Renewals::new(limited, 5, 1, 10 * SECOND_NS, None);
        assert_eq!(walked(limited.clone()).len(), 6);
        // They are done with the last, not at the end of the time that they have.
        let taken = (0..6).filter(|_| matches!(limited.next_before(4 * SECOND_NS), Next::Arrival(_))).count();
        assert_eq!((taken, limited.next_before(4 * SECOND_NS)), (6, Next::End));
    }

    #[test]
    fn their_time_stands_still_in_a_pause_and_passes_faster_when_it_is_scaled() {
        let mut renewals = clients(1, Interarrival::Constant(1.0));
        renewals.amend(tempo(1_500, 0.0, 1));
        renewals.amend(tempo(4_000, 1.0, 1));
        renewals.amend(tempo(6_500, 4.0, 1));
        // 0.5 s are left at the pause; a whole one at 6.5 s, which passes in a quarter.
        let expected = [1_000, 4_500, 5_500, 6_500, 6_750, 7_000, 7_250, 7_500, 7_750, 8_000, 8_250, 8_500];
        assert_eq!(walked(renewals.clone())[..12], expected);
        assert_eq!(walked(renewals.at_the_start()), walked(renewals));
    }

    #[test]
    fn clients_that_are_added_begin_then_and_those_that_are_closed_send_nothing_more() {
        let mut renewals = clients(1, Interarrival::Constant(2.0));
        renewals.amend(tempo(3_000, 1.0, 3));
        renewals.amend(tempo(6_000, 1.0, 2));
        assert_eq!(walked(renewals), [2_000, 4_000, 5_000, 5_000, 6_000, 7_000, 8_000, 9_000]);
    }

    #[test]
    fn a_time_of_nothing_ends_all_the_same() {
        let zero = Interarrival::List(vec![0.0; 10_000]);
        assert_eq!(walked(clients(3, zero)).len(), 30_000);
        let mut tiny = clients(1, Interarrival::Normal { mu: 1e-12, sigma: 5.0 });
        let taken = (0..1_000).filter(|_| matches!(tiny.next_before(u64::MAX), Next::Arrival(_))).count();
        assert!(taken > 0 && taken <= 1_000);
    }
}
