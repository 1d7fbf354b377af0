//! From a name to its addresses: the one look-up of all engines, done when a node gets ready.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::time::Duration;

/// How long the resolver may take.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(5);

/// One address that load goes to, and where it goes when nobody listens there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) first: SocketAddr,
    /// Addresses of the same name in the other family, in the order in which they are tried.
    pub(super) alternates: Vec<SocketAddr>,
}

/// The addresses of a name in the order that the resolver prefers (RFC 6724).
///
/// # Errors
/// Says what the resolver said.
pub(super) fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        // An IPv4 address that is written as an IPv6 one is the same host.
        return Ok(vec![SocketAddr::new(address.to_canonical(), port)]);
    }
    let (told, answer) = mpsc::sync_channel(1);
    let name = host.to_owned();
    // The system's resolver cannot be interrupted: one that hangs is left to itself.
    let started = std::thread::Builder::new().name("resolver".to_owned()).spawn(move || {
        let found = (name.as_str(), port).to_socket_addrs().map(|addresses| addresses.collect::<Vec<_>>());
        let _ = told.send(found.map_err(|error| error.to_string()));
    });
    started.map_err(|error| format!("no thread to ask the resolver: {error}"))?;
    let mut found = answer
        .recv_timeout(LOOKUP_PATIENCE)
        .map_err(|_| format!("the resolver gave no answer within {} s", LOOKUP_PATIENCE.as_secs()))??;
    if is_localhost(host) {
        // Both loopback addresses, whatever the system's table of hosts has (RFC 6761, 6.3).
        let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        found.extend(both.map(|address| SocketAddr::new(address, port)));
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|address| seen.insert(*address));
    if found.is_empty() {
        return Err("the resolver gave none".to_owned());
    }
    Ok(found)
}

fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Splits the addresses of one name for use: those of the family that the resolver prefers share the load, and each has
/// those of the other family behind it (RFC 8305: every family is tried, the preferred one first). Each begins with
/// another one of them, so that the load is shared there too.
pub(super) fn by_family(found: &[SocketAddr]) -> Vec<Address> {
    let preferred = found.first().is_some_and(SocketAddr::is_ipv6);
    let (firsts, others): (Vec<SocketAddr>, Vec<SocketAddr>) =
        found.iter().copied().partition(|address| address.is_ipv6() == preferred);
    firsts
        .into_iter()
        .enumerate()
        .map(|(index, first)| {
            let mut alternates = others.clone();
            if !alternates.is_empty() {
                alternates.rotate_left(index % others.len());
            }
            Address { first, alternates }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_family_of_a_name_is_kept_the_preferred_one_first() {
        let found = [socket("[::1]:80"), socket("127.0.0.1:80"), socket("[::2]:80"), socket("127.0.0.2:80")];
        let split = by_family(&found);
        assert_eq!(split.iter().map(|one| one.first).collect::<Vec<_>>(), [found[0], found[2]]);
        assert_eq!(split[0].alternates, [found[1], found[3]]);
        assert_eq!(split[1].alternates, [found[3], found[1]]);
        let alone = by_family(&found[1..2]);
        assert_eq!((alone[0].first, alone[0].alternates.len()), (found[1], 0));
        assert!(by_family(&[]).is_empty());
    }

    #[test]
    fn a_name_that_has_no_address_is_told_with_the_resolvers_words() {
        assert!(!addresses("no-such-host.invalid", 80).unwrap_err().is_empty());
        assert_eq!(addresses("::1", 80).unwrap(), [socket("[::1]:80")]);
    }
}
