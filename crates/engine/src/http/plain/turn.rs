//! What a thread does between two events: it takes what is due, and begins what can be begun.

use std::os::fd::AsFd;

use nuncius_clock::monotonic_ns;
use rustix::event::Timespec;

use super::connection::Key;
use super::{PlainEngine, Tries};
use crate::http::reuse::{self, Rest, Reuse};
use crate::sequencer::Iteration;

impl PlainEngine {
    /// What is due is taken, what can be is begun: on connections at rest, and on at most `openings` new ones. One that
    /// is opened costs as much as ten requests, and most of what a thread that was held up finds without a connection
    /// has one as soon as the answers that came meanwhile are read.
    #[inline]
    pub(super) fn turn(&mut self, now_ns: u64, openings: usize) {
        if now_ns >= self.timeout_due_ns {
            self.expire(now_ns);
        }
        if now_ns >= self.sequencer.pace.due_ns() {
            self.sequencer.poll(now_ns);
        }
        if now_ns >= self.held_due_ns {
            self.let_through(now_ns);
        }
        // Each is sent at a reading of its own: what the ones before it took is its lag, not the target's service.
        let mut send_ns = now_ns;
        let mut openings = openings;
        self.is_behind = false;
        loop {
            // Looked at before each: a change of the route holds from the next request on, however many are due.
            if self.upstream.is_behind() {
                self.follow_route();
            }
            if openings == 0 && self.idle.iter().all(Vec::is_empty) {
                self.is_behind = self.sequencer.pace.has_next(send_ns);
                break;
            }
            let Some(iteration) = self.sequencer.next(send_ns) else { break };
            let host = self.picker.pick(iteration.exchange.index);
            if !self.begin(host, iteration, send_ns) {
                openings = openings.saturating_sub(1);
            }
            if self.sequencer.pace.has_next(send_ns) {
                send_ns = monotonic_ns();
            }
        }
    }

    /// How long the thread may sleep; without end where nothing is due.
    pub(super) fn sleep_until(&self, now_ns: u64) -> Option<Timespec> {
        let due_ns = self.sequencer.pace.wake_ns(now_ns).min(self.timeout_due_ns).min(self.held_due_ns);
        let due_ns = if self.is_behind { now_ns } else { due_ns };
        let sleep_ns = due_ns.saturating_sub(now_ns);
        // Both fit: quotient and remainder of a u64 by a thousand million.
        (due_ns != u64::MAX).then_some(Timespec {
            tv_sec: (sleep_ns / 1_000_000_000) as i64,
            tv_nsec: (sleep_ns % 1_000_000_000) as i64,
        })
    }

    /// Sends what has waited for the cap on the rate.
    #[cold]
    fn let_through(&mut self, now_ns: u64) {
        self.held_due_ns = u64::MAX;
        let mut now_ns = now_ns;
        while let Some((host, mut iteration)) = self.held.pop_front() {
            if let Err(at_ns) = self.sequencer.permit(&mut iteration, now_ns) {
                self.held.push_front((host, iteration));
                self.held_due_ns = at_ns;
                return;
            }
            self.begin(host, iteration, now_ns);
            now_ns = monotonic_ns();
        }
    }

    /// Whether the iteration's request may be written now; keeps it until then otherwise.
    #[inline]
    pub(super) fn is_permitted(&mut self, host: usize, iteration: &mut Iteration, now_ns: u64) -> bool {
        let permitted = if self.held.is_empty() {
            self.sequencer.permit(iteration, now_ns)
        } else {
            // Those that came before it have the turn.
            iteration.exchange.is_held = true;
            Err(self.held_due_ns)
        };
        match permitted {
            Ok(()) => true,
            Err(at_ns) => {
                self.hold(host, *iteration, at_ns);
                false
            }
        }
    }

    #[cold]
    fn hold(&mut self, host: usize, iteration: Iteration, at_ns: u64) {
        self.held.push_back((host, iteration));
        self.held_due_ns = self.held_due_ns.min(at_ns);
    }

    /// Whether a connection at rest may have this request: not where the peer has said that it would have closed it by
    /// now. Where connections have been cut lately, a request that must not be sent twice looks first.
    #[inline]
    fn is_usable(&mut self, key: Key, host: usize, iteration: &Iteration, now_ns: u64) -> bool {
        let Some(connection) = self.connections.get_mut(key) else { return false };
        if now_ns >= connection.idle_until_ns {
            return false;
        }
        if !self.reuse.get(host).is_some_and(Reuse::is_suspect) {
            return true;
        }
        let request = Self::http(&self.plan).and_then(|http| http.requests.get(usize::from(iteration.exchange.step)));
        request.is_some_and(|request| request.idempotent) || reuse::look(connection.socket.as_fd()) == Rest::Quiet
    }

    /// Whether a connection at rest has taken it.
    pub(super) fn begin(&mut self, host: usize, iteration: Iteration, now_ns: u64) -> bool {
        while let Some(key) = self.idle.get_mut(host).and_then(Vec::pop) {
            if self.is_usable(key, host, &iteration, now_ns) {
                if let Some(connection) = self.connections.get_mut(key) {
                    connection.iteration = Some(iteration);
                    connection.is_reused = true;
                }
                self.write_request(key, now_ns);
                return true;
            }
            self.connections.remove(key);
        }
        self.open_for(host, iteration, now_ns);
        false
    }

    pub(super) fn open_for(&mut self, host: usize, mut iteration: Iteration, now_ns: u64) {
        // Also where no connection comes about.
        iteration.exchange.host = self.numbers.get(host).copied().unwrap_or(0);
        if self.connections.len() >= self.connections_max {
            let longest = self.idle.iter_mut().max_by_key(|idle| idle.len());
            if let Some(key) = longest.filter(|idle| !idle.is_empty()).map(|idle| idle.remove(0)) {
                self.connections.remove(key);
            }
        }
        self.open(host, Some(iteration), Tries::default(), now_ns);
    }
}
