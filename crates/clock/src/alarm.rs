//! Alarms at absolute times for tokio, whose own timer counts milliseconds: a timerfd of Linux (`timerfd_create(2)`).

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::SECOND_NS;

/// The time that does not come: an alarm that is set to it is off.
pub const NEVER: u64 = u64::MAX;

/// A counter of the kernel to wait for: what a timerfd and an eventfd are.
#[derive(Debug)]
pub struct Counter(AsyncFd<OwnedFd>);

impl Counter {
    /// Registers a descriptor with the runtime; it must be a non-blocking one.
    ///
    /// # Errors
    /// When the runtime has no I/O driver, or the kernel cannot wait for it.
    #[expect(
        deprecated,
        reason = "deprecated for types that may close their descriptor early, which an OwnedFd cannot; the successor is \
                  unsafe"
    )]
    pub fn new(descriptor: OwnedFd) -> io::Result<Self> {
        AsyncFd::with_interest(descriptor, Interest::READABLE).map(Self)
    }

    /// Waits until it is not 0, gives what it was and makes it 0. Cancel-safe.
    ///
    /// # Errors
    /// When the runtime's I/O driver is gone, or the descriptor cannot be read.
    pub async fn take(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|descriptor| Ok(rustix::io::read(descriptor.get_ref(), &mut count[..])?)) {
                Ok(read) => return read.map(|_| u64::from_ne_bytes(count)),
                // It was not there any more: an alarm that was set anew meanwhile.
                Err(_would_block) => {}
            }
        }
    }
}

/// An alarm on `CLOCK_MONOTONIC`, exact to tens of microseconds. One task waits for it; any thread may set it.
#[derive(Debug)]
pub struct Alarm {
    expirations: Counter,
    set_ns: AtomicU64,
}

impl Alarm {
    /// One that is off. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// When the kernel gives no timerfd (the limit of open files) or the runtime has no I/O driver.
    pub fn new() -> io::Result<Self> {
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self { expirations: Counter::new(descriptor)?, set_ns: AtomicU64::new(NEVER) })
    }

    /// Sets it to `at_ns` instead of what it was set to: it goes off then, at once if that is past; [`NEVER`] turns it
    /// off.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set(&self, at_ns: u64) -> io::Result<()> {
        // All zero would turn it off: one nanosecond after the start of the machine is as much in the past.
        let at = if at_ns == NEVER { 0 } else { at_ns.max(1) };
        let spec = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            // Both fit: a u64 of nanoseconds is 584 years.
            it_value: Timespec { tv_sec: (at / SECOND_NS) as i64, tv_nsec: (at % SECOND_NS) as i64 },
        };
        timerfd_settime(self.expirations.0.get_ref(), TimerfdTimerFlags::ABSTIME, &spec)?;
        self.set_ns.store(at_ns, Ordering::Relaxed);
        Ok(())
    }

    /// Waits until it goes off; that it has gone off before counts, if nobody waited. It is off then. Cancel-safe.
    ///
    /// # Errors
    /// When the runtime's I/O driver is gone.
    pub async fn wait(&self) -> io::Result<()> {
        self.expirations.take().await?;
        Ok(())
    }

    /// Returns at `at_ns` or later; never when that is [`NEVER`]. Who calls it again with the same time after it was
    /// cancelled sets nothing anew. Cancel-safe, for one caller at a time.
    ///
    /// # Errors
    /// As [`Alarm::set`] and [`Alarm::wait`].
    pub async fn sleep_until(&self, at_ns: u64) -> io::Result<()> {
        if self.set_ns.load(Ordering::Relaxed) != at_ns {
            self.set(at_ns)?;
        }
        self.wait().await?;
        self.set_ns.store(NEVER, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::monotonic_ns;

    #[tokio::test]
    async fn an_alarm_is_never_early_and_seldom_late() {
        let alarm = Alarm::new().unwrap();
        let mut late_ns = Vec::new();
        for _ in 0..101 {
            let at_ns = monotonic_ns() + 300_000;
            alarm.sleep_until(at_ns).await.unwrap();
            late_ns.push(monotonic_ns().checked_sub(at_ns).expect("early"));
        }
        late_ns.sort_unstable();
        // A busy machine delays whom it wakes; tokio's own timer would be a millisecond late each time.
        assert!(late_ns[20] < 500_000, "a fifth of them is {} ns late", late_ns[20]);
    }

    #[tokio::test]
    async fn the_time_that_is_past_comes_at_once_and_the_one_that_never_comes_does_not() {
        let alarm = Alarm::new().unwrap();
        alarm.sleep_until(0).await.unwrap();
        alarm.sleep_until(monotonic_ns()).await.unwrap();
        let never = alarm.sleep_until(NEVER);
        assert!(tokio::time::timeout(Duration::from_millis(5), never).await.is_err());
    }

    #[tokio::test]
    async fn an_alarm_that_is_set_anew_forgets_what_it_was_set_to() {
        let alarm = Alarm::new().unwrap();
        alarm.set(1).unwrap();
        let at_ns = monotonic_ns() + 5_000_000;
        alarm.set(at_ns).unwrap();
        alarm.wait().await.unwrap();
        assert!(monotonic_ns() >= at_ns);
        alarm.set(1).unwrap();
        alarm.set(NEVER).unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(5), alarm.wait()).await.is_err());
    }

    #[tokio::test]
    async fn a_sleep_that_was_cancelled_goes_on_where_it_was() {
        let alarm = Alarm::new().unwrap();
        let at_ns = monotonic_ns() + 5_000_000;
        for _ in 0..3 {
            assert!(tokio::time::timeout(Duration::ZERO, alarm.sleep_until(at_ns)).await.is_err());
        }
        alarm.sleep_until(at_ns).await.unwrap();
        assert!(monotonic_ns() >= at_ns);
    }

    #[tokio::test]
    async fn a_counter_gives_what_has_come_together_and_then_waits() {
        use rustix::event::{EventfdFlags, eventfd};
        let descriptor = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap();
        let counter = Counter::new(descriptor.try_clone().unwrap()).unwrap();
        for more in [1u64, 2] {
            rustix::io::write(&descriptor, &more.to_ne_bytes()).unwrap();
        }
        assert_eq!(counter.take().await.unwrap(), 3);
        assert!(tokio::time::timeout(Duration::from_millis(5), counter.take()).await.is_err());
    }
}
