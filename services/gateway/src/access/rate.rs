//! So many of something a second from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Addresses that are remembered: those beyond share one allowance.
const PEERS_MAX: usize = 4_096;

/// An allowance for each address.
#[derive(Debug)]
pub(super) struct Rates {
    at_once: f64,
    per_second: f64,
    peers: Mutex<HashMap<IpAddr, Allowance>>,
}

#[derive(Debug, Clone, Copy)]
struct Allowance {
    left: f64,
    at: Instant,
}

impl Rates {
    pub(super) fn new(at_once: f64, per_second: f64) -> Self {
        Self { at_once, per_second, peers: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Allowance>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is left at a time.
    fn left(&self, known: Option<&Allowance>, now: Instant) -> f64 {
        let Some(known) = known else { return self.at_once };
        let more = now.saturating_duration_since(known.at).as_secs_f64() * self.per_second;
        (known.left + more).min(self.at_once)
    }

    /// Whether one is left, which stays.
    pub(super) fn has(&self, peer: IpAddr) -> bool {
        self.left(self.lock().get(&network(peer)), Instant::now()) >= 1.0
    }

    /// Takes one; `false` where none is left.
    pub(super) fn take(&self, peer: IpAddr) -> bool {
        let (now, mut peer) = (Instant::now(), network(peer));
        let mut peers = self.lock();
        if peers.len() >= PEERS_MAX && !peers.contains_key(&peer) {
            // Who has asked for nothing lately has everything again.
            peers.retain(|_, known| self.left(Some(known), now) < self.at_once);
            if peers.len() >= PEERS_MAX {
                peer = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        let left = self.left(peers.get(&peer), now);
        let is_left = left >= 1.0;
        peers.insert(peer, Allowance { left: if is_left { left - 1.0 } else { left }, at: now });
        is_left
    }
}

/// Who has an address of the newer kind has as many of them as he likes.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        IpAddr::V4(address) => IpAddr::V4(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_own_allowance_and_a_network_shares_one() {
        let rates = Rates::new(2.0, 0.0);
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(rates.has(one) && rates.take(one) && rates.take(one));
        assert!(!rates.take(one) && !rates.has(one));
        assert!(rates.take("192.0.2.2".parse().unwrap()));
        assert!(rates.take("2001:db8::1".parse().unwrap()) && rates.take("2001:db8::2".parse().unwrap()));
        assert!(!rates.take("2001:db8::3".parse().unwrap()));
        for number in 0..2 * PEERS_MAX as u32 {
            rates.take(IpAddr::V4(number.into()));
        }
        assert!(rates.lock().len() <= PEERS_MAX + 1);
    }
}
