//! One host of a target: its address, and those that are tried when nobody listens there.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One address that requests go to.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    /// Where its requests go when nobody listens there: addresses of the same name in the other family.
    pub(crate) alternates: Vec<SocketAddr>,
    /// Share of the requests, relative to the others; not 0.
    pub(crate) weight: u64,
    /// Which of the candidates answered last, and is tried first.
    preferred: AtomicUsize,
}

impl Host {
    pub(crate) fn new(address: SocketAddr, alternates: Vec<SocketAddr>, weight: u64) -> Self {
        Self { address, alternates, weight, preferred: AtomicUsize::new(0) }
    }

    /// All its addresses.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        std::iter::once(self.address).chain(self.alternates.iter().copied())
    }

    /// How many addresses it has.
    pub(crate) fn len(&self) -> usize {
        1 + self.alternates.len()
    }

    /// The address that attempt `attempt` (from 0) goes to: the one that answered last, then the others in their order.
    pub(crate) fn attempt(&self, attempt: usize) -> Option<SocketAddr> {
        if attempt >= self.len() {
            return None;
        }
        match (self.preferred.load(Ordering::Relaxed) + attempt) % self.len() {
            0 => Some(self.address),
            index => self.alternates.get(index - 1).copied(),
        }
    }

    /// All its addresses in the order in which they are to be tried.
    pub(crate) fn order(&self) -> std::vec::IntoIter<SocketAddr> {
        (0..self.len()).filter_map(|attempt| self.attempt(attempt)).collect::<Vec<_>>().into_iter()
    }

    /// This address has answered: it is tried first from now on.
    pub(crate) fn prefer(&self, address: SocketAddr) {
        if let Some(index) = self.candidates().position(|candidate| candidate == address) {
            self.preferred.store(index, Ordering::Relaxed);
        }
    }
}
