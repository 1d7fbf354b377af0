//! Deadlines exact to tens of microseconds: a heap of deadlines behind one Linux timerfd.
//!
//! The runtime's own timer counts milliseconds, which is coarser than the service times that a stub is asked for. The
//! queue runs on its own clock, nanoseconds since it was made, which can be stopped and started again: while it stands,
//! nothing falls due, and afterwards everything that was pending is late by exactly the time it stood.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

const SECOND_NS: u64 = 1_000_000_000;
/// The value of `stopped_at` while the clock runs.
const RUNNING: u64 = u64::MAX;

/// CLOCK_MONOTONIC in nanoseconds.
fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * SECOND_NS + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// A lock whose holder panicked is still a consistent heap: nothing under these locks can panic half way.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Entry {
    deadline_ns: u64,
    /// Breaks ties: first come, first woken.
    order: u64,
    wake: oneshot::Sender<()>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.deadline_ns, self.order) == (other.deadline_ns, other.order)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.deadline_ns, self.order).cmp(&(other.deadline_ns, other.order))
    }
}

#[derive(Default)]
struct Pending {
    heap: BinaryHeap<Reverse<Entry>>,
    order: u64,
    /// The deadline that the timerfd is set to; `None` when it is disarmed.
    armed_ns: Option<u64>,
    /// The length of the heap at which those whose waiter has gone are thrown out.
    crowded: usize,
}

/// Below this many deadlines nobody looks for waiters that have gone.
const CROWDED: usize = 4096;

/// A queue of deadlines with a clock of its own. Someone has to drive it: see [`Timer::drive`].
pub(crate) struct Timer {
    fd: AsyncFd<OwnedFd>,
    pending: Mutex<Pending>,
    /// What to subtract from CLOCK_MONOTONIC: the instant of creation plus all the time that the clock stood.
    offset_ns: AtomicU64,
    /// The clock's reading while it stands, [`RUNNING`] otherwise.
    stopped_at_ns: AtomicU64,
}

/// Registers a descriptor with the runtime.
#[expect(
    deprecated,
    reason = "deprecated for types that may close their descriptor early, which an OwnedFd cannot; the successor is unsafe"
)]
fn readable_fd(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}

