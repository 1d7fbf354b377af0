//! Connections to servers of NATS that are tested.

use std::cell::RefCell;
use std::sync::Arc;

use nuncius_bus::target::{TargetClient, TargetConsumer};
use tokio::sync::OnceCell;

/// Server, stream, name, and the consumer that they are of.
pub(in crate::session) type KnownConsumer = (u16, Arc<str>, Arc<str>, TargetConsumer);

/// The connections of a thread, by the number of their server.
#[derive(Debug, Default)]
pub(in crate::session) struct NatsClients {
    pub(in crate::session) clients: Box<[OnceCell<TargetClient>]>,
    /// Consumers that were looked up, by server, stream and name.
    pub(in crate::session) consumers: RefCell<Vec<KnownConsumer>>,
}

impl NatsClients {
    pub(in crate::session) fn new(servers: usize) -> Self {
        Self { clients: (0..servers).map(|_| OnceCell::new()).collect(), consumers: RefCell::default() }
    }
}
