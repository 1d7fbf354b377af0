//! Pauses of sessions that end at their instant: tokio's own timer counts in milliseconds.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::io;
use std::task::{Poll, Waker};

use nuncius_clock::{Alarm, monotonic_ns};
use tokio::sync::Notify;

/// One who sleeps.
#[derive(Debug)]
struct Sleeper {
    at_ns: u64,
    /// In the order in which they lay down.
    number: u64,
    waker: Waker,
}

impl PartialEq for Sleeper {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Sleeper {}

impl PartialOrd for Sleeper {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sleeper {
    /// The greatest is the one that wakes first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_ns, other.number).cmp(&(self.at_ns, self.number))
    }
}

/// All who sleep on one thread.
#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    heap: RefCell<BinaryHeap<Sleeper>>,
    lain_down: Cell<u64>,
    /// One has lain down who wakes before all others.
    changed: Notify,
}

impl Sleepers {
    /// Wakes those whose time has come, for ever.
    ///
    /// # Errors
    /// The system gave no timer.
    pub(crate) async fn run(&self) -> io::Result<()> {
        let alarm = Alarm::new()?;
        loop {
            let now_ns = monotonic_ns();
            let next_ns = loop {
                let mut heap = self.heap.borrow_mut();
                match heap.peek() {
                    None => break u64::MAX,
                    Some(sleeper) if sleeper.at_ns > now_ns => break sleeper.at_ns,
                    Some(_) => {
                        let woken = heap.pop();
                        drop(heap);
                        if let Some(sleeper) = woken {
                            sleeper.waker.wake();
                        }
                    }
                }
            };
            tokio::select! {
                result = alarm.sleep_until(next_ns) => result?,
                () = self.changed.notified() => {}
            }
        }
    }

    /// Returns at `at_ns` (CLOCK_MONOTONIC) or later.
    pub(crate) async fn until(&self, at_ns: u64) {
        let mut told: Option<Waker> = None;
        poll_fn(|context| {
            if monotonic_ns() >= at_ns {
                return Poll::Ready(());
            }
            if !told.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                self.lie_down(at_ns, context.waker().clone());
                told = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    fn lie_down(&self, at_ns: u64, waker: Waker) {
        let number = self.lain_down.get();
        self.lain_down.set(number + 1);
        let mut heap = self.heap.borrow_mut();
        let is_first = heap.peek().is_none_or(|first| at_ns < first.at_ns);
        heap.push(Sleeper { at_ns, number, waker });
        drop(heap);
        if is_first {
            self.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn sleepers_wake_in_the_order_of_their_instants_and_none_before_its_own() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let sleepers = Rc::new(Sleepers::default());
            let runner = Rc::clone(&sleepers);
            let woken = Rc::new(RefCell::new(Vec::new()));
            let run = tokio::task::spawn_local(async move { runner.run().await });
            let start_ns = monotonic_ns();
            let tasks: Vec<_> = [3u64, 1, 2, 0]
                .into_iter()
                .map(|rank| {
                    let (sleepers, woken) = (Rc::clone(&sleepers), Rc::clone(&woken));
                    tokio::task::spawn_local(async move {
                        let at_ns = start_ns + rank * 2_000_000;
                        sleepers.until(at_ns).await;
                        assert!(monotonic_ns() >= at_ns);
                        woken.borrow_mut().push(rank);
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            assert_eq!(*woken.borrow(), [0, 1, 2, 3]);
            run.abort();
        });
    }
}
