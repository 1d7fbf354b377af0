//! Standing still: the stub reads nothing further and answers nothing, then goes on where it was.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::answer::Stub;
use crate::timer::lock;

/// A planned standstill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freeze {
    /// Since the start of the stub.
    pub after: Duration,
    /// How long; `None` is for good.
    pub duration: Option<Duration>,
}

/// Until when the stub stands, on the clock that never does. Nanoseconds since its start; `u64::MAX` is for good.
pub(crate) const FOR_GOOD_NS: u64 = u64::MAX;

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(FOR_GOOD_NS)
}

impl Stub {
    /// Stands still from now.
    pub(crate) fn freeze_for(&self, duration: Option<Duration>) {
        let now_ns = self.wall.now_ns();
        self.freeze_until(duration.map_or(FOR_GOOD_NS, |duration| now_ns.saturating_add(nanoseconds(duration))));
    }

    fn freeze_until(&self, until_ns: u64) {
        let mut line = lock(&self.line);
        line.frozen_until_ns = Some(line.frozen_until_ns.map_or(until_ns, |known_ns| known_ns.max(until_ns)));
        self.clock.stop();
        self.frozen.store(true, Ordering::Release);
        drop(line);
        self.freeze_changed.notify_one();
    }

    /// Goes on; whoever was put aside is admitted under the same lock, so nobody overtakes them.
    pub(crate) fn thaw(&self) {
        let mut line = lock(&self.line);
        if line.frozen_until_ns.take().is_some() {
            self.clock.resume();
            let now_ns = self.clock.now_ns();
            line.queue.release(now_ns);
            self.frozen.store(false, Ordering::Release);
        }
        drop(line);
        self.freeze_changed.notify_one();
    }

    /// Freezes and thaws at their times, for ever.
    pub(crate) async fn keep_freezes(&self) {
        let mut planned: Vec<Freeze> = self.config.freeze.clone();
        planned.sort_by_key(|freeze| std::cmp::Reverse(freeze.after));
        loop {
            let now_ns = self.wall.now_ns();
            while planned.last().is_some_and(|freeze| nanoseconds(freeze.after) <= now_ns) {
                if let Some(Freeze { after, duration }) = planned.pop() {
                    let length_ns = duration.map_or(FOR_GOOD_NS, nanoseconds);
                    self.freeze_until(nanoseconds(after).saturating_add(length_ns));
                }
            }
            let until_ns = lock(&self.line).frozen_until_ns;
            if until_ns.is_some_and(|until_ns| until_ns <= now_ns) {
                self.thaw();
                continue;
            }
            let next_ns = planned
                .last()
                .map(|freeze| nanoseconds(freeze.after))
                .into_iter()
                .chain(until_ns)
                .filter(|at_ns| *at_ns != FOR_GOOD_NS)
                .min();
            match next_ns {
                None => self.freeze_changed.notified().await,
                Some(at_ns) => tokio::select! {
                    _ = self.wall.at(at_ns) => {}
                    () = self.freeze_changed.notified() => {}
                },
            }
        }
    }
}
