//! Waking a thread that sleeps in epoll: an eventfd.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

/// A counter of the kernel that epoll sees as readable once it was rung.
#[derive(Debug)]
pub(crate) struct Bell(OwnedFd);

impl Bell {
    /// A bell that nobody has rung yet.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Wakes whoever waits for it, now or the next time.
    pub(crate) fn ring(&self) {
        // A full counter (EAGAIN) means that it is rung already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Another descriptor of the same bell.
    pub(crate) fn descriptor(&self) -> std::io::Result<OwnedFd> {
        self.0.try_clone()
    }

    /// Makes it silent again.
    pub(crate) fn hush(&self) {
        let mut counter = [0u8; 8];
        let _ = rustix::io::read(&self.0, &mut counter);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
