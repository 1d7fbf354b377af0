//! What takes too long.

use nuncius_schemas::metric::FailureKind;

use super::PlainEngine;
use super::connection::State;

/// Timeouts are looked for at most this often.
const TIMEOUT_STEP_NS: u64 = 5_000_000;

impl PlainEngine {
    /// When what begins now will have taken too long.
    #[inline]
    pub(super) fn arm(&mut self, now_ns: u64) -> u64 {
        let timer_ns = now_ns.saturating_add(self.plan.timeout_ns);
        // All timeouts of a group are equally long: one that begins later never ends first.
        self.timeout_due_ns = self.timeout_due_ns.min(timer_ns);
        timer_ns
    }

    pub(super) fn expire(&mut self, now_ns: u64) {
        let mut next_ns = u64::MAX;
        let mut expired = Vec::new();
        for (key, connection) in self.connections.iter().filter(|(_, connection)| connection.state != State::Idle) {
            if connection.timer_ns <= now_ns {
                expired.push(key);
            } else {
                next_ns = next_ns.min(connection.timer_ns);
            }
        }
        self.timeout_due_ns = if next_ns == u64::MAX { next_ns } else { next_ns.max(now_ns + TIMEOUT_STEP_NS) };
        for key in expired {
            let Some(connection) = self.connections.remove(key) else { continue };
            let Some(iteration) = connection.iteration else { continue };
            let address = self.address(connection.host);
            if connection.state == State::Connecting && iteration.sent_ns == 0 {
                let sample = || format!("connect {address}: no answer within the timeout");
                self.dispatcher.failed(iteration, FailureKind::Timeout, now_ns, sample);
            } else {
                let sample = || format!("{address}: no complete answer within the timeout");
                self.dispatcher.failed(iteration, FailureKind::Timeout, now_ns, sample);
            }
        }
    }
}
