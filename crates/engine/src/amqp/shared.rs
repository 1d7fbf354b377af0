//! What the tasks of a thread share: plan, counters, and the one connection that all its publishing goes over.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lapin::Channel;
use lapin::types::ShortString;
use nuncius_amqp::Link;
use tokio::sync::Notify;

use super::connection::Access;
use crate::failure::Failure;
use crate::in_flight::InFlight;
use crate::plan::{GroupPlan, Picker};
use crate::sequence::Sequence;

/// What the threads of a group on this node know together.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Tells this node's messages from others'.
    pub(super) publisher: u64,
    pub(super) next_message: AtomicU64,
    pub(super) confirmed: AtomicU64,
    pub(super) received: AtomicU64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            publisher: fastrand::u64(..),
            next_message: AtomicU64::new(1),
            confirmed: AtomicU64::new(0),
            received: AtomicU64::new(0),
        }
    }

    pub(super) fn is_received(&self) -> bool {
        self.received.load(Ordering::Relaxed) >= self.confirmed.load(Ordering::Relaxed)
    }
}

/// What the threads of a group need to reach the broker.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(super) access: Arc<Access>,
    pub(super) tally: Arc<Tally>,
}

/// What the tasks of a thread share.
pub(super) struct Shared {
    pub(super) in_flight: InFlight,
    pub(super) sequence: Sequence,
    pub(super) plan: Arc<GroupPlan>,
    pub(super) setup: Setup,
    /// Of this run, in every message.
    pub(super) run: String,
    /// Of each step; `None` for those that consume.
    pub(super) publishes: Vec<Option<Publish>>,
    pub(super) in_flight_max: usize,
    pub(super) state: RefCell<State>,
    /// An attempt to connect has ended.
    pub(super) opened: Notify,
    pub(super) picker: RefCell<Picker>,
}

/// What a step publishes.
pub(super) struct Publish {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) body: Vec<u8>,
    pub(super) persistent: bool,
    pub(super) declare: bool,
}

impl Shared {
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_nanos(self.plan.timeout_ns)
    }

    /// The host of the thread's next connection.
    pub(super) fn next_host(&self) -> usize {
        let mut picker = self.picker.borrow_mut();
        picker.follow(&self.plan.upstream.now().spread);
        picker.next_ahead()
    }

    pub(super) async fn close(&self) {
        let state = self.state.replace(State::default());
        if let State::Up(publisher) = state {
            publisher.close().await;
        }
    }
}

/// How long after a failed attempt to connect the next one is made; twice as long after each further one, up to a
/// limit.
pub(super) const BACKOFF_FIRST_NS: u64 = 100_000_000;
pub(super) const BACKOFF_MAX_NS: u64 = 2_000_000_000;

/// The thread's publishing connection.
pub(super) enum State {
    /// None before `retry_ns` (CLOCK_MONOTONIC), and why.
    Down {
        retry_ns: u64,
        backoff_ns: u64,
        failure: Option<Failure>,
    },
    Opening,
    Up(Rc<Publisher>),
}

impl Default for State {
    fn default() -> Self {
        Self::Down { retry_ns: 0, backoff_ns: BACKOFF_FIRST_NS, failure: None }
    }
}

pub(super) struct Publisher {
    pub(super) link: Link,
    /// Of each step; `None` for those that consume.
    pub(super) channels: Vec<Option<Channel>>,
    /// Messages that were given up and that the broker may confirm yet.
    pub(super) late: Cell<usize>,
}

impl Publisher {
    pub(super) fn is_alive(&self) -> bool {
        self.link.is_alive() && self.channels.iter().flatten().all(|channel| channel.status().connected())
    }

    pub(super) async fn close(&self) {
        self.link.close().await;
    }
}
