//! Waking a thread that sleeps in epoll: an eventfd.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

/// A counter of the kernel that epoll sees as readable once it was woken.
#[derive(Debug)]
pub(crate) struct Waker(OwnedFd);

impl Waker {
    /// One that nobody has woken yet.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Wakes whoever waits for it, now or the next time.
    pub(crate) fn wake(&self) {
        // A full counter (EAGAIN) means that it is woken already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Another descriptor of the same one.
    pub(crate) fn descriptor(&self) -> std::io::Result<OwnedFd> {
        self.0.try_clone()
    }

    /// Takes note: it waits for the next time.
    pub(crate) fn reset(&self) {
        let mut counter = [0u8; 8];
        let _ = rustix::io::read(&self.0, &mut counter);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
