//! Submitters of jobs to queues of Nuncius, over the bus.

use nuncius_bus::Bus;
use nuncius_jobs::Submitter;
use tokio::sync::OnceCell;

/// The submitters of a thread, by the number of their queue.
pub(in crate::session) struct Submitters {
    pub(in crate::session) bus: Option<Bus>,
    /// Of this thread: a connection of its own, so that nobody waits behind its load.
    pub(in crate::session) own: OnceCell<Bus>,
    pub(in crate::session) open: Box<[OnceCell<Submitter>]>,
}

impl Submitters {
    pub(in crate::session) fn new(bus: Option<Bus>, queues: usize) -> Self {
        Self { bus, own: OnceCell::new(), open: (0..queues).map(|_| OnceCell::new()).collect() }
    }
}