impl Timer {
    /// A running clock at zero. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// When the kernel gives no timerfd (the limit of open files) or the runtime has no I/O driver.
    pub(crate) fn new() -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self {
            fd: readable_fd(fd)?,
            pending: Mutex::new(Pending::default()),
            offset_ns: AtomicU64::new(monotonic_ns()),
            stopped_at_ns: AtomicU64::new(RUNNING),
        })
    }

    /// The clock's reading in nanoseconds.
    pub(crate) fn now_ns(&self) -> u64 {
        match self.stopped_at_ns.load(Ordering::Acquire) {
            RUNNING => monotonic_ns().saturating_sub(self.offset_ns.load(Ordering::Acquire)),
            stopped => stopped,
        }
    }

    /// Stops the clock; nothing falls due until [`Timer::resume`].
    pub(crate) fn stop(&self) {
        let mut pending = lock(&self.pending);
        if self.stopped_at_ns.load(Ordering::Acquire) == RUNNING {
            self.stopped_at_ns.store(self.now_ns(), Ordering::Release);
            self.arm(&mut pending, None);
        }
    }

    /// Lets the clock run on from where it stood.
    pub(crate) fn resume(&self) {
        let mut pending = lock(&self.pending);
        let stopped_at_ns = self.stopped_at_ns.load(Ordering::Acquire);
        if stopped_at_ns != RUNNING {
            self.offset_ns.store(monotonic_ns().saturating_sub(stopped_at_ns), Ordering::Release);
            self.stopped_at_ns.store(RUNNING, Ordering::Release);
            let next = pending.heap.peek().map(|Reverse(entry)| entry.deadline_ns);
            self.arm(&mut pending, next);
        }
    }

    /// Asks to be woken at `deadline_ns` of this clock, never before. Entered into the queue at once, so that the
    /// order of the calls is the order of equal deadlines.
    pub(crate) fn at(&self, deadline_ns: u64) -> oneshot::Receiver<()> {
        let (wake, woken) = oneshot::channel();
        let mut pending = lock(&self.pending);
        if pending.heap.len() >= pending.crowded.max(CROWDED) {
            pending.heap.retain(|Reverse(entry)| !entry.wake.is_closed());
            pending.crowded = 2 * pending.heap.len();
        }
        let order = pending.order;
        pending.order += 1;
        pending.heap.push(Reverse(Entry { deadline_ns, order, wake }));
        let runs = self.stopped_at_ns.load(Ordering::Acquire) == RUNNING;
        if runs && pending.armed_ns.is_none_or(|armed_ns| deadline_ns < armed_ns) {
            self.arm(&mut pending, Some(deadline_ns));
        }
        woken
    }

    fn arm(&self, pending: &mut Pending, deadline_ns: Option<u64>) {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let at_ns = deadline_ns.map_or(0, |deadline_ns| {
            // Zero would disarm it; one nanosecond after boot is as much in the past.
            deadline_ns.saturating_add(self.offset_ns.load(Ordering::Acquire)).max(1)
        });
        let it_value = Timespec {
            tv_sec: i64::try_from(at_ns / SECOND_NS).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(at_ns % SECOND_NS).unwrap_or(0),
        };
        let spec = Itimerspec { it_interval: zero, it_value };
        match timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::ABSTIME, &spec) {
            Ok(_) => pending.armed_ns = deadline_ns,
            Err(error) => tracing::error!(%error, "cannot set the stub's timer"),
        }
    }

    /// Wakes whoever is due, for ever. Exactly one task runs this.
    ///
    /// # Errors
    /// When the runtime's I/O driver is gone.
    pub(crate) async fn drive(&self) -> io::Result<()> {
        let mut expirations = [0u8; 8];
        loop {
            let mut ready = self.fd.readable().await?;
            // Read before looking at the clock: a deadline armed meanwhile makes the descriptor ready again.
            let read = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut expirations[..])?));
            drop(ready);
            if let Ok(Err(error)) = read {
                return Err(error);
            }
            self.fire();
        }
    }

    fn fire(&self) {
        let mut pending = lock(&self.pending);
        if self.stopped_at_ns.load(Ordering::Acquire) != RUNNING {
            return;
        }
        loop {
            let now_ns = self.now_ns();
            while pending.heap.peek().is_some_and(|Reverse(entry)| entry.deadline_ns <= now_ns) {
                if let Some(Reverse(entry)) = pending.heap.pop() {
                    // The waiter may be gone: its client hung up.
                    let _ = entry.wake.send(());
                }
            }
            let next = pending.heap.peek().map(|Reverse(entry)| entry.deadline_ns);
            if next.is_none_or(|deadline_ns| deadline_ns > self.now_ns()) {
                if next != pending.armed_ns {
                    match next {
                        Some(_) => self.arm(&mut pending, next),
                        // It has fired and is disarmed already.
                        None => pending.armed_ns = None,
                    }
                }
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn driven() -> Arc<Timer> {
        let timer = Arc::new(Timer::new().unwrap());
        let driver = Arc::clone(&timer);
        tokio::spawn(async move { driver.drive().await });
        timer
    }

    #[tokio::test]
    async fn a_deadline_below_a_millisecond_is_never_early_and_seldom_late() {
        let timer = driven();
        let mut late_ns = Vec::new();
        for _ in 0..101 {
            let deadline_ns = timer.now_ns() + 300_000;
            timer.at(deadline_ns).await.unwrap();
            late_ns.push(timer.now_ns().checked_sub(deadline_ns).expect("woken early"));
        }
        late_ns.sort_unstable();
        assert!(late_ns[50] < 300_000, "median {} ns late", late_ns[50]);
    }

    #[tokio::test]
    async fn deadlines_fall_due_in_their_order_whatever_the_order_of_asking() {
        let timer = driven();
        let base_ns = timer.now_ns() + 1_000_000;
        let (sender, mut receiver) = tokio::sync::mpsc::channel(4);
        for step in [3u64, 1, 2, 0] {
            let woken = timer.at(base_ns + step * 100_000);
            let sender = sender.clone();
            tokio::spawn(async move {
                woken.await.unwrap();
                sender.send(step).await.unwrap();
            });
        }
        for expected in 0..4 {
            assert_eq!(receiver.recv().await, Some(expected));
        }
    }

    #[tokio::test]
    async fn a_stopped_clock_stands_and_then_runs_on() {
        let timer = driven();
        let woken = timer.at(timer.now_ns() + 2_000_000);
        timer.stop();
        let stood_at_ns = timer.now_ns();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert_eq!(timer.now_ns(), stood_at_ns);
        let resumed = std::time::Instant::now();
        timer.resume();
        woken.await.unwrap();
        assert!(resumed.elapsed() >= std::time::Duration::from_micros(1_500));
        assert!(timer.now_ns() - stood_at_ns < 20_000_000);
    }
}
