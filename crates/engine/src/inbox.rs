//! What came on a connection and waits until somebody takes it: bounded, the oldest passed over first.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use bytes::Bytes;
use nuncius_bus::Headers;
use nuncius_clock::monotonic_ns;

/// Most messages that are kept until somebody waits for them.
const MESSAGES_MAX: usize = 256;
/// The same in bytes.
const BYTES_MAX: usize = 1024 * 1024;

/// A message that came.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    pub(crate) bytes: Bytes,
    /// Of protocols that tell texts from bytes.
    pub(crate) is_text: bool,
    /// Empty where the protocol has none.
    pub(crate) headers: Headers,
    /// When it was read, on CLOCK_MONOTONIC.
    pub(crate) at_ns: u64,
}

/// What came since somebody asked last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

/// Messages, the first that came first.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    messages: VecDeque<Incoming>,
    bytes: usize,
    received: Traffic,
    waiting: Option<Waker>,
    /// How many are about to take what comes.
    takers: u32,
}

impl Inbox {
    /// A message came just now.
    pub(crate) fn push(&mut self, bytes: Bytes, is_text: bool, headers: Headers) {
        self.received.messages += 1;
        self.received.bytes += bytes.len() as u64;
        self.bytes += bytes.len();
        self.messages.push_back(Incoming { bytes, is_text, headers, at_ns: monotonic_ns() });
        while self.messages.len() > MESSAGES_MAX || self.bytes > BYTES_MAX && self.messages.len() > 1 {
            self.next();
        }
    }

    /// The message that came first, of those that nobody has waited for.
    pub(crate) fn next(&mut self) -> Option<Incoming> {
        let incoming = self.messages.pop_front()?;
        self.bytes -= incoming.bytes.len();
        Some(incoming)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Somebody is about to take what comes (`true`), or is no longer.
    pub(crate) fn expect(&mut self, is_expected: bool) {
        self.takers = if is_expected { self.takers.saturating_add(1) } else { self.takers.saturating_sub(1) };
    }

    /// Whether more is to be read: what somebody takes one by one is read one by one, so that none is passed over.
    pub(crate) fn has_room(&self) -> bool {
        self.takers == 0 || self.messages.is_empty()
    }

    /// Whom to wake once there is a message, or will be none.
    pub(crate) fn wait(&mut self, context: &Context<'_>) {
        self.waiting = Some(context.waker().clone());
    }

    /// Wakes whoever waits, unless it is polled just now.
    pub(crate) fn wake(&mut self, context: &Context<'_>) {
        if let Some(waiting) = self.waiting.take()
            && !waiting.will_wake(context.waker())
        {
            waiting.wake();
        }
    }

    /// Wakes whoever waits, to be polled once more where it is polled just now.
    pub(crate) fn wake_again(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    /// What came since somebody asked last.
    pub(crate) fn take_received(&mut self) -> Traffic {
        std::mem::take(&mut self.received)
    }
}
