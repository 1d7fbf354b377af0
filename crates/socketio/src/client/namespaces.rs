//! Namespaces of a connection, and the acks that are awaited in each.

use std::collections::BTreeSet;

use crate::error::{ProtocolError, shown};
use crate::limits::{Limit, Limits};

#[derive(Debug, Default)]
pub(super) struct Namespaces {
    all: Vec<Namespace>,
    /// Acks are numbered for the whole connection, so that one of a namespace that was left fits nothing in the same
    /// namespace connected again.
    next_ack_id: u64,
}

#[derive(Debug)]
struct Namespace {
    name: String,
    is_connected: bool,
    awaited: BTreeSet<u64>,
}

/// Whether a namespace is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Unknown,
    Connecting,
    Connected,
}

impl Namespaces {
    fn find(&mut self, name: &str) -> Option<&mut Namespace> {
        self.all.iter_mut().find(|namespace| namespace.name == name)
    }

    pub(super) fn standing(&self, name: &str) -> Standing {
        match self.all.iter().find(|namespace| namespace.name == name) {
            None => Standing::Unknown,
            Some(namespace) if namespace.is_connected => Standing::Connected,
            Some(_) => Standing::Connecting,
        }
    }

    pub(super) fn begin(&mut self, name: &str, limits: &Limits) -> Result<(), ProtocolError> {
        limits.check(Limit::Namespaces, self.all.len() + 1)?;
        self.all.push(Namespace { name: name.to_owned(), is_connected: false, awaited: BTreeSet::new() });
        Ok(())
    }

    pub(super) fn connected(&mut self, name: &str) {
        if let Some(namespace) = self.find(name) {
            namespace.is_connected = true;
        }
    }

    /// Takes one away, with the acks that were awaited in it.
    pub(super) fn end(&mut self, name: &str) -> Vec<u64> {
        match self.all.iter().position(|namespace| namespace.name == name) {
            None => Vec::new(),
            Some(at) => self.all.remove(at).awaited.into_iter().collect(),
        }
    }

    /// Takes all away that are not connected yet.
    pub(super) fn end_connecting(&mut self) -> Vec<String> {
        let connecting = self.all.extract_if(.., |namespace| !namespace.is_connected);
        connecting.map(|namespace| namespace.name).collect()
    }

    pub(super) fn names_of_connected(&self) -> Vec<String> {
        let connected = self.all.iter().filter(|namespace| namespace.is_connected);
        connected.map(|namespace| namespace.name.clone()).collect()
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
    }

    pub(super) fn acks_outstanding(&self) -> usize {
        self.all.iter().map(|namespace| namespace.awaited.len()).sum()
    }

    /// The number of the next ack, if there may be one more.
    pub(super) fn next_ack(&self, limits: &Limits) -> Result<u64, ProtocolError> {
        limits.check(Limit::AcksOutstanding, self.acks_outstanding() + 1)?;
        Ok(self.next_ack_id)
    }

    /// Waits for the ack that has just been numbered.
    pub(super) fn await_ack(&mut self, name: &str) {
        let id = self.next_ack_id;
        if let Some(namespace) = self.find(name) {
            namespace.awaited.insert(id);
            self.next_ack_id += 1;
        }
    }

    /// Waits no longer; whether it did.
    pub(super) fn take_ack(&mut self, name: &str, id: u64) -> bool {
        self.find(name).is_some_and(|namespace| namespace.awaited.remove(&id))
    }

    pub(super) fn unknown_ack(&self, name: &str, id: u64) -> ProtocolError {
        ProtocolError::UnknownAck { namespace: shown(name), id, asked: id < self.next_ack_id }
    }
}
