//! The target's URL, and the addresses behind it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use nuncius_schemas::route::Route;

use super::PlanError;
use super::lookup::{self, Address};
use crate::policy::TargetPolicy;

/// Most addresses taken of one target.
const ADDRESSES_MAX: usize = 1_024;

/// The parts of a target's URL.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) secure: bool,
    pub(super) credentials: Option<String>,
    /// Host and port as written: the `Host` of requests.
    pub(super) authority: String,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) default_port: u16,
    /// Without the query; empty when there is none.
    pub(super) path: String,
    /// With its question mark; empty when there is none.
    pub(super) query: String,
}

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

/// Reads a target.
pub(super) fn parse(field: &str, text: &str) -> Result<Target, PlanError> {
    let refuse = |problem: &str| PlanError::Field { field: field.to_owned(), problem: problem.to_owned() };
    if text.chars().any(|c| c.is_control() || c == ' ') {
        return Err(refuse("holds spaces or control characters"));
    }
    let (scheme, rest) = text.split_once("://").ok_or_else(|| refuse("no scheme such as http://"))?;
    let (secure, default_port) = match scheme {
        "http" => (false, 80),
        "https" => (true, 443),
        "amqp" => (false, 5_672),
        "amqps" => (true, 5_671),
        _ => return Err(refuse("a scheme is http, https, amqp or amqps")),
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (credentials, authority) = match authority.rsplit_once('@') {
        Some((credentials, authority)) => (Some(credentials.to_owned()), authority),
        None => (None, authority),
    };
    if credentials.is_some() && scheme.starts_with("http") {
        return Err(refuse("holds credentials: give a header `authorization` with ${NAME} instead"));
    }
    let (host, port) = split_authority(authority).ok_or_else(|| refuse("its host or port cannot be read"))?;
    let (path, query) = tail.split_at(tail.find('?').unwrap_or(tail.len()));
    Ok(Target {
        secure,
        credentials,
        authority: authority.to_owned(),
        host: host.to_owned(),
        port,
        default_port,
        path: path.to_owned(),
        query: query.to_owned(),
    })
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`; `None` when it is none of them.
fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, tail) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if tail.is_empty() { None } else { Some(tail.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port > 0)?),
        None => None,
    };
    (!host.is_empty()).then_some((host, port))
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

/// The addresses of a target: those of the service its host names, else of the host itself. Each is checked.
pub(super) fn resolve(
    field: &str,
    target: &Target,
    services: &BTreeMap<String, Vec<String>>,
    routes: &[Route],
    policy: &TargetPolicy,
) -> Result<Vec<Host>, PlanError> {
    let service = target.port.is_none().then_some(target.host.as_str());
    let mut named = Vec::new();
    if let Some(addresses) = service.and_then(|name| services.get(name)) {
        for address in addresses {
            named.push((1, route_addresses(field, address, policy)?));
        }
    } else if let Some(route) = service.and_then(|name| routes.iter().find(|route| route.service == name)) {
        for host in route.hosts.iter().filter(|host| host.weight > 0) {
            named.push((host.weight, route_addresses(field, &host.address, policy)?));
        }
    } else {
        let is_address = target.host.parse::<IpAddr>().is_ok();
        if !is_address && target.port.is_none() && !target.host.contains('.') && target.host != "localhost" {
            return Err(PlanError::UnknownService { field: field.to_owned(), service: target.host.clone() });
        }
        let port = target.port.unwrap_or(target.default_port);
        named.push((1, host_addresses(field, &target.host, port, policy)?));
    }
    if named.is_empty() {
        let problem = format!("service `{}` has no address with a weight over 0", target.host);
        return Err(PlanError::Field { field: field.to_owned(), problem });
    }
    share(named).map_err(|problem| PlanError::Field { field: field.to_owned(), problem })
}

fn route_addresses(field: &str, address: &str, policy: &TargetPolicy) -> Result<Vec<Address>, PlanError> {
    let Some((host, Some(port))) = split_authority(address) else {
        let problem = format!("address `{address}` of the service is not host:port");
        return Err(PlanError::Field { field: field.to_owned(), problem });
    };
    host_addresses(field, host, port, policy)
}

/// All addresses of one name. Every one of them must be allowed.
fn host_addresses(field: &str, host: &str, port: u16, policy: &TargetPolicy) -> Result<Vec<Address>, PlanError> {
    let found = lookup::addresses(host, port).map_err(|reason| PlanError::Resolve {
        field: field.to_owned(),
        host: host.to_owned(),
        reason,
    })?;
    for address in &found {
        policy
            .check(host, *address)
            .map_err(|error| PlanError::Field { field: field.to_owned(), problem: error.to_string() })?;
    }
    Ok(lookup::by_family(&found))
}

/// Names with their weights become hosts: the addresses of a name share its weight evenly, and equal addresses are one
/// host, whichever names they come from.
fn share(named: Vec<(u32, Vec<Address>)>) -> Result<Vec<Host>, String> {
    let too_large = || "its weights cannot be shared over that many addresses: use smaller weights".to_owned();
    // One weight is this many parts: divisible by the number of addresses of every name.
    let parts = named.iter().try_fold(1u64, |parts, (_, addresses)| {
        let count = addresses.len().max(1) as u64;
        (parts / greatest_common_divisor(parts, count)).checked_mul(count)
    });
    let parts = parts.ok_or_else(too_large)?;
    let mut hosts: Vec<Host> = Vec::new();
    for (weight, addresses) in named {
        let each = u64::from(weight).checked_mul(parts / addresses.len().max(1) as u64).ok_or_else(too_large)?;
        for Address { first: address, alternates } in addresses {
            match hosts.iter_mut().find(|host| host.address == address) {
                Some(host) => host.weight = host.weight.checked_add(each).ok_or_else(too_large)?,
                None => hosts.push(Host::new(address, alternates, each)),
            }
        }
    }
    if hosts.len() > ADDRESSES_MAX {
        return Err(format!("{} addresses stand behind it, at most {ADDRESSES_MAX} are taken", hosts.len()));
    }
    let divisor = hosts.iter().fold(0, |divisor, host| greatest_common_divisor(divisor, host.weight)).max(1);
    hosts.iter_mut().for_each(|host| host.weight /= divisor);
    Ok(hosts)
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
