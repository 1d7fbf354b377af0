//! The target's URL, and the addresses behind it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use nuncius_schemas::route::Route;

use super::PlanError;
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    /// Share of the requests, relative to the others; not 0.
    pub(crate) weight: u64,
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

/// The addresses of a target: those of the service its host names, else of the host itself. Each is checked.
pub(super) fn resolve(
    field: &str,
    target: &Target,
    services: &BTreeMap<String, Vec<String>>,
    routes: &[Route],
    policy: &TargetPolicy,
) -> Result<Vec<Host>, PlanError> {
    let service = target.port.is_none().then_some(target.host.as_str());
    let mut hosts = Vec::new();
    if let Some(addresses) = service.and_then(|name| services.get(name)) {
        for address in addresses {
            add_route(field, address, 1, policy, &mut hosts)?;
        }
    } else if let Some(route) = service.and_then(|name| routes.iter().find(|route| route.service == name)) {
        for host in route.hosts.iter().filter(|host| host.weight > 0) {
            add_route(field, &host.address, host.weight, policy, &mut hosts)?;
        }
    } else {
        let is_address = target.host.parse::<IpAddr>().is_ok();
        if !is_address && target.port.is_none() && !target.host.contains('.') && target.host != "localhost" {
            return Err(PlanError::UnknownService { field: field.to_owned(), service: target.host.clone() });
        }
        add(field, &target.host, target.port.unwrap_or(target.default_port), 1, policy, &mut hosts)?;
    }
    if hosts.is_empty() {
        let problem = format!("service `{}` has no address with a weight over 0", target.host);
        return Err(PlanError::Field { field: field.to_owned(), problem });
    }
    Ok(hosts)
}

fn add_route(
    field: &str,
    address: &str,
    weight: u32,
    policy: &TargetPolicy,
    hosts: &mut Vec<Host>,
) -> Result<(), PlanError> {
    let Some((host, Some(port))) = split_authority(address) else {
        let problem = format!("address `{address}` of the service is not host:port");
        return Err(PlanError::Field { field: field.to_owned(), problem });
    };
    add(field, host, port, weight, policy, hosts)
}

/// Adds all addresses of one name; they share its weight. Of a name with both kinds only IPv4 ones are used, because a
/// server on the same machine often listens on those alone.
fn add(
    field: &str,
    host: &str,
    port: u16,
    weight: u32,
    policy: &TargetPolicy,
    hosts: &mut Vec<Host>,
) -> Result<(), PlanError> {
    let failed = |reason: String| PlanError::Resolve { field: field.to_owned(), host: host.to_owned(), reason };
    let all: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => (host, port).to_socket_addrs().map_err(|error| failed(error.to_string()))?.collect(),
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in &all {
        policy
            .check(host, *address)
            .map_err(|error| PlanError::Field { field: field.to_owned(), problem: error.to_string() })?;
        let wanted = address.is_ipv4() || !all.iter().any(SocketAddr::is_ipv4);
        if wanted && !addresses.contains(address) {
            addresses.push(*address);
        }
    }
    if addresses.is_empty() {
        return Err(failed("the resolver gave none".to_owned()));
    }
    if hosts.len() + addresses.len() > ADDRESSES_MAX {
        let problem = format!("more than {ADDRESSES_MAX} addresses stand behind it");
        return Err(PlanError::Field { field: field.to_owned(), problem });
    }
    // In thousandths, so that the share of a name does not depend on how many addresses it has.
    let weight = (u64::from(weight) * 1_000 / addresses.len() as u64).max(1);
    hosts.extend(addresses.into_iter().map(|address| Host { address, weight }));
    Ok(())
}
