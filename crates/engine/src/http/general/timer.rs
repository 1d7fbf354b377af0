//! Absolute deadlines for tokio, whose own timer has a granularity of a millisecond: a timerfd.

use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;

pub(crate) struct Timer {
    descriptor: Receiver,
    set_ns: u64,
}

impl Timer {
    pub(crate) fn new() -> std::io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = readable(timerfd_create(TimerfdClockId::Monotonic, flags)?)?;
        Ok(Self { descriptor, set_ns: u64::MAX })
    }

    /// Returns at `at_ns` (CLOCK_MONOTONIC) or later; never when that is `u64::MAX`.
    pub(crate) async fn sleep_until(&mut self, at_ns: u64) -> std::io::Result<()> {
        if self.set_ns != at_ns {
            // All zero would disarm it: an instant that is long gone fires at once. None at all is what disarms it.
            let (seconds, nanoseconds) =
                if at_ns == u64::MAX { (0, 0) } else { (at_ns.max(1) / 1_000_000_000, at_ns.max(1) % 1_000_000_000) };
            let value = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: Timespec { tv_sec: seconds as i64, tv_nsec: nanoseconds as i64 },
            };
            timerfd_settime(self.descriptor.as_fd(), TimerfdTimerFlags::ABSTIME, &value)?;
            self.set_ns = at_ns;
        }
        drain(&self.descriptor).await?;
        self.set_ns = u64::MAX;
        Ok(())
    }
}

/// A timerfd or an eventfd, non-blocking, as something to wait for: tokio's reading end of a pipe takes any descriptor
/// that can be polled and read.
pub(crate) fn readable(descriptor: OwnedFd) -> std::io::Result<Receiver> {
    Receiver::from_owned_fd_unchecked(descriptor)
}

/// Waits until its counter is not 0, and makes it 0.
pub(crate) async fn drain(descriptor: &Receiver) -> std::io::Result<()> {
    loop {
        descriptor.readable().await?;
        match descriptor.try_read(&mut [0u8; 8]) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
